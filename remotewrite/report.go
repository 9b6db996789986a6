package remotewrite

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/history"
	"weixin_exporter/summary"
)

// logEvery is how long samples that are given up are gathered into one line.
const logEvery = time.Minute

// repeatAfter is how long the same trouble is not logged again.
const repeatAfter = time.Hour

// trouble is what keeps an endpoint from being sent to.
type trouble struct {
	since, logged time.Time
	verdict       Verdict
}

// logTrouble logs what is wrong when it begins or becomes another kind of fault, and once an hour.
func (s *sender) logTrouble(answer Answer, wait time.Duration) {
	now := s.now()
	t := &s.trouble
	if t.since.IsZero() {
		t.since = now
	} else if answer.Verdict == t.verdict && now.Sub(t.logged) < repeatAfter {
		level.Debug(s.logger).Log("msg", "remote write still waits", "answer", answer.Text, "next", wait)
		return
	}
	t.logged, t.verdict = now, answer.Verdict
	line := level.Warn(s.logger)
	to := "nothing: samples wait in the store until the endpoint can be reached"
	if answer.Verdict == Unusable {
		line = level.Error(s.logger)
		to = "check the endpoint's url, authentication and headers under remote_write, and that its receiver is enabled; samples wait in the store"
	}
	line.Log("msg", "remote write does not get through", "answer", answer.Text, "to_do", to, "next", wait, "since", t.since.UTC().Format(time.RFC3339))
}

func (s *sender) logRecovered() {
	if s.trouble.since.IsZero() {
		return
	}
	level.Info(s.logger).Log("msg", "remote write gets through again", "after", s.now().Sub(s.trouble.since).Round(time.Second))
	s.trouble = trouble{}
}

// advice says what to do about samples that are refused.
func (r Reason) advice() string {
	switch r {
	case TooOld, OutOfOrder:
		return "give the receiver an out-of-order window longer than max_age"
	case Duplicate:
		return "nothing: the receiver keeps the first value of a day that was revised"
	default:
		return "see what the receiver answered"
	}
}

// losses are samples that were given up and not yet logged.
type losses struct {
	since    time.Time // when the first of them was given up
	byReason [Reasons]loss
}

// loss is what is told of the samples given up for one reason.
type loss struct {
	samples     int64
	accounts    map[string]bool
	first, last summary.Date
	text        string // what the receiver answered last
}

// refuse notes a sample that the receiver refuses.
func (l *losses) refuse(r refusal) {
	found := &l.byReason[r.reason]
	// A sample's time is the end of what it describes.
	date := summary.DateOf(time.UnixMilli(r.sample.Time - 1))
	if found.samples == 0 || date < found.first {
		found.first = date
	}
	found.last = max(found.last, date)
	for _, label := range r.sample.Series.Labels {
		if label.Name == history.AccountLabel {
			found.add(1, label.Value)
		}
	}
	found.text = r.text
}

func (l *loss) add(samples int64, account string) {
	l.samples += samples
	if l.accounts == nil {
		l.accounts = make(map[string]bool)
	}
	l.accounts[account] = true
}

// logLosses logs them, in one line for each reason, and forgets them.
func (s *sender) logLosses() {
	for reason := range Reasons {
		l := &s.losses.byReason[reason]
		switch {
		case l.samples == 0:
		case reason == MaxAge:
			level.Info(s.logger).Log("msg", "samples were not sent: they are older than max_age", "samples", l.samples, "accounts", few(l.accounts))
		default:
			level.Warn(s.logger).Log("msg", "samples were given up: the endpoint refuses them", "reason", reason, "samples", l.samples,
				"accounts", few(l.accounts), "from", l.first, "until", l.last, "answer", l.text, "to_do", reason.advice())
		}
	}
	s.losses = losses{}
}

// few returns names, or some of many.
func few(names map[string]bool) string {
	const most = 5
	sorted := slices.Sorted(maps.Keys(names))
	if len(sorted) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(sorted[:most], ", "), len(sorted)-most)
	}
	return strings.Join(sorted, ", ")
}
