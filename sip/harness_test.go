package sip

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// The addresses of the test world.
var (
	edgeAddr    = netip.MustParseAddrPort("10.0.0.1:5060")
	carrierAddr = netip.MustParseAddrPort("10.1.0.1:5060")
	fraAddr     = netip.MustParseAddrPort("10.2.0.1:5060")
	zrhAddr     = netip.MustParseAddrPort("10.3.0.1:5060")
	iadAddr     = netip.MustParseAddrPort("10.66.0.1:5060")
)

type planFunc func(routing.Request) routing.Plan

func (f planFunc) Plan(r routing.Request) routing.Plan { return f(r) }

// world is one edge between scripted peers on a virtual network.
type world struct {
	t       *testing.T
	net     *vnet.Network
	host    *vnet.Host
	fence   *sovereign.Fence
	relay   *media.Relay
	log     audit.Log
	intents audit.Intents
	edge    *Edge
	hops    []routing.Hop
	plan    planFunc

	mu       sync.Mutex
	outcomes []healthcheck.Outcome
	packets  []vnet.Packet
	spent    []string
	unplayed bool // the ends of announcements get lost

	hosts             map[netip.Addr]*vnet.Host
	carrier, fra, zrh *peer
}

func (w *world) carrierHost() *vnet.Host { return w.hosts[carrierAddr.Addr()] }
func (w *world) fraHost() *vnet.Host     { return w.hosts[fraAddr.Addr()] }

func region(t testing.TB, s string) sovereign.Region {
	t.Helper()
	r, err := sovereign.ParseRegion(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testSnapshot(t testing.TB, grants ...sovereign.Grant) *sovereign.Snapshot {
	t.Helper()
	return snapshotWith(t, nil, grants...)
}

// snapshotWith is testSnapshot with more prefixes in Frankfurt.
func snapshotWith(t testing.TB, prefixes []string, grants ...sovereign.Grant) *sovereign.Snapshot {
	t.Helper()
	fra, zrh, iad := region(t, "aws:eu-central-1"), region(t, "aws:eu-central-2"), region(t, "aws:us-east-1")
	declared := []sovereign.Declaration{
		{Prefix: "10.0.0.0/16", Region: fra, Contract: "us"},
		{Prefix: "10.1.0.0/16", Region: fra, Contract: "c1"},
		{Prefix: "10.2.0.0/16", Region: fra, Contract: "c2"},
		{Prefix: "10.3.0.0/16", Region: zrh, Contract: "c3"},
		{Prefix: "10.66.0.0/16", Region: iad, Contract: "c4"},
	}
	for _, p := range prefixes {
		declared = append(declared, sovereign.Declaration{Prefix: p, Region: fra, Contract: "more"})
	}
	atlas, err := sovereign.NewAtlas(nil, declared)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: sovereign.Policy{Home: fra, Allow: []sovereign.Region{fra, zrh, iad}}, Atlas: atlas, Grants: grants,
		Parties: []sovereign.Party{
			{Name: "carrier", Kind: sovereign.KindTrunk, Region: fra},
			{Name: "fra", Kind: sovereign.KindGroup, Region: fra},
			{Name: "zrh", Kind: sovereign.KindGroup, Region: zrh},
			{Name: "iad", Kind: sovereign.KindGroup, Region: iad},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run builds a world inside a bubble, plays f and checks that everything that was opened was closed.
func run(t *testing.T, tune func(*Config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))) // a bubble begins in 2000, before most of the law
		w := newWorld(t, tune)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := w.edge.Run(ctx); err != nil {
				t.Error("edge:", err)
			}
		})
		wg.Go(func() { _ = w.relay.Run(ctx) })
		synctest.Wait()
		defer func() { // also after a Fatal: a bubble waits for its goroutines
			cancel()
			wg.Wait()
			_ = w.log.Close(context.Background())
			for _, p := range []*peer{w.carrier, w.fra, w.zrh} {
				_ = p.conn.Close()
			}
		}()
		f(w)
		cancel()
		wg.Wait()
		if n := w.relay.Sessions(); n != 0 {
			t.Errorf("%d media sessions are left", n)
		}
		if open := w.intents.Open(); len(open) != 0 && !t.Failed() {
			t.Errorf("intents are left: %v", open)
		}
	})
}

func newWorld(t *testing.T, tune func(*Config)) *world {
	t.Helper()
	w := &world{t: t, net: vnet.New(1), hosts: map[netip.Addr]*vnet.Host{}}
	w.net.Tap(func(p vnet.Packet) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.packets = append(w.packets, p)
	})
	w.host = w.net.Host(edgeAddr.Addr())
	w.fence = sovereign.NewFence(testSnapshot(t), nil)
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	var err error
	if w.log, err = audit.Memory(audit.Config{Signer: key, Origin: "test/edge", Node: "edge-1"}); err != nil {
		t.Fatal(err)
	}
	w.intents = audit.MemoryIntents()
	if w.relay, err = media.New(media.Config{
		Listen: w.host.ListenUDP, Fence: w.fence, Bind: edgeAddr.Addr(),
		Moved: func(id string, m media.Move) { w.edge.MediaMoved(id, m) }, Heard: func(id string, m media.Liveness) { w.edge.MediaHeard(id, m) },
		Unkeyed: func(id string, u media.Unkeyed) { w.edge.MediaUnkeyed(id, u) },
		Played: func(id string, p media.Played) {
			if !w.unplayed {
				w.edge.MediaPlayed(id, p)
			}
		},
		Pressed: func(id string, d media.Digit) { w.edge.MediaPressed(id, d) },
	}); err != nil {
		t.Fatal(err)
	}
	udp, err := w.host.ListenUDP(edgeAddr)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := w.host.ListenTCP(edgeAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close(); _ = tcp.Close() })
	w.hops = []routing.Hop{w.hop("fra", fraAddr), w.hop("zrh", zrhAddr)}
	plain := media.Leg{Security: media.Plain}
	c := Config{
		Product: "", Fence: w.fence, Relay: w.relay, Log: w.log, Intents: w.intents,
		Names: audit.MemoryPseudonyms(func(b []byte) []byte { return b }), Loops: 2,
		Listeners: []transport.Listener{
			{Proto: transport.UDP, UDP: w.fence.UDP(udp)}, {Proto: transport.TCP, Stream: tcp},
		},
		Dial:    transport.Config{Dial: w.host.DialTCP},
		Planner: planFunc(func(r routing.Request) routing.Plan { return w.plan(r) }),
		Outcome: func(o healthcheck.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.outcomes = append(w.outcomes, o)
		},
		Spend: func(g string) bool { w.spent = append(w.spent, g); return g == "live" },
		Parties: []Party{
			{Name: "carrier", Kind: sovereign.KindTrunk, Sources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Leg: plain, Domain: "carrier.example"},
			{Name: "fra", Kind: sovereign.KindGroup, Sources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, Leg: plain},
			{Name: "zrh", Kind: sovereign.KindGroup, Sources: []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16")}, Leg: plain},
			{Name: "iad", Kind: sovereign.KindGroup, Sources: []netip.Prefix{netip.MustParsePrefix("10.66.0.0/16")}, Leg: plain},
		},
		Endpoint: func(l media.Leg, tone media.Tone) (*media.Endpoint, error) {
			return media.NewEndpoint(media.Config{Listen: w.host.ListenUDP, Fence: w.fence, Bind: edgeAddr.Addr()}, l, tone)
		},
	}
	w.plan = func(r routing.Request) routing.Plan {
		return routing.Plan{Route: "r", Direction: routing.Inbound, Trunk: "carrier", Hops: w.hops, Purpose: r.Purpose, Digest: "d", Generation: 1}
	}
	if tune != nil {
		tune(&c)
	}
	if w.edge, err = New(c); err != nil {
		t.Fatal(err)
	}
	w.carrier, w.fra, w.zrh = w.peer("carrier", carrierAddr), w.peer("fra", fraAddr), w.peer("zrh", zrhAddr)
	return w
}

func (w *world) hop(party string, a netip.AddrPort) routing.Hop {
	r := w.fence.Snapshot().Judge(sovereign.Ask{Party: party, Plane: sovereign.Signalling, Addr: a})
	return routing.Hop{
		Party: party, Reason: routing.ReasonPrimary, Ruling: r,
		Target: healthcheck.Target{Party: party, Member: "m1", Name: party + ".example", Transport: "udp", Addr: a, Ruling: r},
	}
}

// entries decodes the log's bodies of one kind.
func entries[T any](w *world, kind audit.Kind) []T {
	w.t.Helper()
	all, err := w.log.Entries(w.t.Context(), 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []T
	for _, e := range all {
		if e.Kind == kind {
			var v T
			if err := json.Unmarshal(e.Body, &v); err != nil {
				w.t.Fatal(err)
			}
			out = append(out, v)
		}
	}
	return out
}

// receipt waits for the call's records and gives the only receipt.
func (w *world) receipt() audit.Receipt {
	w.t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	rs := entries[audit.Receipt](w, audit.KindReceipt)
	if len(rs) != 1 {
		w.t.Fatalf("%d receipts, want 1", len(rs))
	}
	return rs[0]
}

// peer is a scripted user agent on one UDP socket. The test's own goroutine reads it.
type peer struct {
	w    *world
	name string
	at   netip.AddrPort
	conn sovereign.UDPConn
	sdp  string
	tag  string
	last []byte // raw form of what was received last
}

// granted opens iad for an hour by a grant, and plans calls to a peer there under it.
func (w *world) granted() *peer {
	w.t.Helper()
	w.fence.Swap(testSnapshot(w.t, sovereign.Grant{
		ID: "live", Trunks: []string{"carrier"}, Groups: []string{"iad"}, Regions: []sovereign.Region{region(w.t, "aws:us-east-1")},
		NotBefore: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Hour),
	}))
	h := w.hop("iad", iadAddr)
	h.Grant = "live"
	w.hops = []routing.Hop{h}
	return w.peer("iad", iadAddr)
}

func (w *world) peer(name string, at netip.AddrPort) *peer {
	w.t.Helper()
	host := w.net.Host(at.Addr())
	w.hosts[at.Addr()] = host
	c, err := host.ListenUDP(at)
	if err != nil {
		w.t.Fatal(err)
	}
	return &peer{w: w, name: name, at: at, conn: c, tag: name + "tag", sdp: testSDP(at.Addr().String(), 30000)}
}

func testSDP(ip string, port int) string {
	return fmt.Sprintf("v=0\r\no=secretuser 42 1 IN IP4 %s\r\ns=private\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n", ip, ip, port)
}

func (p *peer) write(raw string) {
	p.w.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort([]byte(raw), edgeAddr); err != nil {
		p.w.t.Fatal(err)
	}
}

// read gives the next message, nil after d.
func (p *peer) read(d time.Duration) msg.Message {
	p.w.t.Helper()
	buf := make([]byte, 65536)
	_ = p.conn.SetReadDeadline(time.Now().Add(d))
	n, _, err := p.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil
	}
	p.last = bytes.Clone(buf[:n])
	// The peers' parser takes no comma inside a quoted parameter.
	m, err := msg.ParseMessage(bytes.ReplaceAll(p.last, []byte(`;oc-algo="loss,rate"`), nil))
	if err != nil {
		p.w.t.Fatalf("%s got a broken message: %v\n%s", p.name, err, p.last)
	}
	return m
}

// request waits for a request of that method; anything else fails.
func (p *peer) request(method msg.RequestMethod) *msg.Request {
	p.w.t.Helper()
	m := p.read(130 * time.Second)
	for {
		if res, is := m.(*msg.Response); !is || res.StatusCode != 100 {
			break
		}
		m = p.read(130 * time.Second)
	}
	r, ok := m.(*msg.Request)
	if !ok || r.Method != method {
		p.w.t.Fatalf("%s: want %s, got:\n%s", p.name, method, text(m))
	}
	return r
}

// status waits for a response; 100 is passed over unless asked for.
func (p *peer) status(code int) *msg.Response {
	p.w.t.Helper()
	for {
		m := p.read(70 * time.Second)
		r, ok := m.(*msg.Response)
		if ok && r.StatusCode == 100 && code != 100 {
			continue
		}
		if !ok || r.StatusCode != code {
			p.w.t.Fatalf("%s: want %d, got:\n%s", p.name, code, text(m))
		}
		return r
	}
}

func (p *peer) silent(d time.Duration) {
	p.w.t.Helper()
	if m := p.read(d); m != nil {
		p.w.t.Fatalf("%s: want nothing, got:\n%s", p.name, text(m))
	}
}

func text(m msg.Message) string {
	if m == nil {
		return "nothing"
	}
	return m.String()
}

// invite sends a new INVITE; more are further header lines.
func (p *peer) invite(callID, body string, more ...string) string {
	p.w.t.Helper()
	raw := p.compose("INVITE", "sip:+4930123@edge.example", callID, 1, "", body, more...)
	p.write(raw)
	return raw
}

func (p *peer) compose(method, uri, callID string, seq int, toTag, body string, more ...string) string {
	to := "<sip:+4930123@edge.example>"
	if toTag != "" {
		to += ";tag=" + toTag
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s%s%d;rport\r\nMax-Forwards: 70\r\nFrom: \"Secret\" <sip:+4917012@%s>;tag=%s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n",
		method, uri, p.at, callID, method, seq, p.at.Addr(), p.tag, to, callID, seq, method)
	if method == "INVITE" || method == "UPDATE" {
		fmt.Fprintf(b, "Contact: <sip:%s@%s>\r\n", p.name, p.at)
	}
	for _, h := range more {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

// reply answers a request that this peer got.
func (p *peer) reply(req *msg.Request, status int, body string, more ...string) {
	p.w.t.Helper()
	p.replyAs(req, status, p.tag, body, more...)
}

func (p *peer) replyAs(req *msg.Request, status int, tag, body string, more ...string) {
	p.w.t.Helper()
	b := &strings.Builder{}
	fmt.Fprintf(b, "SIP/2.0 %d %s\r\n", status, transaction.Reason(status))
	for _, h := range req.Headers() {
		switch h.(type) {
		case *msg.ViaHeader, *msg.FromHeader, *msg.CallIDHeader, *msg.CSeqHeader:
			b.WriteString(h.String() + "\r\n")
		case *msg.ToHeader:
			v := h.String()
			if !strings.Contains(v, "tag=") && status > 100 {
				v += ";tag=" + tag
			}
			b.WriteString(v + "\r\n")
		}
	}
	if status > 100 && status < 300 {
		fmt.Fprintf(b, "Contact: <sip:%s@%s>\r\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\r\n", p.name, p.at)
	}
	for _, h := range more {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	p.write(b.String())
}

// within sends a request inside the dialog that a response to this peer's INVITE opened.
func (p *peer) within(res *msg.Response, method string, seq int, body string, more ...string) {
	p.w.t.Helper()
	uri := res.Contact().Address
	p.write(p.compose(method, uri.String(), res.CallID().Value(), seq, res.To().Params.GetOr("tag", ""), body, more...))
}

// inside sends a request inside the dialog that an INVITE to this peer opened.
func (p *peer) inside(req *msg.Request, method string, seq int, body string, more ...string) (raw string) {
	p.w.t.Helper()
	b := &strings.Builder{}
	uri := req.Contact().Address
	fmt.Fprintf(b, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKin%s%d;rport\r\nMax-Forwards: 70\r\nFrom: <%s>;tag=%s\r\nTo: <%s>;tag=%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n",
		method, uri.String(), p.at, method, seq, req.To().Address.String(), p.tag, req.From().Address.String(), req.From().Params.GetOr("tag", ""), req.CallID().Value(), seq, method)
	if method == "INVITE" || method == "UPDATE" {
		fmt.Fprintf(b, "Contact: <sip:%s@%s>\r\n", p.name, p.at)
	}
	for _, h := range more {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	p.write(b.String())
	return b.String()
}

// up establishes one call from the carrier to fra and gives the two ends' views of it.
func (w *world) up(callID string, more ...string) (*msg.Response, *msg.Request) {
	w.t.Helper()
	w.carrier.invite(callID, w.carrier.sdp, more...)
	in := w.fra.request(msg.INVITE)
	w.fra.reply(in, 180, "")
	w.carrier.status(180)
	w.fra.reply(in, 200, w.fra.sdp)
	w.fra.request(msg.ACK)
	ok := w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	synctest.Wait()
	return ok, in
}

func linkOf(d time.Duration) vnet.Quality { return vnet.Quality{Delay: d} }

// recorder keeps what would be sent.
type recorder struct {
	sovereign.UDPConn
	last string
}

func (r *recorder) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	r.last = string(b)
	return len(b), nil
}
