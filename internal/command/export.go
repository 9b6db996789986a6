package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/export"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/files"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/engine"
	"weixin_exporter/weixin/datacube"
)

// ExportOptions are the options of the export command.
type ExportOptions struct {
	ConfigFile string
	// Format is "openmetrics", "csv" or "ndjson".
	Format string
	// Since and Until are the first and the last day; zero means no limit.
	Since, Until datacube.Date
	// Accounts are the names of the accounts to export; none means all in the store.
	Accounts []string
	// Period is "daily" or "hourly"; "" is both.
	Period string
	// Output is the file to write; "" and "-" are standard output.
	Output string
}

// Flags declares the flags of the export command.
func (e *ExportOptions) Flags(clause *kingpin.CmdClause) {
	clause.Flag("format", "What to write: openmetrics, csv or ndjson.").Required().SetValue(oneOf(&e.Format, "openmetrics", "csv", "ndjson"))
	clause.Flag("since", "First day to export, YYYY-MM-DD in China.").SetText(&e.Since)
	clause.Flag("until", "Last day to export, YYYY-MM-DD in China.").SetText(&e.Until)
	clause.Flag("account", "Export only the account of this name; repeatable.").StringsVar(&e.Accounts)
	clause.Flag("period", "Export only days or only hours: daily or hourly.").SetValue(oneOf(&e.Period, "daily", "hourly"))
	clause.Flag("output", "File to write or replace; - is standard output.").Default("-").StringVar(&e.Output)
}

// Export writes the known days and hours of the store. It only reads the store, and may run at the same time as
// an exporter. A file is replaced when it is complete, and is unchanged otherwise. If the context ends, Export
// says so on stderr and returns nil; if the reader of standard output has closed it, Export just returns nil.
func Export(ctx context.Context, env Env, e ExportOptions) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // closing the terminal must not leave a partial file
	defer stop()
	// Otherwise Go ends the program at once when standard output is closed.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)

	cfg, err := exporter.LoadConfig(ctx, e.ConfigFile)
	if ctx.Err() != nil && err != nil {
		return stoppedExport(env)
	}
	if err != nil {
		return config.Abridged(err)
	}
	if e.Until == 0 {
		e.Until = export.LastDate
	}
	if e.Since > e.Until {
		return fmt.Errorf("--since=%v: %w: it is after --until=%v", e.Since, exporter.ErrUsage, e.Until)
	}
	if cfg.Store.InMemory() {
		return i18n.Errorf("export.no_store", e.ConfigFile)
	}
	if err := e.spare(append([]string{e.ConfigFile}, engine.Files(cfg.Store)...)...); err != nil {
		return err
	}
	err = e.export(ctx, env, cfg)
	switch {
	case err != nil && ctx.Err() != nil:
		return stoppedExport(env)
	case errors.Is(err, syscall.EPIPE):
		return nil
	}
	return err
}

// stoppedExport prints that a signal stopped the export, which is not an error.
func stoppedExport(env Env) error {
	fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("export.stopped", exporter.Program))
	return nil
}

// spare fails if the output would replace one of the files that the export reads.
func (e *ExportOptions) spare(files ...string) error {
	if file := sameAs(e.Output, files...); file != "" {
		return fmt.Errorf("--output=%s: %w: that is %s itself; name another file", e.Output, exporter.ErrUsage, file)
	}
	return nil
}

// sameAs returns the file among files that path leads to; "" if there is none.
func sameAs(path string, files ...string) string {
	output, err := os.Stat(path)
	if err != nil {
		return "" // it does not exist
	}
	for _, file := range files {
		if needed, err := os.Stat(file); err == nil && os.SameFile(output, needed) {
			return file
		}
	}
	return ""
}

func (e *ExportOptions) export(ctx context.Context, env Env, cfg *config.Config) error {
	db, err := engine.OpenReadOnly(ctx, cfg.Store)
	if err != nil {
		return err
	}
	err = db.ReadFigures(ctx, func(figures *store.FigureReader) error {
		stored, err := figures.Accounts()
		if err != nil {
			return err
		}
		accounts, err := e.choose(env, cfg, stored)
		if err != nil {
			return err
		}
		return e.write(ctx, env, engine.Files(cfg.Store), figures.Incomplete, export.Job{Source: figures, Accounts: accounts, Since: e.Since, Until: e.Until})
	})
	if closed := db.Close(); closed != nil && err == nil {
		err = fmt.Errorf("closing the store: %w", closed)
	}
	return err
}

// choose returns the accounts to export: configured accounts by their names, others in the store by their
// app ids.
func (e *ExportOptions) choose(env Env, cfg *config.Config, stored []string) ([]export.Account, error) {
	var accounts []export.Account
	byName, configured := map[string]export.Account{}, map[string]bool{}
	add := func(a export.Account) {
		accounts, byName[a.Name] = append(accounts, a), a
	}
	for _, a := range cfg.Accounts {
		configured[a.AppID] = true
		add(export.Account{Name: a.Name, AppID: a.AppID})
	}
	var former []string
	for _, appID := range stored {
		if configured[appID] {
			continue
		}
		if namesake, taken := byName[appID]; taken {
			return nil, i18n.Errorf("export.namesake", e.ConfigFile, namesake.AppID, strconv.Quote(appID))
		}
		add(export.Account{Name: appID, AppID: appID})
		former = append(former, appID)
	}
	if len(e.Accounts) == 0 {
		note(env, former)
		return accounts, nil
	}
	var chosen []export.Account
	for _, name := range e.Accounts {
		account, ok := byName[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("--account=%s: %w: no account of %s has that name, and none in the store has it as its app id", name, exporter.ErrUsage, e.ConfigFile)
		case !slices.Contains(chosen, account):
			chosen = append(chosen, account)
		}
	}
	return chosen, nil
}

// note prints the accounts that are not in the configuration.
func note(env Env, appIDs []string) {
	const shown = 3
	switch n := len(appIDs); {
	case n > shown:
		fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("export.note", exporter.Program, i18n.M("list.more", strings.Join(appIDs[:shown], ", "), n-shown)))
	case n > 0:
		fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("export.note", exporter.Program, strings.Join(appIDs, ", ")))
	}
}

// write writes what can be read. incomplete returns an error afterwards if that was not everything.
func (e *ExportOptions) write(ctx context.Context, env Env, storeFiles []string, incomplete func() error, job export.Job) error {
	format := map[string]func(io.Writer, export.Job) error{
		"openmetrics": export.OpenMetrics, "csv": export.CSV, "ndjson": export.NDJSON,
	}[e.Format]
	switch e.Period {
	case "daily":
		job.Periods = []datacube.API{datacube.Daily}
	case "hourly":
		job.Periods = []datacube.API{datacube.Hourly}
	}
	if e.Output == "" || e.Output == "-" {
		job.Spool = spoolBeside(storeFiles)
		err := format(stoppable{ctx, env.Stdout}, job)
		switch {
		case errors.Is(err, syscall.ENOSPC) && !job.Spool.Off:
			return i18n.Errorf("export.no_room", err)
		case err != nil:
			return i18n.Errorf("export.stdout", err)
		}
		return nil
	}
	fill := func(file *os.File) error {
		job.Spool.Folder = filepath.Dir(file.Name()) // which has room for the output, too
		if err := format(file, job); err != nil {
			return err
		}
		return ctx.Err() // the last moment at which the former file can be kept
	}
	err := files.Replace(e.Output, func(file *os.File) error { return cmp.Or(fill(file), incomplete()) })
	if gaps := incomplete(); gaps != nil && ctx.Err() == nil {
		// A partial export of a damaged store must not replace a complete one.
		part := e.Output + ".incomplete"
		if err = files.Replace(part, fill); err == nil {
			return i18n.Errorf("export.incomplete", e.Output, part, gaps)
		}
	}
	if err != nil {
		return i18n.Errorf("export.failed", e.Output, err)
	}
	return nil
}

// spoolBeside returns where to keep data until it can be written to standard output: in TMPDIR if that is set,
// or else in the folder of the store if it is a file, since an image may lack a folder for temporary files; or nowhere if
// neither can be written to. Nothing is written to standard output before everything has been read.
func spoolBeside(files []string) export.Spool {
	folders := []string{os.TempDir()}
	if len(files) > 0 {
		folders = append(folders, filepath.Dir(files[0]))
		if os.Getenv("TMPDIR") == "" {
			slices.Reverse(folders)
		}
	}
	for _, folder := range folders {
		file, err := os.CreateTemp(folder, ".weixin_exporter.spool-*")
		if err != nil {
			continue
		}
		_, err = file.WriteString("?")
		_ = file.Close()           // it is not needed
		_ = os.Remove(file.Name()) // any more
		if err == nil {
			return export.Spool{Folder: folder, Ahead: true}
		}
	}
	return export.Spool{Off: true}
}

// stoppable is a writer whose Write returns when the context ends, even while it waits for a reader.
type stoppable struct {
	ctx context.Context // it lives as long as the command
	w   io.Writer
}

// Write implements io.Writer. After the end of the context p may be read until the program ends.
func (s stoppable) Write(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	written := make(chan result, 1)
	go func() {
		n, err := s.w.Write(p)
		written <- result{n, err}
	}()
	select {
	case r := <-written:
		return r.n, r.err
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}
