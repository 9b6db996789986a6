package remotewrite_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weixin_exporter/internal/remotewrite"
)

// A configuration that changes takes endpoints and accounts on and off.
func TestConfigure(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		one, two := newReceiver(t), newReceiver(t)
		w.save(shop, 1, days(2)...)
		w.save("wx0000000000000000", 1, days(2)...) // of nobody
		first := w.endpoint("one", one, nil)
		w.start(first)
		w.wait(time.Second)
		w.mustHave(one, "shop", 1, days(2)...)
		w.mustCount("one", 2*perDay, 0, nil)
		first.Accounts = map[string]string{"wx0000000000000000": "new"}
		w.group.ApplyConfig([]remotewrite.Endpoint{first, w.endpoint("two", two, nil)})
		w.wait(time.Second)
		w.mustHave(one, "new", 1, days(2)...)
		w.mustHave(two, "shop", 1, days(2)...)
		w.mustCount("one", 4*perDay, 0, nil)
		if one.count() != 4*perDay {
			t.Errorf("%d samples arrived", one.count())
		}
		w.group.ApplyConfig([]remotewrite.Endpoint{w.endpoint("three", one, nil)})
		w.group.ApplyConfig([]remotewrite.Endpoint{w.endpoint("two", two, nil)})
		w.wait(time.Second)
		if got := w.metric("samples_total", "one", ""); got != -1 {
			t.Errorf("the endpoint that is gone still shows %v", got)
		}
		if got := w.metric("samples_failed_total", "one", "rejected"); got != -1 {
			t.Errorf("the endpoint that is gone still shows %v", got)
		}
		if got := w.metric("samples_total", "three", ""); got > 0 {
			t.Errorf("an endpoint that was replaced at once got %v", got)
		}
		if got := w.metric("pending_samples", "two", ""); got != 0 || two.count() != 2*perDay {
			t.Errorf("%v samples are pending and %d arrived", got, two.count())
		}
		w.group.ApplyConfig(nil)
		w.wait(time.Second)
		if n := testutil.CollectAndCount(w.registry); n != 0 {
			t.Errorf("%d series without an endpoint", n)
		}
	})
}

// late is a receiver whose answers take their time.
type late struct{ *receiver }

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.receiver.RoundTrip(r)
	select {
	case <-time.After(20 * time.Second):
		return response, err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// An endpoint about which nothing changes does not notice that others do: its request goes on, and it
// waits as long as it was told to.
func TestConfigureLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		slow, busy, gone := newReceiver(t), newReceiver(t), newReceiver(t)
		busy.set(func(*request) answer {
			return answer{status: http.StatusTooManyRequests, header: map[string]string{"Retry-After": "1800"}}
		})
		one, two, three := w.endpoint("one", late{slow}, nil), w.endpoint("two", busy, nil), w.endpoint("three", gone, nil)
		one.ExternalLabels = []remotewrite.Label{{Name: "a", Value: "b"}}
		w.save(shop, 1, days(2)...)
		w.start(one, two, three)
		w.wait(time.Second)
		again := one
		again.ExternalLabels, again.Accounts = slices.Clone(one.ExternalLabels), maps.Clone(one.Accounts)
		w.group.ApplyConfig([]remotewrite.Endpoint{w.endpoint("four", gone, nil), again, two})
		w.wait(time.Minute)
		w.mustCount("one", 2*perDay, 0, nil)
		w.mustCount("four", 2*perDay, 0, nil)
		if len(slow.got()) != 1 || slow.count() != 2*perDay {
			t.Errorf("%d samples came in %d requests", slow.count(), len(slow.got()))
		}
		if n := len(busy.got()); n != 1 {
			t.Errorf("%d requests before Retry-After", n)
		}
		// What changes takes effect at once.
		for i, change := range []func(e *remotewrite.Endpoint){
			func(e *remotewrite.Endpoint) { e.Client = w.endpoint("two", busy, nil).Client },
			func(e *remotewrite.Endpoint) { e.Key = "second" },
			func(e *remotewrite.Endpoint) { e.Label = "second/write" },
			func(e *remotewrite.Endpoint) { e.MaxSamples = 100 },
			func(e *remotewrite.Endpoint) { e.MaxAge = time.Hour * 48 },
			func(e *remotewrite.Endpoint) { e.ExternalLabels = []remotewrite.Label{{Name: "a", Value: "b"}} },
			func(e *remotewrite.Endpoint) { e.Accounts = map[string]string{shop: "renamed"} },
		} {
			change(&two)
			w.group.ApplyConfig([]remotewrite.Endpoint{two})
			w.wait(time.Second)
			if n := len(busy.got()); n != i+2 {
				t.Fatalf("%d requests after %d changes", n, i+1)
			}
		}
		if got := w.metric("pending_samples", "second", ""); got != 2*perDay || w.metric("pending_samples", "two", "") != -1 {
			t.Errorf("%v samples are pending under the new name", got)
		}
	})
}
