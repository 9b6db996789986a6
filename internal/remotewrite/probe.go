package remotewrite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"
)

// Finding is what Probe learned of an endpoint.
type Finding struct {
	// Fault says what the receiver answered, and ToDo what to do about it; both "" if it accepts requests.
	Fault, ToDo string
	// Warnings are settings of the receiver by which it loses samples without an error.
	Warnings []string
}

const (
	// prometheusWrite is what the path of a Prometheus' receiver ends in; other receivers have it, too.
	prometheusWrite = "/api/v1/write"
	// maxStatus bounds how much of a status is read, in bytes; the configuration of a Prometheus may be large.
	maxStatus = 4 << 20
)

// Probe sends a request without samples, which receivers accept without storing anything. Of a Prometheus it also
// asks how long it keeps samples and how old they may be, and compares that with maxAge; a receiver that
// does not tell leads to no warning. Each request is bounded by the client's timeout.
func (c *Client) Probe(ctx context.Context, maxAge time.Duration) Finding {
	answer := c.Send(ctx, nil)
	if answer.Verdict != Accepted {
		return Finding{Fault: answer.Text, ToDo: answer.advice()}
	}
	return Finding{Warnings: c.warnings(ctx, maxAge)}
}

// warnings returns the settings of a Prometheus by which it drops samples younger than maxAge.
func (c *Client) warnings(ctx context.Context, maxAge time.Duration) []string {
	var warnings []string
	var info struct {
		StorageRetention string `json:"storageRetention"`
	}
	if err := c.status(ctx, "runtimeinfo", &info); err != nil {
		return nil // it is not a Prometheus, or lets nobody ask
	}
	// It reads "15d", "15d or 10GiB" or "10GiB".
	first, _, _ := strings.Cut(info.StorageRetention, " ")
	if kept, err := model.ParseDuration(first); err == nil && kept > 0 && time.Duration(kept) < maxAge {
		warnings = append(warnings, fmt.Sprintf("the receiver keeps samples for %s only (--storage.tsdb.retention.time), and max_age is %s: "+
			"older ones are accepted and then removed without an error; make the retention longer than max_age", kept, model.Duration(maxAge)))
	}
	var configuration struct {
		YAML string `json:"yaml"`
	}
	var settings struct {
		Storage struct {
			TSDB struct {
				Window model.Duration `yaml:"out_of_order_time_window"`
			} `yaml:"tsdb"`
		} `yaml:"storage"`
	}
	if c.status(ctx, "config", &configuration) != nil || yaml.Unmarshal([]byte(configuration.YAML), &settings) != nil {
		return warnings
	}
	if window := settings.Storage.TSDB.Window; time.Duration(window) < maxAge {
		warnings = append(warnings, fmt.Sprintf("the receiver's storage.tsdb.out_of_order_time_window is %s, and max_age is %s: "+
			"it refuses most of what is older than the window; make it longer than max_age", window, model.Duration(maxAge)))
	}
	return warnings
}

// status asks a Prometheus for a part of its status. It fails for other receivers.
func (c *Client) status(ctx context.Context, part string, data any) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	address, err := c.URL.Parse()
	if err != nil {
		return err
	}
	base, ok := strings.CutSuffix(address.Path, prometheusWrite)
	if !ok {
		return errors.New("not the address of a Prometheus")
	}
	address.Path, address.RawPath = base+"/api/v1/status/"+part, ""
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return err
	}
	c.sign(request)
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxStatus)).Decode(&answer); err != nil {
		return err
	}
	return json.Unmarshal(answer.Data, data)
}
