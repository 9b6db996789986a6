package e2e_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// Environment variables of a process that is a scraper: what it scrapes, and the file of the certificate that it trusts.
const (
	scraperVariable = "WEIXIN_EXPORTER_TEST_SCRAPER"
	trustVariable   = "WEIXIN_EXPORTER_TEST_TRUST"
)

// scraper is a process that scrapes. A client within the process of a test that keeps its processors busy would wait for them.
type scraper struct {
	requests  io.Writer
	responses *json.Decoder
}

// scraped is what a scraper says of a scrape.
type scraped struct {
	Took    time.Duration
	Bytes   int64
	Failure string
}

// newScraper starts a scraper. trust is a file of certificates, or empty.
func newScraper(t *testing.T, url, trust string) *scraper {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), own)
	cmd.Env = append(os.Environ(), scraperVariable+"="+url, trustVariable+"="+trust)
	cmd.Stderr = os.Stderr
	requests, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	responses, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = requests.Close() // ends it
		_ = cmd.Wait()
	})
	return &scraper{requests, json.NewDecoder(responses)}
}

// scrape returns how long a scrape took that returned at least so many bytes.
func (s *scraper) scrape(least int64) (time.Duration, error) {
	if _, err := io.WriteString(s.requests, "\n"); err != nil {
		return 0, fmt.Errorf("the scraper: %w", err)
	}
	var result scraped
	if err := s.responses.Decode(&result); err != nil {
		return 0, fmt.Errorf("the scraper: %w", err)
	}
	switch {
	case result.Failure != "":
		return 0, errors.New(result.Failure)
	case result.Bytes < least:
		return 0, fmt.Errorf("only %d bytes", result.Bytes)
	}
	return result.Took, nil
}

// scraperMain is the process of a scraper: it scrapes once for each line. In other processes it does nothing.
func scraperMain() {
	url := os.Getenv(scraperVariable)
	if url == "" {
		return
	}
	transport := &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true} // a new connection, as after a fault
	if trust := os.Getenv(trustVariable); trust != "" {
		pool := x509.NewCertPool()
		if text, err := os.ReadFile(filepath.Clean(trust)); err != nil || !pool.AppendCertsFromPEM(text) {
			fmt.Fprintln(os.Stderr, "the scraper has no certificate:", err)
			os.Exit(1)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	client := &http.Client{Transport: transport, Timeout: patience}
	results := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var result scraped
		began := clock()
		n, err := scrapeOnce(client, url)
		result.Took, result.Bytes = clock().Sub(began), n
		if err != nil {
			result.Failure = err.Error()
		}
		if err := results.Encode(result); err != nil {
			os.Exit(1) // the test has ended
		}
	}
	os.Exit(0)
}

// scrapeOnce requests metrics and returns the number of bytes without compression.
func scrapeOnce(client *http.Client, url string) (int64, error) {
	request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", asOpenMetrics)
	request.Header.Set("Accept-Encoding", "gzip") // left as it is
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", response.Status)
	}
	return n, err
}

// leaveAProcessor keeps this process off the first processor until the test ends, if there are several: its clients would be on
// other machines. Processes that have been started before keep all.
func leaveAProcessor(t *testing.T) {
	t.Helper()
	last := runtime.NumCPU() - 1
	if last == 0 {
		return
	}
	own := strconv.Itoa(os.Getpid())
	set := func(processors string) {
		if out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", processors, own).CombinedOutput(); err != nil {
			t.Fatalf("taskset: %v: %s", err, out)
		}
	}
	set(fmt.Sprintf("1-%d", last))
	t.Cleanup(func() { set(fmt.Sprintf("0-%d", last)) })
}
