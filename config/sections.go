package config

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/secret"
)

const maxHistoryDays = 4000

// allowed says what a key's value must be; what stands for the keys that have no more than a type.
func allowed(key, what string) string {
	switch key {
	case "weixin.base_url":
		return "an http or https URL with a host and no user, query or fragment, such as https://api.weixin.qq.com"
	case "weixin.timeout":
		return "a duration above 0, such as 10s"
	case "weixin.requests_per_second":
		return "a number above 0, such as 10"
	case "weixin.concurrency":
		return "a whole number from 1 to 1000"
	case "refresh.interval":
		return "a duration above 0 and at most 1d, such as 15m"
	case "refresh.ready_at":
		return `a China time of the form "HH:MM", "00:00" to "23:59"`
	case "refresh.history":
		return "a number of whole days from 1d to 4000d, such as 30d"
	case "refresh.recheck_after":
		return "a duration such as 24h, or 0 for never"
	case "store.path":
		return `the path of a file, or "" to keep everything in memory`
	case "store.retention":
		return "a number of whole days, such as 400d, or 0 for ever"
	}
	return what
}

func (d *document) validateWeixin(w *Weixin) {
	base, ok := parseBaseURL(w.BaseURL)
	switch {
	case !ok:
		d.refuse("weixin.base_url")
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		d.warn("weixin.base_url", "app secrets and access tokens cross the network in the clear; https protects them")
	}
	if w.Timeout <= 0 {
		d.refuse("weixin.timeout")
	}
	if !(w.RequestsPerSecond > 0) || math.IsInf(w.RequestsPerSecond, 0) {
		d.refuse("weixin.requests_per_second")
	}
	if w.Concurrency < 1 || w.Concurrency > 1000 {
		d.refuse("weixin.concurrency")
	}
	d.validateHTTPConfig(&w.HTTPClient)
}

func (d *document) validateRefresh(r *Refresh) {
	if r.Interval <= 0 || time.Duration(r.Interval) > day {
		d.refuse("refresh.interval")
	}
	if !wholeDays(time.Duration(r.History)) || r.HistoryDays() < 1 || r.HistoryDays() > maxHistoryDays {
		d.refuse("refresh.history")
	}
}

func (d *document) validateStore(s *Store, history Refresh) {
	if !wholeDays(time.Duration(s.Retention)) {
		d.refuse("store.retention")
	}
	if s.Retention > 0 && s.Retention < history.History && !d.broken["refresh.history"] {
		d.fault("store.retention", fmt.Sprintf("must not be shorter than refresh.history, which is %s, or 0 for ever", history.History))
	}
	s.Path = d.path(s.Path)
}

// validateHTTPConfig checks the block with the checks of prometheus/common, which stop at the first
// fault, and tries whether a client can be built from it.
func (d *document) validateHTTPConfig(c *promconfig.HTTPClientConfig) {
	for _, file := range d.files {
		if err := readable(d.path(file.path)); err != nil {
			d.fault(file.key, err.Error())
		}
	}
	c.SetDirectory(d.path("."))
	checks := []struct {
		key   string
		check func() error
	}{
		{httpConfigKey + ".tls_config", func() error { return validateTLS(&c.TLSConfig) }},
		{httpConfigKey + ".oauth2", func() error { return validateOAuth2(c.OAuth2) }},
		{httpConfigKey, c.Validate},
	}
	for _, check := range checks {
		if d.brokenBelow(check.key) {
			continue
		}
		if err := check.check(); err != nil {
			d.fault(check.key, d.masked(err))
		}
	}
	if !d.has(httpConfigKey) || d.brokenBelow(httpConfigKey) {
		return
	}
	client, err := promconfig.NewClientFromConfig(*c, "weixin")
	if err != nil {
		d.fault(httpConfigKey, d.masked(err))
		return
	}
	client.CloseIdleConnections()
	if c.TLSConfig.InsecureSkipVerify {
		d.warn(httpConfigKey+".tls_config.insecure_skip_verify",
			"whoever is on the way to Weixin can read app secrets and access tokens; name the certificate's issuer in ca_file instead")
	}
}

// validateTLS also reads certificates and keys.
func validateTLS(c *promconfig.TLSConfig) error {
	err := c.Validate()
	if err == nil {
		_, err = promconfig.NewTLSConfig(c)
	}
	return err
}

func validateOAuth2(o *promconfig.OAuth2) error {
	if o == nil {
		return nil
	}
	if err := validateTLS(&o.TLSConfig); err != nil {
		return fmt.Errorf("tls_config: %w", err)
	}
	if u, err := url.Parse(o.TokenURL); o.TokenURL != "" && (err != nil || !isHTTP(u)) {
		return errors.New("token_url must be an http or https URL with a host")
	}
	return o.Validate()
}

// masked returns the text of a library's error in which no secret of http_config is left.
func (d *document) masked(err error) string {
	text := err.Error()
	for _, hidden := range d.hidden {
		if len(hidden) > 3 {
			text = strings.ReplaceAll(text, hidden, secret.Mask)
		}
	}
	return text
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

func wholeDays(d time.Duration) bool { return d >= 0 && d%day == 0 }

func parseBaseURL(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || !isHTTP(u) || u.User != nil || strings.ContainsAny(text, "?#") {
		return nil, false
	}
	return u, true
}

func isHTTP(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && hasHost(u) }

func isProxy(u *url.URL) bool {
	return isHTTP(u) || (u.Scheme == "socks5" || u.Scheme == "socks5h") && hasHost(u)
}

func hasHost(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Hostname() != "" && (u.Port() == "" || err == nil && port > 0)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
