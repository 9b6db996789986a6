package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"weixin_exporter/internal/i18n"
)

// addressError is an address that is not connected to.
type addressError struct{ address netip.Addr }

func (e *addressError) Error() string { return e.message().String() }

func (e *addressError) message() i18n.Message { return i18n.M("found.address", e.address.String()) }

// isMetadata reports whether an address may be that of a metadata service, which gives the credentials of the
// machine to all who ask from it. Link-local addresses are the service's in AWS, Azure, Google Cloud, Tencent
// Cloud and others; the single ones are those of AWS and Google Cloud (IPv6), Alibaba Cloud, Oracle Cloud, Azure's
// host and Volcano Engine.
func isMetadata(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64 := netip.MustParsePrefix("64:ff9b::/96"); nat64.Contains(a) {
		last := a.As16()
		a = netip.AddrFrom4([4]byte(last[12:]))
	}
	if a.IsLinkLocalUnicast() {
		return true
	}
	switch a.String() {
	case "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "100.96.0.96":
		return true
	}
	return false
}

// dial returns a function that connects, but to no address of a metadata service. It looks at the address that is
// connected to, so that no name that resolves differently at another time gets around it.
func dial(resolver *net.Resolver, allowMetadata bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Resolver: resolver}
	if !allowMetadata {
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address %q: %w", address, err)
			}
			if isMetadata(to.Addr()) {
				return &addressError{to.Addr()}
			}
			return nil
		}
	}
	return d.DialContext
}

// refused returns an error where the host of the URL itself is such an address. It counts where a proxy would
// connect.
func refused(host string) *addressError {
	if a, err := netip.ParseAddr(host); err == nil && isMetadata(a) {
		return &addressError{a}
	}
	return nil
}
