package query_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// faultySource reads figures a number of times, and then no more.
type faultySource struct {
	query.Source

	left int
}

var errDisk = errors.New("the disk is gone")

func (s *faultySource) ReadFigures(ctx context.Context, read func(*store.FigureReader) error) error {
	if s.left--; s.left < 0 {
		return errDisk
	}
	return s.Source.ReadFigures(ctx, read)
}

// over answers from a source.
func (w *world) over(source query.Source) {
	w.storage = query.NewStorage(query.StorageOptions{Source: source, Accounts: func() []query.Account { return w.accounts }, Now: w.clock})
}

// TestAStoreThatFails is reported as such, and a stream that has begun is cut off.
func TestAStoreThatFails(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay-500, 530)
	request := &prompb.ReadRequest{Queries: []*prompb.Query{matching((firstDay - 500).Start(), w.now, "__name__", "weixin_history_hourly_callbacks")}}
	for _, left := range []int{0, 1} {
		w.over(&faultySource{w.store, left})
		got := w.api(t).get(t, "query", "query", "count_over_time(weixin_history_hourly_callbacks[500d])", "time", seconds(firstDay.Start()))
		if got.Code != http.StatusInternalServerError || got.ErrorType != "internal" || !strings.Contains(got.Error, errDisk.Error()) {
			t.Errorf("query, %d reads: %d %s: %s", left, got.Code, got.ErrorType, got.Error)
		}
		w.over(&faultySource{w.store, left})
		request.AcceptedResponseTypes = nil
		if got := w.api(t).read(t, request); got.Code != http.StatusInternalServerError || !strings.Contains(got.Body.String(), errDisk.Error()) {
			t.Errorf("samples, %d reads: %d %s", left, got.Code, got.Body)
		}
	}
	request.AcceptedResponseTypes = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS}
	w.over(&faultySource{w.store, 0})
	if got := w.api(t).read(t, request); got.Code != http.StatusInternalServerError {
		t.Errorf("chunks: %d %.100s", got.Code, got.Body)
	}
	w.over(&faultySource{w.store, 3}) // enough for the first frame
	func() {
		defer func() {
			if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // a value that was panicked with
				t.Errorf("a stream ended with %v", got)
			}
		}()
		got := w.api(t).read(t, request)
		t.Errorf("the stream ended as if it were complete: %d, %d bytes", got.Code, got.Body.Len())
	}()
}

// switchedSource is a store that is replaced by another one.
type switchedSource struct{ *sqlite.Store }

// TestForget reads another store after the first.
func TestForget(t *testing.T) {
	first, second := newWorld(t, "shop"), newWorld(t, "shop")
	first.fill(t, firstDay, 3)
	second.save(t, daily("shop", firstDay, morning(firstDay), figures(77)))
	source := &switchedSource{first.store}
	first.over(source)
	name, end := "weixin_history_daily_callbacks", firstDay.End()
	if got := first.one(t, end, end, name); len(got) != 1 || got[0].V != 24*7 {
		t.Fatalf("the first store: %v", got)
	}
	source.Store = second.store
	first.storage.Forget()
	if got := first.one(t, end, end, name); len(got) != 1 || got[0].V != 77 {
		t.Errorf("the second store: %v", got)
	}
}

// TestAnOlderStore takes one with a lower mark for another one by itself.
func TestAnOlderStore(t *testing.T) {
	w := newWorld(t, "shop")
	for i := range int64(5) {
		w.save(t, daily("shop", firstDay, morning(firstDay), figures(i+1)))
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	older, err := sqlite.Open(t.Context(), backup, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	if _, err := older.Save(t.Context(), []store.Record{daily("shop", firstDay, morning(firstDay), figures(99))}); err != nil {
		t.Fatal(err)
	}
	source := &switchedSource{w.store}
	w.over(source)
	ask := func() float64 {
		got := w.one(t, firstDay.End(), firstDay.End(), "weixin_history_daily_callbacks")
		if len(got) != 1 {
			t.Fatalf("%v", got)
		}
		return got[0].V
	}
	if v := ask(); v != 5 {
		t.Errorf("before: %v", v)
	}
	source.Store = older
	if v := ask(); v != 99 {
		t.Errorf("after: %v", v)
	}
}

// TestConcurrentQueries run beside saves.
func TestConcurrentQueries(t *testing.T) {
	w := newWorld(t, "shop", "bot", "news")
	w.fill(t, firstDay, 20)
	api := w.api(t)
	done := make(chan response)
	const clients = 8
	for range clients {
		go func() {
			for range 10 {
				recorder := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet,
					query.Path+"query?query=sum(sum_over_time(weixin_history_hourly_callbacks[20d]))&time="+seconds((firstDay+20).Start()), nil)
				api.api.ServeHTTP(recorder, r)
				done <- response{Code: recorder.Code, Error: recorder.Body.String()}
			}
		}()
	}
	for i := range clients * 10 {
		if i%7 == 0 {
			w.save(t, hourly("bot", firstDay+datacube.Date(i%20), morning(firstDay+20).Add(time.Duration(i)*time.Hour), hours(int64(i))))
		}
		if got := <-done; got.Code != http.StatusOK {
			t.Errorf("%d %s", got.Code, got.Error)
		}
	}
}
