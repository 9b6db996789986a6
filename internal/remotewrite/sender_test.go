package remotewrite_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weixin_exporter/internal/remotewrite"
)

// Every sample is sent once, new ones follow within seconds, and a restart sends nothing again.
func TestEverySampleOnce(t *testing.T) {
	t.Parallel()
	for _, message := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		t.Run(string(message), func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				start := func() {
					f.start(f.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = message }))
				}
				f.save(shop, 1, days(30)...)
				f.save(bot, 1, days(3)...)
				start()
				f.wait(time.Second)
				f.mustHave(r, "shop", 1, days(30)...)
				f.mustHave(r, "bot", 1, days(3)...)
				f.mustCount("one", 33*perDay, 0, nil)
				if at := f.metric("last_success_timestamp_seconds", "one", ""); at != float64(time.Now().Unix()-1) {
					t.Errorf("the last success was at %v", at)
				}

				f.save(bot, 1, today-4)
				f.wait(6 * time.Second)
				f.mustHave(r, "bot", 1, days(4)...)
				before := len(r.got())
				f.end()
				f.store.Close()
				f.open()
				start()
				f.wait(time.Hour)
				if after := len(r.got()); after != before || r.count() != 34*perDay {
					t.Errorf("%d requests before a restart, %d after it, with %d samples", before, after, r.count())
				}
				f.mustCount("one", 0, 0, nil)
				if at := f.metric("last_success_timestamp_seconds", "one", ""); at <= 0 {
					t.Errorf("the last success is lost: %v", at)
				}
			})
		})
	}
}

func TestRequestsAreFull(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		e := f.endpoint("one", r, nil)
		e.MaxSamples = 250
		small := f.endpoint("two", newReceiver(t), nil)
		small.MaxSamples = 7
		f.save(shop, 1, days(10)...)
		f.start(e, small)
		f.wait(time.Second)
		f.mustHave(r, "shop", 1, days(10)...)
		if n := len(r.got()); n < 5 || n > 6 {
			t.Errorf("%d requests for 1000 samples, want 5", n)
		}
		for _, q := range r.got() {
			if len(q.points) > 250 {
				t.Errorf("%d samples in a request", len(q.points))
			}
		}
		// A day that does not fit into one request still arrives as a whole.
		f.mustCount("two", 10*perDay, 0, nil)
		for _, q := range small.Client.HTTPClient.Transport.(*receiver).got() {
			if len(q.points) > 7 {
				t.Errorf("%d samples in a request", len(q.points))
			}
		}
	})
}

func TestRevisedDayIsSentAgain(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		f.save(shop, 1, days(3)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(time.Second)
		f.save(shop, 2, today-2)
		f.wait(10 * time.Second)
		if r.count() != 4*perDay {
			t.Errorf("%d samples arrived, want %d", r.count(), 4*perDay)
		}
		at := (today - 2).End().UnixMilli()
		want := []float64{float64(figuresOf(today-2, 0, 1).Callbacks), float64(figuresOf(today-2, 0, 2).Callbacks)}
		if got := r.values(`weixin_history_daily_callbacks{account="shop"}`, at); !slices.Equal(got, want) {
			t.Errorf("the revised day arrived as %v, want %v", got, want)
		}
	})
}

func TestExternalLabelsAndHelp(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		e := f.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = remotewrite.V2 })
		e.ExternalLabels = []remotewrite.Label{{Name: "zone", Value: "cn"}, {Name: "Cluster", Value: "a\"b"}, {Name: "empty"}}
		f.save(shop, 1, today-1)
		f.start(e)
		f.wait(time.Second)
		got := r.got()
		if len(got) != 1 || len(got[0].series) != 8 {
			t.Fatalf("%d requests, want one with eight series", len(got))
		}
		for _, s := range got[0].series {
			if s.Type != writev2.Metadata_METRIC_TYPE_GAUGE {
				t.Errorf("%s has the type %v", s, s.Type)
			}
			if s.String() == `weixin_history_daily_callbacks{Cluster="a\"b",account="shop",zone="cn"}` && strings.Contains(s.Help, "callback_count") {
				return
			}
		}
		t.Errorf("the series are %v", got[0].series)
	})
}

// Days that are too old are counted once and not sent.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		f.save(shop, 1, days(40)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(time.Minute)
		f.mustHave(r, "shop", 1, days(30)...)
		f.mustCount("one", 30*perDay, 0, map[string]int{"max_age": 10 * perDay})
		f.save(shop, 1, today-100)
		f.wait(time.Minute)
		f.mustCount("one", 30*perDay, 0, map[string]int{"max_age": 11 * perDay})
		if got := f.log.Lines("older than max_age", "samples=1000", "accounts=shop"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
	})
}

// A day is as old as its end, and it is sent if that is exactly max_age.
func TestMaxAgeIsExact(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				f.save(shop, 1, today-30, today-29)
				f.wait(time.Until((today + 1).Start().Add(late)))
				f.start(f.endpoint("one", r, nil))
				f.wait(time.Second)
				want, old := 2*perDay, 0
				if late > 0 {
					want, old = perDay, perDay
				}
				if r.count() != want {
					t.Errorf("%d samples arrived, want %d", r.count(), want)
				}
				if got := f.metric("samples_failed_total", "one", "max_age"); got != float64(old) {
					t.Errorf("%v samples are too old, want %d", got, old)
				}
			})
		})
	}
}

// A receiver that is down for a while loses the samples that become too old in the meantime, and nothing else.
func TestOutage(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		r.fail(errors.New("connection refused"))
		f.save(shop, 1, days(30)...)
		e := f.endpoint("one", r, nil)
		e.MaxSamples = 2 * perDay
		f.start(e)
		f.wait(59 * time.Minute)
		f.mustCount("one", 0, 30*perDay, nil)
		// The wait grows to a minute.
		if n := len(r.got()); n < 55 || n > 75 {
			t.Errorf("%d requests in an hour", n)
		}
		if got := f.log.Lines("remote write is failing", "connection refused"); len(got) != 1 {
			t.Errorf("logged %d times, want once an hour", len(got))
		}
		r.fail(nil)
		r.set(func(*request) response { return response{status: http.StatusForbidden} })
		f.wait(15*time.Hour + 5*time.Minute)
		f.mustCount("one", 0, 29*perDay, nil)
		f.save(bot, 1, today)
		f.wait(time.Minute)
		f.mustCount("one", 0, 30*perDay, nil)
		r.set(nil)
		f.wait(6 * time.Minute)
		f.mustHave(r, "shop", 1, days(29)...)
		f.mustHave(r, "bot", 1, today)
		f.mustCount("one", 30*perDay, 0, map[string]int{"max_age": perDay})
		if got := f.log.Lines("remote write is failing", "403"); len(got) != 16 {
			t.Errorf("logged %d times, want once an hour", len(got))
		}
		if got := f.log.Lines("remote write has recovered"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
		if got := f.log.Lines("sim-secret"); len(got) > 0 {
			t.Error("a secret is in the log")
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header func() string
		wait   time.Duration
	}{
		"seconds": {func() string { return "600" }, 10 * time.Minute},
		"time":    {func() string { return time.Now().Add(20 * time.Minute).UTC().Format(http.TimeFormat) }, 20 * time.Minute},
		"absurd":  {func() string { return "99999999999" }, time.Hour},
		"invalid": {func() string { return "soon" }, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				var times []time.Time
				r.set(func(*request) response {
					times = append(times, time.Now())
					if len(times) == 1 {
						return response{status: http.StatusTooManyRequests, header: map[string]string{"Retry-After": c.header()}}
					}
					return response{status: http.StatusOK}
				})
				f.save(shop, 1, today-1)
				f.start(f.endpoint("one", r, nil))
				f.wait(2 * time.Hour)
				if len(times) != 2 {
					t.Fatalf("%d requests, want 2", len(times))
				}
				if wait := times[1].Sub(times[0]); wait < c.wait*9/10 || wait > c.wait*11/10 {
					t.Errorf("waited %v, want %v", wait, c.wait)
				}
			})
		})
	}
}

// Nothing is given up if a setting is wrong.
func TestUnusableReceiver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
	}{
		{http.StatusUnauthorized, "who are you"},
		{http.StatusForbidden, ""},
		{http.StatusNotFound, "404 page not found"},
		{http.StatusUnsupportedMediaType, ""},
		{http.StatusBadRequest, `unsupported path requested: "/write"`},
	} {
		t.Run(http.StatusText(c.status), func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				f.mustKeepAll(refuseAll(c.status, c.body), "remote_write", strings.ReplaceAll(c.body, `"`, `\"`))
			})
		})
	}
}

// mustKeepAll fails unless nothing is given up while a receiver has these responses, few requests are sent, and the problem
// is logged once an hour with the given texts.
func (f *fixture) mustKeepAll(decide func(*request) response, texts ...string) {
	f.t.Helper()
	r := newReceiver(f.t)
	r.set(decide)
	f.save(shop, 1, days(2)...)
	f.start(f.endpoint("one", r, nil))
	f.wait(59 * time.Minute)
	f.mustCount("one", 0, 2*perDay, nil)
	if n := len(r.got()); n != 12 {
		f.t.Errorf("%d requests in an hour, want one in five minutes", n)
	}
	if got := f.log.Lines(append(texts, "level=error", "remote write is failing")...); len(got) != 1 {
		f.t.Errorf("logged %q, want one line an hour", got)
	}
	r.set(nil)
	f.wait(6 * time.Minute)
	f.mustHave(r, "shop", 1, days(2)...)
}

// A receiver that does not respond does not delay another one.
func TestSlowEndpointBesideFastOne(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		slow, fast := newReceiver(t), newReceiver(t)
		slow.set(func(*request) response {
			<-time.After(20 * time.Second)
			return response{status: http.StatusOK}
		})
		f.save(shop, 1, days(30)...)
		f.start(f.endpoint("slow", slow, nil), f.endpoint("fast", fast, nil))
		f.wait(time.Second)
		f.mustHave(fast, "shop", 1, days(30)...)
		f.mustCount("slow", 0, 30*perDay, nil)
		f.wait(41 * time.Second)
		f.mustHave(slow, "shop", 1, days(30)...)
	})
}

// Stopping does not wait for a receiver. What it did not acknowledge is sent again.
func TestStopDuringARequest(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		hanging := make(chan struct{})
		blocked := hangingReceiver{r, hanging}
		f.save(shop, 1, days(2)...)
		f.start(f.endpoint("one", blocked, nil))
		f.wait(time.Second)
		begin := time.Now()
		f.end()
		if took := time.Since(begin); took > 0 {
			t.Errorf("stopping took %v", took)
		}
		f.start(f.endpoint("one", r, nil))
		f.wait(time.Second)
		f.mustHave(r, "shop", 1, days(2)...)
	})
}

// hangingReceiver does not respond until the context of a request ends.
type hangingReceiver struct {
	*receiver
	never chan struct{}
}

func (h hangingReceiver) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-h.never:
		return nil, io.EOF
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		f.save(shop, 1, today-1)
		f.start(f.endpoint("one", hangingReceiver{newReceiver(t), nil}, nil))
		f.wait(31 * time.Second)
		if got := f.log.Lines("no response within 30s"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
		f.mustCount("one", 0, perDay, nil)
	})
}

func TestMetricsLint(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		f.start(f.endpoint("one", newReceiver(t), nil))
		f.wait(time.Second)
		f.mustCount("one", 0, 0, nil)
		if at := f.metric("last_success_timestamp_seconds", "one", ""); at != 0 {
			t.Errorf("the last success was at %v", at)
		}
		problems, err := testutil.GatherAndLint(f.registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("%v: %v", problems, err)
		}
		if _, err := remotewrite.NewMetrics(f.registry); err == nil {
			t.Error("registering twice is not an error")
		}
	})
}
