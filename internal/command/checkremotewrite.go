package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-kit/log"
	"golang.org/x/sync/errgroup"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/remotewrite"
)

// checkEndpoints asks all endpoints of remote write concurrently whether they accept requests, without sending
// samples. Faults are printed on stderr, everything else to notes; the error has the number of faulty endpoints.
func checkEndpoints(ctx context.Context, env Env, notes io.Writer, cfg *config.Config) error {
	findings := make([]remotewrite.Finding, len(cfg.RemoteWrite))
	var probes errgroup.Group
	for i, c := range cfg.RemoteWrite {
		client, err := exporter.NewWriteClient(c, env.Now, log.NewNopLogger())
		if err != nil {
			return fmt.Errorf("remote_write[%d]: %w", i, err)
		}
		probes.Go(func() error {
			findings[i] = client.Probe(ctx, time.Duration(c.MaxAge))
			client.HTTPClient.CloseIdleConnections()
			return nil
		})
	}
	_ = probes.Wait() // the findings have the errors
	if err := ctx.Err(); err != nil {
		return err
	}
	faulty := 0
	for i, f := range findings {
		endpoint := fmt.Sprintf("remote_write[%d] (%s)", i, cfg.RemoteWrite[i].Label())
		if f.Fault != "" {
			faulty++
			fmt.Fprintf(env.Stderr, "%s: %s; to do: %s\n", endpoint, f.Fault, f.ToDo)
			continue
		}
		fmt.Fprintf(notes, "%s: accepts requests\n", endpoint)
		for _, warning := range f.Warnings {
			fmt.Fprintf(notes, "warning: %s: %s\n", endpoint, warning)
		}
	}
	if faulty > 0 {
		return fmt.Errorf("remote-write endpoints with faults: %d of %d", faulty, len(findings))
	}
	return nil
}

// oneFault joins two errors in one line.
func oneFault(first, second error) error {
	if first == nil || second == nil {
		return errors.Join(first, second)
	}
	return fmt.Errorf("%w; %w", first, second)
}
