package httpserver_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A connection whose requests all work takes at most half of the places for its further requests, and closes no other.
func TestFurtherRequestsOfAConnection(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		const limit, asked = 10, 20
		f.server.LimitConnections(limit)
		waiting := f.listener.dial()
		waiting.request("/large")
		synctest.Wait()

		transport := &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return f.listener.dial().Conn, nil },
			Protocols:   &http.Protocols{},
		}
		transport.Protocols.SetUnencryptedHTTP2(true)
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
			var block bytes.Buffer
			encoder := hpack.NewEncoder(&block)
			for _, field := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/small"}} {
				_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // a buffer never fails
			}
			if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
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
