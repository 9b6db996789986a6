package remotewrite_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/klauspost/compress/snappy"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/weixin/secret"
)

// statusReceiver is a receiver that reports its status like a Prometheus.
type statusReceiver struct {
	t *testing.T
	// write is the response to a write request; status holds the others, by path.
	write  response
	status map[string]string

	mu       sync.Mutex
	requests []string
}

func (p *statusReceiver) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	if r.Header.Get("X-Scope-Orgid") != "weixin" || r.Header.Get("User-Agent") != "test/1" || r.URL.RawQuery != "key=sim-secret-query" {
		p.t.Errorf("%s %s lacks the credentials", r.Method, r.URL.Path)
	}
	if err := p.write.err; err != nil {
		return nil, err
	}
	a := p.write
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			p.t.Error(err)
		}
		if plain, err := snappy.Decode(nil, body); err != nil || len(plain) > 2 || r.Header.Get("Content-Type") == "" {
			p.t.Errorf("%d bytes are sent: %v", len(plain), err)
		}
	} else if text, ok := p.status[r.URL.Path]; ok {
		a = response{status: http.StatusOK, body: text}
	} else {
		a = response{status: http.StatusNotFound}
	}
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader(a.body)), Request: r, Header: http.Header{}}, nil
}

func (p *statusReceiver) probe(path string, message remotewrite.Message) remotewrite.Finding {
	return remotewrite.NewClient(remotewrite.ClientOptions{
		URL: secret.NewURL("http://receiver.test" + path + "?key=sim-secret-query"), HTTPClient: &http.Client{Transport: p}, Timeout: time.Minute,
		Headers: map[string]secret.Value{"X-Scope-OrgID": secret.New("weixin")}, Message: message, UserAgent: "test/1",
		Now: time.Now, Logger: log.NewNopLogger(),
	}).Probe(p.t.Context(), 30*24*time.Hour)
}

func runtime(retention string) string {
	return fmt.Sprintf(`{"status":"success","data":{"storageRetention":%q}}`, retention)
}

func configuration(window string) string {
	return fmt.Sprintf(`{"status":"success","data":{"yaml":"global: {}\nstorage:\n  tsdb:\n    out_of_order_time_window: %s\n"}}`, window)
}

// A Prometheus that keeps or accepts samples for less than max_age leads to warnings, as far as it reports that.
func TestProbeWarns(t *testing.T) {
	t.Parallel()
	const retention, window = "the receiver keeps samples for only 15d", "out_of_order_time_window is"
	for name, c := range map[string]struct {
		path   string
		status map[string]string
		want   []string
	}{
		"long enough": {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("31d"), "/api/v1/status/config": configuration("35d")}, nil},
		"the default": {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("15d"), "/api/v1/status/config": configuration("35d")}, []string{retention}},
		"and a size":  {"/p/api/v1/write", map[string]string{"/p/api/v1/status/runtimeinfo": runtime("15d or 10GiB"), "/p/api/v1/status/config": configuration("10d")}, []string{retention, window + " 10d"}},
		"only size":   {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("10GiB"), "/api/v1/status/config": configuration("35d")}, nil},
		"no window":   {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("1y"), "/api/v1/status/config": `{"data":{"yaml":"global: {}\n"}}`}, []string{window + " 0s"}},
		"no status":   {"/api/v1/write", nil, nil},
		"no JSON":     {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": "<html>"}, nil},
		"no YAML":     {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("15d"), "/api/v1/status/config": `{"data":{"yaml":"{"}}`}, []string{retention}},
		// A search for equal keys takes hours for a million of them, and so does the reading of deeply nested values.
		"equal keys":     {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("31d"), "/api/v1/status/config": `{"data":{"yaml":"a: 1\na: 2\n"}}`}, []string{window + " 0s"}},
		"nested deeply":  {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("31d"), "/api/v1/status/config": `{"data":{"yaml":"a: ` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `\n"}}`}, nil},
		"no duration":    {"/api/v1/write", map[string]string{"/api/v1/status/runtimeinfo": runtime("31d"), "/api/v1/status/config": configuration("key=sim-secret-query")}, nil},
		"another system": {"/api/v1/push", map[string]string{"/api/v1/status/runtimeinfo": runtime("15d")}, nil},
	} {
		p := &statusReceiver{t: t, write: response{status: http.StatusNoContent}, status: c.status}
		got := p.probe(c.path, remotewrite.V1)
		if got.Fault != "" || !slices.EqualFunc(got.Warnings, c.want, func(m i18n.Message, want string) bool { return strings.Contains(m.String(), want) }) {
			t.Errorf("%s: %+v, want %q", name, got, c.want)
		}
		if name == "another system" && len(p.requests) > 1 {
			t.Errorf("%s: requested %q", name, p.requests)
		}
	}
}

// A receiver's error is reported with advice and without secrets.
func TestProbeErrors(t *testing.T) {
	t.Parallel()
	for _, message := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		for _, c := range []struct {
			write    response
			text, do string
		}{
			{response{status: 400, body: "Client sent an HTTP request to an HTTPS server.\n"}, "HTTP status 400: Client sent an HTTP request to an HTTPS server.", "url"},
			{response{status: 401, body: "no key=sim-secret-query"}, "HTTP status 401: no <secret>", "authentication"},
			{response{status: 404}, "HTTP status 404", "its receiver is enabled"},
			{response{status: 503, body: "starting"}, "HTTP status 503: starting", "is up"},
			{response{err: io.ErrUnexpectedEOF}, "unexpected EOF", "reachable"},
			// A secret where the text is cut off.
			{response{err: errors.New(strings.Repeat("x", 390) + " sim-secret-query")}, strings.Repeat("x", 390) + " <secret>", "reachable"},
		} {
			p := &statusReceiver{t: t, write: c.write}
			got := p.probe("/api/v1/write", message)
			if got.Fault != c.text || !strings.Contains(got.ToDo.String(), c.do) || len(p.requests) != 1 {
				t.Errorf("%+v after %q, want %q", got, p.requests, c.text)
			}
		}
	}
}
