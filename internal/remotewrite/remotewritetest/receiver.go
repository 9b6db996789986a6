package remotewritetest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

// Samples are the values of each series, as Series.String writes it, by their times in seconds since the Unix epoch.
type Samples map[string]map[int64]float64

// Count returns the number of samples.
func (s Samples) Count() int {
	n := 0
	for _, values := range s {
		n += len(values)
	}
	return n
}

// Truth has the figures that Weixin returns; *weixintest.Server implements it.
type Truth interface {
	Day(appID string, date datacube.Date) datacube.Figures
	Hours(appID string, date datacube.Date) datacube.Hours
}

// HistoryOf returns the samples of all hours and days from first to last of accounts, whose app IDs are given by their
// names.
func HistoryOf(weixin Truth, appIDs map[string]string, first, last datacube.Date) Samples {
	samples := Samples{}
	for name, appID := range appIDs {
		for _, family := range history.Families() {
			series := Series{Labels: map[string]string{"__name__": family.Name, history.AccountLabel: name}}
			values := map[int64]float64{}
			for date := first; date <= last; date++ {
				if family.API == datacube.Daily {
					values[history.DayTime(date).Unix()] = family.Value(weixin.Day(appID, date))
					continue
				}
				for hour, figures := range weixin.Hours(appID, date) {
					values[history.HourTime(date, hour).Unix()] = family.Value(figures)
				}
			}
			samples[series.String()] = values
		}
	}
	return samples
}

// Receiver is a receiver of remote write that accepts everything that the specification allows. It is safe for concurrent
// use.
type Receiver struct {
	mu      sync.Mutex
	samples Samples
	count   int
	repeats int
	faults  []string
}

// NewReceiver returns a Receiver that has nothing.
func NewReceiver() *Receiver { return &Receiver{samples: Samples{}} }

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the sender has ended
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	got, err := Read(request)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.faults = append(r.faults, err.Error())
		http.Error(w, "invalid", http.StatusBadRequest)
		return
	}
	for _, s := range got.Series {
		r.add(s)
	}
	w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(got.Count()))
	w.WriteHeader(http.StatusNoContent)
}

// add keeps the samples of a series. The caller holds mu.
func (r *Receiver) add(s Series) {
	const second = 1000
	key := s.String()
	if r.samples[key] == nil {
		r.samples[key] = map[int64]float64{}
	}
	for _, sample := range s.Samples {
		at := sample.Time / second
		before, again := r.samples[key][at]
		switch {
		case !again:
			r.count++
		case before == sample.Value:
			r.repeats++
		default:
			r.faults = append(r.faults, fmt.Sprintf("%s at %d: first %v, then %v", key, at, before, sample.Value))
		}
		r.samples[key][at] = sample.Value
	}
}

// Count returns the number of samples, each of which counts once.
func (r *Receiver) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Samples returns what has arrived.
func (r *Receiver) Samples() Samples {
	r.mu.Lock()
	defer r.mu.Unlock()
	samples := Samples{}
	for key, values := range r.samples {
		samples[key] = maps.Clone(values)
	}
	return samples
}

// Repeats returns how many samples have arrived again, with the same value.
func (r *Receiver) Repeats() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repeats
}

// Faults compares what has arrived with what must have arrived, and returns what is wrong, sorted: samples that are
// missing, that should not be there or have another value, also those that had one when they first arrived, and requests that were invalid.
func (r *Receiver) Faults(want Samples) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	faults := slices.Clone(r.faults)
	for key, values := range want {
		for at, value := range values {
			if got, ok := r.samples[key][at]; !ok {
				faults = append(faults, fmt.Sprintf("%s at %d is missing", key, at))
			} else if math.Abs(got-value) > 1e-9*math.Abs(value) {
				faults = append(faults, fmt.Sprintf("%s at %d is %v, want %v", key, at, got, value))
			}
		}
	}
	for key, values := range r.samples {
		for at, value := range values {
			if _, ok := want[key][at]; !ok {
				faults = append(faults, fmt.Sprintf("%s at %d is %v, want none", key, at, value))
			}
		}
	}
	slices.Sort(faults)
	return faults
}
