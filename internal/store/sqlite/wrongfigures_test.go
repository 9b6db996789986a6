package sqlite_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

const receiver = "http://receiver.test/write"

// deliver reads what the receiver lacks, records that it has it, and returns how many days of each account that were.
func deliver(t *testing.T, s *sqlite.Store, appIDs ...string) map[string]int {
	t.Helper()
	pending, err := s.ReadPending(t.Context(), receiver, beforeAll, 100_000, appIDs...)
	if err != nil {
		t.Fatal(err)
	}
	if len(pending) != len(appIDs) {
		t.Fatalf("%d accounts, want %d", len(pending), len(appIDs))
	}
	days := map[string]int{}
	for _, p := range pending {
		days[p.AppID] = len(p.Daily) + len(p.Hourly)
	}
	if err := s.MarkDelivered(t.Context(), receiver, firstDay.End(), pending...); err != nil {
		t.Fatal(err)
	}
	return days
}

func wantDelivered(t *testing.T, s *sqlite.Store, want map[string]int) {
	t.Helper()
	for appID, got := range deliver(t, s, shop, bot) {
		if got != want[appID] {
			t.Errorf("%d days of %s are sent, want %d", got, appID, want[appID])
		}
	}
}

// TestFiguresThatDoNotMatchTheirChecksum: a day whose figures were changed by something else keeps no other day from being
// stored or sent, is not sent itself, and is whole again once Weixin has answered for it.
func TestFiguresThatDoNotMatchTheirChecksum(t *testing.T) {
	t.Parallel()
	other := datacube.Hours{7: {Callbacks: 70}}
	for name, test := range map[string]struct {
		spoil  string
		repair store.Record
	}{
		"other figures of a day":  {`UPDATE daily SET callbacks = callbacks + 1 WHERE date = ?`, daily(shop, firstDay, 1)},
		"no figures of a day":     {`DELETE FROM daily WHERE date = ?`, daily(shop, firstDay, 1)},
		"another digest":          {`UPDATE day SET digest = digest + 1 WHERE api = 0 AND date = ?`, daily(shop, firstDay, 1)},
		"other figures of hours":  {`UPDATE hourly SET failures = failures + 1 WHERE date = ?`, hourly(shop, firstDay, other)},
		"figures of another hour": {`UPDATE hourly SET hour = 8 WHERE date = ?`, hourly(shop, firstDay, other)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			s := open(t, path)
			save(t, s, daily(shop, firstDay, 1), hourly(shop, firstDay, other), daily(shop, firstDay+1, 2), hourly(shop, firstDay+1, other), daily(bot, firstDay+1, 3))
			if err := s.Damage(); err != nil {
				t.Fatal(err)
			}
			if _, err := shell(t, path).ExecContext(t.Context(), test.spoil, int64(firstDay)); err != nil {
				t.Fatal(err)
			}
			wantDelivered(t, s, map[string]int{bot: 1})
			if err := s.Damage(); store.KindOf(err) != store.Damaged || !strings.Contains(err.Error(), shop) || !strings.Contains(err.Error(), firstDay.String()) {
				t.Errorf("the damage is %v", err)
			}
			if err := s.Fault(); err != nil {
				t.Errorf("the store cannot be used: %v", err)
			}
			if got := table(t, shell(t, path), `SELECT app_id FROM delivery JOIN account ON account = id`); got != bot+"\n" {
				t.Errorf("recorded as sent: %q", got)
			}
			counts, err := s.CountPending(t.Context(), receiver, beforeAll)
			if err != nil || counts[shop] != [datacube.APIs]int64{2, 2} || len(counts) != 1 {
				t.Errorf("pending: %v, %v", counts, err)
			}

			if revisions := save(t, s, test.repair, daily(bot, firstDay+2, 4)); len(revisions) > 0 {
				t.Errorf("revisions of unknown figures: %v", revisions)
			}
			wantDelivered(t, s, map[string]int{shop: 4, bot: 1})
			if err := s.Damage(); err != nil {
				t.Errorf("the damage is still %v", err)
			}
			wantDelivered(t, s, nil)
			if a := load(t, s, firstDay)[shop]; a.Days != [datacube.APIs]int64{2, 2} {
				t.Errorf("%v days are known", a.Days)
			}
		})
	}
}

// TestARepairedDayIsSentAgain: the receiver may have the figures as they were before or while they were damaged.
func TestARepairedDayIsSentAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 1), daily(bot, firstDay, 1))
	wantDelivered(t, s, map[string]int{shop: 2, bot: 1})
	run(t, shell(t, path), `UPDATE daily SET callbacks = callbacks + 1`)
	save(t, s, daily(shop, firstDay, 1))
	wantDelivered(t, s, map[string]int{shop: 1})
}

// TestLatestDayThatDoesNotMatchItsChecksum: the day before it is loaded, as are all other accounts, until Weixin has
// answered for it.
func TestLatestDayThatDoesNotMatchItsChecksum(t *testing.T) {
	t.Parallel()
	busy := datacube.Hours{7: {Callbacks: 70}}
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	for day := range datacube.Date(3) {
		for _, appID := range []string{shop, bot} {
			save(t, s, daily(appID, firstDay+day, 1+int64(day)), hourly(appID, firstDay+day, busy))
		}
	}
	const account = `account = (SELECT id FROM account WHERE app_id = '` + shop + `')`
	run(t, shell(t, path), `UPDATE daily SET callbacks = callbacks + 10 WHERE date > `+strconv.Itoa(int(firstDay))+` AND `+account)
	run(t, shell(t, path), `UPDATE hourly SET hour = 8 WHERE `+account)
	want := func(appID string, day, hours datacube.Date) {
		t.Helper()
		a := load(t, s, beforeAll, appID)[appID]
		var gotDay, gotHours datacube.Date
		if a.Daily != nil {
			gotDay = a.Daily.Date
			if a.Daily.Figures.Callbacks != 1+int64(gotDay-firstDay) {
				t.Errorf("%d callbacks on %v of %s", a.Daily.Figures.Callbacks, gotDay, appID)
			}
		}
		if a.Hourly != nil {
			gotHours = a.Hourly.Date
			if a.Hourly.Hours != busy {
				t.Errorf("wrong hours of %s: %v", appID, a.Hourly.Hours)
			}
		}
		if gotDay != day || gotHours != hours {
			t.Errorf("the latest days of %s are %d and %d, want %d and %d", appID, gotDay, gotHours, day, hours)
		}
		for api := range datacube.APIs {
			if a.Days[api] != 3 || a.States[api].At(firstDay+2).Status != store.Known {
				t.Errorf("%v of %s: %d days, the latest %v", api, appID, a.Days[api], a.States[api].At(firstDay+2).Status)
			}
		}
	}
	wantDamage := func(parts ...string) {
		t.Helper()
		err := s.Damage()
		if (err == nil) != (len(parts) == 0) || err != nil && store.KindOf(err) != store.Damaged {
			t.Fatalf("the damage is %v, want %q", err, parts)
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the damage %v does not say %q", err, part)
			}
		}
	}
	want(shop, firstDay, 0)
	wantDamage("show "+(firstDay+2).String()+" of "+shop+", daily", "backfill --force")
	want(bot, firstDay+2, firstDay+2)
	wantDamage(shop) // which was not loaded again
	save(t, s, daily(shop, firstDay+2, 3))
	wantDamage("show " + (firstDay + 1).String() + " of " + shop + ", daily")
	want(shop, firstDay+2, 0)
	wantDamage("show " + (firstDay + 2).String() + " of " + shop + ", hourly")
	for day := range datacube.Date(3) {
		save(t, s, hourly(shop, firstDay+day, busy))
	}
	want(shop, firstDay+2, firstDay+2)
	wantDamage()
}

// TestDamageOfAnAccountThatDoesNotFit stays: its figures were not read again.
func TestDamageOfAnAccountThatDoesNotFit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	save(t, s, daily(shop, firstDay, 1), daily(bot, firstDay, 1))
	run(t, shell(t, path), `UPDATE daily SET callbacks = callbacks + 1 WHERE account = (SELECT id FROM account WHERE app_id = '`+shop+`')`)
	const twoDays, oneDay = 8, 5 // samples
	for _, limit := range []int{twoDays, oneDay} {
		if _, err := s.ReadPending(t.Context(), receiver, beforeAll, limit, bot, shop); err != nil {
			t.Fatal(err)
		}
		if err := s.Damage(); err == nil || !strings.Contains(err.Error(), shop) {
			t.Errorf("with up to %d samples the damage is %v", limit, err)
		}
	}
}

// TestDamageOfSeveralAccounts says how many others there are, so that it changes with a further one.
func TestDamageOfSeveralAccounts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	save(t, s, daily(shop, firstDay, 1), daily(bot, firstDay, 1))
	want := func(texts ...string) {
		t.Helper()
		if _, err := s.ReadPending(t.Context(), receiver, beforeAll, 100, shop, bot); err != nil {
			t.Fatal(err)
		}
		err := s.Damage()
		for _, text := range texts {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("the damage %v does not say %q", err, text)
			}
		}
	}
	spoil := func(appID string) {
		run(t, shell(t, path), `UPDATE daily SET callbacks = callbacks + 1 WHERE account = (SELECT id FROM account WHERE app_id = '`+appID+`')`)
	}
	spoil(shop)
	want("read the days of " + shop + " to send to " + receiver + ":")
	spoil(bot)
	want("read the days of " + shop + " to send to " + receiver + " (and 1 more):")
	save(t, s, daily(shop, firstDay, 1))
	want("read the days of " + bot + " to send to " + receiver + ":")
}

// TestDamagedDayWithoutTraffic: Weixin has no row for such a day, so an answer without rows repairs it.
func TestDamagedDayWithoutTraffic(t *testing.T) {
	t.Parallel()
	day, hours := daily(shop, firstDay, 0), hourly(shop, firstDay, datacube.Hours{})
	day.Daily = &datacube.Figures{}
	const ofShop = ` (SELECT id FROM account WHERE app_id = '` + shop + `')`
	for name, test := range map[string]struct {
		record store.Record
		spoil  string
	}{
		"a row of a day":        {day, `INSERT INTO daily (account, date, callbacks, failures, time_cost, max_time_cost) SELECT id, ?, 7, 0, 0, 0 FROM` + ofShop},
		"a row of an hour":      {hours, `INSERT INTO hourly (account, date, hour, callbacks, failures, time_cost, max_time_cost) SELECT id, ?, 7, 7, 0, 0, 0 FROM` + ofShop},
		"the digest of a day":   {day, `UPDATE day SET digest = digest + 1 WHERE date = ? AND account =` + ofShop},
		"the digest of an hour": {hours, `UPDATE day SET digest = digest + 1 WHERE date = ? AND account =` + ofShop},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			s := open(t, path)
			test.record.State.Empty = true
			save(t, s, test.record, daily(bot, firstDay, 1))
			if _, err := shell(t, path).ExecContext(t.Context(), test.spoil, int64(firstDay)); err != nil {
				t.Fatal(err)
			}
			load(t, s, beforeAll, shop)
			if err := s.Damage(); err == nil {
				t.Fatal("the damage was not noticed")
			}
			wantDelivered(t, s, map[string]int{bot: 1})
			confirmed := test.record
			confirmed.Before, confirmed.Daily, confirmed.Hourly = test.record.State, nil, nil
			confirmed.State.AskedAt = confirmed.State.AskedAt.AddDate(0, 0, 1)
			confirmed.State.Rechecked = true
			if revisions := save(t, s, confirmed); len(revisions) > 0 {
				t.Errorf("revisions: %v", revisions)
			}
			wantDelivered(t, s, map[string]int{shop: 1})
			got := load(t, s, beforeAll, shop)[shop]
			if err := s.Damage(); err != nil || got.Daily == nil && got.Hourly == nil {
				t.Errorf("loaded %+v, the damage is %v", got, err)
			}
		})
	}
}
