// Package httpclient makes HTTP clients from the settings that Prometheus users know. All clients of the program
// that send credentials are made here: none follows redirects, not even to request an OAuth2 token.
package httpclient

import (
	"context"
	"fmt"
	"net/http"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/redirect"
	"weixin_exporter/weixin/secret"
)

// New returns the client that an http_config asks for. Unlike the library by itself, it follows no
// redirects, whatever follow_redirects says, and drops a byte order mark from the files of passwords
// and credentials. It keeps up to 1000 idle connections to a host.
func New(c promconfig.HTTPClientConfig, name string, options ...promconfig.HTTPClientOption) (*http.Client, error) {
	c.FollowRedirects = false
	settings := c.OAuth2
	// The client with which the library requests OAuth2 tokens follows redirects whatever the settings
	// say, and so takes the client's secret elsewhere.
	c.OAuth2 = nil
	// A file becomes a reference that is its path: references are read by secretFiles.
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
	client, err := promconfig.NewClientFromConfig(c, name, options...) //nolint:forbidigo // this is where they are made
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

// secretFiles reads the files of secrets for each request, so that a changed one counts at once.
type secretFiles struct{}

func (secretFiles) Fetch(_ context.Context, path string) (string, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file %s: %w", path, err)
	}
	return text, nil
}
