package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-kit/log"
	"golang.org/x/sync/errgroup"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
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
		endpoint := i18n.M("receiver.endpoint", i, cfg.RemoteWrite[i].Label())
		if f.Fault != "" {
			faulty++
			fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("receiver.fault", endpoint, f.Fault, f.ToDo))
			continue
		}
		fmt.Fprintf(notes, "%s\n", env.Texts.Text("receiver.accepts", endpoint))
		for _, warning := range f.Warnings {
			fmt.Fprintf(notes, "%s\n", env.Texts.Text("receiver.warning", endpoint, warning))
		}
	}
	if faulty > 0 {
		return i18n.Errorf("receiver.faults", faulty, len(findings))
	}
	return nil
}

// oneFault joins two errors in one line.
func oneFault(first, second error) error {
	if first == nil || second == nil {
		return cmp.Or(first, second)
	}
	return &i18n.Error{Message: i18n.M("error.both", first, second), Err: errors.Join(first, second)}
}
