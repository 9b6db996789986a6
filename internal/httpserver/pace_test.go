package httpserver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/racetest"
)

// What the clients of an address may send, in bytes.
const (
	atOnce    = 1 << 20
	perSecond = 512 << 10
)

// brokenDetector says why tests with thousands of connections skip with the race detector.
const brokenDetector = "the race detector breaks down with so many connections in a bubble (golang/go#78156); scripts/test.sh runs this test without it"

// answeredAfter returns how long a request on a new connection takes by the clock of the bubble.
func answeredAfter(f fixture, host string) (time.Duration, error) {
	c := f.listener.dialFrom(host)
	defer func() { _ = c.Close() }()
	began := time.Now()
	c.request("/small")
	code, _, err := c.response()
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status %d", code)
	}
	return time.Since(began), err
}

// TestSendingIsPaced: clients that send much are read later than they send; those of other addresses are not.
func TestSendingIsPaced(t *testing.T) {
	for name, send := range map[string]func(c *client, begun func()) (sent int, err error){
		"a body": func(c *client, begun func()) (int, error) {
			text := fmt.Sprintf("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 2*atOnce, strings.Repeat("a", 2*atOnce))
			n, err := io.WriteString(c, text[:atOnce])
			if err != nil {
				return n, err
			}
			begun()
			more, err := io.WriteString(c, text[atOnce:])
			return n + more, err
		},
		"single bytes": func(c *client, begun func()) (int, error) {
			const readCost = 64 // counted for each
			n := 0
			_, err := fmt.Fprintf(c, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", atOnce)
			for ; n*readCost < 2*atOnce && err == nil; n++ {
				_, err = io.WriteString(c, "a")
				if n*readCost == atOnce {
					begun()
				}
			}
			return n * readCost, err
		},
		"pings": func(c *client, begun func()) (int, error) {
			const size = 17
			framer, err := speak(c)
			n := 0
			for ; n*size < atOnce*5/4 && err == nil; n++ {
				if err = framer.WritePing(false, [8]byte{}); n*size/atOnce > (n-1)*size/atOnce {
					begun()
				}
			}
			return n * size, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(f fixture) {
				close(f.work)
				c := f.listener.dialFrom("192.0.2.7")
				began, behind := time.Now(), make(chan struct{})
				var sent int
				var err error
				done := make(chan struct{})
				go func() {
					defer close(done)
					sent, err = send(c, func() { close(behind) })
				}()
				<-behind
				if took, err := answeredAfter(f, "192.0.2.8"); err != nil || took > 0 {
					t.Errorf("another address is answered after %v: %v", took, err)
				}
				if took, err := answeredAfter(f, "192.0.2.7"); err != nil || took > time.Second {
					t.Errorf("another client of the address is answered after %v: %v", took, err)
				}
				<-done
				took, least := time.Since(began), time.Duration(sent-atOnce)*time.Second/perSecond
				if err != nil || took < least {
					t.Errorf("%d bytes are read within %v, want %v at least: %v", sent, took, least, err)
				}
				_ = c.Close()
				wait(time.Minute)
				if took, err := answeredAfter(f, "192.0.2.7"); err != nil || took > 0 {
					t.Errorf("the address is answered after %v when it has sent nothing for a minute: %v", took, err)
				}
			})
		})
	}
}

// TestProbesArePunctual: a Prometheus that probes 10,000 accounts once a minute, each on a connection of its own, does not wait.
func TestProbesArePunctual(t *testing.T) {
	if racetest.Enabled() {
		t.Skip("20,000 connections; scripts/test.sh runs this test without the race detector")
	}
	serve(t, func(f fixture) {
		const probes, minutes, size = 10_000, 2, 600
		path := "/small?" + strings.Repeat("a", size)
		began, latest := time.Now(), time.Duration(0)
		for n := range probes * minutes {
			due := began.Add(time.Duration(n) * time.Minute / probes)
			wait(time.Until(due))
			c := f.listener.dialFrom("192.0.2.1")
			c.request(path)
			if code, _, err := c.response(); err != nil || code != http.StatusOK {
				f.t.Fatalf("status %d, %v", code, err)
			}
			latest = max(latest, time.Since(due))
			_ = c.Close()
		}
		if latest > 100*time.Millisecond {
			f.t.Errorf("a probe was answered after %v", latest)
		}
	})
}

// TestConnectionsArePaced: an address that opens many connections waits, and those that would wait longer than a request may take are
// closed at once, or refused.
func TestConnectionsArePaced(t *testing.T) {
	if racetest.Enabled() {
		t.Skip(brokenDetector)
	}
	serve(t, func(f fixture) {
		t := f.t
		const each, headerSeconds, opened = 1024, 10, 8000
		f.server.LimitConnections(2 * opened)
		first := f.listener.dialFrom("2001:db8::")
		synctest.Wait()
		var all []*client
		for i := range opened {
			all = append(all, f.listener.dialFrom(fmt.Sprintf("2001:db8::%x", i))) // a client has a whole network of IPv6
		}
		synctest.Wait()
		began, closed := time.Now(), 0
		for _, c := range all {
			_ = c.SetReadDeadline(began)
			if _, err := c.reader.ReadByte(); err == io.EOF {
				closed++
			}
		}
		if want := opened + 1 - (atOnce+headerSeconds*perSecond)/each; closed < want-1 || closed > want {
			t.Errorf("%d of %d connections were closed at once, want %d", closed, opened, want)
		}
		if took, err := answeredAfter(f, "2001:db8:0:1::"); err != nil || took > 0 {
			t.Errorf("another network is answered after %v: %v", took, err)
		}
		first.request("/small") // whose turn it is
		if code, _, err := first.response(); code != http.StatusServiceUnavailable {
			t.Errorf("a request of the network: %d, %v", code, err)
		}
		last := all[opened-closed-1]
		_ = last.SetReadDeadline(time.Time{})
		last.request("/small")
		if _, _, _ = last.response(); time.Since(began) > headerSeconds*time.Second {
			t.Errorf("the last connection waits for %v", time.Since(began))
		}
		for _, c := range all {
			_ = c.Close()
		}
		wait(headerSeconds * time.Second)
		if took, err := answeredAfter(f, "2001:db8::1"); err != nil || took > 0 {
			t.Errorf("the network is answered after %v when it has opened nothing for a while: %v", took, err)
		}
	})
}

// TestDeadlinesOfPacedClients: a body must arrive in time although its next byte would be read later still.
func TestDeadlinesOfPacedClients(t *testing.T) {
	if racetest.Enabled() {
		t.Skip(brokenDetector)
	}
	serve(t, func(f fixture) {
		t := f.t
		const each, givenUp = 1024, 320
		f.server.LimitConnections(100_000)
		close(f.work)
		c := f.listener.dial()
		began := time.Now()
		_, _ = io.WriteString(c, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
		var others []*client
		for range givenUp {
			other := f.listener.dial()
			other.request("/patient")
			others = append(others, other)
		}
		synctest.Wait()
		for _, other := range others {
			_ = other.Close()
		}
		synctest.Wait() // now the address has to wait for eight seconds
		go func() {
			for {
				if _, err := c.Write([]byte("a")); err != nil {
					return
				}
			}
		}()
		for range 29 { // and goes on to
			wait(time.Second)
			for range perSecond / each {
				_ = f.listener.dial().Close()
			}
		}
		if err := <-f.ended; err == nil || time.Since(began).Round(time.Second/10) != 30*time.Second {
			t.Errorf("the body ended after %v: %v", time.Since(began), err)
		}
		_ = c.Close()
	})
}
