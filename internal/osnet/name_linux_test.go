package osnet

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestName(t *testing.T) {
	for _, c := range []struct {
		of   string
		six  bool
		want string // as it comes back; "" is refused
	}{
		{"192.0.2.1:4000", false, "192.0.2.1:4000"},
		{"192.0.2.1:4000", true, "192.0.2.1:4000"},
		{"[::ffff:192.0.2.1]:4000", false, "192.0.2.1:4000"},
		{"[::ffff:192.0.2.1]:4000", true, "192.0.2.1:4000"},
		{"[2001:db8::1]:65535", true, "[2001:db8::1]:65535"},
		{"[2001:db8::1]:65535", false, ""},
		{"[fe80::1]:9", true, "[fe80::1]:9"},
		{"[fe80::1%2]:9", true, ""},
		{"0.0.0.0:0", false, "0.0.0.0:0"},
	} {
		n, ok := NameOf(netip.MustParseAddrPort(c.of), c.six)
		if ok != (c.want != "") {
			t.Errorf("%s, %v: %v", c.of, c.six, ok)
			continue
		}
		if got := n.AddrPort(); ok && got != netip.MustParseAddrPort(c.want) {
			t.Errorf("%s, %v: comes back as %v", c.of, c.six, got)
		}
	}
	n, ok := NameOf(netip.AddrPort{}, true)
	if ok || n != (Name{}) || n.AddrPort() != (netip.AddrPort{}) {
		t.Errorf("no address has the name %v, which is that of %v", n, n.AddrPort())
	}
	four, _ := NameOf(netip.MustParseAddrPort("192.0.2.1:258"), false)
	if want := (Name{2: 1, 3: 2, 4: 192, 6: 2, 7: 1}); [26]byte(four[2:]) != [26]byte(want[2:]) || binary.NativeEndian.Uint16(four[:]) != unix.AF_INET {
		t.Errorf("%v", four)
	}
}

// FuzzName: any bytes, as they may stand in memory that is shared, are an address or none, and one that can be sent to has one name in its family.
func FuzzName(f *testing.F) {
	for _, a := range []string{"192.0.2.1:4000", "[2001:db8::1]:4000"} {
		n, _ := NameOf(netip.MustParseAddrPort(a), a[0] == '[')
		f.Add(n[:])
	}
	f.Add([]byte{unix.AF_INET6, 0, 0, 9, 1, 2, 3, 4, 0xfe, 0x80, 27: 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var n Name
		copy(n[:], b)
		a := n.AddrPort()
		for _, six := range []bool{false, true} {
			m, ok := NameOf(a, six)
			if ok != (a.IsValid() && a.Addr().Zone() == "" && (six || a.Addr().Is4())) {
				t.Fatalf("%v, %v: %v", a, six, ok)
			}
			if ok && m.AddrPort() != a {
				t.Fatalf("%v comes back as %v", a, m.AddrPort())
			}
		}
	})
}

// TestMediaPathDoesNotAllocate: neither sending, waiting, asking nor receiving costs memory, nor does looking at the clock.
func TestMediaPathDoesNotAllocate(t *testing.T) {
	for _, addr := range loopbacks {
		a, b := socket(t, addr, SocketOptions{}), socket(t, addr, SocketOptions{})
		if a == nil || b == nil {
			continue
		}
		s := newSet(t)
		if err := s.Add(b.FD(), 7); err != nil {
			t.Fatal(err)
		}
		to, packet, buf, tags := named(t, a, b.Bound()), make([]byte, 172), make([]byte, 2048), make([]uint64, 8)
		var from Name
		var same int
		if n := testing.AllocsPerRun(500, func() {
			if errno := Send(a.FD(), packet, &to); errno != 0 {
				t.Fatal(errno)
			}
			s.Wake()
			for s.Wait(tags, -1) == 0 {
			}
			if n := s.Ready(tags); n != 1 || tags[0] != 7 {
				t.Fatal(n, tags)
			}
			if n, errno := Receive(b.FD(), buf, &from); n != len(packet) || errno != 0 {
				t.Fatal(n, errno)
			}
			if from.AddrPort() == a.Bound() {
				same++
			}
			SleepUntil(Monotonic())
		}); n != 0 {
			t.Errorf("%s: %v allocations", addr, n)
		}
		if same != 501 {
			t.Errorf("%s: %d datagrams of %d came from where they came from", addr, same, 501)
		}
	}
}

// BenchmarkDatagram is one datagram sent and received, by names as the kernel has them and by addresses.
func BenchmarkDatagram(b *testing.B) {
	s, from := socket(b, loopbacks[0], SocketOptions{}), socket(b, loopbacks[0], SocketOptions{})
	buf := make([]byte, 172)
	b.Run("Name", func(b *testing.B) {
		to := named(b, from, s.Bound())
		for b.Loop() {
			var n Name
			Send(from.FD(), buf, &to)
			Receive(s.FD(), buf, &n)
		}
	})
	b.Run("AddrPort", func(b *testing.B) {
		to := s.Bound()
		for b.Loop() {
			send(uintptr(from.FD()), from.six, buf, to)
			_, _, _ = receive(uintptr(s.FD()), buf)
		}
	})
	b.Run("Nothing", func(b *testing.B) { // a system call that finds nothing
		for b.Loop() {
			var n Name
			Receive(s.FD(), buf, &n)
		}
	})
}
