package kills_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

const (
	// mostLost is how many answers of Weixin a kill of an exporter with n workers may cost: up to 2n-1 that have been gathered
	// or are being stored, and n that have arrived meanwhile. Calls that have become slow, after 500 ms, are beyond
	// that: those that arrived less than recent ago are certainly not.
	mostLost = 3*concurrency - 1
	// mostLostBeside is the same for a backfill, which stores answers at once: n that are being stored, and n that have arrived meanwhile.
	mostLostBeside = 2 * concurrency
	recent         = 200 * time.Millisecond
)

// check checks the store after a kill: all that was known or shown is known and right, and only the latest answers are lost.
// beside means that two processes called Weixin, both of which may have requested a day. v has the exporter's answers.
func (w *world) check(killed time.Time, beside bool, v *visitor) {
	w.t.Helper()
	db, done := w.site.open(w.t)
	defer done()
	accounts, err := db.Load(w.t.Context(), w.first)
	if err != nil {
		w.t.Fatal(err)
	}
	state := func(d day) store.State {
		if accounts[d.appID] == nil {
			return store.State{}
		}
		return accounts[d.appID].States[d.api].At(d.date)
	}
	for d := range w.known {
		if state(d).Status != store.Known {
			w.t.Errorf("after kill %d, %v of %s, %v is no longer known", w.kills, d.date, d.appID, d.api)
		}
	}
	for d := range v.shown() {
		if state(d).Status != store.Known {
			w.t.Errorf("before kill %d the exporter showed %v of %s, %v, which is not stored", w.kills, d.date, d.appID, d.api)
		}
	}
	w.checkFigures(db)

	lost, quick := 0, 0
	learned := map[day]bool{}
	all := w.weixin.Calls()
	for n, c := range all[w.reviewed:] {
		if c.API == "authorizer" {
			w.reviewExchange(c)
		}
		api, ok := apiOf(c)
		if !ok {
			continue
		}
		w.calls++
		if stored := func(date datacube.Date) bool {
			return !state(day{c.AppID, api, date}).AskedAt.Before(c.At.Truncate(time.Second))
		}; !stored(c.Begin) || !stored(c.End) { // another process may have requested one of them
			lost++
			age := killed.Sub(c.At)
			if age < recent {
				quick++
			}
			w.oldest = max(w.oldest, age)
			if !beside {
				w.checkLost(c, all[w.reviewed+n+1:], v)
			}
			continue
		}
		for date := c.Begin; date <= c.End; date++ {
			d := day{c.AppID, api, date}
			if w.known[d] || learned[d] && !beside {
				w.t.Errorf("before kill %d, %v of %s, %v was requested although it was known", w.kills, date, c.AppID, api)
			}
			if state(d).Status == store.Known {
				learned[d] = true
			}
		}
	}
	w.reviewed = len(all)
	maps.Copy(w.known, learned)
	most := mostLost
	if beside {
		most += mostLostBeside
	}
	if quick > most {
		w.t.Errorf("kill %d lost %d answers, want at most %d", w.kills, quick, most)
	}
	w.lost += lost
	w.worst = max(w.worst, lost)
}

// checkLost fails if an answer is lost although something has happened that comes only after answers are stored: a further
// call of the account, or the exporter's word that it has nothing to do. How much time has passed says nothing, since the
// machine may be slow.
func (w *world) checkLost(c weixintest.Call, later []weixintest.Call, v *visitor) {
	w.t.Helper()
	if c.At.Before(v.rested) {
		w.t.Errorf("kill %d lost the answer to the %s call of %s, %v after which the exporter had nothing to do", w.kills, c.API, c.AppID, v.rested.Sub(c.At))
	}
	for _, next := range later {
		if _, ok := apiOf(next); ok && next.AppID == c.AppID {
			w.t.Errorf("kill %d lost the answer to the %s call of %s, after which the account has made a %s call", w.kills, c.API, c.AppID, next.API)
			return
		}
	}
}

// apiOf returns the API of a call that got figures.
func apiOf(c weixintest.Call) (datacube.API, bool) {
	for api := range datacube.APIs {
		if c.API == api.String() {
			return api, c.Errcode == 0 && c.AppID != ""
		}
	}
	return 0, false
}

// reviewExchange fails if Weixin has refused a refresh token, whose successor then was lost.
func (w *world) reviewExchange(c weixintest.Call) {
	w.t.Helper()
	w.tally.exchanges++
	if c.Errcode != 0 && c.Errcode != weixintest.NoAnswer {
		w.t.Errorf("before kill %d, Weixin has answered an exchange of the refresh token of %s with errcode %d", w.kills, c.AppID, c.Errcode)
	}
}

// checkFigures compares all stored figures with those of Weixin.
func (w *world) checkFigures(db store.Store) {
	w.t.Helper()
	err := db.ReadFigures(w.t.Context(), func(r *store.FigureReader) error {
		for api := range datacube.APIs {
			for stored, err := range r.Figures(store.FigureQuery{API: api, From: datacube.FirstDate, To: datacube.DateOf(w.clock.Now())}) {
				if err != nil {
					return err
				}
				if !slices.Equal(w.figures(day{stored.AppID, api, stored.Date}), stored.Figures) {
					w.t.Errorf("after kill %d, %v of %s, %v: the store has other figures than Weixin", w.kills, stored.Date, stored.AppID, api)
				}
			}
		}
		return r.Incomplete()
	})
	if err != nil {
		w.t.Errorf("after kill %d: %v", w.kills, err)
	}
}

// figures returns the figures of Weixin for a day, which never change.
func (w *world) figures(d day) []datacube.Figures {
	hours, ok := w.truth[d]
	if !ok {
		if hours = w.weixin.Hours(d.appID, d.date); d.api == datacube.Daily {
			hours = datacube.Hours{w.weixin.Day(d.appID, d.date)}
		}
		w.truth[d] = hours
	}
	if d.api == datacube.Daily {
		return hours[:1]
	}
	return hours[:]
}

// checkTokens checks that each account of the platform has the latest refresh token of Weixin, and that others cannot read it.
func (w *world) checkTokens() {
	w.t.Helper()
	db, done := w.site.open(w.t)
	defer done()
	for _, appID := range w.platform {
		file := w.refreshToken(appID)
		got, err := w.site.refreshToken(db, appID, file).Load(w.t.Context())
		if err != nil {
			w.t.Error(err)
		}
		if got.Reveal() != w.weixin.RefreshToken(appID) {
			w.t.Errorf("%s does not have the latest refresh token", appID)
		}
		info, err := os.Stat(file)
		if err != nil {
			w.t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			w.t.Errorf("%s has mode %04o", file, info.Mode().Perm())
		}
	}
}

// checkFolder fails if there are temporary files in the folder.
func (w *world) checkFolder() {
	w.t.Helper()
	entries, err := os.ReadDir(w.folder)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			w.t.Errorf("%s was left behind", e.Name())
		}
	}
}
