package refresh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/clock"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// judge stands between a Refresher, Weixin and the store, and compares each record with what Weixin has just said and with
// its true figures.
type judge struct {
	sim       *weixintest.Server
	appIDs    []string
	now       func() time.Time // the true time
	retention datacube.Date    // in days
	fail      func(appID string, api datacube.API, date datacube.Date, format string, args ...any)

	mu      sync.Mutex
	at      time.Time      // of the latest call
	calls   int            // at that time
	endless bool           // they were too many: later ones fail
	heard   map[line]heard // the last response to each call
	known   map[day]bool   // the known days; true if with traffic
	rows    map[day]rows   // the known days with traffic
	pruned  int64          // days
	empty   int            // days with traffic that became known as empty for a good reason

	unchecked datacube.Date // the first day that has not been compared with Weixin's figures
	compared  int           // days of a call
}

type line struct {
	appID string
	api   datacube.API
}

type day struct {
	line
	date datacube.Date
}

// heard is a response with its request.
type heard struct{ request, body []byte }

// rows are what is stored of a day with traffic.
type rows struct {
	times   int // how often Weixin has answered with them
	damaged bool
	total   datacube.Figures // without the longest time cost, which hours do not add up to
}

// ear returns a transport that tells the judge what Weixin says of an account.
func (j *judge) ear(appID string) http.RoundTripper { return ear{j, appID, j.sim.Transport()} }

type ear struct {
	*judge
	appID string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (e ear) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, "/datacube/") {
		return e.next.RoundTrip(r)
	}
	request, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(request))
	if err := e.pace(); err != nil {
		return nil, err
	}
	api := datacube.Daily
	if strings.HasSuffix(r.URL.Path, "hour") {
		api = datacube.Hourly
	}
	e.checkRequest(api, request)
	response, err := e.next.RoundTrip(r)
	var body []byte
	if err == nil {
		if body, err = io.ReadAll(response.Body); err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(body))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard[line{e.appID, api}] = heard{request, body}
	return response, err
}

// pace fails the test if calls are made without end at the same time, and ends that, since no time would pass in the bubble.
func (e ear) pace() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	const most = 20_000 // more than all days of 50 accounts
	now := e.now()
	if !now.Equal(e.at) {
		e.at, e.calls = now, 0
	}
	e.calls++
	if !e.endless && e.calls <= most {
		return nil
	}
	if !e.endless {
		e.endless = true
		e.fail(e.appID, 0, datacube.DateOf(now), "%d calls at the same time", e.calls)
	}
	return errors.New("calls without end")
}

// asked are the days of a request.
type asked struct {
	Begin datacube.Date `json:"begin_date"`
	End   datacube.Date `json:"end_date"`
}

// checkRequest fails the test if a day is asked for although it has been answered, and checked again, and both calls agree.
func (e ear) checkRequest(api datacube.API, request []byte) {
	var days asked
	if err := json.Unmarshal(request, &days); err != nil {
		e.fail(e.appID, api, 0, "the request %s is invalid: %v", request, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for d := days.Begin; d <= days.End; d++ {
		if e.answered(e.appID, d, 2) {
			e.fail(e.appID, api, d, "asked for again, although it has been answered and checked")
		}
	}
}

// answered reports whether rows of both calls are stored for a day, each answered at least so many times, and agree. The caller
// holds mu.
func (j *judge) answered(appID string, d datacube.Date, times int) bool {
	daily, hourly := j.rows[day{line{appID, datacube.Daily}, d}], j.rows[day{line{appID, datacube.Hourly}, d}]
	return daily.times >= times && hourly.times >= times && !daily.damaged && !hourly.damaged && daily.total == hourly.total
}

// note notes a record that has been stored. The caller holds mu.
func (j *judge) note(r store.Record) {
	if r.State.Status != store.Known {
		return
	}
	of := day{line{r.AppID, r.API}, r.Date}
	j.known[of] = !r.State.Empty
	if r.State.Empty {
		return
	}
	n := j.rows[of]
	n.damaged = r.State.Damaged > 0
	switch {
	case r.Daily != nil:
		n.times, n.total = n.times+1, *r.Daily
	case r.Hourly != nil:
		n.times, n.total = n.times+1, r.Hourly.Total()
	}
	n.total.MaxTimeCostMillis = 0
	j.rows[of] = n
}

// list is what a response says.
type list struct {
	rows     map[datacube.Date]datacube.Hours // the daily call has its figures in the first hour
	strayed  bool                             // it has rows of days that were not requested
	readable bool
}

// read reads a response as the official documents describe it, without the client.
func (h heard) read(api datacube.API) list {
	var request asked
	var response struct {
		List *[]struct {
			Date      datacube.Date `json:"ref_date"`
			Hour      int           `json:"ref_hour"`
			Callbacks int64         `json:"callback_count"`
			Failures  int64         `json:"fail_count"`
			Total     int64         `json:"total_time_cost"`
			Max       int64         `json:"max_time_cost"`
		} `json:"list"`
	}
	s := list{rows: map[datacube.Date]datacube.Hours{}}
	if json.Unmarshal(h.request, &request) != nil || json.Unmarshal(h.body, &response) != nil || response.List == nil {
		return s
	}
	s.readable = true
	for _, r := range *response.List {
		if r.Date < request.Begin || r.Date > request.End {
			s.strayed = true
			continue
		}
		hours := s.rows[r.Date]
		if api == datacube.Daily {
			r.Hour = 0
		}
		hours[r.Hour/100%datacube.HoursPerDay] = datacube.Figures{
			Callbacks: r.Callbacks, Failures: r.Failures, TimeCostMillis: r.Total, MaxTimeCostMillis: r.Max,
		}
		s.rows[r.Date] = hours
	}
	return s
}

// judged is a store with a judge.
type judged struct {
	yearStore
	judge *judge
}

// Save implements refresh.Store.
func (s judged) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	j := s.judge
	j.mu.Lock()
	for _, r := range records {
		j.check(r)
	}
	j.mu.Unlock()
	revisions, err := s.yearStore.Save(ctx, records)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range records {
		j.note(r)
	}
	return revisions, nil
}

// check judges a record that is about to be stored.
func (j *judge) check(r store.Record) {
	of := day{line{r.AppID, r.API}, r.Date}
	traffic, known := j.known[of]
	if known && r.State.Status != store.Known {
		j.fail(r.AppID, r.API, r.Date, "a known day became unknown")
	}
	var got, truth datacube.Hours
	switch {
	case r.Daily != nil:
		got[0], truth[0] = *r.Daily, j.sim.Day(r.AppID, r.Date)
	case r.Hourly != nil:
		got, truth = *r.Hourly, j.sim.Hours(r.AppID, r.Date)
	default:
		return
	}
	if got == truth {
		return
	}
	if h := j.heard[of.line].read(r.API); !r.State.Empty {
		if h.rows[r.Date] != got {
			j.fail(r.AppID, r.API, r.Date, "stores other figures than Weixin said")
		}
	} else {
		j.checkEmpty(r, h, traffic)
	}
}

// checkEmpty judges whether a day with traffic may become known as empty: Weixin must have said so when that is final.
func (j *judge) checkEmpty(r store.Record, h list, traffic bool) {
	later := false
	for date := r.Date + 1; date < datacube.DateOf(j.now()); date++ {
		_, row := h.rows[date]
		later = later || row || j.known[day{line{r.AppID, r.API}, date}]
	}
	_, row := h.rows[r.Date]
	const settled = 48 * time.Hour
	switch {
	case traffic:
		j.fail(r.AppID, r.API, r.Date, "known traffic is replaced by zeros")
	case !h.readable || row || h.strayed:
		j.fail(r.AppID, r.API, r.Date, "known as empty although Weixin did not say so")
	case j.known[day{line{r.AppID, 1 - r.API}, r.Date}]:
		j.fail(r.AppID, r.API, r.Date, "known as empty although the other call has traffic")
	case !later && j.now().Add(clock.Tolerance).Before(r.Date.End().Add(settled)):
		j.fail(r.AppID, r.API, r.Date, "known as empty at %s, too early", j.now().In(datacube.China).Format(time.DateTime))
	default:
		j.empty++
	}
}

// Prune implements refresh.Store. TrustedNow may be up to two days ahead before Weixin has answered.
func (s judged) Prune(ctx context.Context, before datacube.Date) (int64, error) {
	j := s.judge
	if latest := datacube.DateOf(j.now().Add(clock.Trust)) - j.retention; before > latest {
		j.fail("", 0, before, "removes the days before, which must stay until %s", latest)
	}
	j.checkDays(func(read func(*store.FigureReader) error) error { return s.ReadFigures(ctx, read) }, before-1)
	n, err := s.yearStore.Prune(ctx, before)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pruned += n
	for of := range j.known {
		if of.date < before {
			delete(j.known, of)
			delete(j.rows, of)
		}
	}
	return n, err
}

// readFigures reads the figures of a store.
type readFigures func(read func(*store.FigureReader) error) error

// checkDays compares the days up to the given one that have not been compared yet with Weixin's figures. All of them must be
// complete: they leave the store, after they have left the history, or the year is over.
func (j *judge) checkDays(read readFigures, last datacube.Date) {
	first := j.unchecked
	if last < first {
		return
	}
	j.unchecked = last + 1
	stored := map[day]datacube.Hours{}
	err := read(func(r *store.FigureReader) error {
		for api := range datacube.APIs {
			for f, err := range r.Figures(store.FigureQuery{API: api, From: first, To: last}) {
				if err != nil {
					return err
				}
				var h datacube.Hours
				copy(h[:], f.Figures)
				stored[day{line{f.AppID, api}, f.Date}] = h
			}
		}
		return r.Incomplete()
	})
	if err != nil {
		j.fail("", 0, first, "cannot be read in the end: %v", err)
		return
	}
	for _, appID := range j.appIDs {
		for d := first; d <= last; d++ {
			j.compare(stored, day{line{appID, datacube.Daily}, d}, datacube.Hours{j.sim.Day(appID, d)})
			j.compare(stored, day{line{appID, datacube.Hourly}, d}, j.sim.Hours(appID, d))
		}
	}
}

func (j *judge) compare(stored map[day]datacube.Hours, of day, want datacube.Hours) {
	j.compared++
	got, known := stored[of]
	switch {
	case !known:
		j.fail(of.appID, of.api, of.date, "unknown in the end")
	case got == want:
	case got == datacube.Hours{}:
		j.fail(of.appID, of.api, of.date, "known as empty in the end, but it had %d callbacks", want.Total().Callbacks)
	default:
		j.fail(of.appID, of.api, of.date, "other figures in the end: %d callbacks instead of %d", got.Total().Callbacks, want.Total().Callbacks)
	}
}

func (d day) String() string { return fmt.Sprintf("%s %v %s", d.appID, d.api, d.date) }

// checkShown checks that nothing of the year is still shown as wrong.
func (y *year) checkShown() {
	synctest.Wait()
	for _, a := range y.config.Accounts {
		shown := y.shown(a.Name)
		if damaged := shown.Work[datacube.Daily].Damaged + shown.Work[datacube.Hourly].Damaged; shown.Inconsistent != 0 || damaged != 0 {
			y.t.Errorf("%s: %d inconsistent days, %d damaged at the end; repeat it with\n%s", a.Name, shown.Inconsistent, damaged, y.command)
		}
	}
}
