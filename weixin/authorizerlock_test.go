package weixin_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"weixin_exporter/weixin"
)

// limitedMemory is memory with a lock that ends after 25 seconds.
type limitedMemory struct {
	memory

	end  context.CancelFunc // ends the lock
	held time.Duration      // how long it was held in all
}

func (m *limitedMemory) Lock(ctx context.Context) (context.Context, func(), error) {
	began := time.Now()
	locked, end := context.WithTimeout(ctx, 25*time.Second)
	m.end = end
	return locked, func() { end(); m.held += time.Since(began) }, nil
}

// slowRate returns a client of a platform with one request in 40 seconds, the first of which is used up.
func slowRate(api *platform) *weixin.Client {
	limiter := rate.NewLimiter(rate.Every(40*time.Second), 1)
	limiter.Allow()
	return clientOn(api, func(o *weixin.Options) { o.Limiter, o.Now = limiter, time.Now })
}

// TestRateSlowerThanTheLock: an exchange waits for its turn before the refresh token is locked.
func TestRateSlowerThanTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, _ := onPlatform()
		refresh := &limitedMemory{memory: memory{text: firstRefresh}}
		client := slowRate(api)
		began := time.Now()
		if err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), refresh))); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 80*time.Second || refresh.held != 0 || api.exchanges != 1 {
			t.Errorf("two requests took %v, with the lock for %v and %d exchanges; want 80 s, 0 and 1", took, refresh.held, api.exchanges)
		}
	})
}

// TestTurnThatComesAfterTheLock: the second exchange, with a renewed component access token, has to wait longer than the lock
// lasts. That passes by itself.
func TestTurnThatComesAfterTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, _ := onPlatform()
		api.component = "sim-token-2"
		refresh := &limitedMemory{memory: memory{text: firstRefresh}}
		client := slowRate(api)
		account := client.Account(authorizerOf(client, &numbered{life: 2 * time.Hour}, refresh))
		err := hour(t.Context(), account)
		wantReason(t, err, weixin.Busy, "the lock of the refresh token ended before it was exchanged")
		if err := hour(t.Context(), account); err != nil || api.exchanges != 2 {
			t.Errorf("the next attempt: %v, %d exchanges in all, want 2", err, api.exchanges)
		}
	})
}

// TestCallThatEndsBeforeTheLock: the end of the caller's own context is told as that.
func TestCallThatEndsBeforeTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, _ := onPlatform()
		api.component = "sim-token-2"
		client := slowRate(api)
		source := authorizerOf(client, &numbered{life: 2 * time.Hour}, &limitedMemory{memory: memory{text: firstRefresh}})
		for _, left := range []time.Duration{10 * time.Second, 50 * time.Second} { // the second one gets to its second exchange
			ctx, cancel := context.WithTimeout(t.Context(), left)
			_, err := source.Fetch(ctx)
			wantEnd(t, err, context.DeadlineExceeded)
			cancel()
		}
		if api.exchanges != 1 {
			t.Errorf("%d exchanges, want 1", api.exchanges)
		}
	})
}

// TestSuccessorThatCannotBeSavedAfterTheLock: the error says that a refresh token is not saved, and not that the lock has ended.
func TestSuccessorThatCannotBeSavedAfterTheLock(t *testing.T) {
	away := &weixin.RefreshTokenError{Fault: weixin.RefreshTokenDatabase, Err: errors.New("store: no answer")}
	for advice, saveErr := range map[string]error{
		"Make the file that the error names writable":                         errors.New("read-only file system"),
		"Make the database that the error names writable before this program": away,
	} {
		_, _, client := onPlatform()
		refresh := &limitedMemory{memory: memory{text: firstRefresh, saveErr: saveErr}}
		refresh.beforeSave = func(context.Context) error { refresh.end(); return nil }
		err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), refresh)))
		if !errors.Is(err, saveErr) {
			t.Errorf("got %v, want %v", err, saveErr)
			continue
		}
		wantOrigin(t, err, "", advice)
	}
}
