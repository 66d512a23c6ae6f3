package cordon

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/routing/desk"
)

const outageConfig = `tenant: {org_id: bank-1, name: Example Bank AG}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1, allow: [aws:eu-central-1, "sim:carrier"]}
regions:
  - {key: "sim:carrier", country: DE, contract: c}
places:
  - {prefix: 10.1.0.0/16, region: "sim:carrier", contract: c}
  - {prefix: 10.10.0.0/16, region: aws:eu-central-1, operator: Example CCaaS GmbH, contract: c}
  - {prefix: 10.20.0.0/16, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: "sim:carrier", members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}, {host: 10.10.0.11, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: line, direction: inbound, from: [carrier], to: [{party: fra}]}
health: {interval: 2s, timeout: 1s, fall: 3, rise: 2}
entity: {types: [credit_institution]}
incidents: {services: [{name: hotline, critical: true, parties: [fra]}]}
people:
  - {id: anna, roles: [operator], token: {env: OUTAGE_TOKEN}}
api: {address: "off"}
`

// outage is a node between a carrier and Frankfurt in the virtual network.
type outage struct {
	t     *testing.T
	net   *vnet.Network
	node  *Node
	trunk *carrier.Peer
	end   func()
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	time.Sleep(time.Until(time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)))
	file := filepath.Join(t.TempDir(), "cordon.yaml")
	if err := os.WriteFile(file, []byte(outageConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	o := &outage{t: t, net: vnet.New(1)}
	o.net.Default(vnet.Quality{Delay: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var ended []chan struct{}
	peer := func(name, addr string) *carrier.Peer {
		at := netip.MustParseAddr(addr)
		p, err := carrier.New(carrier.Config{Name: name, Net: o.net.Host(at), Addr: netip.AddrPortFrom(at, 5060), MediaAddr: at, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		ended = append(ended, done)
		go func() { defer close(done); _ = p.Run(ctx) }()
		return p
	}
	o.trunk = peer("carrier", "10.1.0.10")
	peer("fra", "10.10.0.10")
	peer("fra", "10.10.0.11")
	if o.node, err = New(ctx, Options{Config: cfg, Net: o.net.Host(netip.MustParseAddr("10.5.0.10")), Memory: true, Software: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := o.node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	o.end = func() {
		if err := o.node.Stop(context.WithoutCancel(ctx), time.Second); err != nil {
			t.Error(err)
		}
		cancel()
		for _, done := range ended {
			<-done
		}
	}
	time.Sleep(20 * time.Second)
	return o
}

// call places one, waits for its end, and gives its status.
func (o *outage) call() int {
	o.t.Helper()
	c, err := o.trunk.Call(o.t.Context(), carrier.CallOptions{From: "+436641234567", To: "+496912345", Dest: netip.MustParseAddrPort("10.5.0.10:5060"), Talk: time.Second})
	if err != nil {
		o.t.Fatal(err)
	}
	status, err := c.WaitFinal(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	<-c.Done()
	return status
}

// TestFrankfurtIsDown: a region that dies is an incident, with the calls that fail meanwhile; it is over when the region is back, and its report says so.
func TestFrankfurtIsDown(t *testing.T) {
	t.Setenv("OUTAGE_TOKEN", "anna's token")
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(t)
		defer o.end()
		if got := o.call(); got != 200 {
			t.Fatalf("a call before it: %d", got)
		}
		o.net.Cut(netip.MustParsePrefix("10.10.0.0/16"))
		time.Sleep(3 * time.Minute)
		for range 3 {
			if got := o.call(); got < 400 {
				t.Errorf("a call in it: %d", got)
			}
		}
		book := o.node.incidents
		list := book.List()
		if len(list) != 1 || list[0].Rule != incident.RegionDown || !list[0].Lasts() || list[0].Country != "DE" || !slices.Equal(list[0].Parties, []string{"fra"}) {
			t.Fatalf("%+v", list)
		}
		if aware := list[0].Aware.Sub(list[0].Since); aware < time.Minute || aware > time.Minute+time.Second {
			t.Errorf("it was known after %s", aware)
		}
		o.net.Heal(netip.MustParsePrefix("10.10.0.0/16"))
		time.Sleep(3 * time.Minute)
		if got := o.call(); got != 200 {
			t.Errorf("a call behind it: %d", got)
		}
		i, _ := book.Incident(list[0].ID)
		d, err := incidents{book, o.node}.Draft(t.Context(), &i, "initial", false)
		if err != nil {
			t.Fatal(err)
		}
		m := d.Measures
		if i.Lasts() || !m.Ended || m.Failed != 3 || m.Answered != 0 || m.Available != "none" || m.Downtime != m.Duration || m.Critical != "yes" || !slices.Equal(m.States, []string{"AT"}) || !slices.Equal(m.Operators, []string{"Example CCaaS GmbH"}) {
			t.Errorf("%+v", m)
		}
	})
}

// TestWhatPeopleTakeOutIsNoIncident: a region that people took out of service may die.
func TestWhatPeopleTakeOutIsNoIncident(t *testing.T) {
	t.Setenv("OUTAGE_TOKEN", "anna's token")
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(t)
		defer o.end()
		if err := (operators{o.node}).SetService(t.Context(), desk.Service{Kind: "group", Name: "fra", State: desk.Out, Reason: "change 4711"}, "anna"); err != nil {
			t.Fatal(err)
		}
		o.net.Cut(netip.MustParsePrefix("10.10.0.0/16"))
		time.Sleep(10 * time.Minute)
		list, err := o.node.log.Entries(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		downs := 0
		for _, e := range list {
			if strings.HasPrefix(string(e.Kind), "incident.") {
				t.Errorf("%s %s", e.Kind, e.Body)
			}
			if e.Kind == audit.KindHealthChanged && strings.Contains(string(e.Body), `"to":"down"`) {
				downs++
			}
		}
		if downs == 0 {
			t.Error("nothing went down")
		}
	})
}
