package remotewritetest_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/proto"

	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/internal/remotewrite/remotewritetest"
	"weixin_exporter/weixin/secret"
)

// transport decodes requests instead of sending them.
type transport struct{ got *remotewritetest.Request }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var err error
	t.got, err = remotewritetest.Read(r)
	header := http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"3"}}
	return &http.Response{StatusCode: http.StatusNoContent, Header: header, Body: http.NoBody, Request: r}, err
}

// Requests of the client are decoded in both versions.
func TestRead(t *testing.T) {
	up := remotewrite.NewSeries("up", remotewrite.Metadata{Type: remotewrite.Gauge, Help: "Whether."},
		remotewrite.Label{Name: "job", Value: `a "b"`}, remotewrite.Label{Name: "Zone", Value: "1"})
	down := remotewrite.NewSeries("down", remotewrite.Metadata{Type: remotewrite.Counter})
	samples := []remotewrite.Sample{{Series: up, Time: -1, Value: 0.5}, {Series: down, Time: 7, Value: 8}, {Series: up, Time: 2, Value: -3}}
	for _, message := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		var sent transport
		client := remotewrite.NewClient(remotewrite.ClientOptions{
			URL: secret.NewURL("http://receiver.test/write"), HTTPClient: &http.Client{Transport: &sent}, Timeout: time.Minute,
			Message: message, UserAgent: "test/1", Now: func() time.Time { return time.Time{} }, Logger: log.NewNopLogger(),
		})
		if result := client.Send(t.Context(), samples); result.Outcome != remotewrite.Accepted {
			t.Fatalf("%s: %+v", message, result)
		}
		want := &remotewritetest.Request{V2: message == remotewrite.V2, Series: []remotewritetest.Series{
			{
				Labels:  map[string]string{"__name__": "up", "job": `a "b"`, "Zone": "1"},
				Samples: []remotewritetest.Sample{{Time: -1, Value: 0.5}, {Time: 2, Value: -3}},
			},
			{Labels: map[string]string{"__name__": "down"}, Samples: []remotewritetest.Sample{{Time: 7, Value: 8}}},
		}}
		if want.V2 {
			want.Series[0].Type, want.Series[0].Help = writev2.Metadata_METRIC_TYPE_GAUGE, "Whether."
			want.Series[1].Type = writev2.Metadata_METRIC_TYPE_COUNTER
		}
		if diff := cmp.Diff(want, sent.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", message, diff)
		}
		if sent.got.Count() != 3 {
			t.Errorf("%s: %d samples, want 3", message, sent.got.Count())
		}
		if got, want := sent.got.Series[0].String(), `up{Zone="1",job="a \"b\""}`; got != want {
			t.Errorf("%s: the series is %s, want %s", message, got, want)
		}
	}
}

// Everything that the specification forbids is an error.
func TestInvalidRequests(t *testing.T) {
	const contentType = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	series := func(refs ...uint32) *writev2.TimeSeries { return &writev2.TimeSeries{LabelsRefs: refs} }
	valid := &writev2.Request{Symbols: []string{"", "__name__", "up", "job"}, Timeseries: []*writev2.TimeSeries{series(1, 2, 3, 2)}}
	with := func(series ...*writev2.TimeSeries) *writev2.Request {
		return &writev2.Request{Symbols: valid.GetSymbols(), Timeseries: series}
	}
	encode := func(request *writev2.Request) []byte {
		t.Helper()
		plain, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		return snappy.Encode(nil, plain)
	}
	unordered := series(1, 2)
	unordered.Samples = []*writev2.Sample{{Timestamp: 2}, {Timestamp: 1}}
	v1 := func(plain string) []byte { return snappy.Encode(nil, []byte(plain)) }
	for _, c := range []struct {
		name        string
		body        []byte
		contentType string
		version     string
		want        string // "" for a valid request
	}{
		{"valid", encode(valid), contentType, "2.0.0", ""},
		{"not compressed", []byte("\xff"), contentType, "2.0.0", "corrupt"},
		{"not a message", snappy.Encode(nil, []byte("\xff")), contentType, "2.0.0", "proto"},
		{"another version", encode(valid), contentType, "0.1.0", "with version"},
		{"no symbols", encode(&writev2.Request{Timeseries: valid.GetTimeseries()}), contentType, "2.0.0", "do not begin with an empty one"},
		{"a missing symbol", encode(with(series(1, 9))), contentType, "2.0.0", "symbol 9 of 4"},
		{"unsorted labels", encode(with(series(3, 2, 1, 2))), contentType, "2.0.0", "unsorted"},
		{"a repeated label", encode(with(series(1, 2, 1, 2))), contentType, "2.0.0", "repeated"},
		{"an empty label", encode(with(series(1, 0))), contentType, "2.0.0", "empty"},
		{"a label without a value", encode(with(series(1))), contentType, "2.0.0", "without a value"},
		{"a repeated series", encode(with(series(1, 2), series(1, 2))), contentType, "2.0.0", "occurs twice"},
		{"unordered samples", encode(with(unordered)), contentType, "2.0.0", "not in order"},
		{"1.0 with another field", v1("\x10\x00"), "application/x-protobuf", "0.1.0", "field 2 in a request"},
		{"1.0 with another field of a series", v1("\x0a\x02\x18\x00"), "application/x-protobuf", "0.1.0", "field 3 in a series"},
		{"1.0 with another wire type", v1("\x0d\x00\x00\x00\x00"), "application/x-protobuf", "0.1.0", "wire type"},
		{"1.0 that ends early", v1("\x0a\x7f"), "application/x-protobuf", "0.1.0", "EOF"},
		{"1.0 with half a tag", v1("\xff"), "application/x-protobuf", "0.1.0", "EOF"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://receiver.test/", bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{
			"Content-Encoding": {"snappy"}, "User-Agent": {"test/1"}, "Content-Type": {c.contentType}, "X-Prometheus-Remote-Write-Version": {c.version},
		}
		_, err = remotewritetest.Read(r)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if c.want != "" {
			continue
		}
		r.Header.Del("User-Agent")
		r.Body = io.NopCloser(bytes.NewReader(c.body))
		if _, err := remotewritetest.Read(r); err == nil || !strings.Contains(err.Error(), "User-Agent") {
			t.Errorf("%s, without a User-Agent: error %v", c.name, err)
		}
	}
}
