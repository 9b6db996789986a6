package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	past "weixin_exporter/internal/history" // the number of days is called history here
	"weixin_exporter/weixin/datacube"
)

const (
	writeV1 = "prometheus.WriteRequest"
	writeV2 = "io.prometheus.write.v2.Request"
	// daySamples is how many samples a day of an account has: four figures of 24 hours and of the day.
	daySamples = 4*datacube.HoursPerDay + 4
)

// yamlWith returns the fixture's configuration with a history of so many days and with remote write endpoints.
func (w *fixture) yamlWith(days int, endpoints ...string) string {
	text := strings.Replace(w.yaml(w.accounts...), fmt.Sprintf("history: %dd", history), fmt.Sprintf("history: %dd", days), 1)
	if len(endpoints) == 0 {
		return text
	}
	return text + "remote_write:\n  - {" + strings.Join(endpoints, "}\n  - {") + "}\n"
}

// A receiver gets the history, is down while there is more, and has everything after it is up again: each sample
// once and with the right value.
func TestRemoteWriteSurvivesOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, message string
		start         func(t *testing.T) *database
		fallback      bool
		day           string // the range of exactly one day: before Prometheus 3, ranges included their start
	}{
		{"Prometheus 3, 1.0", writeV1, func(t *testing.T) *database { t.Helper(); return prometheusReceiver(t, "PROMETHEUS3", "35d") }, false, "1d"},
		{"Prometheus 3, 2.0", writeV2, func(t *testing.T) *database { t.Helper(); return prometheusReceiver(t, "PROMETHEUS3", "35d") }, false, "1d"},
		{"Prometheus 2, 2.0", writeV2, func(t *testing.T) *database { t.Helper(); return prometheusReceiver(t, "PROMETHEUS", "35d") }, true, "86399s"},
		{"VictoriaMetrics, 1.0", writeV1, victoriaMetrics, false, "1d"},
		{"VictoriaMetrics, 2.0", writeV2, victoriaMetrics, true, "86399s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := c.start(t)
			endpoint := endpointOf(d.write)
			w := newFixture(t, newAccount("shop", 1, 90_000), newAccount(`小店 "2"`, 2, 12))
			entry := fmt.Sprintf("url: %q, protobuf_message: %s, max_samples_per_send: 500", d.write, c.message)
			w.write(t, w.yamlWith(10, entry))
			x := serve(t, w.config, "--web.enable-lifecycle")
			waitSent(t, x, endpoint, 2*10*daySamples, 0)

			d.stop(t)
			w.write(t, w.yamlWith(history, entry))
			if p := x.ask(t, http.MethodPost, "/-/reload"); p.status != http.StatusOK {
				t.Fatalf("reload: %s", mask(p.body))
			}
			x.logged(t, "remote write is failing", "connection refused", endpoint)
			w.waitComplete(t, x.web, w.accounts...)
			d.restart()
			x.logged(t, "remote write has recovered", endpoint)
			waitSent(t, x, endpoint, 2*history*daySamples, 0)

			last := lastDay(t, x, w.accounts...)
			want := w.historyOf(last-history+1, last, w.accounts...)
			eventually(t, "all samples to be visible", func() error {
				if got := d.samples(t).Count(); got < want.Count() {
					return fmt.Errorf("%d samples of %d", got, want.Count())
				}
				return nil
			})
			mustEqual(t, c.name, want, d.samples(t))
			w.checkDaySums(t, d, c.day, last)
			if fallback := strings.Contains(x.stderr.String(), "the receiver does not support remote write 2.0"); fallback != c.fallback {
				t.Errorf("fallback to 1.0: %v, want %v", fallback, c.fallback)
			}
		})
	}
}

// checkDaySums queries the sum of the hours of each day as in the documentation.
func (w *fixture) checkDaySums(t *testing.T, d *database, day string, last datacube.Date) {
	t.Helper()
	first := last - history + 1
	for _, a := range w.accounts {
		rows := d.matrix(t, "/api/v1/query_range",
			"query", fmt.Sprintf("sum_over_time(weixin_history_hourly_callbacks{account=%q}[%s])", a.name, day),
			"start", strconv.FormatInt(first.End().Unix(), 10), "end", strconv.FormatInt(last.End().Unix(), 10), "step", "86400")
		if len(rows) != 1 {
			t.Fatalf("%s: %d series of sums", a.name, len(rows))
		}
		sums := rows[0].values(t)
		for date := first; date <= last; date++ {
			if got, want := sums[date.End().Unix()], w.sim.Day(a.AppID, date).Callbacks; got != float64(want) {
				t.Errorf("%s, %v: the sum of the hours is %v, the day is %d", a.name, date, got, want)
			}
		}
	}
}

// Prometheus 2 responds with 500 to samples that are too old, and stores the others of the request. They are
// given up one by one, and then nothing more is sent.
func TestRemoteWriteGivesUpWhatIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, variable, window string
		days                   int // without a window, each series takes requests with pauses between them
	}{
		{"Prometheus 2 with a window", "PROMETHEUS", "10d", history},
		{"Prometheus 2 without", "PROMETHEUS", "", 3},
		{"Prometheus 3 with a window", "PROMETHEUS3", "10d", history},
		{"Prometheus 3 without", "PROMETHEUS3", "", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := prometheusReceiver(t, c.variable, c.window)
			endpoint := endpointOf(d.write)
			w := newFixture(t, newAccount("shop", 1, 90_000), newAccount("bot", 2, 700))
			w.write(t, w.yamlWith(c.days))
			x := serve(t, w.config, "--web.enable-lifecycle")
			w.waitDays(t, x.web, c.days, w.accounts...)
			other := newReceiver(t)
			w.write(t, w.yamlWith(c.days,
				fmt.Sprintf("url: %q, max_samples_per_send: %d", d.write, min(2000, c.days*daySamples)), // several requests
				fmt.Sprintf("url: %q, protobuf_message: %s", other.URL, writeV2)))
			x.reload(t)
			waitSent(t, x, endpointOf(other.URL), 2*c.days*daySamples, 0)
			waitSent(t, x, endpoint, -1, -1)
			x.logged(t, "level=warn", "samples were given up", "out-of-order window", endpoint)

			last := lastDay(t, x, w.accounts...)
			truth := w.historyOf(last-datacube.Date(c.days)+1, last, w.accounts...)
			mustEqual(t, "the other receiver", truth, other.once(t))
			got := d.samples(t)
			shown := x.metrics(t)
			sent := shown[series("weixin_remote_write_samples_total", "endpoint", endpoint)]
			tooOld := shown[series("weixin_remote_write_samples_failed_total", "endpoint", endpoint, "reason", "too_old")]
			outOfOrder := shown[series("weixin_remote_write_samples_failed_total", "endpoint", endpoint, "reason", "out_of_order")]
			if sent+tooOld+outOfOrder != float64(2*c.days*daySamples) || tooOld == 0 {
				t.Errorf("%v samples sent, %v too old and %v out of order, want %d in total", sent, tooOld, outOfOrder, 2*c.days*daySamples)
			}
			for key, values := range got {
				for at, value := range values {
					if want, ok := truth[key][at]; !ok || !near(want, value) {
						t.Errorf("%s at %d is %v, want %v (exists: %v)", key, at, value, want, ok)
					}
				}
			}
			if c.window == "" {
				return // which samples are accepted depends on their order
			}
			// Exactly the samples outside the window are missing.
			if n := got.Count(); float64(n) != sent {
				t.Errorf("%d samples exist, %v were accepted", n, sent)
			}
			for key, values := range truth {
				for at := range values {
					if _, ok := got[key][at]; ok != (at >= (last - 10).End().Unix()) {
						t.Errorf("%s at %d exists: %v", key, at, ok)
					}
				}
			}
		})
	}
}

// A restart sends no sample again.
func TestRemoteWriteRestart(t *testing.T) {
	t.Parallel()
	l := newReceiver(t)
	w := newFixture(t, newAccount("shop", 1, 90_000), newAccount("bot", 2, 700))
	entry := fmt.Sprintf("url: %q, protobuf_message: %s", l.URL, writeV2)
	w.write(t, w.yamlWith(10, entry))
	x := serve(t, w.config)
	waitSent(t, x, endpointOf(l.URL), 2*10*daySamples, 0)
	x.kill(t)
	w.write(t, w.yamlWith(12, entry))
	x = serve(t, w.config)
	// Only the two new days are sent.
	waitSent(t, x, endpointOf(l.URL), 2*2*daySamples, 0)
	last := lastDay(t, x, w.accounts...)
	mustEqual(t, "after a restart", w.historyOf(last-11, last, w.accounts...), l.once(t))
}

// A receiver that does not respond delays neither another one nor the refresh nor the shutdown.
func TestRemoteWriteSlowReceiver(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(hang)
	fast := newReceiver(t)
	w := newFixture(t, newAccount("shop", 1, 90_000))
	w.write(t, w.yamlWith(history, fmt.Sprintf("url: %q", slow.URL), fmt.Sprintf("url: %q, protobuf_message: %s", fast.URL, writeV2)))
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	waitSent(t, x, endpointOf(fast.URL), history*daySamples, 0)
	if sent, ok := x.metrics(t)[series("weixin_remote_write_samples_total", "endpoint", endpointOf(slow.URL))]; sent != 0 || !ok {
		t.Errorf("the slow receiver accepted %v samples (exists: %v)", sent, ok)
	}
	x.stop(t, 15)
}

// A reload that changes other endpoints does not affect a request in flight.
func TestRemoteWriteDuringReload(t *testing.T) {
	t.Parallel()
	received, released := make(chan struct{}, 1), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	var requests atomic.Int32
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("reading a request: %v", err)
		}
		if n := requests.Add(1); n > 1 {
			t.Errorf("request %d", n)
			return
		}
		received <- struct{}{}
		select {
		case <-released:
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
			t.Error("the request was canceled")
		}
	}))
	defer slow.Close()
	defer release()
	w := newFixture(t, newAccount("shop", 1, 90_000))
	w.write(t, w.yamlWith(10))
	x := serve(t, w.config, "--web.enable-lifecycle")
	eventually(t, "all days to be known", func() error {
		for _, api := range apis() {
			if days := x.metrics(t)[series("weixin_store_known_dates", "account", "shop", "api", api)]; days < 10 {
				return fmt.Errorf("%s: %v days", api, days)
			}
		}
		return nil
	})
	entry := fmt.Sprintf("url: %q, headers: {X-Key: sim-secret-key}, external_labels: {d: a, c: a, b: a, a: a, e: a}, remote_timeout: 5m", slow.URL)
	other := newReceiver(t)
	for i, endpoints := range [][]string{{entry}, {entry, fmt.Sprintf("url: %q", other.URL)}, {entry}} {
		w.write(t, w.yamlWith(10, endpoints...))
		if p := x.ask(t, http.MethodPost, "/-/reload"); p.status != http.StatusOK {
			t.Fatalf("reload: %s", mask(p.body))
		}
		switch i {
		case 0:
			<-received
		case 1:
			waitSent(t, x, endpointOf(other.URL), 10*daySamples, 0)
		default:
			eventually(t, "the other endpoint to be removed", func() error {
				if _, ok := x.metrics(t)[series("weixin_remote_write_samples_total", "endpoint", endpointOf(other.URL))]; ok {
					return errors.New("it exists")
				}
				return nil
			})
		}
	}
	release()
	waitSent(t, x, endpointOf(slow.URL), 10*daySamples, 0)
}

// The demonstration sends its history as well.
func TestRemoteWriteOfDemo(t *testing.T) {
	t.Parallel()
	one, two := newReceiver(t), newReceiver(t)
	withinADay(t)
	x := runExporter(t, "demo", "--remote-write.url="+one.URL, "--remote-write.url="+two.URL+"/write")
	for _, endpoint := range []string{endpointOf(one.URL), endpointOf(two.URL) + "/write"} {
		waitSent(t, x, endpoint, (4*history+quietDays)*daySamples, 0)
	}
	if !strings.Contains(x.stdout.String(), "it is sent to "+endpointOf(one.URL)+", "+endpointOf(two.URL)+"/write.") {
		t.Errorf("stdout is\n%s", mask(x.stdout.String()))
	}
	sent := one.once(t)
	mustEqual(t, "the other receiver", sent, two.once(t))
	shown := x.metrics(t)
	known, _ := demoAccounts()
	for _, name := range known {
		last, ok := dateOf(shown, "daily", account{name: name})
		if !ok {
			t.Fatalf("%s has no latest day", name)
		}
		checkShown(t, shown, sent, name, last)
		// Earlier days are no longer shown; in the simulator, the hours of a day add up to the day.
		hours := sent[series("weixin_history_hourly_callbacks", "account", name)]
		for date := last - history + 1; date <= last; date++ {
			sum := 0.0
			for hour := range datacube.HoursPerDay {
				sum += hours[past.HourTime(date, hour).Unix()]
			}
			if day, ok := sent[series("weixin_history_daily_callbacks", "account", name)][past.DayTime(date).Unix()]; !ok || day != sum || sum == 0 {
				t.Errorf("%s, %v: the sum of the hours is %v, the day is %v (exists: %v)", name, date, sum, day, ok)
			}
		}
	}
	if n := sent.Count(); n != (len(known)*history+quietDays)*daySamples { // the quiet account has zeros
		t.Errorf("%d samples arrived", n)
	}
}

// checkShown compares the samples of an account's latest day with the metrics.
func checkShown(t *testing.T, shown samples, sent map[string]map[int64]float64, name string, last datacube.Date) {
	t.Helper()
	for _, family := range past.Families() {
		gauge := strings.Replace(family.Name, "weixin_history_", "weixin_interface_", 1)
		got := sent[series(family.Name, "account", name)]
		if family.API == datacube.Daily {
			want, ok := shown[series(gauge, "account", name)]
			if value, there := got[past.DayTime(last).Unix()]; !ok || !there || !near(want, value) {
				t.Errorf("%s of %s is %v, want %v (exists: %v)", family.Name, name, value, want, there)
			}
			continue
		}
		for hour := range datacube.HoursPerDay {
			want, ok := shown[series(gauge, "account", name, "hour", fmt.Sprintf("%02d", hour))]
			if value, there := got[past.HourTime(last, hour).Unix()]; !ok || !there || !near(want, value) {
				t.Errorf("%s of %s at %d is %v, want %v (exists: %v)", family.Name, name, hour, value, want, there)
			}
		}
	}
}

// Samples that were given up are sent again on request, by the running exporter and under the same name.
func TestRemoteWriteResend(t *testing.T) {
	t.Parallel()
	var refuses atomic.Bool
	refuses.Store(true)
	l := newReceiver(t)
	target, err := url.Parse(l.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses.Load() {
			http.Error(w, "out of bounds", http.StatusBadRequest)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	w := newFixture(t, newAccount("shop", 1, 90_000), newAccount("bot", 2, 700))
	w.write(t, w.yamlWith(10, fmt.Sprintf("url: %q, name: main", front.URL)))
	x := serve(t, w.config)
	endpoint := endpointOf(front.URL)
	eventually(t, "all samples to be given up", func() error {
		shown := x.metrics(t)
		if lost := shown[series("weixin_remote_write_samples_failed_total", "endpoint", endpoint, "reason", "too_old")]; lost < 2*10*daySamples {
			return fmt.Errorf("%v", lost)
		}
		return nil
	})
	refuses.Store(false)
	last := lastDay(t, x, w.accounts...)
	resend := func(args ...string) finished {
		return finish(t, nil, append([]string{"remote-write", "resend", "--config.file=" + w.config}, args...)...)
	}
	got := resend("--since="+(last-1).String(), "--endpoint=main", "--account=shop")
	if got.code != 0 || got.stdout != "main: to be sent again by the exporter: 2 days of accounts\n" || got.stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, mask(got.stderr))
	}
	waitAccepted(t, x, endpoint, 2*daySamples)
	mustEqual(t, "two days", w.historyOf(last-1, last, w.accounts[0]), l.once(t))
	got = resend("--since="+(last-400).String()+"", "--until="+(last-2).String())
	if got.code != 0 || got.stdout != "main: to be sent again by the exporter: 16 days of accounts\n" || !strings.Contains(got.stderr, "older than max_age") {
		t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, mask(got.stderr))
	}
	waitAccepted(t, x, endpoint, (2+16)*daySamples)
	for _, c := range []struct {
		code int
		text string
		args []string
	}{
		{2, "--endpoint=other: wrong usage: the endpoints of", []string{"--since=2026-01-01", "--endpoint=other"}},
		{2, "--account=other: wrong usage", []string{"--since=2026-01-01", "--account=other"}},
		{2, "it is after the last day", []string{"--since=2026-01-02", "--until=2026-01-01"}},
		{2, "since", nil},
	} {
		if got := resend(c.args...); got.code != c.code || !strings.Contains(got.stderr, c.text) {
			t.Errorf("%q: exit code %d, stderr %q", c.args, got.code, mask(got.stderr))
		}
	}
}

// waitAccepted waits until an endpoint has accepted so many samples and none are pending.
func waitAccepted(t *testing.T, x *exporter, endpoint string, samples int) {
	t.Helper()
	eventually(t, "samples to be sent again", func() error {
		shown := x.metrics(t)
		sent := shown[series("weixin_remote_write_samples_total", "endpoint", endpoint)]
		pending := shown[series("weixin_remote_write_pending_samples", "endpoint", endpoint)]
		if sent != float64(samples) || pending != 0 {
			return fmt.Errorf("%v of %d samples, %v pending", sent, samples, pending)
		}
		return nil
	})
}
