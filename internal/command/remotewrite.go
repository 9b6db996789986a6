package command

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

// writers makes the endpoints of remote write that a configuration asks for, and the group
// that sends to them.
type writers struct {
	group  *remotewrite.Group
	logger log.Logger
	now    func() time.Time
	kept   []writer
}

// writerGeneration is what one configuration leads to.
type writerGeneration struct {
	writers   []writer
	endpoints []remotewrite.Endpoint
}

type writer struct {
	config config.RemoteWrite
	client *remotewrite.Client
}

func newWriters(r prometheus.Registerer, db *store.Store, logger log.Logger, now, believed func() time.Time) (*writers, error) {
	metrics, err := remotewrite.NewMetrics(r)
	if err != nil {
		return nil, err
	}
	group := remotewrite.NewGroup(remotewrite.Options{Store: db, Metrics: metrics, Logger: logger, Now: now, Believed: believed})
	return &writers{group: group, logger: logger, now: now}, nil
}

// build returns the writers of a configuration, for ApplyConfig, and changes nothing in force. A receiver whose settings did not change
// keeps its client, which knows what version of the protocol is understood and by which the group knows
// the receiver again.
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
			if client, err = w.newClient(c); err != nil {
				return writerGeneration{}, fmt.Errorf("remote_write[%d]: %w", i, err)
			}
		}
		next.writers = append(next.writers, writer{c, client})
		var labels []remotewrite.Label
		// In the same order each time, so that the group finds an endpoint that did not change.
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

// ApplyConfig puts what build returned in force; a running group takes it over at once.
func (w *writers) ApplyConfig(next writerGeneration) {
	w.keep(next)
	w.group.ApplyConfig(next.endpoints)
}

// keep remembers the clients for the next configuration.
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

func (w *writers) newClient(c config.RemoteWrite) (*remotewrite.Client, error) {
	httpClient, err := httpclient.New(c.HTTPClient, program)
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
		Now:        w.now,
		Logger:     log.With(w.logger, "endpoint", c.Label()),
	}), nil
}
