package remotewrite_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-kit/log"

	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// A receiver may refuse any set of samples, for any reason that does not depend on their age, and store
// the others of a refused request or not: exactly these samples are given up, and all others arrive. If it
// accepts nothing, nothing is given up.
func TestRefusedSamplesAreIsolated(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				random := rand.New(rand.NewPCG(seed, 5))
				share := []float64{0, 0.001, 0.02, 0.3, 0.9, 1}[seed%6]
				partial := seed >= 6
				bad := map[string]bool{}
				good := map[string]bool{}
				r := newReceiver(t)
				id := func(p point) string { return fmt.Sprint(p.series, p.time) }
				refuses := func(p point) bool {
					if !bad[id(p)] && !good[id(p)] {
						if random.Float64() < share {
							bad[id(p)] = true
						} else {
							good[id(p)] = true
						}
					}
					return bad[id(p)]
				}
				r.decide = func(q *request) response {
					for _, p := range q.points {
						refuses(p)
					}
					if slices.ContainsFunc(q.points, refuses) {
						return response{status: http.StatusBadRequest, body: "not accepted"}
					}
					return response{status: http.StatusOK}
				}
				r.stored = func(q *request, a response) []point {
					if a.status == http.StatusOK || partial {
						return slices.DeleteFunc(slices.Clone(q.points), refuses)
					}
					return nil
				}
				f.save(shop, 1, days(3)...)
				f.save(bot, 1, today-1)
				f.start(f.endpoint("one", r, nil))
				f.wait(4 * time.Hour)

				arrived := map[string]bool{}
				for series, times := range r.has {
					for at := range times {
						arrived[id(point{series: series, time: at})] = true
					}
				}
				if !maps.Equal(arrived, good) || len(good)+len(bad) != 4*perDay {
					t.Errorf("%d samples arrived, want %d", len(arrived), len(good))
				}
				before := len(r.got())
				if len(good) == 0 {
					f.mustCount("one", 0, len(bad), nil)
					if before > 1+2*12*4 { // two in five minutes
						t.Errorf("%d requests in four hours", before)
					}
					return
				}
				f.mustCount("one", len(good), 0, map[string]int{"rejected": len(bad)})
				f.wait(time.Hour)
				if after := len(r.got()); after != before {
					t.Errorf("%d more requests", after-before)
				}
				// Without a sample at fault, there is one request for 2000 samples; each one at fault takes a few more.
				if most := 1 + 24*len(bad); before > most {
					t.Errorf("%d requests for %d samples at fault", before, len(bad))
				}
			})
		})
	}
}

// tsdb behaves like Prometheus' database: samples before a window are too old, and the others of such a request may
// be stored or not.
func tsdb(oldest time.Time, partial bool, status int) (func(*request) response, func(*request, response) []point) {
	tooOld := func(p point) bool { return p.time < oldest.UnixMilli() }
	decide := func(q *request) response {
		if slices.ContainsFunc(q.points, tooOld) {
			return response{status: status, body: "too old sample\n"}
		}
		return response{status: http.StatusNoContent}
	}
	stored := func(q *request, a response) []point {
		if a.status/100 == 2 || partial {
			return slices.DeleteFunc(slices.Clone(q.points), tooOld)
		}
		return nil
	}
	return decide, stored
}

// Samples that are too old are found with few requests, since the receiver compares times.
func TestTooOldSamples(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		partial bool
	}{{400, true}, {400, false}, {500, true}, {422, false}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				// Of the day before the window, only the last hour and the daily sample are accepted.
				r.decide, r.stored = tsdb((today - 10).Start(), c.partial, c.status)
				f.save(shop, 1, days(30)...)
				f.start(f.endpoint("one", r, nil))
				f.wait(time.Minute)
				const good, bad = 10*perDay + 8, 20*perDay - 8
				f.mustCount("one", good, 0, map[string]int{"too_old": bad})
				if c.partial == (r.count() == good) { // with partial writes, some arrive twice
					t.Errorf("%d samples arrived", r.count())
				}
				if n := len(r.got()); n > 60 {
					t.Errorf("%d requests", n)
				}
				lines := f.log.Lines("level=warn", "given up", "reason=too_old")
				if len(lines) != 1 {
					t.Fatalf("logged %q", lines)
				}
				for _, part := range []string{
					fmt.Sprintf("samples=%d", bad), "accounts=shop", "from=" + (today - 30).String(), "until=" + (today - 11).String(),
					"too old sample", "out-of-order window",
				} {
					if !strings.Contains(lines[0], part) {
						t.Errorf("%q is missing in %s", part, lines[0])
					}
				}
			})
		})
	}
}

// A receiver that accepts the samples of a series only in order, and a request as a whole or not at all, gets
// every sample that it can accept.
func TestOutOfOrderSamples(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		last := map[string]int64{}
		bound := (today - 2).Start().Add(5 * time.Hour).UnixMilli()
		r.decide = func(q *request) response {
			latest := maps.Clone(last)
			for _, p := range q.points {
				if p.time <= max(latest[p.series], bound) {
					return response{status: http.StatusBadRequest, body: "err-mimir-sample-out-of-order: the sample is out of order"}
				}
				latest[p.series] = p.time
			}
			last = latest
			return response{status: http.StatusOK}
		}
		f.save(shop, 1, days(4)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(time.Hour)
		// Two days and five hours are out of order, and the daily samples of two days, with four figures each.
		const bad = 4*(2*24+5) + 4*2
		f.mustCount("one", 4*perDay-bad, 0, map[string]int{"out_of_order": bad})
		if r.count() != 4*perDay-bad {
			t.Errorf("%d samples arrived", r.count())
		}
	})
}

// A receiver that slows the sender down during a bisection does not restart it.
func TestBisectionGoesOn(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		n := 0
		r.set(func(q *request) response {
			n++
			switch {
			case n%3 == 0:
				return response{status: http.StatusTooManyRequests, header: map[string]string{"Retry-After": "30"}}
			case n%7 == 0:
				return response{status: http.StatusBadGateway}
			case slices.ContainsFunc(q.points, func(p point) bool { return p.time == (today - 1).Start().Add(time.Hour).UnixMilli() }):
				return response{status: http.StatusBadRequest, body: "duplicate sample for timestamp"}
			}
			return response{status: http.StatusOK}
		})
		f.save(shop, 1, days(2)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(2 * time.Hour)
		f.mustCount("one", 2*perDay-4, 0, map[string]int{"duplicate": 4})
		if n > 200 {
			t.Errorf("%d requests", n)
		}
	})
}

// A receiver that fails for a long time, now and then, or for one account only, without naming samples as the
// cause, loses nothing and gets no request earlier than it asked for.
func TestFailingReceiver(t *testing.T) {
	t.Parallel()
	oops := response{status: http.StatusInternalServerError, body: "oops"}
	for name, c := range map[string]struct {
		fails    func(q *request, n int, since time.Duration) bool
		response response
	}{
		"for a long time":  {func(_ *request, _ int, since time.Duration) bool { return since < 30*time.Minute }, oops},
		"mostly":           {func(_ *request, n int, _ time.Duration) bool { return n%25 != 0 }, oops},
		"for some minutes": {func(_ *request, _ int, since time.Duration) bool { return int(since.Minutes())%20 < 18 }, oops},
		"for one account":  {isBot, oops},
		"for one account, with a page": {isBot, response{
			status: http.StatusServiceUnavailable, header: map[string]string{"Retry-After": "120"}, body: "<h1>This service is temporarily out of order</h1>",
		}},
		"for one account, with the words for samples": {isBot, response{status: http.StatusBadGateway, body: "too old sample"}},
		"for one account, with a programming error": {isBot, response{
			status: http.StatusInternalServerError, body: "java.lang.ArrayIndexOutOfBoundsException: Index 24 out of bounds for length 24",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				n, begin := 0, time.Now()
				var next time.Time
				r.set(func(q *request) response {
					if time.Now().Before(next) {
						t.Errorf("a request %v too early", time.Until(next))
					}
					if n++; c.fails(q, n, time.Since(begin)) {
						if c.response.header != nil {
							next = time.Now().Add(2 * time.Minute)
						}
						return c.response
					}
					return response{status: http.StatusOK}
				})
				f.save(shop, 1, days(2)...)
				f.save(bot, 1, days(2)...)
				f.start(f.endpoint("one", r, nil))
				f.wait(40 * time.Minute)
				f.mustCount("one", 4*perDay, 0, nil)
				f.mustHave(r, "shop", 1, days(2)...)
				f.mustHave(r, "bot", 1, days(2)...)
			})
		})
	}
}

// isBot reports whether a request holds samples of one of the accounts, during the first half hour.
func isBot(q *request, _ int, since time.Duration) bool {
	return since < 30*time.Minute && slices.ContainsFunc(q.points, func(p point) bool { return strings.Contains(p.series, `"bot"`) })
}

func TestReasons(t *testing.T) {
	t.Parallel()
	const named = true // with a text that known receivers use for samples
	for _, c := range []struct {
		body  string
		want  string
		named bool
	}{
		{"out of bounds\n", "too_old", named},
		{"too old sample", "too_old", named},
		{"user=1: err: out of bounds. timestamp=2026-11-01T00:00:00Z, series={}", "too_old", named},
		{"sample for 'weixin_history_daily_callbacks' has timestamp too old: 1", "too_old", named},
		{"the sample has been rejected because its timestamp is too old (err-mimir-sample-timestamp-too-old)", "too_old", named},
		{"received a sample whose timestamp is too far in the past (err-mimir-too-far-in-past)", "too_old", named},
		{"out of order sample for series {}", "out_of_order", named},
		{"err-mimir-sample-out-of-order", "out_of_order", named},
		{"duplicate sample for timestamp 1", "duplicate", named},
		{"err-mimir-sample-duplicate-timestamp", "duplicate", named},
		{"received a series whose label value is too long (err-mimir-label-value-too-long)", "rejected", named},
		{"label name is too long", "rejected", !named},
		{"index out of bounds", "rejected", !named},
		{"<h1>This service is temporarily out of order</h1>", "rejected", !named},
		{"this TLS version is too old", "rejected", !named},
		{"", "rejected", !named},
		{"Nonsense\n \x00 \xff in two lines", "rejected", !named},
		{strings.Repeat("界", 1000), "rejected", !named},
	} {
		t.Run(c.body, func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				refuse := func(*request) response { return response{status: http.StatusBadRequest, body: c.body} }
				r.set(refuse)
				f.save(shop, 1, today-1)
				f.start(f.endpoint("one", r, nil))
				f.wait(time.Hour)
				lost := map[string]int{}
				if c.named {
					lost[c.want] = perDay
				}
				f.mustCount("one", 0, perDay-lost[c.want], lost)
				if c.named {
					return
				}
				// Once it accepts others, the samples that it still refuses are given up.
				r.set(func(q *request) response {
					if slices.ContainsFunc(q.points, func(p point) bool { return strings.HasPrefix(p.series, "weixin_history_daily_callbacks") }) {
						return refuse(q)
					}
					return response{status: http.StatusOK}
				})
				f.wait(time.Hour)
				f.mustCount("one", perDay-1, 0, map[string]int{c.want: 1})
				for _, line := range f.log.Lines("given up") {
					if n := utf8.RuneCountInString(line); n > 1000 {
						t.Errorf("a line of %d characters", n)
					}
				}
			})
		})
	}
}

// Thanos Receive calls all such samples a conflict.
func TestConflict(t *testing.T) {
	t.Parallel()
	for status, named := range map[int]bool{http.StatusConflict: true, http.StatusBadRequest: false} {
		got, _ := send(t, remotewrite.V1, response{status: status, body: "2 errors: store locally for endpoint 127.0.0.1:10901: conflict\n"})
		if got.Outcome != remotewrite.Refused || got.OfSamples != named || named && got.Reason != remotewrite.OutOfOrder {
			t.Errorf("%d is %+v", status, got)
		}
	}
}

// send sends one sample to a receiver with the given response, and returns the result.
func send(t *testing.T, message remotewrite.Message, a response) (remotewrite.Result, *receiver) {
	t.Helper()
	r := newReceiver(t)
	r.decide = func(*request) response { return a }
	return sendTo(t, r, func(o *remotewrite.ClientOptions) { o.Message = message }), r
}

// sendTo sends one sample with 1.0, unless change sets another version. change may be nil.
func sendTo(t *testing.T, r http.RoundTripper, change func(*remotewrite.ClientOptions)) remotewrite.Result {
	t.Helper()
	o := remotewrite.ClientOptions{
		URL: secret.NewURL("http://receiver.test/write"), HTTPClient: &http.Client{Transport: r}, Timeout: time.Minute, Message: remotewrite.V1,
		UserAgent: "test/1", Now: func() time.Time { return datacube.FirstDate.Start() }, Logger: log.NewNopLogger(),
	}
	if change != nil {
		change(&o)
	}
	series := remotewrite.NewSeries("up", remotewrite.Metadata{Type: remotewrite.Gauge}, remotewrite.Label{Name: "job", Value: "a"})
	return remotewrite.NewClient(o).Send(t.Context(), []remotewrite.Sample{{Series: series, Time: 1, Value: 1}})
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]remotewrite.Outcome{
		200: remotewrite.Accepted, 202: remotewrite.Accepted, 204: remotewrite.Accepted,
		400: remotewrite.Refused, 409: remotewrite.Refused, 413: remotewrite.Refused, 422: remotewrite.Refused,
		401: remotewrite.Unusable, 403: remotewrite.Unusable, 404: remotewrite.Unusable, 405: remotewrite.Unusable, 418: remotewrite.Unusable,
		304: remotewrite.Unusable, 415: remotewrite.Unusable,
		408: remotewrite.Later, 425: remotewrite.Later, 429: remotewrite.Later,
		500: remotewrite.Later, 502: remotewrite.Later, 503: remotewrite.Later, 504: remotewrite.Later, 599: remotewrite.Later, 999: remotewrite.Later,
	} {
		got, _ := send(t, remotewrite.V1, response{status: status, body: "because\nof that"})
		if got.Outcome != want {
			t.Errorf("%d is %v, want %v", status, got.Outcome, want)
		}
		if text := fmt.Sprintf("HTTP status %d: because of that", status); want != remotewrite.Accepted && got.Text != text {
			t.Errorf("status %d: text %q", status, got.Text)
		}
	}
}

// FuzzResponse checks that every response has a valid result with a short text in one line.
func FuzzResponse(f *testing.F) {
	f.Add(400, "out of order sample", "1")
	f.Add(500, "too old sample\n", "Wed, 21 Oct 2026 07:28:00 GMT")
	f.Add(429, "", "-5")
	f.Add(200, "\xff\x00", "99999999999999999999")
	f.Fuzz(func(t *testing.T, status int, body, retryAfter string) {
		if status < 200 || status > 999 {
			return
		}
		got, _ := send(t, remotewrite.V1, response{status: status, body: body, header: map[string]string{"Retry-After": retryAfter}})
		if got.Outcome > remotewrite.Unusable || got.Reason >= remotewrite.MaxAge {
			t.Errorf("status %d is %+v", status, got)
		}
		if got.RetryAfter < 0 || got.RetryAfter > time.Hour {
			t.Errorf("wait %v", got.RetryAfter)
		}
		if utf8.RuneCountInString(got.Text) > 450 || strings.ContainsAny(got.Text, "\n\r\x00") || strings.ToValidUTF8(got.Text, "") != got.Text {
			t.Errorf("text %q", got.Text)
		}
	})
}

// A Prometheus without an out-of-order window calls old samples sometimes too old and sometimes out of order.
func TestTooOldAndOutOfOrder(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		latest, last := int64(0), map[string]int64{}
		r.decide = func(q *request) response {
			for _, p := range q.points {
				switch {
				case p.time < latest-time.Hour.Milliseconds():
					return response{status: http.StatusBadRequest, body: "out of bounds\n"}
				case p.time < last[p.series]:
					return response{status: http.StatusBadRequest, body: "out of order sample\n"}
				}
			}
			for _, p := range q.points {
				latest, last[p.series] = max(latest, p.time), max(last[p.series], p.time)
			}
			return response{status: http.StatusNoContent}
		}
		f.save(bot, 1, today-1)
		f.start(f.endpoint("one", r, nil))
		f.wait(time.Second)
		f.save(shop, 1, days(20)...)
		f.save(bot, 1, days(20)...)
		f.wait(time.Minute)
		if got := f.metric("pending_samples", "one", ""); got != 0 || len(r.got()) > 100 {
			t.Errorf("%v samples are pending after %d requests", got, len(r.got()))
		}
	})
}
