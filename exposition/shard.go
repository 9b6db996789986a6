package exposition

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"weixin_exporter/snapshot"
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
		return s, fmt.Errorf("there is no shard %q; ask for shard=2/8, say, the second of eight; %d are the most", asked, maxShards)
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

// Discovery answers Prometheus' HTTP service discovery: with shards=8 it names this exporter
// eight times, once for each shard of the metrics at the given path. The label "shard" keeps
// apart what Prometheus notes of each, such as "up".
func Discovery(telemetryPath string) http.Handler {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.URL.Query()["shards"]
		text := strings.Join(asked, ",")
		shards, err := strconv.Atoi(text)
		if err != nil || shards < 1 || shards > maxShards || strconv.Itoa(shards) != text {
			http.Error(w, fmt.Sprintf("Say into how many shards the accounts are to be divided, from 1 to %d, as in %s?shards=8; not %q.", maxShards, r.URL.Path, asked), http.StatusBadRequest)
			return
		}
		if r.Host == "" {
			http.Error(w, "The request does not say under which host and port this exporter was asked.", http.StatusBadRequest)
			return
		}
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		groups := make([]group, shards)
		for i := range groups {
			shard := Shard{i + 1, shards}.String()
			groups[i] = group{[]string{r.Host}, map[string]string{
				"__scheme__": scheme, "__metrics_path__": telemetryPath, "__param_shard": shard, "shard": shard,
			}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(groups) // whoever asked is gone: nothing to be done
	})
}
