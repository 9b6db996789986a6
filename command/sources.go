package command

import (
	"fmt"
	"net/http"
	"reflect"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/config"
	"weixin_exporter/httpclient"
	"weixin_exporter/secret"
	"weixin_exporter/weixin"
)

// sources makes the sources of access tokens that one configuration asks for.
type sources struct {
	api *weixin.Client
	// plain calls token servers that need no settings of their own; nil until one is needed.
	plain *http.Client
	// components are the platforms' own tokens, which their accounts share.
	components []component
	idle       []func()
}

type component struct {
	appID  string
	config config.ComponentToken
	source weixin.TokenSource
}

// of returns where the account's access token comes from.
func (s *sources) of(a config.Account) (weixin.TokenSource, error) {
	credentials := weixin.Credentials{AppID: a.AppID, AppSecret: a.Secret(), Reread: a.RereadSecret}
	switch a.Token.Type {
	case config.LegacyToken:
		return s.api.LegacyToken(credentials), nil
	case config.FileToken:
		return weixin.FileToken(a.Token.Path, weixin.TokenFormat{Path: a.Token.TokenPath}), nil
	case config.URLToken:
		return s.server(a.Token.URL, a.Token.HTTPClient, weixin.TokenFormat{Path: a.Token.TokenPath})
	case config.AuthorizerToken:
		shared, err := s.component(a.Token.ComponentAppID, *a.Token.ComponentAccessToken)
		return s.api.AuthorizerToken(weixin.AuthorizerOptions{
			ComponentAppID: a.Token.ComponentAppID,
			AppID:          a.AppID,
			Component:      shared,
			RefreshToken:   weixin.NewRefreshTokenFile(a.Token.RefreshTokenFile),
		}), err
	default:
		return s.api.StableToken(credentials), nil
	}
}

// component returns the source of a platform's own token, the same for all its accounts.
func (s *sources) component(appID string, c config.ComponentToken) (weixin.TokenSource, error) {
	for _, known := range s.components {
		if known.appID == appID && reflect.DeepEqual(known.config, c) {
			return known.source, nil
		}
	}
	format := weixin.TokenFormat{Path: c.TokenPath, Component: true}
	source := weixin.FileToken(c.Path, format)
	if c.Type == config.URLToken {
		var err error
		if source, err = s.server(c.URL, c.HTTPClient, format); err != nil {
			return nil, err
		}
	}
	made := component{appID: appID, config: c, source: s.api.Keep(source)}
	s.components = append(s.components, made)
	return made.source, nil
}

// server returns a token server as a source.
func (s *sources) server(
	address secret.URL, settings *promconfig.HTTPClientConfig, format weixin.TokenFormat,
) (weixin.TokenSource, error) {
	httpClient := s.plain
	if settings != nil || httpClient == nil {
		chosen := config.DefaultHTTPClient()
		if settings != nil {
			chosen = *settings
		}
		var err error
		if httpClient, err = httpclient.New(chosen, program); err != nil {
			return nil, fmt.Errorf("token.http_config: %w", err)
		}
		s.idle = append(s.idle, httpClient.CloseIdleConnections)
		if settings == nil {
			s.plain = httpClient
		}
	}
	return s.api.URLToken(weixin.URLTokenOptions{URL: address, HTTPClient: httpClient, Format: format}), nil
}

// tokenOrigin says in words where an access token comes from; of a URL neither user nor
// query, which may be secrets.
func tokenOrigin(t config.Token) string {
	switch t.Type {
	case config.FileToken:
		return "file " + t.Path
	case config.URLToken:
		return "url " + t.URL.Place()
	case config.AuthorizerToken:
		return "authorizer, by platform " + t.ComponentAppID
	default:
		return string(t.Type)
	}
}
