package clock_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/clock"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// dated answers each request like Weixin, with one Date header.
type dated string

// RoundTrip implements http.RoundTripper.
func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Date": {string(d)}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"list":[]}`)),
	}, nil
}

// token is a source of one token.
type token struct{}

// Fetch implements weixin.TokenSource.
func (token) Fetch(context.Context) (weixin.AccessToken, error) {
	return weixin.AccessToken{Text: secret.New("sim-token-date"), Life: time.Hour}, nil
}

// FuzzDate: whatever the Date header of one answer says, the time that can be trusted is neither past the host's clock, which is
// right, nor before what was recorded, and the next two answers correct what it did.
func FuzzDate(f *testing.F) {
	for _, header := range []string{
		"Wed, 25 Nov 2026 04:05:06 GMT", "Wednesday, 25-Nov-26 04:05:06 GMT", "Wed Nov 25 04:05:06 2026", "Thu, 25 Nov 2027 04:05:06 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
		"Wed, 25 Nov 2026 04:05:06 +0800", "25 Nov 2026", "1795579506", "", "\x00",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		now := time.Date(2026, 11, 25, 4, 5, 6, 0, time.UTC)
		recorded := now.Add(-time.Hour)
		c := clock.New(clock.Options{
			Now: func() time.Time { return now }, Elapsed: func() time.Duration { return time.Minute }, Recorded: recorded, Logger: log.NewNopLogger(),
		})
		answer := func(header string) {
			client := weixin.NewClient(weixin.Options{
				BaseURL: "https://weixin.example", HTTPClient: &http.Client{Transport: dated(header)}, Now: func() time.Time { return now },
				Observe: func(r weixin.Request) { c.ObserveDate(r.Date) },
			})
			if _, err := client.Account(token{}).InterfaceSummary(t.Context(), datacube.DateOf(now)-1, datacube.DateOf(now)-1); err != nil {
				t.Fatal(err)
			}
		}
		answer(header)
		if got := c.TrustedNow(); got.After(now.Add(clock.Tolerance)) || got.Before(recorded) {
			t.Errorf("after %q it is %v", header, got)
		}
		if offset, known := c.Offset(); known && offset.Abs() > clock.Tolerance {
			t.Errorf("%q alone makes the clock wrong by %v", header, offset)
		}
		if text := c.Fault(); len(text) > 200 || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("fault %q", text)
		}
		answer(now.Format(http.TimeFormat))
		answer(now.Format(http.TimeFormat))
		if got := c.TrustedNow(); !got.Equal(now) || c.Fault() != "" {
			t.Errorf("after %q and two right answers it is %v: %s", header, got, c.Fault())
		}
	})
}
