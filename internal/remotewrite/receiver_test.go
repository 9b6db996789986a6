package remotewrite_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// point is a sample as a receiver sees it.
type point struct {
	series string // name{label="value", …}
	time   int64
	value  float64
}

// request is what a receiver got.
type request struct {
	header http.Header
	url    string
	points []point
	help   map[string]string // by series, where there is one
}

// answer is what a receiver says.
type answer struct {
	status int
	header map[string]string
	body   string
	err    error
}

// receiver is a transport that takes samples instead of a network.
type receiver struct {
	t *testing.T
	// decide says what comes of a request; nil accepts all. stored tells which points are kept;
	// by default all of an accepted request and none of another.
	decide func(*request) answer
	stored func(*request, answer) []point

	mu       sync.Mutex
	requests []*request
	down     error // what every request fails with; nil if the receiver is there
	has      map[string]map[int64][]float64
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	return &receiver{t: t, has: map[string]map[int64][]float64{}}
}

func (r *receiver) RoundTrip(hr *http.Request) (*http.Response, error) {
	r.mu.Lock()
	if err := r.down; err != nil {
		defer r.mu.Unlock()
		r.requests = append(r.requests, &request{})
		return nil, err
	}
	r.mu.Unlock()
	got := r.read(hr)
	r.mu.Lock()
	r.requests = append(r.requests, got)
	decide := r.decide
	r.mu.Unlock()
	a := answer{status: http.StatusNoContent}
	if decide != nil {
		a = decide(got)
	}
	if a.err != nil {
		return nil, a.err
	}
	if err := hr.Context().Err(); err != nil {
		return nil, err
	}
	var kept []point
	switch {
	case r.stored != nil:
		kept = r.stored(got, a)
	case a.status/100 == 2:
		kept = got.points
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range kept {
		if r.has[p.series] == nil {
			r.has[p.series] = map[int64][]float64{}
		}
		r.has[p.series][p.time] = append(r.has[p.series][p.time], p.value)
	}
	response := &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: hr}
	if v2(got) && a.status/100 == 2 && a.header == nil {
		response.Header.Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(len(got.points)))
	}
	for name, value := range a.header {
		response.Header.Set(name, value)
	}
	return response, nil
}

func v2(r *request) bool { return strings.Contains(r.header.Get("Content-Type"), "v2") }

// got returns the requests so far.
func (r *receiver) got() []*request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// set replaces how requests are decided on.
func (r *receiver) set(decide func(*request) answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decide = decide
}

// fail lets every request fail before the receiver sees it; nil ends it.
func (r *receiver) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

// count returns how many points are there, those that came twice counted twice.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, series := range r.has {
		for _, values := range series {
			n += len(values)
		}
	}
	return n
}

// values returns what came for a point.
func (r *receiver) values(series string, time int64) []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has[series][time]
}

// read decodes a request and checks what every request must fulfil.
func (r *receiver) read(hr *http.Request) *request {
	body, err := io.ReadAll(hr.Body)
	if err != nil {
		r.t.Error(err)
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		r.t.Error(err)
	}
	got := &request{header: hr.Header.Clone(), url: hr.URL.String(), help: map[string]string{}}
	if hr.Method != http.MethodPost || hr.Header.Get("Content-Encoding") != "snappy" || hr.Header.Get("User-Agent") == "" {
		r.t.Errorf("%s with the header %v", hr.Method, hr.Header)
	}
	version := hr.Header.Get("X-Prometheus-Remote-Write-Version")
	switch contentType := hr.Header.Get("Content-Type"); {
	case contentType == "application/x-protobuf" && version == "0.1.0":
		got.readV1(r.t, plain)
	case contentType == "application/x-protobuf;proto=io.prometheus.write.v2.Request" && version == "2.0.0":
		got.readV2(r.t, plain)
	default:
		r.t.Errorf("content type %q with version %q", contentType, version)
	}
	if len(got.points) == 0 {
		r.t.Error("a request without samples")
	}
	return got
}

// add adds the samples of a series.
func (q *request) add(t *testing.T, labels []string, times []int64, values []float64) {
	t.Helper()
	name := ""
	var rest []string
	for i := 0; i+1 < len(labels); i += 2 {
		if i > 0 && labels[i-2] >= labels[i] {
			t.Errorf("labels are not sorted: %q", labels)
		}
		if labels[i+1] == "" {
			t.Errorf("label %q is empty", labels[i])
		}
		if labels[i] == "__name__" {
			name = labels[i+1]
		} else {
			rest = append(rest, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
		}
	}
	series := name + "{" + strings.Join(rest, ",") + "}"
	for _, p := range q.points {
		if p.series == series {
			t.Errorf("%s is there twice", series)
		}
	}
	if !slices.IsSorted(times) {
		t.Errorf("%s: the times are not in order: %v", series, times)
	}
	for i := range times {
		q.points = append(q.points, point{series, times[i], values[i]})
	}
}

// readV1 decodes a prometheus.WriteRequest, for which there is no library without Prometheus itself.
func (q *request) readV1(t *testing.T, b []byte) {
	t.Helper()
	fields(t, b, func(number protowire.Number, _ uint64, series []byte) {
		if number != 1 {
			t.Errorf("field %d in a request", number)
		}
		var labels []string
		var times []int64
		var values []float64
		fields(t, series, func(number protowire.Number, _ uint64, part []byte) {
			switch number {
			case 1:
				fields(t, part, func(_ protowire.Number, _ uint64, text []byte) { labels = append(labels, string(text)) })
			case 2:
				fields(t, part, func(number protowire.Number, bits uint64, _ []byte) {
					if number == 1 {
						values = append(values, math.Float64frombits(bits))
					} else {
						times = append(times, int64(bits))
					}
				})
			default:
				t.Errorf("field %d in a series", number)
			}
		})
		q.add(t, labels, times, values)
	})
}

// fields calls each for the fields of a message, with a number or with bytes.
func fields(t *testing.T, b []byte, each func(protowire.Number, uint64, []byte)) {
	t.Helper()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Error(protowire.ParseError(n))
			return
		}
		b = b[n:]
		var bits uint64
		var part []byte
		switch kind {
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			part, n = protowire.ConsumeBytes(b)
		default:
			t.Errorf("wire type %d", kind)
			return
		}
		if n < 0 {
			t.Error(protowire.ParseError(n))
			return
		}
		b = b[n:]
		each(number, bits, part)
	}
}

// readV2 decodes with the type of client_golang.
func (q *request) readV2(t *testing.T, b []byte) {
	t.Helper()
	var message writev2.Request
	if err := proto.Unmarshal(b, &message); err != nil {
		t.Error(err)
		return
	}
	symbols := message.GetSymbols()
	if len(symbols) == 0 || symbols[0] != "" {
		t.Errorf("symbols %q do not begin with an empty one", symbols)
	}
	for _, series := range message.GetTimeseries() {
		var labels []string
		for _, ref := range series.GetLabelsRefs() {
			labels = append(labels, symbols[ref])
		}
		var times []int64
		var values []float64
		for _, s := range series.GetSamples() {
			times = append(times, s.GetTimestamp())
			values = append(values, s.GetValue())
		}
		before := len(q.points)
		q.add(t, labels, times, values)
		if kind := series.GetMetadata().GetType(); kind != writev2.Metadata_METRIC_TYPE_GAUGE {
			t.Errorf("the type is %v", kind)
		}
		q.help[q.points[before].series] = symbols[series.GetMetadata().GetHelpRef()]
	}
}
