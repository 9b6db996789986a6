package remotewrite

import (
	"maps"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/text"
	"weixin_exporter/weixin/datacube"
)

// logInterval is how long samples that are given up are collected for one log line.
const logInterval = time.Minute

// advice says what to do about samples that are refused.
func (r Reason) advice() string {
	switch r {
	case TooOld, OutOfOrder:
		return "give the receiver an out-of-order window longer than max_age"
	case Duplicate:
		return "nothing: the receiver keeps the first value of a day that was revised"
	default:
		return "see the receiver's response"
	}
}

// losses are samples that were given up and not logged yet.
type losses struct {
	since    time.Time // when the first of them was given up
	byReason [Reasons]loss
}

// loss describes the samples that were given up for one reason.
type loss struct {
	samples     int64
	accounts    map[string]bool
	first, last datacube.Date
	text        string // the receiver's last response
}

// refuse adds a sample that the receiver refused.
func (l *losses) refuse(r Refusal) {
	found := &l.byReason[r.Reason]
	// The time of a sample is the end of its hour or day.
	date := datacube.DateOf(time.UnixMilli(r.Sample.Time - 1))
	if found.samples == 0 || date < found.first {
		found.first = date
	}
	found.last = max(found.last, date)
	for _, label := range r.Sample.Series.Labels {
		if label.Name == history.AccountLabel {
			found.add(1, label.Value)
		}
	}
	found.text = r.Text
}

func (l *loss) add(samples int64, account string) {
	l.samples += samples
	if l.accounts == nil {
		l.accounts = make(map[string]bool)
	}
	l.accounts[account] = true
}

// names returns the accounts, or some of many.
func (l *loss) names() string { return text.List(slices.Sorted(maps.Keys(l.accounts))) }

// logLosses logs the losses, in one line for each reason, and resets them.
func (s *sender) logLosses() {
	for reason := range Reasons {
		l := &s.losses.byReason[reason]
		switch {
		case l.samples == 0:
		case reason == MaxAge:
			level.Info(s.logger).Log("msg", "samples were not sent: they are older than max_age", "samples", l.samples, "accounts", l.names())
		default:
			level.Warn(s.logger).Log("msg", "samples were given up: the endpoint refuses them", "reason", reason, "samples", l.samples,
				"accounts", l.names(), "from", l.first, "until", l.last, "response", l.text, "advice", reason.advice())
		}
	}
	s.losses = losses{}
}
