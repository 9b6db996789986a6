package sqlite

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"weixin_exporter/internal/store"
)

// unsent are the accounts whose days cannot be sent to an endpoint, since some of them are damaged.
type unsent struct {
	mu     sync.Mutex
	causes map[unsentKey]error
}

type unsentKey struct{ appID, endpoint string }

// noteDamage notes whether the days of an account could be read for an endpoint, and returns the error if it does not concern
// this account alone. The caller uses the handle.
func (h *handle) noteDamage(endpoint, appID string, err error) error {
	key, u := unsentKey{appID, endpoint}, &h.unsent
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		delete(u.causes, key)
		return nil
	}
	if kindOf(err) != store.Damaged {
		return err
	}
	if u.causes == nil {
		u.causes = make(map[unsentKey]error)
	}
	u.causes[key] = err
	return nil
}

// leftOut returns the pending days of an account that cannot be read: none, of which nothing is done either.
func leftOut(appID string) store.Pending {
	return store.Pending{AppID: appID, Done: store.Progress{Position: store.Position{Mark: -1}}}
}

func isLeftOut(p *store.Pending) bool { return p.Done.Position.Mark < 0 }

// Damage implements store.Store.
func (s *Store) Damage() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := &s.unsent
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.causes) == 0 {
		return nil
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(u.causes)), func(a, b unsentKey) int {
		return cmp.Or(cmp.Compare(a.appID, b.appID), cmp.Compare(a.endpoint, b.endpoint))
	})
	return store.WithKind(fmt.Errorf("%s: read the days of %s to send to %s: %w", name(s.path), first.appID, first.endpoint, u.causes[first]), store.Damaged)
}
