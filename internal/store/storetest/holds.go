package storetest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func testHolds(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		hold := store.Hold{
			AppID: Shop, API: datacube.Daily, Since: Asked(), Until: Asked().Add(time.Hour), Date: FirstDay + 1, Attempts: 3,
			Fingerprint: []byte{0, 1, 255}, Detail: `{"reason":"quota"}`,
		}
		others := hold
		others.AppID = Bot
		saveHolds := func(holds ...store.Hold) {
			t.Helper()
			if err := s.SaveHolds(t.Context(), holds); err != nil {
				t.Fatal(err)
			}
		}
		saveHolds()
		saveHolds(hold, others)
		others.Fingerprint = nil
		saveHolds(others)
		replaced, another := hold, hold
		replaced.Attempts, replaced.Until, replaced.Detail = 4, hold.Until.Add(time.Hour), "{}"
		another.API = datacube.Hourly
		saveHolds(replaced, another)
		s = reopen()
		got, err := s.Holds(t.Context(), Shop, "wxunknown")
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b store.Hold) int { return cmp.Compare(a.API, b.API) })
		if diff := gocmp.Diff([]store.Hold{replaced, another}, got); diff != "" {
			t.Errorf("holds (-want +got):\n%s", diff)
		}
		if got, err := s.Holds(t.Context()); err != nil || len(got) > 0 {
			t.Errorf("the holds of no account: %v, %v", got, err)
		}
		if got, err := s.Holds(t.Context(), Bot); err != nil || len(got) != 1 || got[0].Attempts != 3 || len(got[0].Fingerprint) > 0 {
			t.Errorf("the other account: %v, %v", got, err)
		}
	})
}
