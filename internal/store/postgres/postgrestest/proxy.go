package postgrestest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// socket is the name of a server's Unix socket in its folder.
const socket = ".s.PGSQL.5432"

// Proxy stands between clients and a server, as a network does, and can fail as one.
type Proxy struct {
	folder, server string
	listener       net.Listener
	connections    sync.WaitGroup

	mu sync.Mutex
	// open are the two ends of each connection.
	open map[net.Conn]bool
	// left is how many messages of clients are still passed on before all connections break, or before silence if
	// silently is true; negative for no limit.
	left     int
	silently bool
	// silent is true while nothing is passed on, as if all packets were lost.
	silent bool
	// resumed is closed when silence ends.
	resumed chan struct{}
}

// NewProxy starts a proxy of a server or a pooler.
func NewProxy(tb testing.TB, s interface{ Folder() string }) *Proxy {
	tb.Helper()
	folder, err := os.MkdirTemp("", "px") //nolint:usetesting // a short path: that of a socket is limited
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		folder: folder, server: filepath.Join(s.Folder(), socket), left: -1,
		open: make(map[net.Conn]bool), resumed: make(chan struct{}),
	}
	if p.listener, err = (&net.ListenConfig{}).Listen(tb.Context(), "unix", filepath.Join(folder, socket)); err != nil {
		tb.Fatal(err)
	}
	p.connections.Go(p.accept)
	tb.Cleanup(func() {
		_ = p.listener.Close() // accept ends
		p.Resume()
		p.Break()
		p.connections.Wait()
		_ = os.RemoveAll(folder)
	})
	return p
}

// URL returns the URL of a database through the proxy.
func (p *Proxy) URL(database string) string { return socketURL(p.folder, database) }

// Break breaks all connections.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakAll()
}

func (p *Proxy) breakAll() {
	for conn := range p.open {
		_ = conn.Close() // its copy ends
	}
}

// BreakAfter breaks all connections once clients have written this number of times, and then refuses new ones until it
// is called again. A negative number means never.
func (p *Proxy) BreakAfter(writes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.silently = writes, false
}

// SilenceAfter lets nothing through once clients have written this number of times, until Resume.
func (p *Proxy) SilenceAfter(writes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.silently = writes, true
}

// Silence lets nothing through and accepts no connection, until Resume.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// Resume ends the silence.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent {
		p.silent = false
		close(p.resumed)
		p.resumed = make(chan struct{})
	}
}

// pass waits during silence, and reports whether data of a client may pass.
func (p *Proxy) pass(fromClient bool) bool {
	for {
		p.mu.Lock()
		if fromClient && p.left == 0 && p.silently {
			p.left, p.silent = -1, true
		}
		silent, resumed := p.silent, p.resumed
		if !silent {
			break
		}
		p.mu.Unlock()
		<-resumed
	}
	defer p.mu.Unlock()
	if !fromClient || p.left < 0 {
		return true
	}
	if p.left == 0 {
		p.breakAll()
		return false
	}
	p.left--
	return true
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.connections.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }() // it may be closed
	server, err := (&net.Dialer{}).DialContext(context.Background(), "unix", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }() // it may be closed
	p.mu.Lock()
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.forward(server, client, true) })
	both.Go(func() { p.forward(client, server, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.open, client)
	delete(p.open, server)
	p.mu.Unlock()
}

// forward copies from one end to the other until one of them ends.
func (p *Proxy) forward(to, from net.Conn, fromClient bool) {
	defer func() { _, _ = to.Close(), from.Close() }() // the other direction ends as well
	const size = 64 << 10
	buffer := make([]byte, size)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.pass(fromClient) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
