package remotewrite_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// discard accepts every request.
type discard struct{}

func (discard) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	header := http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"1"}}
	return &http.Response{StatusCode: http.StatusNoContent, Header: header, Body: http.NoBody, Request: r}, err
}

func benchClient(message remotewrite.Message) *remotewrite.Client {
	return remotewrite.NewClient(remotewrite.ClientOptions{
		URL: secret.NewURL("http://receiver.test/write"), HTTPClient: &http.Client{Transport: discard{}}, Timeout: time.Minute,
		Message: message, UserAgent: "bench", Now: time.Now, Logger: log.NewNopLogger(),
	})
}

// BenchmarkRequest encodes requests of 2000 samples, those of one day of 20 accounts, and sends them to a transport that
// discards them.
func BenchmarkRequest(b *testing.B) {
	for _, message := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		b.Run(string(message), func(b *testing.B) {
			client := benchClient(message)
			var samples []remotewrite.Sample
			for account := range 20 {
				for _, family := range history.Families() {
					series := remotewrite.NewSeries(family.Name, remotewrite.Metadata{Type: remotewrite.Gauge, Help: family.Help},
						remotewrite.Label{Name: history.AccountLabel, Value: fmt.Sprintf("account-%d", account)})
					hours := datacube.HoursPerDay
					if family.API == datacube.Daily {
						hours = 1
					}
					for hour := range hours {
						samples = append(samples, remotewrite.Sample{
							Series: series, Time: history.HourTime(today, hour).UnixMilli(), Value: family.Value(figuresOf(today, hour, 1)),
						})
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if answer := client.Send(b.Context(), samples); answer.Outcome != remotewrite.Accepted {
					b.Fatal(answer.Text)
				}
			}
			b.ReportMetric(float64(len(samples)*b.N)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}

// BenchmarkDay reads a new day of 1,000 accounts from a store in a file, and marks it as delivered.
func BenchmarkDay(b *testing.B) {
	const accounts = 1000
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for date := today - 30; date < today; date++ {
		var records []store.Record
		for i := range accounts {
			state := store.State{Status: store.Known, AskedAt: date.End(), KnownAt: date.End()}
			day := figuresOf(date, 0, 1)
			var hours datacube.Hours
			for hour := range hours {
				hours[hour] = figuresOf(date, hour, 1)
			}
			appID := fmt.Sprintf("wx%d", i)
			records = append(records, store.Record{AppID: appID, API: datacube.Daily, Date: date, State: state, Daily: &day},
				store.Record{AppID: appID, API: datacube.Hourly, Date: date, State: state, Hourly: &hours})
		}
		if _, err := s.Save(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	samples := 0
	round := 0
	for b.Loop() {
		round++
		endpoint := strconv.Itoa(round)
		queue, err := s.Undelivered(b.Context(), endpoint)
		if err != nil {
			b.Fatal(err)
		}
		for len(queue) > 0 {
			// All days but the last are too old here.
			pending, err := s.ReadPending(b.Context(), endpoint, today-1, 2000, queue[:min(len(queue), 500)]...)
			if err != nil {
				b.Fatal(err)
			}
			for _, d := range pending {
				samples += 96*len(d.Hourly) + 4*len(d.Daily)
			}
			if err := s.MarkDelivered(b.Context(), endpoint, today.End(), pending...); err != nil {
				b.Fatal(err)
			}
			queue = queue[len(pending):]
		}
	}
	if samples != accounts*perDay*round {
		b.Errorf("%d samples in %d rounds", samples, round)
	}
	b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "samples/s")
}
