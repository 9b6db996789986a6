package probe

import (
	"slices"
	"sync"
)

// Kept is how many probes are remembered, and how many failed ones that are older.
const Kept = 100

// history remembers the latest probes, and failed ones for longer. The zero value is empty.
type history struct {
	mu     sync.Mutex
	last   int64    // the number of the latest
	recent []Result // the oldest first
	failed []Result // older than recent, the oldest first
}

// add gives a result its number and remembers it.
func (h *history) add(r Result) Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	r.ID = h.last
	if len(h.recent) == Kept {
		if oldest := h.recent[0]; !oldest.Success() {
			if len(h.failed) == Kept {
				h.failed = slices.Delete(h.failed, 0, 1)
			}
			h.failed = append(h.failed, oldest)
		}
		h.recent = slices.Delete(h.recent, 0, 1)
	}
	h.recent = append(h.recent, r)
	return r
}

// all returns what is remembered, the latest first.
func (h *history) all() []Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Concat(h.failed, h.recent)
	slices.Reverse(all)
	return all
}

// History returns the latest probes, and older ones that failed, the latest first.
func (p *Prober) History() []Result { return p.history.all() }
