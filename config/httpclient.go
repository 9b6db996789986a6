package config

import (
	"context"
	"fmt"
	"net/http"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/secret"
)

// NewHTTPClient returns the client that an http_config asks for. Unlike the library by itself, it
// drops a byte order mark from what the files of passwords and credentials hold.
func NewHTTPClient(c promconfig.HTTPClientConfig, name string) (*http.Client, error) {
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
	if c.OAuth2 != nil {
		// The client also writes into it, and what is kept must stay comparable.
		own := *c.OAuth2
		refer(&own.ClientSecretFile, &own.ClientSecretRef)
		refer(&own.ClientCertificateKeyFile, &own.ClientCertificateKeyRef)
		c.OAuth2 = &own
	}
	return promconfig.NewClientFromConfig(c, name, promconfig.WithSecretManager(secretFiles{}))
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
