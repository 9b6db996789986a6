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

// A new configuration adds and removes endpoints and accounts.
func TestApplyConfig(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		one, two := newReceiver(t), newReceiver(t)
		f.save(shop, 1, days(2)...)
		f.save("wx0000000000000000", 1, days(2)...) // not configured
		first := f.endpoint("one", one, nil)
		f.start(first)
		f.wait(time.Second)
		f.mustHave(one, "shop", 1, days(2)...)
		f.mustCount("one", 2*perDay, 0, nil)
		first.Accounts = map[string]string{"wx0000000000000000": "new"}
		f.group.ApplyConfig([]remotewrite.Endpoint{first, f.endpoint("two", two, nil)})
		f.wait(time.Second)
		f.mustHave(one, "new", 1, days(2)...)
		f.mustHave(two, "shop", 1, days(2)...)
		f.mustCount("one", 4*perDay, 0, nil)
		if one.count() != 4*perDay {
			t.Errorf("%d samples arrived", one.count())
		}
		f.group.ApplyConfig([]remotewrite.Endpoint{f.endpoint("three", one, nil)})
		f.group.ApplyConfig([]remotewrite.Endpoint{f.endpoint("two", two, nil)})
		f.wait(time.Second)
		if got := f.metric("samples_total", "one", ""); got != -1 {
			t.Errorf("the removed endpoint still shows %v", got)
		}
		if got := f.metric("samples_failed_total", "one", "rejected"); got != -1 {
			t.Errorf("the removed endpoint still shows %v", got)
		}
		if got := f.metric("samples_total", "three", ""); got > 0 {
			t.Errorf("an endpoint that was replaced at once got %v samples", got)
		}
		if got := f.metric("pending_samples", "two", ""); got != 0 || two.count() != 2*perDay {
			t.Errorf("%v samples are pending and %d arrived", got, two.count())
		}
		f.group.ApplyConfig(nil)
		f.wait(time.Second)
		if n := testutil.CollectAndCount(f.registry); n != 0 {
			t.Errorf("%d series without an endpoint", n)
		}
	})
}

// slowReceiver is a receiver whose responses take 20 seconds.
type slowReceiver struct{ *receiver }

func (l slowReceiver) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.receiver.RoundTrip(r)
	select {
	case <-time.After(20 * time.Second):
		return response, err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// Changes of other endpoints do not affect an endpoint: its request goes on, and it waits as long as its receiver
// asked for.
func TestApplyConfigKeepsUnchangedEndpoints(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		slow, busy, gone := newReceiver(t), newReceiver(t), newReceiver(t)
		busy.set(func(*request) response {
			return response{status: http.StatusTooManyRequests, header: map[string]string{"Retry-After": "1800"}}
		})
		one, two, three := f.endpoint("one", slowReceiver{slow}, nil), f.endpoint("two", busy, nil), f.endpoint("three", gone, nil)
		one.ExternalLabels = []remotewrite.Label{{Name: "a", Value: "b"}}
		f.save(shop, 1, days(2)...)
		f.start(one, two, three)
		f.wait(time.Second)
		again := one
		again.ExternalLabels, again.Accounts = slices.Clone(one.ExternalLabels), maps.Clone(one.Accounts)
		f.group.ApplyConfig([]remotewrite.Endpoint{f.endpoint("four", gone, nil), again, two})
		f.wait(time.Minute)
		f.mustCount("one", 2*perDay, 0, nil)
		f.mustCount("four", 2*perDay, 0, nil)
		if len(slow.got()) != 1 || slow.count() != 2*perDay {
			t.Errorf("%d samples arrived in %d requests", slow.count(), len(slow.got()))
		}
		if n := len(busy.got()); n != 1 {
			t.Errorf("%d requests before Retry-After", n)
		}
		// What changes takes effect at once.
		for i, change := range []func(e *remotewrite.Endpoint){
			func(e *remotewrite.Endpoint) { e.Client = f.endpoint("two", busy, nil).Client },
			func(e *remotewrite.Endpoint) { e.Key = "second" },
			func(e *remotewrite.Endpoint) { e.Label = "second/write" },
			func(e *remotewrite.Endpoint) { e.MaxSamples = 100 },
			func(e *remotewrite.Endpoint) { e.MaxAge = time.Hour * 48 },
			func(e *remotewrite.Endpoint) { e.ExternalLabels = []remotewrite.Label{{Name: "a", Value: "b"}} },
			func(e *remotewrite.Endpoint) { e.Accounts = map[string]string{shop: "renamed"} },
		} {
			change(&two)
			f.group.ApplyConfig([]remotewrite.Endpoint{two})
			f.wait(time.Second)
			if n := len(busy.got()); n != i+2 {
				t.Fatalf("%d requests after %d changes", n, i+1)
			}
		}
		if got := f.metric("pending_samples", "second", ""); got != 2*perDay || f.metric("pending_samples", "two", "") != -1 {
			t.Errorf("%v samples are pending under the new name", got)
		}
	})
}
