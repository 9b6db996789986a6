package weixintest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/weixintest"
)

func TestFaultErrcode(t *testing.T) {
	t.Parallel()
	for code, message := range map[int]string{
		-1:    "system error",
		40164: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist",
		40243: "app secret frozen",
		45009: "reach max api daily quota limit",
		45011: "api minute-quota reach limit, mustslower, retry next minute",
		47009: "", 48004: "", 50002: "user limited",
		61003: "", 61004: "access clientip is not registered requestIP: 203.0.113.7", 61005: "", 61006: "",
		61007: "api is unauthorized to component", 61011: "", 61016: "",
		61023: "refresh_token is invalid", 61024: "", 61450: "system error",
		61503: "data not ready, please try later", 89501: "", 89503: "", 89506: "", 89507: "", 76021: "cgi_path not found, please check", 99999: "unknown error",
	} {
		w := newWorld(t, weixintest.Options{})
		remove := w.Inject(weixintest.Fault{Errcode: code})
		defer remove()
		for _, r := range []reply{w.stable(shop, shopSecret, false), w.legacy(shop, shopSecret), w.daily("", yesterday, yesterday)} {
			w.wantCode("fault", r, code)
			if !strings.HasPrefix(r.Errmsg, message) || len(r.Errmsg) < len(message)+5 || r.ContentType != "text/plain" {
				t.Errorf("errcode %d: errmsg %q, type %q", code, r.Errmsg, r.ContentType)
			}
		}
	}
}

func TestErrmsgIsDecoratedInTheFormsThatWereSeen(t *testing.T) {
	t.Parallel()
	forms := []*regexp.Regexp{
		regexp.MustCompile(`^api unauthorized rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`),
		regexp.MustCompile(`^api unauthorized, rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`),
		regexp.MustCompile(`^api unauthorized hint: \[[0-9a-f]{6}\]$`),
		regexp.MustCompile(`^api unauthorized, hints: \[ req_id: [0-9a-f]{8} \]$`),
		regexp.MustCompile(`^api unauthorized, more details at https://\S+ rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`),
	}
	w := newWorld(t, weixintest.Options{})
	w.Inject(weixintest.Fault{Errcode: 48001})
	seen := make([]int, len(forms))
	messages := map[string]bool{}
	for range 10 {
		r := w.daily("", yesterday, yesterday)
		messages[r.Errmsg] = true
		i := slices.IndexFunc(forms, func(form *regexp.Regexp) bool { return form.MatchString(r.Errmsg) })
		if i < 0 {
			t.Fatalf("errmsg %q has none of the forms", r.Errmsg)
		}
		seen[i]++
	}
	if want := []int{2, 2, 2, 2, 2}; !slices.Equal(seen, want) || len(messages) != 10 {
		t.Errorf("forms %v, want %v; %d messages that differ, want 10", seen, want, len(messages))
	}
}

func TestFaultErrcodeAsText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	w.Inject(weixintest.Fault{Errcode: 40164, Text: true})
	if r := w.daily("", yesterday, yesterday); r.Errcode != "40164" {
		t.Errorf("errcode %#v, want the text 40164", r.Errcode)
	}
	if got := w.Calls()[0].Errcode; got != 40164 {
		t.Errorf("recorded as %d, want 40164", got)
	}
}

func TestFaultsBelowJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		fault       weixintest.Fault
		status      int
		contentType string
		body        string
	}{
		{"gateway", weixintest.Fault{Status: 502}, 502, "text/html; charset=utf-8", "<html>"},
		{"empty", weixintest.Fault{Empty: true}, 200, "text/html; charset=gbk", ""},
		{"bytes", weixintest.Fault{Body: []byte(`{"list":`)}, 200, "text/plain", `{"list":`},
		{"no bytes", weixintest.Fault{Body: []byte{}}, 200, "text/plain", ""},
		{"status and bytes", weixintest.Fault{Status: 429, Body: []byte("slow down")}, 429, "text/plain", "slow down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, weixintest.Options{})
			remove := w.Inject(c.fault)
			r := w.daily("", yesterday, yesterday)
			if r.Status != c.status || r.ContentType != c.contentType || !bytes.HasPrefix(r.Body, []byte(c.body)) || c.body == "" && len(r.Body) > 0 {
				t.Errorf("status %d, type %q, body %q", r.Status, r.ContentType, r.Body)
			}
			if got := w.Calls()[0].Errcode; got != -2 {
				t.Errorf("recorded as %d, want -2", got)
			}
			remove()
			remove()
			w.wantCode("after its removal", w.daily("", yesterday, yesterday), 41001)
		})
	}
}

func TestFaultStatusWithErrcode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	w.Inject(weixintest.Fault{Status: 500, Errcode: -1})
	if r := w.daily("", yesterday, yesterday); r.Status != 500 || r.code() != -1 {
		t.Errorf("status %d, errcode %v, want 500 and -1", r.Status, r.Errcode)
	}
}

func TestFaultResetInProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	w.Inject(weixintest.Fault{Reset: true, Times: 1})
	_, err := w.try(http.MethodGet, "/cgi-bin/token", nil, "")
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset connection", err)
	}
	w.wantCode("afterwards", w.legacy(shop, shopSecret), 0)
	if got := w.Calls(); len(got) != 2 || got[0].Errcode != weixintest.NoAnswer {
		t.Errorf("recorded as %+v", got)
	}
}

func TestFaultsMatchAccountAndCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	shopToken, botToken := w.token(shop), w.token(bot)
	check := func(what string, codes [5]int) {
		t.Helper()
		w.wantCode(what+": the shop's daily call", w.daily(shopToken, yesterday, yesterday), codes[0])
		w.wantCode(what+": the shop's hourly call", w.hourly(shopToken, yesterday), codes[1])
		w.wantCode(what+": the shop's stable token", w.stable(shop, shopSecret, false), codes[2])
		w.wantCode(what+": the shop's old token", w.legacy(shop, shopSecret), codes[3])
		w.wantCode(what+": the bot's daily call", w.daily(botToken, yesterday, yesterday), codes[4])
	}
	for _, c := range []struct {
		name  string
		fault weixintest.Fault
		codes [5]int
	}{
		{"all", weixintest.Fault{Errcode: -1}, [5]int{-1, -1, -1, -1, -1}},
		{"account", weixintest.Fault{Errcode: -1, AppID: shop}, [5]int{-1, -1, -1, -1, 0}},
		{"daily", weixintest.Fault{Errcode: -1, API: "daily"}, [5]int{-1, 0, 0, 0, -1}},
		{"token", weixintest.Fault{Errcode: -1, API: "token"}, [5]int{0, 0, -1, -1, 0}},
		{"stable token", weixintest.Fault{Errcode: -1, API: "stable_token"}, [5]int{0, 0, -1, 0, 0}},
		{"both", weixintest.Fault{Errcode: -1, API: "hourly", AppID: shop}, [5]int{0, -1, 0, 0, 0}},
		{"nothing", weixintest.Fault{}, [5]int{}},
	} {
		remove := w.Inject(c.fault)
		check(c.name, c.codes)
		remove()
	}
	check("removed", [5]int{})
}

func TestFaultsApplyInOrderAndAreCountedDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	token := w.token(shop)
	w.Inject(weixintest.Fault{API: "hourly", Errcode: 48001, Times: 1})
	w.Inject(weixintest.Fault{Errcode: 45011, Times: 2})
	w.Inject(weixintest.Fault{AppID: shop, Errcode: 61503})
	for i, want := range []int{45011, 45011, 61503, 61503} {
		w.wantCode("daily call "+string(rune('1'+i)), w.daily(token, yesterday, yesterday), want)
	}
	w.wantCode("hourly, first", w.hourly(token, yesterday), 48001)
	w.wantCode("hourly, second", w.hourly(token, yesterday), 61503)
}

func TestFaultKnowsTheAccountOfADeadToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	token := w.token(shop)
	w.stable(shop, shopSecret, true)
	w.Inject(weixintest.Fault{AppID: shop, Errcode: -1, Times: 1})
	w.wantCode("with the fault", w.daily(token, yesterday, yesterday), -1)
	w.wantCode("without", w.daily(token, yesterday, yesterday), 40001)
	if c := w.Calls()[2]; c.AppID != "" {
		t.Errorf("a call with an invalid token is recorded for %q", c.AppID)
	}
}

func TestFaultNoRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	token := w.token(shop)
	w.Inject(weixintest.Fault{NoRows: true, Times: 2})
	w.wantCode("no token", w.daily("", yesterday, yesterday), 41001) // such a call does not count for the fault
	w.token(shop)                                                    // neither does this
	for range 2 {
		if r := w.daily(token, yesterday, yesterday); r.code() != 0 || !bytes.HasPrefix(r.Body, []byte(`{"list":[]`)) {
			t.Errorf("body %s, want an empty list", r.Body)
		}
	}
	if r := w.daily(token, yesterday, yesterday); len(*r.List) != 1 {
		t.Error("no row after the fault")
	}
}

func TestFaultsThatTakeRowsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	token := w.token(shop)
	hours, days := len(*w.hourly(token, yesterday).List), len(*w.daily(token, "2026-11-10", yesterday).List)
	end := w.Inject(weixintest.Fault{Partial: true})
	if n := len(*w.hourly(token, yesterday).List); n != hours/2 {
		t.Errorf("%d of %d hours are left", n, hours)
	}
	if n := len(*w.daily(token, "2026-11-10", yesterday).List); n != days/2 {
		t.Errorf("%d of %d days are left", n, days)
	}
	w.wantCode("an error stays one", w.daily(token, yesterday, "2026-11-18"), 61501)
	end()
	w.Inject(weixintest.Fault{Elsewhere: true})
	got, counts := sift(t, w.daily(token, "2026-11-10", yesterday), "2026-11-10", yesterday)
	if len(got) != 0 || !cmp.Equal(counts, map[string]int{"range": 2}) {
		t.Errorf("%d rows in range, %v; want two rows out of range only", len(got), counts)
	}
}

func TestFaultTruncated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	token := w.token(shop)
	whole := w.hourly(token, yesterday).Body
	w.Inject(weixintest.Fault{Truncated: true})
	if got := w.hourly(token, yesterday).Body; !bytes.Equal(got, whole[:len(whole)/2]) {
		t.Errorf("%d bytes instead of the first half of %d", len(got), len(whole))
	}
	if c := w.Calls()[2]; c.Errcode != weixintest.NoAnswer {
		t.Errorf("the call is recorded with errcode %d", c.Errcode)
	}
}

func TestFaultsThatAddRows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                 string
		fault                weixintest.Fault
		hourly, daily, quiet map[string]int
	}{
		{
			"stray", weixintest.Fault{Stray: true},
			map[string]int{"range": 2, "double": 1}, map[string]int{"range": 2, "double": 1}, map[string]int{"range": 2},
		},
		{
			"garbled", weixintest.Fault{Garbled: true},
			map[string]int{"value": 2, "double": 1, "hour": 3}, map[string]int{"value": 2, "double": 1},
			map[string]int{"value": 2, "hour": 3},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, weixintest.Options{Seed: 3})
			token := w.token(shop)
			right := w.hourly(token, yesterday)
			daily := w.daily(token, "2026-11-10", yesterday)
			w.Inject(c.fault)

			got, counts := sift(t, w.hourly(token, yesterday), yesterday, yesterday)
			if diff := cmp.Diff(*right.List, got); diff != "" {
				t.Errorf("hourly: the correct rows are not all present (-want +got):\n%s", diff)
			}
			if !cmp.Equal(counts, c.hourly) {
				t.Errorf("hourly: %v, want %v", counts, c.hourly)
			}
			got, counts = sift(t, w.daily(token, "2026-11-10", yesterday), "2026-11-10", yesterday)
			if diff := cmp.Diff(*daily.List, got); diff != "" {
				t.Errorf("daily: the correct rows are not all present (-want +got):\n%s", diff)
			}
			if !cmp.Equal(counts, c.daily) {
				t.Errorf("daily: %v, want %v", counts, c.daily)
			}
			_, counts = sift(t, w.hourly(w.token(quiet), yesterday), yesterday, yesterday)
			if !cmp.Equal(counts, c.quiet) {
				t.Errorf("without traffic: %v, want %v", counts, c.quiet)
			}
			w.wantCode("an error stays one", w.daily(token, yesterday, "2026-11-18"), 61501)
		})
	}
}

// sift returns the valid rows, and counts the others by what is wrong.
func sift(t *testing.T, r reply, begin, end string) ([]replyRow, map[string]int) {
	t.Helper()
	var kept []replyRow
	seen, counts := map[string]bool{}, map[string]int{}
	for _, row := range *r.List {
		hour := 0
		if row.RefHour != nil {
			hour = *row.RefHour
		}
		key, err := json.Marshal([]any{row.RefDate, hour})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case row.RefDate < begin || row.RefDate > end:
			counts["range"]++
		case hour < 0 || hour > 2300 || hour%100 != 0:
			counts["hour"]++
		case row.TotalTimeCost < 0 || row.FailCount > row.CallbackCount:
			counts["value"]++
		case seen[string(key)]:
			counts["double"]++
		default:
			seen[string(key)] = true
			kept = append(kept, row)
		}
	}
	return kept, counts
}
