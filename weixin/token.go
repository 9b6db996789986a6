package weixin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"weixin_exporter/secret"
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
}

// AccessToken is what the calls of an account are made with.
type AccessToken struct {
	Text secret.Value
	// Life is how long the token is good for, counted from when it was asked for.
	Life time.Duration
}

// TokenSource gives access tokens of one account.
type TokenSource interface {
	// Fetch gets a token from where they come from; Account does the caching. An error that
	// is to have a class is an *Error. Fetch ends with ctx.
	Fetch(ctx context.Context) (AccessToken, error)
}

// StableToken returns the source that asks /cgi-bin/stable_token, which hands the same
// token to everybody who asks and leaves the tokens of /cgi-bin/token alone. It never asks
// Weixin to replace a token before its time.
func (c *Client) StableToken(credentials Credentials) TokenSource {
	return stableToken{client: c, credentials: credentials}
}

// LegacyToken returns the source that asks /cgi-bin/token. Each of its tokens ends the
// life of the one before within five minutes, also where that one is another service's.
func (c *Client) LegacyToken(credentials Credentials) TokenSource {
	return legacyToken{client: c, credentials: credentials}
}

type stableToken struct {
	client      *Client
	credentials Credentials
}

func (s stableToken) Fetch(ctx context.Context) (AccessToken, error) {
	// A struct of its own, because a secret.Value would be sent as its mask.
	type body struct {
		GrantType    string `json:"grant_type"`
		AppID        string `json:"appid"`
		Secret       string `json:"secret"`
		ForceRefresh bool   `json:"force_refresh"`
	}
	return s.client.fetch(ctx, question{
		method: http.MethodPost,
		path:   "/cgi-bin/stable_token",
		body: body{
			GrantType: "client_credential",
			AppID:     s.credentials.AppID,
			Secret:    s.credentials.AppSecret.Reveal(),
		},
		hide: hidden{s.credentials.AppSecret},
	})
}

type legacyToken struct {
	client      *Client
	credentials Credentials
}

func (l legacyToken) Fetch(ctx context.Context) (AccessToken, error) {
	return l.client.fetch(ctx, question{
		method: http.MethodGet,
		path:   "/cgi-bin/token",
		query: url.Values{
			"grant_type": {"client_credential"},
			"appid":      {l.credentials.AppID},
			"secret":     {l.credentials.AppSecret.Reveal()},
		},
		hide: hidden{l.credentials.AppSecret},
	})
}

func (c *Client) fetch(ctx context.Context, q question) (AccessToken, error) {
	q.api = apiToken
	var token AccessToken
	err := c.ask(ctx, q, func(e envelope) error {
		var err error
		token, err = readToken(e)
		return err
	})
	return token, err
}

func readToken(e envelope) (AccessToken, error) {
	text, ok := parseString(e.AccessToken)
	switch {
	case !ok || text == "":
		return AccessToken{}, errors.New("the answer holds no access_token")
	case len(text) > maxToken:
		return AccessToken{}, errors.New("the access_token of the answer is too long to be one")
	case strings.ContainsFunc(text, unicode.IsControl):
		return AccessToken{}, errors.New("the access_token of the answer has control characters in it")
	case !e.ExpiresIn.ok || e.ExpiresIn.value <= 0:
		return AccessToken{}, errors.New("the answer does not say how long the access_token lives (expires_in)")
	}
	life := time.Duration(min(e.ExpiresIn.value, maxLife)) * time.Second
	return AccessToken{Text: secret.New(text), Life: life}, nil
}
