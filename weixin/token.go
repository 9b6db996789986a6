package weixin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"weixin_exporter/weixin/secret"
)

// maxToken bounds the length of an access token. The documents ask for room for 512
// characters.
const maxToken = 4096

// maxLife bounds what is believed of expires_in, so that it fits a time.Duration.
const maxLife = 365 * 24 * 60 * 60

// Credentials are what an account asks for access tokens with.
type Credentials struct {
	AppID     string
	AppSecret secret.Value
	// SecretFile is where Reread reads, for errors; "" where the secret comes from no file.
	SecretFile string
	// Reread gets the app secret anew when Weixin refuses the one that is used, so that it can
	// be replaced while the program runs, and before the first use where AppSecret is zero. Its
	// error names the file. May be nil; possibly called from several goroutines, but by one at
	// a time.
	Reread func() (secret.Value, error)
}

// AccessToken is what the calls of an account are made with.
type AccessToken struct {
	Text secret.Value
	// Life is how long the token is good for, counted from when it was asked for. 0 means
	// that nobody says, and that it is not to be kept: each call asks the source again.
	Life time.Duration
}

// TokenSource gives access tokens of one account.
type TokenSource interface {
	// Fetch gets a token from where they come from; Account keeps it for its Life. Calls of
	// an account that need a token at the same time may share one Fetch. An error that is to
	// have a reason is an *Error. Fetch ends with ctx.
	Fetch(ctx context.Context) (AccessToken, error)
}

// StableToken returns the source that asks /cgi-bin/stable_token, which hands the same
// token to everybody who asks and leaves the tokens of /cgi-bin/token alone. It never asks
// Weixin to replace a token before its time.
func (c *Client) StableToken(credentials Credentials) TokenSource {
	return &stableToken{client: c, appID: credentials.AppID, secret: newAppSecret(credentials)}
}

// LegacyToken returns the source that asks /cgi-bin/token. Each of its tokens ends the
// life of the one before within five minutes, also where that one is another service's.
func (c *Client) LegacyToken(credentials Credentials) TokenSource {
	return &legacyToken{client: c, appID: credentials.AppID, secret: newAppSecret(credentials)}
}

type stableToken struct {
	client *Client
	appID  string
	secret *appSecret
}

// Fetch implements TokenSource.
func (s *stableToken) Fetch(ctx context.Context) (AccessToken, error) {
	// A struct of its own, because a secret.Value would be sent as its mask.
	type body struct {
		GrantType    string `json:"grant_type"`
		AppID        string `json:"appid"`
		Secret       string `json:"secret"`
		ForceRefresh bool   `json:"force_refresh"`
	}
	return s.secret.fetch(func(appSecret secret.Value) (AccessToken, error) {
		return s.client.fetch(ctx, question{
			method: http.MethodPost,
			path:   "/cgi-bin/stable_token",
			body: body{
				GrantType: "client_credential",
				AppID:     s.appID,
				Secret:    appSecret.Reveal(),
			},
			hide: secret.Masker{appSecret},
		})
	})
}

type legacyToken struct {
	client *Client
	appID  string
	secret *appSecret
}

// Fetch implements TokenSource.
func (l *legacyToken) Fetch(ctx context.Context) (AccessToken, error) {
	return l.secret.fetch(func(appSecret secret.Value) (AccessToken, error) {
		return l.client.fetch(ctx, question{
			method: http.MethodGet,
			path:   "/cgi-bin/token",
			query: url.Values{
				"grant_type": {"client_credential"},
				"appid":      {l.appID},
				"secret":     {appSecret.Reveal()},
			},
			hide: secret.Masker{appSecret},
		})
	})
}

// appSecret is an app secret that may have been replaced where it comes from. It is safe for
// concurrent use.
type appSecret struct {
	reread func() (secret.Value, error)
	source string // where reread reads, as errors name it; "" where that is not a file

	mu      sync.Mutex // held while rereading, never during a request
	current secret.Value
}

func newAppSecret(credentials Credentials) *appSecret {
	s := &appSecret{reread: credentials.Reread, current: credentials.AppSecret}
	if credentials.SecretFile != "" {
		s.source = "the file " + credentials.SecretFile
	}
	return s
}

// fetch asks with the secret that is known, and if Weixin refuses that, once more with the
// one that reread gives, where it is another.
func (s *appSecret) fetch(ask func(secret.Value) (AccessToken, error)) (AccessToken, error) {
	s.mu.Lock()
	used := s.current
	s.mu.Unlock()
	if used.IsZero() && s.reread != nil {
		var err error
		if used, err = s.other(used); err != nil {
			return AccessToken{}, &Error{API: TokenAPI, Reason: Token, Err: causeOf(err, nil), Source: s.source, bySecret: true, advice: secretAdvice}
		}
	}
	token, err := ask(used)
	refusal, ok := errors.AsType[*Error](err)
	if !ok || s.reread == nil || !refusesSecret(refusal.Errcode) {
		return token, err
	}
	other, rereadErr := s.other(used)
	switch {
	case rereadErr != nil:
		told := *refusal
		told.Err = causeOf(rereadErr, secret.Masker{used})
		return AccessToken{}, &told
	case other.IsZero():
		return AccessToken{}, err
	default:
		return ask(other)
	}
}

// other returns the secret that has replaced the one used, and zero where none has.
func (s *appSecret) other(used secret.Value) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.current.Equal(used) {
		return s.current, nil // another call has read it meanwhile
	}
	read, err := s.reread()
	if err != nil || read.IsZero() || read.Equal(used) {
		return secret.Value{}, err
	}
	s.current = read
	return read, nil
}

// refusesSecret reports whether a token call's errcode says that the app secret is wrong, has
// been reset or is frozen.
func refusesSecret(code int) bool { return code == 40001 || code == 40125 || code == 40243 }

// fetch makes a token call that the app secret stands for.
func (c *Client) fetch(ctx context.Context, q question) (AccessToken, error) {
	q.api, q.bySecret = TokenAPI, true
	var token AccessToken
	err := c.ask(ctx, q, func(e envelope) error {
		var err error
		token, err = readToken("access_token", e.AccessToken, e.ExpiresIn)
		return err
	})
	return token, err
}

// readToken reads the token that stands in an answer under the given key.
func readToken(key string, raw, expiresIn json.RawMessage) (AccessToken, error) {
	text, ok := parseString(raw)
	life, err := parseLife(expiresIn)
	switch {
	case !ok || text == "":
		return AccessToken{}, fmt.Errorf("the answer holds no %s", key)
	case len(text) > maxToken:
		return AccessToken{}, fmt.Errorf("the %s of the answer is too long to be one", key)
	case strings.ContainsFunc(text, unicode.IsControl):
		return AccessToken{}, fmt.Errorf("the %s of the answer has control characters in it", key)
	case err != nil || life <= 0:
		return AccessToken{}, fmt.Errorf("the answer does not say how long the %s lives (expires_in)", key)
	}
	return AccessToken{Text: secret.New(text), Life: life}, nil
}
