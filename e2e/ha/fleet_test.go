package ha_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/internal/remotewrite/remotewritetest"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

const (
	members  = 3
	accounts = 30
	// authorizers is how many of the accounts have authorized a platform, so that each exchange for an access token
	// replaces the refresh token.
	authorizers = 6
	platform    = "wx00000000000000aa"
	// concurrency is how many calls an exporter makes at a time.
	concurrency = 4
	// firstDays is how many days the first start requests.
	firstDays = 2
	// callTime is how long the simulated Weixin takes to answer: longer than answers wait for others to be stored.
	callTime = 30 * time.Millisecond
	// maxSkew is how wrong the clocks of the exporters are at most.
	maxSkew = 2 * time.Minute
)

// refused is the app ID of an account that Weixin refuses: an exporter makes no call for it for an hour after each refusal.
const refused = "wx00000000000000ff"

// fleet is exporters that share a database, and all that they work with.
type fleet struct {
	t      *testing.T
	random *rand.Rand

	postgres  *postgrestest.Server
	pooler    *postgrestest.Pooler // nil if the exporters are connected without one
	database  *database
	clock     *exportertest.Clock // of Weixin
	weixin    *weixintest.Server
	appIDs    []string      // of all accounts but the one that is refused
	first     datacube.Date // that must be known
	folder    string        // of the files that all members have
	tokens    string        // the URL of the platform's token server
	arrivals  *arrivals
	receiver  *remotewritetest.Receiver
	receiving string // its URL
	members   [members]*member
	// held, if it is not nil, is closed when Weixin may answer others than the first member.
	held chan struct{}
}

// member is an exporter's place in the fleet: what stays when it ends and is started again.
type member struct {
	index    int
	clock    *exportertest.Clock
	skew     time.Duration       // of the clock
	proxy    *postgrestest.Proxy // between the exporter and the database
	front    string              // the URL of the HTTP proxy through which it reaches Weixin
	config   string
	exporter *exporter
}

// newFleet returns a fleet none of whose members has been started. held may be nil.
func newFleet(t *testing.T, random *rand.Rand, pooled bool, held chan struct{}) *fleet {
	t.Helper()
	noon := time.Date(2050, 3, 1, 12, 0, 0, 0, datacube.China)
	f := &fleet{t: t, random: random, clock: exportertest.NewClock(t, noon), receiver: remotewritetest.NewReceiver(), folder: t.TempDir(), held: held}
	f.receiving = f.serve(f.receiver)
	f.startPostgres(pooled)
	f.arrivals = &arrivals{fleet: f}
	f.newWeixin()
	f.writeTokens()
	f.first = f.yesterday() - firstDays + 1
	for i := range f.members {
		f.members[i] = f.newMember(i, noon)
	}
	return f
}

// startPostgres starts PostgreSQL and, if it is wanted, pgbouncer.
func (f *fleet) startPostgres(pooled bool) {
	f.t.Helper()
	var err error
	f.postgres, err = postgrestest.Start(f.t.Context())
	if err == nil {
		f.t.Cleanup(func() {
			if err := f.postgres.Remove(); err != nil {
				f.t.Error(err)
			}
		})
	}
	if err == nil && pooled {
		if f.pooler, err = postgrestest.StartPooler(f.t.Context(), f.postgres); err == nil {
			f.t.Cleanup(func() {
				if err := f.pooler.Remove(); err != nil {
					f.t.Error(err)
				}
			})
		}
	}
	if missing := errors.Is(err, postgrestest.ErrNotInstalled) || errors.Is(err, postgrestest.ErrNoPooler); missing && os.Getenv("E2E_REQUIRED") == "" {
		f.t.Skip(err)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.database = openDatabase(f.t, f.postgres.URL("postgres"))
}

// newWeixin starts the simulated Weixin, whose figures of a day are available as soon as the day is over.
func (f *fleet) newWeixin() {
	o := weixintest.Options{
		Seed: f.random.Uint64(), Now: f.clock.Now, Arrived: f.arrivals.note,
		Ready:     func(_ string, date datacube.Date) time.Time { return date.End() },
		Platforms: []weixintest.Platform{{AppID: platform}},
	}
	for i := range accounts {
		a := weixintest.Account{AppID: fmt.Sprintf("wx%016x", 0xa11ce000+i), CallbacksPerDay: 50 + 40*int64(i)}
		a.AppSecret = "sim-secret-" + a.AppID
		if i < authorizers {
			a.AppSecret, a.Platform = "", platform
		}
		f.appIDs = append(f.appIDs, a.AppID)
		o.Accounts = append(o.Accounts, a)
	}
	const noPermission = 48001
	o.Accounts = append(o.Accounts, weixintest.Account{AppID: refused, AppSecret: "sim-secret-" + refused, Errcode: noPermission})
	f.weixin = weixintest.New(o)
	f.weixin.RotateRefreshTokens(true)
	for _, api := range datacubeAPIs() {
		f.weixin.Inject(weixintest.Fault{API: api.String(), Delay: callTime})
	}
}

// writeTokens writes the refresh tokens that the exporters begin with and the key by which they seal others, and starts
// the token server of the platform.
func (f *fleet) writeTokens() {
	f.t.Helper()
	for _, appID := range f.appIDs[:authorizers] {
		f.write(f.path(appID), f.weixin.RefreshToken(appID)+"\n")
	}
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(f.random.Uint32())
	}
	f.write(f.path("seal"), base64.StdEncoding.EncodeToString(key)+"\n")
	f.tokens = f.serve(f.weixin.TokenServer())
}

// serve starts a server, and returns its URL.
func (f *fleet) serve(handler http.Handler) string {
	f.t.Helper()
	server := httptest.NewServer(handler)
	f.t.Cleanup(server.Close)
	return server.URL
}

func datacubeAPIs() []datacube.API { return []datacube.API{datacube.Daily, datacube.Hourly} }

// skew returns how wrong a clock is.
func (f *fleet) skew() time.Duration { return f.upTo(2*maxSkew) - maxSkew }

// newMember returns a member at the given time. It reaches Weixin through an HTTP proxy of its own, by
// which its calls can be told from those of the others, and the database through another proxy. Its configuration is that
// of the others in all other respects.
func (f *fleet) newMember(index int, now time.Time) *member {
	f.t.Helper()
	var server interface{ Folder() string } = f.postgres
	if f.pooler != nil {
		server = f.pooler
	}
	m := &member{index: index, skew: f.skew(), proxy: postgrestest.NewProxy(f.t, server)}
	m.clock = exportertest.NewClock(f.t, now.Add(m.skew))
	m.front = f.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.held != nil && index != 0 {
			<-f.held
		}
		r.RemoteAddr = net.JoinHostPort(addressOf(index), "1")
		f.weixin.ServeHTTP(w, r)
	}))
	m.config = filepath.Join(f.t.TempDir(), "config.yml")
	f.write(m.config, f.yaml(m))
	return m
}

// yaml returns the configuration of a member.
func (f *fleet) yaml(m *member) string {
	var text strings.Builder
	text.WriteString("accounts:\n")
	for i, appID := range append(f.appIDs, refused) {
		fmt.Fprintf(&text, "  - {name: %q, app_id: %s, ", nameOf(appID), appID)
		if i < authorizers {
			fmt.Fprintf(&text, "token: {type: authorizer, component_app_id: %s, component_access_token: {type: url, url: %q}, refresh_token_file: %q}}\n",
				platform, f.tokens+"/object/component/"+platform, f.path(appID))
		} else {
			fmt.Fprintf(&text, "app_secret: sim-secret-%s}\n", appID)
		}
	}
	fmt.Fprintf(&text, "weixin: {base_url: \"http://weixin.test\", timeout: 1m, requests_per_second: 1000, concurrency: %d, http_config: {proxy_from_environment: true}}\n", concurrency)
	fmt.Fprintf(&text, "refresh: {ready_at: \"00:00\", history: %dd, recheck_after: 0}\n", firstDays)
	fmt.Fprintf(&text, "store: {url: %q, sealing_key_file: %q}\n", m.proxy.URL("postgres"), f.path("seal"))
	fmt.Fprintf(&text, "remote_write: [{url: %q, max_age: 4000d}]\n", f.receiving)
	return text.String()
}

// path returns the path of a file that all members have.
func (f *fleet) path(name string) string { return filepath.Join(f.folder, name) }

func (f *fleet) write(path, text string) {
	f.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// addressOf returns the address from which the simulated Weixin sees the calls of a member, and memberAt the member at
// an address.
func addressOf(index int) string { return fmt.Sprintf("192.0.2.%d", index+1) }

func memberAt(address string) int {
	for index := range members {
		if addressOf(index) == address {
			return index
		}
	}
	return -1
}

// nameOf returns the name of an account.
func nameOf(appID string) string { return "account " + strings.TrimLeft(appID, "wx0") }

// start starts the exporter of a member and waits until it can own slots.
func (f *fleet) start(m *member) {
	f.t.Helper()
	m.exporter = m.serve(f.t)
	eventually(f.t, "the exporter to be known to the others", func() error {
		return f.database.knows(f.t.Context(), m)
	})
}

// yesterday is the latest day whose figures Weixin has.
func (f *fleet) yesterday() datacube.Date { return datacube.DateOf(f.clock.Now()) - 1 }

// days returns the number of days that must be known.
func (f *fleet) days() int { return int(f.yesterday()-f.first) + 1 }

// nextDay lets a day pass. Weixin's comes first: an exporter that asks for a day that is not over asks again much later.
func (f *fleet) nextDay() {
	f.t.Helper()
	const day = 24 * time.Hour
	f.clock.Pass(f.t, day)
	for _, m := range f.members {
		m.clock.Pass(f.t, day)
	}
	f.database.pass(f.t, day)
}

// waitStored waits until all figures that Weixin has are in the database, and returns how long it took.
func (f *fleet) waitStored() time.Duration {
	f.t.Helper()
	began := time.Now()
	want := f.days() * len(f.appIDs) * int(datacube.APIs)
	eventually(f.t, "the figures of all accounts to be stored", func() error {
		got, err := f.database.knownDays(f.t.Context())
		if err == nil && got != want {
			err = fmt.Errorf("%d days of all accounts are known, of %d", got, want)
		}
		return err
	})
	return time.Since(began)
}
