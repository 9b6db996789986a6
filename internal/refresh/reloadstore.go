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
	stored := map[string]*store.Account{}
	if len(r.accounts) > 0 {
		appIDs := make([]string, 0, len(r.accounts))
		for appID := range r.accounts {
			appIDs = append(appIDs, appID)
		}
		var err error
		if stored, err = r.store.Load(r.runCtx, r.since, appIDs...); err != nil {
			return fmt.Errorf("loading the accounts: %w", err)
		}
	}
	if err := r.changes.begin(r.runCtx); err != nil {
		return err
	}
	for appID, acc := range r.accounts {
		acc.ledgers = Ledgers{}
		acc.add(stored[appID])
		acc.show(stored[appID])
		acc.stale = true
	}
	r.planAll(r.now())
	r.publish()
	return nil
}

// TakeOver makes a running Refresher go on where another exporter has ended: it reads everything from the store again,
// also until when calls must not be made. Held must return false until TakeOver has returned. If it fails, nothing has
// changed.
func (r *Refresher) TakeOver(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case r.configs <- reconfigure{takeOver: true, done: done}:
		return <-done
	case <-ctx.Done():
		return fmt.Errorf("taking over: %w", ctx.Err())
	}
}

// takeOver replaces all accounts, none of which has a running call.
func (r *Refresher) takeOver() error {
	if err := r.changes.begin(r.runCtx); err != nil {
		return err
	}
	former := r.accounts
	r.accounts = map[string]*account{}
	if err := r.apply(r.config); err != nil {
		r.accounts = former
		return err
	}
	for _, gone := range former {
		gone.cancel()
		gone.removed = true
		r.leave(gone)
	}
	return nil
}
