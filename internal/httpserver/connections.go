package httpserver

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections are the open connections and their requests. Beyond the limit, a new connection or request closes the
// connection that has waited for its client the longest or, if none waits, is refused itself. A connection waits for
// its client while it is idle, while it receives a request, and while all its requests receive a body or send a
// response; the position counts from the last time that it received or sent something of these. One that has a request
// is spared for graceTime: a flood of short requests, each with a connection of its own, does not cut off a scrape.
//
// With HTTP/2 a connection can have several requests. Those beyond the first of each may take only half of the limit, so
// that a few connections whose requests all work do not take the place of others. A connection whose client gives up one
// request after the other is closed.
type connections struct {
	limit int
	now   func() time.Time

	mu      sync.Mutex
	open    map[net.Conn]*connection
	seats   int                   // of all connections
	further int                   // of these, for requests beyond the first of a connection
	idle    *list.List            // of *connection that waits without a request, the one that has waited the longest first
	stalled *list.List            // of *connection that waits with requests, in the same order
	unused  map[net.Conn]struct{} // without a request so far; browsers open such in advance
	closed  bool                  // no further connections are accepted
}

// connection is an open connection.
type connection struct {
	conn     net.Conn
	requests int           // that are served; with HTTP/2 there can be several
	working  int           // of these, those that do not wait for the client
	givenUp  int           // requests that the client has given up, less those that were answered
	queue    *list.List    // the one of connections that it is in; nil unless the connection waits
	place    *list.Element // in queue
	since    time.Time     // when it began to wait
}

// seats is what a connection counts towards the limit.
func (c *connection) seats() int { return max(1, c.requests) }

func newConnections(limit int, now func() time.Time) *connections {
	return &connections{limit: limit, now: now, open: map[net.Conn]*connection{}, idle: list.New(), stalled: list.New(), unused: map[net.Conn]struct{}{}}
}

// track implements http.Server.ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unused, conn)
	switch state {
	case http.StateNew:
		if c.closed || !c.makeRoom() {
			_ = conn.Close() // it has no request yet
			return
		}
		c.unused[conn] = struct{}{}
		added := &connection{conn: conn}
		c.open[conn] = added
		c.seats++
		c.place(added)
	case http.StateIdle:
		if known := c.open[conn]; known != nil {
			c.place(known)
		}
	case http.StateClosed, http.StateHijacked:
		if known := c.open[conn]; known != nil {
			c.forget(known)
		}
	case http.StateActive: // the first byte of a request is not one yet
	}
}

// place puts a connection at the end of those that wait, or takes it out if it does not.
func (c *connections) place(at *connection) {
	if at.queue != nil {
		at.queue.Remove(at.place)
		at.queue, at.place = nil, nil
	}
	if at.working == 0 && c.open[at.conn] == at {
		at.queue = c.idle
		if at.requests > 0 {
			at.queue = c.stalled
		}
		at.place = at.queue.PushBack(at)
		at.since = c.now()
	}
}

func (c *connections) forget(at *connection) {
	delete(c.open, at.conn)
	c.seats -= at.seats()
	c.further -= at.seats() - 1
	c.place(at)
}

// makeRoom makes room for another connection or request, and reports whether there is any.
func (c *connections) makeRoom() bool {
	for c.seats >= c.limit {
		at := c.longest()
		if at == nil {
			return false
		}
		delete(c.unused, at.conn)
		c.close(at)
	}
	return true
}

func (c *connections) close(at *connection) {
	c.forget(at)
	// With TLS, Close would wait for the client.
	go func() { _ = at.conn.Close() }()
}

// longest returns the connection that has waited the longest and may be closed; nil if there is none.
func (c *connections) longest() *connection {
	idle, stalled := first(c.idle), first(c.stalled)
	if stalled == nil || c.now().Sub(stalled.since) < graceTime || idle != nil && idle.since.Before(stalled.since) {
		return idle
	}
	return stalled
}

// first returns the first connection of a list; nil if it is empty.
func first(of *list.List) *connection {
	if of.Len() == 0 {
		return nil
	}
	return of.Front().Value.(*connection) //nolint:forcetypeassert // it has no others
}

// begin counts a request of a connection until end is called. It returns false if there is no room.
func (c *connections) begin(conn net.Conn) (*connection, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.open[conn]
	if at == nil {
		return nil, false // it is closed already
	}
	at.working++
	c.place(at) // so that it is not closed for itself
	if at.requests > 0 && (c.further >= c.limit/2 || !c.makeRoom()) {
		at.working--
		c.place(at)
		return nil, false
	}
	c.count(at, 1)
	return at, true
}

// count changes the number of requests of a connection.
func (c *connections) count(at *connection, change int) {
	before := at.seats()
	at.requests += change
	if c.open[at.conn] == at {
		c.seats += at.seats() - before
		c.further += at.seats() - before
	}
}

func (c *connections) end(at *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(at, -1)
	at.working--
	c.place(at)
}

// judge counts whether the client of a connection has given up a request. Too many close the connection: with HTTP/2 a client
// can begin and give up as many as it likes.
func (c *connections) judge(conn net.Conn, givenUp bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.open[conn]
	switch {
	case at == nil: // it is closed already
	case !givenUp:
		at.givenUp = max(0, at.givenUp-1)
	default:
		if at.givenUp++; at.givenUp > maxGivenUp {
			c.close(at)
		}
	}
}

// wait says that a request begins to wait for its client, and proceed that it no longer does.
func (c *connections) wait(at *connection) { c.work(at, -1) }

func (c *connections) proceed(at *connection) { c.work(at, 1) }

func (c *connections) work(at *connection, change int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at.working += change
	c.place(at)
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

// connKey is the key of a request's connection in its context.
type connKey struct{}

// remember implements http.Server.ConnContext.
func remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf returns the connection of a request.
func connOf(r *http.Request) net.Conn {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	return conn
}
