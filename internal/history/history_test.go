package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

func TestFamilies(t *testing.T) {
	figures := datacube.Figures{Callbacks: 7, Failures: 5, TimeCostMillis: 3001, MaxTimeCostMillis: 999}
	type family struct {
		API   datacube.API
		Value float64
	}
	want := map[string]family{
		"weixin_history_hourly_callbacks":             {datacube.Hourly, 7},
		"weixin_history_hourly_failures":              {datacube.Hourly, 5},
		"weixin_history_hourly_time_cost_seconds":     {datacube.Hourly, 3.001},
		"weixin_history_hourly_max_time_cost_seconds": {datacube.Hourly, 0.999},
		"weixin_history_daily_callbacks":              {datacube.Daily, 7},
		"weixin_history_daily_failures":               {datacube.Daily, 5},
		"weixin_history_daily_time_cost_seconds":      {datacube.Daily, 3.001},
		"weixin_history_daily_max_time_cost_seconds":  {datacube.Daily, 0.999},
	}
	got := map[string]family{}
	for i, f := range history.Families() {
		got[f.Name] = family{f.API, f.Value(figures)}
		if (f.API == datacube.Hourly) != (i < int(history.FigureCount)) || int(f.Figure) != i%int(history.FigureCount) {
			t.Errorf("%s is number %d, figure %d", f.Name, i, f.Figure)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("families (-want +got):\n%s", diff)
	}
}

// TestFamiliesAreWellNamed runs the linter of Prometheus.
func TestFamiliesAreWellNamed(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, f := range history.Families() {
		gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, []string{history.AccountLabel})
		gauge.WithLabelValues("shop").Set(1)
		if err := registry.Register(gauge); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	problems, err := promlint.New(strings.NewReader(text.String())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestSamplesAreAtTheEnd(t *testing.T) {
	date, err := datacube.ParseDate("2024-02-29")
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2024, 2, 29, 16, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what      string
		got, want time.Time
	}{
		{"hour 0", history.HourTime(date, 0), midnight.Add(-23 * time.Hour)},
		{"hour 9", history.HourTime(date, 9), midnight.Add(-14 * time.Hour)},
		{"hour 23", history.HourTime(date, 23), midnight},
		{"the day", history.DayTime(date), midnight},
	} {
		if !c.got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}
