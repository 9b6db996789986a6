package store_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// firstDay is 2026-11-01.
const firstDay datacube.Date = 20758

// asked is nine o'clock on the day after firstDay, when its figures are available.
var asked = time.Date(2026, 11, 2, 9, 0, 0, 0, datacube.China)

// days are states in the form of a map.
type days map[datacube.Date]store.State

func statesOf(d days) store.States {
	var s store.States
	for date, state := range d {
		s.Set(date, state)
	}
	return s
}

// TestStatesAreLikeAMap applies the same random operations to States and to a map.
func TestStatesAreLikeAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var got store.States
		want := days{}
		for range 200 {
			date := firstDay + datacube.Date(random.IntN(60))
			if random.IntN(20) == 0 {
				got.Forget(date)
				maps.DeleteFunc(want, func(d datacube.Date, _ store.State) bool { return d < date })
				continue
			}
			state := store.State{
				Status:    store.Status(1 + random.IntN(2)),
				Empty:     random.IntN(2) == 0,
				Asks:      random.IntN(1 << 10),
				AskedAt:   asked.Add(time.Duration(random.IntN(1e6)) * time.Second),
				Rechecked: random.IntN(2) == 0,
				Damaged:   random.IntN(16),
				Rechecks:  random.IntN(16),
				Checksum:  random.Uint32(),
			}
			if random.IntN(2) == 0 {
				state.KnownAt = asked
			}
			got.Set(date, state)
			want[date] = state
		}
		if diff := cmp.Diff(want, days(maps.Collect(got.All()))); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
		var order []datacube.Date
		for date := range got.All() {
			order = append(order, date)
		}
		if !got.Equal(statesOf(want)) || len(want) > 0 && got.Equal(store.States{}) {
			t.Error("the same states are not equal, or other ones are")
		}
		if !slices.IsSorted(order) || got.Len() != len(want) {
			t.Errorf("%d days in the order %v", got.Len(), order)
		}
		for date := firstDay - 1; date < firstDay+61; date++ {
			if got.At(date) != want[date] {
				t.Errorf("%v is %+v, want %+v", date, got.At(date), want[date])
			}
		}
	}
}

// TestSettledDays: a day is settled if both calls know it with the same traffic, and have rechecked it.
func TestSettledDays(t *testing.T) {
	t.Parallel()
	settled := store.State{Status: store.Known, Asks: 3, AskedAt: asked, KnownAt: asked, Rechecked: true, Rechecks: 2, Checksum: 7}
	for name, c := range map[string]struct {
		change func(*store.State)
		want   bool
	}{
		"alike":              {func(*store.State) {}, true},
		"at another time":    {func(s *store.State) { s.AskedAt, s.Asks, s.Rechecks = asked.Add(time.Hour), 1, 0 }, true},
		"other figures":      {func(s *store.State) { s.Checksum++ }, false},
		"not rechecked":      {func(s *store.State) { s.Rechecked = false }, false},
		"not ready":          {func(s *store.State) { s.Status = store.NotReady }, false},
		"never asked":        {func(s *store.State) { *s = store.State{} }, false},
		"without traffic":    {func(s *store.State) { s.Empty = true }, false},
		"damaged since then": {func(s *store.State) { s.Damaged = 1 }, false},
	} {
		other := settled
		c.change(&other)
		one, two := statesOf(days{firstDay: settled, firstDay + 3: settled}), statesOf(days{firstDay: settled, firstDay + 3: other})
		if one.Settled(two, firstDay+3) != c.want || two.Settled(one, firstDay+3) != c.want {
			t.Errorf("%s: %v and %v, want %v", name, one.Settled(two, firstDay+3), two.Settled(one, firstDay+3), c.want)
		}
		if !one.Settled(two, firstDay) || one.Settled(two, firstDay+1) {
			t.Errorf("%s: another day is not settled, or one that no call has is", name)
		}
		left := maps.Collect(one.Unsettled(two))
		if _, found := left[firstDay+3]; found == c.want || len(left) > 1 {
			t.Errorf("%s: %v are not settled", name, left)
		}
	}
}

func TestStatesOfOddClocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ at, want time.Time }{
		"never":                   {},
		"within a second":         {asked.Add(999 * time.Millisecond), asked},
		"in another zone":         {asked.UTC(), asked},
		"1969":                    {time.Unix(-1000, 0), time.Unix(1, 0)},
		"2106, the last there is": {time.Unix(math.MaxUint32, 0), time.Unix(math.MaxUint32, 0)},
		"later":                   {time.Unix(1<<40, 0), time.Unix(math.MaxUint32, 0)},
	} {
		var s store.States
		s.Set(firstDay, store.State{Status: store.Known, Asks: 1 << 20, AskedAt: c.at, KnownAt: c.at})
		got := s.At(firstDay)
		if !got.AskedAt.Equal(c.want) || !got.KnownAt.Equal(c.want) || got.AskedAt.IsZero() != c.want.IsZero() {
			t.Errorf("%s: asked at %v, known at %v, want %v", name, got.AskedAt, got.KnownAt, c.want)
		}
		if got.Asks != math.MaxUint16 {
			t.Errorf("%s: asked %d times", name, got.Asks)
		}
	}
}

func TestStatusInWords(t *testing.T) {
	t.Parallel()
	for status, want := range map[store.Status]string{
		store.NeverAsked: "never asked", store.NotReady: "not ready", store.Known: "known", 9: "unknown",
	} {
		if got := status.String(); got != want {
			t.Errorf("%d is %q, not %q", status, got, want)
		}
	}
}
