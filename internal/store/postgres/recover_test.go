package postgres_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// TestAnEarlierState: a Store says once that its database has gone back to an earlier state, also if others have made as many
// marks since, and never otherwise.
func TestAnEarlierState(t *testing.T) {
	t.Parallel()
	type stores struct{ this, another *postgres.Store }
	type steps []func(*testing.T, stores)
	save := func(of func(stores) *postgres.Store, appID string) func(*testing.T, stores) {
		return func(t *testing.T, s stores) {
			t.Helper()
			storetest.Save(t, of(s), storetest.Daily(appID, storetest.FirstDay+1, 2))
		}
	}
	this, another := func(s stores) *postgres.Store { return s.this }, func(s stores) *postgres.Store { return s.another }
	look := func(t *testing.T, s stores) {
		t.Helper()
		if _, err := s.this.Version(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	recordTime := func(t *testing.T, s stores) {
		t.Helper()
		if err := s.this.RecordTime(t.Context(), storetest.FirstDay.End()); err != nil {
			t.Fatal(err)
		}
	}
	shop, bot, others := save(this, storetest.Shop), save(this, storetest.Bot), save(another, storetest.Bot)
	for name, test := range map[string]struct {
		lost, after steps
		noticed     bool
	}{
		"nothing happened":                       {},
		"its own save":                           {lost: steps{shop}, noticed: true},
		"its own save, and others save":          {lost: steps{shop}, after: steps{others, others}, noticed: true},
		"its own save, and it saves as well":     {lost: steps{shop}, after: steps{others, others, bot}, noticed: true},
		"its own save, and it records something": {lost: steps{shop}, after: steps{recordTime, others, others}, noticed: true},
		"what it has seen":                       {lost: steps{others, look}, noticed: true},
		"what it has not seen":                   {lost: steps{others}, after: steps{shop, look}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t)
			s := stores{open(t, database), open(t, database)}
			recovers := func(noticed bool) {
				t.Helper()
				done, err := s.this.Recover(t.Context())
				if err != nil || strings.Contains(done, "gone back to an earlier state") != noticed || (done == "") == noticed {
					t.Errorf("recover: %q, %v; want that it has gone back: %v", done, err, noticed)
				}
			}
			for range 3 { // an exporter can see it several times
				shop(t, s)
				others(t, s)
				recovers(false)
				run(t, database, `CREATE TABLE public.mark AS TABLE weixin_exporter.mark`, `CREATE TABLE public.account AS TABLE weixin_exporter.account`)
				for _, step := range test.lost {
					step(t, s)
				}
				run(t, database, `UPDATE weixin_exporter.mark SET latest = before.latest FROM public.mark AS before`,
					`UPDATE weixin_exporter.account AS now SET changed = before.changed FROM public.account AS before WHERE before.id = now.id`,
					`DROP TABLE public.mark, public.account`)
				for _, step := range test.after {
					step(t, s)
				}
				recovers(test.noticed)
				recovers(false)
			}
		})
	}
}

// TestDeliveryOfADatabaseThatWentBack: what was read before is not recorded, although the database has reached its marks in the
// meantime, with other days.
func TestDeliveryOfADatabaseThatWentBack(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	s := open(t, database)
	const receiver = "http://receiver.test/write"
	pending := func() []store.Pending {
		t.Helper()
		p, err := s.ReadPending(t.Context(), receiver, storetest.BeforeAll, 1000, storetest.Shop)
		if err != nil || len(p) != 1 {
			t.Fatal(p, err)
		}
		return p
	}
	deliver := func(p []store.Pending) {
		t.Helper()
		if err := s.MarkDelivered(t.Context(), receiver, storetest.FirstDay.End(), p...); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	run(t, database, `CREATE TABLE public.mark AS TABLE weixin_exporter.mark`, `CREATE TABLE public.account AS TABLE weixin_exporter.account`)
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay+1, 1))
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay+2, 1))
	held := pending()
	run(t, database, `UPDATE weixin_exporter.mark SET latest = before.latest FROM public.mark AS before`,
		`UPDATE weixin_exporter.account AS now SET changed = before.changed FROM public.account AS before WHERE before.id = now.id`,
		`DELETE FROM weixin_exporter.day WHERE changed > (SELECT latest FROM weixin_exporter.mark)`,
		`DROP TABLE public.mark, public.account`)
	if done, err := s.Recover(t.Context()); err != nil || done == "" {
		t.Fatalf("recovered: %q, %v", done, err)
	}
	for day := storetest.FirstDay + 1; day < storetest.FirstDay+5; day++ {
		storetest.Save(t, s, storetest.Daily(storetest.Shop, day, 2))
	}
	deliver(held)
	if p := pending(); len(p[0].Daily) != 5 {
		t.Errorf("%d days are pending, want all five", len(p[0].Daily))
	} else {
		deliver(p)
	}
	if p := pending(); len(p[0].Daily) != 0 {
		t.Errorf("%d days are sent again", len(p[0].Daily))
	}
}

// TestDeliveryThatWaitsWhileTheDatabaseGoesBack: a delivery that waits for a save is not recorded if that save finds that the
// database has gone back, and takes its mark.
func TestDeliveryThatWaitsWhileTheDatabaseGoesBack(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	s := openAt(t, userOf(server.URL(database), exporter), postgres.Options{BusyTimeout: time.Hour})
	const receiver = "http://receiver.test/write"
	pending := func() []store.Pending {
		t.Helper()
		p, err := s.ReadPending(t.Context(), receiver, storetest.BeforeAll, 1000, storetest.Shop)
		if err != nil || len(p) != 1 {
			t.Fatal(p, err)
		}
		return p
	}
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay+1, 1))
	held := pending()
	run(t, database, `UPDATE weixin_exporter.mark SET latest = latest - 1`, `UPDATE weixin_exporter.account SET changed = changed - 1`,
		`DELETE FROM weixin_exporter.day WHERE changed > (SELECT latest FROM weixin_exporter.mark)`)

	// The row is locked but not changed: those who wait for one that has changed do not get it in the order of their coming.
	tx, err := connect(t, database).Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `SELECT FROM weixin_exporter.mark FOR UPDATE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	looking := connect(t, database)
	done := make(chan error, 2)
	go func() {
		_, err := s.Save(t.Context(), []store.Record{storetest.Hourly(storetest.Shop, storetest.FirstDay, datacube.Hours{3: {Callbacks: 1}})})
		done <- err
	}()
	waitForLocks(t, looking, 1)
	go func() { done <- s.MarkDelivered(t.Context(), receiver, storetest.FirstDay.End(), held...) }()
	waitForLocks(t, looking, 2)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}

	p := pending()[0]
	if len(p.Daily) != 1 || len(p.Hourly) != 1 || p.Done.Position.Mark != held[0].Done.Position.Mark {
		t.Errorf("%d daily and %d hourly days are pending up to the mark %d, want one of each up to %d",
			len(p.Daily), len(p.Hourly), p.Done.Position.Mark, held[0].Done.Position.Mark)
	}
	if at, err := s.LastDelivery(t.Context(), receiver); err != nil || !at.IsZero() {
		t.Errorf("the last delivery was recorded: %v, %v", at, err)
	}
}

// TestAStandbyThatLags: a standby that does not have what the primary has is reported as a server that only reads. The database
// has gone back only if the standby is promoted without it.
func TestAStandbyThatLags(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	own := newServer(t)
	s := openAt(t, secret.NewURL(own.URL("postgres")), postgres.Options{})
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	move := func(marks int) {
		t.Helper()
		err := own.Execute(t.Context(), "postgres", fmt.Sprintf(`UPDATE weixin_exporter.mark SET latest = latest %+d`, marks),
			fmt.Sprintf(`UPDATE weixin_exporter.account SET changed = changed %+d`, marks))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, lacks := range []bool{false, true} {
		move(-1)
		if err := own.Demote(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := s.Recover(t.Context())
		for store.KindOf(err) == store.Unreachable { // a connection from before
			_, err = s.Recover(t.Context())
		}
		if store.KindOf(err) != store.ReadOnly || !strings.Contains(err.Error(), "the server is a standby, which only reads; check store.url") {
			t.Errorf("recover on the standby: %v, of the kind %s", err, store.KindOf(err))
		}
		if fault := s.Fault(); fault != nil {
			t.Errorf("it answers, but there is a fault: %v", fault)
		}
		if _, err := s.Version(t.Context()); err != nil {
			t.Error(err)
		}
		if err := own.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !lacks {
			move(+1)
		}
		if done, err := s.Recover(t.Context()); err != nil || (done != "") != lacks {
			t.Errorf("recover: %q, %v; want that it has gone back: %v", done, err, lacks)
		}
	}
}

// TestSeveralServers: with target_session_attrs=read-write a URL can name a standby besides the server that writes.
func TestSeveralServers(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	own := newServer(t)
	err := own.Execute(t.Context(), "postgres", `CREATE DATABASE `+database, `CREATE ROLE `+exporter+` LOGIN`)
	if err == nil {
		err = own.Demote(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	both := userOf(strings.Replace(own.URL(database), "&", ","+url.QueryEscape(server.Folder())+"&", 1), exporter)
	if _, err := postgres.Open(t.Context(), both, postgres.Options{}); store.KindOf(err) != store.ReadOnly {
		t.Errorf("without it: %v, of the kind %s", err, store.KindOf(err))
	}
	storetest.Save(t, openAt(t, secret.NewURL(both.Reveal()+"&target_session_attrs=read-write"), postgres.Options{}),
		storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	if got := storetest.Load(t, open(t, database), storetest.FirstDay); len(got) != 1 {
		t.Errorf("the server that writes has %v", got)
	}
	if err := postgres.Check(secret.NewURL("postgres://u:p@db1:5432,db2:5432/x?target_session_attrs=read-write")); err != nil {
		t.Error(err)
	}
}
