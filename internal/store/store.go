// Package store defines what a store of interface statistics promises; the packages below it keep the
// promise with one database engine each: sqlite in a file. Package engine chooses one by the configuration,
// and package storetest has the tests that all of them pass.
//
// A store keeps the figures of days and hours and, for each account, API and day, the state of the requests
// for it. Accounts are identified by their app IDs, so that an account keeps its history when it is renamed.
package store

import (
	"context"
	"time"

	"weixin_exporter/weixin/datacube"
)

// Store is an open store. It is safe for concurrent use, and several processes may have the same store open.
//
// Every method that writes does so in one transaction: all of it is stored or, if the method returns an error,
// nothing. What a method has stored is seen by every later call of any process. Methods that read return what
// was stored at one instant; they do not wait for writers. All methods end with the context. Errors name the
// store and say what to do, contain no password, and have a Kind.
type Store interface {
	Records
	Figures
	Changes
	Holds
	Clock
	Deliveries
	Sharing

	// Fault returns the reason why the store cannot be used at present; nil if it can, as far as that is known
	// without using it.
	Fault() error
	// Damage returns why ReadPending or Load has left out days of an account, when it last read that account, so that an
	// endpoint lacks them or an earlier day is shown: they are damaged. nil if none are left out. The store can be used
	// nevertheless.
	Damage() error
	// CheckDisk returns an error if the disk of the store does not respond, so that no access to it would return. It
	// takes a few seconds at most.
	CheckDisk() error
	// Recover finds out whether something else than this Store has replaced the content: another file, or an earlier state
	// of the database. It describes what was found and done; "" if there was nothing to do. The caller must then read the
	// store again. If it fails, it may be called again. An exporter calls it every 5 seconds.
	Recover(ctx context.Context) (string, error)
	// Close hands the slots of this process back, waits for reads and writes in progress, and closes the store, which must
	// not be used afterwards. If its disk does not respond, it is left open, which loses nothing.
	Close() error
}

// Records are the responses of Weixin, by account, API and day.
type Records interface {
	// Save stores records. It returns a Revision for each record whose figures differ from those of a day that
	// was Known before, in the order of the records; traffic that moved between hours counts as a difference. If this
	// process shares the work and does not own all the accounts' slots, the error is a *NotOwnedError. If what is stored of
	// their days forbids to store some of the records, it is an *OutdatedError.
	Save(ctx context.Context, records []Record) ([]Revision, error)
	// Load returns the content of the store for the accounts with these app IDs, or for all accounts if none are
	// given. States reach back to since. Accounts that the store does not know are missing from the map. A day whose figures are
	// damaged is not the latest one of its account, keeps its state, and is reported by Damage.
	// The caller owns the result.
	Load(ctx context.Context, since datacube.Date, appIDs ...string) (map[string]*Account, error)
	// Prune deletes the figures and states of all days before a date and returns the number of days, counted per
	// account and API. A deleted day that is saved again is not a revision.
	Prune(ctx context.Context, before datacube.Date) (int64, error)
}

// Figures reads stored figures.
type Figures interface {
	// ReadFigures calls read with a view of the figures at this moment; what is saved later is not in it.
	// An error of read is returned unchanged. Days that cannot be read because the store is damaged are
	// skipped and reported in an error at the end. A store may keep old data as long as read has not returned,
	// so what goes to a slow client should be copied first.
	ReadFigures(ctx context.Context, read func(*FigureReader) error) error
	// KnownDays calls each with the known days of one account after the other up to a date, the latest one first. If each
	// returns false, the next account follows. knownAt is the time of the response that made the day known, in China time.
	// An account that the store does not know has no days. All days are as of one instant.
	KnownDays(ctx context.Context, api datacube.API, appIDs []string, upTo datacube.Date,
		each func(appID string, date datacube.Date, knownAt time.Time) bool) error
}

// Changes is the feed of changes, by which processes that share a store follow each other.
type Changes interface {
	// Changed returns the app IDs of the accounts for which any process has saved something after a mark, in no
	// particular order, and the latest mark that they include.
	Changed(ctx context.Context, after Mark) ([]string, Mark, error)
	// Version returns a number that changes, nearly always, when another process saves something. It may also change
	// when this process does. It is a cheap way to find out whether Changed can return anything new.
	Version(ctx context.Context) (int64, error)
}

// Holds are failed attempts that must survive a restart.
type Holds interface {
	// SaveHolds replaces the stored holds of the same accounts and APIs. If this process shares the work and does not own
	// all the accounts' slots, the error is a *NotOwnedError.
	SaveHolds(ctx context.Context, holds []Hold) error
	// Holds returns the stored holds of the accounts with these app IDs.
	Holds(ctx context.Context, appIDs ...string) ([]Hold, error)
}

// Clock is the latest time that is known to have passed.
type Clock interface {
	// RecordedTime returns the latest instant passed to RecordTime or, if there is none, the time of the latest
	// response, in China time. It is zero if the store is empty.
	RecordedTime(ctx context.Context) (time.Time, error)
	// RecordTime records an instant that has certainly passed. One before the latest changes nothing.
	RecordTime(ctx context.Context, at time.Time) error
}

// Deliveries are what endpoints of remote write have of the history. An endpoint is a name that stays the same
// across restarts.
type Deliveries interface {
	// Undelivered returns the app IDs of the accounts for which an endpoint may lack days, in no particular order.
	Undelivered(ctx context.Context, endpoint string) ([]string, error)
	// ReadPending returns the days that an endpoint lacks of the accounts with these app IDs, in the order of the
	// app IDs, up to limit samples, of which each hour and day has four, but at least one day. Only the last
	// account can have More. Days before since are only counted. An account with damaged days among them has no days in the
	// result, stays as undelivered as it is when that is recorded, and is reported by Damage.
	ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]Pending, error)
	// CountPending returns the number of days from since on that an endpoint lacks, by app ID and API. Accounts without
	// such days are missing.
	CountPending(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error)
	// MarkDelivered records that an endpoint is done with days that ReadPending returned: they were accepted,
	// permanently refused or skipped. at is when samples of them were accepted; zero if none were. Days of which it
	// was recorded before, by any process, stay done. If the store has gone back since they were read, to a backup or to a
	// standby that lacks transactions, nothing is recorded once Recover has said so, and before that nothing of an account
	// whose days it does not have yet: their marks are those of other days.
	MarkDelivered(ctx context.Context, endpoint string, at time.Time, pending ...Pending) error
	// LastDelivery returns when an endpoint last accepted samples, in China time; zero if never.
	LastDelivery(ctx context.Context, endpoint string) (time.Time, error)
	// Resend schedules days that an endpoint has accepted or refused to be sent to it again: those from since to
	// until of the accounts with these app IDs. It returns the number of days, counted per account. The sender
	// notices by the mark, which changes.
	Resend(ctx context.Context, endpoint string, since, until datacube.Date, appIDs ...string) (int64, error)
}
