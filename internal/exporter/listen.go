package exporter

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"weixin_exporter/internal/httpserver"
)

// listenAndServe is the toolkit's function of that name, with listeners that the server limits.
func (x *exporter) listenAndServe(ctx context.Context, server *httpserver.Server) error {
	listeners, err := x.Web.listen(ctx)
	if err != nil {
		return err
	}
	for i, l := range listeners {
		defer l.Close() //nolint:errcheck // the server has closed it unless another one failed
		listeners[i] = server.Limit(l)
	}
	return toolkit.ServeMultiple(listeners, server.Server, x.Web.Toolkit, x.Slog)
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
