package remotewrite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"weixin_exporter/internal/i18n"
)

// Finding is what Probe found out about an endpoint.
type Finding struct {
	// Fault is the receiver's response; "" if it accepts requests.
	Fault string
	// ToDo says what to do about the fault.
	ToDo i18n.Message
	// Warnings are about settings of the receiver that lose samples without an error.
	Warnings []i18n.Message
}

const (
	// prometheusWrite is the end of the path of Prometheus' receiver. Other receivers use it as well.
	prometheusWrite = "/api/v1/write"
	// maxStatus limits how much of a status is read, in bytes. The configuration of a Prometheus may be large.
	maxStatus = 4 << 20
	// maxDepth limits how deeply its values are nested; those of Prometheus are less than 20 deep.
	maxDepth = 30
)

// Probe sends a request without samples, which receivers accept without storing anything. It also asks a Prometheus
// how long it keeps samples and how old they may be, and compares that with maxAge. A receiver that does not
// report this gets no warning. The client's timeout limits each request.
func (c *Client) Probe(ctx context.Context, maxAge time.Duration) Finding {
	result := c.Send(ctx, nil)
	if result.Outcome != Accepted {
		return Finding{Fault: result.Text, ToDo: result.advice()}
	}
	return Finding{Warnings: c.warnings(ctx, maxAge)}
}

// warnings describes the settings with which a Prometheus drops samples younger than maxAge.
func (c *Client) warnings(ctx context.Context, maxAge time.Duration) []i18n.Message {
	var warnings []i18n.Message
	var info struct {
		StorageRetention string `json:"storageRetention"`
	}
	if err := c.status(ctx, "runtimeinfo", &info); err != nil {
		return nil // it is not a Prometheus, or does not allow the request
	}
	// It is "15d", "15d or 10GiB" or "10GiB".
	first, _, _ := strings.Cut(info.StorageRetention, " ")
	if kept, err := model.ParseDuration(first); err == nil && kept > 0 && time.Duration(kept) < maxAge {
		warnings = append(warnings, i18n.M("receiver.retention", kept.String(), model.Duration(maxAge).String()))
	}
	var configuration struct {
		YAML string `json:"yaml"`
	}
	var settings struct {
		Storage struct {
			TSDB struct {
				Window string `yaml:"out_of_order_time_window"`
			} `yaml:"tsdb"`
		} `yaml:"storage"`
	}
	// Without these options a text of this size could take hours: all keys of a mapping are compared with each other, and each
	// value in brackets with all brackets around it.
	limits := loaderlimits.New(loaderlimits.DepthValue(maxDepth))
	if c.status(ctx, "config", &configuration) != nil ||
		yaml.Load([]byte(configuration.YAML), &settings, yaml.WithV3Defaults(), yaml.WithUniqueKeys(false), yaml.WithPlugin(limits)) != nil {
		return warnings
	}
	window, err := model.ParseDuration(cmp.Or(settings.Storage.TSDB.Window, "0s")) // which is Prometheus' default
	if err == nil && time.Duration(window) < maxAge {
		warnings = append(warnings, i18n.M("receiver.window", window.String(), model.Duration(maxAge).String()))
	}
	return warnings
}

// status requests a part of a Prometheus' status. It fails for other receivers.
func (c *Client) status(ctx context.Context, part string, data any) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	address, err := c.URL.Parse()
	if err != nil {
		return err
	}
	base, ok := strings.CutSuffix(address.Path, prometheusWrite)
	if !ok {
		return errors.New("not the URL of a Prometheus")
	}
	address.Path, address.RawPath = base+"/api/v1/status/"+part, ""
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return err
	}
	c.addHeaders(request)
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	var body struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxStatus)).Decode(&body); err != nil {
		return err
	}
	return json.Unmarshal(body.Data, data)
}
