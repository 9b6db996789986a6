package weixin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// gate is an API that accepts some tokens and counts the calls with each.
type gate struct {
	mu       sync.Mutex
	accepted map[string]bool
	errcode  int // the errcode for other tokens
	calls    []string
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	token := r.URL.Query().Get("access_token")
	g.calls = append(g.calls, token)
	if g.accepted[token] {
		return respond(200, `{"list":[]}`), nil
	}
	return respond(200, fmt.Sprintf(`{"errcode":%d,"errmsg":"refused rid: 5f9b7285-0ba75f4d"}`, g.errcode)), nil
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

func hour(ctx context.Context, a *weixin.Account) error {
	_, err := a.InterfaceSummaryHour(ctx, datacube.FirstDate)
	return err
}

func TestRefusedTokenIsRenewedOnce(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		api, source := &gate{errcode: code, accepted: map[string]bool{"sim-token-2": true}}, &numbered{life: 2 * time.Hour}
		account := clientOn(api).Account(source)
		for range 2 {
			if err := hour(t.Context(), account); err != nil {
				t.Errorf("%d: %v", code, err)
			}
		}
		if source.fetched() != 2 || api.count() != 3 {
			t.Errorf("%d: %d token fetches and %d calls; want 2 and 3", code, source.fetched(), api.count())
		}
	}
}

func TestSecondRefusalEndsTheCall(t *testing.T) {
	api, source := &gate{errcode: 42001}, &numbered{life: 2 * time.Hour}
	account := clientOn(api).Account(source)
	err := hour(t.Context(), account)
	wantReason(t, err, weixin.Token, "errcode 42001: refused (rid 5f9b7285-0ba75f4d)")
	wantClean(t, err)
	if source.fetched() != 2 || api.count() != 2 {
		t.Errorf("%d token fetches and %d calls; want 2 and 2", source.fetched(), api.count())
	}

	// The refused token is not used again: the next call begins with a token of its own.
	api.accepted = map[string]bool{"sim-token-3": true}
	if err := hour(t.Context(), account); err != nil || source.fetched() != 3 || api.count() != 3 {
		t.Errorf("the call after it: %v, %d token fetches and %d calls; want 3 and 3", err, source.fetched(), api.count())
	}
}

func TestSameTokenAgainIsNotTried(t *testing.T) {
	api := &gate{errcode: 40001}
	var fetched atomic.Int32
	account := clientOn(api).Account(sourceFunc(func(ctx context.Context) (weixin.AccessToken, error) {
		fetched.Add(1)
		return fixed(theToken).Fetch(ctx)
	}))
	err := hour(t.Context(), account)
	wantReason(t, err, weixin.Token, "errcode 40001: refused; the renewed token is the refused one (rid 5f9b7285-0ba75f4d)")
	wantClean(t, err)
	if fetched.Load() != 2 || api.count() != 1 {
		t.Errorf("%d token fetches and %d calls; want 2 and 1", fetched.Load(), api.count())
	}
}

func TestOtherErrorsLeaveTheTokenAlone(t *testing.T) {
	for _, code := range []int{-1, 40013, 40164, 41001, 45009, 48001, 61503} {
		api, source := &gate{errcode: code}, &numbered{life: 2 * time.Hour}
		account := clientOn(api).Account(source)
		for range 2 {
			if err := hour(t.Context(), account); err == nil {
				t.Errorf("%d is not an error", code)
			}
		}
		if source.fetched() != 1 || api.count() != 2 {
			t.Errorf("%d: %d token fetches and %d calls; want 1 and 2", code, source.fetched(), api.count())
		}
	}
}

func TestFailedRenewalIsTheError(t *testing.T) {
	api, first := &gate{errcode: 42001}, true
	wanted := &weixin.Error{API: "token", Reason: weixin.Config, Errcode: 40125, Errmsg: "invalid appsecret"}
	account := clientOn(api).Account(sourceFunc(func(ctx context.Context) (weixin.AccessToken, error) {
		if first {
			first = false
			return fixed(theToken).Fetch(ctx)
		}
		return weixin.AccessToken{}, wanted
	}))
	if err := hour(t.Context(), account); !errors.Is(err, wanted) || api.count() != 1 {
		t.Errorf("got %v after %d calls, want %v after 1", err, api.count(), wanted)
	}
	daily, err := account.InterfaceSummary(t.Context(), datacube.FirstDate, datacube.FirstDate)
	if !errors.Is(err, wanted) || daily.Days != nil {
		t.Errorf("daily: got %v, want %v", err, wanted)
	}
}

// TestTokenIsRenewedBeforeItRunsOut checks until when a token of a given life is used.
func TestTokenIsRenewedBeforeItRunsOut(t *testing.T) {
	tests := []struct {
		life, age time.Duration
		renewed   bool
	}{
		{2 * time.Hour, 0, false},
		{2 * time.Hour, 2*time.Hour - time.Minute, false},
		{2 * time.Hour, 2*time.Hour - time.Minute + 1, true},
		{2 * time.Hour, 3 * time.Hour, true},
		{300 * time.Second, 270 * time.Second, false},
		{300 * time.Second, 270*time.Second + 1, true},
		{10 * time.Second, 9 * time.Second, false},
		{10 * time.Second, 9*time.Second + 1, true},
	}
	for _, test := range tests {
		now := time.Unix(1_800_000_000, 0)
		source := &numbered{life: test.life}
		api := &gate{accepted: map[string]bool{"sim-token-1": true, "sim-token-2": true}}
		account := clientOn(api, func(o *weixin.Options) { o.Now = func() time.Time { return now } }).Account(source)
		for _, at := range []time.Duration{0, test.age} {
			now = time.Unix(1_800_000_000, 0).Add(at)
			if err := hour(t.Context(), account); err != nil {
				t.Fatal(err)
			}
		}
		if renewed := source.fetched() == 2; renewed != test.renewed {
			t.Errorf("life %s, used after %s: renewed is %t", test.life, test.age, renewed)
		}
	}
}

func TestLifeCountsFromBeforeTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		numbers := &numbered{life: 100 * time.Second}
		slow := sourceFunc(func(ctx context.Context) (weixin.AccessToken, error) {
			<-time.After(50 * time.Second) // fake clock: a slow token call
			return numbers.Fetch(ctx)
		})
		api := &gate{accepted: map[string]bool{"sim-token-1": true, "sim-token-2": true}}
		account := clientOn(api, func(o *weixin.Options) { o.Now = time.Now }).Account(slow)
		for range 2 {
			if err := hour(t.Context(), account); err != nil {
				t.Fatal(err)
			}
			<-time.After(41 * time.Second) // fake clock: 91 of 100 seconds have passed
		}
		if numbers.fetched() != 2 {
			t.Errorf("%d token fetches, want 2: 9 of 100 seconds were left", numbers.fetched())
		}
	})
}

func TestOneFetchForAHundredCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		numbers := &numbered{life: 2 * time.Hour}
		slow := sourceFunc(func(ctx context.Context) (weixin.AccessToken, error) {
			<-time.After(time.Second) // fake clock: all others arrive meanwhile
			return numbers.Fetch(ctx)
		})
		api := &gate{errcode: 40001, accepted: map[string]bool{"sim-token-1": true}}
		account := clientOn(api, func(o *weixin.Options) { o.Now = time.Now }).Account(slow)

		hundred := func(round string) {
			var group sync.WaitGroup
			for range 100 {
				group.Go(func() {
					if err := hour(t.Context(), account); err != nil {
						t.Errorf("%s: %v", round, err)
					}
				})
			}
			group.Wait()
		}
		hundred("first")
		if numbers.fetched() != 1 {
			t.Errorf("%d token fetches, want 1", numbers.fetched())
		}
		// The token has become invalid; a hundred refusals lead to one renewal.
		api.accepted = map[string]bool{"sim-token-2": true}
		hundred("after the refusal")
		if numbers.fetched() != 2 {
			t.Errorf("%d token fetches in all, want 2", numbers.fetched())
		}
	})
}

// TestLateRefusalLeavesTheRenewedTokenAlone has a call refused after another, which was refused earlier, has
// already renewed the token.
func TestLateRefusalLeavesTheRenewedTokenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &gate{errcode: 40001, accepted: map[string]bool{"sim-token-2": true}}
		slowForDaily := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/datacube/getinterfacesummary" {
				<-time.After(time.Second) // fake clock: this refusal arrives late
			}
			return api.RoundTrip(r)
		})
		source := &numbered{life: 2 * time.Hour}
		account := clientOn(slowForDaily, func(o *weixin.Options) { o.Now = time.Now }).Account(source)
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := account.InterfaceSummary(t.Context(), datacube.FirstDate, datacube.FirstDate); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := hour(t.Context(), account); err != nil {
			t.Error(err)
		}
		group.Wait()
		if source.fetched() != 2 || api.count() != 4 {
			t.Errorf("%d token fetches and %d calls; want 2 and 4", source.fetched(), api.count())
		}
	})
}

func TestFailedFetchFailsThoseWhoWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &weixin.Error{API: "token", Reason: weixin.Config, Errcode: 40125}
		var fetched atomic.Int32
		account := clientOn(&gate{}).Account(sourceFunc(func(context.Context) (weixin.AccessToken, error) {
			fetched.Add(1)
			<-time.After(time.Second) // fake clock: all others arrive meanwhile
			return weixin.AccessToken{}, refused
		}))
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if err := hour(t.Context(), account); !errors.Is(err, refused) {
					t.Errorf("got %v, want %v", err, refused)
				}
			})
		}
		group.Wait()
		if fetched.Load() != 1 {
			t.Errorf("%d token fetches, want 1", fetched.Load())
		}
		if err := hour(t.Context(), account); !errors.Is(err, refused) || fetched.Load() != 2 {
			t.Errorf("a later call got %v after %d fetches; want a fetch of its own", err, fetched.Load())
		}
	})
}

// TestEndOfOneContextAffectsNoOtherCall ends the contexts of the call that fetches and of one that waits.
func TestEndOfOneContextAffectsNoOtherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		numbers := &numbered{life: 2 * time.Hour}
		slow := sourceFunc(func(ctx context.Context) (weixin.AccessToken, error) {
			select {
			case <-time.After(10 * time.Second):
				return numbers.Fetch(ctx)
			case <-ctx.Done():
				return weixin.AccessToken{}, fmt.Errorf("fetching: %w", ctx.Err())
			}
		})
		api := &gate{accepted: map[string]bool{"sim-token-1": true}}
		account := clientOn(api, func(o *weixin.Options) { o.Now = time.Now }).Account(slow)

		var group sync.WaitGroup
		began := time.Now()
		call := func(patience time.Duration, end error) {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := hour(ctx, account)
				if end != nil {
					wantEnd(t, err, end)
					if took := time.Since(began); took != patience {
						t.Errorf("it took %s to end a call after %s", took, patience)
					}
				} else if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		call(2*time.Second, context.DeadlineExceeded) // fetches
		call(time.Second, context.DeadlineExceeded)   // waits
		call(time.Hour, nil)                          // waits, then fetches
		call(time.Hour, nil)
		group.Wait()
		if took := time.Since(began); numbers.fetched() != 1 || took != 12*time.Second {
			t.Errorf("%d tokens after %s, want 1 after 12s", numbers.fetched(), took)
		}
	})
}

func TestAdoptToken(t *testing.T) {
	api := &gate{errcode: 40001, accepted: map[string]bool{"sim-token-1": true}}
	client := clientOn(api)
	source := &numbered{life: 2 * time.Hour}
	before, after := client.Account(source), client.Account(source)
	after.AdoptToken(nil)
	after.AdoptToken(before) // which has none yet
	after.AdoptToken(after)
	if err := hour(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	after.AdoptToken(before)
	if err := hour(t.Context(), after); err != nil || source.fetched() != 1 {
		t.Errorf("%v after %d token fetches; want the adopted token", err, source.fetched())
	}

	own := client.Account(sourceFunc(func(context.Context) (weixin.AccessToken, error) {
		return weixin.AccessToken{Text: secret.New("sim-token-own"), Life: time.Hour}, nil
	}))
	api.accepted["sim-token-own"] = true
	if err := hour(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	own.AdoptToken(before)
	if err := hour(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	if last := api.calls[len(api.calls)-1]; last != "sim-token-own" {
		t.Error("AdoptToken replaced a cached token")
	}
}
