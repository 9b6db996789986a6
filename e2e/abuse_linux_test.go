package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// abuseMemory is how much memory an exporter with 10,000 accounts may take, in MB.
	abuseMemory = 250
	// longestScrape is how long a scrape may take in a measured run.
	longestScrape = time.Second
)

// strength is how much the clients of an abuse do.
type strength struct {
	measured bool // the time of scrapes and the memory are those of a machine that does nothing else
	accounts int  // of the exporter
	clients  int  // which hold connections
	idle     int  // which hold connections and send nothing, by HTTP/1.1
	flooders int  // which send as much as they can
	scrapes  int  // during each abuse
	form     int  // bytes of half a form, which the exporter reads although its client has gone
	only     []string
}

// abuseStrength is that of the environment. The one of the gate has fewer clients than the exporter allows connections, so that
// each scrape succeeds on a slow machine, too; the whole has more.
func abuseStrength() strength {
	if os.Getenv("E2E_ABUSE") != "" {
		return strength{measured: true, accounts: 10_000, clients: 2000, idle: 2000, flooders: 50, scrapes: 5, form: 900_000}
	}
	return strength{accounts: 100, clients: 100, idle: 1000, flooders: 4, scrapes: 2, form: 5_000, only: []string{
		"idle connections", "slow headers", "endless headers", "slow bodies", "endless bodies", "half a form", "unread responses", "deep expressions", "rapid reset", "continuation",
	}}
}

// victim is an exporter that is abused.
type victim struct {
	*process
	strength

	address string
	abuser  *net.TCPAddr // where the clients of an abuse come from
	phase   byte         // counts the abuses
	secure  *tls.Config  // nil: without TLS
	scraper *scraper
}

// abuse does something until the context ends, and calls ready once it has done what takes effect.
type abuse func(ctx context.Context, x *victim, ready func())

// TestAbuse has clients that take whatever they can get from an exporter. Meanwhile each scrape by a client that reads
// succeeds at the first attempt, however long it takes; afterwards a scrape succeeds and the connections are closed. Without the
// race detector the exporter is in a control group, and the kernel ends it if it takes more memory than it may. With E2E_ABUSE
// it has 10,000 accounts, the clients are more than it allows connections, on all processors but one, and each scrape takes
// less than a second.
func TestAbuse(t *testing.T) {
	much := abuseStrength()
	const days = 2
	config := manyAccounts(t, much.accounts, "http://127.0.0.1:9", days, 4)
	fillStore(t, config, much.accounts, days)
	for _, c := range []struct {
		name   string
		secure bool
		abuses map[string]abuse
	}{{"HTTP1", false, abuses(much)}, {"HTTP2", true, streamAbuses(much)}} {
		t.Run(c.name, func(t *testing.T) {
			x := newVictim(t, config, c.secure, much)
			if much.measured {
				leaveAProcessor(t)
			}
			for name, do := range c.abuses {
				if much.only == nil || slices.Contains(much.only, name) {
					t.Run(name, func(t *testing.T) { x.suffer(t, do) })
				}
			}
			x.stop(t, syscall.SIGTERM)
		})
	}
}

func newVictim(t *testing.T, config string, secure bool, much strength) *victim {
	t.Helper()
	args := []string{
		suite.binary, "--config.file=" + config, "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle", "--query.max-samples=1000000",
	}
	x := &victim{strength: much}
	scheme, trust := "http", ""
	if secure {
		folder := t.TempDir()
		x.secure = &tls.Config{RootCAs: writeCertificate(t, folder)}
		web := filepath.Join(folder, "web.yml")
		writeFile(t, web, "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n")
		args = append(args, "--web.config.file="+web)
		scheme, trust = "https", filepath.Join(folder, "cert.pem")
	}
	x.start(t, args)
	x.address = x.listensOn(t)
	x.scraper = newScraper(t, scheme+"://"+x.address+"/metrics", trust)
	eventually(t, "a scrape", func() error { _, err := x.scrape(); return err })
	return x
}

// start starts the exporter in a control group that bounds its memory. Only a measured run must have one.
func (x *victim) start(t *testing.T, args []string) {
	t.Helper()
	if withRaceDetector() { // which takes several times the memory and the time
		if x.measured {
			t.Fatal("E2E_ABUSE measures an exporter without the race detector")
		}
		x.process = start(t, args[0], args[1:]...)
		return
	}
	group, err := newControlGroup(t, abuseMemory<<20)
	if err != nil && x.measured {
		t.Fatal("the memory cannot be bounded: ", err)
	}
	if err != nil {
		t.Skip(err)
	}
	x.process = startCommand(t, inGroup(group, args...))
}

// scrape returns how long a scrape of all accounts took.
func (x *victim) scrape() (time.Duration, error) { return x.scraper.scrape(int64(50 * x.accounts)) }

// suffer scrapes during an abuse.
func (x *victim) suffer(t *testing.T, do abuse) {
	t.Helper()
	var before int
	eventually(t, "the connections of others to be gone", func() error {
		before = x.descriptors(t)
		if before > 100 {
			return fmt.Errorf("%d descriptors", before)
		}
		return nil
	})
	x.forgetPeak(t)
	x.phase++
	x.abuser = &net.TCPAddr{IP: net.IPv4(127, 0, 1, x.phase)} // which owes nothing for what others have sent
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan struct{})
	var once sync.Once
	var abuser sync.WaitGroup
	abuser.Go(func() { do(ctx, x, func() { once.Do(func() { close(ready) }) }) })
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("the abuse does not come about")
	}
	var longest time.Duration
	most, began, used, waited := 0, clock(), x.usage(t).seconds, x.waited(t)
	for range x.scrapes {
		took, err := x.scrape()
		if err != nil {
			t.Errorf("a scrape during the abuse: %v", err)
		}
		longest = max(longest, took)
		most = max(most, x.descriptors(t))
	}
	if x.measured && longest > longestScrape {
		t.Errorf("a scrape during the abuse took %v, want at most %v", longest, longestScrape)
	}
	used, waited = x.usage(t).seconds-used, x.waited(t)-waited
	took := clock().Sub(began)
	cancel()
	abuser.Wait()
	var after time.Duration
	eventually(t, "a scrape after the abuse", func() error {
		var err error
		after, err = x.scrape()
		return err
	})
	eventually(t, "the descriptors to be closed", func() error {
		if n := x.descriptors(t); n > before+20 {
			return fmt.Errorf("%d descriptors, %d before the abuse", n, before)
		}
		return nil
	})
	t.Logf("%.0f MB, %d descriptors, scrapes took up to %v, %v afterwards; in %v %.2f s of processors, %.2f s of waiting for them",
		x.usage(t).peak, most, longest, after, took, used, waited)
}

// descriptors counts the open descriptors of the process.
func (x *victim) descriptors(t *testing.T) int {
	t.Helper()
	found, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", x.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// waited returns how long the threads of the process have waited for a processor, in seconds.
func (x *victim) waited(t *testing.T) float64 {
	t.Helper()
	var sum float64
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", x.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var ran, delayed float64
		if text, err := os.ReadFile(name); err == nil { // it may have ended
			_, _ = fmt.Sscan(string(text), &ran, &delayed) // nanoseconds
		}
		sum += delayed / 1e9
	}
	return sum
}

// forgetPeak makes the kernel measure the peak of the memory from now on (proc_pid_clear_refs(5)).
func (x *victim) forgetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", x.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Logf("the peak is that of all abuses: %v", err)
	}
}

// dial opens a connection with a small buffer for what is received.
func (x *victim) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{LocalAddr: x.abuser}).DialContext(ctx, "tcp", x.address)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn) //nolint:forcetypeassert // the network is tcp
	_ = tcp.SetReadBuffer(4 << 10)
	_ = tcp.SetLinger(0) // what the exporter has not read when the abuse ends is not sent any more
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	if x.secure == nil {
		return conn, nil
	}
	config := x.secure.Clone()
	config.ServerName = loopback
	config.NextProtos = []string{"h2"}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// each has so many clients at the same time. Each does something with a connection until that fails, which is often
// since the exporter has closed it, and then again with a new one. They are ready when each has called begun once
// or was refused.
func each(clients int, do func(conn net.Conn, client int, begun func()) error) abuse {
	return func(ctx context.Context, x *victim, ready func()) {
		var all, first sync.WaitGroup
		slots := make(chan struct{}, 64) // which open a connection at the same time
		first.Add(clients)
		for i := range clients {
			all.Go(func() {
				var once sync.Once
				defer once.Do(first.Done)
				for ctx.Err() == nil {
					slots <- struct{}{}
					var opening sync.Once
					opened := func() { opening.Do(func() { <-slots }) }
					if conn, err := x.dial(ctx); err == nil {
						_ = do(conn, i, func() { opened(); once.Do(first.Done) }) // ends when it cannot go on
						_ = conn.Close()
					}
					once.Do(first.Done)
					opened()
					select { // a client that is refused comes back at once, but does not take all of the processor
					case <-time.After(100 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			})
		}
		first.Wait()
		ready()
		all.Wait()
	}
}

// bytewise sends a text byte by byte until that fails.
func bytewise(conn net.Conn, text string) error {
	for i := 0; ; i++ {
		if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
			return err
		}
		<-tick()
	}
}

// closing waits until a connection is closed and receives nothing until then.
func closing(conn net.Conn) error {
	raw, err := conn.(syscall.Conn).SyscallConn() //nolint:forcetypeassert // all connections of the package net
	if err != nil {
		return err
	}
	// What was received is looked at and left, so that the buffer stays full.
	for {
		var n int
		var peeked error
		one := make([]byte, 1)
		if err := raw.Control(func(fd uintptr) { n, _, peeked = syscall.Recvfrom(int(fd), one, syscall.MSG_PEEK|syscall.MSG_DONTWAIT) }); err != nil {
			return err
		}
		if n == 0 && peeked == nil || peeked == syscall.ECONNRESET {
			return io.EOF
		}
		<-tick()
	}
}

// answered reads a response.
func answered(conn net.Conn) error {
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// drained receives all until the connection is closed.
func drained(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// tick is the time between two bytes of a slow client.
func tick() <-chan time.Time { return time.After(200 * time.Millisecond) }
