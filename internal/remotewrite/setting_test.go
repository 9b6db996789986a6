package remotewrite_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/remotewrite"
)

// everything refuses all requests.
func everything(status int, body string) func(*request) answer {
	return func(*request) answer { return answer{status: status, body: body} }
}

const tlsPort = "Client sent an HTTP request to an HTTPS server.\n"

// A 400 or 409 that refuses everything is a wrong setting, such as http on a TLS port: few requests follow, nothing is given
// up, and everything is sent once the setting was mended.
func TestWrongSettingGivesNothingUp(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity} {
		for _, before := range []bool{false, true} {
			t.Run(http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				inWorld(t, func(w *world) {
					wrong, right := newReceiver(t), newReceiver(t)
					e := w.endpoint("one", wrong, nil)
					if before { // it was a receiver until now
						w.save(shop, 1, days(31)[0])
						w.start(e)
						w.wait(time.Second)
						w.end()
					}
					wrong.set(everything(status, tlsPort))
					from := len(wrong.got())
					w.save(shop, 1, days(30)...)
					w.save(bot, 1, days(30)...)
					w.start(e)
					w.wait(10 * time.Second)
					most := 1
					if before {
						most = 24 // two times the logarithm of 2000, and two pages
					}
					if got := len(wrong.got()) - from; got > most {
						t.Errorf("%d requests in ten seconds", got)
					}
					w.wait(3 * time.Hour)
					w.mustCount("one", 0, 60*perDay, nil)
					if got := len(wrong.got()) - from; got > most+2*12*3 {
						t.Errorf("%d requests in three hours", got)
					}
					lines := w.log.lines("level=error", "does not get through", "a setting is wrong rather than a sample", "HTTPS server")
					if len(lines) == 0 || len(lines) > 4 {
						t.Errorf("said %d times, want once an hour", len(lines))
					}
					if got := w.log.lines("given up"); len(got) > 0 {
						t.Errorf("logged %q", got)
					}
					mended := w.endpoint("one", right, nil)
					w.group.ApplyConfig([]remotewrite.Endpoint{mended})
					w.wait(time.Minute)
					w.mustHave(right, "shop", 1, days(30)...)
					w.mustHave(right, "bot", 1, days(30)...)
					if got := w.metric("pending_samples", "one", ""); got != 0 {
						t.Errorf("%v samples are pending", got)
					}
				})
			})
		}
	}
}

// The same where the receiver itself is mended.
func TestReceiverThatIsMended(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		r.set(everything(http.StatusBadRequest, "no such tenant"))
		w.save(shop, 1, days(30)...)
		w.save(bot, 1, days(30)...)
		w.start(w.endpoint("one", r, nil))
		w.wait(16 * time.Hour)
		r.set(nil)
		w.wait(10 * time.Minute)
		w.mustHave(r, "shop", 1, days(29)...)
		w.mustHave(r, "bot", 1, days(29)...)
		if got := w.log.lines("gets through again"); len(got) != 1 {
			t.Errorf("logged %q", got)
		}
		for _, reason := range []string{"rejected", "too_old", "out_of_order", "duplicate"} {
			if got := w.metric("samples_failed_total", "one", reason); got != 0 {
				t.Errorf("%v samples were given up as %s", got, reason)
			}
		}
	})
}

// A receiver that begins to refuse everything while a request is cut down loses nothing but the samples at fault.
func TestReceiverThatBreaksWhileCutting(t *testing.T) {
	t.Parallel()
	for from := 2; from < 40; from += 4 {
		inWorld(t, func(w *world) {
			r := newReceiver(t)
			bad := (today - 2).Start().Add(7 * time.Hour).UnixMilli()
			isBad := func(p point) bool {
				return p.time == bad && strings.HasPrefix(p.series, "weixin_history_hourly_callbacks")
			}
			n := 0
			r.set(func(q *request) answer {
				n++
				if n >= from && n < from+40 || slices.ContainsFunc(q.points, isBad) {
					return answer{status: http.StatusBadRequest, body: "no"}
				}
				return answer{status: http.StatusOK}
			})
			w.save(shop, 1, days(3)...)
			w.start(w.endpoint("one", r, nil))
			w.wait(5 * time.Hour)
			w.mustCount("one", 3*perDay-1, 0, map[string]int{"rejected": 1})
		})
	}
}

// Samples that are all refused take few requests at once; the others follow slowly, and each alone.
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
			inWorld(t, func(w *world) {
				r := newReceiver(t)
				r.set(everything(http.StatusBadRequest, body))
				w.save(shop, 1, days(2)...)
				w.start(w.endpoint("one", r, nil))
				w.wait(4 * time.Second)
				if got := len(r.got()); got > 18 {
					t.Errorf("%d requests at once", got)
				}
				w.wait(time.Minute)
				if got := len(r.got()); got > 18+13 {
					t.Errorf("%d requests in a minute", got)
				}
				w.wait(time.Hour)
				w.mustCount("one", 0, 0, map[string]int{c.reason: 2 * perDay})
				if got := len(r.got()); got > c.total {
					t.Errorf("%d requests for %d samples", got, 2*perDay)
				}
			})
		})
	}
}

// An account that is refused whole delays no other one, and is given up only because the others are accepted.
func TestRefusedAccountBesideOthers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		r.set(func(q *request) answer {
			if slices.ContainsFunc(q.points, func(p point) bool { return strings.Contains(p.series, `"shop"`) }) {
				return answer{status: http.StatusBadRequest, body: "this shop is closed"}
			}
			return answer{status: http.StatusOK}
		})
		e := w.endpoint("one", r, nil)
		e.MaxSamples = perDay
		w.save(shop, 1, days(2)...)
		w.save(bot, 1, days(20)...)
		w.start(e)
		w.wait(16 * time.Minute)
		if got := w.metric("samples_total", "one", ""); got != 20*perDay {
			t.Errorf("%v samples were accepted", got)
		}
		w.wait(3 * time.Hour)
		w.mustCount("one", 20*perDay, 0, map[string]int{"rejected": 2 * perDay})
	})
}

// What a receiver takes for samples of the future is a matter of clocks: it is kept, whatever that lasts.
func TestSamplesOfTheFuture(t *testing.T) {
	t.Parallel()
	for body, status := range map[string]int{
		"out of bounds: timestamp is too far in the future\n":                                             http.StatusBadRequest,
		"received a sample whose timestamp is too far in the future (err-mimir-too-far-in-future)":        http.StatusBadRequest,
		"sample for 'weixin_history_daily_callbacks' has timestamp too new: 1":                            http.StatusBadRequest,
		"store locally for endpoint 127.0.0.1:10901: timestamp is too far in the future: conflict":        http.StatusConflict,
		"3 samples are refused: out of bounds; out of bounds: timestamp is too far in the future of 2026": http.StatusUnprocessableEntity,
	} {
		inWorld(t, func(w *world) {
			r := newReceiver(t)
			r.set(everything(status, body))
			w.save(shop, 1, days(2)...)
			w.start(w.endpoint("one", r, nil))
			w.wait(59 * time.Minute)
			w.mustCount("one", 0, 2*perDay, nil)
			if n := len(r.got()); n != 12 {
				t.Errorf("%d requests in an hour, want one in five minutes", n)
			}
			if got := w.log.lines("level=error", "does not get through", "set the clock"); len(got) != 1 {
				t.Errorf("logged %q", got)
			}
			r.set(nil)
			w.wait(6 * time.Minute)
			w.mustHave(r, "shop", 1, days(2)...)
		})
	}
}

// A clock that is a year ahead gives nothing up: max_age goes by the time that is believed.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const year = 365 * 24 * time.Hour
		w.believed = func() time.Time { return time.Now().Add(-year) }
		r := newReceiver(t)
		r.fail(http.ErrServerClosed)
		w.save(shop, 1, days(30)...)
		w.wait(year)
		w.start(w.endpoint("one", r, nil))
		w.wait(time.Hour)
		w.mustCount("one", 0, 30*perDay, nil)
		r.fail(nil)
		w.wait(2 * time.Minute)
		w.mustHave(r, "shop", 1, days(30)...)
		w.mustCount("one", 30*perDay, 0, nil)
	})
}

// What waits is shown within seconds, though the sender waits for an answer, and not as 0 before it was counted.
func TestPendingIsNotZeroWhileSamplesWait(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		s := &broken{Store: w.store, fail: map[string]error{"count": http.ErrServerClosed}}
		w.save(shop, 1, today-1)
		e := w.endpoint("one", hangs{newReceiver(t), nil}, nil)
		w.startOn(s, e)
		w.wait(time.Second)
		if got := w.metric("pending_samples", "one", ""); got != -1 {
			t.Errorf("%v samples are pending, though nobody has counted them", got)
		}
		s.set("count", nil)
		w.wait(16 * time.Second)
		w.mustCount("one", 0, perDay, nil)
		w.save(shop, 1, today-2)
		w.save(bot, 1, today-1)
		w.wait(16 * time.Second) // the request still hangs
		w.mustCount("one", 0, 3*perDay, nil)
	})
	// What becomes known while a page is sent is not taken for what was sent.
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		r.set(func(*request) answer {
			w.save(bot, 1, days(20)...)
			<-time.After(4 * time.Second)
			r.set(func(*request) answer {
				<-time.After(30 * time.Second)
				return answer{status: http.StatusOK}
			})
			return answer{status: http.StatusOK}
		})
		e := w.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Timeout = time.Hour })
		e.MaxSamples = perDay
		w.save(shop, 1, days(1)...)
		w.start(e)
		for range 100 {
			w.wait(time.Second)
			if got := w.metric("pending_samples", "one", ""); got <= 0 {
				t.Fatalf("%v samples are pending", got)
			}
		}
	})
}
