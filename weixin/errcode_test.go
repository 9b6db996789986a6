package weixin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// refusalOf returns the error of the daily call, or of a token call, whose response is body.
func refusalOf(t *testing.T, api, body string) *weixin.Error {
	t.Helper()
	client := clientOn(always(200, body))
	var err error
	if api == "token" {
		_, err = client.StableToken(credentials()).Fetch(t.Context())
	} else {
		day := date(t, "2026-11-01")
		_, err = client.Account(fixed(theToken)).InterfaceSummary(t.Context(), day, day)
	}
	var refusal *weixin.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, want an *Error", err)
	}
	wantClean(t, err)
	return refusal
}

func TestErrcodes(t *testing.T) {
	reasons := map[weixin.Reason][]int{
		weixin.Busy:          {-1, 61450},
		weixin.Token:         {40001, 40014, 42001},
		weixin.Config:        {40013, 40125, 40002, 41002, 41004, 40243, 40201},
		weixin.AllowList:     {40164, 89501, 89503, 89506, 89507},
		weixin.Quota:         {45009, 48006},
		weixin.Rate:          {45011},
		weixin.Retired:       {47009},
		weixin.Permission:    {40234, 48001, 48004, 76003, 76022, 61003, 61004, 61005, 61006, 61007, 61011, 61016, 61023, 61024},
		weixin.AccountClosed: {50002},
		weixin.Range:         {61500, 61501, 76001},
		weixin.NotReady:      {61503},
		weixin.Bug:           {41001, 43002, 44002, 47001, 76002, 76021, 40202, 40203},
		weixin.Unknown:       {1, 40003, 99999},
	}
	waits := map[int]time.Duration{89506: 24 * time.Hour, 89507: time.Hour, 45011: time.Minute}
	for reason, codes := range reasons {
		for _, code := range codes {
			for _, form := range []string{`%d`, `"%d"`} {
				body := fmt.Sprintf(`{"errcode":`+form+`,"errmsg":"some words rid: 5f9b7285-5c43096f-0ba75f4d"}`, code)
				got := refusalOf(t, "daily", body)
				message := got.Errmsg
				if reason == weixin.Token {
					message = strings.TrimSuffix(message, "; the renewed token is the refused one")
				}
				if got.Reason != reason || got.Errcode != code || got.API != "daily" || got.Wait != waits[code] ||
					message != "some words" || got.RID != "5f9b7285-5c43096f-0ba75f4d" || got.Err != nil {
					t.Errorf("%s: got %+v for reason %s, want reason %s", body, got, got.Reason, reason)
				}
				if weixin.ReasonOf(fmt.Errorf("round: %w", got)) != reason {
					t.Errorf("%d: ReasonOf gives %s", code, weixin.ReasonOf(got))
				}
				advice := got.Advice().String()
				if len(advice) < 40 || !strings.HasSuffix(advice, ".") || strings.Contains(advice, "{") {
					t.Errorf("%d: advice %q", code, advice)
				}
			}
		}
	}
}

func TestRefusedTokenOfTheTokenCallIsConfiguration(t *testing.T) {
	got := refusalOf(t, "token", `{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest"}`)
	if got.Reason != weixin.Config || got.Errcode != 40001 || got.API != "token" {
		t.Errorf("got %+v for reason %s, want reason config", got, got.Reason)
	}
	if !strings.Contains(got.Advice().String(), "app secret") {
		t.Errorf("advice %q says nothing of the app secret", got.Advice().String())
	}
}

func TestErrmsgIsCleaned(t *testing.T) {
	const rid = "5f9b7285-5c43096f-0ba75f4d"
	tests := []struct{ errmsg, message, rid string }{
		{"system error", "system error", ""},
		{"api unauthorized rid: " + rid, "api unauthorized", rid},
		{"api unauthorized, rid: " + rid, "api unauthorized", rid},
		{"api unauthorized RID:" + rid, "api unauthorized", rid},
		{"access_token expired hint: [abc123]", "access_token expired", ""},
		{"access_token expired hint: [abc123] rid: " + rid, "access_token expired", rid},
		{"access_token expired rid: " + rid + " hint: [abc123]", "access_token expired", rid},
		{"invalid appsecret, hints: [ req_id: abc ]", "invalid appsecret", ""},
		{"invalid appsecret, view more at http://t.example/RAEkdVq, hints: [ req_id: abc ]", "invalid appsecret", ""},
		{"invalid appsecret hints: [ req_id: abc", "invalid appsecret", ""},
		{"invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, " +
			"more details at https://mmbizurl.example/s/JtxxFh33r rid: " + rid,
			"invalid credential, access_token is invalid or not latest", rid},
		{"api forbidden for irregularities, view detail on mp.weixin.qq.com rid: " + rid,
			"api forbidden for irregularities", rid},
		{"see https://developers.example/x?y=z", "", ""},
		{"the grid: is fine", "the grid: is fine", ""},
		{"two\nlines\tand \u0007 a bell \u202e rid: " + rid, "two lines and a bell", rid},
		{"系统繁忙 rid: " + rid, "系统繁忙", rid},
		{strings.Repeat("好", 500), strings.Repeat("好", 200) + "…", ""},
		{strings.Repeat("x", 9000) + " rid: " + rid, strings.Repeat("x", 200) + "…", ""},
	}
	for _, test := range tests {
		got := refusalOf(t, "daily", fmt.Sprintf(`{"errcode":48001,"errmsg":%q}`, jsonSafe(test.errmsg)))
		if got.Errmsg != test.message || got.RID != test.rid {
			t.Errorf("%.60q: got message %q and rid %q", test.errmsg, got.Errmsg, got.RID)
		}
	}
}

// jsonSafe removes the bell, the only character here that %q writes in another way than JSON.
func jsonSafe(text string) string { return strings.ReplaceAll(text, "\a", "\b") }

func TestErrmsgThatIsNoString(t *testing.T) {
	for _, errmsg := range []string{`null`, `17`, `{"a":1}`, `["x"]`} {
		got := refusalOf(t, "daily", `{"errcode":48001,"errmsg":`+errmsg+`}`)
		if got.Errcode != 48001 || got.Errmsg != "" {
			t.Errorf("%s: got %+v", errmsg, got)
		}
	}
}

func TestAddressThatWeixinSaw(t *testing.T) {
	tests := []struct {
		code            int
		errmsg, address string
	}{
		{40164, "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 5f9b7285-5c43096f-0ba75f4d", "203.0.113.7"},
		{40164, "invalid ip ::ffff:203.0.113.7, not in whitelist", "203.0.113.7"},
		{40164, "invalid ip 2001:db8::7 ipv6 2001:db8::7, not in whitelist", "2001:db8::7"},
		{40164, "invalid ip, not in whitelist", ""},
		{40164, "invalid ip 203.0.113.777, not in whitelist", ""},
		{61004, "access clientip is not registered requestIP: 203.0.113.7", "203.0.113.7"},
		{61004, "access clientip is not registered requestIP:203.0.113.7.", "203.0.113.7"},
		{48001, "api unauthorized 203.0.113.7", ""},
	}
	for _, test := range tests {
		got := refusalOf(t, "token", fmt.Sprintf(`{"errcode":%d,"errmsg":%q}`, test.code, test.errmsg))
		if got.Address != test.address {
			t.Errorf("%s: got address %q, want %q", test.errmsg, got.Address, test.address)
		}
		if !strings.Contains(got.Advice().String(), test.address) {
			t.Errorf("%s: advice %q does not name the address", test.errmsg, got.Advice().String())
		}
	}
}

func TestAdvice(t *testing.T) {
	tests := []struct {
		err  weixin.Error
		want string
	}{
		{weixin.Error{Reason: weixin.AllowList, Errcode: 40164, Address: "203.0.113.7"},
			"Add 203.0.113.7, the address that Weixin saw, to the IP allow list of the account " +
				"at developers.weixin.qq.com/platform under 基础信息 → 开发密钥. The list takes addresses and CIDR ranges, no *, " +
				"takes a few minutes to apply, and also applies to calls with a token."},
		{weixin.Error{Reason: weixin.AllowList, Errcode: 40164},
			"Add the address of this machine to the IP allow list of the account " +
				"at developers.weixin.qq.com/platform under 基础信息 → 开发密钥. The list takes addresses and CIDR ranges, no *, " +
				"takes a few minutes to apply, and also applies to calls with a token."},
		{weixin.Error{Reason: weixin.AllowList, Errcode: 89507, Address: "203.0.113.7"},
			"An administrator of the account has refused 203.0.113.7, the address that Weixin saw, once, so Weixin blocks " +
				"it for an hour: settle it with the administrator, then add it to the IP allow list at " +
				"developers.weixin.qq.com/platform under 基础信息 → 开发密钥."},
		{weixin.Error{Reason: weixin.Config, Errcode: 40013},
			"The app id is wrong: compare it with the AppID of this account at developers.weixin.qq.com/platform under 基础信息."},
		{weixin.Error{Reason: weixin.Quota, Errcode: 45009},
			"The account's calls of this day are used up; its quota starts again at midnight in China: look up at " +
				"developers.weixin.qq.com/platform under 接口管理 → 接口权限与额度 how many calls it has, possibly none, and find out what else uses them."},
		{weixin.Error{Reason: 200},
			"The documents do not explain this error: look for its code at developers.weixin.qq.com, " +
				"look up its rid at developers.weixin.qq.com/platform under 接口中心 → API 诊断, or give the rid to Weixin's support."},
	}
	for _, test := range tests {
		if got := test.err.Advice().String(); got != test.want {
			t.Errorf("%d:\ngot  %s\nwant %s", test.err.Errcode, got, test.want)
		}
	}
}

// Every error has advice with one of the codes that AdviceCodes lists.
func TestAdviceCodes(t *testing.T) {
	codes := weixin.AdviceCodes()
	if !slices.IsSorted(codes) {
		t.Errorf("the codes are not sorted: %q", codes)
	}
	used := map[string]bool{}
	see := func(e weixin.Error) {
		advice := e.Advice()
		used[advice.Code] = true
		if !slices.Contains(codes, advice.Code) {
			t.Errorf("errcode %d, reason %s: the code %q is not among AdviceCodes", e.Errcode, e.Reason, advice.Code)
		}
	}
	for code := -1; code < 100_000; code++ {
		see(weixin.Error{API: weixin.DailyAPI, Errcode: code})
	}
	for reason := range weixin.Reasons {
		see(weixin.Error{Reason: reason})
	}
	for _, code := range codes {
		advice := weixin.Advice{Code: code, Address: "203.0.113.7", Origin: weixin.Origin{File: "/run/token"}}
		text := advice.String()
		if len(text) < 40 || !strings.HasSuffix(text, ".") || strings.Contains(text, "{") || strings.Contains(text, "console") {
			t.Errorf("%s: advice %q", code, text)
		}
		// The others are about files and token servers: their tests look at the text.
		if ofOrigin := strings.Contains(text, "the file ") || strings.Contains(code, "token"); !used[code] && !ofOrigin {
			t.Errorf("no error has the advice %s", code)
		}
	}
}

func TestNote(t *testing.T) {
	refused := weixin.Error{API: weixin.DailyAPI, Reason: weixin.Token, Errcode: 40001, Errmsg: "refused", RID: "5f9b7285", Note: weixin.SameToken}
	elsewhere := refused
	elsewhere.Origin = weixin.Origin{File: "/run/token"}
	other := elsewhere
	other.Note = weixin.OtherTokenRefused
	for want, e := range map[string]weixin.Error{
		"errcode 40001: refused; the renewed token is the refused one (rid 5f9b7285)":                        refused,
		"errcode 40001: refused; the file /run/token still has the token that Weixin refused (rid 5f9b7285)": elsewhere,
		"errcode 40001: refused (rid 5f9b7285)":                                                              other,
	} {
		if got := e.Detail(); got != want {
			t.Errorf("detail %q, want %q", got, want)
		}
		if got := e.Error(); got != "asking Weixin for the daily interface summary: "+want {
			t.Errorf("error %q", got)
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  weixin.Error
		want string
	}{
		{weixin.Error{API: "hourly", Errcode: 48001, Errmsg: "api unauthorized", RID: "5f9b7285"},
			"asking Weixin for the hourly interface summary: errcode 48001: api unauthorized (rid 5f9b7285)"},
		{weixin.Error{API: "daily", Errcode: -1}, "asking Weixin for the daily interface summary: errcode -1"},
		{weixin.Error{API: "token", Err: errors.New("HTTP status 502 Bad Gateway")},
			"asking Weixin for an access token: HTTP status 502 Bad Gateway"},
		{weixin.Error{API: "quota", Err: errors.New("no response")}, "asking Weixin for the quota: no response"},
		{weixin.Error{API: "other", Err: errors.New("no response")}, "asking Weixin: no response"},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if test.err.Err != nil && !errors.Is(&test.err, test.err.Err) {
			t.Errorf("%s: the cause is lost", test.want)
		}
	}
}

func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for reason := range weixin.Reasons {
		seen[reason.String()] = true
	}
	for reason := range weixin.Rejections {
		seen[reason.String()] = true
	}
	if len(seen) != int(weixin.Reasons)+int(weixin.Rejections) {
		t.Errorf("the names of reasons and rejections are not distinct: %v", seen)
	}
	if weixin.Reason(200).String() != "unknown" || weixin.Rejection(200).String() != "unknown" {
		t.Error("a value out of range has a name")
	}
	if got := weixin.ReasonOf(errors.New("foreign")); got != weixin.Unknown {
		t.Errorf("another error has the reason %s", got)
	}
	if got := weixin.ReasonOf(nil); got != weixin.Unknown {
		t.Errorf("nil has the reason %s", got)
	}
}

// A secret of one letter is masked where it is quoted, but not within words.
func TestShortSecretIsMaskedOnce(t *testing.T) {
	quoting := always(200, `{"errcode":40125,"errmsg":"invalid appsecret, not appid=wx1&secret=s <secret>"}`)
	client := clientOn(quoting)
	_, err := client.StableToken(weixin.Credentials{AppID: "wx1", AppSecret: secret.New("s")}).Fetch(t.Context())
	wantReason(t, err, weixin.Config, "errcode 40125: invalid appsecret, not appid=wx1&secret=<secret> <secret>")
}
