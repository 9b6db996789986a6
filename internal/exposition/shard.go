package exposition

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"weixin_exporter/internal/snapshot"
)

// maxShards is far more than are of any use.
const maxShards = 100

// Shard is one of several parts of the accounts, counted from 1, as in "2/8". The name of an
// account decides in which part it is, whatever other accounts there are. All that does not
// describe accounts is in the first part.
type Shard struct{ number, of int }

// whole is all accounts.
var whole = Shard{1, 1}

// shardOf returns the shard that a request asks for.
func shardOf(query url.Values) (Shard, error) {
	asked, ok := query["shard"]
	if !ok {
		return whole, nil
	}
	number, of, _ := strings.Cut(asked[0], "/")
	var s Shard
	s.number, _ = strconv.Atoi(number) // 0 is refused
	s.of, _ = strconv.Atoi(of)
	if len(asked) != 1 || s.number < 1 || s.number > s.of || s.of > maxShards || s.String() != asked[0] {
		return s, fmt.Errorf("there is no shard %q; ask for shard=2/8, say, the second of eight; %d are the most", strings.Join(asked, ", "), maxShards)
	}
	return s, nil
}

// String returns the shard as a request asks for it.
func (s Shard) String() string { return strconv.Itoa(s.number) + "/" + strconv.Itoa(s.of) }

func (s Shard) first() bool { return s.number == 1 }

// accounts returns the shard's part of a snapshot, which may be nil.
func (s Shard) accounts(of *snapshot.Snapshot) []*snapshot.Account {
	if of == nil {
		return nil
	}
	if s == whole {
		return of.Accounts
	}
	var part []*snapshot.Account
	for _, a := range of.Accounts {
		if xxhash.Sum64String(a.Name)%uint64(s.of) == uint64(s.number-1) {
			part = append(part, a)
		}
	}
	return part
}

// queryOf returns the parameters of a request, or an error where they cannot be read. To ignore what
// cannot be read would mean to answer with everything.
func queryOf(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query of the URL cannot be read: %w; separate parameters with & and write special characters as %%XX", err)
	}
	return query, nil
}

// Discovery answers Prometheus' HTTP service discovery: with shards=8 it names this exporter
// eight times, once for each shard of the metrics. The label "shard" keeps apart what Prometheus notes
// of each, such as "up".
//
// metrics is the URL of the metrics from outside. Where it is nil, the targets are at the host that the
// request names, and scheme and path are left to the job: a proxy may have changed both.
func Discovery(metrics *url.URL) http.Handler {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shards, err := shardsOf(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		host := r.Host
		if metrics != nil {
			host = metrics.Host
		}
		if host == "" {
			http.Error(w, "The request does not say under which host and port this exporter was asked.", http.StatusBadRequest)
			return
		}
		groups := make([]group, shards)
		for i := range groups {
			shard := Shard{i + 1, shards}.String()
			groups[i] = group{[]string{host}, map[string]string{"__param_shard": shard, "shard": shard}}
			if metrics != nil {
				groups[i].Labels["__scheme__"] = metrics.Scheme
				groups[i].Labels["__metrics_path__"] = metrics.Path
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(groups) // whoever asked is gone: nothing to be done
	})
}

// shardsOf returns into how many shards a request wants the accounts to be divided.
func shardsOf(r *http.Request) (int, error) {
	query, err := queryOf(r)
	if err != nil {
		return 0, err
	}
	asked := query["shards"]
	if len(asked) == 1 {
		shards, err := strconv.Atoi(asked[0])
		if err == nil && shards >= 1 && shards <= maxShards && strconv.Itoa(shards) == asked[0] {
			return shards, nil
		}
	}
	return 0, fmt.Errorf("say into how many shards the accounts are to be divided, from 1 to %d, as in ?shards=8; not %q",
		maxShards, strings.Join(asked, ", "))
}
