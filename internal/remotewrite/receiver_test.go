package remotewrite_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"weixin_exporter/internal/remotewrite/remotewritetest"
)

// point is a sample with its series, as name{label="value",…}.
type point struct {
	series string
	time   int64
	value  float64
}

// request is a request that a receiver got.
type request struct {
	header http.Header
	url    string
	v2     bool
	points []point
	series []remotewritetest.Series
}

// response is what a receiver answers; err is a transport error.
type response struct {
	status int
	header map[string]string
	body   string
	err    error
}

// receiver is a transport that receives samples without a network.
type receiver struct {
	t *testing.T
	// decide returns the response to a request; nil accepts all. stored returns the points that are stored;
	// nil stores all of an accepted request and none of another.
	decide func(*request) response
	stored func(*request, response) []point

	mu       sync.Mutex
	requests []*request
	down     error // the error of every request; nil if the receiver is up
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
	answer := response{status: http.StatusNoContent}
	if decide != nil {
		answer = decide(got)
	}
	if answer.err != nil {
		return nil, answer.err
	}
	if err := hr.Context().Err(); err != nil {
		return nil, err
	}
	r.store(got, answer)
	sent := &http.Response{StatusCode: answer.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer.body)), Request: hr}
	if got.v2 && answer.status/100 == 2 && answer.header == nil {
		sent.Header.Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(len(got.points)))
	}
	for name, value := range answer.header {
		sent.Header.Set(name, value)
	}
	return sent, nil
}

// read decodes a request and fails the test if it is invalid.
func (r *receiver) read(hr *http.Request) *request {
	decoded, err := remotewritetest.Read(hr)
	if err != nil {
		r.t.Errorf("invalid request: %v", err)
		return &request{}
	}
	got := &request{header: hr.Header.Clone(), url: hr.URL.String(), v2: decoded.V2, series: decoded.Series}
	for _, s := range decoded.Series {
		for _, sample := range s.Samples {
			got.points = append(got.points, point{s.String(), sample.Time, sample.Value})
		}
	}
	if len(got.points) == 0 {
		r.t.Error("a request without samples")
	}
	return got
}

func (r *receiver) store(got *request, answer response) {
	var points []point
	switch {
	case r.stored != nil:
		points = r.stored(got, answer)
	case answer.status/100 == 2:
		points = got.points
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range points {
		if r.has[p.series] == nil {
			r.has[p.series] = map[int64][]float64{}
		}
		r.has[p.series][p.time] = append(r.has[p.series][p.time], p.value)
	}
}

// got returns the requests so far.
func (r *receiver) got() []*request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// set replaces decide.
func (r *receiver) set(decide func(*request) response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decide = decide
}

// fail makes every request fail with a transport error, until it is called with nil.
func (r *receiver) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

// count returns the number of stored points, including those stored again.
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

// values returns the values stored for a series and time.
func (r *receiver) values(series string, time int64) []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has[series][time]
}
