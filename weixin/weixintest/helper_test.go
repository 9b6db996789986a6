package weixintest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

const (
	shop       = "wx00000000000000a1"
	shopSecret = "sim-secret-shop"
	bot        = "wx00000000000000b2"
	botSecret  = "sim-secret-bot"
	quiet      = "wx00000000000000c3" // without any traffic
)

func day(tb testing.TB, s string) datacube.Date {
	tb.Helper()
	d, err := datacube.ParseDate(s)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// world is a simulated Weixin at noon in China on 2026-11-18, and a client of it.
type world struct {
	*testing.T
	*weixintest.Server
	clock  *weixintest.Clock
	client *http.Client
	base   string
}

func accounts() []weixintest.Account {
	return []weixintest.Account{
		{AppID: shop, AppSecret: shopSecret, CallbacksPerDay: 20_000},
		{AppID: bot, AppSecret: botSecret, CallbacksPerDay: 40},
		{AppID: quiet, AppSecret: "sim-secret-quiet"},
	}
}

func newWorld(t *testing.T, o weixintest.Options) *world {
	t.Helper()
	c := weixintest.NewClock(day(t, "2026-11-18").Start().Add(12 * time.Hour))
	if o.Now == nil {
		o.Now = c.Now
	}
	if o.Accounts == nil {
		o.Accounts = accounts()
	}
	s := weixintest.New(o)
	return &world{T: t, Server: s, clock: c, client: &http.Client{Transport: s.Transport()}, base: "http://weixin.test"}
}

// reply is a response in any of its forms.
type reply struct {
	Status      int         `json:"-"`
	ContentType string      `json:"-"`
	Body        []byte      `json:"-"`
	Errcode     any         `json:"errcode"`
	Errmsg      string      `json:"errmsg"`
	AccessToken string      `json:"access_token"`
	ExpiresIn   int         `json:"expires_in"`
	List        *[]replyRow `json:"list"`

	AuthorizerToken string      `json:"authorizer_access_token"`
	RefreshToken    string      `json:"authorizer_refresh_token"`
	Quota           *replyQuota `json:"quota"`
}

type replyQuota struct {
	DailyLimit int `json:"daily_limit"`
	Used       int `json:"used"`
	Remain     int `json:"remain"`
}

type replyRow struct {
	RefDate       string `json:"ref_date"`
	RefHour       *int   `json:"ref_hour"`
	CallbackCount int64  `json:"callback_count"`
	FailCount     int64  `json:"fail_count"`
	TotalTimeCost int64  `json:"total_time_cost"`
	MaxTimeCost   int64  `json:"max_time_cost"`
}

func (r replyRow) figures() datacube.Figures {
	return datacube.Figures{
		Callbacks: r.CallbackCount, Failures: r.FailCount,
		TimeCostMillis: r.TotalTimeCost, MaxTimeCostMillis: r.MaxTimeCost,
	}
}

// code returns the errcode as a number; 0 means success.
func (r reply) code() int {
	if f, ok := r.Errcode.(float64); ok {
		return int(f)
	}
	return 0
}

// try sends a request. An error does not contain the URL, which has a token in it.
func (w *world) try(method, path string, query url.Values, body string) (reply, error) {
	req, err := http.NewRequestWithContext(w.Context(), method, w.base+path+"?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		return reply{}, errors.New("the request cannot be made")
	}
	return w.do(req)
}

func (w *world) do(req *http.Request) (reply, error) {
	resp, err := w.client.Do(req)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return reply{}, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, resp.Body); err != nil {
		return reply{}, err
	}
	r := reply{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: b.Bytes()}
	_ = json.Unmarshal(r.Body, &r) // a body that is not JSON leaves the fields empty
	return r, nil
}

func (w *world) send(method, path string, query url.Values, body string) reply {
	w.Helper()
	r, err := w.try(method, path, query, body)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (w *world) legacy(appID, secret string) reply {
	w.Helper()
	return w.send(http.MethodGet, "/cgi-bin/token",
		url.Values{"grant_type": {"client_credential"}, "appid": {appID}, "secret": {secret}}, "")
}

func (w *world) stable(appID, secret string, force bool) reply {
	w.Helper()
	body, err := json.Marshal(map[string]any{
		"grant_type": "client_credential", "appid": appID, "secret": secret, "force_refresh": force,
	})
	if err != nil {
		w.Fatal(err)
	}
	return w.send(http.MethodPost, "/cgi-bin/stable_token", nil, string(body))
}

// token returns a stable token of an account of accounts().
func (w *world) token(appID string) string {
	w.Helper()
	for _, a := range accounts() {
		if a.AppID == appID {
			r := w.stable(appID, a.AppSecret, false)
			if r.AccessToken == "" {
				w.Fatalf("no token for %s: errcode %v", appID, r.Errcode)
			}
			return r.AccessToken
		}
	}
	w.Fatalf("no account %s", appID)
	return ""
}

const (
	dailyPath      = "/datacube/getinterfacesummary"
	hourlyPath     = "/datacube/getinterfacesummaryhour"
	authorizerPath = "/cgi-bin/component/api_authorizer_token"
	quotaPath      = "/cgi-bin/openapi/quota/get"
)

func dates(begin, end string) string {
	return `{"begin_date":"` + begin + `","end_date":"` + end + `"}`
}

func (w *world) ask(path, token, begin, end string) reply {
	w.Helper()
	return w.send(http.MethodPost, path, url.Values{"access_token": {token}}, dates(begin, end))
}

func (w *world) daily(token, begin, end string) reply {
	w.Helper()
	return w.ask(dailyPath, token, begin, end)
}

func (w *world) hourly(token, date string) reply {
	w.Helper()
	return w.ask(hourlyPath, token, date, date)
}

// wantCode checks the errcode of a response; 0 means success.
func (w *world) wantCode(what string, r reply, code int) {
	w.Helper()
	if r.Status != http.StatusOK {
		w.Errorf("%s: HTTP status %d", what, r.Status)
	}
	if got := r.code(); got != code {
		w.Errorf("%s: errcode %d, want %d", what, got, code)
	}
}
