package sqlite

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// damages are the reasons why days were left out of what was read.
type damages struct {
	mu     sync.Mutex
	causes map[leftOut]error
}

// leftOut are days that were left out: all that an account has for an endpoint or, without endpoint, one of the latest days of
// an account.
type leftOut struct {
	appID, endpoint string
	api             datacube.API
	date            datacube.Date
}

func (l leftOut) compare(other leftOut) int {
	return cmp.Or(cmp.Compare(l.appID, other.appID), cmp.Compare(l.endpoint, other.endpoint), cmp.Compare(l.api, other.api), cmp.Compare(other.date, l.date))
}

func (l leftOut) String() string {
	if l.endpoint == "" {
		return fmt.Sprintf("show %v of %s, %v", l.date, l.appID, l.api)
	}
	return fmt.Sprintf("read the days of %s to send to %s", l.appID, l.endpoint)
}

// notePending notes whether the days of an account could be read for an endpoint, and returns the error if it does not concern
// this account alone.
func (d *damages) notePending(endpoint, appID string, err error) error {
	if err != nil && kindOf(err) != store.Damaged {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := leftOut{appID: appID, endpoint: endpoint}
	delete(d.causes, key)
	if err != nil {
		d.add(key, err)
	}
	return nil
}

// noteLoaded notes which of the latest days of accounts cannot be shown.
func (d *damages) noteLoaded(accounts map[string]*store.Account, causes map[leftOut]error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.causes, func(l leftOut, _ error) bool { return l.endpoint == "" && accounts[l.appID] != nil })
	for l, err := range causes {
		d.add(l, err)
	}
}

// noteSaved notes that days have other figures now, or are confirmed as days without traffic.
func (d *damages) noteSaved(records []store.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.causes) == 0 {
		return
	}
	for i := range records {
		if r := &records[i]; r.Daily != nil || r.Hourly != nil || r.State.Status == store.Known && r.State.Empty {
			delete(d.causes, leftOut{appID: r.AppID, api: r.API, date: r.Date})
		}
	}
}

// add notes one reason. The caller holds mu.
func (d *damages) add(l leftOut, err error) {
	if d.causes == nil {
		d.causes = make(map[leftOut]error)
	}
	d.causes[l] = err
}

// nothingOf returns the pending days of an account that cannot be read: none, of which nothing is done either.
func nothingOf(appID string) store.Pending {
	return store.Pending{AppID: appID, Done: store.Progress{Position: store.Position{Mark: -1}}}
}

func isLeftOut(p *store.Pending) bool { return p.Done.Position.Mark < 0 }

// Damage implements store.Store.
func (s *Store) Damage() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := &s.damages
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.causes) == 0 {
		return nil
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(d.causes)), leftOut.compare)
	others := ""
	if more := len(d.causes) - 1; more > 0 {
		others = fmt.Sprintf(" (and %d more)", more)
	}
	return store.WithKind(fmt.Errorf("%s: %v%s: %w", name(s.path), first, others, d.causes[first]), store.Damaged)
}
