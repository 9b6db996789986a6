package exporter

import "weixin_exporter/internal/store"

// leased is the Sharing of a store for which one exporter at a time may call Weixin: it owns all slots or none.
type leased struct {
	exporter *exporter
	store    store.Store
}

// Owned implements refresh.Sharing.
func (l leased) Owned() store.Epochs {
	if !l.store.Held() {
		return store.Epochs{}
	}
	return store.Alone{}.Owned()
}

// Use implements refresh.Sharing.
func (l leased) Use(slot int) (func(), bool) {
	if !l.store.Held() {
		return nil, false
	}
	return store.Alone{}.Use(slot)
}

// Sharing implements refresh.Sharing.
func (l leased) Sharing() store.SharingStatus {
	cfg := l.exporter.current.Load()
	return store.SharingStatus{Shared: cfg != nil && !cfg.Store.Database().IsZero()}
}
