package refresh_test

import (
	"slices"

	"weixin_exporter/weixin/datacube"
)

// attempt identifies an attempt, which may take several requests at the same time: for a token, and again with another one.
type attempt struct {
	api string
	at  int64
}

// tally counts the calls of an account on a day in China.
type tally struct {
	failed    map[attempt]bool
	succeeded [datacube.APIs]map[datacube.Date]int
	calls     int
}

const (
	// mostFailed is 48 failed attempts of each call; a reload may double it.
	mostFailed = 2 * 48
	// mostAnswers is how often a call is answered about the same day within a day: yesterday is asked for 18 times if it
	// is never ready (at 08:00, after 15, 30 and 60 minutes, then hourly), and 6 times more if its rows are damaged.
	mostAnswers = 24
)

// countCalls compares the calls of each account and day with their bounds.
func (y *year) countCalls() {
	tallies := map[day]*tally{}
	most, mostOfADay := 0, 0
	for _, c := range y.sim.Calls() {
		if c.AppID == "" {
			continue
		}
		today := datacube.DateOf(c.At)
		key := day{line{c.AppID, 0}, today}
		n := tallies[key]
		if n == nil {
			n = &tally{failed: map[attempt]bool{}}
			tallies[key] = n
		}
		n.calls++
		api := slices.Index([]string{"daily", "hourly"}, c.API)
		if c.Errcode != 0 && c.Errcode != 61503 {
			n.failed[attempt{c.API, c.At.Unix()}] = true
			continue
		}
		if api < 0 {
			continue
		}
		if n.succeeded[api] == nil {
			n.succeeded[api] = map[datacube.Date]int{}
		}
		for d := c.Begin; d <= c.End; d++ {
			n.succeeded[api][d]++
		}
	}
	begin := datacube.DateOf(china(y.t, yearBegins))
	for key, n := range tallies {
		round := int(key.date - begin)
		if round < 0 || round >= y.rounds || !y.calm(round) {
			continue // a day of two clocks is two days for the exporter
		}
		most = max(most, len(n.failed))
		allowed := mostFailed
		if y.reloaded[key.date] {
			allowed *= 2
		}
		if len(n.failed) > allowed {
			y.fail(key.appID, 0, key.date, "%d failed attempts on this day, at most %d are allowed", len(n.failed), allowed)
		}
		for api, days := range n.succeeded {
			for d, count := range days {
				mostOfADay = max(mostOfADay, count)
				if count > mostAnswers {
					y.fail(key.appID, datacube.API(api), d, "answered %d times on %s, at most %d are allowed", count, key.date, mostAnswers)
				}
			}
		}
	}
	y.t.Logf("seed %d: at most %d failed attempts of an account in a day, %d answers about the same day", y.seed, most, mostOfADay)
}
