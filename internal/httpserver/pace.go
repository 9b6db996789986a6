package httpserver

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// sendRate limits what the clients of an address send, in bytes per second; a client that sends more is read later.
	// It limits the work that they can make of what Go's HTTP/2 and TLS do before a handler runs: frames of all kinds,
	// requests that are reset at once, handshakes. A scrape sends about 600 bytes; a Prometheus that probes 10,000 accounts once a minute
	// opens 167 connections a second, since they are more than maxConnections, and needs 300 KB, or 450 KB with TLS.
	sendRate = 512 << 10
	// sendBurst is what they may send at once: a body as large as any that is accepted.
	sendBurst = 1 << 20
	// connectionCost is what a connection counts, as a handshake is more work than its bytes.
	connectionCost = 1 << 10
	// givenUpCost is what a request counts that its client gives up: nothing has come of the work for it, and with HTTP/2 a client can
	// begin and give up as many as it likes. A Prometheus gives up one at each scrape that takes too long.
	givenUpCost = 16 << 10
	// readCost is what each read counts besides its bytes, so that single bytes are not cheap.
	readCost = 64
	// maxRead limits the bytes of a read, and with them the time that the clients of an address wait for one another.
	maxRead = 4 << 10
	// maxDebt is what an address can owe at most. Its further connections are closed at once, as their clients would not be
	// read before headerTimeout, and its requests are refused.
	maxDebt = sendRate * int(headerTimeout/time.Second)
	// ipv6Bits are those of an address of IPv6 that a single client cannot choose.
	ipv6Bits = 64
	// fewAddresses is how many addresses are kept before those that no longer matter are removed.
	fewAddresses = 1024
)

// pace limits what the clients of each address send.
type pace struct {
	now func() time.Time

	mu        sync.Mutex
	addresses map[string]*address
	most      int // addresses that are kept before they are looked through
}

// address is where clients connect from.
type address struct {
	sent  *rate.Limiter // of what they send
	conns int           // that are open
}

// owesAll reports whether the address owes as much as it can.
func (a *address) owesAll(now time.Time) bool { return a.sent.TokensAt(now) < -float64(maxDebt) }

func newPace(now func() time.Time) *pace {
	return &pace{now: now, addresses: map[string]*address{}, most: fewAddresses}
}

// hostOf returns what clients have in common that share a limit: an address of IPv4, or a network of IPv6.
func hostOf(remote net.Addr) string {
	host, _, err := net.SplitHostPort(remote.String())
	if err != nil {
		return remote.String() // of a socket of Unix
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host // of vsock
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, ipv6Bits).Masked().String()
}

// admit returns the connection as one that is paced; nil if its address has sent too much.
func (p *pace) admit(conn net.Conn) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, host := p.now(), hostOf(conn.RemoteAddr())
	from := p.addresses[host]
	if from == nil {
		p.forgetSome(now)
		from = &address{sent: rate.NewLimiter(sendRate, sendBurst)}
		p.addresses[host] = from
	}
	if from.owesAll(now) {
		return nil
	}
	from.conns++
	admitted := &pacedConn{Conn: conn, pace: p, from: from, changed: make(chan struct{})}
	admitted.charge(connectionCost)
	return admitted
}

// forgetSome forgets the addresses that are as if they had never connected, if there are many.
func (p *pace) forgetSome(now time.Time) {
	if len(p.addresses) < p.most {
		return
	}
	for host, from := range p.addresses {
		if from.conns == 0 && from.sent.TokensAt(now) >= sendBurst {
			delete(p.addresses, host)
		}
	}
	p.most = max(fewAddresses, 2*len(p.addresses)) //nolint:mnd // so that each is looked at a few times only
}

func (p *pace) left(from *address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from.conns--
}

// pacedListener accepts connections that are paced.
type pacedListener struct {
	net.Listener

	pace *pace
}

func (l *pacedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.pace.admit(conn); admitted != nil {
			return admitted, nil
		}
		_ = conn.Close() // nothing was read of it
	}
}

// pacedConn is a connection that is read only as fast as its address may send.
type pacedConn struct {
	net.Conn

	pace *pace
	from *address

	mu       sync.Mutex
	due      time.Time     // when it may be read again
	deadline time.Time     // of reads; zero: none
	changed  chan struct{} // closed when the deadline has changed or the connection is closed
	closed   bool
}

// Read waits until the address may send again. A deadline and Close end that, too.
func (c *pacedConn) Read(p []byte) (int, error) {
	for again := true; again; {
		var err error
		if again, err = c.wait(); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p[:min(len(p), maxRead)])
	c.charge(n + readCost)
	return n, err
}

// charge counts what was sent, and puts off the next read if that is too much.
func (c *pacedConn) charge(n int) {
	now := c.pace.now()
	if c.from.owesAll(now) {
		n = 0
	}
	due := now.Add(c.from.sent.ReserveN(now, n).DelayFrom(now))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = due
}

// paced returns the paced connection of a request's connection; nil if it has none.
func paced(conn net.Conn) *pacedConn {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok { // tls.Conn is one
		conn = secured.NetConn()
	}
	found, _ := conn.(*pacedConn)
	return found
}

// owesAll reports whether the address of a connection owes as much as it can.
func owesAll(conn net.Conn) bool {
	c := paced(conn)
	return c != nil && c.from.owesAll(c.pace.now())
}

// chargeGivenUp counts a request on a connection that its client has given up.
func chargeGivenUp(conn net.Conn) {
	if c := paced(conn); c != nil {
		c.charge(givenUpCost)
	}
}

// wait waits until the connection may be read, and reports whether that time or the deadline has changed meanwhile.
func (c *pacedConn) wait() (bool, error) {
	c.mu.Lock()
	due, deadline, change, closed := c.due, c.deadline, c.changed, c.closed
	c.mu.Unlock()
	now := c.pace.now()
	left := due.Sub(now)
	if closed || left <= 0 {
		return false, nil
	}
	var err error
	if !deadline.IsZero() && deadline.Before(due) {
		left, err = deadline.Sub(now), os.ErrDeadlineExceeded
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, err
	case <-change:
		return true, nil
	}
}

// SetDeadline implements net.Conn.
func (c *pacedConn) SetDeadline(t time.Time) error {
	err := c.Conn.SetDeadline(t)
	c.change(func() { c.deadline = t })
	return err
}

// SetReadDeadline implements net.Conn.
func (c *pacedConn) SetReadDeadline(t time.Time) error {
	err := c.Conn.SetReadDeadline(t)
	c.change(func() { c.deadline = t })
	return err
}

// Close implements net.Conn.
func (c *pacedConn) Close() error {
	err := c.Conn.Close()
	c.change(func() {
		if !c.closed {
			c.pace.left(c.from)
		}
		c.closed = true
	})
	return err
}

// change changes what a read waits for.
func (c *pacedConn) change(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
	close(c.changed)
	c.changed = make(chan struct{})
}

// CloseWrite lets http.Server end a response before it closes a connection whose client still sends, so that the client can
// read it. TCP has it.
func (c *pacedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return nil
}
