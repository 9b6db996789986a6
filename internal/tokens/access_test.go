package tokens_test

import (
	"errors"
	"testing"
	"time"

	"weixin_exporter/internal/seal"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// issued returns the number of tokens that Weixin has issued for the account.
func (w *world) issued(api string) int {
	n := 0
	for _, c := range w.Calls() {
		if c.API == api && c.Errcode == 0 {
			n++
		}
	}
	return n
}

// TestAccessTokensAreShared by all processes, also of accounts of a platform.
func TestAccessTokensAreShared(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w *world) { //nolint:thelper // the test itself
		seed := w.file(t, "refresh", w.RefreshToken(theAppID))
		first, second, third := w.start(t, one, seed), w.start(t, one, seed), w.start(t, one, seed)
		mustCall(t, first.account, second.account, third.account, first.account)
		if all, _ := w.exchanges(); all != 1 {
			t.Errorf("%d exchanges, want 1", all)
		}
		mustCall(t, first.plain, second.plain, third.plain)
		if got := w.issued("token"); got != 1 {
			t.Errorf("%d tokens, want 1", got)
		}
		// Weixin refuses it: one process drops it and gets another one, the others take that.
		w.clock.Advance(3 * time.Hour)
		fourth := w.start(t, one, seed)
		mustCall(t, fourth.plain, first.plain, second.plain, third.plain)
		if got := w.issued("token"); got != 2 {
			t.Errorf("%d tokens after the first one has expired, want 2", got)
		}
		w.mustBeClean(t, w.dump(t))
		for _, p := range []*process{first, second, third, fourth} {
			if got := p.reports(); len(got) > 0 {
				t.Errorf("reported %v", got)
			}
		}
	})
}

func accessToken(text string) weixin.KeptToken {
	return weixin.KeptToken{AccessToken: weixin.AccessToken{Text: secret.New(text), Life: 2 * time.Hour}, Left: time.Hour}
}

// TestAccessToken: only a token that was obtained with the same credentials is returned, with what is left of its life by the
// clock of the database.
func TestAccessToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	p := w.start(t, one, "")
	mine, other := p.Access("wx1", secret.New("sim-secret-mine")), p.Access("wx1", secret.New("sim-secret-other"))
	if _, ok := mine.Load(t.Context()); ok {
		t.Error("an empty database has a token")
	}
	mine.Save(t.Context(), accessToken("sim-token-mine"))
	got, ok := mine.Load(t.Context())
	if !ok || got.Text.Reveal() != "sim-token-mine" || got.Life != 2*time.Hour || got.Left > time.Hour || got.Left < 50*time.Minute {
		t.Errorf("loaded %t, %+v", ok, got)
	}
	if _, ok := other.Load(t.Context()); ok {
		t.Error("a token of other credentials is returned")
	}
	mine.Drop(t.Context(), secret.New("sim-token-former"))
	if _, ok := mine.Load(t.Context()); !ok {
		t.Error("the token that has replaced the refused one is dropped")
	}
	mine.Drop(t.Context(), secret.New("sim-token-mine"))
	mine.Drop(t.Context(), secret.New("sim-token-mine"))
	if _, ok := mine.Load(t.Context()); ok {
		t.Error("the refused token is not dropped")
	}
	other.Save(t.Context(), accessToken("sim-token-other"))
	w.run(t, `UPDATE weixin_exporter.token SET expires = clock_timestamp()`)
	if _, ok := other.Load(t.Context()); ok || len(p.reports()) > 0 {
		t.Errorf("a token after its end is returned, or reported: %v", p.reports())
	}
}

// TestStoreThatFails: the processes go on with their own tokens, and each cause is reported once.
func TestStoreThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	first := w.start(t, one, "")
	first.store.cut.Store(true)
	mustCall(t, first.plain, first.plain)
	first.Access("wx2", secret.Value{}).Save(t.Context(), accessToken("sim-token-2"))
	if got := first.reports(); len(got) != 1 || !errors.Is(got[0], errCut) || w.issued("token") != 1 {
		t.Fatalf("reported %v, %d tokens", got, w.issued("token"))
	}
	first.store.cut.Store(false)
	first.Access("wx2", secret.Value{}).Save(t.Context(), accessToken("sim-token-2"))
	if got := first.reports(); len(got) != 2 || got[1] != nil {
		t.Errorf("reported %v after the store works again", got)
	}
	// Another process has another key.
	second := w.start(t, two, "")
	for range 2 {
		if _, ok := second.Access("wx2", secret.Value{}).Load(t.Context()); ok {
			t.Error("opened with another key")
		}
	}
	got := second.reports()
	if len(got) != 1 {
		t.Fatalf("reported %v", got)
	}
	if _, ok := errors.AsType[*seal.UnknownKeyError](got[0]); !ok {
		t.Errorf("reported %v", got)
	}
	w.mustBeClean(t, got[0].Error())
	second.Access("wx2", secret.Value{}).Save(t.Context(), accessToken("sim-token-3"))
	if _, ok := second.Access("wx2", secret.Value{}).Load(t.Context()); !ok || second.reports()[1] != nil {
		t.Errorf("does not go on with a token of its own: %v", second.reports())
	}
}
