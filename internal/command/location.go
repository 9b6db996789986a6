package command

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"

	"weixin_exporter/internal/web"
)

// location is where the exporter is found, as the flags say.
type location struct {
	// prefix stands before the paths of all pages: "" or one such as "/weixin".
	prefix string
	// metrics is the URL of the metrics from outside; nil where it is not known.
	metrics *url.URL
}

// location reads the flags; its errors are wrong usage.
func (w *Web) location() (location, error) {
	var l location
	if err := web.CheckTelemetryPath(w.TelemetryPath); err != nil {
		return l, fmt.Errorf("--web.telemetry-path: %w: %w", ErrUsage, err)
	}
	if w.ExternalURL != "" {
		external, err := url.Parse(w.ExternalURL)
		if err != nil || external.Scheme != "http" && external.Scheme != "https" || external.Hostname() == "" ||
			external.User != nil || strings.ContainsAny(w.ExternalURL, "?#") {
			return l, fmt.Errorf("--web.external-url: %w: it must be an http or https URL with a host and perhaps a path, such as https://proxy.example/weixin", ErrUsage)
		}
		l.prefix = cleanPrefix(external.Path)
		l.metrics = &url.URL{Scheme: external.Scheme, Host: external.Host, Path: l.prefix + w.TelemetryPath}
	}
	if w.RoutePrefix != "" {
		l.prefix = cleanPrefix(w.RoutePrefix)
	}
	if w.systemd() {
		return l, nil // which has the addresses
	}
	for _, address := range *w.Toolkit.WebListenAddresses {
		if err := checkAddress(address); err != nil {
			return l, fmt.Errorf("--web.listen-address=%s: %w: %w", address, ErrUsage, err)
		}
	}
	return l, nil
}

// cleanPrefix returns a path with one slash at its begin and none at its end; "" for the top.
func cleanPrefix(prefix string) string { return strings.TrimSuffix(path.Clean("/"+prefix), "/") }

func (w *Web) systemd() bool { return w.Toolkit.WebSystemdSocket != nil && *w.Toolkit.WebSystemdSocket }

// vsockScheme begins the addresses between a virtual machine and its host.
const vsockScheme = "vsock://"

// checkAddress returns an error for what can be no address to listen on.
func checkAddress(address string) error {
	const want = "it must be HOST:PORT, :PORT or vsock://:PORT, such as :9988 or 127.0.0.1:9988"
	if _, ok := strings.CutPrefix(address, vsockScheme); ok {
		if _, err := vsockPort(address); err != nil {
			return fmt.Errorf("%w; %s", err, want)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		if inner, ok := err.(*net.AddrError); ok { //nolint:errorlint // else the address stands there twice
			return fmt.Errorf("%s; %s", inner.Err, want)
		}
		return fmt.Errorf("%w; %s", err, want)
	}
	if _, err := net.LookupPort("tcp", port); err != nil { //nolint:noctx // it asks no server
		return fmt.Errorf("%q is not a port; %s", port, want)
	}
	return nil
}

// vsockPort returns the port of an address that begins with vsockScheme.
func vsockPort(address string) (uint32, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, fmt.Errorf("%q is not a URL", address)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port", u.Port())
	}
	return uint32(port), nil
}
