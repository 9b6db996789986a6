package web

import (
	"bytes"
	"container/list"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// answer is a response that is made in memory before anything of it is sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// maxUnsent limits the bytes of the answers that are being sent.
const maxUnsent = 8 << 20

// unsent are the answers that are being sent. Beyond the limit the oldest are aborted: a client that reads has its answer in a
// moment.
type unsent struct {
	limit int

	mu   sync.Mutex
	size int
	list *list.List // of *sending, the oldest first
}

// sending is an answer that is being sent.
type sending struct {
	size    int
	aborted atomic.Bool
	control *http.ResponseController
}

func newUnsent(limit int) *unsent { return &unsent{limit: limit, list: list.New()} }

// send sends an answer. The client of one that is aborted finds its connection broken.
func (u *unsent) send(w http.ResponseWriter, a *answer) {
	s := &sending{size: a.body.Len(), control: http.NewResponseController(w)}
	place := u.add(s)
	defer u.remove(place)
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	a.WriteHeader(http.StatusOK) // unless it has a status
	w.WriteHeader(a.status)
	const part = 64 << 10
	for text := a.body.Next(part); len(text) > 0; text = a.body.Next(part) {
		if s.aborted.Load() {
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(text); err != nil && !s.aborted.Load() {
			return // the client is gone
		}
	}
	if s.aborted.Load() {
		panic(http.ErrAbortHandler)
	}
}

func (u *unsent) add(s *sending) *list.Element {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.size += s.size
	over := u.size - u.limit
	for place := u.list.Front(); place != nil && over > 0; place = place.Next() {
		oldest := place.Value.(*sending) //nolint:forcetypeassert // it has no others
		over -= oldest.size
		if !oldest.aborted.Swap(true) {
			_ = oldest.control.SetWriteDeadline(time.Unix(1, 0)) // it fails where there are no deadlines
		}
	}
	return u.list.PushBack(s)
}

func (u *unsent) remove(place *list.Element) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.size -= u.list.Remove(place).(*sending).size //nolint:forcetypeassert // it has no others
}
