// Package command has the commands of weixin_exporter: a file for each, with its flags and what it does. What
// they share with a running exporter is in package exporter.
package command

import (
	"io"
	"log/slog"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/logging"
)

// Env is the environment of a command.
type Env struct {
	Stdout, Stderr io.Writer
	// Texts writes what is for people in their language.
	Texts i18n.Printer
	Now   func() time.Time
	// Elapsed is the time that the program has been running, by a clock that cannot be set; nil derives it
	// from Now.
	Elapsed func() time.Duration
	// Lease is exporter.Options.Lease.
	Lease time.Duration
	// ConfigFile is the path of the configuration.
	ConfigFile string
	// Language is the code of the language of Texts; "" leaves it to the locale.
	Language  string
	LogLevel  string // debug, info, warn or error
	LogFormat string // logfmt or json
}

// loggers returns the logger of this program, and one for libraries that log with log/slog.
func (e *Env) loggers() (log.Logger, *slog.Logger) {
	return logging.New(logging.Options{Writer: e.Stderr, Level: e.LogLevel, Format: e.LogFormat, Now: e.Now})
}
