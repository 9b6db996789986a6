package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/httpserver"
	"weixin_exporter/weixin/secret"
)

// holder has a secret in a field that fmt prints without asking its methods.
type holder struct {
	name  string
	token secret.Value
	array [2]secret.Value
}

// TestPanicOfAHandler: what a handler panics with is logged, with the stack, but the secrets in it are not. The client learns nothing of it,
// and the server serves others.
func TestPanicOfAHandler(t *testing.T) {
	t.Parallel()
	const hidden = "sim-secret-of-a-panic"
	held := holder{"held", secret.New(hidden), [2]secret.Value{secret.New(hidden), secret.New(hidden)}}
	mux := http.NewServeMux()
	mux.HandleFunc("/value", func(http.ResponseWriter, *http.Request) { panic(held) })
	mux.HandleFunc("/pointer", func(http.ResponseWriter, *http.Request) { panic(&held) })
	mux.HandleFunc("/error", func(http.ResponseWriter, *http.Request) {
		panic(fmt.Errorf("held: %v, %+v, %#v, %s, %q, %x", held, held, held, held.token, held.token, held.token)) //nolint:err113 // a test
	})
	mux.HandleFunc("/url", func(http.ResponseWriter, *http.Request) {
		panic(secret.NewURL("https://u:" + hidden + "@a.example/?key=" + hidden))
	})
	mux.HandleFunc("/mistake", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "begun")
		fail(held, nil)
	})
	mux.HandleFunc("/fine", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	var logged bytes.Buffer // written by goroutines of which one works at a time
	listener := newPipeListener()
	server := httpserver.New(t.Context(), httpserver.Options{Handler: mux, ErrorLog: log.New(&logged, "", 0), Now: time.Now})
	ended := make(chan error, 1)
	go func() {
		ended <- server.Serve([]net.Listener{listener}, func(l net.Listener, one *http.Server) error { return one.Serve(l) })
	}()
	for _, path := range []string{"/value", "/pointer", "/error", "/url", "/mistake"} {
		c := listener.dial()
		c.request(path)
		answer, err := io.ReadAll(c)
		if err != nil || len(answer) != 0 {
			t.Errorf("%s is answered with %d bytes: %v", path, len(answer), err)
		}
	}
	c := listener.dial()
	c.request("/fine")
	if status, body, err := c.response(); status != http.StatusOK || body != "fine" || err != nil {
		t.Errorf("afterwards it answers %d %q, %v", status, body, err)
	}
	if err := server.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	text := logged.String()
	if n := strings.Count(text, "http: panic serving"); n != 5 {
		t.Errorf("%d panics are logged", n)
	}
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%d", []byte(hidden))} {
		if strings.Contains(text, form) {
			t.Error("the log shows the secret")
		}
	}
}

// fail is a mistake with a secret in an argument, which the stack names.
//
//go:noinline
func fail(h holder, names map[string]int) { names[h.name]++ }
