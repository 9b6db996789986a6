package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/remotewrite/remotewritetest"
)

const exposition = `# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total{kind="a"} 7 # {trace_id="1"} 1
# TYPE seconds histogram
seconds_bucket{le="1"} 1
seconds_bucket{le="+Inf"} 2
seconds_sum 3
seconds_count 2
# TYPE size summary
size_sum 1
size_count 1
# TYPE level gauge
level -1 1000
plain 2`

// The samples of the target arrive at the receiver, with labels, types and times.
func TestScrapeAndSend(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, exposition) }))
	defer target.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := map[string]string{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer cancel()
		request, err := remotewritetest.Read(r)
		if err != nil {
			t.Error(err)
		}
		for _, series := range request.Series {
			if series.Labels["job"] != "test" || "http://"+series.Labels["instance"] != target.URL {
				t.Errorf("labels %v", series.Labels)
			}
			key := series.Labels["__name__"] + series.Labels["kind"] + series.Labels["le"]
			got[key] = fmt.Sprint(series.Samples[0].Value, series.Samples[0].Time, series.Type)
		}
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer receiver.Close()
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("remote_write: [{url: '%s', protobuf_message: io.prometheus.write.v2.Request}]\n"+
		"scrape_configs: [{job_name: test, static_configs: [{targets: ['%s']}]}]\n", receiver.URL, strings.TrimPrefix(target.URL, "http://"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.UnixMilli(5000) }
	if err := run(ctx, []string{"--web.listen-address=0.0.0.0:0", "--config.file=" + file}, t.Output(), now); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"jobs_totala":        "7 5000 METRIC_TYPE_COUNTER",
		"seconds_bucket1":    "1 5000 METRIC_TYPE_HISTOGRAM",
		"seconds_bucket+Inf": "2 5000 METRIC_TYPE_HISTOGRAM",
		"seconds_sum":        "3 5000 METRIC_TYPE_HISTOGRAM",
		"size_count":         "1 5000 METRIC_TYPE_SUMMARY",
		"level":              "-1 1000 METRIC_TYPE_GAUGE",
		"plain":              "2 5000 METRIC_TYPE_UNSPECIFIED",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	for text, want := range map[string]string{
		"remote_write: []":                "must have one target",
		"remote_write: {":                 "config.yaml",
		"scrape_configs: [{job_name: a}]": "must have one target",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), []string{"--config.file=" + file}, t.Output(), time.Now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, args := range [][]string{{"--none"}, {"--config.file=none"}} {
		if err := run(t.Context(), args, t.Output(), time.Now); err == nil {
			t.Errorf("%q is not an error", args)
		}
	}
}
