// Package collector shows a snapshot, and the exporter's own requests, as Prometheus metrics.
package collector

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/snapshot"
	"weixin_exporter/summary"
	"weixin_exporter/weixin"
)

// Source has the latest snapshot; *snapshot.Board is one.
type Source interface {
	// Latest returns nil while there is none.
	Latest() *snapshot.Snapshot
}

// Collector is a prometheus.Collector over the latest snapshot. A collection reads one
// snapshot from memory and waits for nothing.
type Collector struct {
	source Source
	daily  period
	hourly period

	info        *prometheus.Desc
	success     *prometheus.Desc
	lastSuccess *prometheus.Desc
	failures    *prometheus.Desc
	rejected    *prometheus.Desc
	plainHours  *prometheus.Desc
	revisions   *prometheus.Desc
	days        *prometheus.Desc

	quotaLimit     *prometheus.Desc
	quotaUsed      *prometheus.Desc
	quotaRemaining *prometheus.Desc
}

// period holds the families of the figures of one of the two calls.
type period struct {
	figures []figure
	date    *prometheus.Desc
}

// figure is one family of figures.
type figure struct {
	desc *prometheus.Desc
	// read returns the value, and false where there is none.
	read func(summary.Figures) (float64, bool)
}

// New returns a Collector over the snapshots of source.
func New(source Source) *Collector {
	byAccountAndAPI := []string{"account", "api"}
	return &Collector{
		source: source,
		daily:  newPeriod(summary.Daily, "getinterfacesummary", "the latest known day", "account"),
		hourly: newPeriod(summary.Hourly, "getinterfacesummaryhour", "an hour of the latest known day", "account", "hour"),
		info: prometheus.NewDesc("weixin_account_info",
			"Always 1; names the app id of a configured account.", []string{"account", "app_id"}, nil),
		success: prometheus.NewDesc("weixin_refresh_success",
			"Whether the last attempt to ask Weixin succeeded (1) or failed (0); 0 before the first one. "+
				"An answer that a day is not ready yet is a success.", byAccountAndAPI, nil),
		lastSuccess: prometheus.NewDesc("weixin_refresh_last_success_timestamp_seconds",
			"When an attempt to ask Weixin last succeeded, as Unix time; 0 if none ever has.", byAccountAndAPI, nil),
		failures: prometheus.NewDesc("weixin_refresh_failures_total",
			"Failed attempts to ask Weixin and to keep its answer, by the class of the error.", []string{"account", "api", "reason"}, nil),
		rejected: prometheus.NewDesc("weixin_refresh_rows_rejected_total",
			"Rows of Weixin's answers that were left out, by reason.", []string{"account", "api", "reason"}, nil),
		plainHours: prometheus.NewDesc("weixin_refresh_plain_hour_rows_total",
			"Rows of Weixin's answers whose ref_hour was a plain hour (1 to 23) instead of a hundredfold one; they were taken as that hour.",
			[]string{"account"}, nil),
		revisions: prometheus.NewDesc("weixin_refresh_revisions_total",
			"Known days that came back from Weixin with other figures.", byAccountAndAPI, nil),
		days: prometheus.NewDesc("weixin_store_days",
			"Days known in the store, those without traffic included.", byAccountAndAPI, nil),
		quotaLimit: prometheus.NewDesc("weixin_api_quota_limit",
			"Calls that Weixin allows the account a day of China time (daily_limit of openapi/quota/get). Asked for at most once an hour.",
			byAccountAndAPI, nil),
		quotaUsed: prometheus.NewDesc("weixin_api_quota_used",
			"Calls of the day that are used up, by whomever (used of openapi/quota/get). Asked for at most once an hour.",
			byAccountAndAPI, nil),
		quotaRemaining: prometheus.NewDesc("weixin_api_quota_remaining",
			"Calls of the day that are left (remain of openapi/quota/get). Asked for at most once an hour.",
			byAccountAndAPI, nil),
	}
}

// newPeriod makes the families of one call; what says which period a sample is for.
func newPeriod(api summary.API, call, what string, labels ...string) period {
	name := func(suffix string) string { return "weixin_interface_" + api.String() + "_" + suffix }
	help := func(text, field string) string {
		return fmt.Sprintf("%s in %s (%s of %s). Cached; a day or more old.", text, what, field, call)
	}
	desc := func(suffix, text, field string) *prometheus.Desc {
		return prometheus.NewDesc(name(suffix), help(text, field), labels, nil)
	}
	return period{
		figures: []figure{
			{
				desc("callbacks", "How often Weixin called the account's server, failures included,", "callback_count"),
				func(f summary.Figures) (float64, bool) { return float64(f.Callbacks), true },
			},
			{
				desc("failures", "How many of the callbacks failed", "fail_count"),
				func(f summary.Figures) (float64, bool) { return float64(f.Failures), true },
			},
			{
				desc("time_cost_seconds", "Time of all callbacks together", "total_time_cost"),
				func(f summary.Figures) (float64, bool) { return f.TimeCostSeconds(), true },
			},
			{
				desc("max_time_cost_seconds", "Time of the longest callback", "max_time_cost"),
				func(f summary.Figures) (float64, bool) { return f.MaxTimeCostSeconds(), true },
			},
			{
				desc("average_time_cost_seconds", "Mean time of a callback", "total_time_cost divided by callback_count"),
				summary.Figures.AverageTimeCostSeconds,
			},
		},
		date: prometheus.NewDesc(name("data_timestamp_seconds"),
			fmt.Sprintf("Start in China time of the day (ref_date of %s) that the other weixin_interface_%s metrics describe, as Unix time.", call, api),
			[]string{"account"}, nil),
	}
}

// Describe sends the descriptions of all families.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, p := range []period{c.daily, c.hourly} {
		for _, f := range p.figures {
			descs <- f.desc
		}
		descs <- p.date
	}
	for _, d := range []*prometheus.Desc{
		c.info, c.success, c.lastSuccess, c.failures, c.rejected, c.plainHours, c.revisions, c.days,
		c.quotaLimit, c.quotaUsed, c.quotaRemaining,
	} {
		descs <- d
	}
}

// Collect sends what the latest snapshot says.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	latest := c.source.Latest()
	if latest == nil {
		return
	}
	for _, a := range latest.Accounts {
		metrics <- gauge(c.info, 1, a.Name, a.AppID)
		if a.Daily != nil {
			metrics <- gauge(c.daily.date, unix(a.Daily.Date.Start()), a.Name)
			c.daily.collect(metrics, a.Daily.Figures, a.Name)
		}
		if a.Hourly != nil {
			metrics <- gauge(c.hourly.date, unix(a.Hourly.Date.Start()), a.Name)
			for hour, figures := range a.Hourly.Hours {
				c.hourly.collect(metrics, figures, a.Name, fmt.Sprintf("%02d", hour))
			}
		}
		metrics <- counter(c.plainHours, a.Work[summary.Hourly].PlainHours, a.Name)
		for api := range summary.APIs {
			c.collectWork(metrics, &a.Work[api], a.Name, api.String())
		}
	}
}

func (p period) collect(metrics chan<- prometheus.Metric, figures summary.Figures, labels ...string) {
	for _, f := range p.figures {
		if value, ok := f.read(figures); ok {
			metrics <- gauge(f.desc, value, labels...)
		}
	}
}

func (c *Collector) collectWork(metrics chan<- prometheus.Metric, w *snapshot.Work, account, api string) {
	success := 0.0
	if w.Succeeded {
		success = 1
	}
	metrics <- gauge(c.success, success, account, api)
	metrics <- gauge(c.lastSuccess, unix(w.LastSuccess), account, api)
	metrics <- gauge(c.days, float64(w.Days), account, api)
	metrics <- counter(c.revisions, w.Revisions, account, api)
	if w.Quota != nil {
		metrics <- gauge(c.quotaLimit, float64(w.Quota.Limit), account, api)
		metrics <- gauge(c.quotaUsed, float64(w.Quota.Used), account, api)
		metrics <- gauge(c.quotaRemaining, float64(w.Quota.Remaining), account, api)
	}
	for reason, n := range w.Failures {
		if snapshot.Reason(reason) == snapshot.Reason(weixin.NotReady) && n == 0 {
			continue // an answer rather than a failure
		}
		metrics <- counter(c.failures, n, account, api, snapshot.Reason(reason).String())
	}
	for reason, n := range w.Rejected {
		metrics <- counter(c.rejected, n, account, api, weixin.Rejection(reason).String())
	}
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

func counter(desc *prometheus.Desc, n int64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
}

// unix returns t as Unix time, and 0 for no time at all.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
