package exposition

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"weixin_exporter/internal/snapshot"
)

// maxShards limits the number of shards. It is far more than useful.
const maxShards = 100

// Shard is a part of the accounts, such as "2/8" for the second of eight. The shard of an account depends
// on its name only, not on other accounts. Metrics that do not describe accounts are in the first shard.
type Shard struct{ number, of int }

// all is the only shard, with all accounts.
var all = Shard{1, 1}

// shardOf returns the shard that a request is for.
func shardOf(query url.Values) (Shard, error) {
	values, ok := query["shard"]
	if !ok {
		return all, nil
	}
	number, of, _ := strings.Cut(values[0], "/")
	var s Shard
	s.number, _ = strconv.Atoi(number) // 0 is invalid
	s.of, _ = strconv.Atoi(of)
	if len(values) != 1 || s.number < 1 || s.number > s.of || s.of > maxShards || s.String() != values[0] {
		return s, fmt.Errorf("there is no shard %q; use shard=2/8, for example, for the second of eight; at most %d are allowed", strings.Join(values, ", "), maxShards)
	}
	return s, nil
}

// String returns the shard as in a request.
func (s Shard) String() string { return strconv.Itoa(s.number) + "/" + strconv.Itoa(s.of) }

func (s Shard) first() bool { return s.number == 1 }

// numberOf returns the number of the shard that an account is in.
func (s Shard) numberOf(a *snapshot.Account) int {
	return int(xxhash.Sum64String(a.Name)%uint64(s.of)) + 1
}

// accounts returns the accounts of the shard. The snapshot may be nil.
func (s Shard) accounts(of *snapshot.Snapshot) []*snapshot.Account {
	if of == nil {
		return nil
	}
	if s == all {
		return of.Accounts
	}
	var part []*snapshot.Account
	for _, a := range of.Accounts {
		if s.numberOf(a) == s.number {
			part = append(part, a)
		}
	}
	return part
}

// shardIndex keeps where the accounts of each shard are, for the accounts of one generation and one
// number of shards, so that rendering a shard takes no longer with more accounts in the others.
type shardIndex struct {
	mu         sync.Mutex
	generation uint64
	of         int
	positions  [][]int32 // by shard, into the accounts of a snapshot
}

// accounts returns the same as Shard.accounts.
func (x *shardIndex) accounts(shard Shard, of *snapshot.Snapshot) []*snapshot.Account {
	if shard == all || of == nil || of.Generation == 0 {
		return shard.accounts(of)
	}
	x.mu.Lock()
	if x.generation != of.Generation || x.of != shard.of {
		x.generation, x.of, x.positions = of.Generation, shard.of, make([][]int32, shard.of)
		for i, a := range of.Accounts {
			in := shard.numberOf(a) - 1
			x.positions[in] = append(x.positions[in], int32(i))
		}
	}
	positions := x.positions[shard.number-1]
	x.mu.Unlock()
	part := make([]*snapshot.Account, len(positions))
	for i, at := range positions {
		part[i] = of.Accounts[at]
	}
	return part
}

// queryOf returns the parameters of a request. Invalid parameters are an error: ignoring them would serve everything.
func queryOf(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query of the URL is invalid: %w; separate parameters with & and write special characters as %%XX", err)
	}
	return query, nil
}

// Discovery serves Prometheus' HTTP service discovery. With shards=8 this exporter is a target eight
// times, once for each shard of the metrics. The label "shard" distinguishes the series that Prometheus
// adds for each target, such as "up".
//
// metrics is the external URL of the metrics. If it is nil, the targets have the host of the request, and
// scheme and path are left to the scrape job: a proxy may have changed both.
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
			http.Error(w, "The request does not name the host and port of this exporter.", http.StatusBadRequest)
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
		_ = json.NewEncoder(w).Encode(groups) // the client is gone
	})
}

// shardsOf returns the number of shards that a request is for.
func shardsOf(r *http.Request) (int, error) {
	query, err := queryOf(r)
	if err != nil {
		return 0, err
	}
	values := query["shards"]
	if len(values) == 1 {
		shards, err := strconv.Atoi(values[0])
		if err == nil && shards >= 1 && shards <= maxShards && strconv.Itoa(shards) == values[0] {
			return shards, nil
		}
	}
	return 0, fmt.Errorf("the parameter shards must be the number of shards, from 1 to %d, as in ?shards=8; got %q",
		maxShards, strings.Join(values, ", "))
}
