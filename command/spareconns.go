package command

import (
	"net"
	"net/http"
	"sync"
)

// spareConns are the connections on which nothing has been asked yet, as browsers open them
// in advance. A server that shuts down would wait for a request on them.
type spareConns struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func newSpareConns() *spareConns { return &spareConns{conns: map[net.Conn]struct{}{}} }

// follow is for http.Server.ConnState.
func (s *spareConns) follow(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != http.StateNew {
		delete(s.conns, c)
		return
	}
	if s.closed {
		_ = c.Close() // nobody has asked for anything
		return
	}
	s.conns[c] = struct{}{}
}

// close closes them all, and those that are still to come.
func (s *spareConns) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close() // nobody has asked for anything
	}
}
