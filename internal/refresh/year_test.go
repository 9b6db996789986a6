package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/clock"
	"weixin_exporter/internal/racetest"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

const (
	mostRounds    = 365
	yearHistory   = 50
	yearRetention = 200
	yearBegins    = "2026-01-01 00:00"
	quotaSeed     = 2 // modulo ten: few seeds request quotas, which takes several times as many calls
)

// yearStore is what a year needs of a store.
type yearStore interface {
	opened
	store.Clock
	ReadFigures(ctx context.Context, read func(*store.FigureReader) error) error
}

// year is a simulated year of an exporter's life, with everything that Weixin, the host and its operator do to it. The time of
// the bubble is that of the host's monotonic clock, which stops while the host is suspended.
type year struct {
	*harness
	seed     uint64
	random   *rand.Rand
	kinds    []kind
	accounts []weixintest.Account
	rounds   int // its days
	upset    [mostRounds]bool
	steady   bool   // without restarts
	alone    []int  // the faults of the first phase so far, as indexes of kinds
	command  string // that repeats it

	suspended atomic.Int64 // for how long the host has been suspended
	off       time.Duration
	clock     atomic.Pointer[clock.Clock]
	db        yearStore
	judge     *judge
	ends      []trouble // the ends of what goes on
	failures  atomic.Int64
	responses atomic.Int64 // since the clock was last set, or the process started
	reloaded  map[datacube.Date]bool
	ordinary  map[day]bool // of the daily call, for both: an ordinary day of an account
	wrong     []span       // when the clock was wrong
	offsets   int          // wrong clocks that were measured
}

// newYear builds a year of n accounts, or as many of its days. reopen opens the store, at first an empty one.
func newYear(t *testing.T, seed uint64, n, days int, reopen func(context.Context, *year) (yearStore, error)) *year {
	t.Helper()
	y := &year{seed: seed, random: rand.New(rand.NewPCG(seed, 18)), kinds: yearFaults(), reloaded: map[datacube.Date]bool{}, ordinary: map[day]bool{}}
	y.rounds = days
	if racetest.Enabled() {
		y.rounds = min(days, phase+faultDays+quietEnd) // the fewest with a phase of mixtures
	}
	y.rounds = min(setting(t, "TORTURE_DAYS", y.rounds), mostRounds)
	y.command = fmt.Sprintf("TORTURE_SEED=%d TORTURE_YEARS=1 TORTURE_DAYS=%d TORTURE_ACCOUNTS=%d go test ./internal/refresh -run '^%s$'",
		seed, y.rounds, n, yearTest(t))
	for i := range n {
		a := account(i + 1)
		switch (i + int(seed)) % max(n, 10) { // of many accounts one each, since these take five times as many calls
		case 3:
			a.CallbacksPerDay = 60 // hours without traffic
		case 7:
			a.CallbacksPerDay = 3 // days without traffic
		case 9:
			a.CallbacksPerDay = 0
		}
		y.accounts = append(y.accounts, a)
	}
	y.harness = newHarness(t, yearBegins, nil)
	y.upset = newUpset(y.random, y.rounds)
	y.sim = weixintest.New(weixintest.Options{Seed: seed, Now: y.trueNow, Accounts: y.accounts, Ready: y.ready})
	y.judge = &judge{
		sim: y.sim, now: y.trueNow, retention: yearRetention, fail: y.fail,
		heard: map[line]heard{}, known: map[day]bool{}, rows: map[day]rows{},
		unchecked: datacube.DateOf(china(t, yearBegins)) - yearHistory,
	}
	for _, a := range y.accounts {
		y.judge.appIDs = append(y.judge.appIDs, a.AppID)
	}
	y.logger = log.NewNopLogger()
	y.trustedNow = func() time.Time { return y.clock.Load().TrustedNow() }
	y.others = nil
	y.config.HistoryDays, y.config.RetentionDays = yearHistory, yearRetention
	y.config.Interval, y.config.Concurrency = 2*hour, 16
	y.config.Quota = seed%10 == quotaSeed
	y.open = func(ctx context.Context) (opened, error) {
		db, err := reopen(ctx, y)
		if err != nil {
			return nil, err
		}
		y.db = db
		recorded, err := db.RecordedTime(ctx)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		y.responses.Store(0)
		y.clock.Store(clock.New(clock.Options{
			Now: y.now, Elapsed: func() time.Duration { return time.Since(began) }, Recorded: recorded, Logger: y.logger,
		}))
		return judged{db, y.judge}, nil
	}
	return y
}

// yearTest returns the name of the test without the seed.
func yearTest(t *testing.T) string {
	t.Helper()
	name := t.Name()
	for i, r := range name {
		if r == '/' {
			return name[:i]
		}
	}
	return name
}

func (y *year) trueNow() time.Time { return time.Now().Add(time.Duration(y.suspended.Load())) }

// ready returns when the figures of a day become available: mostly before 08:00, sometimes hours later, or days.
func (y *year) ready(appID string, d datacube.Date) time.Time {
	h := uint64(d)*2654435761 ^ uint64(len(appID)+int(appID[len(appID)-1])+int(appID[len(appID)-2])*7)*40503 ^ y.seed*97
	h ^= h >> 13
	switch h % 100 {
	case 0:
		return d.End().Add(30 * hour)
	case 10:
		return d.End().Add(44 * hour)
	case 20:
		return d.End().Add(55 * hour)
	case 1, 2:
		return d.End().Add(13 * hour)
	case 3, 4, 5, 6:
		return d.End().Add(9*hour + 10*time.Minute)
	default:
		return d.End().Add(7 * hour)
	}
}

// fail fails the test with all that is needed to repeat it.
func (y *year) fail(appID string, api datacube.API, d datacube.Date, format string, args ...any) {
	const most = 12
	if y.failures.Add(1) <= most {
		y.t.Errorf("seed %d, account %s, %v call, day %s, on %s: %s; repeat by %s", y.seed, appID, api, d,
			y.trueNow().In(datacube.China).Format(time.DateTime), fmt.Sprintf(format, args...), y.command)
	}
}

// setHost sets how far the host's clock is ahead.
func (y *year) setHost(off time.Duration) {
	if off != y.off && y.off != 0 {
		y.wrong[len(y.wrong)-1].to = y.trueNow()
	}
	if off != y.off && off != 0 {
		y.wrong = append(y.wrong, span{from: y.trueNow()})
	}
	y.off = off
	y.ahead.Store(y.suspended.Load() + int64(off))
	y.responses.Store(0)
}

// endStep sets the clock of the host right, unless it has been set again.
func (y *year) endStep(step time.Duration) {
	if y.off != step {
		return
	}
	y.checkOffset()
	y.setHost(0)
}

// checkOffset fails the test if Weixin has answered since the clock was set, and the error of the clock is not known.
func (y *year) checkOffset() {
	synctest.Wait()
	const responses = 3 // outweigh the host's clock
	if y.responses.Load() < responses {
		return
	}
	y.offsets++
	offset, known := y.clock.Load().Offset()
	if !known || (offset-y.off).Abs() > 2*time.Second {
		y.fail("", 0, datacube.DateOf(y.trueNow()), "the clock is %v ahead, and measured as %v (known: %v)", y.off, offset, known)
	}
}

func (y *year) suspend(d time.Duration) {
	synctest.Wait()
	y.suspended.Add(int64(d))
	y.setHost(y.off)
}

// begin starts a process.
func (y *year) begin() {
	y.config.Accounts = nil
	for i, a := range y.accounts {
		y.config.Accounts = append(y.config.Accounts, y.client(i, a))
	}
	y.start()
	y.recordTime()
}

// client returns an account with a client of its own, as it is after a start.
func (y *year) client(i int, a weixintest.Account) refresh.Account {
	client := weixin.NewClient(weixin.Options{
		BaseURL:    "http://weixin.test",
		HTTPClient: &http.Client{Transport: y.judge.ear(a.AppID)},
		Timeout:    10 * time.Second,
		Now:        y.now,
		Observe: func(r weixin.Request) {
			if !r.Date.IsZero() {
				y.responses.Add(1)
			}
			y.clock.Load().ObserveDate(r.Date)
		},
	})
	source := client.StableToken(weixin.Credentials{AppID: a.AppID, AppSecret: secret.New(a.AppSecret)})
	return refresh.Account{
		Name: fmt.Sprintf("account%02d", i), AppID: a.AppID, Caller: client.Account(source), Credentials: secret.New(a.AppSecret),
	}
}

func (y *year) restart() {
	if y.steady {
		return
	}
	y.stop()
	y.begin()
}

// reload changes the secret of an account, and leaves another one out until the next reload.
func (y *year) reload() {
	synctest.Wait()
	i := y.random.IntN(len(y.accounts))
	a := &y.accounts[i]
	a.AppSecret = fmt.Sprintf("sim-secret-%d-%d", i, y.random.Uint32())
	y.sim.SetSecret(a.AppID, a.AppSecret)
	c := y.config
	c.Accounts = slices.Clone(c.Accounts)
	c.Accounts[i] = y.client(i, *a)
	y.config.Accounts = c.Accounts
	if gone := y.random.IntN(len(y.accounts)); len(y.accounts) > 1 && gone != i {
		c.Accounts = slices.Delete(slices.Clone(c.Accounts), gone, gone+1)
		y.ends = append(y.ends, trouble{y.trueNow().Add(5 * hour), func(y *year) { y.apply(y.config) }})
	}
	y.apply(c)
}

func (y *year) apply(c refresh.Config) {
	y.reloaded[datacube.DateOf(y.trueNow())] = true
	if err := y.runner.ApplyConfig(y.t.Context(), c); err != nil {
		y.t.Errorf("seed %d: reload: %v", y.seed, err)
	}
}

// revise changes the figures of an hour as Weixin may do it before a day is rechecked.
func (y *year) revise(appID string, d datacube.Date) {
	hours := y.sim.Hours(appID, d)
	for hour, f := range hours {
		if f.Callbacks > 0 {
			f.Callbacks += 7
			f.TimeCostMillis += 90
			y.sim.Revise(appID, d, hour, f)
			return
		}
	}
}

// recordTime does what clock.Run does once an hour.
func (y *year) recordTime() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		y.clock.Load().Run(ctx, y.db)
	}()
	synctest.Wait()
	cancel()
	<-ended
}

// live lets all rounds pass.
func (y *year) live() {
	y.begin()
	first := datacube.DateOf(y.trueNow())
	for round := range y.rounds {
		today := first + datacube.Date(round)
		y.noteOrdinary(round, today)
		y.pass(append(y.troubles(round, today), trouble{today.Start().Add(12 * hour), (*year).recordTime}))
		y.until(today.End())
		if y.failures.Load() > 0 {
			y.stop()
			y.t.FailNow()
		}
	}
	for _, end := range y.ends {
		y.t.Errorf("something ends on %v", end.at)
	}
	y.checkOffset()
	y.checkShown()
	y.stop()
}

// pass does what happens on a day.
func (y *year) pass(list []trouble) {
	slices.SortStableFunc(list, func(a, b trouble) int { return a.at.Compare(b.at) })
	for _, next := range list {
		y.until(next.at)
		next.do(y)
	}
}

// until waits for a time, and ends what ends before it.
func (y *year) until(at time.Time) {
	for {
		slices.SortStableFunc(y.ends, func(a, b trouble) int { return a.at.Compare(b.at) })
		if len(y.ends) == 0 || y.ends[0].at.After(at) {
			break
		}
		end := y.ends[0]
		y.ends = y.ends[1:]
		y.wait(end.at)
		end.do(y)
	}
	y.wait(at)
}

func (y *year) wait(at time.Time) {
	if d := at.Sub(y.trueNow()); d > 0 {
		<-time.After(d)
		synctest.Wait()
	}
}

// verdict compares what the store still has with Weixin's figures, and the calls with their bounds.
func (y *year) verdict(read readFigures) {
	// A day whose figures come 55 hours after its end is known as empty after 48, and rechecked a day later.
	y.judge.checkDays(read, datacube.DateOf(y.trueNow())-5)
	y.countCalls()
	y.checkOrdinary()
}

// run lets the year pass and judges it. read reads the store afterwards.
func (y *year) run(read readFigures) {
	y.live()
	y.verdict(read)
	y.t.Logf("seed %d: %d calls, %d days with traffic became empty as Weixin said so, %d days pruned, %d compared, %d wrong clocks measured",
		y.seed, len(y.sim.Calls()), y.judge.empty, y.judge.pruned, y.judge.compared, y.offsets)
}

// inFile opens the store of a year in a file.
func inFile(ctx context.Context, y *year) (yearStore, error) {
	return sqlite.Open(ctx, y.path, sqlite.Options{})
}

// TestYear: after a year of faults, alone and in mixtures, of restarts, reloads, suspends and wrong clocks, every day is known and
// right. No zero was invented on the way, nothing was removed that must stay, and the calls are within their bounds.
func TestYear(t *testing.T) {
	t.Parallel()
	first, years := setting(t, "TORTURE_SEED", 1), setting(t, "TORTURE_YEARS", 1)
	for i := range years {
		seed, n := uint64(first+i), 3
		switch {
		case racetest.Enabled():
			n = 2
		case i == 0 && years > 1:
			n = 50 // once: it takes as long as the other nine
		}
		n = setting(t, "TORTURE_ACCOUNTS", n)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				y := newYear(t, seed, n, mostRounds, inFile)
				y.run(func(each func(*store.FigureReader) error) error {
					db, err := sqlite.OpenReadOnly(t.Context(), y.path, sqlite.Options{})
					if err != nil {
						return err
					}
					return errors.Join(db.ReadFigures(t.Context(), each), db.Close())
				})
			})
		})
	}
}
