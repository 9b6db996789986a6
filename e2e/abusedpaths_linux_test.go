package e2e_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// abusedQuery is a request to the exporter.
type abusedQuery struct {
	method, path string
	headers      []string // names and values
	body         string
}

// http1 returns the text of a request with further lines of headers.
func (q abusedQuery) http1(lines ...string) string {
	for i := 0; i < len(q.headers); i += 2 {
		lines = append(lines, q.headers[i]+": "+q.headers[i+1])
	}
	if q.method == http.MethodPost {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(q.body)))
	}
	return head(q.method, q.path, lines...) + "\r\n" + q.body
}

// block returns the headers of a request by HTTP/2 with further names and values.
func (q abusedQuery) block(headers ...string) []byte {
	for i := 0; i < len(q.headers); i += 2 {
		headers = append(headers, strings.ToLower(q.headers[i]), q.headers[i+1])
	}
	return headerBlock(q.method, q.path, headers...)
}

// send sends a request by HTTP/2.
func (s *streams) send(q abusedQuery, headers ...string) error {
	id, err := s.open(q.block(headers...), true, q.body == "")
	if err == nil && q.body != "" {
		err = s.WriteData(id, true, []byte(q.body))
	}
	return err
}

// abusedQueries are requests to all paths, whose responses are long, or are made while they are sent, where the path has such.
var abusedQueries = sync.OnceValue(func() []abusedQuery {
	const days = "query=weixin_history_daily_callbacks"
	now := clock().Unix()
	year := fmt.Sprintf("&start=%d&end=%d&step=3600", now-365*86400, now)
	var all []abusedQuery
	for _, path := range append([]string{
		"/metrics", "/metrics?shard=1/2", "/metrics?shard=1/7", "/metrics?name[]=weixin_interface_hourly_callbacks",
		"/", "/?sort=callbacks", "/accounts/account-00001", "/accounts/account-00001?format=csv&of=hours", "/health", "/config", "/probes",
		"/sd?shards=100", "/sd?probes=1", "/probe?account=account-00001", "/-/healthy", "/-/ready", "/nowhere",
		"/api/v1/query?" + days, "/api/v1/query_range?" + days + year, "/api/v1/query_exemplars?" + days,
		"/api/v1/format_query?" + days, "/api/v1/parse_query?" + days, "/api/v1/series?match[]=weixin_history_daily_callbacks",
		"/api/v1/labels", "/api/v1/label/account/values", "/api/v1/metadata", "/api/v1/rules", "/api/v1/alerts", "/api/v1/status/buildinfo",
	}, staticPaths()...) {
		all = append(all, abusedQuery{method: http.MethodGet, path: path})
	}
	return append(all, abusedQuery{method: http.MethodPost, path: "/-/reload"}, abusedQuery{
		method: http.MethodPost, path: "/api/v1/read",
		headers: []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy"}, body: remoteRead(),
	})
})

// remoteRead is the body of a remote read of all daily callbacks.
func remoteRead() string {
	request := prompb.ReadRequest{Queries: []*prompb.Query{{
		EndTimestampMs: 4e12, Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_EQ, Name: "__name__", Value: "weixin_history_daily_callbacks"}},
	}}}
	plain, err := request.Marshal()
	if err != nil {
		panic(err)
	}
	return string(snappy.Encode(nil, plain))
}

// staticPaths are the paths of the files of the pages, in whose names there is a hash.
func staticPaths() []string {
	names, err := filepath.Glob("../internal/web/static/*")
	if err != nil {
		panic(err)
	}
	var paths []string
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		base, extension, _ := strings.Cut(filepath.Base(name), ".")
		paths = append(paths, "/static/"+base+"."+hex.EncodeToString(sum[:6])+"."+extension)
	}
	return paths
}

// TestAbusedPathsAreComplete: the abuses ask for each path that the exporter has, in a form that it answers.
func TestAbusedPathsAreComplete(t *testing.T) {
	t.Parallel()
	const telemetry = "/metrics" // the default of a flag
	paths := []string{telemetry, "/api/v1/read"}
	for pattern, found := range map[string]struct {
		file, form string
		least      int
	}{
		`Path += "(/[^"]*)"\n`:            {"../internal/web/*.go", "%s", 11},
		`\n\t\t\{"([^"]+)", \w+, \S.*\},`: {"../internal/query/api.go", "/api/v1/%s", 12},
	} {
		names, err := filepath.Glob(found.file)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
				paths = append(paths, fmt.Sprintf(found.form, match[1]))
				n++
			}
		}
		if n < found.least {
			t.Errorf("%d paths were found in %s, want at least %d: is the pattern still right?", n, found.file, found.least)
		}
	}
	queries := abusedQueries()
	for _, path := range paths {
		start, _, below := strings.Cut(path, "{")
		below = below || strings.HasSuffix(path, "/") && path != "/"
		if !slices.ContainsFunc(queries, func(q abusedQuery) bool {
			asked, _, _ := strings.Cut(q.path, "?")
			return asked == path || below && strings.HasPrefix(asked, start) && asked != start
		}) {
			t.Errorf("no abuse asks for %s", path)
		}
	}

	config := manyAccounts(t, 2, "http://127.0.0.1:9", 2, 1)
	fillStore(t, config, 2, 2)
	x := serve(t, config, "--web.enable-lifecycle")
	for _, q := range queries {
		status, err := statusOf(t, x.base.Host, q)
		if err != nil {
			t.Errorf("%s %s: %v", q.method, q.path, err)
		}
		if want := expectedStatus(q.path); status != want {
			t.Errorf("%s %s: status %d, want %d", q.method, q.path, status, want)
		}
	}
}

// expectedStatus is the status of the answer to a request for a path.
func expectedStatus(path string) int {
	switch {
	case path == "/nowhere", strings.HasPrefix(path, "/probe?"): // these accounts have no callback
		return http.StatusNotFound
	default:
		return http.StatusOK
	}
}

func statusOf(t *testing.T, address string, q abusedQuery) (int, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(clock().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, q.http1("Connection: close")); err != nil {
		return 0, err
	}
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer got.Body.Close()
	_, err = io.Copy(io.Discard, got.Body)
	return got.StatusCode, err
}
