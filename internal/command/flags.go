package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
)

// Flags declares the flags of the log.
func (e *Env) Flags(app *kingpin.Application) {
	app.Flag("log.level", "Only log messages of this severity or above: debug, info, warn or error.").
		Default("info").SetValue(oneOf(&e.LogLevel, "debug", "info", "warn", "error"))
	app.Flag("log.format", "Form of the log: logfmt or json.").
		Default("logfmt").SetValue(oneOf(&e.LogFormat, "logfmt", "json"))
}

// Flags declares the flags about serving.
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
}

// choice is a value that must be one of a few words.
type choice struct {
	target  *string
	allowed []string
}

// oneOf returns a value that must be one of the allowed words.
func oneOf(target *string, allowed ...string) *choice { return &choice{target, allowed} }

// String implements kingpin.Value.
func (c *choice) String() string { return *c.target }

// Set implements kingpin.Value.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.allowed, text) {
		last := len(c.allowed) - 1
		return fmt.Errorf("must be %s or %s, not %q", strings.Join(c.allowed[:last], ", "), c.allowed[last], text)
	}
	*c.target = text
	return nil
}

// count is a value that must be a whole number, 0 or more.
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
