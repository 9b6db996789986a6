// Package snapshot defines what the exporter shows: an immutable value that the refresher builds and that metrics and pages
// read. It does not depend on Prometheus or HTTP.
package snapshot

import (
	"sync/atomic"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// Snapshot is the state of all accounts at one time. It must not be changed once it is published.
type Snapshot struct {
	// Accounts are all configured accounts, sorted by name.
	Accounts []*Account
	// Generation changes with the configured accounts: two snapshots of one generation have the same accounts, by
	// name and app id, in the same order. Nothing can be inferred from two snapshots of generation 0.
	Generation uint64
	// Store is the problem with the store; nil if it can be written.
	Store *Problem
	// StoreFailures counts failed accesses to the store, by StoreReasons.
	StoreFailures map[string]int64
}

// StoreReasons returns the reasons why an access to the store can fail.
func StoreReasons() []string {
	return []string{"damaged", "full", "io", "locked", "other", "read_only", "unreachable"}
}

// Account is what is known about an account.
type Account struct {
	Name  string
	AppID string
	// Daily and Hourly are the latest known days; nil if there is none.
	Daily  *datacube.Day
	Hourly *datacube.HourlyDay
	// Inconsistent is the number of days within the history on which the two calls contradict each other.
	Inconsistent int64
	// Work is indexed by datacube.API.
	Work [datacube.APIs]Work
}

// Work describes the attempts of one call of an account. Counts start when the exporter starts or the account is configured.
type Work struct {
	// Succeeded says whether the last attempt succeeded, that is, its answer was understood and stored; false before the first
	// one. After a restart, the last stored answer counts as the last attempt.
	Succeeded bool
	// LastSuccess is when the answer of the last successful attempt arrived; zero if there was none.
	LastSuccess time.Time
	// Failures counts failed attempts, indexed by Reason.
	Failures [Reasons]int64
	// Rejected counts skipped rows, indexed by weixin.Rejection.
	Rejected [weixin.Rejections]int64
	// PlainHours counts rows with the hour as ref_hour instead of 100 times the hour.
	PlainHours int64
	// Reformatted counts rows with numbers as strings, with a zero fraction or with an exponent.
	Reformatted int64
	// Revisions counts known days that came back with other figures.
	Revisions int64
	// Vanished counts answers without rows for known days with traffic.
	Vanished int64
	// Damaged is the number of days that are still requested and whose latest answer could not be understood, and LatestDamaged
	// is the latest of them.
	Damaged       int64
	LatestDamaged datacube.Date
	// Days is the number of known days.
	Days int64
	// NotReady says that Weixin did not have the latest requested day yet.
	NotReady bool
	// Asked is how often Weixin was asked for that day, and Next when it is asked again; both are zero unless
	// NotReady is set.
	Asked int
	Next  time.Time
	// Unstored says that the answer to the last attempt is shown but could not be stored.
	Unstored bool
	// Quota is the call's quota when last requested; nil if unknown.
	Quota *weixin.CallQuota
	// Problem is the current problem; nil if the last attempt succeeded or there was none.
	Problem *Problem
}

// Reason says why an attempt failed.
type Reason = weixin.Reason

const (
	// StoreFault means that the answer could not be stored.
	StoreFault = weixin.StoreFault
	// InvalidRows means that the answer has rows that could not be understood.
	InvalidRows = weixin.InvalidRows
	// Reasons is the number of reasons.
	Reasons = weixin.Reasons
)

// Problem describes a failed attempt to people. It contains no secret and no token.
type Problem struct {
	Since time.Time // when the attempts began to fail
	At    time.Time // when the last attempt failed
	Text  string    // what failed and why
	// Advice is what to do about it.
	Advice weixin.Advice
	Next   time.Time // when it is retried, unless the configuration is reloaded before
	// Cause is equal for all accounts and calls that fail for the same cause.
	Cause Cause
	// NeedsAction says that the cause does not pass by itself.
	NeedsAction bool
	// OutlastsReload says that a reload of the configuration does not lead to an earlier attempt.
	OutlastsReload bool
}

// Cause identifies the cause of failed attempts by the fields of their errors.
type Cause struct {
	Reason Reason `json:"reason"`
	// Code is Weixin's errcode; 0 if the failure is below it, and then Kind says what kind it is.
	Code int    `json:"code,omitempty"`
	Kind string `json:"kind,omitempty"`
	// Source is the file or server that a token comes from, if the failure lies there.
	Source string `json:"source,omitempty"`
	// Address is the refused address, as Weixin reported it.
	Address string `json:"address,omitempty"`
}

// State is the state of an account in one word.
type State uint8

const (
	// OK means that the latest days are known.
	OK State = iota
	// Waiting means that the last attempts succeeded, but Weixin does not have the latest day yet.
	Waiting
	// Pending means that a call has not been made yet.
	Pending
	// Failing means that the last attempt failed for a cause that passes by itself.
	Failing
	// NeedsAction means that it failed for a cause that does not.
	NeedsAction
	// States is the number of states.
	States
)

// String returns the state as in the label "state".
func (s State) String() string {
	return [...]string{"ok", "waiting", "pending", "failing", "needs_action"}[s]
}

// State returns the worse of the states of the two calls.
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
	case w.NotReady:
		return Waiting
	default:
		return OK
	}
}

// Latest holds the latest snapshot. It is safe for concurrent use, and its methods do not block.
type Latest struct {
	snapshot atomic.Pointer[Snapshot]
}

// NewLatest returns a Latest without a snapshot.
func NewLatest() *Latest { return &Latest{} }

// Publish replaces the snapshot. The caller must not change s afterwards.
func (l *Latest) Publish(s *Snapshot) { l.snapshot.Store(s) }

// Load returns the latest snapshot, or nil if there is none. The caller must not change it.
func (l *Latest) Load() *Snapshot { return l.snapshot.Load() }
