package sip

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// ends are both far ends of every call as one socket: they answer from templates into buffers that are used again, so that next to nothing of what a benchmark
// counts is theirs. The caller sends ACK and, unless the calls are held, BYE at once.
type ends struct {
	in     chan []byte
	free   chan []byte
	from   map[*byte]netip.AddrPort // whose packet a buffer is; written and read by its holder alone
	mu     sync.Mutex
	n      uint64
	sdp    string // of both ends
	more   string // further lines of what they send
	hold   bool
	byes   [][]byte // of held calls, by number from firstHeld on
	up     atomic.Int64
	over   atomic.Int64
	edge   *Edge
	closed chan struct{}
}

func newEnds() *ends {
	e := &ends{in: make(chan []byte, 1<<14), free: make(chan []byte, 1<<14), from: map[*byte]netip.AddrPort{}, sdp: benchSDP, closed: make(chan struct{})}
	for range 256 {
		e.free <- make([]byte, 0, 2048)
	}
	return e
}

func (e *ends) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-e.in:
		n := copy(b, p)
		e.mu.Lock()
		from := e.from[&p[0]]
		e.mu.Unlock()
		e.giveBack(p)
		return n, from, nil
	case <-e.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// buffer is one that came back, or a new one: calls that are still up when the edge ends are ended while nobody reads any more.
func (e *ends) buffer() []byte {
	select {
	case b := <-e.free:
		return b
	default:
		return make([]byte, 0, 2048)
	}
}

func (e *ends) giveBack(b []byte) {
	select {
	case e.free <- b[:0]:
	default:
	}
}

func (e *ends) LocalAddr() net.Addr             { return net.UDPAddrFromAddrPort(edgeAddr) }
func (e *ends) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }
func (e *ends) Close() error                    { close(e.closed); return nil }

func (e *ends) send(from netip.AddrPort, b []byte) {
	e.mu.Lock()
	e.from[&b[0]] = from
	e.mu.Unlock()
	e.in <- b
}

// WriteToUDPAddrPort is a message of the edge, answered at once.
func (e *ends) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	switch {
	case to == carrierAddr && bytes.HasPrefix(b, []byte("SIP/2.0 200")):
		if bytes.Contains(b, []byte(" INVITE\r\n")) {
			e.answered(b)
		} else {
			e.over.Add(1)
		}
	case bytes.HasPrefix(b, []byte("INVITE")):
		e.reply(b, "SIP/2.0 180 Ringing\r\n", "")
		e.reply(b, "SIP/2.0 200 OK\r\n", e.sdp)
	case bytes.HasPrefix(b, []byte("BYE")):
		e.reply(b, "SIP/2.0 200 OK\r\n", "")
	}
	return len(b), nil
}

const benchSDP = "v=0\r\no=x 42 1 IN IP4 10.2.0.1\r\ns=-\r\nc=IN IP4 10.2.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"

// copied copies the lines of a message that begin like one of these.
func copied(to, m []byte, names ...string) []byte {
	for len(m) > 0 {
		end := bytes.IndexByte(m, '\n') + 1
		for _, n := range names {
			if bytes.HasPrefix(m[:end], []byte(n)) {
				to = append(to, m[:end]...)
			}
		}
		if end <= 2 {
			break
		}
		m = m[end:]
	}
	return to
}

func written(to []byte, sdp string) []byte {
	if sdp != "" {
		to = append(to, "Content-Type: application/sdp\r\n"...)
	}
	to = strconv.AppendInt(append(to, "Content-Length: "...), int64(len(sdp)), 10)
	return append(append(to, "\r\n\r\n"...), sdp...)
}

func (e *ends) reply(m []byte, status, sdp string) {
	b := append(e.buffer(), status...)
	b = copied(b, m, "Via:", "From:", "To:")
	if !bytes.Contains(b, []byte("\r\nTo: ")) || bytes.Count(b, []byte(";tag=")) < 2 {
		b = append(b[:len(b)-2], ";tag=group\r\n"...) // To is the last line that was copied
	}
	b = copied(b, m, "Call-ID:", "CSeq:")
	b = append(append(b, "Contact: <sip:fra@10.2.0.1:5060>\r\n"...), e.more...)
	e.send(fraAddr, written(b, sdp))
}

// within makes an in-dialog request of the caller from the 200 that it got.
func (e *ends) within(m []byte, method string, seq int64) []byte {
	b := append(e.buffer(), method...)
	b = append(b, " sip:10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bKw"...)
	e.mu.Lock()
	e.n++
	b = strconv.AppendUint(b, e.n, 10)
	e.mu.Unlock()
	b = append(b, "\r\nMax-Forwards: 70\r\n"...)
	b = copied(b, m, "From:", "To:", "Call-ID:")
	b = strconv.AppendInt(append(b, "CSeq: "...), seq, 10)
	b = append(append(append(b, ' '), method...), "\r\n"...)
	return written(b, "")
}

func (e *ends) answered(m []byte) {
	e.send(carrierAddr, e.within(m, "ACK", 1))
	bye := e.within(m, "BYE", 2)
	e.mu.Lock()
	held, again := e.hold, false
	if held {
		n := callNumber(m) - firstHeld
		if again = e.byes[n] != nil; !again {
			e.byes[n] = bye
		}
	}
	e.mu.Unlock()
	switch {
	case again: // on a busy machine the answer is sent once more before its ACK is read
		e.giveBack(bye)
		return
	case !held:
		e.send(carrierAddr, bye)
	}
	e.up.Add(1)
}

const callIDs = "bench-"

// callNumber is that of the call that a message belongs to.
func callNumber(m []byte) (n int) {
	for _, c := range m[bytes.Index(m, []byte(callIDs))+len(callIDs):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// call sends the n-th INVITE.
func (e *ends) call(n int) {
	b := append(e.buffer(), "INVITE sip:+4930123@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bKi"...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, "\r\nMax-Forwards: 70\r\nFrom: \"Bench\" <sip:+4969123@10.1.0.1>;tag=c\r\nTo: <sip:+4930123@10.0.0.1>\r\nCall-ID: "+callIDs...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, "\r\nCSeq: 1 INVITE\r\nContact: <sip:c@10.1.0.1:5060>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n"...)
	e.send(carrierAddr, written(append(b, e.more...), e.sdp))
}

// deaf is a media socket that nobody sends to.
type deaf struct {
	at   net.UDPAddr
	open sync.WaitGroup
}

func (d *deaf) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	d.open.Wait()
	return 0, netip.AddrPort{}, net.ErrClosed
}
func (d *deaf) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }
func (d *deaf) LocalAddr() net.Addr                                        { return &d.at }
func (d *deaf) SetReadDeadline(time.Time) error                            { return os.ErrNoDeadline }

func (d *deaf) Close() error { d.open.Done(); return nil }

// forgetful is a log that keeps nothing: what it would keep is not the edge's.
type forgetful struct{ audit.Log }

func (forgetful) Append(context.Context, audit.Event) (uint64, error) { return 0, nil }
func (forgetful) AppendAsync(_ audit.Event, done func(uint64, error)) { done(0, nil) }

func listenDeaf(at netip.AddrPort) (sovereign.UDPConn, error) {
	d := &deaf{at: *net.UDPAddrFromAddrPort(at)}
	d.open.Add(1)
	return d, nil
}

// benchRelay makes a relay on such sockets.
func benchRelay(b testing.TB, fence *sovereign.Fence, listen func(netip.AddrPort) (sovereign.UDPConn, error)) *media.Relay {
	b.Helper()
	relay, err := media.New(media.Config{Fence: fence, Bind: edgeAddr.Addr(), Ports: [2]uint16{10000, 65533}, Quarantine: time.Nanosecond, Listen: listen})
	if err != nil {
		b.Fatal(err)
	}
	return relay
}

// benchEdge runs an edge between ends. Its plan is given, its log and its disk are in memory; SIP, media and the fence are the real ones.
func benchEdge(b testing.TB, wrap func(audit.Log) audit.Log, tune ...func(*Config)) *ends {
	b.Helper()
	return benchEdgeOn(b, wrap, audit.MemoryPseudonyms(func(m []byte) []byte { return m }), listenDeaf, tune...)
}

func benchEdgeOn(b testing.TB, wrap func(audit.Log) audit.Log, names audit.Pseudonyms, listen func(netip.AddrPort) (sovereign.UDPConn, error), tune ...func(*Config)) *ends {
	b.Helper()
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	log, err := audit.Memory(audit.Config{Signer: key, Origin: "test/edge", Node: "edge-1"})
	if err != nil {
		b.Fatal(err)
	}
	fence := sovereign.NewFence(testSnapshot(b), nil)
	relay := benchRelay(b, fence, listen)
	e, r := newEnds(), fence.Snapshot().Judge(sovereign.Ask{Party: "fra", Plane: sovereign.Signalling, Addr: fraAddr})
	hop := routing.Hop{
		Party: "fra", Reason: routing.ReasonPrimary, Ruling: r,
		Target: healthcheck.Target{Party: "fra", Member: "m1", Name: "fra.example", Transport: "udp", Addr: fraAddr, Ruling: r},
	}
	party := func(name string, kind sovereign.PartyKind, prefix string) Party {
		return Party{Name: name, Kind: kind, Sources: []netip.Prefix{netip.MustParsePrefix(prefix)}, Leg: media.Leg{Security: media.Plain}}
	}
	conf := Config{
		Fence: fence, Relay: relay, Log: wrap(log), Intents: audit.MemoryIntents(), Names: names, Loops: 1,
		Listeners: []transport.Listener{{Proto: transport.UDP, UDP: fence.UDP(e)}}, RatePerSource: 1e9,
		Planner: planFunc(func(r routing.Request) routing.Plan {
			return routing.Plan{Route: "r", Direction: routing.Inbound, Trunk: "carrier", Hops: []routing.Hop{hop}, Purpose: r.Purpose, Digest: "d", Generation: 1}
		}),
		Parties: []Party{party("carrier", sovereign.KindTrunk, "10.1.0.0/16"), party("fra", sovereign.KindGroup, "10.2.0.0/16")},
	}
	for _, f := range tune {
		f(&conf)
	}
	edge, err := New(conf)
	if err != nil {
		b.Fatal(err)
	}
	e.edge = edge
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = edge.Run(ctx) })
	wg.Go(func() { _ = relay.Run(ctx) })
	b.Cleanup(func() { cancel(); _ = e.Close(); wg.Wait(); _ = log.Close(context.Background()) })
	return e
}

// reach waits until a count is there. It polls: what a benchmark measures goes on meanwhile.
func reach(b testing.TB, n *atomic.Int64, want int64) {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); n.Load() < want; {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d calls", n.Load(), want)
		}
		runtime.Gosched()
	}
}

// BenchmarkCall plays whole calls, INVITE to the end of the BYE, one after the other. mallocs/call is everything that the edge allocates for one: both
// transactions and dialogs, the rewritten descriptions, four media sockets (stand-ins that cost three allocations each), judgements, references, both records of the log.
func BenchmarkCall(b *testing.B) { benchCalls(b, drillable) }

// BenchmarkCallBare is BenchmarkCall on an edge that no drill could take anything from: what the question costs is the difference.
func BenchmarkCallBare(b *testing.B) { benchCalls(b) }

func benchCalls(b *testing.B, tune ...func(*Config)) {
	b.Helper()
	e := benchEdge(b, func(l audit.Log) audit.Log { return l }, tune...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := int64(0)
	for b.Loop() {
		n++
		e.call(int(n))
		reach(b, &e.over, n)
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "mallocs/call")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(n), "B/call")
}

// drillable gives an edge the board that it has in a node.
func drillable(c *Config) { c.Impaired = &board.Board{} }
