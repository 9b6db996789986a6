package ha_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"weixin_exporter/internal/exportertest"
)

// exporter is a running exporter.
type exporter struct {
	*exportertest.Process

	base string // its URL
}

// serve starts the exporter of a member and waits until it listens.
func (m *member) serve(t *testing.T) *exporter {
	t.Helper()
	p := m.run(t, "--config.file="+m.config, "--web.listen-address=127.0.0.1:0")
	return &exporter{p, "http://" + p.MustAddress(t)}
}

// run starts the program in the place of a member. It is ended at the end of the test.
func (m *member) run(t *testing.T, args ...string) *exportertest.Process {
	t.Helper()
	cmd, err := exportertest.Command(m.clock, args...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, exportertest.Lease(lease), "HTTP_PROXY="+m.front)
	return exportertest.Start(t, cmd, t.TempDir())
}

// get returns the body of a page.
func (x *exporter) get(t *testing.T, path string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.base+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %.200s", response.StatusCode, body)
	}
	return string(body), nil
}
