package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/weixin"
)

// Requests counts the requests that the client sends to Weixin.
type Requests struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewRequests registers the metrics of the client's requests.
func NewRequests(r prometheus.Registerer) (*Requests, error) {
	m := &Requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weixin_api_requests_total",
			Help: `Requests sent to Weixin, by the errcode of the response: "0" for success, "http" for a transport error or an invalid response.`,
		}, []string{"api", "errcode"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "weixin_api_request_duration_seconds",
			Help:                        "Time from sending a request to Weixin to the end of the response.",
			Buckets:                     prometheus.DefBuckets,
			NativeHistogramBucketFactor: 1.1,
			// A limit, so that very different durations do not let it grow without bound.
			NativeHistogramMaxBucketNumber: 100,
		}, []string{"api"}),
	}
	for _, api := range []string{"token", "daily", "hourly"} {
		m.Expect(api)
	}
	for _, c := range []prometheus.Collector{m.total, m.duration} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Expect makes the series of an API start at 0, before its first request.
func (m *Requests) Expect(api string) {
	m.duration.WithLabelValues(api)
	for _, errcode := range []string{"0", "http"} {
		m.total.WithLabelValues(api, errcode)
	}
}

// Observe counts one request.
func (m *Requests) Observe(r weixin.Request) {
	m.total.WithLabelValues(string(r.API), r.Errcode).Inc()
	m.duration.WithLabelValues(string(r.API)).Observe(r.Duration.Seconds())
}
