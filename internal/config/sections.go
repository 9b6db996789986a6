package config

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxHistoryDays = 4000

// allowed says what a key's value must be; what stands for the keys that have no more than a type.
func allowed(key, what string) string {
	switch key {
	case "weixin.base_url":
		return "an http or https URL with a host and no user, query or fragment, such as https://api.weixin.qq.com"
	case "weixin.timeout":
		return "a duration above 0, such as 10s"
	case "weixin.requests_per_second":
		return "a number above 0, such as 10"
	case "weixin.concurrency":
		return "a whole number from 1 to 1000"
	case "refresh.interval":
		return "a duration above 0 and at most 1d, such as 15m"
	case "refresh.ready_at":
		return `a China time of the form "HH:MM", "00:00" to "23:59"`
	case "refresh.history":
		return "a number of whole days from 1d to 4000d, such as 30d"
	case "refresh.recheck_after":
		return "a duration such as 24h, or 0 for never"
	case "store.path":
		return `the path of a file, or "" to keep everything in memory`
	case "store.retention":
		return "a number of whole days, such as 400d, or 0 for ever"
	}
	if strings.HasPrefix(key, "remote_write[") {
		return allowedRemoteWrite(key, what)
	}
	if strings.HasSuffix(key, "component_access_token.type") {
		return "file or url"
	}
	return what
}

func (d *document) validateWeixin(w *Weixin) {
	base, ok := parseBaseURL(w.BaseURL)
	switch {
	case !ok:
		d.refuse("weixin.base_url")
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		d.warn("weixin.base_url", "app secrets and access tokens cross the network in the clear; https protects them")
	}
	if w.Timeout <= 0 {
		d.refuse("weixin.timeout")
	}
	if !(w.RequestsPerSecond > 0) || math.IsInf(w.RequestsPerSecond, 0) {
		d.refuse("weixin.requests_per_second")
	}
	if w.Concurrency < 1 || w.Concurrency > 1000 {
		d.refuse("weixin.concurrency")
	}
}

func (d *document) validateRefresh(r *Refresh) {
	if r.Interval <= 0 || time.Duration(r.Interval) > day {
		d.refuse("refresh.interval")
	}
	if !wholeDays(time.Duration(r.History)) || r.HistoryDays() < 1 || r.HistoryDays() > maxHistoryDays {
		d.refuse("refresh.history")
	}
}

func (d *document) validateStore(s *Store, history Refresh) {
	if !wholeDays(time.Duration(s.Retention)) {
		d.refuse("store.retention")
	}
	if s.Retention > 0 && s.Retention < history.History && !d.broken["refresh.history"] {
		d.fault("store.retention", fmt.Sprintf("must not be shorter than refresh.history, which is %s, or 0 for ever", history.History))
	}
	s.Path = d.path(s.Path)
}

func wholeDays(d time.Duration) bool { return d >= 0 && d%day == 0 }

func parseBaseURL(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || !isHTTP(u) || u.User != nil || strings.ContainsAny(text, "?#") {
		return nil, false
	}
	return u, true
}

func isHTTP(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && hasHost(u) }

func isProxy(u *url.URL) bool {
	return isHTTP(u) || (u.Scheme == "socks5" || u.Scheme == "socks5h") && hasHost(u)
}

func hasHost(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Hostname() != "" && (u.Port() == "" || err == nil && port > 0)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
