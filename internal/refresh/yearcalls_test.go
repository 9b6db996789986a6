package refresh_test

import (
	"slices"
	"time"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
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
	calls     int // of any kind, after the first moment of the day
	figures   int // those for figures
	quotas    int // those for quotas
}

const (
	// mostFailed is 48 failed attempts of each call; a reload may double it.
	mostFailed = 2 * 48
	// mostAnswers is how often a call is answered about the same day within a day: yesterday is asked for 18 times if it
	// is never ready (at 08:00, after 15, 30 and 60 minutes, then hourly), and 6 times more if its rows are damaged.
	mostAnswers = 24
	// mostFigures are the calls of an ordinary day: two for yesterday, and two that check the day before again. Each of them
	// may need a token, if the process has been started again in the meantime.
	mostFigures  = 4
	mostRequests = 2 * mostFigures
	// mostQuotas is how often quotas are requested in a day, at most once an hour for each call and once more after a start. A
	// refused token is replaced, and the request repeated.
	mostQuotas  = 2 * 2 * 26
	leastQuotas = 2 * 8 // on an ordinary day: accounts are planned every two hours, and left out for five by a reload
	// leastGap is the time between two answers about the same day.
	leastGap = time.Minute
)

// countCalls compares the calls of each account and day with their bounds. Not compared are days on which the clock was wrong:
// what is counted by the day starts again when the date changes, and a day of two clocks has more than two dates.
func (y *year) countCalls() {
	tallies := map[day]*tally{}
	latest := map[day]time.Time{} // answers
	for _, c := range y.sim.Calls() {
		if c.AppID == "" {
			continue
		}
		key := day{line{c.AppID, 0}, datacube.DateOf(c.At)}
		n := tallies[key]
		if n == nil {
			n = &tally{failed: map[attempt]bool{}}
			tallies[key] = n
		}
		api := slices.Index([]string{"daily", "hourly"}, c.API)
		if c.At.After(key.date.Start()) { // noteOrdinary knows the answers to the others
			n.calls++
			if api >= 0 {
				n.figures++
			}
		}
		if c.API == "quota" {
			n.quotas++
			continue // an attempt that fails holds no call
		}
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
			y.checkGap(latest, day{line{c.AppID, datacube.API(api)}, d}, c.At)
		}
	}
	most, mostOfADay, quotas := 0, 0, 0
	for key, n := range tallies {
		if y.clockWrong(key.date.Start(), key.date.End()) {
			continue
		}
		most, quotas = max(most, len(n.failed)), max(quotas, n.quotas)
		allowed := mostFailed
		if y.reloaded[key.date] {
			allowed *= 2
		}
		if y.config.Quota {
			allowed += mostQuotas / 2 // for which no token was available
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
		if n.quotas > mostQuotas || y.ordinary[key] && y.config.Quota && n.quotas < leastQuotas {
			y.fail(key.appID, 0, key.date, "%d requests for quotas on this day, at most %d are allowed, and at least %d on an ordinary one",
				n.quotas, mostQuotas, leastQuotas)
		}
		if y.ordinary[key] && (n.figures > mostFigures || n.calls > mostRequests+2*n.quotas) {
			y.fail(key.appID, 0, key.date, "%d calls for figures on an ordinary day and %d requests in all, at most %d and %d are allowed",
				n.figures, n.calls, mostFigures, mostRequests)
		}
	}
	y.t.Logf("seed %d: at most %d failed attempts of an account in a day, %d answers about the same day, %d requests for quotas; %d ordinary days",
		y.seed, most, mostOfADay, quotas, len(y.ordinary))
}

// checkGap checks that a call is not answered twice within a minute about the same day. If the clock was set between the two,
// the minute may have passed by the clock, and a time that is ahead says nothing.
func (y *year) checkGap(latest map[day]time.Time, of day, at time.Time) {
	before, asked := latest[of]
	latest[of] = at
	if asked && at.Sub(before) < leastGap && !y.clockSet(before, at) {
		y.fail(of.appID, of.api, of.date, "answered at %s and %v later", before.In(datacube.China).Format(time.DateTime), at.Sub(before))
	}
}

// span is a time during which the clock of the host is wrong by the same error; to is zero while it lasts.
type span struct{ from, to time.Time }

// clockWrong reports whether the clock was wrong at any time between the two.
func (y *year) clockWrong(from, to time.Time) bool {
	return slices.ContainsFunc(y.wrong, func(s span) bool { return s.from.Before(to) && (s.to.IsZero() || s.to.After(from)) })
}

// clockSet reports whether the clock was set between the two.
func (y *year) clockSet(from, to time.Time) bool {
	within := func(at time.Time) bool { return !at.Before(from) && !at.After(to) }
	return slices.ContainsFunc(y.wrong, func(s span) bool { return within(s.from) || within(s.to) })
}

// noteOrdinary notes the accounts for which a day will be an ordinary one: no fault is left, Weixin has yesterday in time, and
// nothing but the second answer about the day before is open.
func (y *year) noteOrdinary(round int, today datacube.Date) {
	if y.faulty(round) || round > 0 && y.faulty(round-1) {
		return
	}
	for _, a := range y.accounts {
		if y.isOrdinary(a, today) {
			y.ordinary[day{line{a.AppID, 0}, today}] = true
		}
	}
}

func (y *year) isOrdinary(a weixintest.Account, today datacube.Date) bool {
	yesterday := today - 1
	if y.ready(a.AppID, yesterday).After(today.Start().Add(y.config.ReadyAt)) || y.sim.Day(a.AppID, yesterday).Callbacks == 0 {
		return false
	}
	j := y.judge
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.answered(a.AppID, yesterday-1, 1) {
		return false
	}
	for d := yesterday - 2; d > yesterday-yearHistory; d-- {
		if !j.answered(a.AppID, d, 2) {
			return false
		}
	}
	return true
}

// checkOrdinary checks that accounts with traffic have had ordinary days.
func (y *year) checkOrdinary() {
	days := map[string]int{}
	for of := range y.ordinary {
		days[of.appID]++
	}
	for _, a := range y.accounts {
		if a.CallbacksPerDay == account(1).CallbacksPerDay && days[a.AppID] == 0 {
			y.fail(a.AppID, 0, datacube.DateOf(y.trueNow()), "had no ordinary day")
		}
	}
}
