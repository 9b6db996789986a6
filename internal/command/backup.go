package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/store"
)

// Backup writes a copy of the store as of one instant into a file, beside an exporter that serves from
// it if need be, and says so on standard output. The file is replaced once the copy is complete.
func Backup(ctx context.Context, env Env, configFile, output string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // a terminal that is closed leaves no half file
	defer stop()
	cfg, err := config.Load(configFile)
	if err != nil {
		return inOneLine(err)
	}
	path := cfg.Store.Path
	if path == "" {
		return fmt.Errorf(`%s: store.path is "": the exporter keeps everything in memory, so there is nothing to copy`, configFile)
	}
	if taken := sameAs(output, configFile, path, path+"-wal", path+"-shm", path+".lock"); taken != "" {
		return fmt.Errorf("%s: %w: that is %s itself; name another file", output, ErrUsage, taken)
	}
	db, err := store.OpenReadOnly(ctx, path, store.Options{})
	if err != nil {
		return err
	}
	err = replaceFile(output, func(file *os.File) error { return db.Backup(ctx, file.Name()) })
	if closed := db.Close(); closed != nil && err == nil { //nolint:contextcheck // the store outlives the context
		err = fmt.Errorf("closing the store: %w", closed)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintf(env.Stderr, "%s: stopped before the copy was complete; %s is as it was\n", program, output)
		return nil
	case err != nil:
		return fmt.Errorf("copying the store to %s: %w", output, err)
	}
	written, err := os.Stat(output)
	if err != nil {
		return fmt.Errorf("copying the store to %s: %w", output, err)
	}
	_, err = fmt.Fprintf(env.Stdout, "%s: a copy of %s, %d bytes\n", output, path, written.Size())
	return err
}
