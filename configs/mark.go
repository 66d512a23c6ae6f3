package configs

import (
	"net/netip"
	"strconv"
)

// expedited is the code point of expedited forwarding, RFC 3246: that of voice, RFC 4594 section 4.1.
const expedited = 46

// codePoint reads what packets are marked with; -1: nothing.
//
// To mark without being asked is safe: a network that does not know a code point forwards like the default one (RFC 2474 section 3), and those that take no marks from outside clear them. Only
// one that knows the class and gave it less room than the calls need drops what is too much, and that one was made for voice.
func (b *builder) codePoint(path, s string) int {
	switch s {
	case "":
		return expedited
	case "off":
		return -1
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > 63 {
		b.fail(path, "0 to 63, e.g. 46 for expedited forwarding, or off", "%q is no code point", s)
		return -1
	}
	return int(n)
}

// reachable refuses what peers could not be told.
func (b *builder) reachable(at string, bind, host netip.Addr) {
	if bind.IsUnspecified() && (!host.IsValid() || host.IsUnspecified()) {
		b.fail(at+".address", "bind one address, or add advertise: session descriptions must carry an address that peers can reach", "%s is every address", bind)
	} else if host.IsValid() && host.IsUnspecified() {
		b.fail(at+".advertise", "name the address that peers can reach", "%s is every address", host)
	}
}
