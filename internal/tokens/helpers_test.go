package tokens_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/seal"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/tokens"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

const (
	theAppID    = "wx0123456789abcdef"
	theSecret   = "sim-secret-0123456789abcdef"
	thePlatform = "wx5f9b72855c43096f"
)

// world is a simulated Weixin, a database, and what has been exchanged.
type world struct {
	*weixintest.Server

	clock    *weixintest.Clock
	database string
	url      string
	folder   string

	mu sync.Mutex
	// exchanged counts the successful exchanges of each refresh token.
	exchanged map[string]int
	// afterExchange is called after an exchange, before the response arrives; may be nil.
	afterExchange func()
}

func newWorld(t *testing.T, pooled bool) *world {
	t.Helper()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	clock := weixintest.NewClock(time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC))
	w := &world{
		Server: weixintest.New(weixintest.Options{
			Now: clock.Now, Platforms: []weixintest.Platform{{AppID: thePlatform}},
			Accounts: []weixintest.Account{{AppID: theAppID, AppSecret: theSecret, Platform: thePlatform, CallbacksPerDay: 100}},
		}),
		clock: clock, database: server.Create(t, template), folder: t.TempDir(), exchanged: map[string]int{},
	}
	w.RotateRefreshTokens(true)
	w.url = server.URL(w.database)
	if pooled {
		pooler, err := postgrestest.StartPooler(t.Context(), server)
		if errors.Is(err, postgrestest.ErrNoPooler) && os.Getenv("E2E_REQUIRED") == "" {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pooler.Remove() })
		w.url = pooler.URL(w.database)
	}
	return w
}

// eachWay runs a test with a connection to the server, and through pgbouncer.
func eachWay(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for name, pooled := range map[string]bool{"direct": false, "pooled": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, newWorld(t, pooled)) })
	}
}

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/cgi-bin/component/api_authorizer_token" {
		return w.Transport().RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer, err := w.Transport().RoundTrip(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	var request, response map[string]any
	if err := errors.Join(json.Unmarshal(body, &request), json.Unmarshal(text, &response)); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if response["authorizer_refresh_token"] != nil {
		w.exchanged[request["authorizer_refresh_token"].(string)]++
		if w.afterExchange != nil {
			w.afterExchange()
		}
	}
	return answer, nil
}

// exchanges returns the number of exchanges, and how often the same refresh token was exchanged at most.
func (w *world) exchanges() (all, same int) { //nolint:nonamedreturns // two numbers need names
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.exchanged {
		all, same = all+n, max(same, n)
	}
	return all, same
}

// onExchange sets what happens after an exchange, before the response arrives.
func (w *world) onExchange(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.afterExchange = do
}

// file writes a file of its own and returns its path.
func (w *world) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(w.folder, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyText returns a key whose bytes are all the same.
func keyText(digits string) string { return strings.Repeat(digits, 32) + "\n" }

func (w *world) keys(t *testing.T, content string) *seal.Keys {
	t.Helper()
	k, err := seal.ReadFile(w.file(t, "keys", content))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// faulty is a store that can be cut off.
type faulty struct {
	store.Tokens

	cut atomic.Bool
	// lost is true if the answers to locking do not arrive, and broken is how many attempts to unlock fail.
	lost   atomic.Bool
	broken atomic.Int32
}

var errCut = errors.New("cut off from the store")

func (f *faulty) LoadToken(ctx context.Context, key store.TokenKey) (store.SealedToken, error) {
	if f.cut.Load() {
		return store.SealedToken{}, errCut
	}
	return f.Tokens.LoadToken(ctx, key)
}

func (f *faulty) ReplaceToken(ctx context.Context, key store.TokenKey, revision int64, sealed []byte, life time.Duration) (bool, error) {
	if f.cut.Load() {
		return false, errCut
	}
	return f.Tokens.ReplaceToken(ctx, key, revision, sealed, life)
}

func (f *faulty) LockToken(ctx context.Context, key store.TokenKey, owner string, life time.Duration) (store.Lasts, error) {
	if f.cut.Load() {
		return nil, errCut
	}
	lasts, err := f.Tokens.LockToken(ctx, key, owner, life)
	if f.lost.Load() {
		return nil, errCut
	}
	return lasts, err
}

func (f *faulty) UnlockToken(ctx context.Context, key store.TokenKey, owner string) error {
	if f.cut.Load() || f.broken.Add(-1) >= 0 {
		return errCut
	}
	return f.Tokens.UnlockToken(ctx, key, owner)
}

// process is a process that calls for the account.
type process struct {
	*tokens.Keeper

	store   *faulty
	refresh weixin.RefreshTokenStore
	// source exchanges the refresh token with each Fetch.
	source weixin.TokenSource
	// account keeps its access token in the store.
	account *weixin.Account
	// plain is the same for an account without a platform.
	plain *weixin.Account

	mu       sync.Mutex
	reported []error
}

// start returns a process with these keys, whose file of the refresh token is at a path.
func (w *world) start(t *testing.T, keys, seed string) *process {
	t.Helper()
	return w.startOn(t, w.open(t, postgres.Options{}), keys, seed)
}

// open opens the store for a process.
func (w *world) open(t *testing.T, o postgres.Options) *postgres.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), secret.NewURL(w.url), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// startOn is start for a process with an open store.
func (w *world) startOn(t *testing.T, db store.Tokens, keys, seed string) *process {
	t.Helper()
	p := &process{store: &faulty{Tokens: db}}
	p.Keeper = tokens.New(tokens.Options{Store: p.store, Keys: w.keys(t, keys), State: tokens.NewState(func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reported = append(p.reported, err)
	})})
	client := weixin.NewClient(weixin.Options{
		BaseURL: "https://api.weixin.qq.com", HTTPClient: &http.Client{Transport: w}, Timeout: time.Minute, Now: w.clock.Now,
	})
	p.refresh = p.Refresh(theAppID, seed)
	authorizer := func() weixin.TokenSource {
		return client.AuthorizerToken(weixin.AuthorizerOptions{
			ComponentAppID: thePlatform, AppID: theAppID, Component: componentToken{w}, RefreshToken: p.refresh,
		})
	}
	p.source = authorizer()
	p.account = client.Account(client.KeptToken(authorizer(), p.Access(theAppID, secret.New("platform"))))
	legacy := client.LegacyToken(weixin.Credentials{AppID: theAppID, AppSecret: secret.New(theSecret)})
	p.plain = client.Account(client.KeptToken(legacy, p.Access(theAppID, secret.New(theSecret))))
	return p
}

// reports returns what was reported so far.
func (p *process) reports() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reported
}

type componentToken struct{ w *world }

func (c componentToken) Fetch(context.Context) (weixin.AccessToken, error) {
	return weixin.AccessToken{Text: secret.New(c.w.ComponentToken(thePlatform))}, nil
}

// call makes a call of an account.
func call(t *testing.T, account *weixin.Account) error {
	t.Helper()
	day := datacube.DateOf(time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC))
	_, err := account.InterfaceSummary(t.Context(), day, day)
	return err
}

func mustCall(t *testing.T, accounts ...*weixin.Account) {
	t.Helper()
	for i, account := range accounts {
		if err := call(t, account); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// stored returns the refresh token in the store, as another process sees it.
func (w *world) stored(t *testing.T, keys string) string {
	t.Helper()
	token, err := w.start(t, keys, filepath.Join(w.folder, "none")).refresh.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

// run runs statements in the database.
func (w *world) run(t *testing.T, statements ...string) {
	t.Helper()
	if err := server.Execute(t.Context(), w.database, statements...); err != nil {
		t.Fatal(err)
	}
}

// dump returns every text and every binary value in the database as it is.
func (w *world) dump(t *testing.T) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL(w.database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	query := func(text string) []string {
		rows, err := conn.Query(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	var all []string
	for _, statement := range query(`SELECT format('SELECT coalesce(%s, '''') FROM %I.%I',
		CASE data_type WHEN 'bytea' THEN format('encode(%I, ''escape'')', column_name) ELSE format('%I::text', column_name) END, table_schema, table_name)
		FROM information_schema.columns WHERE table_schema = 'weixin_exporter' AND data_type IN ('bytea', 'text', 'ARRAY', 'jsonb')`) {
		all = append(all, query(statement)...)
	}
	return strings.Join(all, "\n")
}
