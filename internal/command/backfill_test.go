package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/command"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// station is a simulated Weixin of which each call takes a second of a clock, and a
// configuration that uses it.
type station struct {
	*weixintest.Clock
	sim            *weixintest.Server
	ready          time.Duration // when the figures of a day become available, after its end
	ahead          time.Duration // of the host's clock
	config         string
	stdout, stderr bytes.Buffer
}

func newStation(t *testing.T, now, settings string) *station {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", now, datacube.China)
	if err != nil {
		t.Fatal(err)
	}
	s := &station{Clock: weixintest.NewClock(at)}
	shop := weixintest.Account{AppID: "wx0123456789abcdef", AppSecret: "sim-secret-shop", CallbacksPerDay: 10_000}
	s.sim = weixintest.New(weixintest.Options{
		Seed: 1, Now: s.Now, Accounts: []weixintest.Account{shop},
		Ready: func(_ string, d datacube.Date) time.Time { return d.End().Add(s.ready) },
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Advance(time.Second)
		s.sim.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.config = filepath.Join(t.TempDir(), "config.yml")
	text := "accounts: [{name: shop, app_id: wx0123456789abcdef, app_secret: sim-secret-shop}]\n" +
		"weixin: {base_url: '" + server.URL + "', requests_per_second: 1000}\n" + settings
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *station) run(ctx context.Context, c command.BackfillOptions) error {
	c.ConfigFile = s.config
	texts, err := i18n.New()
	if err != nil {
		return err
	}
	env := command.Env{Texts: texts.In(i18n.English), Stdout: &s.stdout, Stderr: &s.stderr, Now: s.now, LogLevel: "info", LogFormat: "logfmt"}
	return command.Backfill(ctx, env, c)
}

// now is the host's clock.
func (s *station) now() time.Time { return s.Now().Add(s.ahead) }

func date(t *testing.T, text string) datacube.Date {
	t.Helper()
	d, err := datacube.ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestBackfillSaysHowFarItIs: there is a line every ten seconds.
func TestBackfillSaysHowFarItIs(t *testing.T) {
	s := newStation(t, "2026-03-10 09:00", "")
	if err := s.run(t.Context(), command.BackfillOptions{Since: date(t, "2026-01-09")}); err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`msg="backfill in progress" calls=(\d+) calls_left=(\d+) calls_per_second=(\S+) time_left=(\S+)`).
		FindAllStringSubmatch(s.stderr.String(), -1)
	// 62 calls and one for the token, of a second each.
	if len(lines) != 6 {
		t.Fatalf("%d lines, want 6:\n%s", len(lines), &s.stderr)
	}
	// Whether the call under way has taken its second is not known at the time of a line.
	near := func(got, want float64) bool { return got >= want && got <= want+1 }
	for i, line := range lines {
		var done, left, pace float64
		if _, err := fmt.Sscan(line[1], &done); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(line[2], &left); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(line[3], &pace); err != nil {
			t.Fatal(err)
		}
		if !near(done, float64(10*(i+1)-2)) || done+left != 62 {
			t.Errorf("line %d: %v calls and %v left, want about %d of 62", i, done, left, 10*(i+1)-1)
		}
		if pace < 0.7 || pace > 1.3 || !strings.HasSuffix(line[4], "s") {
			t.Errorf("line %d: %v calls a second and %s left, want about 1 and some seconds", i, pace, line[4])
		}
	}
	if want := "2026-01-09 to 2026-03-09, 1 accounts: 62 calls answered, 0 failed, 0 left.\n" +
		"  daily: 60 days learned, 0 of them without traffic; 0 not available yet\n" +
		"  hourly: 60 days learned, 0 of them without traffic; 0 not available yet\n"; s.stdout.String() != want {
		t.Errorf("the summary is\n%s\nwant\n%s", &s.stdout, want)
	}
}

// TestBackfillByForceSaysHowManyDaysItStored, though it learned none.
func TestBackfillByForceSaysHowManyDaysItStored(t *testing.T) {
	s := newStation(t, "2026-03-10 09:00", "")
	c := command.BackfillOptions{Since: date(t, "2026-03-01"), Until: date(t, "2026-03-08")}
	for _, c.Force = range []bool{false, true} {
		s.stdout.Reset()
		if err := s.run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if want := "2026-03-01 to 2026-03-08, 1 accounts: 9 calls answered, 0 failed, 0 left.\n" +
		"  daily: 0 days learned, 0 of them without traffic; 0 not available yet\n" +
		"  daily: 8 known days fetched again, and stored\n" +
		"  hourly: 0 days learned, 0 of them without traffic; 0 not available yet\n" +
		"  hourly: 8 known days fetched again, and stored\n"; s.stdout.String() != want {
		t.Errorf("the summary is\n%s\nwant\n%s", &s.stdout, want)
	}
}

// TestBackfillByAClockAhead: by the host's clock 48 hours have passed since the end of the ninth, by Weixin's only 41. So it is not
// stored as a day without traffic.
func TestBackfillByAClockAhead(t *testing.T) {
	s := newStation(t, "2026-03-11 17:30", "")
	s.ready, s.ahead = 44*time.Hour, 7*time.Hour
	if err := s.run(t.Context(), command.BackfillOptions{Since: date(t, "2026-03-08"), Until: date(t, "2026-03-09")}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  daily: 1 days learned, 0 of them without traffic; 1 not available yet\n",
		"  hourly: 1 days learned, 0 of them without traffic; 1 not available yet\n",
	} {
		if !strings.Contains(s.stdout.String(), want) {
			t.Errorf("the summary is\n%s\nwant\n%s", &s.stdout, want)
		}
	}
	if warning := "the clock of this host is wrong: it is 7h ahead of Weixin's"; !strings.Contains(s.stderr.String(), warning) {
		t.Errorf("no warning:\n%s", &s.stderr)
	}
}

func TestBackfillRange(t *testing.T) {
	for name, c := range map[string]struct {
		now, settings string
		since, until  string
		days          string // of the dry run
		fault         string
		note          string
	}{
		"up to yesterday":        {now: "2026-03-10 08:00", since: "2026-03-01", days: "2026-03-01 to 2026-03-09"},
		"before it can be there": {now: "2026-03-10 07:59", since: "2026-03-01", days: "2026-03-01 to 2026-03-08"},
		"yesterday by name, before it can be there": {now: "2026-03-10 07:59", since: "2026-03-01", until: "2026-03-09",
			days: "2026-03-01 to 2026-03-08", note: "yesterday, 2026-03-09, is left out"},
		"today": {now: "2026-03-10 23:59", since: "2026-03-01", until: "2026-03-10",
			fault: "--until=2026-03-10: wrong usage: the latest day that Weixin has figures of is yesterday, 2026-03-09"},
		"since today":   {now: "2026-03-10 23:59", since: "2026-03-10", fault: "there is no day up to 2026-03-09"},
		"the first day": {now: "2026-03-10 09:00", since: "2014-12-01", until: "2014-12-01", days: "2014-12-01 to 2014-12-01"},
		"before it":     {now: "2026-03-10 09:00", since: "2014-11-30", fault: "begin at 2014-12-01"},
		"all that is kept": {now: "2026-03-10 09:00", settings: "store: {retention: 40d}\n", since: "2026-01-29",
			days: "2026-01-29 to 2026-03-09"},
		"more than is kept": {now: "2026-03-10 09:00", settings: "store: {retention: 40d}\n", since: "2026-01-28",
			fault: "the days before 2026-01-29 would be removed"},
		"in the night, only yesterday": {now: "2026-03-10 01:00", since: "2026-03-09", fault: "there is no day up to 2026-03-08"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t, c.now, c.settings)
			b := command.BackfillOptions{Since: date(t, c.since), DryRun: true}
			if c.until != "" {
				b.Until = date(t, c.until)
			}
			err := s.run(t.Context(), b)
			if c.fault != "" {
				if !errors.Is(err, exporter.ErrUsage) || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("ended with %v, want a wrong usage: %s", err, c.fault)
				}
				return
			}
			if err != nil || !strings.HasPrefix(s.stdout.String(), c.days+": ") {
				t.Errorf("ended with %v and %s, want %s", err, &s.stdout, c.days)
			}
			if !strings.Contains(s.stderr.String(), c.note) || c.note == "" && strings.Contains(s.stderr.String(), "left out") {
				t.Errorf("notes: %s, want %q", &s.stderr, c.note)
			}
			if calls := s.sim.Calls(); len(calls) > 0 {
				t.Errorf("a dry run made calls: %v", calls)
			}
		})
	}
}

// TestBackfillThatIsStoppedEarly: a context that has ended is not a fault.
func TestBackfillThatIsStoppedEarly(t *testing.T) {
	s := newStation(t, "2026-03-10 09:00", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.run(ctx, command.BackfillOptions{Since: date(t, "2026-03-01")}); err != nil {
		t.Error(err)
	}
	if calls := s.sim.Calls(); len(calls) > 0 {
		t.Errorf("calls were made: %v", calls)
	}
}

func TestBackfillDryRunSaysHowLongItTakes(t *testing.T) {
	for since, want := range map[string]string{
		"2026-03-09": " 1s at least", "2026-01-01": " 1m11s at least", "2015-01-01": " 1h10m at least",
	} {
		s := newStation(t, "2026-03-10 09:00", "")
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		slow := strings.Replace(string(text), "requests_per_second: 1000", "requests_per_second: 1", 1)
		if since == "2026-03-09" {
			slow = string(text)
		}
		if err := os.WriteFile(s.config, []byte(slow), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.run(t.Context(), command.BackfillOptions{Since: date(t, since), DryRun: true}); err != nil || !strings.Contains(s.stdout.String(), want) {
			t.Errorf("since %s: ended with %v and %s, want %q", since, err, &s.stdout, want)
		}
	}
}
