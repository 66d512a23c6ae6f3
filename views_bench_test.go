package cordon

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

// BenchmarkPlanOfViews plans one call as a node does while no canary is under way, and by production's router alone: the difference is what the possibility costs.
func BenchmarkPlanOfViews(b *testing.B) {
	for _, env := range []string{"DRILL_TOKEN_1", "DRILL_TOKEN_2", "DRILL_TOKEN_3"} {
		b.Setenv(env, "0123456789012345678901234567890123456789"+env)
	}
	file := filepath.Join(b.TempDir(), "cordon.yaml")
	if err := os.WriteFile(file, []byte(drillConfig), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := configs.Load(file)
	if err != nil {
		b.Fatal(err)
	}
	snap, err := cfg.Snapshot(1, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	table := &healthcheck.Table{ByParty: map[string][]healthcheck.Status{}}
	for _, w := range cfg.Watched {
		for _, m := range w.Members {
			target := healthcheck.Target{Party: w.Party, Member: m.Name, Transport: m.Transport, Addr: netip.MustParseAddrPort(m.Host + ":5060")}
			target.Ruling = snap.Judge(sovereign.Ask{Party: w.Party, Plane: sovereign.Signalling, Addr: target.Addr})
			table.ByParty[w.Party] = append(table.ByParty[w.Party], healthcheck.Status{Target: target, State: healthcheck.Up})
		}
	}
	keys, err := newKeys()
	if err != nil {
		b.Fatal(err)
	}
	log, err := audit.Memory(audit.Config{Signer: keys.signer(), Origin: "test/views", Node: "edge-1"})
	if err != nil {
		b.Fatal(err)
	}
	router, err := routing.New(routing.Config{
		Rules: cfg.Rules, Table: func() *healthcheck.Table { return table }, Snapshot: func() *sovereign.Snapshot { return snap }, Log: log,
	})
	if err != nil {
		b.Fatal(err)
	}
	v := &views{n: &Node{router: router}}
	req := routing.Request{From: "carrier", Called: "+4969900100", CallID: "a"}
	if p := v.Plan(req); len(p.Hops) != 2 {
		b.Fatalf("%d hops: %s", len(p.Hops), p.Why)
	}
	for name, plan := range map[string]func(routing.Request) routing.Plan{"router": router.Plan, "views": v.Plan} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan(req)
			}
		})
	}
}
