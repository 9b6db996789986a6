package weixintest_test

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

func TestHourlyRowsAreTheTruth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	for _, app := range []string{shop, bot, quiet} {
		token := w.token(app)
		for back := range datacube.Date(20) {
			date := day(t, yesterday) - back
			r := w.hourly(token, date.String())
			w.wantCode(app, r, 0)
			var got datacube.Hours
			for _, row := range *r.List {
				if row.RefDate != date.String() || row.RefHour == nil || *row.RefHour%100 != 0 || *row.RefHour < 0 || *row.RefHour > 2300 {
					t.Fatalf("%s %s: a row of another period: %+v", app, date, row)
				}
				if row.CallbackCount == 0 {
					t.Errorf("%s %s: a row without traffic", app, date)
				}
				got[*row.RefHour/100] = row.figures()
			}
			if diff := cmp.Diff(w.Hours(app, date), got); diff != "" {
				t.Errorf("%s %s: the rows differ from the true figures (-want +got):\n%s", app, date, diff)
			}
		}
	}
}

func TestDailyRowsAreSumAndMaximumOfTheHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	end := day(t, yesterday)
	begin := end - 29
	for _, app := range []string{shop, bot} {
		r := w.daily(w.token(app), begin.String(), end.String())
		w.wantCode(app, r, 0)
		got := map[string]datacube.Figures{}
		for _, row := range *r.List {
			if row.RefHour != nil {
				t.Fatalf("%s: a daily row with ref_hour", app)
			}
			got[row.RefDate] = row.figures()
		}
		want := map[string]datacube.Figures{}
		for date := begin; date <= end; date++ {
			var sum datacube.Figures
			for _, f := range w.Hours(app, date) {
				sum.Callbacks += f.Callbacks
				sum.Failures += f.Failures
				sum.TimeCostMillis += f.TimeCostMillis
				sum.MaxTimeCostMillis = max(sum.MaxTimeCostMillis, f.MaxTimeCostMillis)
			}
			want[date.String()] = sum
			if w.Day(app, date) != sum {
				t.Errorf("%s %s: Day is not the sum of Hours", app, date)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", app, diff)
		}
	}
}

func TestOrderIsUnpromisedButDeterministic(t *testing.T) {
	t.Parallel()
	ask := func() reply {
		w := newWorld(t, weixintest.Options{Seed: 3})
		return w.daily(w.token(shop), "2026-10-20", yesterday)
	}
	first, second := ask(), ask()
	if !bytes.Equal(first.Body, second.Body) {
		t.Error("the same request got two responses")
	}
	if slices.IsSortedFunc(*first.List, func(a, b replyRow) int { return bytes.Compare([]byte(a.RefDate), []byte(b.RefDate)) }) {
		t.Error("the rows are in order, which Weixin does not guarantee")
	}
}

func TestUnknownKeyBesideList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	token := w.token(shop)
	with := 0
	for back := range datacube.Date(60) {
		r := w.hourly(token, (day(t, yesterday) - back).String())
		w.wantCode("hourly", r, 0)
		if bytes.Contains(r.Body, []byte(`,"is_delay":false}`)) {
			with++
		}
	}
	if with == 0 || with == 60 {
		t.Errorf("%d of 60 responses have a key beside list, want some", with)
	}
}

func TestNoTrafficIsAnEmptyList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	token := w.token(quiet)
	for _, r := range []reply{w.daily(token, "2026-11-01", yesterday), w.hourly(token, yesterday)} {
		w.wantCode("quiet", r, 0)
		if !bytes.HasPrefix(r.Body, []byte(`{"list":[]`)) {
			t.Errorf("body %s, want an empty list", r.Body)
		}
	}
}

func TestDateRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path, body string
		code             int
	}{
		{"one day", dailyPath, dates("2026-11-17", "2026-11-17"), 0},
		{"thirty days", dailyPath, dates("2026-10-19", "2026-11-17"), 0},
		{"thirty-one days", dailyPath, dates("2026-10-18", "2026-11-17"), 61501},
		{"begin after end", dailyPath, dates("2026-11-17", "2026-11-16"), 61501},
		{"today", dailyPath, dates("2026-11-18", "2026-11-18"), 61501},
		{"up to today", dailyPath, dates("2026-11-10", "2026-11-18"), 61501},
		{"the first day", dailyPath, dates("2014-12-01", "2014-12-01"), 0},
		{"before the first day", dailyPath, dates("2014-11-30", "2014-12-02"), 61501},
		{"centuries", dailyPath, dates("0001-01-01", "9999-12-31"), 61501},
		{"hourly: one day", hourlyPath, dates("2026-11-17", "2026-11-17"), 0},
		{"hourly: two days", hourlyPath, dates("2026-11-16", "2026-11-17"), 61501},
		{"hourly: begin after end", hourlyPath, dates("2026-11-17", "2026-11-16"), 61501},
		{"hourly: today", hourlyPath, dates("2026-11-18", "2026-11-18"), 61501},
		{"hourly: before the first day", hourlyPath, dates("2014-11-30", "2014-11-30"), 61501},
		{"no leading zero", dailyPath, dates("2026-11-7", "2026-11-17"), 61500},
		{"compact", dailyPath, dates("20261117", "20261117"), 61500},
		{"no such day", dailyPath, dates("2026-02-30", "2026-02-30"), 61500},
		{"with a time", dailyPath, dates("2026-11-17", "2026-11-17 00:00"), 61500},
		{"a number", dailyPath, `{"begin_date":20261117,"end_date":20261117}`, 61500},
		{"no begin", dailyPath, `{"end_date":"2026-11-17"}`, 61500},
		{"no end", hourlyPath, `{"begin_date":"2026-11-17"}`, 61500},
		{"names in capitals", dailyPath, `{"Begin_Date":"2026-11-17","End_Date":"2026-11-17"}`, 61500},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, weixintest.Options{})
			query := url.Values{"access_token": {w.token(shop)}}
			w.wantCode(c.body, w.send(http.MethodPost, c.path, query, c.body), c.code)
		})
	}
}

func TestYesterdayIsCountedInChina(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	w.clock.Set(time.Date(2026, 11, 17, 15, 59, 59, 0, time.UTC))
	token := w.token(shop)
	w.wantCode("a second before midnight", w.daily(token, yesterday, yesterday), 61501)
	w.clock.Advance(time.Second)
	w.wantCode("midnight in China", w.daily(token, yesterday, yesterday), 0)
}

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	query := url.Values{"access_token": {w.token(shop)}}
	for _, path := range []string{dailyPath, hourlyPath} {
		w.wantCode("fetched", w.send(http.MethodGet, path, query, ""), 43002)
		w.wantCode("empty", w.send(http.MethodPost, path, query, ""), 44002)
		w.wantCode("a form", w.send(http.MethodPost, path, query, "begin_date="+yesterday), 47001)
		w.wantCode("cut off", w.send(http.MethodPost, path, query, `{"begin_date":"2026`), 47001)
	}
}

func TestADayIsThereOnceItIsReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	morning := day(t, yesterday).End().Add(8 * time.Hour)
	w.clock.Set(morning.Add(-time.Second))
	token := w.token(shop)
	if r := w.hourly(token, yesterday); r.code() != 0 || len(*r.List) != 0 {
		t.Error("at 07:59:59 yesterday is already available")
	}
	if r := w.daily(token, "2026-11-16", yesterday); r.code() != 0 || len(*r.List) != 1 || (*r.List)[0].RefDate != "2026-11-16" {
		t.Error("at 07:59:59 the daily call does not have exactly the day before")
	}
	w.clock.Set(morning)
	if r := w.hourly(token, yesterday); r.code() != 0 || len(*r.List) == 0 {
		t.Error("at 08:00 yesterday is not available")
	}
	if r := w.daily(token, "2026-11-16", yesterday); r.code() != 0 || len(*r.List) != 2 {
		t.Error("at 08:00 the daily call does not have both days")
	}
}

func TestReadyIsTheCallersChoice(t *testing.T) {
	t.Parallel()
	late := day(t, "2026-11-18").Start().Add(13 * time.Hour)
	w := newWorld(t, weixintest.Options{Ready: func(appID string, date datacube.Date) time.Time {
		if appID == shop {
			return late
		}
		return date.End()
	}})
	if r := w.daily(w.token(shop), yesterday, yesterday); r.code() != 0 || len(*r.List) != 0 {
		t.Error("the shop's day is available too early")
	}
	if r := w.daily(w.token(bot), yesterday, yesterday); r.code() != 0 || len(*r.List) != 1 {
		t.Error("the bot's day is not available")
	}
	w.clock.Set(late)
	if r := w.daily(w.token(shop), yesterday, yesterday); r.code() != 0 || len(*r.List) != 1 {
		t.Error("the shop's day is not available in time")
	}
}

func TestQuotaIsPerCallAndChinaDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Accounts: []weixintest.Account{
		{AppID: shop, AppSecret: shopSecret, CallbacksPerDay: 100, Quota: 2},
		{AppID: bot, AppSecret: botSecret, CallbacksPerDay: 100},
	}})
	ask := func(want ...int) {
		t.Helper()
		token := w.token(shop)
		for _, code := range want {
			w.wantCode("daily", w.daily(token, "2026-11-16", "2026-11-16"), code)
		}
	}
	w.clock.Set(time.Date(2026, 11, 18, 15, 59, 0, 0, time.UTC))
	ask(0, 0, 45009, 45009)
	token := w.token(shop)
	w.wantCode("the other call", w.hourly(token, "2026-11-16"), 0)
	other := w.token(bot)
	for range 5 {
		w.wantCode("the other account", w.daily(other, "2026-11-16", "2026-11-16"), 0)
	}
	w.clock.Advance(59 * time.Second)
	ask(45009)
	w.clock.Advance(time.Second)
	ask(0, 0, 45009)
}

func TestErrcodeOfAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Accounts: []weixintest.Account{
		{AppID: shop, AppSecret: shopSecret, CallbacksPerDay: 100, Errcode: 48001},
	}})
	token := w.token(shop)
	w.wantCode("daily", w.daily(token, yesterday, yesterday), 48001)
	w.wantCode("hourly", w.hourly(token, yesterday), 48001)
	w.wantCode("no token", w.hourly("", yesterday), 41001)
	if w.Day(shop, day(t, yesterday)).Callbacks == 0 {
		t.Error("an account without permission has no traffic, want some")
	}
}

func TestCallsAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	at := w.clock.Now()
	w.legacy(bot, botSecret)
	token := w.token(shop)
	w.clock.Advance(time.Minute)
	w.daily(token, "2026-11-10", yesterday)
	w.hourly(token, "2026-11-19")
	w.hourly("", "never")
	w.clock.Advance(2 * time.Hour)
	w.daily(token, yesterday, yesterday)
	other := w.send(http.MethodPost, "/cgi-bin/clear_quota", nil, "{}")
	if other.Status != http.StatusNotFound || other.ContentType != "text/html; charset=utf-8" || !bytes.Contains(other.Body, []byte("404 Not Found")) {
		t.Errorf("an unknown path: status %d, type %q", other.Status, other.ContentType)
	}
	soon, later := at.Add(time.Minute), at.Add(2*time.Hour+time.Minute)
	want := []weixintest.Call{
		{At: at, API: "token", AppID: bot},
		{At: at, API: "stable_token", AppID: shop},
		{At: soon, API: "daily", AppID: shop, Begin: day(t, "2026-11-10"), End: day(t, yesterday)},
		{At: soon, API: "hourly", AppID: shop, Begin: day(t, "2026-11-19"), End: day(t, "2026-11-19"), Errcode: 61501},
		{At: soon, API: "hourly", Errcode: 41001},
		{At: later, API: "daily", Begin: day(t, yesterday), End: day(t, yesterday), Errcode: 42001},
		{At: later, API: "/cgi-bin/clear_quota", Errcode: weixintest.NoAnswer},
	}
	got := w.Calls()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got[0].API = "changed"
	if w.Calls()[0].API != "token" {
		t.Error("the result of Calls is shared")
	}
}
