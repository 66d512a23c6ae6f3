package sovereign

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func BenchmarkLocate(b *testing.B) {
	for _, n := range []int{100, 10_000, 500_000} {
		decls := make([]Declaration, 0, n)
		for i := range n {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i>>20), byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28)
			decls = append(decls, Declaration{Prefix: p.String(), Region: frankfurt})
		}
		a, err := NewAtlas(nil, decls)
		if err != nil {
			b.Fatal(err)
		}
		ip := netip.AddrFrom4([4]byte{10, 0, 3, 7})
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !a.Locate(ip, now).Known() {
					b.Fatal("unknown")
				}
			}
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	s := world(b, nil)
	for name, a := range map[string]Ask{
		"permit":     {Party: "fra", Plane: Media, Addr: addr("192.0.2.1:4000"), At: now},
		"hold":       {Party: "iad", Plane: Media, Addr: addr("198.51.100.1:4000"), At: now},
		"undeclared": {Party: "fra", Plane: Media, Addr: addr("8.8.8.8:4000"), At: now},
		"global":     {Addr: addr("52.129.96.1:4000"), At: now},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Judge(a)
			}
		})
	}
}

func BenchmarkPassLive(b *testing.B) {
	f := NewFence(world(b, nil), nil)
	p, _ := f.Pass(Ask{Addr: addr("192.0.2.1:1")})
	at := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if !p.Live(at) {
			b.Fatal("dead")
		}
	}
}

func BenchmarkSwap(b *testing.B) {
	s := world(b, nil)
	f := NewFence(s, nil)
	passes := make([]*Pass, 1000)
	for i := range passes {
		passes[i], _ = f.Pass(Ask{Party: "fra", Plane: Media, Addr: addr("192.0.2.1:4000")})
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Swap(s.WithGrants(nil))
		for _, p := range passes {
			p.Live(now)
		}
	}
}
