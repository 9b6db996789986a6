package callback_test

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
)

// The worked example of Weixin's page 消息推送 (message-push.html): URL, message and answer.
const (
	docToken    = "AAAAA"
	docKey      = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	docAppID    = "wxba5fad812f8e6fb9"
	docPushed   = "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
	docMessage  = `{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY","CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}`
	docAnswered = "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="
	docAnswer   = `{"demo_resp":"good luck"}`
)

// The example of Weixin's sample code WXBizMsgCrypt (cryptoDemo.zip), which is for Official Accounts.
const (
	sampleToken  = "spamtest"
	sampleKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	sampleAppID  = "wx2c2769f8efd9abc2"
	samplePushed = "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM4x6F8PGHQHFVAFmOD2LdJF9FrXpbUAh0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332jisa+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WGzjlpKn6NPhRjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ6X8tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIBYYI1BD1DlD+C0CR8e6OewpusjZ4uBl9FyJvnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE="
)

func key(tb testing.TB, text string) callback.Key {
	tb.Helper()
	k, err := callback.ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestSignaturesOfPublishedExamples(t *testing.T) {
	for _, c := range []struct {
		token  string
		values []string
		want   string
	}{
		{docToken, []string{"1714036504", "1514711492"}, "f464b24fc39322e44b38aa78f5edd27bd1441696"},
		{docToken, []string{"1714037059", "486452656"}, "899cf89e464efb63f54ddac96b0a0a235f53aa78"},
		{docToken, []string{"1714112445", "415670741", docPushed}, "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"},
		{docToken, []string{"1713424427", "415670741", docAnswered}, "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"},
		{sampleToken, []string{"1409735669", "1320562132", samplePushed}, "5d197aaffba7e9b25a30732f161a50dee96bd5fa"},
	} {
		if got := callback.Sign(secret.New(c.token), c.values...); got != c.want {
			t.Errorf("%.30q: signature %s, want %s", c.values, got, c.want)
		}
	}
	query := callback.Verification(secret.New(docToken), callback.Stamp{Time: time.Unix(1714036504, 0), Nonce: "1514711492"}, "4375120948345356249")
	const want = "echostr=4375120948345356249&nonce=1514711492&signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504"
	if got := query.Encode(); got != want {
		t.Errorf("verification %s, want %s", got, want)
	}
}

func TestEncryptionOfPublishedExamples(t *testing.T) {
	message, appID, err := key(t, docKey).Decrypt(docPushed)
	if err != nil || string(message) != docMessage || appID != docAppID {
		t.Errorf("decrypted to %q for %q: %v", message, appID, err)
	}
	if got := key(t, docKey).Encrypt([]byte(docAnswer), docAppID, [16]byte([]byte("707722b803182950"))); got != docAnswered {
		t.Errorf("encrypted to %s", got)
	}
	message, appID, err = key(t, sampleKey).Decrypt(samplePushed)
	if err != nil || !strings.Contains(string(message), "<Content><![CDATA[abcdteT]]></Content>") || appID != sampleAppID {
		t.Errorf("decrypted to %q for %q: %v", message, appID, err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, text := range []string{"", docKey[1:], docKey + "A", strings.Repeat("*", 43)} {
		if k, err := callback.ParseKey(text); err == nil || !k.IsZero() || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%d characters: %v", len(text), err)
		}
	}
	k := key(t, sampleKey)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, shown := range []any{k, callback.Crypt{Key: k, Token: secret.New(sampleToken)}} {
			if text := fmt.Sprintf(verb, shown); strings.Contains(text, sampleKey) || strings.Contains(text, sampleToken) {
				t.Errorf("%s of %T shows a secret", verb, shown)
			}
		}
	}
	if k.Text().Reveal() != sampleKey {
		t.Error("the key does not know its text")
	}
}

func TestDecryptRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"not base64":  {"***", "base64"},
		"empty":       {"", "length"},
		"half blocks": {"AAAA", "length"},
		"another key": {samplePushed, "another AES key"},
	} {
		if _, _, err := key(t, docKey).Decrypt(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMessages(t *testing.T) {
	stamp := callback.Stamp{Time: time.Unix(1714112445, 0), Nonce: "415670741"}
	text := callback.Message{To: "gh_1", From: "o1", Content: "a]]>b", ID: 7}
	event := callback.Message{To: "gh_1", From: "o1", Event: "debug_demo"}
	const plainText = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[o1]]></FromUserName><CreateTime>1714112445</CreateTime>" +
		"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[a]]]]><![CDATA[>b]]></Content><MsgId>7</MsgId></xml>"
	const plainEvent = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[o1]]></FromUserName><CreateTime>1714112445</CreateTime>" +
		"<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[debug_demo]]></Event></xml>"
	for _, c := range []struct {
		mode    callback.Mode
		message callback.Message
		plain   string
	}{
		{callback.Plain, text, plainText},
		{callback.Plain, event, plainEvent},
		{callback.Compatible, text, plainText},
		{callback.Safe, event, plainEvent},
	} {
		crypt := callback.Crypt{Token: secret.New(docToken), Mode: c.mode, Key: key(t, docKey), AppID: docAppID}
		query, body, err := crypt.Post(c.message, stamp, [16]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		if query.Get("signature") != callback.Sign(secret.New(docToken), "1714112445", "415670741") || query.Get("openid") != "o1" {
			t.Errorf("%s: parameters %v", c.mode, query)
		}
		if c.mode == callback.Plain {
			if string(body) != c.plain || query.Has("msg_signature") {
				t.Errorf("plain: %s", body)
			}
			continue
		}
		var read struct {
			Encrypt string `xml:"Encrypt"`
			From    string `xml:"FromUserName"`
			To      string `xml:"ToUserName"`
		}
		if err := xml.Unmarshal(body, &read); err != nil {
			t.Fatal(err)
		}
		if (read.From == "") != (c.mode == callback.Safe) || read.To != "gh_1" {
			t.Errorf("%s: %s", c.mode, body)
		}
		if query.Get("encrypt_type") != "aes" || query.Get("msg_signature") != callback.Sign(secret.New(docToken), "1714112445", "415670741", read.Encrypt) {
			t.Errorf("%s: parameters %v", c.mode, query)
		}
		inner, appID, err := key(t, docKey).Decrypt(read.Encrypt)
		if err != nil || appID != docAppID || string(inner) != c.plain {
			t.Errorf("%s: decrypted to %s for %s: %v", c.mode, inner, appID, err)
		}
	}
}

// encrypted returns an answer as a server encrypts it.
func encrypted(tb testing.TB, message, token, appID, keyText string) string {
	tb.Helper()
	text := key(tb, keyText).Encrypt([]byte(message), appID, [16]byte{2})
	return fmt.Sprintf("<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature><![CDATA[%s]]></MsgSignature><TimeStamp>1</TimeStamp><Nonce><![CDATA[2]]></Nonce></xml>",
		text, callback.Sign(secret.New(token), "1", "2", text))
}

func TestReplies(t *testing.T) {
	const message = "<xml><ToUserName><![CDATA[o1]]></ToUserName><FromUserName>gh_1</FromUserName><CreateTime>1</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[hi]]></Content></xml>"
	plain, hidden := callback.Reply{Type: "text", Content: "hi"}, callback.Reply{Type: "text", Content: "hi", Encrypted: true}
	good := encrypted(t, message, docToken, docAppID, docKey)
	for name, c := range map[string]struct {
		mode callback.Mode
		body string
		want callback.Reply
		says string
	}{
		"empty":                  {mode: callback.Safe},
		"success":                {mode: callback.Safe, body: "success"},
		"success and a line":     {mode: callback.Plain, body: "success\n"},
		"plain":                  {mode: callback.Plain, body: message, want: plain},
		"plain with BOM":         {mode: callback.Plain, body: "\ufeff" + message, want: plain},
		"compatible, plain":      {mode: callback.Compatible, body: message, want: plain},
		"compatible, encrypted":  {mode: callback.Compatible, body: good, want: hidden},
		"safe":                   {mode: callback.Safe, body: good, want: hidden},
		"plain in safe mode":     {mode: callback.Safe, body: message, says: "not encrypted"},
		"encrypted in plain":     {mode: callback.Plain, body: good, says: "plain mode"},
		"another token":          {mode: callback.Safe, body: encrypted(t, message, "other", docAppID, docKey), says: "another token"},
		"another app":            {mode: callback.Safe, body: encrypted(t, message, docToken, "wx0", docKey), says: "another app id"},
		"another key":            {mode: callback.Safe, body: encrypted(t, message, docToken, docAppID, sampleKey), says: "cannot be decrypted"},
		"encrypted nonsense":     {mode: callback.Safe, body: encrypted(t, "nonsense", docToken, docAppID, docKey), says: "what was encrypted cannot be read"},
		"a page":                 {mode: callback.Plain, body: "<html><body>502</body></html>", says: "element is not xml"},
		"JSON":                   {mode: callback.Plain, body: `{"errcode":0}`, says: "neither empty"},
		"a message without type": {mode: callback.Plain, body: "<xml><ToUserName>a</ToUserName></xml>", says: "without MsgType"},
		"the word fail":          {mode: callback.Plain, body: "fail", says: "neither empty"},
	} {
		crypt := callback.Crypt{Token: secret.New(docToken), Mode: c.mode, Key: key(t, docKey), AppID: docAppID}
		got, err := crypt.Reply([]byte(c.body))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %q", name, err, c.says)
		}
	}
}

// FuzzReply: whatever a server answers, it is read without a panic, and no error quotes token or key.
func FuzzReply(f *testing.F) {
	f.Add("safe", encrypted(f, "<xml/>", docToken, docAppID, docKey))
	f.Add("plain", "<xml><MsgType>text</MsgType><ToUserName>a</ToUserName><FromUserName>b</FromUserName></xml>")
	f.Add("compatible", "<xml><Encrypt>"+docPushed+"</Encrypt></xml>")
	k := key(f, docKey)
	f.Fuzz(func(t *testing.T, mode, body string) {
		crypt := callback.Crypt{Token: secret.New("sim-token-x"), Mode: callback.Mode(mode), Key: k, AppID: docAppID}
		reply, err := crypt.Reply([]byte(body))
		if err != nil && (reply != callback.Reply{} || strings.Contains(err.Error(), "sim-token-x") && !strings.Contains(body, "sim-token-x")) {
			t.Error("an error with a reply, or with the token in it")
		}
	})
}

// FuzzDecrypt: what was encrypted is what is decrypted, and anything else is an error or a message, never a panic.
func FuzzDecrypt(f *testing.F) {
	f.Add([]byte(docMessage), docAppID, docPushed)
	f.Add([]byte{}, "", "AAAAAAAAAAAAAAAAAAAAAA==")
	k := key(f, sampleKey)
	f.Fuzz(func(t *testing.T, message []byte, appID, foreign string) {
		got, id, err := k.Decrypt(k.Encrypt(message, appID, [16]byte{3}))
		if err != nil || string(got) != string(message) || id != appID {
			t.Errorf("%q for %q: %v", got, id, err)
		}
		_, _, _ = k.Decrypt(foreign)
	})
}
