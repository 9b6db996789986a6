package families_test

import (
	"slices"
	"strings"
	"testing"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// TestOrder: the order of the table is that in which client_golang sorts.
func TestOrder(t *testing.T) {
	all := families.All()
	if len(all) == 0 {
		t.Fatal("no families")
	}
	seen := map[string]bool{}
	for i, f := range all {
		if seen[f.Name] || i > 0 && f.Name < all[i-1].Name {
			t.Errorf("%s is duplicate or out of order", f.Name)
		}
		seen[f.Name] = true
		if names := f.LabelNames(); names[0] != "account" || !slices.IsSorted(names) {
			t.Errorf("%s: the labels %q are out of order", f.Name, names)
		}
		if f.Counter != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s is a counter: %v", f.Name, f.Counter)
		}
		if len(f.Values) == 0 || !slices.IsSortedFunc(f.Values, slices.Compare[[]string]) {
			t.Errorf("%s: the values %q are out of order", f.Name, f.Values)
		}
		for j, values := range f.Values {
			if len(values) != len(f.Labels) || j > 0 && slices.Equal(values, f.Values[j-1]) {
				t.Errorf("%s: %q are not values of %q, or are duplicate", f.Name, values, f.Labels)
			}
			f.Read(&snapshot.Account{}, j) // of which nothing is known
		}
	}
}

func TestLabelValues(t *testing.T) {
	a := &snapshot.Account{Name: "shop", AppID: "wx1"}
	a.Work[datacube.Hourly].Rejected[weixin.BadHour] = 7
	a.Work[datacube.Hourly].Failures[weixin.Config] = 2
	got := map[string]float64{}
	for _, f := range families.All() {
		for i := range f.Values {
			if value, ok := f.Read(a, i); ok {
				got[f.Name+" "+strings.Join(f.LabelValues(a, i), ",")] = value
			}
		}
	}
	for key, want := range map[string]float64{
		"weixin_account_info shop,wx1":                              1,
		"weixin_refresh_rows_rejected_total shop,hourly,bad_hour":   7,
		"weixin_store_known_dates shop,daily":                       0,
		"weixin_refresh_inconsistent_days shop":                     0,
		"weixin_refresh_failures_total shop,hourly,store":           0,
		"weixin_refresh_last_success_timestamp_seconds shop,hourly": 0,
		"weixin_refresh_failures_total shop,hourly,busy":            0,
		"weixin_refresh_failures_total shop,hourly,config":          2,
	} {
		if value, ok := got[key]; !ok || value != want {
			t.Errorf("%s is %v (exists: %v), want %v", key, value, ok, want)
		}
	}
	// What never happened, and no alert needs, is not a series.
	for _, key := range []string{
		"weixin_refresh_rows_rejected_total shop,daily,bad_hour", "weixin_refresh_rows_rejected_total shop,hourly,duplicate",
		"weixin_refresh_failures_total shop,daily,config", "weixin_refresh_failures_total shop,hourly,not_ready",
	} {
		if value, ok := got[key]; ok {
			t.Errorf("%s exists, with the value %v", key, value)
		}
	}
}
