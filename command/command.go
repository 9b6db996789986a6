// Package command holds what the commands of weixin_exporter do, one file for each, and
// the wiring of the parts that they share.
package command

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	sloggokit "github.com/tjhop/slog-gokit"
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
	Toolkit         *toolkit.FlagConfig
	TelemetryPath   string
	EnableLifecycle bool
	// MaxRequests bounds the scrapes that are served at a time; 0 means no limit.
	MaxRequests int
	// DisableExporterMetrics leaves out go_* and process_*.
	DisableExporterMetrics bool
}

// logger returns the logger of the house, and one for libraries that log with slog.
func (e Env) logger() (log.Logger, *slog.Logger) {
	writer := log.NewSyncWriter(e.Stderr)
	plain := log.NewLogfmtLogger(writer)
	if e.LogFormat == "json" {
		plain = log.NewJSONLogger(writer)
	}
	lowest, slogLevel := level.AllowInfo(), slog.LevelInfo
	switch e.LogLevel {
	case "debug":
		lowest, slogLevel = level.AllowDebug(), slog.LevelDebug
	case "warn":
		lowest, slogLevel = level.AllowWarn(), slog.LevelWarn
	case "error":
		lowest, slogLevel = level.AllowError(), slog.LevelError
	}
	plain = level.NewFilter(plain, lowest)
	now := log.TimestampFormat(func() time.Time { return e.Now().UTC() }, "2006-01-02T15:04:05.000Z07:00")
	own := log.With(plain, "ts", now, "caller", log.DefaultCaller)
	bridge := sloggokit.NewGoKitHandler(log.With(plain, "ts", now), slogLevel)
	return own, slog.New(untimed{bridge})
}

// untimed takes the time off the records of a bridge that would write it under another
// name than the rest of the log.
type untimed struct{ slog.Handler }

// Handle implements slog.Handler.
func (u untimed) Handle(ctx context.Context, r slog.Record) error {
	r.Time = time.Time{}
	return u.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (u untimed) WithAttrs(attrs []slog.Attr) slog.Handler {
	return untimed{u.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (u untimed) WithGroup(name string) slog.Handler { return untimed{u.Handler.WithGroup(name)} }
