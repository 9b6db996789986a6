package exporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/web"
)

// Web is the value of the --web.* and --query.* flags: how the exporter serves. Flags fills it.
type Web struct {
	Toolkit *toolkit.FlagConfig
	// ExternalURL and RoutePrefix are for an exporter behind a proxy; "" if not given.
	ExternalURL, RoutePrefix string
	TelemetryPath            string
	EnableLifecycle          bool
	// MaxRequests limits the number of scrapes that are served at a time; 0 means no limit.
	MaxRequests int
	// DisableExporterMetrics leaves out go_* and process_*.
	DisableExporterMetrics bool
	// Query limits queries of the store.
	Query query.Limits
}

// Flags declares the --web.* and --query.* flags.
func (w *Web) Flags(app *kingpin.Application) {
	w.Toolkit = kingpinflag.AddFlags(app, ":9988")
	app.Flag("web.telemetry-path", "Path under which the metrics are served.").
		Default("/metrics").StringVar(&w.TelemetryPath)
	app.Flag("web.external-url", "URL under which the exporter is reached from outside, for links and targets behind a proxy. A path in it is the default of --web.route-prefix.").
		PlaceHolder("URL").StringVar(&w.ExternalURL)
	app.Flag("web.route-prefix", "Prefix of the paths of all pages; by default the path of --web.external-url.").
		PlaceHolder("PATH").StringVar(&w.RoutePrefix)
	app.Flag("web.enable-lifecycle", "Allow to reload the configuration with POST /-/reload.").
		BoolVar(&w.EnableLifecycle)
	app.Flag("web.max-requests", "Maximum number of scrapes that are served at a time; 0 means no limit.").
		Default("40").SetValue((*count)(&w.MaxRequests))
	app.Flag("web.disable-exporter-metrics", "Leave out the metrics of the process itself (go_*, process_*).").
		BoolVar(&w.DisableExporterMetrics)
	queryFlags(app, &w.Query)
}

// count is the value of a flag that must be a whole number, 0 or more.
type count int

// String implements kingpin.Value.
func (c *count) String() string { return strconv.Itoa(int(*c)) }

// Set implements kingpin.Value.
func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return fmt.Errorf("must be a whole number, 0 or more, not %q", text)
	}
	*c = count(n)
	return nil
}

// Location is where the exporter serves, according to the flags.
type Location struct {
	// Prefix is the prefix of the paths of all pages: "" or one such as "/weixin".
	Prefix string
	// Metrics is the external URL of the metrics; nil if unknown.
	Metrics *url.URL
}

// Location checks the flags that say where the exporter serves. Its errors wrap ErrUsage.
func (w *Web) Location() (Location, error) {
	var l Location
	err := web.CheckTelemetryPath(w.TelemetryPath)
	if err == nil && strings.HasPrefix(w.TelemetryPath, query.Path) {
		err = fmt.Errorf("the path %s is taken: nothing else may be below %s", w.TelemetryPath, query.Path)
	}
	if err != nil {
		return l, fmt.Errorf("--web.telemetry-path: %w: %w", ErrUsage, err)
	}
	if w.ExternalURL != "" {
		external, err := url.Parse(w.ExternalURL)
		if err != nil || external.Scheme != "http" && external.Scheme != "https" || external.Hostname() == "" ||
			external.User != nil || strings.ContainsAny(w.ExternalURL, "?#") {
			return l, fmt.Errorf("--web.external-url: %w: it must be an http or https URL with a host and perhaps a path, such as https://proxy.example/weixin", ErrUsage)
		}
		l.Prefix = cleanPrefix(external.Path)
		l.Metrics = &url.URL{Scheme: external.Scheme, Host: external.Host, Path: l.Prefix + w.TelemetryPath}
	}
	if w.RoutePrefix != "" {
		l.Prefix = cleanPrefix(w.RoutePrefix)
	}
	if w.Systemd() {
		return l, nil // systemd has the addresses
	}
	for _, address := range *w.Toolkit.WebListenAddresses {
		if err := checkAddress(address); err != nil {
			return l, fmt.Errorf("--web.listen-address=%s: %w: %w", address, ErrUsage, err)
		}
	}
	return l, nil
}

// cleanPrefix returns a path with a leading slash and no trailing one; "" for the root.
func cleanPrefix(prefix string) string { return strings.TrimSuffix(path.Clean("/"+prefix), "/") }

// Systemd reports whether the listening sockets come from systemd.
func (w *Web) Systemd() bool { return w.Toolkit.WebSystemdSocket != nil && *w.Toolkit.WebSystemdSocket }

// VsockScheme is the prefix of addresses for connections between a virtual machine and its host.
const VsockScheme = "vsock://"

// checkAddress returns an error if the exporter cannot listen on an address of this form.
func checkAddress(address string) error {
	const want = "it must be HOST:PORT, :PORT or vsock://:PORT, such as :9988 or 127.0.0.1:9988"
	if _, ok := strings.CutPrefix(address, VsockScheme); ok {
		if _, err := VsockPort(address); err != nil {
			return fmt.Errorf("%w; %s", err, want)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		if inner, ok := err.(*net.AddrError); ok { //nolint:errorlint // its text repeats the address
			return fmt.Errorf("%s; %s", inner.Err, want)
		}
		return fmt.Errorf("%w; %s", err, want)
	}
	if _, err := net.LookupPort("tcp", port); err != nil { //nolint:noctx // it asks no server
		return fmt.Errorf("%q is not a port; %s", port, want)
	}
	return nil
}

// VsockPort returns the port of an address that begins with VsockScheme.
func VsockPort(address string) (uint32, error) {
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

// CheckConfigFile checks the file that --web.config.file names. The error is one line and quotes no value of
// the file, as the toolkit's own error may, since a value may be a secret.
func (w *Web) CheckConfigFile(ctx context.Context) error {
	path := *w.Toolkit.WebConfigFile
	_, err := interruptible(ctx, func() (struct{}, error) { return struct{}{}, toolkit.Validate(path) })
	var file *os.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &file) && file.Path != path:
		return fmt.Errorf("--web.config.file=%s: %s cannot be read: %w", path, file.Path, file.Err)
	case file != nil:
		return fmt.Errorf("--web.config.file=%s: the file cannot be read: %w", path, file.Err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	text := regexp.MustCompile("`[^`]*`").ReplaceAllString(strings.Join(lines, " "), "a value")
	return fmt.Errorf("--web.config.file=%s: %s", path, text)
}
