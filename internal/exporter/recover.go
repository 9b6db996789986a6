package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

const (
	// recoverEvery is how often the exporter checks whether the file of the store is still the one that it
	// has open.
	recoverEvery = 5 * time.Second
	// hangTime is how long after the end of the context the exporter first checks whether the disk hangs.
	hangTime = 10 * time.Second
)

// keepStore reopens a store whose file was deleted or replaced, until the context ends. It fails if another exporter
// has taken over.
func (x *exporter) keepStore(ctx context.Context, db store.Store) error {
	ticker := time.NewTicker(recoverEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		reopened, err := x.recoverStore(ctx, db)
		if errors.Is(err, store.ErrTaken) {
			return err
		}
		if !x.asking.Load() && db.Held() {
			x.takeOver()
			continue
		}
		if !reopened {
			continue
		}
		x.history.Forget()
		if err := x.refresher.ReloadStore(ctx); err != nil && ctx.Err() == nil {
			level.Error(x.Logger).Log("msg", "the store was reopened but cannot be read; restart the exporter", "err", err)
		}
	}
}

// takeOver makes this exporter ask Weixin after another one has ended.
func (x *exporter) takeOver() {
	x.history.Forget()
	x.beginAsking()
	level.Info(x.Logger).Log("msg", "took over from another exporter, which has ended")
}

// beginAsking lets the refresher and remote write begin.
func (x *exporter) beginAsking() {
	x.asking.Store(true)
	close(x.tookOver)
}

// onDuty waits until this exporter asks Weixin, and returns false if the context ends before.
func (x *exporter) onDuty(ctx context.Context) bool {
	select {
	case <-x.tookOver:
		return true
	case <-ctx.Done():
		return false
	}
}

// recoverStore reopens the store if its file was deleted or replaced, and reports whether it did. A fault
// is logged once as long as it stays the same.
func (x *exporter) recoverStore(ctx context.Context, db store.Store) (bool, error) {
	done, err := db.Recover(context.WithoutCancel(ctx))
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != x.storeFault {
		level.Error(x.Logger).Log("msg", "the store cannot be used", "err", err)
	}
	if fault == "" && x.storeFault != "" && done == "" {
		level.Info(x.Logger).Log("msg", "the store can be used again")
	}
	x.storeFault = fault
	if done != "" && x.asking.Load() {
		level.Error(x.Logger).Log("msg", "the file of the store had changed; the store was reopened", "found", done)
	}
	return done != "", err
}

// untilDiskHangs runs work and returns its error. After the end of the context it returns without waiting
// for work if the disk of the store hangs.
func (x *exporter) untilDiskHangs(ctx context.Context, db store.Store, work func() error) error {
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
				return fmt.Errorf("stopped without closing the store, which loses nothing: %w", err)
			}
		}
	}
}
