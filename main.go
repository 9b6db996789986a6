// Weixin_exporter is a Prometheus exporter for the interface statistics of Weixin Official
// Accounts: how often Weixin called an account's server, how often that failed, and how
// long it took.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/common/version"

	"weixin_exporter/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	version.Version = cli.BuildVersion(version.Version, debug.ReadBuildInfo)
	began := time.Now()
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Options{
		Stdout: os.Stdout, Stderr: os.Stderr,
		Now: time.Now, Elapsed: func() time.Duration { return time.Since(began) }, Getenv: os.Getenv,
	}))
}
