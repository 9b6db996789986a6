package refresh_test

import (
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

const hour = time.Hour

// ofRows is the number of kinds at the end of yearFaults that change the rows of an answer.
const ofRows = 8

// kind is a kind of fault, and how long it lasts at most.
type kind struct {
	weixintest.Fault
	most time.Duration
}

// yearFaults returns every kind of fault that Weixin is known for: each errcode that the client explains and one that it
// does not, and every way in which the simulator answers wrongly.
func yearFaults() []kind {
	var kinds []kind
	for _, code := range explainedErrcodes() {
		kinds = append(kinds, kind{weixintest.Fault{Errcode: code}, 40 * hour})
	}
	return append(kinds, []kind{
		{weixintest.Fault{Errcode: 99999}, 40 * hour},
		{weixintest.Fault{Errcode: 45009, Text: true}, 40 * hour},
		{weixintest.Fault{Errcode: 61503, Text: true}, 90 * hour},
		{weixintest.Fault{Errcode: 40001, Times: 1}, 40 * hour}, // the next token is accepted
		{weixintest.Fault{Errcode: 40164, API: "token"}, 40 * hour},
		{weixintest.Fault{Errcode: 40125, API: "token"}, 40 * hour},
		{weixintest.Fault{Status: http.StatusBadGateway, API: "token"}, 20 * hour},
		{weixintest.Fault{Delay: time.Minute}, 20 * hour}, // longer than the timeout
		{weixintest.Fault{Delay: 3 * time.Second}, 20 * hour},
		{weixintest.Fault{Reset: true}, 20 * hour},
		{weixintest.Fault{Status: http.StatusInternalServerError}, 20 * hour},
		{weixintest.Fault{Status: http.StatusBadGateway}, 20 * hour},
		{weixintest.Fault{Status: http.StatusTooManyRequests}, 20 * hour},
		{weixintest.Fault{Empty: true}, 20 * hour},
		{weixintest.Fault{Body: []byte(`<html><body>login</body></html>`)}, 20 * hour},
		{weixintest.Fault{Body: []byte("{\"errcode\":-1,\"errmsg\":\"\xcf\xb5\xcd\xb3\xb7\xb1\xc3\xa6\"}")}, 20 * hour}, // 系统繁忙 in GBK
		{weixintest.Fault{Body: []byte(`{"list":null}`)}, 20 * hour},
		{weixintest.Fault{Body: []byte(`{"list":[null]}`)}, 20 * hour},
		{weixintest.Fault{Body: []byte(`{"list":[{"ref_date":"2026-02-30","callback_count":1}]}`)}, 20 * hour},
		{weixintest.Fault{Body: []byte(`{}`)}, 20 * hour},
		{weixintest.Fault{Truncated: true}, 20 * hour},
		{weixintest.Fault{NoRows: true}, 168 * hour},
		{weixintest.Fault{NoRows: true, API: "daily"}, 168 * hour},
		{weixintest.Fault{NoRows: true, API: "hourly"}, 168 * hour},
		{weixintest.Fault{Partial: true}, 96 * hour},
		{weixintest.Fault{Partial: true, API: "hourly"}, 96 * hour},
		{weixintest.Fault{Elsewhere: true}, 96 * hour},
		{weixintest.Fault{Stray: true}, 96 * hour},
		{weixintest.Fault{Garbled: true}, 96 * hour},
	}...)
}

// explainedErrcodes returns the errcodes that the client knows.
func explainedErrcodes() []int {
	codes := []int{-1}
	for code := 40000; code < 100000; code++ {
		if weixin.AdviceOn(code).Code != weixin.Unknown.Advice().Code {
			codes = append(codes, code)
		}
	}
	return codes
}

// TestYearHasTheErrcodes that documents name for these calls.
func TestYearHasTheErrcodes(t *testing.T) {
	t.Parallel()
	codes := explainedErrcodes()
	for _, code := range []int{-1, 40001, 40013, 40125, 40164, 42001, 45009, 45011, 48001, 61501, 61503, 89506} {
		if !slices.Contains(codes, code) {
			t.Errorf("errcode %d is not among %v", code, codes)
		}
	}
}

// setting returns a number from the environment, by which make torture runs more than the gate.
func setting(t *testing.T, name string, ordinary int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return ordinary
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// trouble is something that happens at some time of a year.
type trouble struct {
	at time.Time // the true time
	do func(*year)
}

// A year has phases: 28 days with faults and 32 without. So one of the verifications of a day, of which the last two are 30 days
// apart, is answered correctly. After the last of the faults a month follows, in which all verifications are due once.
const (
	phase     = 60
	faultDays = 28
	quietEnd  = 34
)

// faultsADay is the number of faults that begin on a day with faults.
func faultsADay(accounts int) time.Duration { return time.Duration(1 + accounts/20) }

func (y *year) faulty(round int) bool { return round%phase < faultDays && round < y.rounds-quietEnd }

// troubles returns what happens on a day.
func (y *year) troubles(round int, today datacube.Date) []trouble {
	random := y.random
	var list []trouble
	add := func(at time.Duration, do func(*year)) { list = append(list, trouble{today.Start().Add(at), do}) }
	sometime := func() time.Duration { return time.Duration(random.Int64N(int64(24 * hour))).Truncate(time.Second) }
	if random.IntN(12) == 0 {
		add(sometime(), (*year).restart)
	}
	if random.IntN(15) == 0 {
		add(sometime(), (*year).reload)
	}
	if random.IntN(3) == 0 {
		// A revision is found if it is made before the only recheck, a day after the first answer.
		a, at := random.IntN(len(y.accounts)), 9*hour+time.Duration(random.IntN(14))*hour
		if y.calm(round) {
			add(at, func(y *year) { y.revise(y.accounts[a].AppID, today-1) })
		}
	}
	if !y.faulty(round) {
		return list
	}
	left := today.Start().Add(time.Duration(min(faultDays-round%phase, y.rounds-quietEnd-round)*24) * hour)
	for range faultsADay(len(y.accounts)) {
		y.addFault(&list, today.Start().Add(sometime()), left, round)
	}
	if round >= phase && y.upset[round] {
		at := sometime()
		switch y.random.IntN(3) {
		case 0:
			d := time.Duration(1+random.IntN(70)) * hour
			add(at, func(y *year) { y.suspend(d) })
		case 1:
			step := []time.Duration{-90 * time.Minute, 10 * time.Minute, 7 * hour, 30 * hour, 60 * hour, -50 * hour, 10 * 24 * hour}[random.IntN(7)]
			y.stepClock(&list, at, step, time.Duration(1+random.IntN(30))*hour, today)
		default:
			step := []time.Duration{aYear, -aYear}[random.IntN(2)]
			y.stepClock(&list, at, step, time.Duration(1+random.IntN(12))*hour, today)
		}
	}
	return list
}

// addFault adds a fault: in the first phase the one of the account, alone, and later any.
func (y *year) addFault(list *[]trouble, at, end time.Time, round int) {
	alone, n := round < phase, len(y.accounts)
	i, a := y.random.IntN(len(y.kinds)), y.random.IntN(n)
	switch {
	case alone:
		next := len(y.alone) + 1
		i, a = (next+faultDays*int(y.seed))%len(y.kinds), next%n
		y.alone = append(y.alone, i)
	case y.random.IntN(2) == 0:
		i = len(y.kinds) - 1 - y.random.IntN(ofRows) // those are the hardest to see through
	}
	k := y.kinds[i]
	k.AppID = y.accounts[a].AppID
	switch {
	case alone:
		k.most = min(k.most, time.Duration(max(n-1, 1))*24*hour/faultsADay(n)) // until the account's next one
	case y.random.IntN(20) == 0:
		k.AppID = "" // all accounts, for a shorter time
		k.most /= 8
	}
	if k.API == "" && y.random.IntN(3) == 0 {
		apis := []string{"daily", "hourly"}
		if y.config.Quota {
			apis = append(apis, "quota")
		}
		k.API = apis[y.random.IntN(len(apis))]
	}
	until := at.Add(hour + time.Duration(y.random.Int64N(int64(k.most))))
	if until.After(end) {
		until = end
	}
	*list = append(*list, trouble{at, func(y *year) {
		remove := y.sim.Inject(k.Fault)
		y.ends = append(y.ends, trouble{until, func(*year) { remove() }})
	}})
}

// stepClock sets the clock of the host, and sets it right again after d.
func (y *year) stepClock(list *[]trouble, at, step, d time.Duration, today datacube.Date) {
	begin := today.Start().Add(at)
	*list = append(*list, trouble{begin, func(y *year) {
		y.setHost(step)
		y.ends = append(y.ends, trouble{begin.Add(d), func(y *year) { y.endStep(step) }})
	}})
}

// calm reports whether the clock is right on a day and those around it.
func (y *year) calm(round int) bool {
	for r := round - 4; r <= round+3; r++ {
		if r >= 0 && r < y.rounds && y.upset[r] {
			return false
		}
	}
	return true
}

// newUpset chooses the days on which the clock is set or the host suspended.
func newUpset(random *rand.Rand, rounds int) [mostRounds]bool {
	var upset [mostRounds]bool
	for r := phase; r < rounds-quietEnd-4; r++ {
		upset[r] = r%phase < faultDays-4 && random.IntN(14) == 0
	}
	return upset
}
