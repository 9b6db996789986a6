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
