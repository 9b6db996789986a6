// Package command holds what the commands of weixin_exporter do, one file for each, and
// the wiring of the parts that they share.
package command

import (
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// ErrUsage is a command line that asks for what cannot be.
var ErrUsage = errors.New("wrong usage")

// Env is what a command finds around it.
type Env struct {
	Stdout, Stderr io.Writer
	Now            func() time.Time
	// Elapsed is how long the program has run, by a clock that cannot be set; nil: by Now.
	Elapsed   func() time.Duration
	LogLevel  string // debug, info, warn or error
	LogFormat string // logfmt or json
}

// Web is how the exporter serves.
type Web struct {
	Toolkit *toolkit.FlagConfig
	// AddressGiven tells that the addresses to listen on are not just the default.
	AddressGiven bool
	// ExternalURL and RoutePrefix are for an exporter behind a proxy; "" if not given.
	ExternalURL, RoutePrefix string
	TelemetryPath            string
	EnableLifecycle          bool
	// MaxRequests bounds the scrapes that are served at a time; 0 means no limit.
	MaxRequests int
	// DisableExporterMetrics leaves out go_* and process_*.
	DisableExporterMetrics bool
}

// userAgent names the exporter and its version to the servers that it calls.
func userAgent() string { return program + "/" + cmp.Or(version.Version, "unknown") }
