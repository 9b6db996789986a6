package weixintest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1" //nolint:gosec // the protocol asks for it
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// CallbackFault is what is wrong with a Callback. The zero value is a server that works.
type CallbackFault struct {
	// Status, if not 0, is the HTTP status of all responses.
	Status int
	// Body, if not "", is the response instead of the echo; %s in it is replaced by the echo.
	Body string
	// Reply, if not "", is the response to messages.
	Reply string
	// Redirect, if not "", is the URL to which all requests are redirected.
	Redirect string
	// Delay is how long the server takes before it answers; below 0 it never does.
	Delay time.Duration
	// Hangup ends the connection without an answer.
	Hangup bool
	// Mirror answers with the URL of the request, as debug pages do.
	Mirror bool
	// Endless makes a response without an end.
	Endless bool
}

// CallbackOptions are what a Callback is made of.
type CallbackOptions struct {
	// Token is what the server checks signatures with.
	Token string
	// AESKey is the EncodingAESKey by which messages are encrypted; "" takes and sends them as they are. AppID is the app
	// id in encrypted messages.
	AESKey, AppID string
}

// Callback is the server of an account, an http.Handler: it verifies URLs, and answers messages as the tests of
// third-party platforms ask for. It knows nothing of the package callback, so that each is a check of the other.
type Callback struct {
	options CallbackOptions
	key     []byte

	mu       sync.Mutex
	fault    CallbackFault
	received []CallbackRequest
}

// CallbackRequest is a request that a Callback has seen.
type CallbackRequest struct {
	Method string
	// Agent is the User-Agent, Signature the signature in the request, and Valid whether it is correct.
	Agent, Signature string
	Valid            bool
	// Message is the message that was posted, decrypted.
	Message string
}

// NewCallback returns a Callback. It panics where the AES key is not one, which is a mistake of its caller.
func NewCallback(o CallbackOptions) *Callback {
	c := &Callback{options: o}
	if o.AESKey != "" {
		key, err := base64.StdEncoding.DecodeString(o.AESKey + "=")
		if err != nil || len(key) != 32 {
			panic("weixintest: the AES key is not one")
		}
		c.key = key
	}
	return c
}

// SetFault makes the server behave so from now on.
func (c *Callback) SetFault(f CallbackFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// Received returns all requests so far, in the order of their arrival.
func (c *Callback) Received() []CallbackRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.received)
}

// ServeHTTP implements http.Handler.
func (c *Callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // a message that is cut off is not XML
	seen := CallbackRequest{Method: r.Method, Agent: r.UserAgent(), Signature: r.FormValue("signature")}
	query := r.URL.Query()
	seen.Valid = seen.Signature == c.sign(query.Get("timestamp"), query.Get("nonce"))
	message, encrypted := c.open(body, query.Get("msg_signature"), query.Get("timestamp"), query.Get("nonce"))
	seen.Message = message
	c.mu.Lock()
	fault := c.fault
	c.received = append(c.received, seen)
	c.mu.Unlock()
	if !c.spoil(w, r, fault) {
		return
	}
	switch {
	case !seen.Valid:
		_, _ = io.WriteString(w, "invalid signature")
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, around(fault.Body, query.Get("echostr"))) //nolint:gosec // the protocol asks for it
	case message == "":
		http.Error(w, "bad message", http.StatusBadRequest)
	case fault.Reply != "":
		_, _ = io.WriteString(w, fault.Reply)
	default:
		_, _ = io.WriteString(w, c.reply(message, encrypted))
	}
}

func around(body, echo string) string {
	if body == "" {
		return echo
	}
	return strings.ReplaceAll(body, "%s", echo)
}

// spoil does what is wrong with the server, and returns false where that was the answer.
func (c *Callback) spoil(w http.ResponseWriter, r *http.Request, fault CallbackFault) bool {
	switch {
	case fault.Delay < 0:
		<-r.Context().Done()
		return false
	case fault.Delay > 0 && !wait(r.Context(), fault.Delay):
		return false
	case fault.Hangup:
		panic(http.ErrAbortHandler)
	case fault.Redirect != "":
		http.Redirect(w, r, fault.Redirect, http.StatusFound)
		return false
	case fault.Status != 0:
		http.Error(w, "the server says "+http.StatusText(fault.Status), fault.Status)
		return false
	case fault.Mirror:
		_, _ = fmt.Fprintf(w, "<pre>%s %s</pre>", r.Method, r.URL) //nolint:gosec // what is wrong with it
		return false
	case fault.Endless:
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("endless "), 1024)); err != nil {
				return false
			}
		}
		return false
	}
	return true
}

// sign returns the hexadecimal SHA-1 of the token and the values, sorted and joined.
func (c *Callback) sign(values ...string) string {
	values = append(values, c.options.Token)
	slices.Sort(values)
	return fmt.Sprintf("%x", sha1.Sum([]byte(strings.Join(values, "")))) //nolint:gosec // the protocol asks for it
}

// open returns the message in a request, and whether it was encrypted; "" where it cannot be read.
func (c *Callback) open(body []byte, signature, timestamp, nonce string) (string, bool) {
	var outer struct {
		Encrypt string `xml:"Encrypt"`
	}
	if len(body) == 0 || xml.Unmarshal(body, &outer) != nil {
		return "", false
	}
	if c.key == nil || outer.Encrypt == "" {
		return string(body), false
	}
	encrypted, err := base64.StdEncoding.DecodeString(outer.Encrypt)
	if err != nil || len(encrypted) == 0 || len(encrypted)%32 != 0 || c.sign(timestamp, nonce, outer.Encrypt) != signature {
		return "", true
	}
	block, err := aes.NewCipher(c.key)
	if err != nil {
		return "", true
	}
	cipher.NewCBCDecrypter(block, c.key[:16]).CryptBlocks(encrypted, encrypted)
	padding := int(encrypted[len(encrypted)-1])
	if padding > 32 || padding > len(encrypted)-20 {
		return "", true
	}
	text := encrypted[20 : len(encrypted)-padding]
	length := int(binary.BigEndian.Uint32(encrypted[16:]))
	if length > len(text) || string(text[length:]) != c.options.AppID {
		return "", true
	}
	return string(text[:length]), true
}

// reply returns the answer to a message: the documented one to the test text, and "success" to all else.
func (c *Callback) reply(message string, encrypted bool) string {
	var m struct {
		To      string `xml:"ToUserName"`
		From    string `xml:"FromUserName"`
		Content string `xml:"Content"`
	}
	if xml.Unmarshal([]byte(message), &m) != nil || m.Content != "TESTCOMPONENT_MSG_TYPE_TEXT" {
		return "success"
	}
	answer := fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName><CreateTime>%d</CreateTime>"+
		"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[%s_callback]]></Content></xml>", m.From, m.To, 1700000000, m.Content)
	if !encrypted {
		return answer
	}
	text := []byte("0123456789abcdef")
	text = binary.BigEndian.AppendUint32(text, uint32(len(answer)))
	text = append(append(text, answer...), c.options.AppID...)
	padding := 32 - len(text)%32
	text = append(text, bytes.Repeat([]byte{byte(padding)}, padding)...)
	block, err := aes.NewCipher(c.key)
	if err != nil {
		panic(err) // NewCallback has looked at its length
	}
	cipher.NewCBCEncrypter(block, c.key[:16]).CryptBlocks(text, text)
	sealed := base64.StdEncoding.EncodeToString(text)
	return fmt.Sprintf("<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature><![CDATA[%s]]></MsgSignature><TimeStamp>1700000000</TimeStamp><Nonce><![CDATA[77]]></Nonce></xml>",
		sealed, c.sign("1700000000", "77", sealed))
}
