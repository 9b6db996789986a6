package command

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

const (
	// mendEvery is how often the exporter looks whether the store's file is still the one it has open.
	mendEvery = 5 * time.Second
	// hangTime is after how long the exporter asks at its end whether the disk is to blame.
	hangTime = 10 * time.Second
)

// keepMending notices a store that was deleted or replaced, until the context ends.
func (x *exporter) keepMending(ctx context.Context, db *store.Store) {
	ticker := time.NewTicker(mendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !x.mend(ctx, db) {
			continue
		}
		if err := x.refresher.ReloadStore(ctx); err != nil && ctx.Err() == nil {
			level.Error(x.logger).Log("msg", "cannot read the store again, which was opened anew; restart the exporter", "err", err)
		}
	}
}

// mend opens a store anew whose file is another one by now, and reports whether it did. What is wrong
// is logged once for as long as it is the same.
func (x *exporter) mend(ctx context.Context, db *store.Store) bool {
	done, err := db.Recover(context.WithoutCancel(ctx))
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != x.storeFault {
		level.Error(x.logger).Log("msg", "the store cannot be used", "err", err)
	}
	if fault == "" && x.storeFault != "" && done == "" {
		level.Info(x.logger).Log("msg", "the store can be used again")
	}
	x.storeFault = fault
	if done != "" {
		level.Error(x.logger).Log("msg", "the store's file had changed and was opened anew", "found", done)
	}
	return done != ""
}

// unlessItHangs runs work, and ends without it after the context where the disk of the store keeps it
// from ending.
func (x *exporter) unlessItHangs(ctx context.Context, db *store.Store, work func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- work() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ticker := time.NewTicker(hangTime)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
			if err := db.CheckDisk(); err != nil {
				return fmt.Errorf("ended without closing the store, which loses nothing: %w", err)
			}
		}
	}
}
