package remotewrite_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weixin_exporter/internal/remotewrite"
)

// What is known is sent once, what becomes known follows within seconds, and a restart sends
// nothing again.
func TestEverySampleOnce(t *testing.T) {
	t.Parallel()
	for _, message := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		t.Run(string(message), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				r := newReceiver(t)
				start := func() {
					w.start(w.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = message }))
				}
				w.save(shop, 1, days(30)...)
				w.save(bot, 1, days(3)...)
				start()
				w.wait(time.Second)
				w.mustHave(r, "shop", 1, days(30)...)
				w.mustHave(r, "bot", 1, days(3)...)
				w.mustCount("one", 33*perDay, 0, nil)
				if at := w.metric("last_success_timestamp_seconds", "one", ""); at != float64(time.Now().Unix()-1) {
					t.Errorf("the last success was at %v", at)
				}

				w.save(bot, 1, today-4)
				w.wait(6 * time.Second)
				w.mustHave(r, "bot", 1, days(4)...)
				before := len(r.got())
				w.end()
				w.store.Close()
				w.open()
				start()
				w.wait(time.Hour)
				if after := len(r.got()); after != before || r.count() != 34*perDay {
					t.Errorf("%d requests before a restart, %d after it, with %d samples", before, after, r.count())
				}
				w.mustCount("one", 0, 0, nil)
				if at := w.metric("last_success_timestamp_seconds", "one", ""); at <= 0 {
					t.Errorf("the last success is forgotten: %v", at)
				}
			})
		})
	}
}

func TestRequestsAreFull(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		e := w.endpoint("one", r, nil)
		e.MaxSamples = 250
		small := w.endpoint("two", newReceiver(t), nil)
		small.MaxSamples = 7
		w.save(shop, 1, days(10)...)
		w.start(e, small)
		w.wait(time.Second)
		w.mustHave(r, "shop", 1, days(10)...)
		if n := len(r.got()); n < 5 || n > 6 {
			t.Errorf("%d requests for 1000 samples, want 5", n)
		}
		for _, q := range r.got() {
			if len(q.points) > 250 {
				t.Errorf("%d samples in a request", len(q.points))
			}
		}
		// A day does not fit into one request, and yet all of it arrives.
		w.mustCount("two", 10*perDay, 0, nil)
		for _, q := range small.Client.HTTPClient.Transport.(*receiver).got() {
			if len(q.points) > 7 {
				t.Errorf("%d samples in a request", len(q.points))
			}
		}
	})
}

func TestRevisedDayIsSentAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		w.save(shop, 1, days(3)...)
		w.start(w.endpoint("one", r, nil))
		w.wait(time.Second)
		w.save(shop, 2, today-2)
		w.wait(10 * time.Second)
		if r.count() != 4*perDay {
			t.Errorf("%d samples arrived, want %d", r.count(), 4*perDay)
		}
		at := (today - 2).End().UnixMilli()
		want := []float64{float64(figuresOf(today-2, 0, 1).Callbacks), float64(figuresOf(today-2, 0, 2).Callbacks)}
		if got := r.values(`weixin_history_daily_callbacks{account="shop"}`, at); !slices.Equal(got, want) {
			t.Errorf("the revised day came as %v, want %v", got, want)
		}
	})
}

func TestExternalLabelsAndHelp(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		e := w.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = remotewrite.V2 })
		e.ExternalLabels = []remotewrite.Label{{Name: "zone", Value: "cn"}, {Name: "Cluster", Value: "a\"b"}, {Name: "empty"}}
		w.save(shop, 1, today-1)
		w.start(e)
		w.wait(time.Second)
		got := r.got()
		if len(got) != 1 || len(got[0].help) != 8 {
			t.Fatalf("%d requests, want one of eight series", len(got))
		}
		const series = `weixin_history_daily_callbacks{Cluster="a\"b",account="shop",zone="cn"}`
		if help := got[0].help[series]; !strings.Contains(help, "callback_count") {
			t.Errorf("%s has the help %q", series, help)
		}
	})
}

// Days that are too old are counted once and passed over.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		w.save(shop, 1, days(40)...)
		w.start(w.endpoint("one", r, nil))
		w.wait(time.Minute)
		w.mustHave(r, "shop", 1, days(30)...)
		w.mustCount("one", 30*perDay, 0, map[string]int{"max_age": 10 * perDay})
		w.save(shop, 1, today-100)
		w.wait(time.Minute)
		w.mustCount("one", 30*perDay, 0, map[string]int{"max_age": 11 * perDay})
		if got := w.log.lines("older than max_age", "samples=1000", "accounts=shop"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
	})
}

// A day is as old as its end, and may be as old as max_age to the instant.
func TestMaxAgeToTheInstant(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				r := newReceiver(t)
				w.save(shop, 1, today-30, today-29)
				w.wait(time.Until((today + 1).Start().Add(late)))
				w.start(w.endpoint("one", r, nil))
				w.wait(time.Second)
				want, old := 2*perDay, 0
				if late > 0 {
					want, old = perDay, perDay
				}
				if r.count() != want {
					t.Errorf("%d samples arrived, want %d", r.count(), want)
				}
				if got := w.metric("samples_failed_total", "one", "max_age"); got != float64(old) {
					t.Errorf("%v samples are too old, want %d", got, old)
				}
			})
		})
	}
}

// A receiver that is away for a month loses what has become too old meanwhile, and nothing else.
func TestOutage(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		r.fail(errors.New("connection refused"))
		w.save(shop, 1, days(30)...)
		e := w.endpoint("one", r, nil)
		e.MaxSamples = 2 * perDay
		w.start(e)
		w.wait(59 * time.Minute)
		w.mustCount("one", 0, 30*perDay, nil)
		// The wait grows to a minute.
		if n := len(r.got()); n < 55 || n > 75 {
			t.Errorf("%d requests in an hour", n)
		}
		if got := w.log.lines("does not get through", "connection refused"); len(got) != 1 {
			t.Errorf("logged %d times, want once an hour", len(got))
		}
		r.fail(nil)
		r.set(func(*request) answer { return answer{status: http.StatusForbidden} })
		w.wait(15*time.Hour + 5*time.Minute)
		w.mustCount("one", 0, 29*perDay, nil)
		w.save(bot, 1, today)
		w.wait(time.Minute)
		w.mustCount("one", 0, 30*perDay, nil)
		r.set(nil)
		w.wait(6 * time.Minute)
		w.mustHave(r, "shop", 1, days(29)...)
		w.mustHave(r, "bot", 1, today)
		w.mustCount("one", 30*perDay, 0, map[string]int{"max_age": perDay})
		if got := w.log.lines("does not get through", "403"); len(got) != 16 {
			t.Errorf("logged %d times, want once an hour", len(got))
		}
		if got := w.log.lines("gets through again"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
		if got := w.log.lines("sim-secret"); len(got) > 0 {
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
		"nothing": {func() string { return "soon" }, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				r := newReceiver(t)
				var times []time.Time
				r.set(func(*request) answer {
					times = append(times, time.Now())
					if len(times) == 1 {
						return answer{status: http.StatusTooManyRequests, header: map[string]string{"Retry-After": c.header()}}
					}
					return answer{status: http.StatusOK}
				})
				w.save(shop, 1, today-1)
				w.start(w.endpoint("one", r, nil))
				w.wait(2 * time.Hour)
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

// Nothing is given up where only a setting is wrong.
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
			inWorld(t, func(w *world) {
				r := newReceiver(t)
				r.set(func(*request) answer { return answer{status: c.status, body: c.body} })
				w.save(shop, 1, days(2)...)
				w.start(w.endpoint("one", r, nil))
				w.wait(59 * time.Minute)
				w.mustCount("one", 0, 2*perDay, nil)
				if n := len(r.got()); n != 12 {
					t.Errorf("%d requests in an hour, want one in five minutes", n)
				}
				if got := w.log.lines("level=error", "remote_write", strings.ReplaceAll(c.body, `"`, `\"`)); len(got) != 1 {
					t.Errorf("logged %d times, want once in an hour", len(got))
				}
				r.set(nil)
				w.wait(6 * time.Minute)
				w.mustHave(r, "shop", 1, days(2)...)
			})
		})
	}
}

// A receiver that does not answer holds up no other one.
func TestSlowEndpointBesideFastOne(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		slow, fast := newReceiver(t), newReceiver(t)
		slow.set(func(*request) answer {
			<-time.After(20 * time.Second)
			return answer{status: http.StatusOK}
		})
		w.save(shop, 1, days(30)...)
		w.start(w.endpoint("slow", slow, nil), w.endpoint("fast", fast, nil))
		w.wait(time.Second)
		w.mustHave(fast, "shop", 1, days(30)...)
		w.mustCount("slow", 0, 30*perDay, nil)
		w.wait(41 * time.Second)
		w.mustHave(slow, "shop", 1, days(30)...)
	})
}

// Ending does not wait for a receiver; what it did not acknowledge is sent again.
func TestStopInTheMiddle(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		hanging := make(chan struct{})
		blocked := hangs{r, hanging}
		w.save(shop, 1, days(2)...)
		w.start(w.endpoint("one", blocked, nil))
		w.wait(time.Second)
		begin := time.Now()
		w.end()
		if took := time.Since(begin); took > 0 {
			t.Errorf("ending took %v", took)
		}
		w.start(w.endpoint("one", r, nil))
		w.wait(time.Second)
		w.mustHave(r, "shop", 1, days(2)...)
	})
}

// hangs answers no request until its context ends.
type hangs struct {
	*receiver
	never chan struct{}
}

func (h hangs) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-h.never:
		return nil, io.EOF
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.save(shop, 1, today-1)
		w.start(w.endpoint("one", hangs{newReceiver(t), nil}, nil))
		w.wait(31 * time.Second)
		if got := w.log.lines("no answer within 30s"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
		w.mustCount("one", 0, perDay, nil)
	})
}

func TestMetricsLint(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.start(w.endpoint("one", newReceiver(t), nil))
		w.wait(time.Second)
		w.mustCount("one", 0, 0, nil)
		if at := w.metric("last_success_timestamp_seconds", "one", ""); at != 0 {
			t.Errorf("the last success was at %v", at)
		}
		problems, err := testutil.GatherAndLint(w.registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("%v: %v", problems, err)
		}
		if _, err := remotewrite.NewMetrics(w.registry); err == nil {
			t.Error("registering twice is no error")
		}
	})
}
