package store

import (
	"context"
	"fmt"

	"weixin_exporter/weixin/datacube"
)

// CopyStatus is the progress of a copy.
type CopyStatus struct {
	// Comparing is true once everything has been written, and is read again.
	Comparing bool
	// Done and Left are numbers of known days, each counted once for writing and once for comparing.
	Done, Left int64
}

// CopyReport is what a copy contains.
type CopyReport struct {
	Head ImageHead
	// Accounts, Days and Hours are numbers: of accounts, and of known days and hours.
	Accounts, Days, Hours int64
	// Bytes is the size of all numbers and texts, without what a database adds to them.
	Bytes int64
	// RefreshTokens is the number of accounts whose refresh token is in the original alone.
	RefreshTokens int64
}

const (
	// copyDays is about how many days are in memory at a time; an account with more is in memory as a whole.
	copyDays = 4000
	// copyAccounts is of how many accounts they are at most.
	copyAccounts = 500
)

// Copy puts everything of an image into a new store, reads both again and compares all of it. The first difference
// is an error. progress is called after each portion; nil if no one wants to know. Memory does not grow with the number of
// accounts except for their app IDs.
func Copy(ctx context.Context, from Image, to Restorer, progress func(CopyStatus)) (CopyReport, error) {
	c := copier{from: from, to: to, progress: progress}
	if c.progress == nil {
		c.progress = func(CopyStatus) {}
	}
	var err error
	if c.report.Head, err = from.Head(ctx); err != nil {
		return c.report, err
	}
	if c.report.RefreshTokens, err = from.RefreshTokens(ctx); err != nil {
		return c.report, err
	}
	if c.sizes, err = from.Sizes(ctx); err != nil {
		return c.report, err
	}
	for i := range c.sizes {
		c.status.Left += 2 * c.sizes[i].Days //nolint:mnd // written and compared
	}
	c.progress(c.status)
	if err := c.write(ctx); err != nil {
		return c.report, err
	}
	c.status.Comparing = true
	return c.report, c.compare(ctx)
}

type copier struct {
	from     Image
	to       Restorer
	progress func(CopyStatus)
	sizes    []AccountSize
	status   CopyStatus
	report   CopyReport
}

func (c *copier) write(ctx context.Context) error {
	if err := c.to.PutHead(ctx, c.report.Head); err != nil {
		return err
	}
	return c.portions(ctx, func(appIDs []string) error {
		accounts, err := c.read(ctx, appIDs)
		if err != nil {
			return err
		}
		for i := range accounts {
			if err := accounts[i].check(); err != nil {
				return err
			}
			c.report.add(&accounts[i])
		}
		return c.to.PutAccounts(ctx, accounts)
	})
}

// read reads accounts of the original, all of which exist: it does not change.
func (c *copier) read(ctx context.Context, appIDs []string) ([]AccountImage, error) {
	accounts, err := c.from.Accounts(ctx, appIDs)
	if err == nil && len(accounts) != len(appIDs) {
		err = fmt.Errorf("%d of %d accounts were read", len(accounts), len(appIDs))
	}
	return accounts, err
}

// portions calls each with the app IDs of a few accounts at a time.
func (c *copier) portions(ctx context.Context, each func(appIDs []string) error) error {
	for left := c.sizes; len(left) > 0; {
		var appIDs []string
		var days int64
		for i := range left {
			if i > 0 && (i == copyAccounts || days+left[i].Days > copyDays) {
				break
			}
			appIDs, days = append(appIDs, left[i].AppID), days+left[i].Days
		}
		if err := each(appIDs); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		left = left[len(appIDs):]
		c.status.Done += days
		c.status.Left -= days
		c.progress(c.status)
	}
	return nil
}

// check fails if figures do not match their checksum: a copy must not spread damage.
func (a *AccountImage) check() error {
	for api := range datacube.APIs {
		for i := range a.Days[api] {
			day := &a.Days[api][i]
			if day.State.Status == Known && day.State.Checksum != 0 && Checksum(day.Figures...) != day.State.Checksum {
				return WithKind(fmt.Errorf("%v of %s, %v: the stored figures do not match their checksum, so they are damaged or were changed by another program;"+
					" fetch the day again with weixin_exporter backfill --force --since=%v --until=%v, or take a backup, and copy again",
					day.Date, a.AppID, api, day.Date, day.Date), Damaged)
			}
		}
	}
	return nil
}

// add counts an account.
func (r *CopyReport) add(a *AccountImage) {
	const number = 8 // bytes
	r.Accounts++
	r.Days += a.KnownDays(datacube.Daily)
	r.Hours += datacube.HoursPerDay * a.KnownDays(datacube.Hourly)
	r.Bytes += int64(len(a.AppID)) + 3*number
	for api := range a.Days {
		for i := range a.Days[api] {
			const numbers, figures = 10, 4 // of a state, and of a day or hour
			r.Bytes += number * int64(numbers+figures*len(a.Days[api][i].Figures))
		}
	}
	for i := range a.Holds {
		r.Bytes += 5*number + int64(len(a.Holds[i].Fingerprint)+len(a.Holds[i].Detail))
	}
	for i := range a.Deliveries {
		r.Bytes += 3*number + int64(len(a.Deliveries[i].Endpoint))
	}
	for i := range a.Resends {
		r.Bytes += 2*number + int64(len(a.Resends[i].Endpoint))
	}
}
