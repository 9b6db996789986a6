package sqlite

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// digest returns a hash of the figures of a day and of what they belong to. It is stored beside them and never 0.
func digest(api datacube.API, account int64, date datacube.Date, figures []datacube.Figures) int64 {
	const most = (3 + 4*datacube.HoursPerDay) * 8
	buffer := make([]byte, 0, most)
	add := func(n int64) { buffer = binary.LittleEndian.AppendUint64(buffer, uint64(n)) }
	add(account)
	add(int64(api))
	add(int64(date))
	for _, f := range figures {
		add(f.Callbacks)
		add(f.Failures)
		add(f.TimeCostMillis)
		add(f.MaxTimeCostMillis)
	}
	return max(1, int64(xxhash.Sum64(buffer)>>1))
}

// digestOf returns the digest of a record's figures; 0 if it leaves the stored ones unchanged.
func digestOf(account int64, r *store.Record) int64 {
	switch {
	case r.Daily != nil:
		return digest(r.API, account, r.Date, []datacube.Figures{*r.Daily})
	case r.Hourly != nil:
		return digest(r.API, account, r.Date, r.Hourly[:])
	default:
		return 0
	}
}

// digestOfImage returns the digest of a day of an image; 0 if it has no figures.
func digestOfImage(account int64, api datacube.API, d *store.DayImage) int64 {
	var none datacube.Hours
	switch {
	case d.Figures != nil:
		return digest(api, account, d.Date, d.Figures)
	case d.State.Status != store.Known:
		return 0
	case api == datacube.Daily:
		return digest(api, account, d.Date, none[:1])
	default:
		return digest(api, account, d.Date, none[:])
	}
}

// knownDay is a known day with the checks of its figures; each is 0 if there is none.
type knownDay struct {
	date             datacube.Date
	digest, checksum int64
}

// verify fails if figures are not those that were stored for the day. SQLite notices damage only where it breaks the
// structure of the file: rows of other days or accounts, or none at all, may be where those of the day should be.
func (d knownDay) verify(api datacube.API, account int64, figures []datacube.Figures) error {
	switch {
	case d.digest != 0 && digest(api, account, d.date, figures) != d.digest,
		d.digest == 0 && d.checksum != 0 && int64(store.Checksum(figures...)) != d.checksum:
		return damage{wrongFiguresError{fmt.Errorf("the figures of %v do not match their checksum, so they are unknown; the next answer for the day replaces them:"+
			" fetch it again with weixin_exporter backfill --force, as long as Weixin has it, or restore a backup", d.date)}}
	}
	return nil
}

// wrongFiguresError marks an error that concerns the figures of one day alone, which SQLite can read and replace.
type wrongFiguresError struct{ error }

func (w wrongFiguresError) Unwrap() error { return w.error }
