package callback

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"weixin_exporter/weixin/secret"
)

// Mode is how messages are encrypted, as it is chosen with Weixin for the account.
type Mode string

const (
	// Plain is 明文模式: messages are not encrypted.
	Plain Mode = "plain"
	// Compatible is 兼容模式: a request has the message both in plain text and encrypted, and the answer may be either.
	Compatible Mode = "compatible"
	// Safe is 安全模式: messages and answers are encrypted.
	Safe Mode = "safe"
)

// The text message by which Weixin tests third-party platforms before they are released, the content of the
// answer that it expects, and the account that it sends it to
// (developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/operation/thirdparty/releases_instructions.html).
const (
	TestText    = "TESTCOMPONENT_MSG_TYPE_TEXT"
	TestReply   = "TESTCOMPONENT_MSG_TYPE_TEXT_callback"
	TestAccount = "gh_3c884a361561"
)

// Message is a message or an event that Weixin posts to the server of an account.
type Message struct {
	// To is the account's original id (gh_…), From the user's openid.
	To, From string
	// Event is the type of an event; "" makes it a text message.
	Event string
	// Content is that of a text message, and ID its number.
	Content string
	ID      int64
}

// Crypt is what encrypts messages and signs all requests.
type Crypt struct {
	Token secret.Value
	Mode  Mode
	// Key and AppID are needed in the modes Compatible and Safe.
	Key   Key
	AppID string
}

// cdata writes a text as Weixin writes it.
type cdata struct {
	Text string `xml:",cdata"`
}

// fields are the elements of a message in the order in which Weixin sends them.
type fields struct {
	XMLName xml.Name `xml:"xml"`
	To      cdata    `xml:"ToUserName"`
	From    *cdata   `xml:"FromUserName"`
	Created int64    `xml:"CreateTime,omitempty"`
	Type    *cdata   `xml:"MsgType"`
	Event   *cdata   `xml:"Event"`
	Content *cdata   `xml:"Content"`
	ID      int64    `xml:"MsgId,omitempty"`
	Encrypt *cdata   `xml:"Encrypt"`
}

func (m Message) fields(s Stamp) fields {
	f := fields{To: cdata{m.To}, From: &cdata{m.From}, Created: s.Time.Unix()}
	if m.Event != "" {
		f.Type, f.Event = &cdata{"event"}, &cdata{m.Event}
		return f
	}
	f.Type, f.Content, f.ID = &cdata{"text"}, &cdata{m.Content}, m.ID
	return f
}

// Post returns the parameters and the body of the POST request by which Weixin delivers m. The parameters hold
// signatures and must not be shown.
func (c Crypt) Post(m Message, s Stamp, random [randomLength]byte) (url.Values, []byte, error) {
	query := signed(c.Token, s)
	query.Set("openid", m.From)
	f := m.fields(s)
	if c.Mode == Plain {
		body, err := xml.Marshal(f)
		return query, body, err
	}
	inner, err := xml.Marshal(f)
	if err != nil {
		return nil, nil, err
	}
	encrypted := c.Key.Encrypt(inner, c.AppID, random)
	query.Set("encrypt_type", "aes")
	query.Set("msg_signature", Sign(c.Token, s.seconds(), s.Nonce, encrypted))
	if c.Mode == Safe {
		f = fields{To: f.To}
	}
	f.Encrypt = &cdata{encrypted}
	body, err := xml.Marshal(f)
	return query, body, err
}

// Reply is the answer to a message.
type Reply struct {
	// Type is "" where the server sends no message to the user: its answer is empty or the word "success".
	Type string
	// Content is that of a text.
	Content string
	// Encrypted reports whether the answer was encrypted.
	Encrypted bool
}

// answer is the body of an answer. Names are as Weixin documents them; what else stands in it is not read.
type answer struct {
	XMLName   xml.Name
	Type      string `xml:"MsgType"`
	Content   string `xml:"Content"`
	To        string `xml:"ToUserName"`
	From      string `xml:"FromUserName"`
	Encrypt   string `xml:"Encrypt"`
	Signature string `xml:"MsgSignature"`
	Time      string `xml:"TimeStamp"`
	Nonce     string `xml:"Nonce"`
}

// Reply reads the answer of the server as Weixin does. The error says why Weixin would not accept it.
func (c Crypt) Reply(body []byte) (Reply, error) {
	if text := strings.TrimSpace(string(body)); text == "" || text == "success" {
		return Reply{}, nil
	}
	a, err := parseAnswer(body)
	if err != nil {
		return Reply{}, err
	}
	if a.Encrypt == "" {
		if c.Mode == Safe {
			return Reply{}, fmt.Errorf("it is not encrypted, as it must be in safe mode; only an empty answer and %q need not be", "success")
		}
		return a.reply(false)
	}
	if c.Mode == Plain {
		return Reply{}, errors.New("it is encrypted, although messages are in plain mode")
	}
	if a.Signature != Sign(c.Token, a.Time, a.Nonce, a.Encrypt) {
		return Reply{}, errors.New("its MsgSignature is wrong: the server signs with another token")
	}
	inner, appID, err := c.Key.Decrypt(a.Encrypt)
	if err != nil {
		return Reply{}, fmt.Errorf("it cannot be decrypted: %w", err)
	}
	if appID != c.AppID {
		return Reply{}, errors.New("it was encrypted for another app id")
	}
	if a, err = parseAnswer(inner); err != nil {
		return Reply{}, fmt.Errorf("what was encrypted cannot be read: %w", err)
	}
	return a.reply(true)
}

func parseAnswer(body []byte) (answer, error) {
	var a answer
	if err := xml.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &a); err != nil {
		return answer{}, fmt.Errorf("it is neither empty, nor %q, nor XML", "success")
	}
	if a.XMLName.Local != "xml" {
		return answer{}, errors.New("it is not a message: its element is not xml")
	}
	return a, nil
}

// reply returns what the answer says to the user.
func (a answer) reply(encrypted bool) (Reply, error) {
	if a.Type == "" || a.To == "" || a.From == "" {
		return Reply{}, errors.New("it is a message without MsgType, ToUserName or FromUserName")
	}
	return Reply{Type: a.Type, Content: a.Content, Encrypted: encrypted}, nil
}

// NonceOf returns a nonce of the form that Weixin uses.
func NonceOf(random uint32) string { return strconv.FormatUint(uint64(random), 10) }
