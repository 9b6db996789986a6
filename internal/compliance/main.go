// Compliance runs the package remotewrite in the public compliance test suite for remote write senders. The suite
// starts a program as if it were Prometheus: with a configuration file that names a target to scrape and a receiver.
// It is not released; docs/remote-write-compliance.md describes how to use it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/weixin/secret"
)

const (
	// interval is how often the target is scraped. It is longer than the suite configures, because each scrape is one
	// request here, and Prometheus also collects samples for five seconds before it sends them.
	interval = 5 * time.Second
	timeout  = 5 * time.Second
	// perRequest is the default of max_samples_per_send.
	perRequest = 2000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr, time.Now); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// settings is the part of a Prometheus configuration that the adapter needs.
type settings struct {
	RemoteWrite []struct {
		URL             string              `yaml:"url"`
		ProtobufMessage remotewrite.Message `yaml:"protobuf_message"`
	} `yaml:"remote_write"`
	ScrapeConfigs []struct {
		JobName       string `yaml:"job_name"`
		StaticConfigs []struct {
			Targets []string `yaml:"targets"`
		} `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

// run scrapes and sends until the context ends.
func run(ctx context.Context, args []string, stderr io.Writer, now func() time.Time) error {
	flags := flag.NewFlagSet("compliance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config.file", "", "configuration of Prometheus with one target and one receiver")
	flags.String("web.listen-address", "", "ignored")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var s settings
	if err := yaml.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	if len(s.RemoteWrite) != 1 || len(s.ScrapeConfigs) != 1 || len(s.ScrapeConfigs[0].StaticConfigs) != 1 ||
		len(s.ScrapeConfigs[0].StaticConfigs[0].Targets) != 1 {
		return errors.New("the configuration must have one target and one receiver")
	}
	logger := log.NewLogfmtLogger(log.NewSyncWriter(stderr))
	client := remotewrite.NewClient(remotewrite.ClientOptions{
		URL: secret.NewURL(s.RemoteWrite[0].URL), HTTPClient: &http.Client{}, Timeout: timeout, Message: s.RemoteWrite[0].ProtobufMessage,
		UserAgent: "weixin_exporter-compliance", Now: now, Logger: logger,
	})
	a := adapter{
		writer: remotewrite.NewWriter(client, logger, now), logger: logger, now: now,
		job: s.ScrapeConfigs[0].JobName, target: s.ScrapeConfigs[0].StaticConfigs[0].Targets[0],
	}
	a.loop(ctx)
	return nil
}

type adapter struct {
	writer      *remotewrite.Writer
	logger      log.Logger
	now         func() time.Time
	job, target string
}

// loop scrapes and sends, at once and then at each interval.
func (a *adapter) loop(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		samples, err := a.scrape(ctx)
		if err != nil {
			level.Error(a.logger).Log("msg", "scraping the target failed", "err", err)
		}
		for request := range slices.Chunk(samples, perRequest) {
			refused, _ := a.writer.Write(ctx, request) // ends with the context
			for _, r := range refused {
				level.Error(a.logger).Log("msg", "a sample was given up", "reason", r.Reason, "response", r.Text)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// scrape returns the samples of the target.
func (a *adapter) scrape(ctx context.Context) ([]remotewrite.Sample, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.target+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return a.parse(text)
}

// parse parses an exposition, without exemplars, which neither the parser nor the sender supports.
func (a *adapter) parse(text []byte) ([]remotewrite.Sample, error) {
	text = regexp.MustCompile(`(?m) # \{.*$`).ReplaceAll(text, nil)
	text = append(text, '\n') // it may be missing in the last line
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	var samples []remotewrite.Sample
	for _, family := range families {
		decoded, decodeErr := expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: model.TimeFromUnixNano(a.now().UnixNano())}, family)
		err = errors.Join(err, decodeErr)
		for _, s := range decoded {
			samples = append(samples, a.sample(family, s))
		}
	}
	return samples, err
}

func (a *adapter) sample(family *dto.MetricFamily, s *model.Sample) remotewrite.Sample {
	labels := []remotewrite.Label{{Name: "job", Value: a.job}, {Name: "instance", Value: a.target}}
	for name, value := range s.Metric {
		if name != model.MetricNameLabel {
			labels = append(labels, remotewrite.Label{Name: string(name), Value: string(value)})
		}
	}
	series := remotewrite.NewSeries(string(s.Metric[model.MetricNameLabel]), remotewrite.Metadata{Type: typeOf(family), Help: family.GetHelp()}, labels...)
	return remotewrite.Sample{Series: series, Time: int64(s.Timestamp), Value: float64(s.Value)}
}

// typeOf returns a family's type. The package remotewrite has no names for histograms and summaries, since the
// exporter does not send any.
func typeOf(family *dto.MetricFamily) remotewrite.Type {
	const histogram, summary remotewrite.Type = 3, 5
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		return remotewrite.Counter
	case dto.MetricType_GAUGE:
		return remotewrite.Gauge
	case dto.MetricType_HISTOGRAM:
		return histogram
	case dto.MetricType_SUMMARY:
		return summary
	default:
		return remotewrite.Unknown
	}
}
