package sqlite

import (
	"fmt"
	"sync"
	"time"
)

const (
	// probeInterval is how long a probe that succeeded is taken to hold, so that many accesses in a row wait for few
	// probes. It is short because an access is not safe from a hang that begins within it.
	probeInterval = 5 * time.Millisecond
	// probeTimeout is how long a probe may take. A stop waits for one, and must end within 5 seconds.
	probeTimeout = 4 * time.Second
)

// disk probes the disk of the store with a small write before SQLite is used. SQLite maps its -shm
// file into memory. If the disk hangs, a thread that touches the mapping blocks in the kernel, where Go
// cannot preempt it, and the next garbage collection stops the whole process. A thread that blocks in a
// system call does no such harm.
type disk struct {
	write func()

	mu sync.Mutex
	// pending is the write in progress, or nil.
	pending *probe
	// recent is true for probeInterval after a write that finished.
	recent bool
}

// probe is one write.
type probe struct{ done, overdue chan struct{} }

// errNoResponse means that the disk does not respond.
var errNoResponse = fmt.Errorf("the disk does not respond: a small write beside the store has not finished after %v;"+
	" check the system log, and the network if it is a network file system", probeTimeout)

// wait waits until the disk has responded, unless it did so recently. It fails after probeTimeout.
func (d *disk) wait() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	if d.pending == nil && d.recent {
		d.mu.Unlock()
		return nil
	}
	if d.pending == nil {
		d.pending = &probe{done: make(chan struct{}), overdue: make(chan struct{})}
		go d.ask(d.pending)
	}
	p := d.pending
	d.mu.Unlock()
	select {
	case <-p.done:
		return nil
	case <-p.overdue:
		return errNoResponse
	}
}

func (d *disk) ask(p *probe) {
	limit := time.AfterFunc(probeTimeout, func() { close(p.overdue) })
	d.write()
	limit.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending, d.recent = nil, true
	close(p.done)
	time.AfterFunc(probeInterval, d.expire)
}

func (d *disk) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recent = false
}

// CheckDisk implements store.Store.
func (s *Store) CheckDisk() error {
	if err := s.disk.wait(); err != nil {
		return fmt.Errorf("%s: %w", name(s.path), err)
	}
	return nil
}
