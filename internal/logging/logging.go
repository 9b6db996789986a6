// Package logging makes the loggers of the program. All lines begin with ts, level, caller and msg, whether
// they come from go-kit or from log/slog.
package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	sloggokit "github.com/tjhop/slog-gokit"
)

// Options say where and how to log.
type Options struct {
	Writer io.Writer
	// Level is debug, info, warn or error; "" is info.
	Level string
	// Format is logfmt or json; "" is logfmt.
	Format string
	Now    func() time.Time
}

// New returns the logger of this program, and one for libraries that log with log/slog.
func New(o Options) (log.Logger, *slog.Logger) {
	plain := log.Logger(ordered{log.NewLogfmtLogger(log.NewSyncWriter(o.Writer))})
	if o.Format == "json" {
		plain = ordered{jsonLines{log.NewSyncWriter(o.Writer)}}
	}
	lowest, slogLevel := level.AllowInfo(), slog.LevelInfo
	switch o.Level {
	case "debug":
		lowest, slogLevel = level.AllowDebug(), slog.LevelDebug
	case "warn":
		lowest, slogLevel = level.AllowWarn(), slog.LevelWarn
	case "error":
		lowest, slogLevel = level.AllowError(), slog.LevelError
	}
	plain = level.NewFilter(plain, lowest)
	now := log.TimestampFormat(func() time.Time { return o.Now().UTC() }, "2006-01-02T15:04:05.000Z07:00")
	own := log.With(plain, "ts", now, "caller", log.DefaultCaller)
	bridge := sloggokit.NewGoKitHandler(log.With(plain, "ts", now), slogLevel)
	return own, slog.New(untimed{bridge})
}

// ordered moves the keys that every line has to the front, in the same order for all lines.
type ordered struct{ next log.Logger }

// Log implements log.Logger.
func (o ordered) Log(keyvals ...any) error {
	first := [...]any{"ts", level.Key(), "caller", "msg"}
	line := make([]any, 0, len(keyvals))
	for _, key := range first {
		for i := 0; i+1 < len(keyvals); i += 2 {
			if keyvals[i] == key {
				line = append(line, keyvals[i], keyvals[i+1])
			}
		}
	}
	for i := 0; i+1 < len(keyvals); i += 2 {
		if !slices.Contains(first[:], keyvals[i]) {
			line = append(line, keyvals[i], keyvals[i+1])
		}
	}
	return o.next.Log(line...)
}

// jsonLines writes JSON objects as go-kit's logger does, but keeps the order of the keys.
type jsonLines struct{ w io.Writer }

// Log implements log.Logger.
func (j jsonLines) Log(keyvals ...any) error {
	var line, pair bytes.Buffer
	for i := 0; i+1 < len(keyvals); i += 2 {
		pair.Reset()
		if err := log.NewJSONLogger(&pair).Log(keyvals[i], keyvals[i+1]); err != nil {
			return err
		}
		line.WriteByte(',')
		line.Write(bytes.TrimSuffix(bytes.TrimPrefix(pair.Bytes(), []byte("{")), []byte("}\n")))
	}
	if line.Len() == 0 {
		return nil
	}
	object := line.Bytes()
	object[0] = '{'
	_, err := j.w.Write(append(object, "}\n"...))
	return err
}

// untimed removes the time from the records of a bridge that would write it under another key than the
// rest of the log.
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
