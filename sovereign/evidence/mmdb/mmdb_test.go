package mmdb

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign/evidence"
)

// entry is one network of a written database.
type entry struct {
	prefix string
	record any
}

// write makes a database of the MaxMind DB format 2.0, with records of 24 bits and a tree of IPv6 in which IPv4 lies below ::/96.
func write(version int, built time.Time, entries ...entry) []byte {
	type ref struct{ node, data int } // neither: nothing is known
	tree := [][2]ref{{}}
	var data []byte
	for _, e := range entries {
		p := netip.MustParsePrefix(e.prefix)
		raw, bits := p.Addr().AsSlice(), p.Bits()
		if p.Addr().Is4() && version == 6 {
			raw, bits = append(make([]byte, 12), raw...), bits+96
		}
		at := 0
		for i := range bits {
			side := raw[i/8] >> (7 - i%8) & 1
			if i == bits-1 {
				tree[at][side] = ref{data: len(data) + 1}
				break
			}
			if tree[at][side].node == 0 {
				tree = append(tree, [2]ref{})
				tree[at][side] = ref{node: len(tree) - 1}
			}
			at = tree[at][side].node
		}
		data = append(data, encode(e.record)...)
	}
	var out []byte
	for _, n := range tree {
		for _, r := range n {
			v := len(tree)
			if r.node > 0 {
				v = r.node
			} else if r.data > 0 {
				v = len(tree) + 16 + r.data - 1
			}
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
		}
	}
	out = append(append(out, make([]byte, 16)...), data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return append(out, encode([][2]any{
		{"node_count", uint32(len(tree))},
		{"record_size", uint16(24)},
		{"ip_version", uint16(version)},
		{"database_type", "Test"},
		{"languages", []any{"en"}},
		{"binary_format_major_version", uint16(2)},
		{"binary_format_minor_version", uint16(0)},
		{"build_epoch", uint64(built.Unix())},
		{"description", [][2]any{{"en", "made by a test"}}},
	})...)
}

// encode is the data section's form of a value. A list of pairs is a map.
func encode(v any) []byte {
	head := func(kind, size int) []byte {
		if kind > 7 {
			return []byte{byte(size), byte(kind - 7)}
		}
		if size >= 29 {
			return []byte{byte(kind<<5 | 29), byte(size - 29)}
		}
		return []byte{byte(kind<<5 | size)}
	}
	switch v := v.(type) {
	case string:
		return append(head(2, len(v)), v...)
	case uint16:
		return binary.BigEndian.AppendUint16(head(5, 2), v)
	case uint32:
		return binary.BigEndian.AppendUint32(head(6, 4), v)
	case uint64:
		return binary.BigEndian.AppendUint64(head(9, 8), v)
	case bool:
		if v {
			return head(14, 1)
		}
		return head(14, 0)
	case []any:
		out := head(11, len(v))
		for _, x := range v {
			out = append(out, encode(x)...)
		}
		return out
	case [][2]any:
		out := head(7, len(v))
		for _, pair := range v {
			out = append(append(out, encode(pair[0])...), encode(pair[1])...)
		}
		return out
	}
	panic("no such value")
}

func nested(section, code string) [][2]any {
	return [][2]any{{section, [][2]any{{"iso_code", code}, {"is_in_european_union", true}}}}
}

var built = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func sample() []byte {
	return write(6, built,
		entry{"203.0.113.0/24", nested("country", "DE")},
		entry{"198.51.100.0/24", [][2]any{{"country", "United States"}, {"country_code", "us"}}}, // IPinfo
		entry{"192.0.2.0/25", nested("registered_country", "CH")},
		entry{"192.0.2.128/25", append(nested("country", "FR"), [2]any{"traits", [][2]any{{"is_anycast", true}}})},
		entry{"2001:db8::/32", nested("country", "SE")},
		entry{"2001:db9::/32", nested("represented_country", "US")},
		entry{"2001:dba::/32", nested("country", "EU")},
	)
}

func TestADatabaseSaysWhereAnAddressIs(t *testing.T) {
	table, err := Parse(sample())
	if err != nil {
		t.Fatal(err)
	}
	if !table.At.Equal(built) || table.Kind != evidence.MMDB || table.Rows() == 0 {
		t.Errorf("%+v", table)
	}
	frankfurt := evidence.Claim{Countries: []string{"DE"}, Region: "aws:eu-central-1"}
	for addr, c := range map[string]struct {
		says   string
		result evidence.Result
	}{
		"203.0.113.7":        {"203.0.113.0/24 is in DE", evidence.Supports},
		"::ffff:203.0.113.7": {"203.0.113.0/24 is in DE", evidence.Supports},
		"198.51.100.7":       {"198.51.100.0/24 is in US", evidence.Contradicts},
		"192.0.2.7":          {"192.0.2.0/25 is in CH", evidence.Contradicts},
		"192.0.2.200":        {"192.0.2.128/25 is not to be placed", evidence.Silent},
		"2001:db8::1":        {"2001:db8::/32 is in SE", evidence.Contradicts},
		"2001:db9::1":        {"2001:db9::/32 is not to be placed", evidence.Silent}, // an embassy stands where it stands
		"2001:dba::1":        {"2001:dba::/32 is not to be placed", evidence.Silent}, // EU is no country
		"10.0.0.1":           {"", ""},
	} {
		it, ok := table.Item(netip.MustParseAddr(addr), frankfurt, func(string) string { return "" }, built)
		if ok != (c.says != "") || it.Value != c.says || it.Result != c.result {
			t.Errorf("%s: %q %s, want %q %s", addr, it.Value, it.Result, c.says, c.result)
		}
	}
	// The weakest evidence alarms, and neither allows nor refuses.
	it, _ := table.Item(netip.MustParseAddr("198.51.100.7"), frankfurt, func(string) string { return "" }, built)
	if a := evidence.Weigh(frankfurt, []evidence.Item{it}); a.Standing != evidence.Doubted {
		t.Errorf("it is %s", a.Standing)
	}
	it, _ = table.Item(netip.MustParseAddr("203.0.113.7"), frankfurt, func(string) string { return "" }, built)
	if a := evidence.Weigh(evidence.Claim{}, []evidence.Item{it}); a.Allows() {
		t.Error("a database allowed what nobody declared")
	}
}

func TestWhatIsNoWholeDatabaseIsRefused(t *testing.T) {
	whole := sample()
	for name, data := range map[string][]byte{
		"nothing":            nil,
		"something else":     []byte(strings.Repeat("prefix,DE\n", 100)),
		"half":               whole[:len(whole)/2],
		"no metadata":        whole[:strings.Index(string(whole), "MaxMind.com")],
		"a record cut off":   append(append([]byte{}, whole[:200]...), whole[240:]...),
		"no such version":    write(5, built, entry{"203.0.113.0/24", nested("country", "DE")}),
		"a text for a count": []byte(strings.Replace(string(whole), "node_count\xc4", "node_count\x44", 1)),
	} {
		if table, err := Parse(data); err == nil {
			t.Errorf("%s was read: %+v", name, table)
		}
	}
	if _, err := Parse(write(4, built, entry{"203.0.113.0/24", nested("country", "DE")})); err != nil {
		t.Errorf("of IPv4 alone: %v", err)
	}
}

// A tree whose nodes lead to the next one twice would take 2^100 steps to check; one that leads back to itself never ends. Both are refused at once, and so is what has fewer bytes
// than nodes. What aliases of IPv4 lead to is reached several times, and read.
func TestATreeThatCannotBeWalkedIsRefused(t *testing.T) {
	nodes := func(size, n uint, record func(node, side uint) uint) []byte {
		var out []byte
		for i := range n {
			l, r := record(i, 0), record(i, 1)
			switch size {
			case 24:
				out = append(out, byte(l>>16), byte(l>>8), byte(l), byte(r>>16), byte(r>>8), byte(r))
			case 28:
				out = append(out, byte(l>>16), byte(l>>8), byte(l), byte(l>>24<<4|r>>24), byte(r>>16), byte(r>>8), byte(r))
			default:
				out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(out, uint32(l)), uint32(r))
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		nodes  uint
		record func(node, side uint) uint
		want   string
	}{
		"a path":            {100, func(n, side uint) uint { return n + 1 + side*1000 }, ""},
		"a few aliases":     {100, func(n, side uint) uint { return []uint{n + 1, 1000, max(96, n+1)}[side*(1+n%20/19)] }, ""},
		"twice each":        {100, func(n, _ uint) uint { return n + 1 }, "takes 4294967294 steps or more"},
		"back to itself":    {100, func(n, side uint) uint { return []uint{(n + 1) % 100, 1000}[side] }, "leads back to itself"},
		"deeper than 128":   {200, func(n, side uint) uint { return []uint{n + 1, 1000}[side] }, "leads back to itself"},
		"more than 16 bits": {100, func(n, side uint) uint { return []uint{n + 1, 1 << 20}[side] }, ""},
	} {
		for _, size := range []uint{24, 28, 32} {
			err := walkable(nodes(size, c.nodes, c.record), c.nodes, size)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, records of %d bits: %v", name, size, err)
			}
			if err := walkable(nodes(size, c.nodes, c.record), c.nodes+1, size); err == nil {
				t.Errorf("%s, records of %d bits: a node beyond the end was read", name, size)
			}
		}
	}
	if walkable(make([]byte, 100), 2, 25) == nil {
		t.Error("records of 25 bits")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample())
	f.Add(write(4, built, entry{"203.0.113.0/24", nested("country", "DE")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := Parse(data)
		if err != nil {
			return
		}
		for _, a := range []string{"203.0.113.7", "2001:db8::1", "::", "255.255.255.255"} {
			table.Item(netip.MustParseAddr(a), evidence.Claim{Countries: []string{"DE"}}, func(string) string { return "" }, built)
		}
	})
}
