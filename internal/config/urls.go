package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

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
