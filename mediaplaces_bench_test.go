package cordon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkNamed weighs an address that a description names: one that was weighed lately, beside the fence's own judgement of it, from several goroutines too; and one
// that nobody named before.
func BenchmarkNamed(b *testing.B) {
	dir := b.TempDir()
	for name, text := range map[string]string{"aws.json": fmt.Sprintf(feedOf, "10.10.1.0/24"), "cordon.yaml": fmt.Sprintf(placesConfig, "", awsFeed)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cfg, err := configs.Load(filepath.Join(dir, "cordon.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	snap, err := cfg.Snapshot(1, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	n := &Node{opts: Options{Config: cfg, Metrics: prometheus.NewRegistry()}, fence: sovereign.NewFence(snap, nil)}
	n.cfg.Store(cfg)
	k, err := newPlaceKeeper(n)
	if err != nil {
		b.Fatal(err)
	}
	ask := sovereign.Ask{Party: "fra", Plane: sovereign.Media, Purpose: sovereign.Production, Addr: netip.MustParseAddrPort("10.10.0.20:4000")}
	b.Run("fence", func(b *testing.B) {
		for b.Loop() {
			n.fence.Pass(ask)
		}
	})
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.named(ask)
		}
	})
	b.Run("known, by all", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				k.named(ask)
			}
		})
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			a := ask
			a.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 11, byte(i >> 8), byte(i)}), 4000)
			k.named(a)
		}
	})
}
