package e2e_test

import (
	"testing"
	"time"
)

// Another service of the account uses a token from /cgi-bin/token. An exporter that does the same invalidates it;
// one with stable_token does not affect it.
func TestAnotherServiceOfTheAccount(t *testing.T) {
	t.Parallel()
	const notLatest = 40001
	for _, c := range []struct {
		name, token string
		errcode     int // of the other service's last call
	}{
		{"token", "\n    token: {type: token}", notLatest},
		{"stable_token", "\n    token: {type: stable_token}", 0},
		{"the default", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shop := newAccount("shop", 1, 9000)
			w := newFixture(t, shop)
			other := &service{fixture: w, account: shop}
			other.takeToken(t)
			w.pass(10 * time.Minute)
			if code := other.call(t); code != 0 {
				t.Fatalf("errcode %d before the exporter was started", code)
			}
			w.write(t, w.list(sourced{shop, "app_secret: " + shop.AppSecret + c.token}))
			x := serve(t, w.config)
			w.waitFigures(t, x.web, shop)
			if code := other.call(t); code != 0 {
				t.Errorf("errcode %d within the five minutes for which an old token remains valid", code)
			}
			w.pass(5 * time.Minute)
			if code := other.call(t); code != c.errcode {
				t.Errorf("five minutes later the other service gets errcode %d, want %d", code, c.errcode)
			}
			w.checkFigures(t, x.metrics(t), shop)
		})
	}
}
