//go:build interop

package interop

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/ng"
)

// engine is a running rtpengine: the media relay of a network that speaks SRTP toward the node and RTP behind it.
type engine struct {
	*process
	ng *ng.Client

	mu   sync.Mutex
	keys []string // lines of keys that it wrote toward the node
}

func startEngine(t *testing.T, addr string) *engine {
	t.Helper()
	asks := fmt.Sprintf("%s:%d", addr, loopback.freePort(t, addr))
	dir := t.TempDir()
	e := &engine{process: start(t, loopback, dir, "rtpengine", "--config-file=none", "--interface="+addr, "--listen-ng="+asks, "--table=-1", "--foreground", "--log-stderr",
		"--log-level=5", "-m", "30000", "-M", "31000", "--pidfile="+dir+"/rtpengine.pid")}
	var err error
	if e.ng, err = ng.Dial(netip.MustParseAddrPort(asks)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.ng.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := e.ng.Ask(map[string]any{"command": "ping"}); err != nil {
		t.Fatalf("%v: %s", err, e.output())
	}
	return e
}

// relay is the carrier.Relay that it is.
func (e *engine) relay(call string, offer, leaves bool, sdp []byte) ([]byte, error) {
	q := map[string]any{
		"command": "answer", "call-id": call, "from-tag": "a", "sdp": string(sdp), "ICE": "remove", "DTLS": "off", "replace": []any{"origin", "session-connection"},
		"transport-protocol": "RTP/AVP",
	}
	if leaves {
		q["transport-protocol"] = "RTP/SAVP"
	}
	if offer {
		q["command"] = "offer"
	} else {
		q["to-tag"] = "b"
	}
	a, err := e.ng.Ask(q)
	if err != nil {
		return nil, err
	}
	text, _ := a["sdp"].(string)
	if leaves {
		e.mu.Lock()
		defer e.mu.Unlock()
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "a=crypto:") {
				e.keys = append(e.keys, strings.TrimSpace(line))
			}
		}
	}
	return []byte(text), nil
}

// ofSuite are the keys that it wrote for a suite.
func (e *engine) ofSuite(suite string) (keys []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.keys {
		if f := strings.Fields(k); len(f) > 2 && f[1] == suite {
			keys = append(keys, strings.TrimPrefix(f[2], "inline:"))
		}
	}
	return keys
}

// A network whose media passes rtpengine calls and is called: SRTP between the two relays, RTP behind either. It writes keys without the padding of base64, which
// those of the GCM suites would have.
// Conforms: RFC 4568 section 6.1; RFC 7714 section 14
func TestRTPEngineAtTheFarSide(t *testing.T) {
	for _, suite := range []string{carrier.AES256GCM, carrier.AES128GCM, carrier.AES256SHA80, carrier.AES128SHA80, carrier.AES128SHA32} {
		t.Run(suite, func(t *testing.T) {
			e := startEngine(t, loop(10, 20))
			near := talker(t, carrier.Config{Addr: netip.MustParseAddrPort(loop(1, 11) + ":0")})
			far := talker(t, carrier.Config{Addr: netip.MustParseAddrPort(loop(10, 10) + ":0"), Relay: e.relay})
			w := &world{
				trunks: []party{{name: "carrier", addr: loop(1, 11), port: near.Addr().Port(), transport: "udp"}},
				groups: []party{{name: "fra", addr: loop(10, 10), port: far.Addr().Port(), transport: "udp", media: "{security: srtp, insecure_lab: true, suites: [" + suite + "]}"}},
			}
			n := boot(t, w, "carrier", "fra")
			edge := netip.AddrPortFrom(netip.MustParseAddr(n.w.edge), n.sip["udp"])
			hearsItself(t, near, edge, "+4969123456")
			hearsItself(t, far, edge, "+4989123456")
			list := n.receipts(2)
			for i, want := range [2][2]string{{"", suite}, {suite, ""}} {
				if a, b := suites(list[i]); a != want[0] || b != want[1] {
					t.Errorf("the receipt of call %d names %q and %q: %+v", i, a, b, list[i].Hops)
				}
			}
			keys := e.ofSuite(suite)
			if len(keys) < 2 || strings.Contains(strings.Join(keys, ""), "=") {
				t.Errorf("rtpengine wrote these keys toward the node: %q", keys)
			}
			for _, p := range []*carrier.Peer{near, far} {
				if s := p.Stats(); s.FaultCount > 0 {
					t.Errorf("%s: %d faults: %q", p.Addr(), s.FaultCount, s.Faults)
				}
			}
			n.stop()
		})
	}
}

// talker is a peer that plays and echoes its audio itself, for the length of the test.
func talker(t *testing.T, cfg carrier.Config) *carrier.Peer {
	t.Helper()
	p, err := carrier.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	runPeer(t, p)
	return p
}

// hearsItself places a call whose tone comes back, and ends it.
func hearsItself(t *testing.T, from *carrier.Peer, edge netip.AddrPort, to string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	c, err := from.Call(ctx, carrier.CallOptions{From: "+4930555", To: to, Dest: edge})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := c.WaitFinal(ctx); status != 200 {
		t.Fatalf("%d %v", status, err)
	}
	if err := c.WaitEchoes(ctx, 50); err != nil {
		t.Errorf("%v: %+v", err, c.Media())
	}
	if err := c.Hangup(ctx); err != nil {
		t.Error(err)
	}
}
