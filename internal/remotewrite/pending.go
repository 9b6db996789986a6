package remotewrite

import (
	"context"
	"sync"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// recountInterval is how often the pending samples are counted again if their number may have changed.
const recountInterval = 15 * time.Second

// pending counts the samples that the endpoint lacks, independently of what its sender is waiting for.
type pending struct {
	endpoint *Endpoint
	store    Store
	sharing  Sharing
	since    func() datacube.Date
	// show receives the number. It is not called before the number is known.
	show func(samples int64)

	mu sync.Mutex
	// samples is the number at the mark counted, from the day countedSince, in the slots countedIn.
	samples      int64
	counted      store.Mark
	countedSince datacube.Date
	countedIn    store.Epochs
	known        bool
}

// run counts again until the context ends, whenever the number may have changed.
func (p *pending) run(ctx context.Context) {
	ticker := time.NewTicker(recountInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		_ = p.recount(ctx) // the sender logs errors of the store
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (p *pending) recount(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, latest, err := p.store.Changed(ctx, p.counted)
	if err != nil || p.known && latest == p.counted && p.since() == p.countedSince && p.sharing.Owned() == p.countedIn {
		return err
	}
	return p.countLocked(ctx)
}

// count counts the pending samples.
func (p *pending) count(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.countLocked(ctx)
}

// subtract calls deliver, after which so many samples are no longer pending.
func (p *pending) subtract(samples int, deliver func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := deliver(); err != nil {
		return err
	}
	if !p.known {
		return nil
	}
	// Samples saved after the last count may have been among the delivered ones, so 0 is shown only after counting.
	if p.samples -= int64(samples); p.samples > 0 {
		p.show(p.samples)
		return nil
	}
	p.known = false
	return nil
}

func (p *pending) countLocked(ctx context.Context) error {
	since, owned := p.since(), p.sharing.Owned()
	_, latest, err := p.store.Changed(ctx, p.counted)
	if err != nil {
		return err
	}
	byAccount, err := p.store.CountPending(ctx, p.endpoint.Key, since)
	if err != nil {
		return err
	}
	p.counted, p.countedSince, p.countedIn, p.known = latest, since, owned, true
	p.samples = 0
	for appID, days := range byAccount {
		if _, ok := p.endpoint.Accounts[appID]; !ok || owned[store.SlotOf(appID)] == 0 {
			continue
		}
		for api, count := range days {
			p.samples += count * samplesPerDay(datacube.API(api))
		}
	}
	p.show(p.samples)
	return nil
}
