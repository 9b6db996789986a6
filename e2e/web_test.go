package e2e_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Accept headers of scrapers.
const (
	asText        = "text/plain;version=0.0.4"
	asOpenMetrics = "application/openmetrics-text;version=1.0.0"
	asProtobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

// web is a client of one exporter that records every response.
type web struct {
	base   *url.URL
	client *http.Client
}

func newWeb(t *testing.T, base *url.URL) web {
	t.Helper()
	// The tests decompress responses themselves.
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1000}
	t.Cleanup(transport.CloseIdleConnections)
	return web{base: base, client: &http.Client{Transport: transport, Timeout: patience}}
}

// overTLS returns a client of the same exporter with TLS.
func (w web) overTLS(t *testing.T, config *tls.Config) web {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return web{base: &url.URL{Scheme: "https", Host: w.base.Host}, client: &http.Client{Transport: transport, Timeout: patience}}
}

// response is a response of an exporter.
type response struct {
	status int
	header http.Header
	body   string
}

// ask sends a request and returns the response. headers are names and values in turn.
func (w web) ask(t *testing.T, method, path string, headers ...string) response {
	t.Helper()
	p, err := w.try(t, method, path, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return p
}

func (w web) try(t *testing.T, method, path string, headers ...string) (response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.base.String()+path, nil)
	if err != nil {
		return response{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	got, err := w.client.Do(request)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return response{}, err
	}
	plain := body
	if got.Header.Get("Content-Encoding") == "gzip" && len(body) > 0 {
		if plain, err = gunzip(body); err != nil {
			return response{}, err
		}
	}
	suite.recorder.record(t.Name(), fmt.Sprintf("%s %s", method, path), fmt.Sprintf("%v %v\n%s", got.Status, got.Header, plain))
	return response{got.StatusCode, got.Header, string(body)}, nil
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// get sends a GET request, and fails unless the status is 200.
func (w web) get(t *testing.T, path string) response {
	t.Helper()
	p := w.ask(t, http.MethodGet, path)
	if p.status != http.StatusOK {
		t.Fatalf("GET %s: status %d, want 200: %s", path, p.status, mask(p.body))
	}
	return p
}

func (w web) waitReady(t *testing.T) {
	t.Helper()
	eventually(t, "readiness", func() error {
		p, err := w.try(t, http.MethodGet, "/-/ready")
		if err == nil && p.status != http.StatusOK {
			err = fmt.Errorf("status %d", p.status)
		}
		return err
	})
}

// samples are values by series, as Prometheus formats them.
type samples map[string]float64

func (w web) metrics(t *testing.T) samples {
	t.Helper()
	return parse(t, w.get(t, "/metrics"))
}

// parse parses an exposition in text or protobuf format.
func parse(t *testing.T, p response) samples {
	t.Helper()
	decoder := expfmt.SampleDecoder{
		Dec:  expfmt.NewDecoder(bytes.NewReader([]byte(p.body)), expfmt.ResponseFormat(p.header)),
		Opts: &expfmt.DecodeOptions{},
	}
	found := samples{}
	for {
		var vector model.Vector
		err := decoder.Decode(&vector)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("reading the exposition: %s", mask(err.Error()))
		}
		for _, s := range vector {
			key := s.Metric.String()
			if _, twice := found[key]; twice {
				t.Errorf("series %s occurs twice", key)
			}
			found[key] = float64(s.Value)
		}
	}
}

// series formats a series as in the keys of samples. labels are names and values in turn.
func series(name string, labels ...string) string {
	m := model.Metric{model.MetricNameLabel: model.LabelValue(name)}
	for i := 0; i+1 < len(labels); i += 2 {
		m[model.LabelName(labels[i])] = model.LabelValue(labels[i+1])
	}
	return m.String()
}
