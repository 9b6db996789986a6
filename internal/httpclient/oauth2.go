package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt/v5"
	promconfig "github.com/prometheus/common/config"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"weixin_exporter/internal/redirect"
	"weixin_exporter/weixin/secret"
)

// jwtBearer is the grant type of RFC 7523, whose client signs with a key instead of sending a secret.
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" //nolint:gosec // this is no secret

// authorizer puts an OAuth2 token on each request.
type authorizer struct {
	settings promconfig.OAuth2
	tokens   *http.Client // requests tokens
	next     http.RoundTripper

	mu    sync.Mutex
	known string // the credential that source and token come from
	maker tokenMaker
	token *oauth2.Token
}

// tokenMaker is what both grant types have in common.
type tokenMaker interface {
	TokenSource(ctx context.Context) oauth2.TokenSource
}

func newAuthorizer(o promconfig.OAuth2, name string, next http.RoundTripper) (*authorizer, error) {
	transport, err := promconfig.NewRoundTripperFromConfig( //nolint:forbidigo // this is where they are made
		promconfig.HTTPClientConfig{
			TLSConfig: o.TLSConfig, ProxyConfig: o.ProxyConfig,
		}, name, promconfig.WithUserAgent(name))
	if err != nil {
		return nil, fmt.Errorf("oauth2: %w", err)
	}
	return &authorizer{
		settings: o, next: next,
		tokens: &http.Client{Transport: transport, CheckRedirect: redirect.Refuse},
	}, nil
}

// RoundTrip implements http.RoundTripper.
func (a *authorizer) RoundTrip(r *http.Request) (*http.Response, error) {
	source := sourceFunc(func() (*oauth2.Token, error) { return a.current(r.Context()) })
	return (&oauth2.Transport{Source: source, Base: a.next}).RoundTrip(r)
}

// CloseIdleConnections closes those to either server.
func (a *authorizer) CloseIdleConnections() {
	a.tokens.CloseIdleConnections()
	if next, ok := a.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

type sourceFunc func() (*oauth2.Token, error)

// Token implements oauth2.TokenSource.
func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// current returns the token that is in force, or asks for one within the time of the request that needs it.
func (a *authorizer) current(ctx context.Context) (*oauth2.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	credential, err := a.credential(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the OAuth2 client's credential: %w", err)
	}
	if a.maker == nil || credential != a.known {
		a.known, a.maker, a.token = credential, a.newMaker(credential), nil
	}
	if !a.token.Valid() {
		token, err := a.maker.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, a.tokens)).Token()
		if err != nil {
			return nil, a.fault(err)
		}
		a.token = token
	}
	return a.token, nil
}

// credential returns the client's secret, or its key.
func (a *authorizer) credential(ctx context.Context) (string, error) {
	text, file := a.settings.ClientSecret, a.settings.ClientSecretFile
	if a.settings.GrantType == jwtBearer {
		text, file = a.settings.ClientCertificateKey, a.settings.ClientCertificateKeyFile
	}
	if file != "" {
		return secretFiles{}.Fetch(ctx, file)
	}
	return string(text), nil
}

func (a *authorizer) newMaker(credential string) tokenMaker {
	o := a.settings
	parameters := url.Values{}
	for name, value := range o.EndpointParams {
		parameters.Set(name, value)
	}
	if o.GrantType != jwtBearer {
		return &clientcredentials.Config{
			ClientID: o.ClientID, ClientSecret: credential, Scopes: o.Scopes, TokenURL: o.TokenURL, EndpointParams: parameters,
		}
	}
	algorithm := jwt.SigningMethodRS256
	for _, method := range []*jwt.SigningMethodRSA{jwt.SigningMethodRS384, jwt.SigningMethodRS512} {
		if o.SignatureAlgorithm == method.Name {
			algorithm = method
		}
	}
	issuer := o.Iss
	if issuer == "" {
		issuer = o.ClientID
	}
	return &promconfig.JwtGrantTypeConfig{
		PrivateKey: []byte(credential), PrivateKeyID: o.ClientCertificateKeyID, Scopes: o.Scopes, TokenURL: o.TokenURL,
		SigningAlgorithm: algorithm, Iss: issuer, Subject: o.ClientID, Audience: o.Audience, PrivateClaims: o.Claims,
		EndpointParams: parameters,
	}
}

// fault is the error of a token that was not given, without URLs and credentials.
func (a *authorizer) fault(err error) error {
	for wrapped, ok := errors.AsType[*url.Error](err); ok; wrapped, ok = errors.AsType[*url.Error](err) {
		err = wrapped.Err
	}
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		// Without the body, which may repeat the request.
		text := refused.ErrorCode
		if refused.Response != nil {
			text = strings.TrimSpace(fmt.Sprintf("HTTP status %d %s", refused.Response.StatusCode, text))
		}
		if refused.ErrorDescription != "" {
			text += ": " + refused.ErrorDescription
		}
		err = errors.New(secret.Masker{}.Add(a.known).Mask(text))
	}
	return fmt.Errorf("getting an OAuth2 token: %w", err)
}
