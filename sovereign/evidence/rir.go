package evidence

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// ParseRIR reads a delegated-extended file of a regional registry: registry|cc|type|start|value|date|status|opaque-id. Blocks that are allocated or assigned are
// taken; the country is where their holder is registered, which is not where they are used. Lines that do not read are named and left out.
func ParseRIR(data []byte) (t *Table, wrong []Wrong, err error) {
	if len(data) > MaxFile {
		return nil, nil, fmt.Errorf("evidence: a registry's file of %d bytes: the most is %d", len(data), MaxFile)
	}
	t = &Table{Kind: RIR}
	header := false
	lines(data, &wrong, func(n int, line string) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			return
		}
		f := strings.Split(line, "|")
		if !header { // version|registry|serial|records|startdate|enddate|UTCoffset
			header = true
			if _, err := strconv.ParseFloat(f[0], 64); err == nil {
				return
			}
		}
		if f[len(f)-1] == "summary" {
			return
		}
		if what := t.rirLine(f); what != "" {
			note(&wrong, n, what)
		}
	})
	t.seal()
	return t, wrong, nil
}

func (t *Table) rirLine(f []string) string {
	if len(f) < 7 {
		return fmt.Sprintf("has %d fields: at least 7 are needed", len(f))
	}
	switch status := f[6]; {
	case f[2] == "asn" || status == "available" || status == "reserved":
		return ""
	case status != "allocated" && status != "assigned":
		return fmt.Sprintf("%.20q is no status", status)
	}
	code, ok := alpha2(f[1])
	if !ok {
		return fmt.Sprintf("%.20q is no country", f[1])
	}
	code = strings.Clone(code) // the line must not be kept for two letters
	start, err := netip.ParseAddr(f[3])
	if err != nil || start.Zone() != "" {
		return fmt.Sprintf("%.60q is no address", f[3])
	}
	size, err := strconv.ParseUint(f[4], 10, 64)
	switch {
	case err != nil || size == 0:
		return fmt.Sprintf("%.30q is no size", f[4])
	case len(t.rows) >= maxRows:
		return fmt.Sprintf("more than %d prefixes", maxRows)
	case f[2] == "ipv4" && start.Is4():
		return t.span(start, size, code)
	case f[2] == "ipv6" && start.Is6() && !start.Is4In6() && size <= 128:
		p := netip.PrefixFrom(start, int(size))
		if p != p.Masked() {
			return fmt.Sprintf("%s has bits set behind its length", p)
		}
		t.put(p, row{country: code})
		return ""
	}
	return fmt.Sprintf("%.10q with %.60q is neither IPv4 nor IPv6", f[2], f[3])
}

// span takes a run of IPv4 addresses in, which need not be a power of two, as the fewest prefixes.
func (t *Table) span(start netip.Addr, count uint64, country string) string {
	b := start.As4()
	at := uint64(binary.BigEndian.Uint32(b[:]))
	if count > 1<<32-at {
		return fmt.Sprintf("%d addresses from %s on are more than there are", count, start)
	}
	for count > 0 {
		length := bits.Len64(count) - 1 // the largest power of two that fits,
		if z := bits.TrailingZeros64(at); at != 0 && z < length {
			length = z // and where it starts
		}
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(at))
		t.put(netip.PrefixFrom(netip.AddrFrom4(a), 32-length), row{country: country})
		at, count = at+1<<length, count-1<<length
	}
	return ""
}
