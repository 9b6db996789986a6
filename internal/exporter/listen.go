package exporter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"weixin_exporter/internal/httpserver"
)

// listenAndServe is the toolkit's function of that name, but with the limits of the server. The toolkit wraps the handler of an
// http.Server for each listener that it serves, which would make several listeners of one server check each request several times.
func (x *exporter) listenAndServe(ctx context.Context, server *httpserver.Server) error {
	listeners, err := x.Web.listen(ctx)
	if err != nil {
		return err
	}
	for _, l := range listeners {
		defer l.Close() //nolint:errcheck // the server has closed it unless another one failed
	}
	return server.Serve(listeners, func(l net.Listener, one *http.Server) error {
		return toolkit.Serve(l, one, x.Web.Toolkit, x.Slog)
	})
}

// listen opens the listeners that the flags ask for, or takes those of systemd.
func (w *Web) listen(ctx context.Context) ([]net.Listener, error) {
	if w.Systemd() {
		listeners, err := activation.Listeners() // nil in place of one that is not of a stream
		listeners = slices.DeleteFunc(listeners, func(l net.Listener) bool { return l == nil })
		if err == nil && len(listeners) == 0 {
			err = errors.New("systemd has passed no sockets")
		}
		return listeners, err
	}
	var listeners []net.Listener
	for _, address := range *w.Toolkit.WebListenAddresses {
		l, err := listenOn(ctx, address)
		if err != nil {
			for _, opened := range listeners {
				_ = opened.Close() // it has no connection yet
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func listenOn(ctx context.Context, address string) (net.Listener, error) {
	if !strings.HasPrefix(address, VsockScheme) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	}
	port, err := VsockPort(address)
	if err != nil {
		return nil, err
	}
	return vsock.Listen(port, nil)
}
