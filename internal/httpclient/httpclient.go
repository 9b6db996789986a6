// Package httpclient makes HTTP clients from Prometheus' http_config. All clients of the program that send
// credentials are made here: none follows redirects, not even to request an OAuth2 token.
package httpclient

import (
	"context"
	"fmt"
	"net/http"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/redirect"
	"weixin_exporter/weixin/secret"
)

// New returns the client for an http_config; name is the User-Agent of its requests for OAuth2 tokens, and the
// options are those of the library. Unlike the clients of the library, it follows no redirects, whatever
// follow_redirects says, and ignores a byte order mark in the files of passwords and credentials. It keeps up to
// 1000 idle connections to a host; the caller must close them with CloseIdleConnections.
func New(c promconfig.HTTPClientConfig, name string, options ...promconfig.HTTPClientOption) (*http.Client, error) {
	c.FollowRedirects = false
	settings := c.OAuth2
	// The client with which the library requests OAuth2 tokens follows redirects whatever the settings
	// say, and would send the client's secret to another host.
	c.OAuth2 = nil
	// A file becomes a reference, which secretFiles reads as a path.
	if c.BasicAuth != nil {
		own := *c.BasicAuth
		refer(&own.UsernameFile, &own.UsernameRef)
		refer(&own.PasswordFile, &own.PasswordRef)
		c.BasicAuth = &own
	}
	if c.Authorization != nil {
		own := *c.Authorization
		refer(&own.CredentialsFile, &own.CredentialsRef)
		c.Authorization = &own
	}
	options = append(options, promconfig.WithSecretManager(secretFiles{}))
	client, err := promconfig.NewClientFromConfig(c, name, options...) //nolint:forbidigo // all others call this package
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = redirect.Refuse
	if settings != nil {
		if client.Transport, err = newAuthorizer(*settings, name, client.Transport); err != nil {
			return nil, err
		}
	}
	return client, nil
}

func refer(file, reference *string) {
	if *file != "" {
		*file, *reference = "", *file
	}
}

// secretFiles reads files with secrets for each request, so that a change applies at once.
type secretFiles struct{}

// Fetch implements promconfig.SecretManager.
func (secretFiles) Fetch(_ context.Context, path string) (string, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file %s: %w", path, err)
	}
	return text, nil
}
