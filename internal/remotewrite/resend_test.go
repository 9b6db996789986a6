package remotewrite_test

import (
	"net/http"
	"testing"
	"time"
)

// What was given up is sent again on demand, by the sender that runs and within its usual time.
func TestResend(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		r.set(everything(http.StatusBadRequest, "out of bounds\n"))
		other := newReceiver(t)
		w.save(shop, 1, days(3)...)
		w.save(bot, 1, days(3)...)
		w.start(w.endpoint("one", r, nil), w.endpoint("two", other, nil))
		w.wait(time.Hour)
		w.mustCount("one", 0, 0, map[string]int{"too_old": 6 * perDay})
		r.set(nil)
		w.wait(time.Hour)
		if r.count() > 0 {
			t.Errorf("%d samples arrived before anybody asked for them", r.count())
		}
		if n, err := w.store.Resend(w.t.Context(), "one", today-2, today, shop); err != nil || n != 2 {
			t.Fatalf("%d days, %v", n, err)
		}
		w.wait(10 * time.Second)
		w.mustHave(r, "shop", 1, days(2)...)
		if r.count() != 2*perDay || other.count() != 6*perDay {
			t.Errorf("%d samples arrived, and %d at the other receiver", r.count(), other.count())
		}
		w.mustCount("one", 2*perDay, 0, map[string]int{"too_old": 6 * perDay})
		// While the receiver is away, they are pending.
		r.fail(http.ErrServerClosed)
		if _, err := w.store.Resend(w.t.Context(), "one", today-1, today, bot); err != nil {
			t.Fatal(err)
		}
		w.wait(16 * time.Second)
		w.mustCount("one", 2*perDay, perDay, map[string]int{"too_old": 6 * perDay})
		r.fail(nil)
		w.wait(time.Minute)
		w.mustHave(r, "bot", 1, today-1)
	})
}
