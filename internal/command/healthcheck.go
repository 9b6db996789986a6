package command

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weixin_exporter/internal/exporter"

	"github.com/mdlayher/vsock"
)

const healthcheckTimeout = 5 * time.Second

// HealthcheckOptions are the options of the healthcheck command.
type HealthcheckOptions struct {
	Web exporter.Web
	// AddressGiven says that the addresses to listen on are not just the default.
	AddressGiven bool
}

// Healthcheck asks the exporter that listens on the first TCP address, or else on the first address,
// whether it is healthy. If TLS or authentication is in force without being in the flags, the refusal
// shows as well that the exporter serves.
func Healthcheck(ctx context.Context, o HealthcheckOptions) error {
	web := o.Web
	if web.Systemd() && !o.AddressGiven {
		return fmt.Errorf("--web.systemd-socket: %w: only systemd knows the address of its socket; name it with --web.listen-address, too", exporter.ErrUsage)
	}
	// An address that is given is asked even if the exporter itself gets its socket from systemd.
	off := false
	web.Toolkit.WebSystemdSocket = &off
	at, err := web.Location()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	host, transport, err := route(web)
	if err != nil {
		return err
	}
	page := host + at.Prefix + "/-/healthy"
	if *web.Toolkit.WebConfigFile != "" && askHealth(ctx, transport, "https://"+page) == nil {
		return nil
	}
	return askHealth(ctx, transport, "http://"+page)
}

// route returns the host and port to ask on this host, and a transport that gets there.
func route(w exporter.Web) (string, *http.Transport, error) {
	transport := &http.Transport{
		// No proxy: the exporter is on this host. For the same reason the name in its certificate does
		// not matter; nothing secret is sent.
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableKeepAlives: true,
	}
	for _, address := range *w.Toolkit.WebListenAddresses {
		if strings.HasPrefix(address, exporter.VsockScheme) {
			continue
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return "", nil, fmt.Errorf("--web.listen-address: %w: %w", exporter.ErrUsage, err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		return net.JoinHostPort(host, port), transport, nil
	}
	address := (*w.Toolkit.WebListenAddresses)[0]
	port, err := exporter.VsockPort(address)
	if err != nil {
		return "", nil, fmt.Errorf("--web.listen-address: %w: %w", exporter.ErrUsage, err)
	}
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		conn, err := vsock.Dial(vsock.Local, port, nil)
		if err != nil {
			return nil, fmt.Errorf("%s of this machine: %w", address, err)
		}
		return conn, nil
	}
	return net.JoinHostPort("localhost", strconv.FormatUint(uint64(port), 10)), transport, nil
}

func askHealth(ctx context.Context, transport *http.Transport, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("--web.listen-address: %w: %w", exporter.ErrUsage, err)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", target, err)
	}
	defer func() { _ = answer.Body.Close() }() // its content does not matter
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
