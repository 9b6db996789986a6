package ha_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weixin_exporter/internal/remotewrite/remotewritetest"
	"weixin_exporter/weixin/datacube"
)

// figuresOf returns those metrics of an exporter that every exporter must show alike: the figures, and how many days are
// known.
func figuresOf(t *testing.T, x *exporter) (map[string]float64, error) {
	t.Helper()
	text, err := x.get(t, "/metrics")
	if err != nil {
		return nil, err
	}
	shown := map[string]float64{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "weixin_interface_") && !strings.HasPrefix(line, "weixin_store_known_dates") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[end+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		shown[line[:end]] = value
	}
	return shown, nil
}

// truth returns what every exporter must show when it is complete.
func (f *fleet) truth() map[string]float64 {
	want := map[string]float64{}
	date := f.yesterday()
	for _, appID := range append(f.appIDs, refused) {
		days := float64(f.days())
		if appID == refused {
			days = 0
		}
		for _, api := range datacubeAPIs() {
			want[fmt.Sprintf("weixin_store_known_dates{account=%q,api=%q}", nameOf(appID), api.String())] = days
		}
		if appID == refused {
			continue
		}
		add := func(period string, figures datacube.Figures, labels string) {
			set := func(what string, value float64) { want["weixin_interface_"+period+"_"+what+"{"+labels+"}"] = value }
			set("callbacks", float64(figures.Callbacks))
			set("failures", float64(figures.Failures))
			set("time_cost_seconds", float64(figures.TimeCostMillis)/1000)
			set("max_time_cost_seconds", float64(figures.MaxTimeCostMillis)/1000)
			if figures.Callbacks > 0 {
				set("average_time_cost_seconds", float64(figures.TimeCostMillis)/float64(figures.Callbacks)/1000)
			}
		}
		account := fmt.Sprintf("account=%q", nameOf(appID))
		add("daily", f.weixin.Day(appID, date), account)
		for hour, figures := range f.weixin.Hours(appID, date) {
			add("hourly", figures, fmt.Sprintf("%s,hour=\"%02d\"", account, hour))
		}
		for _, period := range []string{"daily", "hourly"} {
			want["weixin_interface_"+period+"_data_timestamp_seconds{"+account+"}"] = float64(date.Start().Unix())
		}
	}
	return want
}

// difference describes how what is shown differs from what must be; "" if it does not.
func difference(want, got map[string]float64) string {
	var wrong []string
	for key, value := range want {
		switch shown, ok := got[key]; {
		case !ok:
			wrong = append(wrong, key+" is missing")
		case math.Abs(shown-value) > 1e-9*math.Abs(value):
			wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", key, shown, value))
		}
	}
	for key, shown := range got {
		if _, ok := want[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s is %v, although nothing is known", key, shown))
		}
	}
	if len(wrong) == 0 {
		return ""
	}
	slices.Sort(wrong)
	return fmt.Sprintf("%d series are wrong, first %s", len(wrong), wrong[0])
}

// checkStored compares all figures in the database with the simulated Weixin's.
func (f *fleet) checkStored() {
	f.t.Helper()
	want := map[period]datacube.Figures{}
	for _, appID := range f.appIDs {
		for date := f.first; date <= f.yesterday(); date++ {
			want[period{appID, date, -1}] = f.weixin.Day(appID, date)
			for hour, figures := range f.weixin.Hours(appID, date) {
				want[period{appID, date, hour}] = figures
			}
		}
	}
	got := f.database.figures(f.t)
	for p, figures := range want {
		if stored, ok := got[p]; !ok || stored != figures {
			f.t.Errorf("%v: the database has %+v (%v), Weixin %+v", p, stored, ok, figures)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		f.t.Errorf("the database has %d further figures, for example %v", len(got), slices.Collect(maps.Keys(got))[0])
	}
}

// checkSent waits until the receiver has all figures, and compares them with the simulated Weixin's.
func (f *fleet) checkSent() {
	f.t.Helper()
	appIDs := map[string]string{}
	for _, appID := range f.appIDs {
		appIDs[nameOf(appID)] = appID
	}
	want := remotewritetest.HistoryOf(f.weixin, appIDs, f.first, f.yesterday())
	eventually(f.t, "all samples to arrive at the receiver", func() error {
		if n := f.receiver.Count(); n < want.Count() {
			return fmt.Errorf("%d samples of %d", n, want.Count())
		}
		return nil
	})
	for _, fault := range f.receiver.Faults(want) {
		f.t.Errorf("remote write: %s", fault)
	}
}
