package store

import (
	"fmt"
	"sync"
	"time"
)

const (
	// probeInterval is for how long a disk that answered is taken to answer still: so long as a hang can
	// go unnoticed, and as rarely as a bulk of accesses waits for a small write.
	probeInterval = 100 * time.Millisecond
	// patience is how long a disk may take to answer.
	probeTimeout = 5 * time.Second
)

// disk asks the disk of the store to write something small before SQLite is used. SQLite maps its -shm
// file into memory. Where the disk hangs, a thread that touches the map waits in the kernel,
// where Go cannot see it, and with it the whole process from the next garbage collection on. In a
// system call a thread may wait for as long as it takes.
type disk struct {
	write func()

	mu sync.Mutex
	// under is the write under way; nil: there is none.
	under *probe
	// fresh is true for a while after an answer.
	fresh bool
}

// probe is one write.
type probe struct{ ended, late chan struct{} }

// errNoResponse is a disk that does not answer.
var errNoResponse = fmt.Errorf("the disk does not answer: a small write beside the store has not ended for more than %v;"+
	" see the system's log, and the network if it is a network file system", probeTimeout)

// wait waits for the disk, unless it has answered just now, but not for long.
func (d *disk) wait() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	if d.under == nil && d.fresh {
		d.mu.Unlock()
		return nil
	}
	if d.under == nil {
		d.under = &probe{ended: make(chan struct{}), late: make(chan struct{})}
		go d.ask(d.under)
	}
	p := d.under
	d.mu.Unlock()
	select {
	case <-p.ended:
		return nil
	case <-p.late:
		return errNoResponse
	}
}

func (d *disk) ask(p *probe) {
	limit := time.AfterFunc(probeTimeout, func() { close(p.late) })
	d.write()
	limit.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under, d.fresh = nil, true
	close(p.ended)
	time.AfterFunc(probeInterval, d.expire)
}

func (d *disk) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fresh = false
}

// CheckDisk returns an error if the disk of the store does not answer. It waits for seconds at the most.
func (s *Store) CheckDisk() error {
	if err := s.disk.wait(); err != nil {
		return fmt.Errorf("%s: %w", name(s.path), err)
	}
	return nil
}
