package exporter

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/httpclient"
	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/internal/store"
)

// writers builds the endpoints of remote write of a configuration, and has the group that sends to them.
type writers struct {
	group  *remotewrite.Group
	logger log.Logger
	now    func() time.Time
	kept   []writer
}

// writerGeneration is the endpoints of one configuration.
type writerGeneration struct {
	writers   []writer
	endpoints []remotewrite.Endpoint
}

type writer struct {
	config config.RemoteWrite
	client *remotewrite.Client
}

func newWriters(r prometheus.Registerer, db store.Store, sharing remotewrite.Sharing, logger log.Logger, now, trustedNow func() time.Time) (*writers, error) {
	metrics, err := remotewrite.NewMetrics(r)
	if err != nil {
		return nil, err
	}
	group := remotewrite.NewGroup(remotewrite.Options{Store: db, Metrics: metrics, Logger: logger, Now: now, TrustedNow: trustedNow, Sharing: sharing})
	return &writers{group: group, logger: logger, now: now}, nil
}

// build returns the writers of a configuration, for ApplyConfig; those in use are not changed. A receiver
// with unchanged settings keeps its client, which knows the version of the protocol that the receiver
// understands, and by which the group recognizes the receiver.
func (w *writers) build(cfg *config.Config) (writerGeneration, error) {
	accounts := make(map[string]string, len(cfg.Accounts))
	for _, a := range cfg.Accounts {
		accounts[a.AppID] = a.Name
	}
	var next writerGeneration
	for i, c := range cfg.RemoteWrite {
		client := w.keptClient(c)
		if client == nil {
			var err error
			if client, err = NewWriteClient(c, w.now, w.logger); err != nil {
				return writerGeneration{}, fmt.Errorf("remote_write[%d]: %w", i, err)
			}
		}
		next.writers = append(next.writers, writer{c, client})
		var labels []remotewrite.Label
		// Always in the same order, so that the group recognizes an unchanged endpoint.
		for _, name := range slices.Sorted(maps.Keys(c.ExternalLabels)) {
			labels = append(labels, remotewrite.Label{Name: name, Value: c.ExternalLabels[name]})
		}
		next.endpoints = append(next.endpoints, remotewrite.Endpoint{
			Key: c.Key(), Label: c.Label(), Client: client, MaxSamples: c.MaxSamplesPerSend,
			MaxAge: time.Duration(c.MaxAge), ExternalLabels: labels, Accounts: accounts,
		})
	}
	return next, nil
}

// ApplyConfig replaces the writers with those that build returned; a running group uses them at once.
func (w *writers) ApplyConfig(next writerGeneration) {
	w.keep(next)
	w.group.ApplyConfig(next.endpoints)
}

// keep stores the writers for the next build, and closes idle connections of the former ones.
func (w *writers) keep(next writerGeneration) {
	for _, former := range w.kept {
		former.client.HTTPClient.CloseIdleConnections()
	}
	w.kept = next.writers
}

func (w *writers) keptClient(c config.RemoteWrite) *remotewrite.Client {
	for _, former := range w.kept {
		if reflect.DeepEqual(former.config, c) {
			return former.client
		}
	}
	return nil
}

// NewWriteClient returns a client that sends to an endpoint of remote write.
func NewWriteClient(c config.RemoteWrite, now func() time.Time, logger log.Logger) (*remotewrite.Client, error) {
	httpClient, err := httpclient.New(c.HTTPClient, Program)
	if err != nil {
		return nil, err
	}
	return remotewrite.NewClient(remotewrite.ClientOptions{
		URL:        c.URL,
		HTTPClient: httpClient,
		Headers:    c.Headers,
		Timeout:    time.Duration(c.RemoteTimeout),
		Message:    remotewrite.Message(c.ProtobufMessage),
		UserAgent:  userAgent(),
		Now:        now,
		Logger:     log.With(logger, "endpoint", c.Label()),
	}), nil
}
