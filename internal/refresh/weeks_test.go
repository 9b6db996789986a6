package refresh_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// long reports whether longer simulations are wanted: more seeds and more durations of the same tests.
func long() bool { return os.Getenv("REFRESH_LONG") != "" }

// randomFault returns a random fault and how long it lasts.
func randomFault(random *rand.Rand, appIDs []string) (weixintest.Fault, time.Duration) {
	faults := []weixintest.Fault{
		{NoRows: true}, {NoRows: true}, {Garbled: true}, {Stray: true}, {Errcode: -1}, {Errcode: 61503}, {Errcode: 48001}, {Errcode: 45009},
		{Status: 502}, {Reset: true}, {Body: []byte(`{"list":null}`)}, {Body: []byte(`{"list":[null]}`)},
	}
	f := faults[random.IntN(len(faults))]
	if f.AppID = ""; random.IntN(3) > 0 {
		f.AppID = appIDs[random.IntN(len(appIDs))]
	}
	f.API = []string{"daily", "hourly"}[random.IntN(2)]
	lasts := time.Duration(1+random.IntN(40)) * time.Hour
	if f.NoRows {
		lasts = time.Duration([]int{6, 30, 72, 96, 120, 168}[random.IntN(6)]) * time.Hour
		f.API = []string{"daily", "hourly", "", ""}[random.IntN(4)]
	}
	return f, lasts
}

// TestWeeksOfRandomFaults: after weeks of random faults, restarts and reloads, all figures of all accounts are
// known and correct; none is a false zero. With REFRESH_LONG=1 it tries more seeds.
func TestWeeksOfRandomFaults(t *testing.T) {
	t.Parallel()
	seeds := uint64(1)
	if long() {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 11))
				accounts := []weixintest.Account{account(1), account(2)}
				w := newHarness(t, "2026-01-01 06:00", nil, accounts...)
				w.config.HistoryDays, w.config.Interval = 45, time.Hour
				w.start()
				appIDs := []string{accounts[0].AppID, accounts[1].AppID}
				until := china(t, "2026-02-05 06:00")
				for time.Now().Before(until) {
					fault, lasts := randomFault(random, appIDs)
					end := w.sim.Inject(fault)
					<-time.After(lasts)
					end()
					switch random.IntN(4) {
					case 0:
						w.stop()
						w.start()
					case 1:
						if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
							t.Fatal(err)
						}
					}
					<-time.After(time.Duration(random.IntN(200)) * time.Hour)
				}
				setClock(t, "2026-03-22 12:00") // longer than the longest gap
				first, last := date(t, "2026-01-01"), date(t, "2026-03-20")
				if wrong, unknown := w.wrongDays(first, last); len(wrong)+unknown > 0 {
					t.Errorf("wrong: %s; %d unknown", wrong, unknown)
				}
				for _, a := range w.config.Accounts {
					shown := w.shown(a.Name)
					damaged := shown.Work[datacube.Daily].Damaged + shown.Work[datacube.Hourly].Damaged
					if shown.Inconsistent != 0 || damaged != 0 {
						t.Errorf("%s: %d inconsistent days, %d damaged", a.Name, shown.Inconsistent, damaged)
					}
				}
			})
		})
	}
}
