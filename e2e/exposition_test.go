package e2e_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The cached part and the part of each scrape form a single gzip member, which all readers accept.
func checkGzipMember(t *testing.T, _ *fixture, x *exporter) {
	t.Helper()
	complete := func(t *testing.T, text string) {
		t.Helper()
		if !strings.HasPrefix(text, "# HELP weixin_account_info ") || !strings.Contains(text, "\ngo_goroutines ") || !strings.HasSuffix(text, "\n# EOF\n") {
			t.Errorf("the metrics are not complete:\n%s", mask(text))
		}
	}
	for _, query := range []string{"", "?shard=1/1"} {
		packed := x.ask(t, http.MethodGet, "/metrics"+query, "Accept", asOpenMetrics, "Accept-Encoding", "gzip").body
		t.Run("Go", func(t *testing.T) {
			t.Parallel()
			source := strings.NewReader(packed)
			reader, err := gzip.NewReader(source)
			if err != nil {
				t.Fatal(err)
			}
			reader.Multistream(false)
			plain, err := io.ReadAll(reader)
			if err != nil || source.Len() > 0 {
				t.Fatalf("%v; %d bytes follow the first member", err, source.Len())
			}
			complete(t, string(plain))
		})
		t.Run("curl", func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(program(t, "CURL", "curl"), "--silent", "--show-error", "--fail", "--compressed",
				"--header", "Accept: "+asOpenMetrics, x.base.String()+"/metrics"+query).Output()
			if err != nil {
				t.Fatal(err)
			}
			complete(t, string(out))
		})
		t.Run("gzip", func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "metrics.gz")
			writeFile(t, file, packed)
			binary := program(t, "GZIP_PROGRAM", "gzip")
			if out, err := exec.Command(binary, "--test", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("gzip --test: %v: %s", err, out)
			}
			out, err := exec.Command(binary, "--decompress", "--stdout", file).Output()
			if err != nil {
				t.Fatal(err)
			}
			complete(t, string(out))
		})
		t.Run("Python", func(t *testing.T) {
			t.Parallel()
			python, err := exec.LookPath("python3")
			if err != nil {
				t.Skip("Python is not installed; nothing else needs it")
			}
			// A decompressor for one member, as in the HTTP clients of Python.
			cmd := exec.Command(python, "-c", "import sys, zlib\n"+
				"d = zlib.decompressobj(31)\n"+
				"sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()))\n"+
				"assert d.eof and not d.unused_data\n")
			cmd.Stdin = strings.NewReader(packed)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, &stderr)
			}
			complete(t, string(out))
		})
	}
}

// The figures are the same with and without compression.
func checkEncodingsAreEqual(t *testing.T, _ *fixture, x *exporter) {
	t.Helper()
	for _, accept := range []string{asText, asOpenMetrics} {
		compressed := x.ask(t, http.MethodGet, "/metrics", "Accept", accept, "Accept-Encoding", "gzip")
		plain, err := gunzip([]byte(compressed.body))
		if err != nil {
			t.Fatal(err)
		}
		identity := x.ask(t, http.MethodGet, "/metrics", "Accept", accept, "Accept-Encoding", "identity")
		ofAccounts := func(text string) string {
			text, _, found := strings.Cut(text, "\n# HELP go_")
			if !found || !strings.Contains(text, "weixin_store_known_dates{") {
				t.Fatalf("no series of accounts before the others:\n%s", mask(text))
			}
			return text
		}
		if ofAccounts(string(plain)) != ofAccounts(identity.body) {
			t.Errorf("%s: the series of accounts differ", accept)
		}
	}
}
