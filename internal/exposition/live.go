package exposition

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"weixin_exporter/internal/gate"
)

// live is the part of a response that is gathered for each scrape, and the end of the format.
type live struct {
	plain   []byte
	deflate []byte // plain as a deflate stream that ends a member
}

// liveKey is what the live part depends on.
type liveKey struct {
	format expfmt.Format
	first  bool // the shard has the live metrics
}

// maxGatherings limits the gatherings at a time. It is more than one, so that one that hangs does not stop all.
const maxGatherings = 4

// sharedLive gathers the live part. The scrapes of kept bytes that have to wait for a gathering share the next one, so the work does
// not grow with their number and none has to be refused. The others, whose number is limited, gather their own.
type sharedLive struct {
	turns *gate.Gate

	mu   sync.Mutex
	next map[liveKey]*gathering // those that have not begun: no more than there are formats and escapings
}

func newSharedLive() sharedLive {
	return sharedLive{turns: gate.New(maxGatherings), next: map[liveKey]*gathering{}}
}

// gathering is shared by the scrapes that arrive before it begins.
type gathering struct {
	over chan struct{} // closed when live and err are set
	live *live
	err  error
}

var (
	errHanging  = unavailableError{"The metrics of the exporter itself cannot be gathered now. Try again later."}
	errPanicked = errors.New("gathering the metrics panicked")
)

// get returns what gather returns in a call that begins after that of get. The error is an unavailableError if that takes
// more than ten seconds to begin, or if ctx ends.
func (s *sharedLive) get(ctx context.Context, key liveKey, gather func() (*live, error)) (*live, error) {
	s.mu.Lock()
	shared := s.next[key]
	if shared == nil {
		own := &gathering{over: make(chan struct{}), err: errPanicked}
		s.next[key] = own
		s.mu.Unlock()
		s.run(context.WithoutCancel(ctx), key, own, gather) // others wait for it, too
		return own.live, own.err
	}
	s.mu.Unlock()
	select {
	case <-shared.over:
		return shared.live, shared.err
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}

func (s *sharedLive) run(ctx context.Context, key liveKey, own *gathering, gather func() (*live, error)) {
	defer close(own.over)
	entered := s.turns.Enter(ctx)
	s.mu.Lock()
	delete(s.next, key)
	s.mu.Unlock()
	if !entered {
		own.err = errHanging
		return
	}
	defer s.turns.Leave()
	own.live, own.err = gather()
}

// alone calls gather for a single scrape. The errors are those of get and gather.
func (s *sharedLive) alone(ctx context.Context, gather func() error) error {
	if !s.turns.Enter(ctx) {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return errHanging
	}
	defer s.turns.Leave()
	return gather()
}

// gatherLive writes the metrics of the registry and the end of the format. wanted are the names of the families; nil means all.
func gatherLive(to *bytes.Buffer, from *prometheus.Registry, key liveKey, wanted map[string]bool) error {
	to.Reset()
	encoder := expfmt.NewEncoder(to, key.format)
	if key.first {
		found, err := from.Gather()
		if err != nil {
			return err
		}
		for _, f := range found {
			if wanted != nil && !wanted[f.GetName()] {
				continue
			}
			if err := encoder.Encode(f); err != nil {
				return err
			}
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		return closer.Close() // the line "# EOF" of OpenMetrics
	}
	return nil
}
