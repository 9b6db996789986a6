package e2e_test

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// errNotYet is for conditions that are waited for and need no further words.
var errNotYet = errors.New("not yet")

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// door is a port of the loopback interface that nobody else can get. While it is closed, connections
// to it are refused.
type door struct {
	address string
	socket  int
}

func closedDoor(t *testing.T) door {
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
	port := bound.(*syscall.SockaddrInet4).Port
	return door{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), socket: socket}
}

// open lets connections in.
func (d door) open(t *testing.T) net.Listener {
	t.Helper()
	if err := syscall.Listen(d.socket, 128); err != nil {
		t.Fatal(err)
	}
	copied, err := syscall.Dup(d.socket)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(copied), "door")
	defer func() { _ = file.Close() }() // the listener has a copy of its own
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
