package osnet

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// A Name is a struct sockaddr_in, with 12 bytes after it, or a struct sockaddr_in6: family (in the order of this machine) at 0, port (in that of the network) at
// 2; then the IPv4 address at 4, or the flow label at 4, the IPv6 address at 8 and the scope (in the order of this machine) at 24.
const (
	namePort   = 2
	nameFour   = 4
	nameFlow   = 4
	nameSix    = 8
	nameScope  = 24
	fourLength = 16
	familyFour = 2  // AF_INET,
	familySix  = 10 // AF_INET6 of Linux; elsewhere no kernel sees a Name
)

// NameOf gives a as a socket of IPv6, or of IPv4 only, has it; IPv4 is written as IPv4 in IPv6 for the former. It is false for what cannot be sent to by such a
// socket, and for an address with a zone.
func NameOf(a netip.AddrPort, six bool) (n Name, ok bool) {
	ip := a.Addr()
	if !ip.IsValid() || ip.Zone() != "" || !six && !ip.Unmap().Is4() {
		return Name{}, false
	}
	binary.BigEndian.PutUint16(n[namePort:], a.Port())
	if six {
		binary.NativeEndian.PutUint16(n[:], familySix)
		b := ip.As16()
		copy(n[nameSix:], b[:])
		return n, true
	}
	binary.NativeEndian.PutUint16(n[:], familyFour)
	b := ip.Unmap().As4()
	copy(n[nameFour:], b[:])
	return n, true
}

// AddrPort gives the address, IPv4 in IPv6 as IPv4; the zero AddrPort for what is none. It allocates only for an address with a scope.
func (n *Name) AddrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(n[namePort:])
	switch binary.NativeEndian.Uint16(n[:]) {
	case familyFour:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(n[nameFour:])), port)
	case familySix:
		a := netip.AddrFrom16([16]byte(n[nameSix:])).Unmap()
		if scope := binary.NativeEndian.Uint32(n[nameScope:]); scope != 0 && a.Is6() {
			a = a.WithZone(strconv.Itoa(int(scope)))
		}
		return netip.AddrPortFrom(a, port)
	}
	return netip.AddrPort{}
}
