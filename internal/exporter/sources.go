package exporter

import (
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/httpclient"
	"weixin_exporter/internal/tokens"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// sources builds the sources of access tokens of one configuration.
type sources struct {
	api *weixin.Client
	// keeper keeps tokens for all processes; nil if they are not shared.
	keeper  *tokens.Keeper
	baseURL string
	// plain calls token servers without an http_config; nil until one is needed.
	plain *http.Client
	// components are the sources of the platforms' own tokens, which the accounts of a platform share.
	components []component
	idle       []func()
}

type component struct {
	appID  string
	config config.ComponentToken
	source weixin.TokenSource
}

// of returns the source of the account's access token.
func (s *sources) of(a config.Account) weixin.TokenSource {
	credentials := weixin.Credentials{AppID: a.AppID, AppSecret: a.Secret(), SecretFile: a.AppSecretFile, Reread: a.RereadSecret}
	switch a.Token.Type {
	case config.LegacyToken:
		return s.kept(a, s.api.LegacyToken(credentials))
	case config.FileToken:
		return weixin.FileToken(a.Token.Path, weixin.TokenFormat{Path: a.Token.TokenPath})
	case config.URLToken:
		return s.server(a.Token.URL, a.Token.HTTPClient, weixin.TokenFormat{Path: a.Token.TokenPath})
	case config.AuthorizerToken:
		return s.kept(a, s.api.AuthorizerToken(weixin.AuthorizerOptions{
			ComponentAppID: a.Token.ComponentAppID,
			AppID:          a.AppID,
			Component:      s.component(a.Token.ComponentAppID, *a.Token.ComponentAccessToken),
			RefreshToken:   s.refreshToken(a),
		}))
	default:
		return s.kept(a, s.api.StableToken(credentials))
	}
}

// component returns the source of a platform's own token; all accounts of the platform get the same one.
func (s *sources) component(appID string, c config.ComponentToken) weixin.TokenSource {
	for _, known := range s.components {
		if known.appID == appID && reflect.DeepEqual(known.config, c) {
			return known.source
		}
	}
	format := weixin.TokenFormat{Path: c.TokenPath, Component: true}
	source := weixin.FileToken(c.Path, format)
	if c.Type == config.URLToken {
		source = s.server(c.URL, c.HTTPClient, format)
	}
	made := component{appID: appID, config: c, source: s.api.SharedToken(source)}
	s.components = append(s.components, made)
	return made.source
}

// server returns a source that asks a token server. If a file of its http_config cannot be used, building the
// client is retried whenever a token is needed.
func (s *sources) server(address secret.URL, settings *promconfig.HTTPClientConfig, format weixin.TokenFormat) weixin.TokenSource {
	if settings == nil && s.plain != nil {
		return s.ask(address, s.plain, format)
	}
	chosen := config.DefaultHTTPClient()
	if settings != nil {
		chosen = *settings
	}
	httpClient, err := httpclient.New(chosen, Program)
	if err != nil {
		return s.retried(address, chosen, format)
	}
	s.idle = append(s.idle, httpClient.CloseIdleConnections)
	if settings == nil {
		s.plain = httpClient
	}
	return s.ask(address, httpClient, format)
}

func (s *sources) ask(address secret.URL, httpClient *http.Client, format weixin.TokenFormat) weixin.TokenSource {
	return s.api.URLToken(weixin.URLTokenOptions{URL: address, HTTPClient: httpClient, Format: format})
}

func (s *sources) retried(address secret.URL, settings promconfig.HTTPClientConfig, format weixin.TokenFormat) weixin.TokenSource {
	var made atomic.Pointer[http.Client]
	s.idle = append(s.idle, func() {
		if httpClient := made.Load(); httpClient != nil {
			httpClient.CloseIdleConnections()
		}
	})
	ask := s.ask
	return weixin.DeferredToken(weixin.Origin{URL: address.Endpoint()}, address.Masker(), func() (weixin.TokenSource, error) {
		httpClient, err := httpclient.New(settings, Program)
		if err != nil {
			return nil, fmt.Errorf("http_config: %w", err)
		}
		made.Store(httpClient)
		return ask(address, httpClient, format), nil
	})
}

// tokenOrigin describes where an access token comes from. It leaves out the user and query of a URL, which
// may be secrets.
func tokenOrigin(t config.Token) string {
	switch t.Type {
	case config.FileToken:
		return "file " + t.Path
	case config.URLToken:
		return "url " + t.URL.Endpoint()
	case config.AuthorizerToken:
		return "authorizer, by platform " + t.ComponentAppID
	default:
		return string(t.Type)
	}
}
