package weixin_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

const newSecret = "sim-secret-new"

// lock is an API that accepts one app secret, and counts its calls.
type lock struct {
	mu      sync.Mutex
	opens   string
	errcode int // the errcode for other secrets
	calls   int
}

func (l *lock) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if strings.Contains(r.URL.Query().Get("secret")+bodyOf(r), l.opens) {
		return respond(200, `{"access_token":"`+theToken+`","expires_in":7200}`), nil
	}
	return respond(200, fmt.Sprintf(`{"errcode":%d,"errmsg":"invalid appsecret rid: 5f9b7285"}`, l.errcode)), nil
}

// bothSources are the two sources that use the app secret.
func bothSources(transport http.RoundTripper, reread func() (secret.Value, error)) map[string]weixin.TokenSource {
	own := credentials()
	own.Reread = reread
	client := clientOn(transport)
	return map[string]weixin.TokenSource{"stable_token": client.StableToken(own), "token": client.LegacyToken(own)}
}

func TestRefusedSecretIsReadAgain(t *testing.T) {
	for _, code := range []int{40001, 40125, 40243} {
		read := 0
		api := &lock{opens: newSecret, errcode: code}
		for name, source := range bothSources(api, func() (secret.Value, error) { read++; return secret.New(newSecret), nil }) {
			read, api.calls = 0, 0
			for range 2 {
				if token, err := source.Fetch(t.Context()); err != nil || !token.Text.Equal(secret.New(theToken)) {
					t.Errorf("%s: %d: %v", name, code, err)
				}
			}
			// The second call uses the new secret at once.
			if read != 1 || api.calls != 3 {
				t.Errorf("%s: %d: read %d times, %d calls; want 1 and 3", name, code, read, api.calls)
			}
		}
	}
}

func TestRefusalThatRereadingDoesNotMend(t *testing.T) {
	missing := fmt.Errorf("reading the app secret: %w", &fs.PathError{Op: "open", Path: "/run/secrets/shop", Err: fs.ErrNotExist})
	quoting := errors.New("not good:\n" + theSecret)
	tests := map[string]struct {
		reread      func() (secret.Value, error)
		code        int
		reads, asks int
		says        string
	}{
		"nothing to read":   {nil, 40125, 0, 1, "errcode 40125: invalid appsecret (rid 5f9b7285)"},
		"the same":          {func() (secret.Value, error) { return secret.New(theSecret), nil }, 40125, 1, 1, "errcode 40125: invalid appsecret (rid"},
		"empty":             {func() (secret.Value, error) { return secret.Value{}, nil }, 40243, 1, 1, "errcode 40243: invalid appsecret (rid"},
		"wrong, too":        {func() (secret.Value, error) { return secret.New("sim-secret-wrong"), nil }, 40125, 1, 2, "errcode 40125: invalid appsecret (rid"},
		"missing":           {func() (secret.Value, error) { return secret.Value{}, missing }, 40125, 1, 1, "errcode 40125: invalid appsecret: reading the app secret: open /run/secrets/shop: file does not exist (rid"},
		"quoting":           {func() (secret.Value, error) { return secret.Value{}, quoting }, 40125, 1, 1, "errcode 40125: invalid appsecret: not good: <secret> (rid"},
		"not for its sake":  {func() (secret.Value, error) { return secret.New(newSecret), nil }, 40164, 0, 1, "errcode 40164"},
		"passes by itself":  {func() (secret.Value, error) { return secret.New(newSecret), nil }, -1, 0, 1, "errcode -1"},
		"an app id unknown": {func() (secret.Value, error) { return secret.New(newSecret), nil }, 40013, 0, 1, "errcode 40013"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			reads := 0
			reread := test.reread
			if reread != nil {
				reread = func() (secret.Value, error) { reads++; return test.reread() }
			}
			api := &lock{opens: "nothing opens it", errcode: test.code}
			for kind, source := range bothSources(api, reread) {
				reads, api.calls = 0, 0
				token, err := source.Fetch(t.Context())
				var fault *weixin.Error
				if !errors.As(err, &fault) || fault.Errcode != test.code || !strings.Contains(err.Error(), test.says) || !token.Text.IsZero() {
					t.Errorf("%s: got %v, want %q", kind, err, test.says)
				}
				wantClean(t, err)
				if reads != test.reads || api.calls != test.asks {
					t.Errorf("%s: read %d times, %d calls; want %d and %d", kind, reads, api.calls, test.reads, test.asks)
				}
				if name == "missing" && (!errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.Advice().String(), "app secret")) {
					t.Errorf("%s: the cause of %v is lost, or advice %q", kind, err, fault.Advice().String())
				}
			}
		})
	}
}

// TestOneReadingForManyCalls has twenty calls refused before the first of them reads the secret again.
func TestOneReadingForManyCalls(t *testing.T) {
	api := &lock{opens: newSecret, errcode: 40125}
	var refused sync.WaitGroup
	refused.Add(20)
	together := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("secret") == theSecret {
			refused.Done()
			refused.Wait()
		}
		return api.RoundTrip(r)
	})
	read := 0
	source := bothSources(together, func() (secret.Value, error) { read++; return secret.New(newSecret), nil })["token"]
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := source.Fetch(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if read != 1 || api.calls != 40 {
		t.Errorf("the secret was read %d times, %d calls; want 1 and 40", read, api.calls)
	}
}
