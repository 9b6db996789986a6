// Package families describes the metric families that expose a snapshot: their names, HELP texts and
// labels, and how the samples of an account are read. The collector and the renderer are both built
// from this table, so they cannot differ.
package families

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// Family is one family of series, all of which have the label "account".
type Family struct {
	Name string
	Help string
	// Counter is true for counters, whose names end in "_total"; all others are gauges.
	Counter bool
	// Own is the name of a label whose value differs by account, and OwnValue reads it; "" and nil
	// in most families.
	Own      string
	OwnValue func(*snapshot.Account) string
	// Labels are the names of the other labels. "account", Own and Labels together are sorted.
	Labels []string
	// Values are the values of Labels for each sample that an account can have, in order.
	Values [][]string
	// Read returns the sample with Values[i]; false if the account has none.
	Read func(a *snapshot.Account, i int) (float64, bool)
}

// LabelNames returns the sorted names of all labels.
func (f *Family) LabelNames() []string {
	names := []string{"account"}
	if f.Own != "" {
		names = append(names, f.Own)
	}
	return append(names, f.Labels...)
}

// LabelValues returns the values for LabelNames of the sample that Read(a, i) returns.
func (f *Family) LabelValues(a *snapshot.Account, i int) []string {
	values := []string{a.Name}
	if f.Own != "" {
		values = append(values, f.OwnValue(a))
	}
	return append(values, f.Values[i]...)
}

// All returns the families, sorted by name.
func All() []Family {
	all := []Family{
		{
			Name: "weixin_account_info", Help: "Configured account and its app ID. Always 1.",
			Own: "app_id", OwnValue: func(a *snapshot.Account) string { return a.AppID },
			Values: [][]string{nil}, Read: func(*snapshot.Account, int) (float64, bool) { return 1, true },
		},
		{
			Name:   "weixin_refresh_inconsistent_days",
			Help:   "Days within refresh.history for which the daily and the hourly call disagree: their sums differ, or only one of them reports traffic.",
			Values: [][]string{nil}, Read: func(a *snapshot.Account, _ int) (float64, bool) { return float64(a.Inconsistent), true },
		},
		reformatted(),
	}
	all = slices.Concat(all, daily(), hourly(), work(), quotas(), reasons())
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// figure is what the daily and the hourly family of a figure have in common.
type figure struct {
	suffix string
	text   string // the start of HELP
	field  string // of the API
	read   func(*datacube.Figures) (float64, bool)
}

func figures() []figure {
	return []figure{
		{
			"callbacks", "Callbacks that Weixin made to the account's server, including failed ones,", "callback_count",
			func(f *datacube.Figures) (float64, bool) { return float64(f.Callbacks), true },
		},
		{
			"failures", "Callbacks that failed", "fail_count",
			func(f *datacube.Figures) (float64, bool) { return float64(f.Failures), true },
		},
		{
			"time_cost_seconds", "Total time of all callbacks", "total_time_cost",
			func(f *datacube.Figures) (float64, bool) { return f.TimeCostSeconds(), true },
		},
		{
			"max_time_cost_seconds", "Time of the longest callback", "max_time_cost",
			func(f *datacube.Figures) (float64, bool) { return f.MaxTimeCostSeconds(), true },
		},
		{
			"average_time_cost_seconds", "Mean time of a callback", "total_time_cost divided by callback_count",
			func(f *datacube.Figures) (float64, bool) { return f.AverageTimeCostSeconds() },
		},
	}
}

func (f figure) family(api datacube.API, call, period string) Family {
	return Family{
		Name: "weixin_interface_" + api.String() + "_" + f.suffix,
		Help: fmt.Sprintf("%s in %s (%s of %s). Cached, at least one day old.", f.text, period, f.field, call),
	}
}

// date returns the family with the day that the figures of one API describe.
func date(api datacube.API, call string, read func(*snapshot.Account, int) (float64, bool)) Family {
	return Family{
		Name:   "weixin_interface_" + api.String() + "_data_timestamp_seconds",
		Help:   fmt.Sprintf("Start of the day in China (ref_date of %s) that the other weixin_interface_%s metrics describe, as Unix time.", call, api),
		Values: [][]string{nil}, Read: read,
	}
}

func daily() []Family {
	const call = "getinterfacesummary"
	all := []Family{date(datacube.Daily, call, func(a *snapshot.Account, _ int) (float64, bool) {
		if a.Daily == nil {
			return 0, false
		}
		return unix(a.Daily.Date.Start()), true
	})}
	for _, fig := range figures() {
		f := fig.family(datacube.Daily, call, "the latest known day")
		f.Values = [][]string{nil}
		f.Read = func(a *snapshot.Account, _ int) (float64, bool) {
			if a.Daily == nil {
				return 0, false
			}
			return fig.read(&a.Daily.Figures)
		}
		all = append(all, f)
	}
	return all
}

func hourly() []Family {
	const call = "getinterfacesummaryhour"
	all := []Family{date(datacube.Hourly, call, func(a *snapshot.Account, _ int) (float64, bool) {
		if a.Hourly == nil {
			return 0, false
		}
		return unix(a.Hourly.Date.Start()), true
	})}
	var hours [][]string
	for hour := range datacube.HoursPerDay {
		hours = append(hours, []string{fmt.Sprintf("%02d", hour)})
	}
	for _, fig := range figures() {
		f := fig.family(datacube.Hourly, call, "an hour of the latest known day")
		f.Labels, f.Values = []string{"hour"}, hours
		f.Read = func(a *snapshot.Account, hour int) (float64, bool) {
			if a.Hourly == nil {
				return 0, false
			}
			return fig.read(&a.Hourly.Hours[hour])
		}
		all = append(all, f)
	}
	return all
}

// ofWork returns a family with one sample for each of the two APIs.
func ofWork(name, help string, read func(*snapshot.Work) (float64, bool)) Family {
	f := Family{
		Name: name, Help: help, Counter: strings.HasSuffix(name, "_total"), Labels: []string{"api"},
		Read: func(a *snapshot.Account, api int) (float64, bool) { return read(&a.Work[api]) },
	}
	for api := range datacube.APIs {
		f.Values = append(f.Values, []string{api.String()})
	}
	return f
}

func work() []Family {
	return []Family{
		ofWork("weixin_refresh_success",
			"Whether the last request for figures succeeded (1) or failed (0); 0 before the first one. "+
				"A response that says that a day is not ready yet is a success.",
			func(w *snapshot.Work) (float64, bool) {
				if w.Succeeded {
					return 1, true
				}
				return 0, true
			}),
		ofWork("weixin_refresh_last_success_timestamp_seconds",
			"Time of the last successful request for figures, as Unix time; 0 if there has been none.",
			func(w *snapshot.Work) (float64, bool) { return unix(w.LastSuccess), true }),
		ofWork("weixin_refresh_revisions_total", "Known days for which Weixin later returned different figures.",
			func(w *snapshot.Work) (float64, bool) { return float64(w.Revisions), true }),
		ofWork("weixin_refresh_vanished_dates_total",
			"Known days with traffic for which Weixin later returned no rows; the known figures were kept.",
			func(w *snapshot.Work) (float64, bool) { return float64(w.Vanished), true }),
		ofWork("weixin_refresh_damaged_dates",
			"Days whose latest response could not be parsed and that are still requested. Figures known before are kept.",
			func(w *snapshot.Work) (float64, bool) { return float64(w.Damaged), true }),
		ofWork("weixin_store_known_dates", "Dates whose figures are in the store, including dates without traffic.",
			func(w *snapshot.Work) (float64, bool) { return float64(w.Days), true }),
	}
}

// reformatted returns the family of rows in an undocumented format. Most accounts never have one, so
// its series appear with the first.
func reformatted() Family {
	f := Family{
		Name: "weixin_refresh_reformatted_rows_total",
		Help: "Rows of Weixin's responses that were accepted although their format is not the documented one: " +
			"plain_hour, whose ref_hour is 1 to 23 rather than a multiple of 100, and number, whose numbers are strings or have a fraction of zeros or an exponent.",
		Counter: true, Labels: []string{"api", "form"},
		Values: [][]string{{"daily", "number"}, {"hourly", "number"}, {"hourly", "plain_hour"}},
	}
	f.Read = func(a *snapshot.Account, i int) (float64, bool) {
		rows := [...]int64{
			a.Work[datacube.Daily].Reformatted, a.Work[datacube.Hourly].Reformatted, a.Work[datacube.Hourly].PlainHours,
		}[i]
		return float64(rows), rows > 0
	}
	return f
}

func quotas() []Family {
	quota := func(name, help string, read func(*weixin.CallQuota) int64) Family {
		return ofWork(name, help+" of openapi/quota/get). Updated at most once an hour.", func(w *snapshot.Work) (float64, bool) {
			if w.Quota == nil {
				return 0, false
			}
			return float64(read(w.Quota)), true
		})
	}
	return []Family{
		quota("weixin_api_quota_limit", "Calls that Weixin allows the account per day in China (daily_limit",
			func(q *weixin.CallQuota) int64 { return q.Limit }),
		quota("weixin_api_quota_used", "Calls made today by all clients of the account (used",
			func(q *weixin.CallQuota) int64 { return q.Used }),
		quota("weixin_api_quota_remaining", "Calls left today (remain",
			func(q *weixin.CallQuota) int64 { return q.Remaining }),
		rate("weixin_api_rate_limit_calls", "Calls that Weixin allows the account within weixin_api_rate_limit_period_seconds (rate_limit.call_count",
			ownRate, calls),
		rate("weixin_api_rate_limit_period_seconds", "Time for which weixin_api_rate_limit_calls holds (rate_limit.refresh_second",
			ownRate, seconds),
		rate("weixin_api_component_rate_limit_calls", "Calls that Weixin allows a third-party platform for the account within "+
			"weixin_api_component_rate_limit_period_seconds (component_rate_limit.call_count", componentRate, calls),
		rate("weixin_api_component_rate_limit_period_seconds", "Time for which weixin_api_component_rate_limit_calls holds "+
			"(component_rate_limit.refresh_second", componentRate, seconds),
	}
}

// rate returns a family with one number of a rate limit, if Weixin returns one.
func rate(name, help string, of func(*weixin.CallQuota) weixin.CallRate, read func(weixin.CallRate) float64) Family {
	return ofWork(name, help+" of openapi/quota/get). Asked for at most once an hour.", func(w *snapshot.Work) (float64, bool) {
		if w.Quota == nil || of(w.Quota).IsZero() {
			return 0, false
		}
		return read(of(w.Quota)), true
	})
}

func ownRate(q *weixin.CallQuota) weixin.CallRate { return q.Rate }

func componentRate(q *weixin.CallQuota) weixin.CallRate { return q.ComponentRate }

func calls(r weixin.CallRate) float64 { return float64(r.Calls) }

func seconds(r weixin.CallRate) float64 { return r.Per.Seconds() }

// reasons returns the families with one sample for each API and reason.
func reasons() []Family {
	failures := byReason("weixin_refresh_failures_total",
		"Failed attempts to get figures from Weixin and store them, by class of error. Most reasons appear with their first event.",
		snapshot.Reasons, func(w *snapshot.Work, reason snapshot.Reason) (int64, bool) {
			// Most reasons never occur, and would be a fifth of all series: each appears with its
			// first event. Those that an alert compares with their own past start at 0.
			n := w.Failures[reason]
			return n, n > 0 || startsAtZero(reason)
		})
	rejected := byReason("weixin_refresh_rows_rejected_total", "Rows of Weixin's responses that were ignored, by reason. A reason appears with its first event.",
		weixin.Rejections, func(w *snapshot.Work, reason weixin.Rejection) (int64, bool) {
			return w.Rejected[reason], w.Rejected[reason] > 0
		})
	return []Family{failures, rejected}
}

// startsAtZero reports whether a reason is exposed before its first event: reasons that can repeat every
// few minutes, since the alerts must see each repetition.
func startsAtZero(reason snapshot.Reason) bool {
	switch reason {
	case weixin.Busy, weixin.Rate, snapshot.StoreFault:
		return true
	default:
		return false
	}
}

// byReason returns a family of counters by API and reason.
func byReason[R interface {
	~uint8
	fmt.Stringer
}](name, help string, count R, read func(*snapshot.Work, R) (int64, bool)) Family {
	var sorted []R
	for reason := range count {
		sorted = append(sorted, reason)
	}
	slices.SortFunc(sorted, func(a, b R) int { return strings.Compare(a.String(), b.String()) })
	f := Family{
		Name: name, Help: help, Counter: true, Labels: []string{"api", "reason"},
		Read: func(a *snapshot.Account, i int) (float64, bool) {
			n, ok := read(&a.Work[i/len(sorted)], sorted[i%len(sorted)])
			return float64(n), ok
		},
	}
	for api := range datacube.APIs {
		for _, reason := range sorted {
			f.Values = append(f.Values, []string{api.String(), reason.String()})
		}
	}
	return f
}

// unix returns t as Unix time, and 0 for the zero time.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
