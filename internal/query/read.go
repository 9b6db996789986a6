package query

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"regexp"
	"slices"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

const (
	// chunkSamples is how many samples a chunk has at most, as Prometheus cuts them.
	chunkSamples = 120
	// frameSize is about how many bytes of chunks are sent at a time.
	frameSize = 256 << 10
	// sampleSize is how much a sample of a response that is not streamed takes in memory, in samples of 16 bytes:
	// itself and its encoded forms.
	sampleSize = 4
)

// read responds to remote read requests.
func (a *API) read(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), a.limits.Timeout)
	defer cancel()
	request, release, err := a.decodeRead(ctx, r.Body)
	defer release()
	if err != nil {
		http.Error(w, err.Error(), readStatus(err))
		return
	}
	streamed, err := acceptsChunks(request.AcceptedResponseTypes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reads, err := a.reads(request.Queries, r.URL.Query().Get("prefix"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	executed, err := a.acquireReads(ctx, reads, streamed)
	if err != nil {
		http.Error(w, err.Error(), readStatus(err))
		return
	}
	defer executed()
	if streamed {
		a.stream(ctx, w, reads)
		return
	}
	a.samples(ctx, w, reads)
}

// readStatus is the status for an error.
func readStatus(err error) int {
	refused := classify(err)
	if refused.class == execution {
		return http.StatusBadRequest // which Prometheus shows and does not repeat
	}
	return refused.class.status()
}

// decodeRead reads the request from a body. What it takes in memory is counted until release is called, which is never
// nil.
func (a *API) decodeRead(ctx context.Context, body io.Reader) (request *prompb.ReadRequest, release func(), err error) { //nolint:nonamedreturns // says what is returned
	release = func() {}
	compressed, err := io.ReadAll(body)
	if err != nil {
		return nil, release, fmt.Errorf("reading the request: %w", err)
	}
	size, err := snappy.DecodedLen(compressed)
	if err != nil || size > maxForm {
		return nil, release, fmt.Errorf("the request is not compressed with snappy, or larger than %d bytes", maxForm)
	}
	taken, err := a.room.takeTexts(ctx, messageSize*int64(size))
	if err != nil {
		return nil, release, err
	}
	plain, err := snappy.Decode(nil, compressed)
	if err != nil {
		return nil, taken, fmt.Errorf("the request is not compressed with snappy: %w", err)
	}
	request = &prompb.ReadRequest{}
	if err := request.Unmarshal(plain); err != nil {
		return nil, taken, fmt.Errorf("the request is not a ReadRequest: %w", err)
	}
	more, err := patternsOf(request)
	if err != nil {
		return nil, taken, err
	}
	if !a.room.texts.TryAcquire(more) { // with what is taken already, to wait could be forever
		return nil, taken, errBusy
	}
	return request, func() { a.room.texts.Release(more); taken() }, nil
}

// acceptsChunks chooses the first form of the response that is known here.
func acceptsChunks(accepted []prompb.ReadRequest_ResponseType) (bool, error) {
	for _, form := range accepted {
		switch form {
		case prompb.ReadRequest_STREAMED_XOR_CHUNKS:
			return true, nil
		case prompb.ReadRequest_SAMPLES:
			return false, nil
		}
	}
	if len(accepted) > 0 {
		return false, fmt.Errorf("none of the response types %v is supported, only SAMPLES and STREAMED_XOR_CHUNKS", accepted)
	}
	return false, nil
}

// oneRead is one of the queries of a request.
type oneRead struct {
	querier  *querier
	hints    *storage.SelectHints // nil: none were sent
	matchers []*labels.Matcher
}

func (r *oneRead) selectSeries(ctx context.Context) storage.SeriesSet {
	return r.querier.Select(ctx, true, r.hints, r.matchers...)
}

// reads translates the queries of a request. Only metrics whose names begin with the prefix are read.
func (a *API) reads(queries []*prompb.Query, prefix string) ([]oneRead, error) {
	reads := make([]oneRead, 0, len(queries))
	for _, query := range queries {
		matchers, err := matchersOf(query.Matchers)
		if err != nil {
			return nil, err
		}
		if prefix != "" {
			named, err := labels.NewMatcher(labels.MatchRegexp, model.MetricNameLabel, regexp.QuoteMeta(prefix)+".*")
			if err != nil {
				return nil, fmt.Errorf("prefix: %w", err)
			}
			matchers = append(matchers, named)
		}
		read := oneRead{querier: a.storage.newQuerier(query.StartTimestampMs, query.EndTimestampMs), matchers: matchers}
		if h := query.Hints; h != nil {
			// What is outside of the query is not read, whatever the hints say.
			read.hints = &storage.SelectHints{
				Start: max(h.StartMs, query.StartTimestampMs), End: min(h.EndMs, query.EndTimestampMs), Func: h.Func, Range: h.RangeMs, Step: h.StepMs,
			}
			if h.StartMs == 0 && h.EndMs == 0 {
				read.hints.Start, read.hints.End = query.StartTimestampMs, query.EndTimestampMs
			}
		}
		reads = append(reads, read)
	}
	return reads, nil
}

func matchersOf(wire []*prompb.LabelMatcher) ([]*labels.Matcher, error) {
	matchers := make([]*labels.Matcher, 0, len(wire))
	for _, m := range wire {
		var kind labels.MatchType
		switch m.Type {
		case prompb.LabelMatcher_EQ:
			kind = labels.MatchEqual
		case prompb.LabelMatcher_NEQ:
			kind = labels.MatchNotEqual
		case prompb.LabelMatcher_RE:
			kind = labels.MatchRegexp
		case prompb.LabelMatcher_NRE:
			kind = labels.MatchNotRegexp
		default:
			return nil, errors.New("a matcher of an unknown type")
		}
		matcher, err := labels.NewMatcher(kind, m.Name, m.Value)
		if err != nil {
			return nil, fmt.Errorf("matcher of %s: %w", m.Name, err)
		}
		matchers = append(matchers, matcher)
	}
	return matchers, nil
}

// acquireReads waits for a permit unless nothing matches: a Prometheus may request every name that it queries.
func (a *API) acquireReads(ctx context.Context, reads []oneRead, streamed bool) (release func(), err error) { //nolint:nonamedreturns // says what is returned
	var c cost
	for _, read := range reads {
		selected, selection, err := read.querier.count(ctx, read.matchers)
		if err != nil {
			return nil, err
		}
		series, samples := selected.series, int64(0)
		if series > 0 && !streamed {
			samples = times(series, sampleSize*read.samplesOfSeries(selection.metrics))
		}
		c.add(series, samples, samples/sampleSize)
	}
	if c.series == 0 {
		return func() {}, nil
	}
	estimate, err := c.estimate(a.limiter.max)
	if err != nil {
		return nil, err
	}
	if streamed {
		estimate.samples = 1 // series and samples are made one after the other
	}
	permit, err := a.limiter.acquire(ctx, estimate)
	if err != nil {
		return nil, err
	}
	return permit.release, nil
}

// samplesOfSeries returns an upper bound for the number of samples of a series of these metrics.
func (r *oneRead) samplesOfSeries(metrics []*metric) int64 {
	mint, maxt := r.querier.mint, r.querier.maxt
	if r.hints != nil {
		mint, maxt = r.hints.Start, r.hints.End
	}
	most := int64(0)
	for _, m := range metrics {
		if from, to := r.querier.window(m, mint, maxt); from <= to {
			most = max(most, (to-from)/m.interval()+1)
		}
	}
	return most
}

// samples responds with all samples in one message.
func (a *API) samples(ctx context.Context, w http.ResponseWriter, reads []oneRead) {
	response := prompb.ReadResponse{Results: make([]*prompb.QueryResult, len(reads))}
	left := a.limits.MaxSamples / sampleSize
	for i := range reads {
		result, err := readSamples(reads[i].selectSeries(ctx), &left)
		if errors.Is(err, errTooManySamples) {
			http.Error(w, fmt.Sprintf("%v: more than --query.max-samples=%d leaves room for; select less, or accept STREAMED_XOR_CHUNKS", err, a.limits.MaxSamples), http.StatusBadRequest)
			return
		}
		if err != nil {
			a.logger.Debug("a remote read failed", "err", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		response.Results[i] = result
	}
	plain, err := response.Marshal()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Header().Set("Content-Encoding", "snappy")
	if _, err := w.Write(snappy.Encode(nil, plain)); err != nil {
		a.logger.Debug("a response to a remote read was not written", "err", err)
	}
}

var errTooManySamples = errors.New("the read has too many samples")

// readSamples takes all series that have samples, at most as many samples as are left.
func readSamples(set storage.SeriesSet, left *int) (*prompb.QueryResult, error) {
	result := &prompb.QueryResult{}
	var it chunkenc.Iterator
	for set.Next() {
		series := set.At()
		it = series.Iterator(it)
		var samples []prompb.Sample
		for it.Next() == chunkenc.ValFloat {
			if *left--; *left < 0 {
				return nil, errTooManySamples
			}
			t, v := it.At()
			samples = append(samples, prompb.Sample{Timestamp: t, Value: v})
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
		if len(samples) > 0 {
			result.Timeseries = append(result.Timeseries, &prompb.TimeSeries{Labels: prompb.FromLabels(series.Labels(), nil), Samples: samples})
		}
	}
	return result, set.Err()
}

// stream responds with chunks, in frames of limited size.
func (a *API) stream(ctx context.Context, w http.ResponseWriter, reads []oneRead) {
	w.Header().Set("Content-Type", "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
	out := &frames{w: w}
	for i := range reads {
		err := out.query(int64(i), reads[i].selectSeries(ctx))
		if err == nil {
			continue
		}
		a.logger.Debug("a remote read failed", "err", err)
		if out.started {
			panic(http.ErrAbortHandler) // so that the client does not take what it has for all
		}
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
}

// frames writes messages, each with its length and checksum before it.
type frames struct {
	w       io.Writer
	started bool
	head    []byte
}

// query writes the series that have samples, in frames of one series each.
func (f *frames) query(index int64, set storage.SeriesSet) error {
	var it chunkenc.Iterator
	for set.Next() {
		series := set.At()
		it = series.Iterator(it)
		if err := f.series(index, series.Labels(), it); err != nil {
			return err
		}
	}
	return set.Err()
}

func (f *frames) series(index int64, l labels.Labels, it chunkenc.Iterator) error {
	message := prompb.ChunkedReadResponse{QueryIndex: index, ChunkedSeries: []*prompb.ChunkedSeries{{Labels: prompb.FromLabels(l, nil)}}}
	chunks, size := &message.ChunkedSeries[0].Chunks, 0
	for {
		chunk, err := nextChunk(it)
		if err != nil {
			return err
		}
		if chunk != nil {
			*chunks = append(*chunks, *chunk)
			size += chunk.Size()
		}
		if len(*chunks) > 0 && (chunk == nil || size >= frameSize) {
			if err := f.write(&message); err != nil {
				return err
			}
			*chunks, size = (*chunks)[:0], 0
		}
		if chunk == nil {
			return nil
		}
	}
}

// nextChunk encodes the next samples; it returns nil where there are none.
func nextChunk(it chunkenc.Iterator) (*prompb.Chunk, error) {
	chunk := chunkenc.NewXORChunk()
	appender, err := chunk.Appender()
	if err != nil {
		return nil, err
	}
	encoded := &prompb.Chunk{Type: prompb.Chunk_XOR}
	for n := 0; n < chunkSamples && it.Next() == chunkenc.ValFloat; n++ {
		t, v := it.At()
		if n == 0 {
			encoded.MinTimeMs = t
		}
		encoded.MaxTimeMs = t
		appender.Append(0, t, v)
	}
	if err := it.Err(); err != nil || chunk.NumSamples() == 0 {
		return nil, err
	}
	encoded.Data = chunk.Bytes()
	return encoded, nil
}

func (f *frames) write(message *prompb.ChunkedReadResponse) error {
	data, err := message.Marshal()
	if err != nil {
		return err
	}
	f.head = binary.AppendUvarint(f.head[:0], uint64(len(data)))
	f.head = binary.BigEndian.AppendUint32(f.head, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	f.started = true
	_, err = f.w.Write(slices.Concat(f.head, data))
	return err
}
