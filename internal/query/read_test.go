package query_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"weixin_exporter/internal/query"
	"weixin_exporter/weixin/datacube"
)

// read sends a request of remote read.
func (c *client) read(tb testing.TB, request *prompb.ReadRequest) *httptest.ResponseRecorder {
	tb.Helper()
	plain, err := request.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return c.post(tb, snappy.Encode(nil, plain))
}

func (c *client) post(tb testing.TB, body []byte) *httptest.ResponseRecorder {
	tb.Helper()
	recorder := httptest.NewRecorder()
	c.api.ServeHTTP(recorder, httptest.NewRequestWithContext(tb.Context(), http.MethodPost, query.Path+"read", bytes.NewReader(body)))
	return recorder
}

// matching is a query for a time, with matchers that follow each other as name and regular expression.
func matching(from, to time.Time, pairs ...string) *prompb.Query {
	q := &prompb.Query{StartTimestampMs: from.UnixMilli(), EndTimestampMs: to.UnixMilli()}
	for i := 0; i < len(pairs); i += 2 {
		q.Matchers = append(q.Matchers, &prompb.LabelMatcher{Type: prompb.LabelMatcher_RE, Name: pairs[i], Value: pairs[i+1]})
	}
	return q
}

// readSeries are the samples of a series by its labels.
type readSeries map[string][]sample

func wireName(wire []prompb.Label) string {
	var b labels.ScratchBuilder
	for _, l := range wire {
		b.Add(l.Name, l.Value)
	}
	return b.Labels().String()
}

// samples reads a response of samples, one element for each query.
func samplesOf(tb testing.TB, recorder *httptest.ResponseRecorder) []readSeries {
	tb.Helper()
	if recorder.Code != http.StatusOK || recorder.Header().Get("Content-Type") != "application/x-protobuf" || recorder.Header().Get("Content-Encoding") != "snappy" {
		tb.Fatalf("%d %v: %.200s", recorder.Code, recorder.Header(), recorder.Body)
	}
	plain, err := snappy.Decode(nil, recorder.Body.Bytes())
	if err != nil {
		tb.Fatal(err)
	}
	var response prompb.ReadResponse
	if err := response.Unmarshal(plain); err != nil {
		tb.Fatal(err)
	}
	var results []readSeries
	for _, r := range response.Results {
		series := readSeries{}
		for _, s := range r.Timeseries {
			for _, p := range s.Samples {
				series[wireName(s.Labels)] = append(series[wireName(s.Labels)], sample{p.Timestamp, p.Value})
			}
		}
		results = append(results, series)
	}
	return results
}

// chunksOf reads a streamed response, and checks its frames and chunks.
func chunksOf(tb testing.TB, recorder *httptest.ResponseRecorder, queries int) ([]readSeries, int) {
	tb.Helper()
	if recorder.Code != http.StatusOK || recorder.Header().Get("Content-Type") != "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse" {
		tb.Fatalf("%d %v: %.200s", recorder.Code, recorder.Header(), recorder.Body)
	}
	frames := 0
	results := make([]readSeries, queries)
	for i := range results {
		results[i] = readSeries{}
	}
	for body := recorder.Body; body.Len() > 0; frames++ {
		var response prompb.ChunkedReadResponse
		if err := response.Unmarshal(frame(tb, body)); err != nil {
			tb.Fatal(err)
		}
		for _, s := range response.ChunkedSeries {
			name, series := wireName(s.Labels), results[response.QueryIndex]
			for _, c := range s.Chunks {
				chunk, err := chunkenc.FromData(chunkenc.EncXOR, c.Data)
				if err != nil || c.Type != prompb.Chunk_XOR || chunk.NumSamples() > 120 {
					tb.Fatalf("%v, %v, %d samples", err, c.Type, chunk.NumSamples())
				}
				before := len(series[name])
				for it := chunk.Iterator(nil); it.Next() != chunkenc.ValNone; {
					t, v := it.At()
					series[name] = append(series[name], sample{t, v})
				}
				if got := series[name][before:]; got[0].T != c.MinTimeMs || got[len(got)-1].T != c.MaxTimeMs {
					tb.Errorf("a chunk from %d to %d has samples from %d to %d", c.MinTimeMs, c.MaxTimeMs, got[0].T, got[len(got)-1].T)
				}
			}
		}
	}
	return results, frames
}

// frame takes the next message from a stream.
func frame(tb testing.TB, body *bytes.Buffer) []byte {
	tb.Helper()
	size, err := binary.ReadUvarint(body)
	if err != nil {
		tb.Fatal(err)
	}
	var sum uint32
	if err := binary.Read(body, binary.BigEndian, &sum); err != nil {
		tb.Fatal(err)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(body, data); err != nil {
		tb.Fatal(err)
	}
	if crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) != sum {
		tb.Fatal("the checksum of a frame is wrong")
	}
	return data
}

// TestRead reads the same in both forms.
func TestRead(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay-40, 40)
	w.save(t, daily("shop", firstDay+1, morning(firstDay+1), datacube.Figures{}))
	api := w.api(t)
	hint := &prompb.ReadHints{StartMs: (firstDay - 5).Start().UnixMilli(), EndMs: (firstDay - 4).Start().UnixMilli(), RangeMs: 86400000, Func: "sum_over_time"}
	hinted := matching((firstDay - 20).Start(), w.now, "__name__", "weixin_history_hourly_failures", "account", "bot")
	hinted.Hints = hint
	request := &prompb.ReadRequest{Queries: []*prompb.Query{
		matching((firstDay - 30).Start(), w.now, "__name__", "weixin_history_.+", "account", "shop"),
		matching((firstDay - 1).Start(), (firstDay + 3).Start(), "__name__", "weixin_interface_daily_(callbacks|average.*)"),
		hinted,
		matching((firstDay - 2).Start(), w.now, "__name__", "up|go_.+"),
	}}
	results := samplesOf(t, api.read(t, request))
	if len(results) != 4 || len(results[0]) != 8 || len(results[1]) != 4 || len(results[3]) != 0 {
		t.Fatalf("%d results", len(results))
	}
	if got := results[2][`{__name__="weixin_history_hourly_failures", account="bot"}`]; len(got) != 25 || len(results[2]) != 1 {
		t.Errorf("by the hints of a day: %d samples", len(got))
	}
	if got := results[0][`{__name__="weixin_history_hourly_callbacks", account="shop"}`]; len(got) != 30*24+1 {
		t.Errorf("thirty days have %d samples", len(got))
	}
	average := results[1][`{__name__="weixin_interface_daily_average_time_cost_seconds", account="shop"}`]
	if last := average[len(average)-1]; !value.IsStaleNaN(last.V) || last.T != morning(firstDay+1).UnixMilli() {
		t.Errorf("a day without traffic has the average %v", last)
	}
	request.AcceptedResponseTypes = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS, prompb.ReadRequest_SAMPLES}
	streamed, frames := chunksOf(t, api.read(t, request), 4)
	bits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
	if diff := cmp.Diff(results, streamed, bits); diff != "" || frames < 13 {
		t.Errorf("%d frames; samples and chunks differ (-samples +chunks):\n%s", frames, diff)
	}
}

// TestReadInFrames reads more of one series than a frame has.
func TestReadInFrames(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 1)
	w.now = (firstDay + 1000).Start()
	request := &prompb.ReadRequest{
		Queries:               []*prompb.Query{matching(firstDay.Start(), w.now, "__name__", "weixin_interface_daily_callbacks")},
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS},
	}
	results, frames := chunksOf(t, w.api(t).read(t, request), 1)
	minutes := int(w.now.Sub(morning(firstDay))/time.Minute) + 1
	if got := len(results[0][`{__name__="weixin_interface_daily_callbacks", account="shop"}`]); got != minutes || frames < 3 {
		t.Errorf("%d samples in %d frames, want %d", got, frames, minutes)
	}
}

func TestReadRefuses(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 1)
	w.limits.MaxSamples = 2000
	api := w.api(t)
	all := matching(firstDay.Start(), w.now, "__name__", ".+")
	for name, c := range map[string]struct {
		body []byte
		code int
		want string
	}{
		"plain text":   {[]byte("hello"), 400, "not compressed with snappy"},
		"a bomb":       {binary.AppendUvarint(nil, 1<<30), 400, "larger than"},
		"no message":   {snappy.Encode(nil, []byte{0xff}), 400, "not a ReadRequest"},
		"a regexp":     {encode(t, &prompb.ReadRequest{Queries: []*prompb.Query{matching(firstDay.Start(), w.now, "account", "(")}}), 400, "matcher of account"},
		"a form":       {encode(t, &prompb.ReadRequest{Queries: []*prompb.Query{all}, AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{9}}), 400, "only SAMPLES and STREAMED_XOR_CHUNKS"},
		"many series":  {encode(t, &prompb.ReadRequest{Queries: []*prompb.Query{all}}), 400, "--query.max-samples"},
		"many samples": {encode(t, &prompb.ReadRequest{Queries: []*prompb.Query{matching(firstDay.Start(), w.now, "__name__", "weixin_interface_daily_callbacks")}}), 400, "--query.max-samples=2000"},
	} {
		if got := api.post(t, c.body); got.Code != c.code || !strings.Contains(got.Body.String(), c.want) {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
}

// TestReadOfAPrefix leaves out metrics that a Prometheus has from its scrapes.
func TestReadOfAPrefix(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 1)
	recorder := httptest.NewRecorder()
	body := encode(t, &prompb.ReadRequest{Queries: []*prompb.Query{matching(firstDay.Start(), firstDay.End().Add(day), "account", "shop")}})
	w.api(t).api.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, query.Path+"read?prefix=weixin_history_daily", bytes.NewReader(body)))
	results := samplesOf(t, recorder)
	if len(results[0]) != 4 {
		t.Errorf("%d series", len(results[0]))
	}
	for name := range results[0] {
		if !strings.HasPrefix(name, `{__name__="weixin_history_daily_`) {
			t.Errorf("%s was read", name)
		}
	}
}

func encode(tb testing.TB, request *prompb.ReadRequest) []byte {
	tb.Helper()
	plain, err := request.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return snappy.Encode(nil, plain)
}

// TestReadOfOtherNames does not touch the store: a Prometheus asks for all names that it queries.
func TestReadOfOtherNames(t *testing.T) {
	w := newWorld(t, "shop")
	w.storage = query.NewStorage(query.StorageOptions{Source: nil, Accounts: func() []query.Account { return w.accounts }, Now: w.clock})
	api := w.api(t)
	for _, form := range []prompb.ReadRequest_ResponseType{prompb.ReadRequest_SAMPLES, prompb.ReadRequest_STREAMED_XOR_CHUNKS} {
		got := api.read(t, &prompb.ReadRequest{
			Queries: []*prompb.Query{
				matching(firstDay.Start(), w.now, "__name__", "node_cpu_seconds_total"),
				matching(firstDay.Start(), w.now, "__name__", "weixin_history_.+", "account", "unknown"),
				matching(firstDay.Start(), w.now, "__name__", "weixin_history_.+", "job", "node"),
			},
			AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{form},
		})
		if form == prompb.ReadRequest_SAMPLES {
			if results := samplesOf(t, got); len(results) != 3 {
				t.Errorf("%d results", len(results))
			}
		} else if _, frames := chunksOf(t, got, 3); frames > 0 {
			t.Errorf("%d frames", frames)
		}
	}
}

func FuzzRead(f *testing.F) {
	w := newWorld(f, "shop", "bot")
	w.fill(f, firstDay, 2)
	w.limits.MaxSamples = 5000
	api := w.api(f)
	f.Add(encode(f, &prompb.ReadRequest{Queries: []*prompb.Query{matching(firstDay.Start(), w.now, "__name__", "weixin_history_.+")}}))
	f.Add(encode(f, &prompb.ReadRequest{
		Queries:               []*prompb.Query{matching(time.UnixMilli(math.MinInt64), time.UnixMilli(math.MaxInt64), "__name__", "weixin_history_daily_callbacks")},
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS},
	}))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got := api.post(t, body); got.Code != http.StatusOK && got.Code != http.StatusBadRequest {
			t.Errorf("%d %s", got.Code, got.Body)
		}
	})
}

// FuzzParameters asks with any parameters.
func FuzzParameters(f *testing.F) {
	w := newWorld(f, "shop", "bot")
	w.fill(f, firstDay, 2)
	w.limits.MaxSamples = 20000
	api := w.api(f)
	f.Add("query_range", "sum(weixin_history_hourly_callbacks)", "1772467200", "2026-03-04T00:00:00Z", "1h")
	f.Add("query", "weixin_interface_hourly_callbacks[1h:5m] @ end() offset -1d", "-9223309901257974", "1e300", "NaN")
	f.Add("series", `{__name__=~".+"}`, "-292273086-05-16T16:47:06Z", "+292277025-08-18T07:12:54.999999999Z", "9e9")
	f.Fuzz(func(t *testing.T, path, expression, start, end, step string) {
		if strings.ContainsAny(path, "/?#%. \\") || path == "read" || path == "" {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, query.Path, nil)
		r.URL.Path += path
		q := r.URL.Query()
		for name, v := range map[string]string{"query": expression, "match[]": expression, "start": start, "time": start, "end": end, "step": step, "timeout": "5s"} {
			q.Set(name, v)
		}
		r.URL.RawQuery = q.Encode()
		recorder := httptest.NewRecorder()
		api.api.ServeHTTP(recorder, r)
		if recorder.Code == http.StatusInternalServerError {
			t.Error(fmt.Sprint(recorder.Body))
		}
	})
}
