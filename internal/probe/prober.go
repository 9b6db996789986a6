package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/redirect"
	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
)

const (
	// Longest is how long Weixin waits for an answer.
	Longest = 5 * time.Second
	// mostBody bounds what is read of an answer. A message has a few KiB at most.
	mostBody = 64 << 10
	// mostProbes bounds the probes that run at a time: ten thousand accounts that are asked once a minute, none of
	// which answers, are 833. mostOfOne bounds those of one account, so that the exporter cannot be used to
	// flood a server.
	mostProbes = 1000
	mostOfOne  = 4
)

var (
	// ErrUnknown means that there is no account of that name.
	ErrUnknown = errors.New("there is no account of this name")
	// ErrNotConfigured means that the account has no callback.
	ErrNotConfigured = errors.New("this account has no callback.url: set callback with url and token or token_file in its configuration")
	// ErrBusy means that too many probes are running.
	ErrBusy = errors.New("too many probes are running; try again later")
)

// Options are what a Prober is made of.
type Options struct {
	// Now is the clock. Required.
	Now func() time.Time
	// UserAgent is sent with each request, so that logs distinguish probes from Weixin's requests.
	UserAgent string
	// Resolver resolves the names of hosts; nil is the system's.
	Resolver *net.Resolver
}

// Account is an account by its name, with its target; nil where none is configured.
type Account struct {
	Name   string
	Target *Target
}

// Prober probes the callbacks of accounts, and remembers what it found. It is safe for concurrent use.
type Prober struct {
	options Options
	turns   chan struct{}
	history history

	mu      sync.Mutex
	names   []string // of the accounts that have a target, in their order
	members map[string]*member
	running map[string]chan struct{} // by account, also of removed ones whose probes still run
	latest  map[string]Result        // without the log
}

// New returns a Prober that has no account yet.
func New(o Options) *Prober {
	return &Prober{options: o, turns: make(chan struct{}, mostProbes), running: map[string]chan struct{}{}, latest: map[string]Result{}}
}

// ApplyConfig makes these the accounts that are probed. Probes that run go on, and count as before. What is known of accounts
// that are still there stays.
func (p *Prober) ApplyConfig(accounts []Account) {
	shared := &clients{options: &p.options, plain: map[bool]*http.Client{}}
	members, latest := make(map[string]*member, len(accounts)), map[string]Result{}
	var names []string
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range accounts {
		m := &member{Target: a.Target, clients: shared}
		members[a.Name] = m
		if a.Target == nil {
			continue
		}
		if p.running[a.Name] == nil {
			p.running[a.Name] = make(chan struct{}, mostOfOne)
		}
		m.running = p.running[a.Name]
		names = append(names, a.Name)
		if r, ok := p.latest[a.Name]; ok {
			latest[a.Name] = r
		}
	}
	maps.DeleteFunc(p.running, func(name string, running chan struct{}) bool {
		m := members[name]
		return (m == nil || m.Target == nil) && len(running) == 0
	})
	p.names, p.members, p.latest = names, members, latest
}

// Names returns the accounts that can be probed, in the order of the configuration.
func (p *Prober) Names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.names
}

// Latest returns the latest result of an account, without its log; false where it was not probed.
func (p *Prober) Latest(account string) (Result, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.latest[account]
	return r, ok
}

// Probe probes an account within the limit, and remembers the result. An error says why there was no probe:
// ErrUnknown, ErrNotConfigured, ErrBusy, what is wrong with the exporter's own files, or the end of ctx. It
// says nothing of the server.
func (p *Prober) Probe(ctx context.Context, account string, limit time.Duration) (Result, error) {
	p.mu.Lock()
	m := p.members[account]
	p.mu.Unlock()
	switch {
	case m == nil:
		return Result{}, ErrUnknown
	case m.Target == nil:
		return Result{}, ErrNotConfigured
	case !m.enter():
		return Result{}, ErrBusy
	}
	defer m.leave()
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	default:
		return Result{}, ErrBusy
	}
	crypt, err := m.crypt()
	if err != nil {
		return Result{}, err
	}
	client, err := m.http()
	if err != nil {
		return Result{}, fmt.Errorf("callback.http_config: %w", err)
	}
	r, err := newRun(p.options.Now, m.Target, crypt, client, limit)
	if err != nil {
		return Result{}, err
	}
	result := r.do(ctx)
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("the probe was broken off: %w", ctx.Err())
	}
	result.Account = account
	return p.remember(m, result), nil
}

// remember gives the result its number and keeps it, unless the configuration has changed since.
func (p *Prober) remember(m *member, r Result) Result {
	r = p.history.add(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.members[r.Account] == m && p.latest[r.Account].ID < r.ID {
		short := r
		short.Log = ""
		p.latest[r.Account] = short
	}
	return r
}

// run is one probe.
type run struct {
	target *Target
	url    *url.URL
	crypt  callback.Crypt
	client *http.Client
	limit  time.Duration
	log    *journal
	result Result
}

func newRun(now func() time.Time, t *Target, crypt callback.Crypt, client *http.Client, limit time.Duration) (*run, error) {
	u, err := t.URL.Parse()
	if err != nil {
		return nil, fmt.Errorf("callback.url: %w", err)
	}
	began := now()
	var hidden secret.Masker
	if t.URL.Endpoint() != t.URL.Reveal() {
		hidden = t.URL.Masker() // it has a secret part
	}
	hidden = append(hidden, crypt.Token, crypt.Key.Text())
	return &run{
		target: t, url: u, crypt: crypt, client: client, limit: limit,
		log: &journal{now: now, began: began, hidden: hidden}, result: Result{At: began},
	}, nil
}

// do verifies the URL and posts the message, if there is one.
func (r *run) do(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	failed := r.verify(ctx)
	if failed == nil && r.target.Message != nil {
		failed = r.post(ctx)
	}
	if failed != nil {
		r.result.Reason = failed.reason
		r.found(masked(failed.text, r.log.mask))
		r.log.say("failed (%s): %s", failed.reason, failed.text)
	} else {
		r.log.say("succeeded: %s", r.result.Text)
	}
	r.result.Duration = r.log.now().Sub(r.result.At)
	r.result.Log = r.log.String()
	return r.result
}

// found sets what the probe found.
func (r *run) found(m i18n.Message) { r.result.Found, r.result.Text = m, m.String() }

func (r *run) stamp() callback.Stamp {
	return callback.Stamp{Time: r.log.now(), Nonce: callback.NonceOf(uint32(random()))}
}

// verify does what Weixin does when the URL is saved.
func (r *run) verify(ctx context.Context) *failure {
	if !r.target.AllowMetadata {
		if err := refused(r.url.Hostname()); err != nil {
			return &failure{Address, err.message()}
		}
	}
	echo := strconv.FormatUint(random(), 10)
	r.log.say("verifying %s with an echo of %d digits, within %s", r.target.URL, len(echo), min(r.limit, Longest))
	a := r.exchange(ctx, http.MethodGet, callback.Verification(r.crypt.Token, r.stamp(), echo), nil)
	r.result.Phases = a.phases
	r.result.Status, r.result.HTTPVersion = a.status, a.version
	r.result.CertificateExpiry = earliest(certificates(a.tls, a.err))
	if a.tls != nil {
		r.result.TLSVersion = tls.VersionName(a.tls.Version)
	}
	if a.failed != nil {
		return a.failed
	}
	if failed := judgeEcho(a, echo); failed != nil {
		return failed
	}
	r.found(i18n.M("found.echo"))
	return nil
}

// post delivers the message, and reads the answer as Weixin does.
func (r *run) post(ctx context.Context) *failure {
	message := r.target.Message.message()
	query, body, err := r.crypt.Post(message, r.stamp(), r.randomBytes())
	if err != nil {
		return &failure{Reply, i18n.M("found.not_made", err)}
	}
	kind := "the test text of third-party platforms"
	if message.Event != "" {
		kind = "an event of type " + message.Event
	}
	r.log.say("posting %s to %s in %s mode, within %s", kind, message.To, r.crypt.Mode, min(r.limit, Longest))
	began := r.log.now()
	a := r.exchange(ctx, http.MethodPost, query, body)
	r.result.Message = max(r.log.now().Sub(began), 1)
	if a.failed != nil {
		return a.failed
	}
	if a.status != http.StatusOK {
		r.result.Status = a.status
		return &failure{Status, i18n.M("found.message.status", strconv.Itoa(a.status), a.excerpt())}
	}
	reply, err := r.crypt.Reply(a.body)
	switch {
	case a.tooLong:
		return &failure{Reply, i18n.M("found.message.long", mostBody>>10)}
	case err != nil:
		return &failure{Reply, i18n.M("found.message.refused", err, a.excerpt())}
	case message.Event == "" && reply.Content != callback.TestReply:
		return &failure{Reply, i18n.M("found.message.text", callback.TestReply)}
	}
	r.found(i18n.M("found.message"))
	return nil
}

func (r *run) randomBytes() [16]byte {
	// Letters and digits, as Weixin itself has them.
	return [16]byte([]byte(fmt.Sprintf("%016x", random())))
}

// answer is what came back of one request.
type answer struct {
	status  int
	version float64
	body    []byte
	tooLong bool
	phases  [Phases]time.Duration
	tls     *tls.ConnectionState
	err     error
	failed  *failure // what err means
	mask    func(string) string
}

// excerpt shows the begin of the body.
func (a answer) excerpt() i18n.Message {
	if len(a.body) == 0 {
		return i18n.M("found.body.empty")
	}
	const most = 120
	text := a.mask(string(a.body))
	if len(text) > most {
		return i18n.M("found.body.begins", fmt.Sprintf("%.*q", most, text))
	}
	return i18n.M("found.body", strconv.Quote(text))
}

// exchange sends one request and reads its answer, within the time that Weixin waits. The query holds signatures,
// which from then on are hidden.
func (r *run) exchange(ctx context.Context, method string, query url.Values, body []byte) answer {
	r.log.hide(query.Get("signature"), query.Get("msg_signature"))
	limit := min(r.limit-r.log.now().Sub(r.result.At), Longest)
	limited, cancel := context.WithTimeout(ctx, Longest)
	defer cancel()
	t := &timeline{journal: r.log}
	a := answer{mask: r.log.mask}
	a.err = r.send(httptrace.WithClientTrace(limited, t.hooks()), &a, method, query, body)
	var phase Phase
	a.phases, phase, a.tls = t.finish()
	if a.err != nil {
		a.failed = transportFailure(a.err, phase, limit)
		if refusal, ok := redirect.As(a.err); ok {
			a.status = refusal.Status
		}
	} else {
		r.log.say("HTTP status %d, a body of %d bytes; %s", a.status, len(a.body), a.excerpt())
	}
	return a
}

func (r *run) send(ctx context.Context, a *answer, method string, query url.Values, body []byte) error {
	address := *r.url
	if address.RawQuery != "" {
		address.RawQuery += "&"
	}
	address.RawQuery += query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body)) //nolint:gosec // the URL is that of the configuration
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "text/xml")
	}
	response, err := r.client.Do(request) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	a.status = response.StatusCode
	a.version = float64(response.ProtoMajor) + float64(response.ProtoMinor)/10
	a.body, err = io.ReadAll(io.LimitReader(response.Body, mostBody+1))
	a.tooLong = len(a.body) > mostBody
	return err
}
