package probe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

const (
	// timeoutHeader is the header with the scrape timeout of Prometheus, in seconds.
	timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
	// reserve is the part of the scrape timeout that is kept for the response.
	reserve = 500 * time.Millisecond
	// least is the shortest time in which a probe is attempted.
	least = 50 * time.Millisecond
)

// limitOf returns how long a probe may take: as long as Prometheus waits, less the reserve. Each of the requests of
// a probe is bounded by Longest, too. Without the header there are at most two requests.
func limitOf(r *http.Request) (time.Duration, error) {
	text := r.Header.Get(timeoutHeader)
	if text == "" {
		return 2 * Longest, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0) {
		return 0, fmt.Errorf("the header %s must be a number of seconds above 0, not %q", timeoutHeader, text)
	}
	limit := time.Duration(min(seconds, 3600)*float64(time.Second)) - reserve
	if limit < least {
		return 0, fmt.Errorf("a scrape timeout of %g s leaves no time for the probe: %s of it are kept for the answer; raise scrape_timeout", seconds, reserve)
	}
	return min(limit, 2*Longest), nil
}

// ServeProbe answers /probe: it probes the account that the parameter account names, and answers with the metrics;
// with debug=true, with the log as well.
func (p *Prober) ServeProbe(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	accounts := query["account"]
	switch {
	case err != nil:
		http.Error(w, "The query of the URL cannot be read; write special characters of an account's name as %XX.", http.StatusBadRequest)
		return
	case query.Has("target"):
		http.Error(w, "Only the callbacks of configured accounts are probed: name one with ?account=NAME, without target.", http.StatusBadRequest)
		return
	case len(accounts) != 1 || accounts[0] == "":
		http.Error(w, "Name the account to probe, as in ?account=shop.", http.StatusBadRequest)
		return
	}
	limit, err := limitOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	result, err := p.Probe(r.Context(), accounts[0], limit)
	switch {
	case errors.Is(err, ErrUnknown):
		http.Error(w, fmt.Sprintf("Account %q: %v.", accounts[0], err), http.StatusNotFound)
	case errors.Is(err, ErrNotConfigured):
		http.Error(w, fmt.Sprintf("Account %q: %v.", accounts[0], err), http.StatusNotFound)
	case errors.Is(err, ErrBusy):
		http.Error(w, fmt.Sprintf("Account %q: %v.", accounts[0], err), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, fmt.Sprintf("Account %q was not probed: %v.", accounts[0], err), http.StatusInternalServerError)
	case query.Get("debug") == "true":
		text(w, p.debug(result))
	default:
		promhttp.HandlerFor(registry(result), promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
	}
}

func registry(r Result) *prometheus.Registry {
	made := prometheus.NewPedanticRegistry()
	made.MustRegister(r) // it describes nothing, so that nothing can clash
	return made
}

// debug returns the log of a probe, its metrics and the configuration of its target.
func (p *Prober) debug(r Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Logs for the probe of account %q at %s:\n%s\n", r.Account, r.At.UTC().Format(time.RFC3339), r.Log)
	b.WriteString("\nMetrics that would have been returned:\n")
	families, err := registry(r).Gather()
	if err != nil {
		fmt.Fprintf(&b, "%v\n", err)
	}
	for _, f := range families {
		_, _ = expfmt.MetricFamilyToText(&b, f) // memory is written to
	}
	p.mu.Lock()
	m := p.members[r.Account]
	p.mu.Unlock()
	if m != nil && m.Target != nil && m.Shown != nil {
		fmt.Fprintf(&b, "\nConfiguration of the callback now:\n%s", m.Shown())
	}
	return b.String()
}

func text(w http.ResponseWriter, content string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, content) // the caller is gone: nothing can be done
}

// Discovery answers Prometheus' HTTP service discovery with the accounts that can be probed: one target for each, at
// this exporter, which is told by a parameter what to probe.
//
// at is the URL of /probe from outside. Where it is nil, the targets are at the host that the request names, and
// path and scheme are left to the job.
func (p *Prober) Discovery(at *url.URL) http.Handler {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if at != nil {
			host = at.Host
		}
		if host == "" {
			http.Error(w, "The request does not name the host and port under which this exporter is reached.", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// One group at a time: all of them would take megabytes for each client that does not read.
		body := bufio.NewWriter(w)
		separator := "["
		for _, name := range p.Names() {
			g := group{[]string{host}, map[string]string{"__param_account": name, "account": name}}
			if at != nil {
				g.Labels["__scheme__"], g.Labels["__metrics_path__"] = at.Scheme, at.Path
			}
			text, err := json.Marshal(g)
			if err == nil {
				_, err = body.WriteString(separator + string(text))
			}
			if err != nil {
				return // the caller is gone
			}
			separator = ",\n"
		}
		if separator == "[" {
			_, _ = body.WriteString("[")
		}
		_, _ = body.WriteString("]\n")
		_ = body.Flush() // as above: nothing can be done
	})
}

// Log returns what ServeProbe showed with debug=true of the probe of that number; false if it is not kept.
func (p *Prober) Log(id int64) (string, bool) {
	for _, r := range p.History() {
		if r.ID == id {
			return p.debug(r), true
		}
	}
	return "", false
}
