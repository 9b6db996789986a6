package cli_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// fillStore saves the days of the daily call up to and including until.
func fillStore(t *testing.T, path, appID string, until datacube.Date, days int) {
	t.Helper()
	known, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var records []store.Record
	for date := until - datacube.Date(days) + 1; date <= until; date++ {
		at := date.End().Add(9 * time.Hour)
		records = append(records, store.Record{
			AppID: appID, API: datacube.Daily, Date: date, Daily: &datacube.Figures{Callbacks: 1},
			State: store.State{Status: store.Known, AskedAt: at, KnownAt: at, Rechecked: true},
		})
	}
	if _, err := known.Save(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := known.Close(); err != nil {
		t.Fatal(err)
	}
}

// storedDays returns how many days of the daily call a store has.
func storedDays(t *testing.T, path, appID string) int64 {
	t.Helper()
	known, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	accounts, err := known.Load(t.Context(), datacube.FirstDate)
	if err != nil {
		t.Fatal(err)
	}
	return accounts[appID].Days[datacube.Daily]
}

func TestClockThatIsAYearAheadRemovesNothing(t *testing.T) {
	_, file, path := simulate(t, "store: {retention: 100d}\n")
	fillStore(t, path, shopID, datacube.DateOf(time.Now())-2, 90)

	p := clitest.StartAt(t, func() time.Time { return time.Now().Add(365 * 24 * time.Hour) }, "serve", "--config.file="+file)
	p.Output.Wait(`level=warn .*msg="the clock of this host is wrong: it is 1y ahead of Weixin's`)
	if metrics, ok := p.Shows(`\nweixin_clock_offset_seconds 3\.1[45]\d*e\+07\n`); !ok {
		t.Errorf("no offset of a year:\n%s", metrics)
	}
	if _, page := p.Request(http.MethodGet, "/"); !strings.Contains(page, "the clock of this host is wrong: it is 1y ahead of Weixin&#39;s") {
		t.Errorf("the page does not say so:\n%s", page)
	}
	if code := p.Stop(); code != cli.Done {
		t.Errorf("exit code %d", code)
	}
	if days := storedDays(t, path, shopID); days < 90 {
		t.Errorf("%d of 90 days are left", days)
	}
}

func TestClockThatIsRight(t *testing.T) {
	p := clitest.Start(t, "demo")
	if metrics, ok := p.Shows(`\nweixin_clock_offset_seconds -?[0-9.e-]+\n`); !ok {
		t.Errorf("no offset:\n%s", metrics)
	}
	if _, page := p.Request(http.MethodGet, "/"); strings.Contains(page, "clock of this host") {
		t.Errorf("the page finds a fault in the clock:\n%s", page)
	}
}
