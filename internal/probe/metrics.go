package probe

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Describe implements prometheus.Collector. It describes nothing, since what there is depends on the result.
func (r Result) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector: the result as blackbox_exporter would show it. What was not found
// out has no series.
func (r Result) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(name, help string, value float64, labels ...string) {
		names, values := make([]string, 0, 1), make([]string, 0, 1)
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		metrics <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.GaugeValue, value, values...)
	}
	gauge("probe_success", "Whether the callback server answered as Weixin expects.", boolean(r.Success()))
	gauge("probe_duration_seconds", "How long the probe took.", r.Duration.Seconds())
	gauge("probe_dns_lookup_time_seconds", "How long resolving the name of the host took.", r.Phases[Resolve].Seconds())
	for phase := range Phases {
		gauge("probe_http_duration_seconds", "How long each phase of the request took that verifies the URL.", r.Phases[phase].Seconds(), "phase", phase.String())
	}
	gauge("probe_http_status_code", "HTTP status of the answer, 0 without an answer.", float64(r.Status))
	if r.Status != 0 {
		gauge("probe_http_version", "HTTP version of the answer.", r.HTTPVersion)
	}
	gauge("probe_http_ssl", "Whether the answer came over TLS.", boolean(r.TLSVersion != ""))
	if r.TLSVersion != "" {
		gauge("probe_tls_version_info", "TLS version of the connection.", 1, "version", r.TLSVersion)
	}
	if !r.CertificateExpiry.IsZero() {
		gauge("probe_ssl_earliest_cert_expiry", "The earliest expiry of any certificate in the chain that the server sent, in Unix time.", float64(r.CertificateExpiry.Unix()))
	}
	if r.Message > 0 {
		gauge("probe_message_duration_seconds", "How long the request took that delivers the signed message.", r.Message.Seconds())
	}
	if !r.Success() {
		gauge("probe_failed_due_to_reason", "Why the probe failed; there is no series for a success.", 1, "reason", string(r.Reason))
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
