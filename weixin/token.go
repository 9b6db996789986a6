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

// maxToken bounds the length of a token in bytes. The documents require storage for 512 characters.
const maxToken = 4096

// maxLife bounds expires_in, in seconds, so that it fits a time.Duration.
const maxLife = 365 * 24 * 60 * 60

// Credentials authenticate an account that requests access tokens.
type Credentials struct {
	AppID     string
	AppSecret secret.Value
	// SecretFile is the file that Reread reads, for errors; "" if the secret does not come from a file.
	SecretFile string
	// Reread returns the current app secret. It is called when Weixin refuses the known one, so that it can
	// be replaced while the program runs, and before the first use if AppSecret is zero. Its error must name
	// the file and not show the secret. May be nil; it is called by one goroutine at a time.
	Reread func() (secret.Value, error)
}

// AccessToken authenticates the calls of an account.
type AccessToken struct {
	Text secret.Value
	// Life is how long the token is valid, counted from the request for it. 0 means that this is unknown
	// and that the token must not be cached: each call asks the source again.
	Life time.Duration
}

// TokenSource returns access tokens of one account.
type TokenSource interface {
	// Fetch requests a token; Account caches it for its Life. Calls of an account that need a token at
	// the same time may share one Fetch. An error that has a Reason must be an *Error. Fetch ends with
	// ctx.
	Fetch(ctx context.Context) (AccessToken, error)
}

// StableToken returns the source that calls /cgi-bin/stable_token (获取稳定版接口调用凭据 in the official
// documents), which returns the same token to all callers and does not affect the tokens of /cgi-bin/token. It
// never forces Weixin to replace a token.
func (c *Client) StableToken(credentials Credentials) TokenSource {
	return &stableToken{client: c, appID: credentials.AppID, secret: newAppSecret(credentials)}
}

// LegacyToken returns the source that calls /cgi-bin/token (获取接口调用凭据 in the official documents).
// Each new token invalidates the previous one within five minutes, even if another service uses that.
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
	// With a string, since a secret.Value would be sent as its mask.
	type body struct {
		GrantType    string `json:"grant_type"`
		AppID        string `json:"appid"`
		Secret       string `json:"secret"`
		ForceRefresh bool   `json:"force_refresh"`
	}
	return s.secret.fetch(func(appSecret secret.Value) (AccessToken, error) {
		return s.client.fetchToken(ctx, call{
			method: http.MethodPost,
			path:   "/cgi-bin/stable_token",
			body: body{
				GrantType: "client_credential",
				AppID:     s.appID,
				Secret:    appSecret.Reveal(),
			},
			secrets: secret.Masker{appSecret},
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
		return l.client.fetchToken(ctx, call{
			method: http.MethodGet,
			path:   "/cgi-bin/token",
			query: url.Values{
				"grant_type": {"client_credential"},
				"appid":      {l.appID},
				"secret":     {appSecret.Reveal()},
			},
			secrets: secret.Masker{appSecret},
		})
	})
}

// appSecret is an app secret that may be replaced while the program runs. It is safe for concurrent use.
type appSecret struct {
	reread func() (secret.Value, error)
	origin Origin // of reread; zero if that is not a file

	mu      sync.Mutex // held while rereading, never during a request
	current secret.Value
}

func newAppSecret(credentials Credentials) *appSecret {
	return &appSecret{reread: credentials.Reread, current: credentials.AppSecret, origin: Origin{File: credentials.SecretFile}}
}

// fetch calls request with the known secret, and if Weixin refuses that, once more with the one that reread
// returns, if it differs.
func (s *appSecret) fetch(request func(secret.Value) (AccessToken, error)) (AccessToken, error) {
	s.mu.Lock()
	used := s.current
	s.mu.Unlock()
	if used.IsZero() && s.reread != nil {
		var err error
		if used, err = s.replacement(used); err != nil {
			return AccessToken{}, &Error{API: TokenAPI, Reason: Token, Err: printable(err, nil), Origin: s.origin, bySecret: true, advice: adviceSecretFile}
		}
	}
	token, err := request(used)
	refusal, ok := errors.AsType[*Error](err)
	if !ok || s.reread == nil || !refusesSecret(refusal.Errcode) {
		return token, err
	}
	other, rereadErr := s.replacement(used)
	switch {
	case rereadErr != nil:
		extended := *refusal
		extended.Err = printable(rereadErr, secret.Masker{used})
		return AccessToken{}, &extended
	case other.IsZero():
		return AccessToken{}, err
	default:
		return request(other)
	}
}

// replacement returns the secret that has replaced the used one; zero if it was not replaced.
func (s *appSecret) replacement(used secret.Value) (secret.Value, error) {
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

// refusesSecret reports whether a token call's errcode means that the app secret is wrong, has
// been reset or is frozen.
func refusesSecret(errcode int) bool { return errcode == 40001 || errcode == 40125 || errcode == 40243 }

// fetchToken makes a token call that the app secret authenticates.
func (c *Client) fetchToken(ctx context.Context, q call) (AccessToken, error) {
	q.api, q.bySecret = TokenAPI, true
	var token AccessToken
	err := c.do(ctx, q, func(e envelope) error {
		var err error
		token, err = readToken("access_token", e.AccessToken, e.ExpiresIn)
		return err
	})
	return token, err
}

// readToken reads the token that a response has under the given key.
func readToken(key string, raw, expiresIn json.RawMessage) (AccessToken, error) {
	text, ok := parseString(raw)
	life, err := parseLife(expiresIn)
	switch {
	case !ok || text == "":
		return AccessToken{}, fmt.Errorf("the response has no %s", key)
	case len(text) > maxToken:
		return AccessToken{}, fmt.Errorf("the %s of the response is too long", key)
	case strings.ContainsFunc(text, unicode.IsControl):
		return AccessToken{}, fmt.Errorf("the %s of the response contains control characters", key)
	case err != nil || life <= 0:
		return AccessToken{}, fmt.Errorf("the response does not say how long the %s is valid (expires_in)", key)
	}
	return AccessToken{Text: secret.New(text), Life: life}, nil
}
