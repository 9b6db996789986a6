package remotewritetest_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/proto"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/remotewrite/remotewritetest"
	"weixin_exporter/weixin/datacube"
)

// deliver sends samples of the series up to a receiver, and returns the status of the response.
func deliver(t *testing.T, r *remotewritetest.Receiver, symbols []string, samples ...*writev2.Sample) int {
	t.Helper()
	plain, err := proto.Marshal(&writev2.Request{Symbols: symbols, Timeseries: []*writev2.TimeSeries{{LabelsRefs: []uint32{1, 2}, Samples: samples}}})
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(snappy.Encode(nil, plain)))
	request.Header = http.Header{
		"Content-Encoding": {"snappy"}, "User-Agent": {"test/1"},
		"Content-Type": {"application/x-protobuf;proto=io.prometheus.write.v2.Request"}, "X-Prometheus-Remote-Write-Version": {"2.0.0"},
	}
	response := httptest.NewRecorder()
	r.ServeHTTP(response, request)
	return response.Code
}

// A Receiver counts each sample once, and finds everything that differs from what must have arrived.
func TestReceiver(t *testing.T) {
	t.Parallel()
	up := []string{"", "__name__", "up"}
	sample := func(second int64, value float64) *writev2.Sample {
		return &writev2.Sample{Timestamp: second * 1000, Value: value}
	}
	r := remotewritetest.NewReceiver()
	if status := deliver(t, r, up, sample(1, 10), sample(2, 20)); status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
	deliver(t, r, up, sample(2, 20), sample(3, 30))
	if r.Count() != 3 || r.Repeats() != 1 {
		t.Errorf("%d samples, %d of them again; want 3 and 1", r.Count(), r.Repeats())
	}
	want := remotewritetest.Samples{"up{}": {1: 10, 2: 20, 3: 30}}
	if faults := r.Faults(want); len(faults) > 0 || want.Count() != 3 {
		t.Errorf("%d samples, faults %q", want.Count(), faults)
	}
	if got := r.Samples(); !reflect.DeepEqual(got, want) {
		t.Errorf("has %v, want %v", got, want)
	}
	deliver(t, r, up, sample(3, 31))
	if status := deliver(t, r, []string{"without the empty one"}); status != http.StatusBadRequest {
		t.Errorf("an invalid request: status %d", status)
	}
	want = remotewritetest.Samples{"up{}": {1: 10, 2: 21, 4: 40}}
	faults := r.Faults(want)
	expected := []string{
		`the symbols do not begin with an empty one: ["without the empty one"]`,
		"up{} at 2 is 20, want 21", "up{} at 3 is 31, want none", "up{} at 3: first 30, then 31", "up{} at 4 is missing",
	}
	if !slices.Equal(faults, expected) {
		t.Errorf("faults %q, want %q", faults, expected)
	}
}

// constant is a Weixin whose hours have one callback each, and whose days have 24.
type constant struct{}

func (constant) Day(string, datacube.Date) datacube.Figures {
	return datacube.Figures{Callbacks: datacube.HoursPerDay}
}

func (constant) Hours(string, datacube.Date) datacube.Hours {
	var hours datacube.Hours
	for hour := range hours {
		hours[hour].Callbacks = 1
	}
	return hours
}

func TestHistoryOf(t *testing.T) {
	t.Parallel()
	const first, last = 20_000, 20_001
	got := remotewritetest.HistoryOf(constant{}, map[string]string{"shop": "wx1"}, first, last)
	const days = 2
	if want := days * int(history.FigureCount) * (1 + datacube.HoursPerDay); got.Count() != want {
		t.Errorf("%d samples, want %d", got.Count(), want)
	}
	if value := got[`weixin_history_daily_callbacks{account="shop"}`][history.DayTime(last).Unix()]; value != datacube.HoursPerDay {
		t.Errorf("the day has %v callbacks", value)
	}
	if value := got[`weixin_history_hourly_callbacks{account="shop"}`][history.HourTime(first, 23).Unix()]; value != 1 {
		t.Errorf("the hour has %v callbacks", value)
	}
}
