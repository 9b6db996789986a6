package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections are the open connections. Beyond the limit, a new one closes the one that has been
// idle the longest or, if all are busy, is closed itself.
type connections struct {
	limit int

	mu     sync.Mutex
	open   map[net.Conn]*list.Element // its element of idle; nil for a connection that is not idle
	idle   *list.List                 // of net.Conn, the one that has been idle the longest first
	unused map[net.Conn]struct{}      // without a request so far; browsers open such in advance
	closed bool                       // no further connections are accepted
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, open: map[net.Conn]*list.Element{}, idle: list.New(), unused: map[net.Conn]struct{}{}}
}

// track implements http.Server.ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unused, conn)
	if at := c.open[conn]; at != nil {
		c.idle.Remove(at)
	}
	switch state {
	case http.StateNew:
		if c.closed || !c.makeRoom() {
			_ = conn.Close() // it has no request yet
			return
		}
		c.unused[conn] = struct{}{}
		c.open[conn] = nil
	case http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
}

// makeRoom makes room for another connection, and reports whether there is any.
func (c *connections) makeRoom() bool {
	if len(c.open) < c.limit {
		return true
	}
	longest := c.idle.Front()
	if longest == nil {
		return false
	}
	conn := c.idle.Remove(longest).(net.Conn)
	delete(c.open, conn)
	_ = conn.Close() // it is idle
	return true
}

// closeUnused closes the unused connections, for which a server that shuts down would wait, and those
// that follow.
func (c *connections) closeUnused() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.unused {
		_ = conn.Close() // it has no request yet
	}
}
