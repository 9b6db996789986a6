package exporter

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-kit/log"

	"weixin_exporter/internal/store"
)

// failingStore is a store whose Recover returns an error that is set.
type failingStore struct {
	store.Store

	err error
}

func (s *failingStore) Recover(context.Context) (string, error) { return "", s.err }

// TestOneFaultOfTheStoreIsLoggedOnce: a server that starts again gives several reasons in turn why it cannot be reached.
func TestOneFaultOfTheStoreIsLoggedOnce(t *testing.T) {
	var out strings.Builder
	x := &exporter{Options: Options{Logger: log.NewLogfmtLogger(&out)}}
	db := &failingStore{}
	for _, step := range []struct {
		err  error
		want string // the log line, or a part of it
	}{
		{nil, ""},
		{store.WithKind(errors.New("connection refused"), store.Unreachable), `err="connection refused"`},
		{store.WithKind(errors.New("starting up"), store.Unreachable), ""},
		{store.WithKind(errors.New("a standby"), store.ReadOnly), `err="a standby"`},
		{nil, "can be used again"},
		{nil, ""},
	} {
		db.err = step.err
		if _, usable := x.recoverStore(t.Context(), db); usable != (step.err == nil) {
			t.Errorf("usable %t after %v", usable, step.err)
		}
		if got := out.String(); !strings.Contains(got, step.want) || step.want == "" && got != "" {
			t.Errorf("after %v logged %q, want %q", step.err, got, step.want)
		}
		if known := x.knownFault(); !errors.Is(known, step.err) {
			t.Errorf("shown %v, want %v", known, step.err)
		}
		out.Reset()
	}
}
