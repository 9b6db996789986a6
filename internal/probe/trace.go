package probe

import (
	"crypto/tls"
	"fmt"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"

	"weixin_exporter/weixin/secret"
)

// mostLog bounds the log of a probe, in bytes.
const mostLog = 16 << 10

// journal is the log of a probe. What it is given is masked.
type journal struct {
	now   func() time.Time
	began time.Time
	// sent has the credentials of the requests, which are masked, too.
	sent secret.Sent

	mu     sync.Mutex
	hidden secret.Masker
	text   strings.Builder
	full   bool
}

// hide adds secrets that are masked from now on.
func (j *journal) hide(texts ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hidden = slices.Clone(j.hidden).Add(texts...)
}

// mask hides the secrets in a text, and keeps it in one line.
func (j *journal) mask(text string) string {
	j.mu.Lock()
	hidden := j.hidden
	j.mu.Unlock()
	return oneLine(slices.Concat(hidden, j.sent.Masker()).Mask(text))
}

func (j *journal) say(format string, values ...any) {
	line := fmt.Sprintf("%9.3fs  %s\n", j.now().Sub(j.began).Seconds(), j.mask(fmt.Sprintf(format, values...)))
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.full:
	case j.text.Len()+len(line) > mostLog:
		j.full = true
		j.text.WriteString("(the rest is left out)\n")
	default:
		j.text.WriteString(line)
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// oneLine keeps what a foreign server said from looking like more lines of the log.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// timeline notes when the parts of one request began and ended. Its hooks may be called from several goroutines,
// and after the request is over.
type timeline struct {
	journal *journal

	mu    sync.Mutex
	begun [Phases]time.Time
	spent [Phases]time.Duration
	phase Phase
	tls   *tls.ConnectionState
	over  bool
}

// begin notes that a phase begins. Of addresses that are tried at the same time, the first counts.
func (t *timeline) begin(p Phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || p < t.phase {
		return
	}
	t.phase = p
	if t.begun[p].IsZero() {
		t.begun[p] = t.journal.now()
	}
}

// end notes that a phase is over.
func (t *timeline) end(p Phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over && !t.begun[p].IsZero() {
		t.spent[p] = t.journal.now().Sub(t.begun[p])
	}
}

// finish ends the phase that is going on, and takes no more notes. It returns the time of each phase, the last one
// and the state of TLS.
func (t *timeline) finish() ([Phases]time.Duration, Phase, *tls.ConnectionState) {
	t.end(t.current())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	return t.spent, t.phase, t.tls
}

func (t *timeline) current() Phase {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phase
}

// hooks return what tells the timeline of a request.
func (t *timeline) hooks() *httptrace.ClientTrace {
	j := t.journal
	return &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) {
			t.begin(Resolve)
			j.say("resolving %s", i.Host)
		},
		DNSDone: func(i httptrace.DNSDoneInfo) {
			t.end(Resolve)
			if i.Err != nil {
				j.say("not resolved: %v", i.Err)
				return
			}
			j.say("resolved to %v", i.Addrs)
		},
		ConnectStart: func(_, address string) {
			t.begin(Connecting)
			j.say("connecting to %s", address)
		},
		ConnectDone: func(_, address string, err error) {
			t.end(Connecting)
			if err != nil {
				j.say("not connected to %s: %v", address, err)
				return
			}
			j.say("connected to %s", address)
		},
		TLSHandshakeStart: func() {
			t.begin(Handshake)
			j.say("TLS handshake begins")
		},
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			t.end(Handshake)
			if err != nil {
				j.say("TLS handshake failed: %v", err)
				return
			}
			t.mu.Lock()
			t.tls = &s
			t.mu.Unlock()
			j.say("%s, %s", tls.VersionName(s.Version), describe(s.PeerCertificates))
		},
		WroteHeaderField: j.sent.Add,
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if i.Err != nil {
				j.say("the request was not sent: %v", i.Err)
				return
			}
			t.begin(Processing)
			j.say("request sent")
		},
		GotFirstResponseByte: func() {
			t.end(Processing)
			t.begin(Transfer)
			j.say("the answer begins")
		},
	}
}
