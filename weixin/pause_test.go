package weixin_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// tokenHost is a token server that a test can switch off and on. It counts its requests.
type tokenHost struct {
	requests int
	status   int
	body     string
}

func (s *tokenHost) RoundTrip(*http.Request) (*http.Response, error) {
	s.requests++
	return respond(s.status, s.body), nil
}

// TestSharedSourceFailsOnceForAll has a hundred accounts of a platform make calls every five seconds for an
// hour. Its token server, or Weixin if that is what refuses, receives only a few requests a minute.
func TestSharedSourceFailsOnceForAll(t *testing.T) {
	for name, c := range map[string]struct {
		server *tokenHost
		api    *platform
		reason weixin.Reason
		source string
		// repair makes it work again.
		repair func(*tokenHost, *platform)
	}{
		"the token server is away": {
			server: &tokenHost{status: 502},
			api:    &platform{component: "sim-token-1", refresh: firstRefresh},
			reason: weixin.Busy, source: "https://tokens.example/platform",
			repair: func(s *tokenHost, _ *platform) { s.status = 200 },
		},
		"the token server refuses": {
			server: &tokenHost{status: 403},
			api:    &platform{component: "sim-token-1", refresh: firstRefresh},
			reason: weixin.Token, source: "https://tokens.example/platform",
			repair: func(s *tokenHost, _ *platform) { s.status = 200 },
		},
		"the token is an old one": {
			server: &tokenHost{status: 200},
			api:    &platform{component: "sim-token-2", errcode: 42001, refresh: firstRefresh},
			reason: weixin.Token, source: "https://tokens.example/platform",
			repair: func(_ *tokenHost, api *platform) { api.component = "sim-token-1" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, api := c.server, c.api
			server.body = "sim-token-1"
			now := time.Unix(1_800_000_000, 0)
			client := clientOn(api, func(o *weixin.Options) { o.Now = func() time.Time { return now } })
			shared := client.SharedToken(client.URLToken(weixin.URLTokenOptions{
				URL: secret.NewURL("https://tokens.example/platform"), HTTPClient: &http.Client{Transport: server},
			}))
			var accounts []*weixin.Account
			for range 100 {
				accounts = append(accounts, client.Account(authorizerOf(client, shared, &memory{text: firstRefresh})))
			}
			for round := range 60 * 12 {
				asked := 0
				for i, account := range accounts {
					err := hour(t.Context(), account)
					told, ok := errors.AsType[*weixin.Error](err)
					if !ok || told.Reason != c.reason || told.Origin.URL != c.source {
						t.Fatalf("account %d: %v", i, err)
					}
					if told.Shared && (told.Wait <= 0 || told.Wait > time.Minute) {
						t.Fatalf("account %d must wait %v", i, told.Wait)
					}
					if !told.Shared {
						asked++
					}
				}
				if asked > 1 {
					t.Fatalf("round %d: %d accounts made requests, want one for all", round, asked)
				}
				now = now.Add(5 * time.Second)
			}
			// 2, 4, 8 … seconds at first, then one a minute; a stale token takes two requests.
			if most := 2 * 70; server.requests > most || server.requests < 55 || api.exchanges > most {
				t.Errorf("%d requests to the token server and %d to Weixin in an hour, want at most %d", server.requests, api.exchanges, most)
			}
			c.repair(server, api)
			now = now.Add(time.Minute)
			for i, account := range accounts[:2] {
				api.refresh = firstRefresh
				if err := hour(t.Context(), account); err != nil {
					t.Errorf("account %d, once it works again: %v", i, err)
				}
			}
		})
	}
}

// TestReplacedSharedSourceTriesAtOnce checks that the new source after a reload does not pause.
func TestReplacedSharedSourceTriesAtOnce(t *testing.T) {
	api, store, client := onPlatform()
	server := tokenHost{status: 502, body: "sim-token-1"}
	account := func() *weixin.Account {
		return client.Account(authorizerOf(client, client.SharedToken(client.URLToken(weixin.URLTokenOptions{
			URL: secret.NewURL("https://tokens.example/platform"), HTTPClient: &http.Client{Transport: &server},
		})), store))
	}
	former := account()
	for range 3 {
		wantReason(t, hour(t.Context(), former), weixin.Busy, "502")
	}
	if server.requests != 1 {
		t.Fatalf("%d requests, want 1", server.requests)
	}
	server.status = 200
	next := account()
	next.AdoptToken(former)
	if err := hour(t.Context(), next); err != nil || api.exchanges != 1 {
		t.Errorf("after the reload: %v", err)
	}
}
