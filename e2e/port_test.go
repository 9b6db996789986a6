package e2e_test

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// errNotYet is the error of conditions that are waited for and need no details.
var errNotYet = errors.New("not yet")

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// port is a reserved port of the loopback interface. Until listen is called, connections to it are refused.
type port struct {
	address string
	socket  int
}

func closedPort(t *testing.T) port {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(socket)
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	number := bound.(*syscall.SockaddrInet4).Port
	return port{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(number)), socket: socket}
}

// listen accepts connections.
func (p port) listen(t *testing.T) net.Listener {
	t.Helper()
	if err := syscall.Listen(p.socket, 128); err != nil {
		t.Fatal(err)
	}
	copied, err := syscall.Dup(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(copied), "port")
	defer func() { _ = file.Close() }() // the listener has its own copy
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
