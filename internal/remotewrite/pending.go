package remotewrite

import (
	"context"
	"sync"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// recountInterval is the time after which what is pending is counted again if it may be another number.
const recountInterval = 15 * time.Second

// pending counts the samples that the endpoint lacks, whatever its sender is waiting for.
type pending struct {
	endpoint *Endpoint
	store    Store
	since    func() datacube.Date
	// show is told the number. Nothing is shown before it is known.
	show func(samples int64)

	mu sync.Mutex
	// samples are as of counted and countedSince: a mark, and the first day.
	samples      int64
	counted      store.Mark
	countedSince datacube.Date
	known        bool
}

// follow counts again until the context ends, as often as that can lead to another number.
func (p *pending) follow(ctx context.Context) {
	ticker := time.NewTicker(recountInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		_ = p.recount(ctx) // the sender says what is wrong with the store
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
	if err != nil || p.known && latest == p.counted && p.since() == p.countedSince {
		return err
	}
	return p.countNow(ctx)
}

// count counts what is pending.
func (p *pending) count(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.countNow(ctx)
}

// less runs what makes so many samples less pending.
func (p *pending) less(samples int, done func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := done(); err != nil {
		return err
	}
	if !p.known {
		return nil
	}
	// Of what became known since it was counted, some may have been among them: 0 is shown only after counting.
	if p.samples -= int64(samples); p.samples > 0 {
		p.show(p.samples)
		return nil
	}
	p.known = false
	return nil
}

func (p *pending) countNow(ctx context.Context) error {
	since := p.since()
	_, latest, err := p.store.Changed(ctx, p.counted)
	if err != nil {
		return err
	}
	lacking, err := p.store.CountPending(ctx, p.endpoint.Key, since)
	if err != nil {
		return err
	}
	p.counted, p.countedSince, p.known = latest, since, true
	p.samples = 0
	for appID, days := range lacking {
		if _, ok := p.endpoint.Accounts[appID]; !ok {
			continue
		}
		for api, count := range days {
			p.samples += count * samplesPerDay(datacube.API(api))
		}
	}
	p.show(p.samples)
	return nil
}
