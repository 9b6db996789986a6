package probe

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/http"
	"sync"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/httpclient"
	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
)

// Target is the server of an account.
type Target struct {
	// URL is where Weixin sends the account's messages.
	URL secret.URL
	// Token and Key return the token and the EncodingAESKey that are set with Weixin; Key may be nil. They are
	// called for each probe, so that a changed file counts at once.
	Token, Key func() (secret.Value, error)
	// Message is posted after the URL was verified; nil posts nothing.
	Message *Message
	// HTTPClient says how the server is reached; nil is the default of Prometheus.
	HTTPClient *promconfig.HTTPClientConfig
	// AllowMetadata allows to connect to the addresses of metadata services.
	AllowMetadata bool
	// Shown returns the configuration of the target as it may be shown, for the debug output.
	Shown func() string
}

// Message says which message is posted, and how.
type Message struct {
	Mode callback.Mode
	// AppID is the app id in encrypted messages: that of the account, or of the platform whose server it is.
	AppID string
	// To is the account's original id.
	To string
	// Event is the type of the event that is posted; "" posts the test text of third-party platforms, to which
	// the answer must be the documented one.
	Event string
}

// probeUser is the sender of the probe's messages, by which a program can distinguish them from those of users. It
// has the length of an openid, but Weixin never issues it.
const probeUser = "oWeixinExporterProbe00000000"

// message returns what is posted.
func (m Message) message() callback.Message {
	if m.Event != "" {
		return callback.Message{To: m.To, From: probeUser, Event: m.Event}
	}
	return callback.Message{To: m.To, From: probeUser, Content: callback.TestText, ID: int64(random() >> 1)}
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// crypt returns what signs the requests, and encrypts messages.
func (t *Target) crypt() (callback.Crypt, error) {
	token, err := t.Token()
	if err != nil {
		return callback.Crypt{}, fmt.Errorf("the token of the callback: %w", err)
	}
	c := callback.Crypt{Token: token, Mode: callback.Plain}
	if t.Message == nil || t.Message.Mode == callback.Plain {
		return c, nil
	}
	text, err := t.Key()
	if err != nil {
		return callback.Crypt{}, fmt.Errorf("the AES key of the callback: %w", err)
	}
	c.Mode, c.AppID = t.Message.Mode, t.Message.AppID
	if c.Key, err = callback.ParseKey(text.Reveal()); err != nil {
		return callback.Crypt{}, fmt.Errorf("the AES key of the callback: %w", err)
	}
	return c, nil
}

// member is an account with its target, which is nil where none is configured.
type member struct {
	*Target
	clients *clients
	running chan struct{} // holds one for each probe that runs

	mu     sync.Mutex
	client *http.Client
}

// enter reports whether one more probe of this account may run, which leave ends.
func (m *member) enter() bool {
	select {
	case m.running <- struct{}{}:
		return true
	default:
		return false
	}
}

func (m *member) leave() { <-m.running }

// http returns the client of the target. It is made with the first probe, and again with the next where that
// failed, since files that it needs can be mended.
func (m *member) http() (*http.Client, error) {
	if m.HTTPClient == nil {
		return m.clients.shared(m.AllowMetadata)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client != nil {
		return m.client, nil
	}
	made, err := m.clients.make(*m.HTTPClient, m.AllowMetadata)
	if err == nil {
		m.client = made
	}
	return made, err
}

// clients makes HTTP clients. Most targets have no settings of their own and share one.
type clients struct {
	options *Options

	mu    sync.Mutex
	plain map[bool]*http.Client // by whether metadata addresses are allowed
}

func (c *clients) shared(allowMetadata bool) (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made := c.plain[allowMetadata]; made != nil {
		return made, nil
	}
	made, err := c.make(promconfig.DefaultHTTPClientConfig, allowMetadata)
	if err == nil {
		c.plain[allowMetadata] = made
	}
	return made, err
}

// make returns a client that makes a new connection for each request, because connecting is part of a probe.
func (c *clients) make(settings promconfig.HTTPClientConfig, allowMetadata bool) (*http.Client, error) {
	return httpclient.New(settings, "callback",
		promconfig.WithKeepAlivesDisabled(),
		promconfig.WithDialContextFunc(dial(c.options.Resolver, allowMetadata)),
		promconfig.WithUserAgent(c.options.UserAgent))
}
