package remotewrite

import (
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/history"
	"weixin_exporter/summary"
)

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

// logRefused logs the samples that were given up, in one line for each reason.
func (s *sender) logRefused(refused []refusal) {
	for reason := range Reasons {
		var found summaryOf
		text := ""
		for _, r := range refused {
			if r.reason == reason {
				found.add(r.sample)
				text = r.text
			}
		}
		if found.samples == 0 {
			continue
		}
		level.Warn(s.logger).Log("msg", "samples were given up: the endpoint refuses them", "reason", reason, "samples", found.samples,
			"accounts", found.names(), "from", found.first, "until", found.last, "answer", text, "to_do", reason.advice())
	}
}

// summaryOf tells of many samples in few words.
type summaryOf struct {
	samples     int
	accounts    []string
	first, last summary.Date
}

func (f *summaryOf) add(s Sample) {
	// A sample's time is the end of what it describes.
	date := summary.DateOf(time.UnixMilli(s.Time - 1))
	if f.samples == 0 || date < f.first {
		f.first = date
	}
	if f.samples == 0 || date > f.last {
		f.last = date
	}
	f.samples++
	for _, l := range s.Series.Labels {
		if l.Name == history.AccountLabel && !slices.Contains(f.accounts, l.Value) {
			f.accounts = append(f.accounts, l.Value)
		}
	}
}

// names returns the accounts, or a few of many.
func (f *summaryOf) names() string { return few(f.accounts) }

func few(names []string) string {
	const most = 5
	slices.Sort(names)
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func (s *sender) logTooOld(p *page) {
	if p.tooOld == 0 {
		return
	}
	var names []string
	for i := range p.dues {
		if p.dues[i].TooOld != [summary.APIs]int64{} {
			names = append(names, s.endpoint.Accounts[p.dues[i].AppID])
		}
	}
	level.Info(s.logger).Log("msg", "samples are not sent: they are older than max_age", "samples", p.tooOld, "accounts", few(names))
}
