package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"weixin_exporter/internal/i18n"
)

// LogFlags declares the flags of the log.
func (e *Env) LogFlags(app *kingpin.Application) {
	app.Flag("log.level", "Only log messages of this severity or above: debug, info, warn or error.").
		Default("info").SetValue(oneOf(&e.LogLevel, "debug", "info", "warn", "error"))
	app.Flag("log.format", "Form of the log: logfmt or json.").
		Default("logfmt").SetValue(oneOf(&e.LogFormat, "logfmt", "json"))
}

// LanguageFlag declares --lang.
func (e *Env) LanguageFlag(app *kingpin.Application) {
	app.Flag("lang", "Language of the output, en or zh; the default is that of the locale. Log messages are in English.").
		PlaceHolder("LANG").SetValue(oneOf(&e.Language, i18n.English.String(), i18n.Chinese.String()))
}

// ConfigFlag declares --config.file.
func (e *Env) ConfigFlag(app *kingpin.Application) {
	app.Flag("config.file", "Configuration file.").Default("config.yml").StringVar(&e.ConfigFile)
}

// choice is the value of a flag that must be one of a few words.
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
