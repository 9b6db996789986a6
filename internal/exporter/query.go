package exporter

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/version"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
)

// responseMargin is how much longer a response may take than a query, for the client to read it.
const responseMargin = time.Minute

// queryFlags declares the --query.* flags, with the names and defaults of Prometheus.
func queryFlags(app *kingpin.Application, l *query.Limits) {
	app.Flag("query.timeout", "Maximum time a query may take before it is aborted.").
		Default("2m").SetValue((*duration)(&l.Timeout))
	app.Flag("query.max-samples", "Maximum number of samples that all queries together may have in memory, 16 bytes each. A query that needs more is refused.").
		Default("50000000").SetValue((*positive)(&l.MaxSamples))
	app.Flag("query.max-concurrency", "Maximum number of queries executed concurrently.").
		Default("20").SetValue((*positive)(&l.MaxConcurrency))
	app.Flag("query.lookback-delta", "Maximum age of the sample that a query of a moment uses.").
		Default("5m").SetValue((*duration)(&l.LookbackDelta))
}

// positive is the value of a flag that must be a whole number, 1 or more.
type positive int

// String implements kingpin.Value.
func (p *positive) String() string { return (*count)(p).String() }

// Set implements kingpin.Value.
func (p *positive) Set(text string) error {
	var n count
	if err := n.Set(text); err != nil || n == 0 {
		return fmt.Errorf("must be a whole number, 1 or more, not %q", text)
	}
	*p = positive(n)
	return nil
}

// duration is the value of a flag that must be a Prometheus duration above 0.
type duration time.Duration

// String implements kingpin.Value.
func (d *duration) String() string { return model.Duration(*d).String() }

// Set implements kingpin.Value.
func (d *duration) Set(text string) error {
	parsed, err := model.ParseDuration(text)
	if err == nil && parsed == 0 {
		err = errors.New("it must be above 0")
	}
	if err != nil {
		return fmt.Errorf("must be a duration such as 30s, 5m or 1h, not %q", text)
	}
	*d = duration(parsed)
	return nil
}

// withQueries adds the API that answers queries from the store to a handler.
func (x *exporter) withQueries(next http.Handler, latest *snapshot.Latest, db store.Store) http.Handler {
	accounts := &queriedAccounts{}
	x.history = query.NewStorage(query.StorageOptions{
		Source:   db,
		Accounts: func() []query.Account { return accounts.of(latest.Load()) },
		Now:      x.Now,
	})
	api := query.NewAPI(query.APIOptions{
		Storage: x.history,
		Limits:  x.Web.Query,
		Build: query.Build{
			Application: Program, Version: version.Version, Revision: version.GetRevision(), Branch: version.Branch,
			BuildUser: version.BuildUser, BuildDate: version.BuildDate, GoVersion: version.GoVersion,
		},
		Now:    x.Now,
		Logger: x.Slog,
	})
	prefix := x.location.Prefix
	stripped := http.StripPrefix(prefix, api)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix+query.Path) {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// queriedAccounts are the accounts for queries, which share them: they change only with the configuration.
type queriedAccounts struct {
	mu         sync.Mutex
	generation uint64 // of the snapshot that they are from; 0: of none
	accounts   []query.Account
}

// of returns the accounts of a snapshot; nil before the first one.
func (q *queriedAccounts) of(s *snapshot.Snapshot) []query.Account {
	if s == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.generation == 0 || q.generation != s.Generation {
		accounts := make([]query.Account, len(s.Accounts))
		for i, a := range s.Accounts {
			accounts[i] = query.Account{Name: a.Name, AppID: a.AppID}
		}
		q.generation, q.accounts = s.Generation, accounts
	}
	return q.accounts
}
