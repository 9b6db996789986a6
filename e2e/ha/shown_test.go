package ha_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/remotewrite/remotewritetest"
	"weixin_exporter/weixin/datacube"
)

// figuresOf returns those metrics of an exporter that every exporter must show alike: the figures, and how many days are
// known.
func figuresOf(t *testing.T, p *process) (map[string]float64, error) {
	t.Helper()
	text, err := p.get(t, "/metrics")
	if err != nil {
		return nil, err
	}
	shown := map[string]float64{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "weixin_interface_") && !strings.HasPrefix(line, "weixin_store_known_dates") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[end+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		shown[line[:end]] = value
	}
	return shown, nil
}

// truth returns what every exporter must show when it is complete.
func (f *fleet) truth() map[string]float64 {
	want := map[string]float64{}
	date := f.yesterday()
	for _, appID := range append(f.appIDs, refused) {
		days := float64(f.days())
		if appID == refused {
			days = 0
		}
		for _, api := range datacubeAPIs() {
			want[fmt.Sprintf("weixin_store_known_dates{account=%q,api=%q}", nameOf(appID), api.String())] = days
		}
		if appID == refused {
			continue
		}
		add := func(period string, figures datacube.Figures, labels string) {
			set := func(what string, value float64) { want["weixin_interface_"+period+"_"+what+"{"+labels+"}"] = value }
			set("callbacks", float64(figures.Callbacks))
			set("failures", float64(figures.Failures))
			set("time_cost_seconds", float64(figures.TimeCostMillis)/1000)
			set("max_time_cost_seconds", float64(figures.MaxTimeCostMillis)/1000)
			if figures.Callbacks > 0 {
				set("average_time_cost_seconds", float64(figures.TimeCostMillis)/float64(figures.Callbacks)/1000)
			}
		}
		account := fmt.Sprintf("account=%q", nameOf(appID))
		add("daily", f.weixin.Day(appID, date), account)
		for hour, figures := range f.weixin.Hours(appID, date) {
			add("hourly", figures, fmt.Sprintf("%s,hour=\"%02d\"", account, hour))
		}
		for _, period := range []string{"daily", "hourly"} {
			want["weixin_interface_"+period+"_data_timestamp_seconds{"+account+"}"] = float64(date.Start().Unix())
		}
	}
	return want
}

// difference describes how what is shown differs from what must be; "" if it does not.
func difference(want, got map[string]float64) string {
	var wrong []string
	for key, value := range want {
		switch shown, ok := got[key]; {
		case !ok:
			wrong = append(wrong, key+" is missing")
		case math.Abs(shown-value) > 1e-9*math.Abs(value):
			wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", key, shown, value))
		}
	}
	for key, shown := range got {
		if _, ok := want[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s is %v, although nothing is known", key, shown))
		}
	}
	if len(wrong) == 0 {
		return ""
	}
	slices.Sort(wrong)
	return fmt.Sprintf("%d series are wrong, first %s", len(wrong), wrong[0])
}

// checkStored compares all figures in the database with the simulated Weixin's.
func (f *fleet) checkStored() {
	f.t.Helper()
	want := map[period]datacube.Figures{}
	for _, appID := range f.appIDs {
		for date := f.first; date <= f.yesterday(); date++ {
			want[period{appID, date, -1}] = f.weixin.Day(appID, date)
			for hour, figures := range f.weixin.Hours(appID, date) {
				want[period{appID, date, hour}] = figures
			}
		}
	}
	got := f.database.figures(f.t)
	for p, figures := range want {
		if stored, ok := got[p]; !ok || stored != figures {
			f.t.Errorf("%v: the database has %+v (%v), Weixin %+v", p, stored, ok, figures)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		f.t.Errorf("the database has %d further figures, for example %v", len(got), slices.Collect(maps.Keys(got))[0])
	}
}

// receiver keeps what exporters send by remote write.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	samples map[string]map[int64]float64 // by series and time in seconds
	wrong   []string
	repeats int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{samples: map[string]map[int64]float64{}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.receive))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) receive(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the exporter has ended
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	got, err := remotewritetest.Read(request)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.wrong = append(r.wrong, err.Error())
		http.Error(w, "invalid", http.StatusBadRequest)
		return
	}
	for _, s := range got.Series {
		key := s.Labels["__name__"] + " of " + s.Labels[history.AccountLabel]
		if r.samples[key] == nil {
			r.samples[key] = map[int64]float64{}
		}
		for _, sample := range s.Samples {
			at := sample.Time / 1000
			if before, again := r.samples[key][at]; again {
				r.repeats++
				if before != sample.Value {
					r.wrong = append(r.wrong, fmt.Sprintf("%s at %d: %v and %v", key, at, before, sample.Value))
				}
			}
			r.samples[key][at] = sample.Value
		}
	}
	w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(got.Count()))
	w.WriteHeader(http.StatusNoContent)
}

// checkSent waits until the receiver has all figures, compares them with the simulated Weixin's, and returns how many
// samples arrived more than once.
func (f *fleet) checkSent() int {
	f.t.Helper()
	want := map[string]map[int64]float64{}
	total := 0
	for _, appID := range f.appIDs {
		for _, family := range history.Families() {
			values := map[int64]float64{}
			for date := f.first; date <= f.yesterday(); date++ {
				if family.API == datacube.Daily {
					values[history.DayTime(date).Unix()] = family.Value(f.weixin.Day(appID, date))
					continue
				}
				for hour, figures := range f.weixin.Hours(appID, date) {
					values[history.HourTime(date, hour).Unix()] = family.Value(figures)
				}
			}
			want[family.Name+" of "+nameOf(appID)] = values
			total += len(values)
		}
	}
	r := f.receiver
	eventually(f.t, "all samples to arrive at the receiver", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		n := 0
		for _, values := range r.samples {
			n += len(values)
		}
		if n < total {
			return fmt.Errorf("%d samples of %d", n, total)
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, wrong := range r.wrong {
		f.t.Errorf("remote write: %s", wrong)
	}
	for key, values := range want {
		for at, value := range values {
			if got, ok := r.samples[key][at]; !ok || math.Abs(got-value) > 1e-9*math.Abs(value) {
				f.t.Errorf("remote write: %s at %d is %v (%v), want %v", key, at, got, ok, value)
			}
		}
		if len(r.samples[key]) != len(values) {
			f.t.Errorf("remote write: %s has %d samples, want %d", key, len(r.samples[key]), len(values))
		}
	}
	if len(r.samples) != len(want) {
		f.t.Errorf("remote write: %d series, want %d", len(r.samples), len(want))
	}
	return r.repeats
}
