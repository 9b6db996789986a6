package command

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const healthcheckTimeout = 5 * time.Second

// Healthcheck asks the exporter that listens on the first address of web whether it is
// healthy. With TLS or authentication in force it is refused, which shows as well that the
// exporter serves.
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
	target := "http://" + net.JoinHostPort(host, port) + "/-/healthy"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fmt.Errorf("--web.listen-address: %w", err)
	}
	// No proxy: the exporter is on this host.
	transport := &http.Transport{DisableKeepAlives: true}
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
