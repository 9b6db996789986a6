package remotewrite_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/remotewrite"
)

// refuseAll refuses all requests.
func refuseAll(status int, body string) func(*request) response {
	return func(*request) response { return response{status: status, body: body} }
}

const tlsPort = "Client sent an HTTP request to an HTTPS server.\n"

// A 400, 409 or 422 for everything means that a setting is wrong, such as http on a TLS port: few requests follow, nothing
// is given up, and everything is sent once the setting is corrected.
func TestWrongSettingGivesNothingUp(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity} {
		for _, before := range []bool{false, true} {
			t.Run(http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				withFixture(t, func(f *fixture) {
					wrong, right := newReceiver(t), newReceiver(t)
					e := f.endpoint("one", wrong, nil)
					if before { // it accepted samples until now
						f.save(shop, 1, days(31)[0])
						f.start(e)
						f.wait(time.Second)
						f.end()
					}
					wrong.set(refuseAll(status, tlsPort))
					from := len(wrong.got())
					f.save(shop, 1, days(30)...)
					f.save(bot, 1, days(30)...)
					f.start(e)
					f.wait(10 * time.Second)
					most := 1
					if before {
						most = 24 // twice the binary logarithm of 2000, and two batches
					}
					if got := len(wrong.got()) - from; got > most {
						t.Errorf("%d requests in ten seconds", got)
					}
					f.wait(3 * time.Hour)
					f.mustCount("one", 0, 60*perDay, nil)
					if got := len(wrong.got()) - from; got > most+2*12*3 {
						t.Errorf("%d requests in three hours", got)
					}
					lines := f.log.Lines("level=error", "remote write is failing", "a setting is wrong rather than a sample", "HTTPS server")
					if len(lines) == 0 || len(lines) > 4 {
						t.Errorf("logged %d times, want once an hour", len(lines))
					}
					if got := f.log.Lines("given up"); len(got) > 0 {
						t.Errorf("logged %q", got)
					}
					corrected := f.endpoint("one", right, nil)
					f.group.ApplyConfig([]remotewrite.Endpoint{corrected})
					f.wait(time.Minute)
					f.mustHave(right, "shop", 1, days(30)...)
					f.mustHave(right, "bot", 1, days(30)...)
					if got := f.metric("pending_samples", "one", ""); got != 0 {
						t.Errorf("%v samples are pending", got)
					}
				})
			})
		}
	}
}

// The same if the receiver itself is corrected.
func TestReceiverThatRecovers(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		r.set(refuseAll(http.StatusBadRequest, "no such tenant"))
		f.save(shop, 1, days(30)...)
		f.save(bot, 1, days(30)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(16 * time.Hour)
		r.set(nil)
		f.wait(10 * time.Minute)
		f.mustHave(r, "shop", 1, days(29)...)
		f.mustHave(r, "bot", 1, days(29)...)
		if got := f.log.Lines("remote write has recovered"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
		for _, reason := range []string{"rejected", "too_old", "out_of_order", "duplicate"} {
			if got := f.metric("samples_failed_total", "one", reason); got != 0 {
				t.Errorf("%v samples were given up as %s", got, reason)
			}
		}
	})
}

// A receiver that starts to refuse everything during a bisection loses only the samples at fault.
func TestReceiverThatBreaksDuringBisection(t *testing.T) {
	t.Parallel()
	for from := 2; from < 40; from += 4 {
		withFixture(t, func(f *fixture) {
			r := newReceiver(t)
			bad := (today - 2).Start().Add(7 * time.Hour).UnixMilli()
			isBad := func(p point) bool {
				return p.time == bad && strings.HasPrefix(p.series, "weixin_history_hourly_callbacks")
			}
			n := 0
			r.set(func(q *request) response {
				n++
				if n >= from && n < from+40 || slices.ContainsFunc(q.points, isBad) {
					return response{status: http.StatusBadRequest, body: "no"}
				}
				return response{status: http.StatusOK}
			})
			f.save(shop, 1, days(3)...)
			f.start(f.endpoint("one", r, nil))
			f.wait(5 * time.Hour)
			f.mustCount("one", 3*perDay-1, 0, map[string]int{"rejected": 1})
		})
	}
}

// If all samples are refused, few requests follow at once. The others follow slowly, with one sample each.
func TestAllRefused(t *testing.T) {
	t.Parallel()
	for body, c := range map[string]struct {
		reason string
		total  int
	}{
		"duplicate sample for timestamp": {"duplicate", 2*perDay + 12},
		"out of order sample":            {"out_of_order", 2*perDay + 12},
		"too old sample":                 {"too_old", 30},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				r.set(refuseAll(http.StatusBadRequest, body))
				f.save(shop, 1, days(2)...)
				f.start(f.endpoint("one", r, nil))
				f.wait(4 * time.Second)
				if got := len(r.got()); got > 18 {
					t.Errorf("%d requests at once", got)
				}
				f.wait(time.Minute)
				if got := len(r.got()); got > 18+13 {
					t.Errorf("%d requests in a minute", got)
				}
				f.wait(time.Hour)
				f.mustCount("one", 0, 0, map[string]int{c.reason: 2 * perDay})
				if got := len(r.got()); got > c.total {
					t.Errorf("%d requests for %d samples", got, 2*perDay)
				}
			})
		})
	}
}

// An account whose samples are all refused does not delay others, and is given up only because others are accepted.
func TestRefusedAccountBesideOthers(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		r.set(func(q *request) response {
			if slices.ContainsFunc(q.points, func(p point) bool { return strings.Contains(p.series, `"shop"`) }) {
				return response{status: http.StatusBadRequest, body: "this shop is closed"}
			}
			return response{status: http.StatusOK}
		})
		e := f.endpoint("one", r, nil)
		e.MaxSamples = perDay
		f.save(shop, 1, days(2)...)
		f.save(bot, 1, days(20)...)
		f.start(e)
		f.wait(16 * time.Minute)
		if got := f.metric("samples_total", "one", ""); got != 20*perDay {
			t.Errorf("%v samples were accepted", got)
		}
		f.wait(3 * time.Hour)
		f.mustCount("one", 20*perDay, 0, map[string]int{"rejected": 2 * perDay})
	})
}

// Samples that a receiver takes to be in the future are a matter of clocks: they are kept, however long that lasts.
func TestSamplesOfTheFuture(t *testing.T) {
	t.Parallel()
	for body, status := range map[string]int{
		"out of bounds: timestamp is too far in the future\n":                                             http.StatusBadRequest,
		"received a sample whose timestamp is too far in the future (err-mimir-too-far-in-future)":        http.StatusBadRequest,
		"sample for 'weixin_history_daily_callbacks' has timestamp too new: 1":                            http.StatusBadRequest,
		"store locally for endpoint 127.0.0.1:10901: timestamp is too far in the future: conflict":        http.StatusConflict,
		"3 samples are refused: out of bounds; out of bounds: timestamp is too far in the future of 2026": http.StatusUnprocessableEntity,
	} {
		withFixture(t, func(f *fixture) {
			f.mustKeepAll(refuseAll(status, body), "set the clock")
		})
	}
}

// A clock that is a year ahead, the host's or that of Weixin's responses, does not give anything up: max_age uses the earlier one.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for name, trusted := range map[string]time.Duration{"host": -year, "responses": year} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				f.trustedNow = func() time.Time { return time.Now().Add(trusted) }
				r := newReceiver(t)
				r.fail(http.ErrServerClosed)
				f.save(shop, 1, days(30)...)
				f.wait(max(0, -trusted))
				f.start(f.endpoint("one", r, nil))
				f.wait(time.Hour)
				f.mustCount("one", 0, 30*perDay, nil)
				r.fail(nil)
				f.wait(2 * time.Minute)
				f.mustHave(r, "shop", 1, days(30)...)
				f.mustCount("one", 30*perDay, 0, nil)
			})
		})
	}
}

// The number of pending samples is shown within seconds while the sender waits for a response, and not as 0 before it
// is known.
func TestPendingIsNotZeroWhileSamplesWait(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		s := &failingStore{Store: f.store, fail: map[string]error{"count": http.ErrServerClosed}}
		f.save(shop, 1, today-1)
		e := f.endpoint("one", hangingReceiver{newReceiver(t), nil}, nil)
		f.startOn(s, e)
		f.wait(time.Second)
		if got := f.metric("pending_samples", "one", ""); got != -1 {
			t.Errorf("%v samples are pending, although they were not counted", got)
		}
		s.set("count", nil)
		f.wait(16 * time.Second)
		f.mustCount("one", 0, perDay, nil)
		f.save(shop, 1, today-2)
		f.save(bot, 1, today-1)
		f.wait(16 * time.Second) // the request still hangs
		f.mustCount("one", 0, 3*perDay, nil)
	})
	// Samples saved while a batch is sent do not count as sent.
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		r.set(func(*request) response {
			f.save(bot, 1, days(20)...)
			<-time.After(4 * time.Second)
			r.set(func(*request) response {
				<-time.After(30 * time.Second)
				return response{status: http.StatusOK}
			})
			return response{status: http.StatusOK}
		})
		e := f.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Timeout = time.Hour })
		e.MaxSamples = perDay
		f.save(shop, 1, days(1)...)
		f.start(e)
		for range 100 {
			f.wait(time.Second)
			if got := f.metric("pending_samples", "one", ""); got <= 0 {
				t.Fatalf("%v samples are pending", got)
			}
		}
	})
}
