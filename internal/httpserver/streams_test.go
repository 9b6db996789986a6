package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2 returns a transport whose connections speak HTTP/2.
func (f fixture) http2() *http.Transport {
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return f.listener.dial().Conn, nil },
		Protocols:   &http.Protocols{},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return transport
}

// A connection whose requests all work takes at most half of the places for its further requests, and closes no other.
func TestFurtherRequestsOfAConnection(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		const limit, asked = 10, 20
		f.server.LimitConnections(limit)
		waiting := f.listener.dial()
		waiting.request("/large")
		synctest.Wait()

		transport := f.http2()
		defer transport.CloseIdleConnections()
		var all sync.WaitGroup
		statuses := make(chan int, asked)
		get := func() {
			all.Go(func() {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/work", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Error(err)
					return
				}
				_ = response.Body.Close()
				statuses <- response.StatusCode
			})
			synctest.Wait()
		}
		for range asked {
			get()
		}
		another := f.listener.dial()
		another.request("/small")
		if code, _, err := another.response(); code != http.StatusOK {
			t.Errorf("another connection: %d, %v", code, err)
		}
		if code, body, err := waiting.response(); code != http.StatusOK || len(body) != 1<<20 {
			t.Errorf("the connection that waits for its client was closed after %d bytes: %v", len(body), err)
		}
		close(f.work)
		all.Wait()
		close(statuses)
		counts := map[int]int{}
		for status := range statuses {
			counts[status]++
		}
		if counts[http.StatusOK] != 1+limit/2 || counts[http.StatusServiceUnavailable] != asked-1-limit/2 {
			t.Errorf("statuses %v", counts)
		}
	})
}

// TestUnreadSmallResponses: what a handler has written and the client does not take counts after the handler has returned,
// and refusing a request needs nothing of the client.
func TestUnreadSmallResponses(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		const limit, asked = 10, 20
		f.server.LimitConnections(limit)
		c := f.listener.dial()
		framer := http2.NewFramer(c, c)
		refused, begun := make(chan struct{}, asked), make(chan struct{}, asked)
		var reading sync.WaitGroup
		reading.Go(func() {
			framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			for {
				frame, err := framer.ReadFrame()
				if err != nil {
					return
				}
				headers, ok := frame.(*http2.MetaHeadersFrame)
				switch {
				case !ok:
				case headers.PseudoValue("status") == "503" && headers.StreamEnded():
					refused <- struct{}{}
				case headers.PseudoValue("status") == "200":
					begun <- struct{}{}
				}
			}
		})
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
			t.Fatal(err)
		}
		for i := range uint32(asked) {
			if err := get(framer, 2*i+1, "/small"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if len(begun) != 1+limit/2 || len(refused) != asked-1-limit/2 {
			t.Errorf("%d responses have begun and %d requests are refused, want %d and %d", len(begun), len(refused), 1+limit/2, asked-1-limit/2)
		}
		_ = c.Close()
		reading.Wait()
	})
}

// get sends a request on a stream.
func get(framer *http2.Framer, stream uint32, path string) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", path}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // a buffer never fails
	}
	return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// speak begins to speak HTTP/2, and discards what it receives.
func speak(c *client) (*http2.Framer, error) {
	go func() { _, _ = io.Copy(io.Discard, c) }()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return nil, err
	}
	framer := http2.NewFramer(c, nil)
	return framer, framer.WriteSettings()
}

// TestRequestsThatAreGivenUp: a client that gives up requests one after the other loses its connection, but not one that lets as many
// be answered. In both cases its address waits for that, and no other does.
func TestRequestsThatAreGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		answered int // requests for each that is given up
		closed   int // after how many of those; 0: never
	}{
		"all":  {0, 101},
		"half": {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(f fixture) {
				t := f.t
				const most, cost = 200, 16 << 10
				began := time.Now()
				conn := f.listener.dial()
				framer, err := speak(conn)
				stream, begun := uint32(1), 0
				for ; begun < most && err == nil; begun++ {
					for range c.answered {
						if err := get(framer, stream, "/small"); err != nil {
							t.Fatal(err)
						}
						stream += 2
						synctest.Wait()
					}
					if err = get(framer, stream, "/patient"); err == nil {
						synctest.Wait()
						err = framer.WriteRSTStream(stream, http2.ErrCodeCancel)
					}
					stream += 2
					synctest.Wait()
				}
				if c.closed == 0 && err != nil {
					t.Errorf("closed after %d requests: %v", begun, err)
				}
				if c.closed > 0 && (err == nil || begun != c.closed+1) { // the last one finds it closed
					t.Errorf("%d requests were begun and given up, the last with %v; want %d", begun-1, err, c.closed)
				}
				least := time.Duration((begun-1)*cost-atOnce) * time.Second / perSecond
				if took := time.Since(began); took < least {
					t.Errorf("%d requests were given up within %v, want %v at least", begun, took, least)
				}
				if took, err := answeredAfter(f, "192.0.2.8"); err != nil || took > 0 {
					t.Errorf("another address is answered after %v: %v", took, err)
				}
				_ = conn.Close()
			})
		})
	}
}

// TestRapidReset: however many connections give up requests as fast as they can, few of these are worked for.
func TestRapidReset(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		const clients, seconds, cost, headerSeconds = 50, 30, 16 << 10, 10
		ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
		defer cancel()
		var all sync.WaitGroup
		var sent atomic.Int64 // requests
		for range clients {
			all.Go(func() {
				for ctx.Err() == nil {
					c := f.listener.dialFrom("192.0.2.7")
					stop := context.AfterFunc(ctx, func() { _ = c.Close() })
					_, err := speak(c)
					for stream := uint32(1); err == nil; {
						var many bytes.Buffer
						begun := stream
						for framer := http2.NewFramer(&many, nil); many.Len() < 4<<10 && err == nil; stream += 2 {
							err = errors.Join(get(framer, stream, "/patient"), framer.WriteRSTStream(stream, http2.ErrCodeCancel))
						}
						if err == nil {
							_, err = many.WriteTo(c)
							sent.Add(int64(stream-begun) / 2)
						}
					}
					stop()
					_ = c.Close()
					wait(time.Second / 10)
				}
			})
		}
		wait(seconds * time.Second / 2)
		if took, err := answeredAfter(f, "192.0.2.8"); err != nil || took > 0 {
			t.Errorf("another address is answered after %v: %v", took, err)
		}
		all.Wait()
		synctest.Wait()
		most := int64(atOnce+(headerSeconds+seconds)*perSecond) / cost
		if n := f.patience.Load(); n > most || sent.Load() < most {
			t.Errorf("%d of %d requests were worked for, want at most %d", n, sent.Load(), most)
		}
		t.Logf("%d of %d requests were worked for", f.patience.Load(), sent.Load())
	})
}
