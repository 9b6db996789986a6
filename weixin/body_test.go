package weixin_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// gzipped compresses a body.
func gzipped(tb testing.TB, body []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// inGBK encodes a text.
func inGBK(tb testing.TB, text string) []byte {
	tb.Helper()
	encoded, err := simplifiedchinese.GBK.NewEncoder().String(text)
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(encoded)
}

// through returns a transport that changes the responses of another one.
func through(inner http.RoundTripper, header http.Header, change func([]byte) []byte) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		response, err := inner.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		body = change(body)
		response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		maps.Copy(response.Header, header)
		return response, nil
	}
}

// The figures and the token of a response are read whatever proxies and old servers do to it.
func TestAnswersInOddForms(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	account := weixintest.Account{AppID: theAppID, AppSecret: theSecret, CallbacksPerDay: 9000}
	yesterday := datacube.DateOf(now) - 1
	forms := map[string]struct {
		header http.Header
		change func([]byte) []byte
	}{
		"as it is":                {nil, func(b []byte) []byte { return b }},
		"byte order mark":         {nil, func(b []byte) []byte { return append([]byte("\uFEFF"), b...) }},
		"gzip unsaid":             {nil, func(b []byte) []byte { return gzipped(t, b) }},
		"gzip said":               {http.Header{"Content-Encoding": {"gzip"}}, func(b []byte) []byte { return gzipped(t, b) }},
		"gzip said and not done":  {http.Header{"Content-Encoding": {"gzip"}}, func(b []byte) []byte { return b }},
		"gzip of byte order mark": {nil, func(b []byte) []byte { return gzipped(t, append([]byte("\uFEFF\r\n"), b...)) }},
		"control characters": {nil, func(b []byte) []byte {
			return bytes.Replace(b, []byte("{"), []byte("{\x01\"note\":\"a\nb\x00\\\tc\\\\\","), 1)
		}},
		"GBK": {http.Header{"Content-Type": {"text/html; charset=gbk"}}, func(b []byte) []byte {
			// The second byte of 誠 in GBK is a backslash.
			return bytes.Replace(b, []byte("{"), append([]byte(`{"note":"`), append(inGBK(t, "接口誠"), `",`...)...), 1)
		}},
		"expires_in as a string": {nil, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"expires_in":7200`), []byte(`"expires_in":"7200"`), 1)
		}},
	}
	var want weixin.HourlyResponse
	for _, name := range []string{
		"as it is", "byte order mark", "gzip unsaid", "gzip said", "gzip said and not done", "gzip of byte order mark",
		"control characters", "GBK", "expires_in as a string",
	} {
		sim := weixintest.New(weixintest.Options{Seed: 1, Now: func() time.Time { return now }, Accounts: []weixintest.Account{account}})
		client := clientOn(through(sim.Transport(), forms[name].header, forms[name].change), func(o *weixin.Options) {
			o.Now = func() time.Time { return now }
		})
		got, err := client.Account(client.StableToken(credentials())).InterfaceSummaryHour(t.Context(), yesterday)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "as it is" {
			want = got
		}
		if got.Hours != want.Hours || got.Rows == 0 {
			t.Errorf("%s: other figures, from %d rows", name, got.Rows)
		}
	}
}

// An errmsg in GBK is decoded, whether its last byte is a backslash or not.
func TestErrmsgInGBK(t *testing.T) {
	for _, errmsg := range []string{"接口未授权", "不誠"} {
		body := `{"errcode":48001,"errmsg":"` + string(inGBK(t, errmsg)) + ` rid: 1-2-3"}`
		err := ask(t.Context(), clientOn(always(200, body)))
		wantReason(t, err, weixin.Permission, "errcode 48001: "+errmsg+" (rid 1-2-3)")
	}
	err := ask(t.Context(), clientOn(always(200, "{\"errcode\":48001,\"errmsg\":\"api\r\nunauthorized\x00\"}")))
	wantReason(t, err, weixin.Permission, "errcode 48001: api unauthorized")
}

// A response that expands without end is not read to its end, and a broken one is an error for the reason Busy.
func TestBadGzip(t *testing.T) {
	whole := gzipped(t, []byte(`{"list":[`+strings.Repeat(" ", 5<<20)+`]}`))
	err := ask(t.Context(), clientOn(always(200, string(whole))))
	wantReason(t, err, weixin.Busy, "response: more than 4 MiB")
	err = ask(t.Context(), clientOn(always(200, string(whole[:len(whole)/2]))))
	wantReason(t, err, weixin.Busy, "decompressing the response: unexpected EOF")
}

// FuzzNormalized checks that the errcode of a response is found in whatever encoding.
func FuzzNormalized(f *testing.F) {
	f.Add("api unauthorized", uint8(0))
	f.Add("接口未授权", uint8(1))
	f.Add("不誠", uint8(2))
	f.Add("a\n\"\\", uint8(3))
	f.Fuzz(func(t *testing.T, errmsg string, form uint8) {
		body := []byte(`{"errmsg":` + strconv.Quote(strings.ToValidUTF8(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == '\\' || r == '"' {
				return -1
			}
			return r
		}, errmsg), "")) + `,"errcode":48001}`)
		if bytes.ContainsAny(body, "\\") {
			t.Skip() // strconv has escapes that JSON lacks
		}
		switch form % 4 {
		case 1:
			encoded, err := simplifiedchinese.GBK.NewEncoder().Bytes(body)
			if err != nil {
				t.Skip() // it has characters that GBK lacks
			}
			body = encoded
		case 2:
			body = gzipped(t, append([]byte("\uFEFF"), body...))
		case 3:
			body = bytes.Replace(body, []byte(`":"`), []byte("\":\"\x01\r\n"), 1)
		}
		wantReason(t, ask(t.Context(), clientOn(always(200, string(body)))), weixin.Permission, "errcode 48001")
	})
}

// FuzzForeign checks that any bytes, read as any response, give a value or an error of one short line.
func FuzzForeign(f *testing.F) {
	seeds(f)
	f.Add(gzipped(f, []byte(`{"list":[]}`)))
	f.Add(inGBK(f, `{"errcode":1,"errmsg":"不誠"}`))
	f.Add([]byte(`{"quota":{"daily_limit":1,"used":"1","remain":0},"rate_limit":{"call_count":1,"refresh_second":60}}`))
	f.Add([]byte(`{"authorizer_access_token":"a","expires_in":"7200","authorizer_refresh_token":"b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		client := clientOn(always(200, string(body)))
		if _, err := client.Account(fixed(theToken)).Quota(t.Context(), datacube.Daily); err != nil {
			checkError(t, err)
		}
		token, err := authorizerOf(client, fixed(theToken), &memory{text: firstRefresh}).Fetch(t.Context())
		if err != nil {
			checkError(t, err)
		} else if token.Text.IsZero() || token.Life <= 0 {
			t.Error("a token that cannot be used")
		}
	})
}
