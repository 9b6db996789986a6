package weixintest

import "net/netip"

// addresses are an allow list; nil allows all.
type addresses map[string]bool

func newAddresses(list []string) addresses {
	if list == nil {
		return nil
	}
	allowed := make(addresses, len(list))
	for _, address := range list {
		allowed[plain(address)] = true
	}
	return allowed
}

func (a addresses) has(address string) bool { return a == nil || a[plain(address)] }

// plain returns an IP address in its shortest form, an IPv4-mapped one as IPv4.
func plain(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return address
}

// peer returns the IP address of a connection's other end, or end itself if it has none.
func peer(end string) string {
	if both, err := netip.ParseAddrPort(end); err == nil {
		end = both.Addr().String()
	}
	return plain(end)
}

// inIPv6 returns an address in the form that follows "ipv6" in an errmsg.
func inIPv6(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is4() {
		return "::ffff:" + address
	}
	return address
}
