package cordon

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/routing"
)

const heldConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 10.0.0.0/8, region: aws:eu-central-1, contract: c}
  - {prefix: 10.40.0.0/16, region: aws:us-east-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: iad, region: aws:us-east-1, members: [{host: 10.40.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: early, direction: inbound, to: [{party: iad}], on_hold: {status: 603, announce: {files: [held.alaw]}}}
  - {name: answered, direction: inbound, prefix: ["+4970"], to: [{party: iad}], on_hold: {announce: {files: [held.alaw], for: 500ms, answer: true}}}
api: {address: "off"}
`

// TestTheWholeNodeAnnounces: a caller whose calls are held hears the file that the configuration names, octet by octet, and another one after a reload; not a
// datagram leaves for anybody else, and the records say what was played.
func TestTheWholeNodeAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		dir := t.TempDir()
		put := func(name string, b []byte) string {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		sound := make([]byte, 30*160)
		for i := range sound {
			sound[i] = byte(i / 19)
		}
		put("held.alaw", sound)
		file := put("cordon.yaml", []byte(heldConfig))
		cfg, err := configs.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		net, at, ours := vnet.New(1), netip.MustParseAddr("10.1.0.10"), netip.MustParseAddr("10.5.0.10")
		net.Default(vnet.Quality{Delay: 5 * time.Millisecond})
		var mu sync.Mutex
		var heard [][]byte
		net.Tap(func(p vnet.Packet) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case p.From.Addr() != ours:
			case p.To.Addr() != at:
				t.Errorf("a packet left for %s", p.To)
			case p.To.Port() != 5060 && len(p.Data) == 12+160:
				heard = append(heard, bytes.Clone(p.Data))
			}
		})
		peer, err := carrier.New(carrier.Config{Name: "carrier", Net: net.Host(at), Addr: netip.AddrPortFrom(at, 5060), MediaAddr: at, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{})
		go func() { defer close(ended); _ = peer.Run(ctx) }()
		n, err := New(ctx, Options{Config: cfg, Net: net.Host(ours), Memory: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(ctx); err != nil {
			t.Fatal(err)
		}
		// hears calls, waits for the end, and gives what was heard.
		hears := func(number string, status int) (plain []byte) {
			t.Helper()
			mu.Lock()
			heard = nil
			mu.Unlock()
			c, err := peer.Call(ctx, carrier.CallOptions{From: "+4930", To: number, Dest: netip.AddrPortFrom(ours, 5060)})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.WaitFinal(ctx); got != status || err != nil {
				t.Errorf("%d %v, want %d", got, err, status)
			}
			<-c.Done()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for _, b := range heard {
				plain = append(plain, b[12:]...)
			}
			return plain
		}
		if got := hears("+496912345", 603); !bytes.Equal(got, sound) {
			t.Errorf("%d octets were heard of %d", len(got), len(sound))
		}
		if got := hears("+497012345", 200); !bytes.Equal(got, sound[:25*160]) {
			t.Errorf("%d octets were heard in an answered call", len(got))
		}
		another := bytes.Repeat([]byte{0x2a}, 10*160)
		put("held.alaw", another)
		if err := n.ReloadFile(ctx, ""); err != nil {
			t.Fatal(err)
		}
		if got := hears("+496912345", 603); !bytes.Equal(got, another) {
			t.Errorf("%d octets were heard after the reload", len(got))
		}
		if plan := n.router.Explain(routing.Request{From: "carrier", Called: "+496912345", At: time.Now()}); !strings.Contains(plan.Why, "behind an announcement 603") {
			t.Errorf("%s", plan.Why)
		}
		want := []audit.Announced{
			{Sound: "file", Codec: "PCMA", ForMS: 600, Whole: true},
			{Sound: "file", Codec: "PCMA", Answered: true, ForMS: 500, Whole: true},
			{Sound: "file", Codec: "PCMA", ForMS: 200, Whole: true},
		}
		if got := announced(t, n); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Errorf("%+v", got)
		}
		if err := n.Stop(context.WithoutCancel(ctx), time.Second); err != nil {
			t.Error(err)
		}
		if f := peer.Stats().Faults; len(f) > 0 {
			t.Errorf("the carrier says: %v", f)
		}
		cancel()
		<-ended
	})
}

// announced is what the receipts say of announcements, in order.
func announced(t *testing.T, n *Node) (out []audit.Announced) {
	t.Helper()
	list, err := n.Log().Entries(context.Background(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind != audit.KindReceipt {
			continue
		}
		var r audit.Receipt
		if err := json.Unmarshal(e.Body, &r); err != nil {
			t.Fatal(err)
		}
		if r.Announced == nil || r.Overall != "refused_by_policy" {
			t.Errorf("%s", e.Body)
			continue
		}
		out = append(out, *r.Announced)
	}
	return out
}
