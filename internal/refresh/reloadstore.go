package refresh

import (
	"context"
	"fmt"

	"weixin_exporter/internal/store"
)

// ReloadStore replaces what a running Refresher knows of its accounts by the content of the store, which has been replaced.
// If it fails, nothing has changed.
func (r *Refresher) ReloadStore(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case r.configs <- reconfigure{reloadStore: true, done: done}:
		return <-done
	case <-ctx.Done():
		return fmt.Errorf("reloading the store: %w", ctx.Err())
	}
}

// reloadStore replaces the ledgers and what is shown of all accounts.
func (r *Refresher) reloadStore() error {
	now := r.now()
	if err := r.changes.begin(r.runCtx, now); err != nil {
		return err
	}
	if err := r.reread(r.ordered); err != nil {
		return err
	}
	r.planAll(now)
	r.publish()
	return nil
}

// reread replaces what is known of the days of accounts by what is stored. If it fails, nothing has changed.
func (r *Refresher) reread(accounts []*account) error {
	if len(accounts) == 0 {
		return nil
	}
	appIDs := make([]string, len(accounts))
	for i, acc := range accounts {
		appIDs[i] = acc.AppID
	}
	stored, err := r.store.Load(r.runCtx, r.since, appIDs...)
	if err != nil {
		return fmt.Errorf("loading the accounts: %w", err)
	}
	for _, acc := range accounts {
		for api := range acc.ledgers {
			acc.ledgers[api].States = store.States{}
		}
		acc.add(stored[acc.AppID])
		acc.show(stored[acc.AppID])
		acc.stale = true
	}
	return nil
}
