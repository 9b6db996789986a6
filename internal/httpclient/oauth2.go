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
	"weixin_exporter/internal/text"
	"weixin_exporter/weixin/secret"
)

// jwtBearer is the grant type of RFC 7523: the client signs with a key instead of sending a secret.
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" //nolint:gosec // not a secret

// authorizer is a RoundTripper that adds an OAuth2 token to each request.
type authorizer struct {
	settings promconfig.OAuth2
	tokens   *http.Client // requests tokens
	next     http.RoundTripper

	mu    sync.Mutex
	used  string // the credential of grant and token
	grant grant  // nil before the first request
	token *oauth2.Token
}

// grant requests tokens by one of the grant types.
type grant interface {
	TokenSource(ctx context.Context) oauth2.TokenSource
}

func newAuthorizer(o promconfig.OAuth2, name string, next http.RoundTripper) (*authorizer, error) {
	transport, err := promconfig.NewRoundTripperFromConfig( //nolint:forbidigo // all others call this package
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

// CloseIdleConnections closes those to both servers.
func (a *authorizer) CloseIdleConnections() {
	a.tokens.CloseIdleConnections()
	if next, ok := a.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

type sourceFunc func() (*oauth2.Token, error)

// Token implements oauth2.TokenSource.
func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// current returns the current token, or requests one within the context of the request that needs it.
func (a *authorizer) current(ctx context.Context) (*oauth2.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	credential, err := a.credential(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the OAuth2 client's credential: %w", err)
	}
	if a.grant == nil || credential != a.used {
		a.used, a.grant, a.token = credential, a.newGrant(credential), nil
	}
	if !a.token.Valid() {
		token, err := a.grant.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, a.tokens)).Token()
		if err != nil {
			return nil, a.requestError(err)
		}
		a.token = token
	}
	return a.token, nil
}

// credential returns the client's secret, or its key for the grant type of RFC 7523.
func (a *authorizer) credential(ctx context.Context) (string, error) {
	credential, file := a.settings.ClientSecret, a.settings.ClientSecretFile
	if a.settings.GrantType == jwtBearer {
		credential, file = a.settings.ClientCertificateKey, a.settings.ClientCertificateKeyFile
	}
	if file != "" {
		return secretFiles{}.Fetch(ctx, file)
	}
	return string(credential), nil
}

func (a *authorizer) newGrant(credential string) grant {
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

// requestError returns the error of a failed request for a token, without URLs and credentials. Also the error of an answer
// that cannot be read may quote it, and the answer the request.
func (a *authorizer) requestError(err error) error {
	err = text.WithoutURL(err)
	said := err.Error()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		// Without the body, which may quote the request.
		said = refused.ErrorCode
		if refused.Response != nil {
			said = strings.TrimSpace(fmt.Sprintf("HTTP status %d %s", refused.Response.StatusCode, said))
		}
		if refused.ErrorDescription != "" {
			said += ": " + refused.ErrorDescription
		}
	}
	if shown := a.hidden().Mask(said); shown != err.Error() {
		err = errors.New(shown)
	}
	return fmt.Errorf("getting an OAuth2 token: %w", err)
}

// hidden masks what a server could quote of a request for a token.
func (a *authorizer) hidden() secret.Masker {
	hidden := append(secret.NewURL(a.settings.TokenURL).Masker(), secret.Masker{}.Add(a.used)...)
	for _, value := range a.settings.EndpointParams {
		hidden = hidden.Add(value)
	}
	return hidden
}
