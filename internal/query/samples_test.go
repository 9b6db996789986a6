package query_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func TestHistorySamples(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	quiet := hours(100)
	quiet[3] = datacube.Figures{}
	w.save(t,
		hourly("shop", firstDay, morning(firstDay), quiet),
		hourly("shop", firstDay+2, morning(firstDay+2), datacube.Hours{}), // firstDay+1 is not known
		hourly("shop", firstDay+40, morning(firstDay+40), hours(900)),
		daily("shop", firstDay, morning(firstDay), figures(2700)),
		daily("bot", firstDay+1, morning(firstDay+1), figures(5)),
	)
	w.now = (firstDay + 42).Start()
	want := map[string][]sample{}
	for _, f := range history.Families() {
		shop, bot := fmt.Sprintf(`{__name__="%s", account="shop"}`, f.Name), fmt.Sprintf(`{__name__="%s", account="bot"}`, f.Name)
		if f.API == datacube.Daily {
			want[shop] = []sample{{history.DayTime(firstDay).UnixMilli(), f.Value(figures(2700))}}
			want[bot] = []sample{{history.DayTime(firstDay + 1).UnixMilli(), f.Value(figures(5))}}
			continue
		}
		for _, day := range []struct {
			date  datacube.Date
			hours datacube.Hours
		}{{firstDay, quiet}, {firstDay + 2, datacube.Hours{}}, {firstDay + 40, hours(900)}} {
			for hour := range day.hours {
				want[shop] = append(want[shop], sample{history.HourTime(day.date, hour).UnixMilli(), f.Value(day.hours[hour])})
			}
		}
	}
	series, got := w.all(t, time.Unix(0, 0), w.now, labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, "weixin_history_.+"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(series) || len(series) != 12 {
		t.Errorf("%d series, in this order: %q", len(series), series)
	}
}

// TestFiguresOfAllSizes: each figure is read as it was stored, however large the others of its account are.
func TestFiguresOfAllSizes(t *testing.T) {
	sizes := []int64{0, 1, math.MaxUint8, math.MaxUint8 + 1, math.MaxUint16, math.MaxUint16 + 1, math.MaxUint32, math.MaxUint32 + 1, 1 << 52}
	for n := range len(sizes) + 1 {
		w := newWorld(t, "shop")
		var want []float64
		for i, v := range sizes[:n] {
			date := firstDay + datacube.Date(i)
			w.save(t, daily("shop", date, morning(date), datacube.Figures{Callbacks: v, TimeCostMillis: 1000}))
			want = append(want, float64(v))
		}
		var got []float64
		for _, s := range w.one(t, firstDay.Start(), (firstDay + 20).Start(), "weixin_history_daily_callbacks") {
			got = append(got, s.V)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestBoundsAreInclusive asks for parts of a day.
func TestBoundsAreInclusive(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 3)
	whole := w.one(t, firstDay.Start(), (firstDay + 9).Start(), "weixin_history_hourly_failures")
	if len(whole) != 72 {
		t.Fatalf("%d samples", len(whole))
	}
	for _, c := range []struct{ from, to, want int }{{0, 71, 72}, {5, 5, 1}, {23, 24, 2}, {24, 47, 24}, {70, 71, 2}} {
		got := w.one(t, time.UnixMilli(whole[c.from].T), time.UnixMilli(whole[c.to].T), "weixin_history_hourly_failures")
		if diff := cmp.Diff(whole[c.from:c.to+1], got); diff != "" || len(got) != c.want {
			t.Errorf("from %d to %d: %d samples (-want +got):\n%s", c.from, c.to, len(got), diff)
		}
	}
	if got := w.one(t, time.UnixMilli(whole[5].T+1), time.UnixMilli(whole[6].T-1), "weixin_history_hourly_failures"); len(got) > 0 {
		t.Errorf("between two hours: %v", got)
	}
}

// one returns the samples of the only series of a metric.
func (w *world) one(tb testing.TB, mint, maxt time.Time, name string, further ...*labels.Matcher) []sample {
	tb.Helper()
	series, samples := w.all(tb, mint, maxt, append(further, named(name))...)
	if len(series) > 1 {
		tb.Fatalf("%s has the series %q", name, series)
	}
	for _, s := range samples {
		return s
	}
	return nil
}

// TestGaugesAsTheyStood compares a gauge, minute by minute, with what was known then.
func TestGaugesAsTheyStood(t *testing.T) {
	w := newWorld(t, "shop")
	type known struct {
		date datacube.Date
		at   time.Time
		n    int64
	}
	days := []known{
		{firstDay - 400, morning(firstDay + 2), 77}, // filled later; never the latest
		{firstDay, morning(firstDay), 1000},
		{firstDay + 1, morning(firstDay + 1), 0},                            // without traffic: no average
		{firstDay + 2, morning(firstDay + 3).Add(30 * time.Second), 3000},   // known after its successor
		{firstDay + 3, morning(firstDay + 3), 4000},                         //
		{firstDay + 6, morning(firstDay + 6).Add(12345 * time.Second), 555}, // after a gap
	}
	for _, d := range days {
		w.save(t, daily("shop", d.date, d.at, figures(d.n)))
	}
	w.now = (firstDay + 9).Start().Add(17 * time.Second)
	latest := func(at time.Time) *known {
		var found *known
		for i := range days {
			if d := &days[i]; !d.at.After(at) && (found == nil || d.date > found.date) {
				found = d
			}
		}
		return found
	}
	start := firstDay.Start()
	for name, read := range map[string]func(d *known) (float64, bool){
		"weixin_interface_daily_callbacks":                 func(d *known) (float64, bool) { return float64(d.n), true },
		"weixin_interface_daily_data_timestamp_seconds":    func(d *known) (float64, bool) { return float64(d.date.Start().Unix()), true },
		"weixin_interface_daily_average_time_cost_seconds": func(d *known) (float64, bool) { return figures(d.n).AverageTimeCostSeconds() },
	} {
		samples := w.one(t, start, (firstDay + 20).Start(), name)
		at := make(map[int64]float64)
		for i, s := range samples {
			at[s.T] = s.V
			if i > 0 && s.T <= samples[i-1].T {
				t.Fatalf("%s: the samples %v and %v are not in order", name, samples[i-1], s)
			}
		}
		for m := start; m.Before((firstDay + 20).Start()); m = m.Add(time.Minute) {
			v, ok := at[m.UnixMilli()]
			var want float64
			var present bool
			if d := latest(m); d != nil && !m.After(w.now) {
				want, present = read(d)
			}
			stale := ok && value.IsStaleNaN(v)
			if present != (ok && !stale) || present && v != want {
				t.Fatalf("%s at %v: %v %v, want %v %v", name, m, v, ok, want, present)
			}
		}
		// Each change is at its own moment.
		for _, d := range days[1:] {
			if l := latest(d.at); l.date != d.date {
				continue
			}
			want, present := read(&d)
			if v, ok := at[d.at.UnixMilli()]; !ok || present && v != want || !present && !value.IsStaleNaN(v) {
				t.Errorf("%s when %v became known: %v %v, want %v %v", name, d.date, v, ok, want, present)
			}
		}
	}
}

// TestGaugeOfHours looks at each of the 24 series.
func TestGaugeOfHours(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay, 5)
	at := morning(firstDay + 3).Add(time.Hour)
	series, samples := w.all(t, at, at, named("weixin_interface_hourly_callbacks"), account("bot"))
	if len(series) != 24 {
		t.Fatalf("%q", series)
	}
	for hour, s := range series {
		want := []sample{{at.UnixMilli(), float64(hours(1307)[hour].Callbacks)}}
		if diff := cmp.Diff(want, samples[s]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
	one := labels.MustNewMatcher(labels.MatchRegexp, "hour", "0[7]")
	if series, _ := w.all(t, at, at, named("weixin_interface_hourly_callbacks"), account("bot"), one); len(series) != 1 || series[0] != `{__name__="weixin_interface_hourly_callbacks", account="bot", hour="07"}` {
		t.Errorf("%q", series)
	}
}

// TestSeekAgreesWithNext moves iterators at random.
func TestSeekAgreesWithNext(t *testing.T) {
	w := newWorld(t, "shop")
	random := rand.New(rand.NewPCG(1, 2))
	var records []store.Record
	for date := firstDay - 300; date < firstDay; date++ {
		if random.IntN(3) > 0 {
			n := random.Int64N(4) * 1000
			records = append(records, daily("shop", date, morning(date), figures(n)), hourly("shop", date, morning(date), hours(n)))
		}
	}
	w.save(t, records...)
	from, to := (firstDay - 200).Start(), (firstDay - 150).Start()
	for _, name := range []string{
		"weixin_history_hourly_callbacks", "weixin_history_daily_time_cost_seconds", "weixin_interface_daily_average_time_cost_seconds",
		"weixin_account_info",
	} {
		all := w.one(t, from, to, name)
		if len(all) < 20 {
			t.Fatalf("%s has %d samples", name, len(all))
		}
		for range 200 {
			set := w.selected(t.Context(), t, from, to, named(name))
			if !set.Next() {
				t.Fatal(set.Err())
			}
			checkMoves(t, random, set.At().Iterator(nil), all, from.UnixMilli(), to.UnixMilli())
		}
	}
}

// checkMoves moves an iterator that has the samples by Next and Seek until it ends.
func checkMoves(t *testing.T, random *rand.Rand, it chunkenc.Iterator, all []sample, from, to int64) {
	t.Helper()
	at := -1
	for {
		var got chunkenc.ValueType
		if random.IntN(2) == 0 {
			at++
			got = it.Next()
		} else {
			goal := from - day.Milliseconds() + random.Int64N(to-from+2*day.Milliseconds())
			if at >= 0 && random.IntN(2) == 0 {
				goal = all[at].T + random.Int64N(3*day.Milliseconds())
			}
			for at = max(at, 0); at < len(all) && all[at].T < goal; at++ {
			}
			got = it.Seek(goal)
		}
		if at >= len(all) {
			if got != chunkenc.ValNone || it.Err() != nil || it.Next() != chunkenc.ValNone || it.Seek(to) != chunkenc.ValNone {
				t.Fatalf("behind the end: %v, %v", got, it.Err())
			}
			return
		}
		ts, v := it.At()
		want := all[at]
		if got != chunkenc.ValFloat || ts != want.T || it.AtT() != ts || math.Float64bits(v) != math.Float64bits(want.V) {
			t.Fatalf("%v %v %v, want %v", got, ts, v, want)
		}
	}
}

const day = 24 * time.Hour

// TestARevisedDayShowsAtOnce saves a day once more while it is in the cache.
func TestARevisedDayShowsAtOnce(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay, 3)
	ask := func() []float64 {
		var values []float64
		for _, name := range []string{"weixin_history_daily_callbacks", "weixin_interface_daily_callbacks"} {
			for _, s := range w.one(t, (firstDay + 2).Start(), (firstDay + 4).Start(), name, account("shop")) {
				if len(values) == 0 || values[len(values)-1] != s.V {
					values = append(values, s.V)
				}
			}
		}
		return values
	}
	before := []float64{24 * 107, 24 * 207, 24 * 7, 24 * 107, 24 * 207}
	if got := ask(); !slices.Equal(got, before) {
		t.Fatalf("before: %v, want %v", got, before)
	}
	w.save(t, daily("shop", firstDay+2, morning(firstDay+2), figures(9)))
	after := []float64{24 * 107, 9, 24 * 7, 24 * 107, 9}
	if got := ask(); !slices.Equal(got, after) {
		t.Errorf("after: %v, want %v", got, after)
	}
}

// TestACanceledQueryEnds reads with a context that is over.
func TestACanceledQueryEnds(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 3)
	ctx := canceled(t)
	set := w.selected(ctx, t, firstDay.Start(), w.now, named("weixin_history_daily_callbacks"))
	if !set.Next() {
		if set.Err() == nil {
			t.Error("a canceled query succeeded")
		}
		return
	}
	if it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone || it.Err() == nil {
		t.Errorf("%v", it.Err())
	}
}
