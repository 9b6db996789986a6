package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections are the open connections. Beyond the bound, each new one ends the one that has been
// idle for longest or, if all are busy, is ended itself.
type connections struct {
	most int

	mu     sync.Mutex
	open   map[net.Conn]*list.Element // in idle; nil for a connection that is not there
	idle   *list.List                 // of net.Conn, the one that is idle for longest first
	spare  map[net.Conn]struct{}      // on which nothing has been asked yet, as browsers open them in advance
	ending bool
}

func newConnections(most int) *connections {
	return &connections{most: most, open: map[net.Conn]*list.Element{}, idle: list.New(), spare: map[net.Conn]struct{}{}}
}

// follow is for http.Server.ConnState.
func (c *connections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.spare, conn)
	if at := c.open[conn]; at != nil {
		c.idle.Remove(at)
	}
	switch state {
	case http.StateNew:
		if c.ending || !c.room() {
			_ = conn.Close() // nobody has asked for anything
			return
		}
		c.spare[conn] = struct{}{}
		c.open[conn] = nil
	case http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
}

// room makes room for another connection.
func (c *connections) room() bool {
	if len(c.open) < c.most {
		return true
	}
	longest := c.idle.Front()
	if longest == nil {
		return false
	}
	conn := c.idle.Remove(longest).(net.Conn)
	delete(c.open, conn)
	_ = conn.Close() // it waits for a request
	return true
}

// closeSpare closes the spare connections, for which a server that shuts down would wait, and those
// that are still to come.
func (c *connections) closeSpare() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for conn := range c.spare {
		_ = conn.Close() // nobody has asked for anything
	}
}
