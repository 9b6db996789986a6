package remotewrite_test

import (
	"net/http"
	"testing"
	"time"
)

// Samples that were given up are sent again on request, by the running sender and within its usual time.
func TestResend(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		r.set(refuseAll(http.StatusBadRequest, "out of bounds\n"))
		other := newReceiver(t)
		f.save(shop, 1, days(3)...)
		f.save(bot, 1, days(3)...)
		f.start(f.endpoint("one", r, nil), f.endpoint("two", other, nil))
		f.wait(time.Hour)
		f.mustCount("one", 0, 0, map[string]int{"too_old": 6 * perDay})
		r.set(nil)
		f.wait(time.Hour)
		if r.count() > 0 {
			t.Errorf("%d samples arrived before they were requested", r.count())
		}
		if n := f.resend("one", today-2, today, shop); n != 2 {
			t.Fatalf("%d days are sent again, want 2", n)
		}
		f.wait(10 * time.Second)
		f.mustHave(r, "shop", 1, days(2)...)
		if r.count() != 2*perDay || other.count() != 6*perDay {
			t.Errorf("%d samples arrived, and %d at the other receiver", r.count(), other.count())
		}
		f.mustCount("one", 2*perDay, 0, map[string]int{"too_old": 6 * perDay})
		// While the receiver is down, they are pending.
		r.fail(http.ErrServerClosed)
		f.resend("one", today-1, today, bot)
		f.wait(16 * time.Second)
		f.mustCount("one", 2*perDay, perDay, map[string]int{"too_old": 6 * perDay})
		r.fail(nil)
		f.wait(time.Minute)
		f.mustHave(r, "bot", 1, today-1)
	})
}
