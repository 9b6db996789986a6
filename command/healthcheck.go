package command

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const healthcheckTimeout = 5 * time.Second

// Healthcheck asks the exporter that listens on the first address of web whether it is
// healthy. Where TLS or authentication is in force and web does not know of it, the refusal
// shows as well that the exporter serves.
func Healthcheck(ctx context.Context, web Web) error {
	address := (*web.Toolkit.WebListenAddresses)[0]
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--web.listen-address: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	place := net.JoinHostPort(host, port) + "/-/healthy"
	if *web.Toolkit.WebConfigFile != "" && askHealth(ctx, "https://"+place) == nil {
		return nil
	}
	return askHealth(ctx, "http://"+place)
}

func askHealth(ctx context.Context, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("--web.listen-address: %w", err)
	}
	transport := &http.Transport{
		// No proxy: the exporter is on this host. For the same reason its certificate, which
		// is for another name, does not matter; nothing secret is sent.
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableKeepAlives: true,
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", target, err)
	}
	defer func() { _ = answer.Body.Close() }() // read whole, or given up
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)); err != nil {
		return fmt.Errorf("asking %s: %w", target, err)
	}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized:
		return nil
	default:
		return fmt.Errorf("asking %s: %s", target, answer.Status)
	}
}
