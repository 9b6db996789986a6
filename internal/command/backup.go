package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/files"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/store/engine"
)

// BackupOptions are the options of the command store backup.
type BackupOptions struct {
	ConfigFile string
	// Output is the file to write or replace.
	Output string
}

// Flags declares the argument of the command store backup.
func (o *BackupOptions) Flags(clause *kingpin.CmdClause) {
	clause.Arg("file", "File to write or replace.").Required().StringVar(&o.Output)
}

// Backup writes a consistent copy of the store to a file, even while an exporter uses the store, and reports
// it on standard output. The file is replaced when the copy is complete.
func Backup(ctx context.Context, env Env, o BackupOptions) error {
	configFile, output := o.ConfigFile, o.Output
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // closing the terminal must not leave a partial file
	defer stop()
	cfg, err := config.Load(configFile)
	if err != nil {
		return config.Abridged(err)
	}
	if cfg.Store.InMemory() {
		return i18n.Errorf("backup.no_store", configFile)
	}
	if taken := sameAs(output, append([]string{configFile}, engine.Files(cfg.Store)...)...); taken != "" {
		return fmt.Errorf("%s: %w: that is %s itself; name another file", output, exporter.ErrUsage, taken)
	}
	db, err := engine.OpenBackup(ctx, cfg.Store)
	if err != nil {
		return err
	}
	err = files.Replace(output, func(file *os.File) error { return db.Backup(ctx, file.Name()) })
	if closed := db.Close(); closed != nil && err == nil {
		err = fmt.Errorf("closing the store: %w", closed)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("backup.stopped", exporter.Program, output))
		return nil
	case err != nil:
		return i18n.Errorf("backup.failed", output, err)
	}
	written, err := os.Stat(output)
	if err != nil {
		return i18n.Errorf("backup.failed", output, err)
	}
	_, err = fmt.Fprintf(env.Stdout, "%s\n", env.Texts.Text("backup.done", output, cfg.Store.Place(), written.Size()))
	return err
}
