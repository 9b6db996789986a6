package config

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"
	"weixin_exporter/weixin/secret"
)

const maxSamplesPerSend = 100_000

// ProtobufMessage is a version of remote write, by the name that Prometheus gives its message.
type ProtobufMessage string

const (
	// WriteV1 is remote write 1.0.
	WriteV1 ProtobufMessage = "prometheus.WriteRequest"
	// WriteV2 is remote write 2.0.
	WriteV2 ProtobufMessage = "io.prometheus.write.v2.Request"
)

// Allowed implements strictyaml.Scalar.
func (*ProtobufMessage) Allowed() i18n.Message {
	return i18n.M("type.either", string(WriteV1), string(WriteV2))
}

// SetText implements strictyaml.Scalar.
func (m *ProtobufMessage) SetText(text string) bool {
	*m = ProtobufMessage(text)
	return *m == WriteV1 || *m == WriteV2
}

// RemoteWrite is an endpoint that the history is sent to. Its keys are those of Prometheus.
type RemoteWrite struct {
	// URL is http or https with a host; user, password and query may be secrets.
	URL secret.URL `yaml:"url" allowed:"want.receiver_url"`
	// Name, if there is one, is what the store calls the endpoint; unique.
	Name string `yaml:"name,omitempty"`
	// Headers are sent with each request.
	Headers map[string]secret.Value `yaml:"headers,omitempty"`
	// RemoteTimeout bounds one request.
	RemoteTimeout model.Duration `yaml:"remote_timeout" allowed:"want.remote_timeout"`
	// ProtobufMessage is the version of the protocol to begin with.
	ProtobufMessage ProtobufMessage `yaml:"protobuf_message"`
	// MaxSamplesPerSend is how many samples a request holds at most.
	MaxSamplesPerSend int `yaml:"max_samples_per_send" allowed:"want.max_samples"`
	// MaxAge is how old a day may be to be sent.
	MaxAge model.Duration `yaml:"max_age" allowed:"want.max_age"`
	// ExternalLabels are added to all series.
	ExternalLabels map[string]string `yaml:"external_labels,omitempty"`
	// HTTPClient holds authentication, TLS and proxy; its relative paths have been joined with the
	// folder of the configuration.
	HTTPClient promconfig.HTTPClientConfig `yaml:",inline"`

	label string
}

// DefaultRemoteWrite returns an endpoint with the defaults; its URL is missing.
func DefaultRemoteWrite() RemoteWrite {
	return RemoteWrite{
		RemoteTimeout:     model.Duration(30 * time.Second),
		ProtobufMessage:   WriteV1,
		MaxSamplesPerSend: 2000,
		MaxAge:            model.Duration(30 * day),
		HTTPClient:        DefaultHTTPClient(),
	}
}

// NewRemoteWrite returns endpoints with these URLs and the defaults.
func NewRemoteWrite(urls ...string) ([]RemoteWrite, error) {
	endpoints := make([]RemoteWrite, len(urls))
	for i, text := range urls {
		if _, ok := parseEndpoint(text); !ok {
			return nil, i18n.Errorf("fault.must", strictyaml.Allowed(RemoteWrite{}, "url"))
		}
		endpoints[i] = DefaultRemoteWrite()
		endpoints[i].URL = secret.NewURL(text)
	}
	label(endpoints)
	for i, e := range endpoints {
		if slices.ContainsFunc(endpoints[:i], func(other RemoteWrite) bool { return other.Key() == e.Key() }) {
			return nil, i18n.Errorf("fault.receiver_twice", e.Key())
		}
	}
	return endpoints, nil
}

// Key is what the store calls the endpoint: the name, or the URL without user and query. It holds
// no secret.
func (w RemoteWrite) Key() string {
	if w.Name != "" {
		return w.Name
	}
	u, ok := parseEndpoint(w.URL.Reveal())
	if !ok {
		return ""
	}
	return u.Scheme + "://" + address(u)
}

// Label is what metrics and the log call the endpoint: host and path, and the name where another
// endpoint has the same. It holds no secret.
func (w RemoteWrite) Label() string { return w.label }

// label gives the endpoints their labels.
func label(endpoints []RemoteWrite) {
	count := map[string]int{}
	for i := range endpoints {
		if u, ok := parseEndpoint(endpoints[i].URL.Reveal()); ok {
			endpoints[i].label = address(u)
			count[endpoints[i].label]++
		}
	}
	for i := range endpoints {
		if e := &endpoints[i]; count[e.label] > 1 {
			e.label += " (" + e.Key() + ")"
		}
	}
}

// address returns the host and path of a URL.
func address(u *url.URL) string { return u.Host + u.EscapedPath() }

func parseEndpoint(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || !isHTTP(u) || strings.Contains(text, "#") {
		return nil, false
	}
	return u, true
}

// enterRemoteWrite returns the check of an endpoint that is about to be read; the keys of an http_config are
// among its own.
func (d *document) enterRemoteWrite(w *RemoteWrite, key string) func() {
	*w = DefaultRemoteWrite()
	b, before := &httpBlock{}, d.faulty()
	d.block = b
	return func() {
		d.block = nil
		for _, value := range w.Headers {
			b.hidden = append(b.hidden, value)
		}
		d.checkHTTPConfig(&w.HTTPClient, key, b, before)
	}
}

func (d *document) validateRemoteWrite(endpoints []RemoteWrite) {
	seen := map[string]origin{}
	for i := range endpoints {
		w, key := &endpoints[i], strictyaml.Item("remote_write", i)
		if d.Broken(key) {
			continue
		}
		_, ok := parseEndpoint(w.URL.Reveal())
		switch {
		case !d.Has(key + ".url"):
			d.Fault(key+".url", i18n.M("fault.missing", strictyaml.Allowed(RemoteWrite{}, "url")))
		case !ok:
			d.Refuse(key + ".url")
		}
		if d.Has(key+".name") && (w.Name == "" || strings.ContainsFunc(w.Name, isControl)) {
			d.Fault(key+".name", i18n.M("fault.endpoint_name"))
		}
		if w.RemoteTimeout <= 0 {
			d.Refuse(key + ".remote_timeout")
		}
		if w.MaxSamplesPerSend < 1 || w.MaxSamplesPerSend > maxSamplesPerSend {
			d.Refuse(key + ".max_samples_per_send")
		}
		if age := time.Duration(w.MaxAge); age < day || age > maxHistoryDays*day {
			d.Refuse(key + ".max_age")
		}
		d.validateHeaders(w.Headers, key+".headers")
		d.validateExternalLabels(w.ExternalLabels, key+".external_labels")
		if name := w.Key(); name != "" {
			if first := d.first(key, name, seen); !first.IsZero() {
				d.Fault(key, i18n.M("fault.same_endpoint", first))
			}
		}
	}
	label(endpoints)
}

// reserved are the headers that the protocol, the connection or another key sets.
func reserved() []string {
	return []string{
		"Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Keep-Alive",
		"Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
		"X-Prometheus-Remote-Write-Version",
	}
}

func (d *document) validateHeaders(headers map[string]secret.Value, key string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		child := strictyaml.Join(key, strictyaml.ShownKey(name))
		switch canonical := http.CanonicalHeaderKey(name); {
		case canonical == "Authorization":
			d.Fault(child, i18n.M("fault.header_authorization"))
		case slices.Contains(reserved(), canonical):
			d.Fault(child, i18n.M("fault.header_reserved"))
		case !isToken(name):
			d.Fault(child, i18n.M("fault.header_name"))
		case strings.ContainsFunc(headers[name].Reveal(), isControl):
			d.Fault(child, i18n.M("fault.must", i18n.M("want.header")))
		}
	}
}

func (d *document) validateExternalLabels(labels map[string]string, key string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		child := strictyaml.Join(key, strictyaml.ShownKey(name))
		switch {
		case name == history.AccountLabel || name == model.MetricNameLabel:
			d.Fault(child, i18n.M("fault.label_taken"))
		case !model.LegacyValidation.IsValidLabelName(name) || strings.HasPrefix(name, model.ReservedLabelPrefix):
			d.Fault(child, i18n.M("fault.label_name"))
		case labels[name] == "":
			d.Fault(child, i18n.M("fault.label_empty"))
		}
	}
}

// isToken reports whether a name is one that HTTP allows for a header.
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
