package config

import (
	"math"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// Weixin says how the API is called, for all accounts together.
type Weixin struct {
	// BaseURL is http or https with a host and perhaps a path, without user, query and fragment.
	BaseURL string `yaml:"base_url" allowed:"an http or https URL with a host and no user, query or fragment, such as https://api.weixin.qq.com"`
	// Timeout bounds one request.
	Timeout model.Duration `yaml:"timeout" allowed:"a duration above 0, such as 10s"`
	// RequestsPerSecond is the highest rate over all accounts.
	RequestsPerSecond float64 `yaml:"requests_per_second" allowed:"a number above 0, such as 10"`
	// Concurrency is the highest number of requests under way at a time.
	Concurrency int `yaml:"concurrency" allowed:"a whole number from 1 to 1000"`
	// Quota says whether each account's quota of calls is asked for.
	Quota bool `yaml:"quota"`
	// HTTPClient holds proxy, TLS and the like; its relative paths have been joined with the folder
	// of the configuration.
	HTTPClient promconfig.HTTPClientConfig `yaml:"http_config"`
}

func (d *document) validateWeixin(w *Weixin) {
	base, ok := parseBaseURL(w.BaseURL)
	switch {
	case !ok:
		d.Refuse("weixin.base_url")
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		d.warn("weixin.base_url", "app secrets and access tokens cross the network in the clear; https protects them")
	}
	if w.Timeout <= 0 {
		d.Refuse("weixin.timeout")
	}
	if !(w.RequestsPerSecond > 0) || math.IsInf(w.RequestsPerSecond, 0) {
		d.Refuse("weixin.requests_per_second")
	}
	if w.Concurrency < 1 || w.Concurrency > 1000 {
		d.Refuse("weixin.concurrency")
	}
}
