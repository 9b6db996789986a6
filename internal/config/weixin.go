package config

import (
	"math"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"weixin_exporter/internal/i18n"
)

// Weixin says how the API is called, for all accounts together.
type Weixin struct {
	// BaseURL is http or https with a host and perhaps a path, without user, query and fragment.
	BaseURL string `yaml:"base_url" allowed:"want.base_url"`
	// Timeout bounds one request.
	Timeout model.Duration `yaml:"timeout" allowed:"want.timeout"`
	// RequestsPerSecond is the highest rate over all accounts.
	RequestsPerSecond float64 `yaml:"requests_per_second" allowed:"want.rate"`
	// Concurrency is the highest number of requests under way at a time.
	Concurrency int `yaml:"concurrency" allowed:"want.concurrency"`
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
		d.warn("weixin.base_url", i18n.M("warn.clear", i18n.M("warn.clear.secrets")))
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
