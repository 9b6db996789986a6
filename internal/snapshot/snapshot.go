// Package snapshot holds what is shown to the outside: one immutable value that the
// refresher builds and that scrapes and pages read. It knows neither Prometheus nor HTTP,
// so that whoever renders it does not depend on who else does.
package snapshot

import (
	"sync/atomic"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// Snapshot is the state of all accounts at one instant. Nothing in it changes once it is
// published.
type Snapshot struct {
	// Accounts are all configured accounts, in the order of their names.
	Accounts []*Account
	// Store is what is wrong with the store; nil while it can be written.
	Store *Problem
	// StoreFailures counts failed accesses to the store by StoreReasons.
	StoreFailures map[string]int64
}

// StoreReasons are the reasons for which an access to the store fails.
func StoreReasons() []string {
	return []string{"damaged", "full", "io", "locked", "other", "read_only"}
}

// Account is what is known of one account and of the attempts to learn it.
type Account struct {
	Name  string
	AppID string
	// Daily and Hourly are the latest known days; nil until there is one.
	Daily  *datacube.Day
	Hourly *datacube.HourlyDay
	// Inconsistent is the number of days that are kept filled on which the two calls contradict each
	// other.
	Inconsistent int64
	// Work is indexed by datacube.API.
	Work [datacube.APIs]Work
}

// Work describes the exporter's own attempts with one call for one account. What is counted
// is counted since the exporter started or the account was configured.
type Work struct {
	// Succeeded says how the last attempt ended, before a restart an answer that was stored;
	// false before the first one.
	Succeeded bool
	// LastSuccess is when an attempt last succeeded; zero if none has.
	LastSuccess time.Time
	// Failures counts failed attempts, indexed by Reason.
	Failures [Reasons]int64
	// Rejected counts rows of answers that were left out, indexed by weixin.Rejection.
	Rejected [weixin.Rejections]int64
	// PlainHours counts rows whose ref_hour was an hour instead of a hundredfold hour.
	PlainHours int64
	// Reformatted counts rows whose numbers were strings, or had a fraction of zeros or an exponent.
	Reformatted int64
	// Revisions counts stored days that came back with other figures.
	Revisions int64
	// Vanished counts answers without rows for known days that had traffic.
	Vanished int64
	// Damaged is the number of days still asked for of which the latest answer could not be understood,
	// and LatestDamaged the latest of them.
	Damaged       int64
	LatestDamaged datacube.Date
	// Days is the number of days known.
	Days int64
	// NotThere says that Weixin did not have the latest day yet when it was asked for it last.
	NotThere bool
	// Unstored says that the answer to the last attempt is shown and could not be stored.
	Unstored bool
	// Quota is the call's quota as last asked for; nil if it is not known.
	Quota *weixin.CallQuota
	// Problem is what is wrong now; nil if the last attempt succeeded or none was made.
	Problem *Problem
}

// Reason says why an attempt failed.
type Reason = weixin.Reason

const (
	// StoreFault is an answer that could not be kept.
	StoreFault = weixin.StoreFault
	// InvalidRows is an answer with rows that could not be understood.
	InvalidRows = weixin.InvalidRows
	// Reasons is their number, for arrays indexed by Reason.
	Reasons = weixin.Reasons
)

// Problem is a failed attempt in words for people. It holds no secret and no token.
type Problem struct {
	Since  time.Time // when the attempts began to fail
	At     time.Time // when the last attempt failed
	Text   string    // what failed and why
	Advice string    // what to do about it
	Next   time.Time // when it is tried again, unless the configuration is reloaded before
	// Cause is the same for all accounts and calls that fail for the same cause.
	Cause Cause
	// NeedsAction says that it does not pass by itself.
	NeedsAction bool
	// OutlastsReload says that a reload of the configuration does not end the wait either.
	OutlastsReload bool
}

// Cause identifies what makes attempts fail, by what the error says in its fields.
type Cause struct {
	Reason Reason `json:"reason"`
	// Code is Weixin's errcode; 0 where the fault lies below it, and then Kind says of which kind.
	Code int    `json:"code,omitempty"`
	Kind string `json:"kind,omitempty"`
	// Source is the file or the server that a token comes from, where the fault lies there.
	Source string `json:"source,omitempty"`
	// Address is the address that Weixin saw and refused.
	Address string `json:"address,omitempty"`
}

// State says in a word how an account is.
type State uint8

const (
	// OK is an account whose latest days are known.
	OK State = iota
	// Waiting is one whose last attempts succeeded, but for whose latest day Weixin has no figures yet.
	Waiting
	// Pending is one that was not asked for yet.
	Pending
	// Failing is one whose last attempt failed for what passes by itself.
	Failing
	// NeedsAction is one whose last attempt failed for what does not.
	NeedsAction
	// States is their number.
	States
)

// String returns the state as it stands in the label "state".
func (s State) String() string {
	return [...]string{"ok", "waiting", "pending", "failing", "needs_action"}[s]
}

// State returns how the account is: the worst of what its two calls say.
func (a *Account) State() State {
	state := OK
	for api := range a.Work {
		state = max(state, a.Work[api].state())
	}
	return state
}

func (w *Work) state() State {
	switch {
	case w.Problem != nil && w.Problem.NeedsAction:
		return NeedsAction
	case w.Problem != nil:
		return Failing
	case w.LastSuccess.IsZero():
		return Pending
	case w.NotThere:
		return Waiting
	default:
		return OK
	}
}

// Latest holds the snapshot published last. Publishing and loading never wait.
type Latest struct {
	snapshot atomic.Pointer[Snapshot]
}

// NewLatest returns a Latest without a snapshot.
func NewLatest() *Latest { return &Latest{} }

// Publish replaces the snapshot in one step. The caller must not change s afterwards.
func (l *Latest) Publish(s *Snapshot) { l.snapshot.Store(s) }

// Load returns the snapshot published last, or nil before the first one. The caller must not
// change it.
func (l *Latest) Load() *Snapshot { return l.snapshot.Load() }
