package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
)

var (
	edgeAddr    = netip.MustParseAddr("192.0.2.1")
	peerAddr    = netip.MustParseAddr("192.0.2.9")
	strangeAddr = netip.MustParseAddr("192.0.2.66")    // declared, but the screen does not know it
	foreignAddr = netip.MustParseAddr("198.51.100.77") // known to the screen, but outside the allow-list
	edgeUDP     = netip.AddrPortFrom(edgeAddr, 5060)
	edgeTCP     = netip.AddrPortFrom(edgeAddr, 5070)
	edgeTLS     = netip.AddrPortFrom(edgeAddr, 5061)
)

// snapshot permits the prefixes in Frankfurt and knows another place that is not allowed.
func snapshot(t testing.TB, permitted ...string) *sovereign.Snapshot {
	t.Helper()
	fra, err := sovereign.ParseRegion("aws:eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	iad, _ := sovereign.ParseRegion("aws:us-east-1")
	d := []sovereign.Declaration{{Prefix: "198.51.100.0/24", Region: iad, Contract: "annex 2"}}
	for _, p := range permitted {
		d = append(d, sovereign.Declaration{Prefix: p, Region: fra, Contract: "annex 1"})
	}
	atlas, err := sovereign.NewAtlas(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Atlas: atlas, Policy: sovereign.Policy{Home: fra, Allow: []sovereign.Region{fra}},
		Parties: []sovereign.Party{{Name: "carrier", Kind: sovereign.KindTrunk, Region: fra, Contract: "C-1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lossEvent is one call of Lost.
type lossEvent struct {
	key Key
	err error
	at  time.Time
}

// world is a layer on a virtual network with one peer.
type world struct {
	t       *testing.T
	net     *vnet.Network
	edge    *vnet.Host
	peer    *vnet.Host
	fence   *sovereign.Fence
	udp     sovereign.UDPConn // under the listener
	l       *Layer
	config  Config
	stop    func()
	stopped bool
	start   time.Time

	mu       sync.Mutex
	in       []Incoming
	lost     []lossEvent
	asked    int
	screen   func(p Proto, from netip.AddrPort, peer *PeerIdentity) Admission
	onTap    func(out bool, f Flow, b []byte)
	received func(Incoming)
}

// inWorld runs f in a bubble. change may alter the configuration before New.
func inWorld(t *testing.T, change func(*world), f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: vnet.New(1), fence: sovereign.NewFence(snapshot(t, "192.0.2.0/24"), nil)}
		w.edge, w.peer = w.net.Host(edgeAddr), w.net.Host(peerAddr)
		w.net.Default(vnet.Quality{Delay: time.Millisecond})
		udp, err := w.edge.ListenUDP(edgeUDP)
		if err != nil {
			t.Fatal(err)
		}
		w.udp = udp
		tcp, err := w.edge.ListenTCP(edgeTCP)
		if err != nil {
			t.Fatal(err)
		}
		w.config = Config{
			Listeners: []Listener{{Proto: UDP, UDP: w.fence.UDP(udp)}, {Proto: TCP, Stream: tcp}},
			Fence:     w.fence, Dial: w.edge.DialTCP, Screen: w, Handler: w,
			Tap: func(out bool, f Flow, _ time.Time, _ string, b []byte) {
				if w.onTap != nil {
					w.onTap(out, f, b)
				}
			},
		}
		if change != nil {
			change(w)
		}
		w.run()
		f(w)
		w.end()
		time.Sleep(time.Second) // the peers see the end of their connections
		tcp.Close()
		udp.Close()
		for _, ln := range w.config.Listeners[2:] {
			ln.Stream.Close()
		}
	})
}

func (w *world) run() {
	var err error
	if w.l, err = New(w.config); err != nil {
		w.t.Fatal(err)
	}
	w.start = time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.l.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}
	synctest.Wait()
}

func (w *world) end() {
	if !w.stopped {
		w.stopped = true
		w.stop()
	}
}

func (w *world) Receive(in Incoming) {
	w.mu.Lock()
	w.in = append(w.in, in)
	f := w.received
	w.mu.Unlock()
	if f != nil {
		f(in)
	}
}

func (w *world) Lost(f Flow, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = append(w.lost, lossEvent{f.Key(), err, time.Now()})
}

func (w *world) Source(p Proto, from, _ netip.AddrPort, peer *PeerIdentity) Admission {
	w.mu.Lock()
	w.asked++
	f := w.screen
	w.mu.Unlock()
	if f != nil {
		return f(p, from, peer)
	}
	if from.Addr() != peerAddr && from.Addr() != foreignAddr {
		return Admission{}
	}
	return Admission{Party: "carrier", Look: Admitted}
}

func (w *world) got() []Incoming {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Incoming(nil), w.in...)
}

func (w *world) losses() []lossEvent {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]lossEvent(nil), w.lost...)
}

// settle lets what is on the wire arrive.
func (w *world) settle() {
	time.Sleep(20 * time.Millisecond)
	synctest.Wait()
}

// one gives the only message that came.
func (w *world) one() Incoming {
	w.t.Helper()
	got := w.got()
	if len(got) != 1 {
		w.t.Fatalf("%d messages came, want 1", len(got))
	}
	return got[0]
}

// udpPeer is a socket of the peer.
type udpPeer struct {
	w *world
	c sovereign.UDPConn
}

func (w *world) udpPeer(h *vnet.Host, port uint16) *udpPeer {
	w.t.Helper()
	c, err := h.ListenUDP(netip.AddrPortFrom(netip.Addr{}, port))
	if err != nil {
		w.t.Fatal(err)
	}
	return &udpPeer{w, c}
}

func (p *udpPeer) send(s string) {
	p.w.t.Helper()
	if _, err := p.c.WriteToUDPAddrPort([]byte(s), edgeUDP); err != nil {
		p.w.t.Fatal(err)
	}
}

// recv gives the next datagram, or "" when none comes.
func (p *udpPeer) recv() string {
	p.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	b := make([]byte, 65536)
	n, _, err := p.c.ReadFromUDPAddrPort(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// dest is a vetted destination.
func (w *world) dest(p Proto, to netip.AddrPort, profile *TLSProfile) Dest {
	w.t.Helper()
	pass, r := w.fence.Pass(sovereign.Ask{Party: "carrier", Plane: sovereign.Signalling, Addr: to})
	if pass == nil {
		w.t.Fatalf("no pass to %s: %s", to, r.Why)
	}
	return Dest{Proto: p, Addr: to, Party: "carrier", Profile: profile, Pass: pass}
}

func (w *world) flow(p Proto, to netip.AddrPort) Flow {
	w.t.Helper()
	f, err := w.l.Flow(w.dest(p, to, nil))
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// message writes a request as a peer would. extra are whole header lines.
func message(method string, seq int, extra, body string) string {
	return fmt.Sprintf("%s sip:edge@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP peer.example.com:5062;branch=z9hG4bK%d;rport\r\n"+
		"From: <sip:a@example.com>;tag=f\r\nTo: <sip:b@example.com>\r\nCall-ID: c@example.com\r\nCSeq: %d %s\r\nMax-Forwards: 70\r\n%sContent-Length: %d\r\n\r\n%s",
		method, seq, seq, method, extra, len(body), body)
}

func response(status int, via string) string {
	return fmt.Sprintf("SIP/2.0 %d X\r\nVia: %s\r\nFrom: <sip:a@example.com>;tag=f\r\nTo: <sip:b@example.com>;tag=t\r\nCall-ID: c@example.com\r\n"+
		"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", status, via)
}

func seqs(in []Incoming) string {
	var out []string
	for _, i := range in {
		out = append(out, fmt.Sprint(i.Msg.CSeq().SeqNo))
	}
	return strings.Join(out, " ")
}

func asRequest(t *testing.T, in Incoming) *sip.Request {
	t.Helper()
	req, ok := in.Msg.(*sip.Request)
	if !ok {
		t.Fatalf("%T came, want a request", in.Msg)
	}
	return req
}

// streamPeer is a connection of the peer.
type streamPeer struct {
	w *world
	net.Conn
}

func (w *world) dialEdge(to netip.AddrPort) *streamPeer {
	w.t.Helper()
	c, err := w.peer.DialTCP(w.t.Context(), netip.Addr{}, to)
	if err != nil {
		w.t.Fatal(err)
	}
	return &streamPeer{w, c}
}

func (p *streamPeer) send(s string) {
	p.w.t.Helper()
	if _, err := p.Write([]byte(s)); err != nil {
		p.w.t.Fatal(err)
	}
}

// recv gives what comes within a moment. closed says that the connection ended.
func (p *streamPeer) recv() (s string, closed bool) {
	b := make([]byte, 65536)
	p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		n, err := p.Read(b)
		s += string(b[:n])
		if err != nil {
			return s, !isTimeout(err)
		}
	}
}
