package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"weixin_exporter/weixin/datacube"
)

// compare reads both stores and fails at the first difference.
func (c *copier) compare(ctx context.Context) error {
	head, err := c.to.Head(ctx)
	if err != nil {
		return err
	}
	if head != c.report.Head {
		return differs("the store as a whole", c.report.Head, head)
	}
	sizes, err := c.to.Sizes(ctx)
	if err != nil {
		return err
	}
	if len(sizes) != len(c.sizes) {
		return differs("accounts", len(c.sizes), len(sizes))
	}
	for i := range sizes {
		if sizes[i].AppID != c.sizes[i].AppID {
			return differs("app ID of an account", c.sizes[i].AppID, sizes[i].AppID)
		}
	}
	return c.portions(ctx, func(appIDs []string) error {
		want, err := c.read(ctx, appIDs)
		if err != nil {
			return err
		}
		got, err := c.to.Accounts(ctx, appIDs)
		if err != nil {
			return err
		}
		if len(got) != len(want) {
			return differs("accounts read", len(want), len(got))
		}
		for i := range want {
			if err := compareAccounts(&want[i], &got[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// errDiffers begins the errors of a copy that differs from the original.
var errDiffers = errors.New("the copy differs from the original, so it is not kept; copy again, and report this if it repeats itself")

func differs(what string, want, got any) error {
	return fmt.Errorf("%w: %s: %+v in the original, %+v in the copy", errDiffers, what, want, got)
}

// compareAccounts returns an error that describes the first difference.
func compareAccounts(want, got *AccountImage) error {
	if got.AppID != want.AppID {
		return differs("app ID of an account", want.AppID, got.AppID)
	}
	if got.Changed != want.Changed {
		return differs(want.AppID+", mark", want.Changed, got.Changed)
	}
	for api := range datacube.APIs {
		if err := compareDays(fmt.Sprintf("%s, %v", want.AppID, api), want.Days[api], got.Days[api]); err != nil {
			return err
		}
		if known := want.KnownDays(api); got.Counted[api] != known {
			return differs(fmt.Sprintf("%s, %v, number of known days", want.AppID, api), known, got.Counted[api])
		}
	}
	if err := compareLists(want.AppID+", delivery", want.Deliveries, got.Deliveries); err != nil {
		return err
	}
	if err := compareLists(want.AppID+", day to be sent again", want.Resends, got.Resends); err != nil {
		return err
	}
	if len(got.Holds) != len(want.Holds) {
		return differs(want.AppID+", holds", len(want.Holds), len(got.Holds))
	}
	for i := range want.Holds {
		if !sameHold(&want.Holds[i], &got.Holds[i]) {
			// Fingerprints are not shown.
			return fmt.Errorf("%w: %s, %v, hold until %v", errDiffers, want.AppID, want.Holds[i].API, want.Holds[i].Until)
		}
	}
	return nil
}

func compareDays(what string, want, got []DayImage) error {
	for i := range min(len(want), len(got)) {
		w, g := &want[i], &got[i]
		day := fmt.Sprintf("%s, %v", what, w.Date)
		if w.Date != g.Date {
			return differs(what+", day", w.Date, g.Date)
		}
		if w.State != g.State {
			return differs(day+", state", w.State, g.State)
		}
		if w.Changed != g.Changed {
			return differs(day+", mark", w.Changed, g.Changed)
		}
		if err := compareLists(day+", figures", w.Figures, g.Figures); err != nil {
			return err
		}
	}
	if len(want) != len(got) {
		return differs(what+", days", len(want), len(got))
	}
	return nil
}

func compareLists[T comparable](what string, want, got []T) error {
	if len(want) != len(got) {
		return differs(what+", number", len(want), len(got))
	}
	for i := range want {
		if want[i] != got[i] {
			return differs(fmt.Sprintf("%s %d", what, i), want[i], got[i])
		}
	}
	return nil
}

func sameHold(a, b *Hold) bool {
	return a.AppID == b.AppID && a.API == b.API && a.Since.Equal(b.Since) && a.Until.Equal(b.Until) &&
		a.Date == b.Date && a.Attempts == b.Attempts && bytes.Equal(a.Fingerprint, b.Fingerprint) && a.Detail == b.Detail
}
