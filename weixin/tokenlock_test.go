package weixin_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/files"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// pause waits by the fake clock of synctest.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// needsLocks skips the test on systems without file locks.
func needsLocks(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("no locks on this system")
	}
}

// Two processes use one refresh token file. The first is slow to save its new token; the second waits, and uses
// what the first has saved. Without the lock the first would overwrite the token of the second.
func TestTwoProcessesOnOneRefreshToken(t *testing.T) {
	needsLocks(t)
	synctest.Test(t, func(t *testing.T) {
		sim := weixintest.New(weixintest.Options{
			Seed: 1, Now: time.Now, Platforms: []weixintest.Platform{{AppID: thePlatform}},
			Accounts: []weixintest.Account{{AppID: onPlatformID, Platform: thePlatform}},
		})
		sim.RotateRefreshTokens(true)
		path := write(t, filepath.Join(t.TempDir(), "refresh"), sim.RefreshToken(onPlatformID))
		process := func(beforeStep func(string)) weixin.TokenSource {
			client := clientOn(sim.Transport(), func(o *weixin.Options) { o.Now = time.Now })
			file := weixin.NewRefreshTokenFile(path)
			file.BeforeStep = beforeStep
			return authorizerFor(client, onPlatformID, fixed(sim.ComponentToken(thePlatform)), file)
		}
		slow := process(func(step string) {
			if step == files.StepCreate {
				pause(5 * time.Second)
			}
		})
		first := make(chan error, 1)
		go func() {
			_, err := slow.Fetch(t.Context())
			first <- err
		}()
		pause(time.Second)
		if _, err := process(nil).Fetch(t.Context()); err != nil {
			t.Errorf("the second process: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("the first process: %v", err)
		}
		if strings.TrimSpace(read(t, path)) != sim.RefreshToken(onPlatformID) {
			t.Error("the file does not have the valid refresh token")
		}
		for range 3 {
			if _, err := process(nil).Fetch(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		}
	})
}

// A lock that is held for too long is an error for the reason Busy; the end of the caller's context is not.
func TestLockIsWaitedForWithinBounds(t *testing.T) {
	needsLocks(t)
	synctest.Test(t, func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "refresh"), firstRefresh)
		_, unlock, err := weixin.NewRefreshTokenFile(path).Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		api, _, client := onPlatform()
		source := authorizerOf(client, fixed("sim-token-1"), weixin.NewRefreshTokenFile(path))
		began := time.Now()
		_, err = source.Fetch(t.Context())
		wantReason(t, err, weixin.Busy, "the refresh token is not used: the file "+path+": another process is exchanging the refresh token")
		wantClean(t, err)
		if waited := time.Since(began); waited < 10*time.Second || waited > 30*time.Second || api.number != 0 {
			t.Errorf("waited %s, %d exchanges", waited, api.number)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = source.Fetch(ctx)
		wantEnd(t, err, context.DeadlineExceeded)
		unlock()
		if _, err := source.Fetch(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A refresh token whose successor could not be saved is not used; the next attempt succeeds once the folder is
// writable.
func TestRefreshTokenInReadOnlyFolderIsNotUsed(t *testing.T) {
	folder := t.TempDir()
	path := write(t, filepath.Join(folder, "refresh"), firstRefresh)
	// The name of the temporary file is too long, which fails even for root.
	long := filepath.Join(folder, strings.Repeat("n", 250))
	write(t, long, firstRefresh)
	api, _, client := onPlatform()
	_, err := authorizerOf(client, fixed("sim-token-1"), weixin.NewRefreshTokenFile(long)).Fetch(t.Context())
	wantReason(t, err, weixin.Token, "the refresh token is not used: the file "+folder)
	wantClean(t, err)
	if api.number != 0 {
		t.Errorf("%d exchanges", api.number)
	}
	if _, err := authorizerOf(client, fixed("sim-token-1"), weixin.NewRefreshTokenFile(path)).Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d files in the folder, error %v", len(entries), err)
	}
}

// An app secret that is missing at first is read as soon as its file exists.
func TestAppSecretThatComesLater(t *testing.T) {
	for name, source := range map[string]func(*weixin.Client, weixin.Credentials) weixin.TokenSource{
		"stable": (*weixin.Client).StableToken, "legacy": (*weixin.Client).LegacyToken,
	} {
		asked, there := 0, false
		client := clientOn(roundTripper(func(*http.Request) (*http.Response, error) {
			asked++
			return respond(200, `{"access_token":"`+theToken+`","expires_in":7200}`), nil
		}))
		late := source(client, weixin.Credentials{AppID: theAppID, Reread: func() (secret.Value, error) {
			if !there {
				return secret.Value{}, errors.New("secrets/shop cannot be read: no such file or directory")
			}
			return secret.New(theSecret), nil
		}})
		_, err := late.Fetch(t.Context())
		wantReason(t, err, weixin.Token, "asking Weixin for an access token: secrets/shop cannot be read: no such file or directory")
		var fault *weixin.Error
		if !errors.As(err, &fault) || !strings.Contains(fault.Advice().String(), "the account's app secret") || asked != 0 {
			t.Errorf("%s: %d requests, advice %q", name, asked, fault.Advice().String())
		}
		there = true
		if _, err := late.Fetch(t.Context()); err != nil || asked != 1 {
			t.Errorf("%s: %d requests, error %v", name, asked, err)
		}
	}
}

// A deferred source fails with its own error until it can be made, and then works.
func TestDeferredToken(t *testing.T) {
	tries := 0
	const address = "https://tokens.example/shop"
	source := weixin.DeferredToken(weixin.Origin{URL: address}, secret.Masker{secret.New(theSecret)}, func() (weixin.TokenSource, error) {
		if tries++; tries < 3 {
			return nil, errors.New("http_config: open ca.pem with " + theSecret)
		}
		return fixed(theToken), nil
	})
	for range 2 {
		_, err := source.Fetch(t.Context())
		wantReason(t, err, weixin.Token, "getting an access token from "+address+": http_config: open ca.pem with <secret>")
		wantClean(t, err)
		wantOrigin(t, err, address, "Fix what the error names in the http_config of "+address)
	}
	for range 2 {
		if _, err := source.Fetch(t.Context()); err != nil || tries != 3 {
			t.Errorf("%d tries, error %v", tries, err)
		}
	}
}
