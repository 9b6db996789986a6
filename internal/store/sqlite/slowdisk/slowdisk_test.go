//go:build linux && (amd64 || arm64)

// Package slowdisk_test runs the program on a disk that takes its time: each operation of SQLite on the store waits until
// the test lets it go.
package slowdisk_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/sqlite/vfstest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// patience limits each wait. Only a slow machine comes near it.
const patience = 2 * time.Minute

// suite has the VFS of this process. TestMain sets it.
var suite struct{ vfs *vfstest.VFS }

func TestMain(m *testing.M) {
	var err error
	if suite.vfs, err = vfstest.Install(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// disk holds the operations on the files in a folder while it is slow.
type disk struct {
	mu    sync.Mutex
	pass  chan struct{}          // lets one operation go on; closed: all
	began chan vfstest.Operation // those that wait
}

func newDisk(t *testing.T, folder string) *disk {
	t.Helper()
	d := &disk{pass: make(chan struct{}), began: make(chan vfstest.Operation, 1000)}
	close(d.pass)
	suite.vfs.Watch(folder, vfstest.Watcher{Before: d.before})
	t.Cleanup(d.free) // for what a failed test has left
	return d
}

func (d *disk) before(o vfstest.Operation) {
	d.mu.Lock()
	pass := d.pass
	d.mu.Unlock()
	select {
	case <-pass:
		return // it was closed
	default:
	}
	o.Data = nil
	d.began <- o
	<-pass
}

// slow lets each operation wait from now on.
func (d *disk) slow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pass = make(chan struct{})
}

// free lets all operations go on, those that wait as well.
func (d *disk) free() {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.pass:
	default:
		close(d.pass)
	}
}

// next returns the next operation that waits; false if none does at present.
func (d *disk) next() (vfstest.Operation, bool) {
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case o := <-d.began:
		return o, true
	case <-timer.C:
		return vfstest.Operation{}, false
	}
}

// fixture is a program with one account, and the disk of its store.
type fixture struct {
	t         *testing.T
	simulated *weixintest.Server
	url       string
	config    string
	store     string
	disk      *disk
}

const (
	appID = "wx00000000000000ab"
	// before and after are the days of history before and after the disk becomes slow.
	before, after = 2, 6
)

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, store: filepath.Join(t.TempDir(), "store.db")}
	f.simulated = weixintest.New(weixintest.Options{
		Seed: 1, Now: time.Now,
		Accounts: []weixintest.Account{{AppID: appID, AppSecret: "sim-secret-shop", CallbacksPerDay: 10_000}},
		Ready:    func(_ string, d datacube.Date) time.Time { return d.End() },
	})
	server := httptest.NewServer(f.simulated)
	t.Cleanup(server.Close)
	f.url = server.URL
	f.config = clitest.WriteConfig(t, f.yaml(before))
	f.disk = newDisk(t, filepath.Dir(f.store))
	return f
}

func (f *fixture) yaml(days int) string {
	return "accounts: [{name: shop, app_id: " + appID + ", app_secret: sim-secret-shop}]\n" +
		"weixin: {base_url: '" + f.url + "', requests_per_second: 1000}\n" +
		fmt.Sprintf("refresh: {ready_at: '00:00', history: %dd}\nstore: {path: '%s'}\n", days, f.store)
}

func (f *fixture) start() *clitest.Program {
	f.t.Helper()
	return clitest.Start(f.t, "serve", "--config.file="+f.config, "--web.enable-lifecycle")
}

// longer gives the program a longer history, so that it has something to store. The returned channel has the status of the
// reload.
func (f *fixture) longer(p *clitest.Program) <-chan int {
	f.t.Helper()
	if err := os.WriteFile(f.config, []byte(f.yaml(after)), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return request(p, "POST", "/-/reload")
}

// request returns a channel with the status of a response.
func request(p *clitest.Program, method, path string) <-chan int {
	status := make(chan int, 1)
	go func() {
		got, _ := p.Request(method, path)
		status <- got
	}()
	return status
}

// scrape requests the metrics, with the figures that have been known all the time.
func (f *fixture) scrape(p *clitest.Program) string {
	f.t.Helper()
	status, metrics := p.Request("GET", "/metrics")
	for _, want := range []string{`weixin_interface_daily_callbacks{account="shop"}`, `weixin_interface_hourly_callbacks{account="shop"`, "\nweixin_store_usable 1\n"} {
		if status != 200 || !strings.Contains(metrics, want) {
			f.t.Fatalf("status %d, no %s in\n%s", status, want, metrics)
		}
	}
	if failures := regexp.MustCompile(`weixin_store_failures_total\{.*`).FindString(metrics); failures != "" && !strings.HasSuffix(failures, " 0") {
		f.t.Errorf("nothing has failed, but %s", failures)
	}
	return metrics
}

// known returns the fewest days that metrics show as known.
func known(metrics string) int {
	fewest := after
	for _, api := range []string{"daily", "hourly"} {
		found := regexp.MustCompile(`weixin_store_known_dates\{account="shop",api="` + api + `"\} (\d+)`).FindStringSubmatch(metrics)
		if found == nil {
			return 0
		}
		n, _ := strconv.Atoi(found[1]) // digits
		fewest = min(fewest, n)
	}
	return fewest
}

// waitKnown waits until so many days are known.
func (f *fixture) waitKnown(p *clitest.Program, days int) {
	f.t.Helper()
	for end := time.Now().Add(patience); ; {
		_, metrics := p.Request("GET", "/metrics")
		if known(metrics) >= days {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("%d days are not known:\n%s", days, metrics)
		}
	}
}

// checkStored compares what is stored with Weixin's figures.
func (f *fixture) checkStored() {
	f.t.Helper()
	s, err := sqlite.Open(f.t.Context(), f.store, sqlite.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // it was only read
	days := 0
	err = s.ReadFigures(f.t.Context(), func(r *store.FigureReader) error {
		for api := range datacube.APIs {
			for day, err := range r.Figures(store.FigureQuery{API: api, To: datacube.DateOf(time.Now())}) {
				if err != nil {
					return err
				}
				days++
				want := []datacube.Figures{f.simulated.Day(appID, day.Date)}
				if api == datacube.Hourly {
					hours := f.simulated.Hours(appID, day.Date)
					want = hours[:]
				}
				for i, figures := range day.Figures {
					if figures != want[i] {
						f.t.Errorf("%v, %v: %+v is stored, want %+v", api, day.Date, figures, want[i])
					}
				}
			}
		}
		return nil
	})
	if err != nil || days < 2*after {
		f.t.Errorf("%d days are stored, want %d: %v", days, 2*after, err)
	}
}

// calls returns the largest number of calls for the figures of the same day.
func (f *fixture) calls() int {
	counts, most := map[string]int{}, 0
	for _, c := range f.simulated.Calls() {
		if c.API == datacube.Daily.String() || c.API == datacube.Hourly.String() {
			key := fmt.Sprint(c.API, c.Begin, c.End)
			counts[key]++
			most = max(most, counts[key])
		}
	}
	return most
}

// TestSlowDisk: while an operation of SQLite waits for the disk, scrapes, readiness and health are answered. What is
// stored is late but right, nothing counts as failed, and no call is repeated.
func TestSlowDisk(t *testing.T) {
	f := newFixture(t)
	p := f.start()
	f.waitKnown(p, before)
	f.disk.slow()
	reloaded, overview := f.longer(p), request(p, "GET", "/")
	waited := map[vfstest.Kind]int{}
	for end := time.Now().Add(patience); ; {
		o, ok := f.disk.next()
		metrics := f.scrape(p)
		for _, path := range []string{"/-/ready", "/-/healthy"} {
			if status, body := p.Request("GET", path); status != 200 {
				t.Fatalf("%s: %d %s", path, status, body)
			}
		}
		if ok {
			waited[o.Kind]++
			f.disk.pass <- struct{}{}
		}
		if known(metrics) >= after {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d days are known, operations %v", known(metrics), after, waited)
		}
	}
	f.disk.free()
	if reload, page := <-reloaded, <-overview; reload != 200 || page != 200 {
		t.Errorf("the reload: %d, the overview: %d", reload, page)
	}
	t.Logf("%d reads, %d writes and %d syncs waited, each for a scrape and two probes", waited[vfstest.Read], waited[vfstest.Write], waited[vfstest.Sync])
	if waited[vfstest.Write] == 0 || waited[vfstest.Sync] == 0 {
		t.Errorf("operations %v", waited)
	}
	if code := p.Stop(); code != cli.Done {
		t.Errorf("exit code %d", code)
	}
	f.checkStored()
	if n := f.calls(); n != 1 {
		t.Errorf("%d calls for the same day", n)
	}
}

// TestStopOnASlowDisk: the exporter ends in time although what is not stored yet would take the disk longer. Nothing
// that was stored is lost.
func TestStopOnASlowDisk(t *testing.T) {
	f := newFixture(t)
	p := f.start()
	f.waitKnown(p, before)
	f.disk.slow()
	reloaded := f.longer(p)
	for {
		if o := <-f.disk.began; o.Kind == vfstest.Write {
			break
		}
		f.disk.pass <- struct{}{}
	}
	if code := p.Stop(); code != cli.Fault {
		t.Errorf("exit code %d", code)
	}
	p.Output.Wait("stopped without closing the store")
	if status := <-reloaded; status != 200 && status != 500 { // the stop may be sooner
		t.Errorf("the reload: %d", status)
	}
	f.disk.free() // what a process would leave undone at its end
	for end := time.Now().Add(patience); sqlite.User(f.store) != ""; {
		if time.Now().After(end) {
			t.Fatal("the store is not closed")
		}
	}
	p = f.start()
	f.waitKnown(p, after)
	if code := p.Stop(); code != cli.Done {
		t.Errorf("exit code %d of the next one", code)
	}
	f.checkStored()
	if n := f.calls(); n > 2 {
		t.Errorf("%d calls for the same day", n)
	}
}
