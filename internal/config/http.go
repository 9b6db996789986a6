package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/httpclient"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin/secret"
)

// maxUsable bounds how many http_config blocks are kept for comparison. Accounts with a block of
// their own have mostly the same few.
const maxUsable = 16

// httpBlock is an http_config under examination.
type httpBlock struct {
	// files are the paths that it names.
	files []namedFile
	// hidden are its secrets, which a library's error might quote.
	hidden secret.Masker
}

type namedFile struct{ key, path string }

// DefaultHTTPClient returns the default of an http_config: the defaults of Prometheus, except that redirects are
// not followed, since they would be sent credentials.
func DefaultHTTPClient() promconfig.HTTPClientConfig {
	c := promconfig.DefaultHTTPClientConfig
	c.FollowRedirects = false
	return c
}

// enterHTTPConfig returns the check of a block that is about to be read.
func (d *document) enterHTTPConfig(c *promconfig.HTTPClientConfig, key string) func() {
	b, before := &httpBlock{}, d.faulty()
	d.block = b
	return func() {
		d.block = nil
		d.checkHTTPConfig(c, key, b, before)
	}
}

// checkHTTPConfig checks the block that was read; before is the number of faults before it.
func (d *document) checkHTTPConfig(c *promconfig.HTTPClientConfig, key string, b *httpBlock, before int) {
	c.SetDirectory(d.path("."))
	if c.OAuth2 != nil { // SetDirectory forgets it
		c.OAuth2.ClientCertificateKeyFile = d.path(c.OAuth2.ClientCertificateKeyFile)
	}
	if c.FollowRedirects {
		c.FollowRedirects = false
		d.warn(key+".follow_redirects", i18n.M("warn.follow_redirects"))
	}
	if d.faulty() > before || c.Validate() != nil || !d.shared.isUsable(c) {
		d.validateHTTPConfig(c, key, b)
		if d.faulty() > before {
			return
		}
		if len(d.shared.usable) < maxUsable {
			d.shared.usable = append(d.shared.usable, *c)
		}
	}
	if c.TLSConfig.InsecureSkipVerify && strings.HasSuffix(key, ".callback.http_config") {
		d.warn(key+".tls_config.insecure_skip_verify", i18n.M("warn.skip_verify.callback"))
	} else if c.TLSConfig.InsecureSkipVerify {
		server := "token_server"
		switch {
		case key == "weixin.http_config":
			server = "weixin"
		case strings.HasPrefix(key, "remote_write["):
			server = "receiver"
		}
		d.warn(key+".tls_config.insecure_skip_verify", i18n.M("warn.skip_verify."+server))
	}
}

// isUsable reports whether a client could be built from an equal block, which has its paths joined.
func (s *shared) isUsable(c *promconfig.HTTPClientConfig) bool {
	return slices.ContainsFunc(s.usable, func(known promconfig.HTTPClientConfig) bool { return reflect.DeepEqual(known, *c) })
}

// validateHTTPConfig checks the block with the checks of prometheus/common, which stop at the first
// fault, and tries whether a client can be built from it.
func (d *document) validateHTTPConfig(c *promconfig.HTTPClientConfig, key string, b *httpBlock) {
	for _, file := range b.files {
		if err := readable(d.path(file.path)); err != nil {
			d.fileFault(file.key, problemOf(err))
		}
	}
	ofFile := d.Fault
	if len(b.files) > 0 {
		ofFile = d.fileFault // what the files hold is read by these checks, too
	}
	checks := []struct {
		key   string
		check func() error
		note  func(key string, problem i18n.Message)
	}{
		{key + ".tls_config", c.TLSConfig.Validate, d.Fault},
		{key + ".tls_config", func() error { return readTLS(&c.TLSConfig) }, ofFile},
		{key + ".oauth2", func() error { return validateOAuth2(c.OAuth2) }, d.Fault},
		{key + ".oauth2", func() error { return readOAuth2(c.OAuth2) }, ofFile},
		{key, c.Validate, d.Fault},
		{key, func() error { return buildable(c) }, ofFile},
	}
	for _, check := range checks {
		if d.hasFaultUnder(check.key) {
			continue
		}
		if err := check.check(); err != nil {
			check.note(check.key, b.masked(err))
		}
	}
}

// buildable tries to build a client.
func buildable(c *promconfig.HTTPClientConfig) error {
	client, err := httpclient.New(*c, "weixin")
	if err != nil {
		return err
	}
	client.CloseIdleConnections()
	return nil
}

// hasFaultUnder reports whether a key has a fault, or one below it.
func (d *document) hasFaultUnder(key string) bool {
	under := func(f Fault) bool { return f.Key == key || strings.HasPrefix(f.Key, key+".") }
	return slices.ContainsFunc(d.Faults(), under) || slices.ContainsFunc(d.fileFaults, under)
}

// readTLS reads certificates and keys.
func readTLS(c *promconfig.TLSConfig) error {
	_, err := promconfig.NewTLSConfig(c)
	return err
}

// readOAuth2 reads those for the server that gives out tokens.
func readOAuth2(o *promconfig.OAuth2) error {
	if o == nil {
		return nil
	}
	if err := readTLS(&o.TLSConfig); err != nil {
		return fmt.Errorf("tls_config: %w", err)
	}
	return nil
}

func validateOAuth2(o *promconfig.OAuth2) error {
	if o == nil {
		return nil
	}
	if err := o.TLSConfig.Validate(); err != nil {
		return fmt.Errorf("tls_config: %w", err)
	}
	if u, err := url.Parse(o.TokenURL); o.TokenURL != "" && (err != nil || !isHTTP(u)) {
		return i18n.Errorf("fault.token_url")
	}
	return o.Validate()
}

// remember keeps what the checks of the block need: its secrets and the files that it names.
func (b *httpBlock) remember(target any, value, key string) {
	switch target := target.(type) {
	case *promconfig.Secret:
		b.hidden = b.hidden.Add(value)
	case *secret.URL:
		b.hidden = append(b.hidden, target.Masker()...)
	case *promconfig.URL:
		if password, ok := target.User.Password(); ok {
			b.hidden = b.hidden.Add(password)
		}
	case *string:
		if value != "" && (strings.HasSuffix(key, "_file") || strings.Contains(key, ".files[")) {
			b.files = append(b.files, namedFile{key, value})
		}
	}
}

// masked returns the text of an error, mostly one of a library, in which no secret of the block is left.
func (b *httpBlock) masked(err error) i18n.Message {
	if own, ok := errors.AsType[*i18n.Error](err); ok {
		return own.Message
	}
	return i18n.M("error.other", b.hidden.Mask(err.Error()))
}

// readable opens a file for a moment.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return unreadable(path, err)
	}
	return nil
}
