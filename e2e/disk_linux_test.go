package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/internal/disktest"
	"weixin_exporter/weixin/weixintest"
)

// disk is a file system of its own.
type disk struct{ *disktest.Disk }

func newDisk(t *testing.T, options ...string) *disk {
	t.Helper()
	return &disk{disktest.New(t, options...)}
}

// fill leaves no room on the disk, until the returned file is removed.
func (d *disk) fill(t *testing.T) string {
	t.Helper()
	path := filepath.Join(d.Folder, "filler")
	filler, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for size := 1 << 20; size >= 512; {
		switch _, err := filler.Write(make([]byte, size)); {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	return path
}

// takeInodes leaves no inode on the disk, until one of the returned files is removed.
func (d *disk) takeInodes(t *testing.T) []string {
	t.Helper()
	d.Sync(t) // the inode of a removed file can be in use until its content has been written
	var taken []string
	for {
		path := filepath.Join(d.Folder, fmt.Sprintf("file%d", len(taken)))
		switch err := os.WriteFile(path, nil, 0o600); {
		case errors.Is(err, syscall.ENOSPC):
			return taken
		case err != nil:
			t.Fatal(err)
		}
		taken = append(taken, path)
	}
}

// onDisk returns a fixture with its store on a disk and a number of calls a second.
func onDisk(t *testing.T, d *disk, perSecond int) *fixture {
	t.Helper()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	w.callEach(t, d, perSecond)
	return w
}

// callEach writes the configuration with a number of calls a second.
func (w *fixture) callEach(t *testing.T, d *disk, perSecond int) {
	t.Helper()
	text := strings.Replace(w.yaml(w.accounts...), "path: store.db", "path: "+filepath.Join(d.Folder, "store.db"), 1)
	w.write(t, strings.Replace(text, "requests_per_second: 1000", fmt.Sprintf("requests_per_second: %d", perSecond), 1))
}

// waitFailures waits until a write to the store has failed for a reason.
func waitFailures(t *testing.T, x web, reason string) {
	t.Helper()
	eventually(t, "a failure because of "+reason, func() error {
		if got := x.metrics(t)[series("weixin_store_failures_total", "reason", reason)]; got == 0 {
			return errNotYet
		}
		return nil
	})
}

// refreshing starts an exporter with few calls a second and waits until it shows figures of all accounts, while days before
// them are still missing.
func (w *fixture) refreshing(t *testing.T) *exporter {
	t.Helper()
	x := serve(t, w.config)
	w.waitFigures(t, x.web, w.accounts...)
	return x
}

// few is a number of calls a second at which the history is not complete before something happens to the disk.
const few = 4

// finishes lets an exporter make its calls quickly and checks that it ends with all figures.
func (w *fixture) finishes(t *testing.T, d *disk, x *exporter) {
	t.Helper()
	w.callEach(t, d, 1000)
	x.signal(t, syscall.SIGHUP)
	w.waitComplete(t, x.web, w.accounts...)
	w.checkFigures(t, x.metrics(t), w.accounts...)
	x.get(t, "/-/ready")
	x.stop(t, syscall.SIGTERM)
	for _, a := range w.accounts {
		if days := storedDays(t, filepath.Join(d.Folder, "store.db"), a); days < history {
			t.Errorf("%s: %d days are stored, want %d", a.name, days, history)
		}
	}
}

// freeze freezes the disk while the exporter waits for Weixin and does not use its store. If the disk hangs in the midst of that,
// all of the exporter can wait, as docs/store.md says. It returns what thaws the disk.
func (w *fixture) freeze(t *testing.T, d *disk) func() {
	t.Helper()
	answer := w.sim.Inject(weixintest.Fault{Delay: 5 * time.Second})
	defer answer()
	w.waitHanging(t, len(w.accounts))
	return d.Freeze(t)
}

// probeTime is how long the exporter waits for the disk before it says that the disk does not respond.
const probeTime = 4 * time.Second

// scrapesDuring scrapes for a while, and returns how many scrapes there were and how long the longest took.
func (w web) scrapesDuring(t *testing.T, during time.Duration) string {
	t.Helper()
	var longest time.Duration
	count := 0
	for end := clock().Add(during); clock().Before(end); count++ {
		began := clock()
		w.metrics(t)
		longest = max(longest, clock().Sub(began))
	}
	return fmt.Sprintf("the longest of %d scrapes meanwhile took %v", count, longest)
}

// TestFrozenDisk: while no write returns, the exporter answers, says what is wrong and shows what it knows; then it
// continues. A write that was under way at the freeze has not failed, so that none may be counted as failed.
func TestFrozenDisk(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	w := onDisk(t, d, few)
	x := w.refreshing(t)
	thaw := w.freeze(t, d)
	began := clock()
	scraped := make(chan string, 1)
	go func() { scraped <- x.scrapesDuring(t, probeTime) }()
	unhealthy := waitStatus(t, x.web, "/-/healthy", http.StatusServiceUnavailable)
	t.Logf("/-/healthy answered 503 after %v; %s", clock().Sub(began), <-scraped)
	unready := waitStatus(t, x.web, "/-/ready", http.StatusServiceUnavailable)
	x.logged(t, "level=error", "the store cannot be used", "the disk does not respond")
	for _, body := range []string{unhealthy, unready, x.get(t, "/").body} {
		if !strings.Contains(body, "the disk does not respond") {
			t.Errorf("the reason is not in %q", mask(body))
		}
	}
	got := x.metrics(t)
	w.checkFigures(t, got, w.accounts...)
	if got["weixin_store_usable"] != 0 {
		t.Error("weixin_store_usable is not 0")
	}
	thaw()
	x.logged(t, "level=info", "the store can be used again")
	waitStatus(t, x.web, "/-/healthy", http.StatusOK)
	w.finishes(t, d, x)
}

// TestStopOnAFrozenDisk: the exporter ends although its disk does not respond, and loses nothing. Linux keeps a process while
// one of its threads waits in the kernel for a frozen disk, even if it is killed; so it counts as ended once it has closed
// its port and no other thread is left.
func TestStopOnAFrozenDisk(t *testing.T) {
	t.Parallel()
	for name, noticed := range map[string]bool{"noticed": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			w := onDisk(t, d, few)
			x := w.refreshing(t)
			x.killed = true // its code is checked here
			thaw := w.freeze(t, d)
			if noticed {
				waitStatus(t, x.web, "/-/healthy", http.StatusServiceUnavailable)
			}
			began := clock()
			x.signal(t, syscall.SIGTERM)
			left := x.waitThreads(t)
			t.Logf("%v after SIGTERM these threads were left: %q", clock().Sub(began), left)
			if conn, err := net.Dial("tcp", x.base.Host); err == nil {
				_ = conn.Close()
				t.Error("the port is still open")
			}
			thaw()
			<-x.ended
			if code := x.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if log := x.stderr.String(); !strings.Contains(log, "stopped without closing the store") && !strings.Contains(log, "the disk does not respond") {
				t.Errorf("no reason in %s", mask(log))
			}
			w.finishes(t, d, serve(t, w.config))
		})
	}
}

// waitThreads waits until the process has ended, or all its threads that have not wait in the kernel for a disk, and
// returns the states of those that are left.
func (p *process) waitThreads(t *testing.T) []string {
	t.Helper()
	var states []string
	eventually(t, "the end of all threads but those that wait for the disk", func() error {
		states = nil
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil {
			return err
		}
		running := 0
		for _, stat := range stats {
			text, err := os.ReadFile(stat)
			if err != nil {
				continue // it has ended
			}
			state := string(text[bytes.LastIndexByte(text, ')')+2])
			if states = append(states, state); !strings.Contains("DZX", state) {
				running++
			}
		}
		if running > 0 {
			return fmt.Errorf("states %q", states)
		}
		return nil
	})
	return states
}

// keepsServing checks what is shown while the store can be read but not written to: the exporter is ready, since a proxy
// or a Service that takes it away would take away the figures as well.
func (w *fixture) keepsServing(t *testing.T, x *exporter) {
	t.Helper()
	got := x.metrics(t)
	w.checkFigures(t, got, w.accounts...)
	if got["weixin_store_usable"] != 1 {
		t.Error("weixin_store_usable is not 1")
	}
	x.get(t, "/-/healthy")
	x.get(t, "/-/ready")
	for _, a := range w.accounts {
		if body := x.get(t, "/api/v1/query?query="+url.QueryEscape("last_over_time(weixin_history_daily_callbacks[3d])")).body; !strings.Contains(body, `"account":"`+a.name+`"`) {
			t.Errorf("a query finds nothing of %s: %s", a.name, mask(body))
		}
	}
}

// TestFullDisk: what cannot be stored is shown, and stored when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	w := onDisk(t, d, few)
	x := w.refreshing(t)
	filler := d.fill(t)
	waitFailures(t, x.web, "full")
	x.logged(t, "level=error", "cannot write to the store", "the disk is full; free some space")
	if page := x.get(t, "/").body; !strings.Contains(page, "the disk is full") {
		t.Error("the overview does not say that the disk is full")
	}
	w.keepsServing(t, x)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	x.logged(t, "level=info", "writing to the store works again")
	w.finishes(t, d, x)
}

// TestDiskWithoutInodes: an exporter that runs needs none, and one that cannot start says why.
func TestDiskWithoutInodes(t *testing.T) {
	t.Parallel()
	d := newDisk(t, "-N", "32")
	w := onDisk(t, d, few)
	taken := d.takeInodes(t)
	refused := func(when string) {
		t.Helper()
		f := finish(t, nil, "--config.file="+w.config, "--web.listen-address=127.0.0.1:0")
		if f.code != 1 || !strings.Contains(f.stderr, "no space left on device") && !strings.Contains(f.stderr, "the disk is full") {
			t.Errorf("%s: %+v, want the reason", when, f)
		}
	}
	refused("without a store")
	for _, file := range taken[:4] {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	x := w.refreshing(t)
	_ = d.takeInodes(t)
	w.finishes(t, d, x)
	again := d.takeInodes(t) // those of -wal and -shm
	refused("with a store that was closed")
	for _, file := range append(again, taken[4:]...) { // all, for the same reason
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	w.finishes(t, d, serve(t, w.config))
}

// TestBrokenFileSystem: what is known is shown while an error has made the file system read-only. Only mounting it again
// mends that, so the exporter is restarted. Without an error a file system does not become read-only under an exporter.
func TestBrokenFileSystem(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	w := onDisk(t, d, few)
	x := w.refreshing(t)
	if err := d.MakeReadOnly(); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("Linux was asked to make the disk of a running exporter read-only: %v", err)
	}
	d.BreakDown(t)
	waitFailures(t, x.web, "read_only")
	x.logged(t, "level=error", "cannot write to the store", "its file system has become read-only")
	if page := x.get(t, "/").body; !strings.Contains(page, "its file system has become read-only") {
		t.Error("the overview does not say that the disk is read-only")
	}
	w.keepsServing(t, x)
	x.killed = true // closing the store may fail
	began := clock()
	x.signal(t, syscall.SIGTERM)
	<-x.ended
	t.Logf("stopped in %v with code %d", clock().Sub(began), x.cmd.ProcessState.ExitCode())
	d.Remount(t)
	w.finishes(t, d, serve(t, w.config))
}
