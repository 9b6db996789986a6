package e2e_test

import (
	"bytes"
	"io"
	"net"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// streams speaks HTTP/2 as no client should.
type streams struct {
	*http2.Framer

	next uint32 // the id of the next stream
}

// speak begins to speak HTTP/2. Nothing is ever read unless the caller does.
func speak(conn net.Conn, settings ...http2.Setting) (*streams, error) {
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return nil, err
	}
	s := &streams{http2.NewFramer(conn, conn), 1}
	s.AllowIllegalWrites = true
	return s, s.WriteSettings(settings...)
}

// headerBlock encodes the headers of a request.
func headerBlock(method, path string, more ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	all := append([]string{":method", method, ":scheme", "https", ":authority", "abuse", ":path", path}, more...)
	for i := 0; i < len(all); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}) // a buffer never fails
	}
	return block.Bytes()
}

// open sends the headers of a request and returns its stream.
func (s *streams) open(block []byte, endHeaders, endStream bool) (uint32, error) {
	id := s.next
	s.next += 2
	return id, s.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: endHeaders, EndStream: endStream})
}

// discard reads all that the exporter sends.
func discard(conn net.Conn) { go func() { _, _ = io.Copy(io.Discard, conn) }() }

// streamAbuses are those by HTTP/2.
func streamAbuses(much strength) map[string]abuse {
	return map[string]abuse{
		"idle connections": each(much.clients, func(conn net.Conn, _ int, begun func()) error {
			_, err := speak(conn)
			begun()
			if err != nil {
				return err
			}
			return drained(conn)
		}),
		"rapid reset": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			discard(conn)
			s, err := speak(conn)
			all := abusedQueries()
			q := all[client%len(all)]
			block := q.block()
			for err == nil {
				var id uint32
				if id, err = s.open(block, true, q.body == ""); err == nil {
					err = s.WriteRSTStream(id, http2.ErrCodeCancel)
				}
				begun()
			}
			return err
		}),
		"continuation": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			discard(conn)
			s, err := speak(conn)
			if err == nil {
				_, err = s.open(headerBlock("GET", "/metrics"), false, true)
			}
			piece := [][]byte{nil, headerBlock("GET", "/", "x-long", strings.Repeat("a", 10_000))}[client%2]
			for err == nil {
				err = s.WriteContinuation(1, false, piece)
				begun()
			}
			return err
		}),
		"pings and settings": each(much.flooders, func(conn net.Conn, client int, begun func()) error {
			s, err := speak(conn)
			for i := 0; err == nil; i++ {
				if client%2 == 0 {
					err = s.WritePing(false, [8]byte{})
				} else {
					err = s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i % 1000)})
				}
				if i > 1000 {
					begun()
				}
			}
			return err
		}),
		"unread responses": each(much.clients/20, func(conn net.Conn, client int, begun func()) error {
			discard(conn)
			s, err := speak(conn, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			all := abusedQueries()
			for i := range 100 { // more than the exporter allows
				if err == nil {
					err = s.send(all[(client+i)%len(all)], "accept-encoding", []string{"gzip", "identity"}[client%2])
				}
			}
			begun()
			for err == nil { // the window of a stream opens by one byte at a time
				<-tick()
				err = s.WriteWindowUpdate(1, 1)
			}
			return err
		}),
		"half a form": each(much.clients/20, func(conn net.Conn, client int, begun func()) error {
			discard(conn)
			s, err := speak(conn)
			paths := []string{"/api/v1/query", "/-/reload", "/api/v1/read"}
			for i := range 30 {
				var id uint32
				if err == nil {
					id, err = s.open(headerBlock("POST", paths[(client+i)%len(paths)], "content-type", "application/x-www-form-urlencoded"), true, false)
				}
				if err == nil {
					err = s.WriteData(id, false, make([]byte, 16<<10))
				}
			}
			begun()
			for err == nil {
				<-tick()
				err = s.WriteData(1, false, []byte("a"))
			}
			return err
		}),
		"large frames": each(much.flooders, func(conn net.Conn, _ int, begun func()) error {
			discard(conn)
			s, err := speak(conn)
			if err == nil {
				_, err = s.open(headerBlock("POST", "/api/v1/query"), true, false)
			}
			for err == nil {
				err = s.WriteData(1, false, make([]byte, 1<<20))
				begun()
			}
			return err
		}),
	}
}
