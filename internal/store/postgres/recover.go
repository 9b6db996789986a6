package postgres

import "context"

// savedMark is what the database must remember of a Save: the latest mark of one of its accounts is at least this one.
type savedMark struct {
	appID string
	mark  int64
}

// savedQuery returns the latest mark of the account of a savedMark; 0 if the account is not known.
const savedQuery = `SELECT coalesce(max(changed), 0) FROM weixin_exporter.account WHERE app_id = $1`

// memory is what a Store knows to have been committed. A database that does not remember it has gone back to an earlier state.
type memory struct {
	latest int64 // the latest mark
	saved  savedMark
}

// remembered returns what is known to have been committed at this moment.
func (s *Store) remembered() memory {
	m := memory{latest: s.latest.Load()}
	if saved := s.saved.Load(); saved != nil {
		m.saved = *saved
	}
	return m
}

// compare compares what was known before a query with what the query has read: the latest mark that is committed, and that of
// the account of m.saved.
func (s *Store) compare(m memory, latest, changed int64) {
	if latest >= m.latest && changed >= m.saved.mark {
		s.noteMark(latest)
		return
	}
	s.incarnation.Add(1)
	s.reverted.Store(true)
	s.latest.Store(latest)
	s.saved.Store(nil)
}

// noteMark notes that a mark is committed.
func (s *Store) noteMark(mark int64) {
	for known := s.latest.Load(); known < mark && !s.latest.CompareAndSwap(known, mark); {
		known = s.latest.Load()
	}
}

// Recover implements store.Store. Connections are made again as they are needed, so there is something to do only if the
// database has gone back to an earlier state.
func (s *Store) Recover(ctx context.Context) (string, error) {
	before := s.remembered()
	var latest, changed int64
	var standby bool
	err := s.boundedBy(ctx, renewalTime, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT latest, (`+savedQuery+`), pg_catalog.pg_is_in_recovery() FROM weixin_exporter.mark`,
			before.saved.appID).Scan(&latest, &changed, &standby)
	})
	if err == nil && standby { // it may lag behind, which does not mean that the database has gone back
		err = errStandby
	}
	if err != nil {
		return "", s.failed(ctx, "use", err)
	}
	s.compare(before, latest, changed)
	if !s.reverted.Swap(false) {
		return "", nil
	}
	return "the database has gone back to an earlier state, as after a restore or the promotion of a standby that lagged behind;" +
		" what it lacks is fetched again, as far back as refresh.history", nil
}
