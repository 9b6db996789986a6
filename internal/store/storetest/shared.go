package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func testTwoProcesses(t *testing.T, e Engine) {
	place := e.New(t)
	one, other := place.Open(t), place.Open(t)
	Save(t, one, Daily(Shop, FirstDay, 1))
	Save(t, other, Daily(Bot, FirstDay, 2))
	if revisions := Save(t, other, Daily(Shop, FirstDay, 3)); len(revisions) != 1 {
		t.Errorf("a day that the other store saved was revised %d times", len(revisions))
	}
	if diff := cmp.Diff(Load(t, one, FirstDay), Load(t, other, FirstDay)); diff != "" {
		t.Errorf("they differ:\n%s", diff)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	Save(t, other, Daily(Shop, FirstDay+1, 4))
	if got := Load(t, place.Open(t), FirstDay); len(got) != 2 || got[Shop].Days[datacube.Daily] != 2 {
		t.Errorf("got %v", got)
	}
}

// Load sees each Save completely or not at all, states and figures alike.
func testLoadBesideSave(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, _ func() store.Store) {
		const writers, rounds = 3, 8
		// A version of the account's day: everything in it tells the same number.
		version := func(account int, n int64) store.Record {
			var hours datacube.Hours
			for h := range hours {
				hours[h].Callbacks = n
			}
			r := Hourly(AppID(account), FirstDay, hours)
			r.State.Asks = int(n)
			return r
		}
		check := func() error {
			accounts, err := s.Load(t.Context(), FirstDay)
			if err != nil {
				return err
			}
			for id, a := range accounts {
				n := int64(a.States[datacube.Hourly].At(FirstDay).Asks)
				for hour, f := range a.Hourly.Hours {
					if f.Callbacks != n {
						return fmt.Errorf("%s: hour %d is of version %d, the state of %d", id, hour, f.Callbacks, n)
					}
				}
			}
			return nil
		}
		var writing, reading sync.WaitGroup
		var ended atomic.Bool
		for w := range writers {
			writing.Go(func() {
				for n := range int64(rounds) {
					records := []store.Record{version(w, n+1), version(writers, int64(w)*rounds+n+1)}
					if _, err := s.Save(t.Context(), records); err != nil {
						t.Error(err)
					}
				}
			})
			reading.Go(func() {
				for !ended.Load() {
					if err := check(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		ended.Store(true)
		reading.Wait()
		accounts := Load(t, s, FirstDay)
		for w := range writers {
			if got := accounts[AppID(w)].Hourly.Hours[7].Callbacks; got != rounds {
				t.Errorf("account %d ended at version %d", w, got)
			}
		}
	})
}

// Countdown is a context that is canceled when it is checked for the n-th time, which interrupts a call
// at any point, the same one each time.
type Countdown struct {
	context.Context
	// Cancel releases it.
	Cancel context.CancelFunc
	left   *atomic.Int64
}

// NewCountdown returns a context that is canceled when it is checked for the n-th time.
func NewCountdown(parent context.Context, n int64) Countdown {
	ctx, cancel := context.WithCancel(parent)
	left := new(atomic.Int64)
	left.Store(n)
	return Countdown{ctx, cancel, left}
}

// Done implements context.Context.
func (c Countdown) Done() <-chan struct{} {
	if c.left.Add(-1) == 0 {
		c.Cancel()
	}
	return c.Context.Done()
}

func testInterruptedSaveStoresAllOrNothing(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, _ func() store.Store) {
		records := []store.Record{
			Daily(Shop, FirstDay, 1), Hourly(Shop, FirstDay, datacube.Hours{1: {Callbacks: 1}}),
			Hourly(Bot, FirstDay, datacube.Hours{1: {Callbacks: 1}, 2: {Callbacks: 2}}),
		}
		Save(t, s, records...)
		before := Load(t, s, 0)
		records[0].Daily.Callbacks++
		records[1].Hourly[1].Callbacks++
		records[2].Hourly[1].Callbacks++
		records = append(records, Daily("wxlate", FirstDay, 1))
		broken := 0
		for n := int64(1); ; n += 1 + n/16 {
			ctx := NewCountdown(t.Context(), n)
			revisions, err := s.Save(ctx, records)
			ctx.Cancel()
			if err == nil {
				if len(revisions) != 3 {
					t.Errorf("%d revisions", len(revisions))
				}
				break
			}
			broken++
			if !errors.Is(err, context.Canceled) || revisions != nil {
				t.Fatalf("interrupted at %d: %v, %v", n, err, revisions)
			}
			if diff := cmp.Diff(before, Load(t, s, 0)); diff != "" {
				t.Fatalf("interrupted at %d, stored in part (-before +after):\n%s", n, diff)
			}
		}
		if broken == 0 {
			t.Error("never interrupted")
		}
		if got := Load(t, s, 0); got["wxlate"] == nil || got[Shop].Daily.Figures.Callbacks != 2 {
			t.Errorf("the last one was not stored: %v", got)
		}
	})
}

func testInterruptedLoad(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, _ func() store.Store) {
		Save(t, s, Daily(Shop, FirstDay, 1), Hourly(Shop, FirstDay, datacube.Hours{1: {Callbacks: 1}}))
		want := Load(t, s, 0)
		for n := int64(1); ; n += 1 + n/16 {
			ctx := NewCountdown(t.Context(), n)
			got, err := s.Load(ctx, 0)
			ctx.Cancel()
			if err == nil {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				break
			}
			if !errors.Is(err, context.Canceled) || got != nil {
				t.Fatalf("interrupted at %d: %v", n, err)
			}
		}
	})
}

func testInterruptedPrune(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, _ func() store.Store) {
		Save(t, s, Daily(Shop, FirstDay, 1), Hourly(Shop, FirstDay, datacube.Hours{1: {Callbacks: 1}}))
		before := Load(t, s, 0)
		for n := int64(1); ; n += 1 + n/16 {
			ctx := NewCountdown(t.Context(), n)
			days, err := s.Prune(ctx, FirstDay+1)
			ctx.Cancel()
			if err == nil {
				if days != 2 {
					t.Errorf("deleted %d days", days)
				}
				break
			}
			if diff := cmp.Diff(before, Load(t, s, 0)); diff != "" || days != 0 {
				t.Fatalf("interrupted at %d, partly deleted (-before +after):\n%s", n, diff)
			}
		}
	})
}

// testWritersOfTheSameAccounts: writers of the same accounts in different orders do not wait for each other forever, and
// no record is lost.
func testWritersOfTheSameAccounts(t *testing.T, e Engine) {
	place := e.New(t)
	const writers, rounds, accounts = 3, 6, 10
	var writing sync.WaitGroup
	for w := range writers {
		s := place.Open(t)
		writing.Go(func() {
			for n := range rounds {
				records := make([]store.Record, accounts)
				for i := range records {
					records[i] = Daily(AppID((i*(2*w+1)+n)%accounts), FirstDay+datacube.Date(w*rounds+n), int64(n))
				}
				if _, err := s.Save(t.Context(), records); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	for appID, account := range Load(t, place.Open(t), FirstDay) {
		states := account.States[datacube.Daily]
		if account.Days[datacube.Daily] != int64(states.Len()) {
			t.Errorf("%s has %d days and counts %d", appID, states.Len(), account.Days[datacube.Daily])
		}
		if w := writers * rounds; appID == AppID(0) && states.Len() == 0 || states.Len() > w {
			t.Errorf("%s has %d days", appID, states.Len())
		}
	}
}
