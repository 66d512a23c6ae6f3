package plane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/srtp/v2"

	ours "github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// Addresses of the tests: the relay and the two sides stand in permitted regions, one place is held.
var (
	relayAddr = netip.MustParseAddr("127.0.1.1")
	aliceAddr = netip.MustParseAddrPort("127.0.1.10:4000")
	bobAddr   = netip.MustParseAddrPort("127.0.2.10:5000")
	heldAddr  = netip.MustParseAddrPort("127.0.66.10:4000")
)

func snapshot(t testing.TB, allow ...string) *sovereign.Snapshot {
	t.Helper()
	region := func(s string) sovereign.Region {
		r, err := sovereign.ParseRegion(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	atlas, err := sovereign.NewAtlas(sovereign.ShippedRegions(), []sovereign.Declaration{
		{Prefix: "127.0.1.0/24", Region: region("aws:eu-central-1"), Contract: "test 1"},
		{Prefix: "127.0.2.0/24", Region: region("aws:eu-central-2"), Contract: "test 2"},
		{Prefix: "127.0.66.0/24", Region: region("aws:us-east-1"), Contract: "test 3"},
		{Prefix: "::1/128", Region: region("aws:eu-central-1"), Contract: "test 4"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := sovereign.Policy{Home: region("aws:eu-central-1")}
	for _, a := range allow {
		p.Allow = append(p.Allow, region(a))
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: p, Atlas: atlas, Parties: []sovereign.Party{{Name: "carrier", Kind: sovereign.KindTrunk}, {Name: "fra", Kind: sovereign.KindGroup}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func europe(t testing.TB) *sovereign.Snapshot {
	return snapshot(t, "aws:eu-central-1", "aws:eu-central-2")
}

// heard collects events.
type heard struct {
	mu     sync.Mutex
	moves  []Move
	passed map[Ref]int
	played []Played
	digits []Digit
	header []byte // the last one that was shown
	asides []said
}

// said is a datagram that was given aside.
type said struct {
	from netip.AddrPort
	b    []byte
}

func (e *heard) Aside(_ Ref, from netip.AddrPort, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asides = append(e.asides, said{from, bytes.Clone(b)})
}

func (e *heard) Moved(m Move) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moves = append(e.moves, m)
}

func (e *heard) Passed(leg Ref, _ bool, _ time.Time, _ netip.AddrPort, header []byte, _ int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.passed == nil {
		e.passed = map[Ref]int{}
	}
	e.passed[leg]++
	e.header = bytes.Clone(header)
}

func (e *heard) Played(p Played) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.played = append(e.played, p)
}

// ends gives the endings that were told since it was asked last.
func (e *heard) ends() []Played {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.played
	e.played = nil
	return out
}

func (e *heard) Pressed(d Digit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.digits = append(e.digits, d)
}

// dialled gives the digits that were told of since it was asked last.
func (e *heard) dialled() []Digit {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.digits
	e.digits = nil
	return out
}

// of gives what was told of a leg since it was asked last, with that cause.
func (e *heard) of(leg Ref, cause string) (out []Move) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var rest []Move
	for _, m := range e.moves {
		if m.Leg == leg && m.Cause == cause {
			out = append(out, m)
		} else {
			rest = append(rest, m)
		}
	}
	e.moves = rest
	return out
}

// wire is a socket that swallows what is sent, and hears what a test says.
type wire struct {
	at     netip.AddrPort
	take   func(b []byte, from netip.AddrPort)
	sent   int
	to     netip.AddrPort // of the last one
	last   []byte
	tape   func(b []byte) // what is sent; may be nil
	closed bool
}

func (s *wire) Receive(take func([]byte, netip.AddrPort)) { s.take = take }
func (*wire) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, net.ErrClosed
}

func (s *wire) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	s.sent++
	s.to, s.last = to, append(s.last[:0], b...)
	if s.tape != nil {
		s.tape(b)
	}
	return len(b), nil
}
func (s *wire) LocalAddr() net.Addr           { return net.UDPAddrFromAddrPort(s.at) }
func (*wire) SetReadDeadline(time.Time) error { return nil }

func (s *wire) Close() error {
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	return nil
}

// end is a leg with its sockets, and the far end behind it.
type end struct {
	Open
	rtp, rtcp *wire
	at        netip.AddrPort // where the far end stands; RTCP one port higher
	in, out   Key
	seal      *ours.Context // protects as the far end does; nil for plain
	ssrc      uint32
	ext       uint64 // of the next packet
}

// next is the far end's next packet, as it goes over the wire.
func (e *end) next() []byte {
	b := packet(e.ssrc, uint16(e.ext), uint32(e.ext)*160, make([]byte, 160, 160+ours.Overhead))
	if e.seal != nil {
		b = e.seal.SealRTP(b[:0], b, 12, e.ext)
	}
	e.ext++
	return b
}

// bed is a plane with sockets of its own making, which carry nothing away.
type bed struct {
	*Plane
	t      testing.TB
	fence  *sovereign.Fence
	events *heard
	log    *bytes.Buffer
}

func newBed(t testing.TB, c Config) *bed {
	t.Helper()
	b := &bed{t: t, events: &heard{}, log: &bytes.Buffer{}}
	if c.Fence == nil {
		c.Fence = sovereign.NewFence(europe(t), nil)
	}
	b.fence, c.Events, c.Logger = c.Fence, b.events, slog.New(slog.NewTextHandler(b.log, nil))
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Plane = p
	return b
}

// pair gives the plane two sockets under a number.
func (b *bed) pair(id uint32) (rtp, rtcp *wire) {
	rtp = &wire{at: netip.AddrPortFrom(relayAddr, uint16(10000+2*id))}
	rtcp = &wire{at: netip.AddrPortFrom(relayAddr, uint16(10001+2*id))}
	b.Give(Pair{ID: id, RTP: rtp, RTCP: rtcp})
	return rtp, rtcp
}

// leg opens a leg on a pair of its own, and sets it; zero keys are plain RTP.
func (b *bed) leg(r Ref, at netip.AddrPort, suite ours.Suite) *end {
	b.t.Helper()
	e := &end{Open: Open{Ref: r, Pair: r.Slot, Session: "call", Party: "carrier"}, at: at, ssrc: 0x5500 + r.Slot, ext: 1000}
	if suite != 0 {
		e.in, e.out = newKey(suite), newKey(suite)
		e.seal = sealer(b.t, e.in)
	}
	e.rtp, e.rtcp = b.pair(e.Pair)
	b.Open(e.Open)
	b.Set(e.set())
	return e
}

// set is what was negotiated for the leg.
func (e *end) set() Set {
	return Set{
		Ref: e.Ref, In: e.in, Out: e.out, Wants: true, Clocks: []Clock{{PT: 8, To: 8, Rate: 8000}},
		RTP: Aim{To: e.at, Cause: "offer"}, RTCP: Aim{To: port(e.at, e.at.Port()+1), Cause: "offer"},
	}
}

// call opens two legs and joins them.
func (b *bed) call(a, z ours.Suite) (alice, bob *end) {
	b.t.Helper()
	alice, bob = b.leg(Ref{1, 7}, aliceAddr, a), b.leg(Ref{2, 8}, bobAddr, z)
	b.Join(alice.Ref, bob.Ref)
	return alice, bob
}

// crosses has one far end send n packets and says how many leave to the other.
func (e *end) crosses(to *end, n int) int {
	was := to.rtp.sent
	for range n {
		e.rtp.take(e.next(), e.at)
	}
	return to.rtp.sent - was
}

// read gives the counters of a leg that is there.
func (b *bed) read(r Ref) Counters {
	b.t.Helper()
	c, ok := b.Read(r)
	if !ok {
		b.t.Fatalf("no leg %v", r)
	}
	return c
}

func port(a netip.AddrPort, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), port) }

var suites = []ours.Suite{ours.AES128CM80, ours.AES128CM32, ours.AES256CM80, ours.AES256CM32, ours.AES128GCM, ours.AES256GCM}

func newKey(s ours.Suite) Key {
	n, m := s.Lengths()
	k := Key{Suite: s}
	for len(k.Master) < n+m {
		k.Master = binary.BigEndian.AppendUint32(k.Master, random32())
	}
	k.Master = k.Master[:n+m]
	return k
}

func sealer(t testing.TB, k Key) *ours.Context {
	t.Helper()
	k.MKI = nil
	c, err := newContext(k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pion is somebody else's SRTP, which the plane is held against.
func pion(t testing.TB, k Key) *srtp.Context {
	t.Helper()
	profile := map[ours.Suite]srtp.ProtectionProfile{
		ours.AES128CM80: srtp.ProtectionProfileAes128CmHmacSha1_80, ours.AES128CM32: srtp.ProtectionProfileAes128CmHmacSha1_32,
		ours.AES256CM80: srtp.ProtectionProfileAes256CmHmacSha1_80, ours.AES256CM32: srtp.ProtectionProfileAes256CmHmacSha1_32,
		ours.AES128GCM: srtp.ProtectionProfileAeadAes128Gcm, ours.AES256GCM: srtp.ProtectionProfileAeadAes256Gcm,
	}[k.Suite]
	n, _ := k.Suite.Lengths()
	c, err := srtp.CreateContext(k.Master[:n], k.Master[n:], profile, srtp.SRTPReplayProtection(128), srtp.SRTCPReplayProtection(128))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sealed protects one packet under k by the reference.
func sealed(t testing.TB, k Key, ssrc, ext uint32) []byte {
	t.Helper()
	ctx := pion(t, k)
	ctx.SetROC(ssrc, ext>>16)
	b, err := ctx.EncryptRTP(nil, packet(ssrc, uint16(ext), 0, []byte("speech")), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealedRTCP protects one compound packet under k by the reference.
func sealedRTCP(t testing.TB, k Key, b []byte, index uint32) []byte {
	t.Helper()
	ctx := pion(t, k)
	ctx.SetIndex(binary.BigEndian.Uint32(b[4:]), index-1) // of the one before
	out, err := ctx.EncryptRTCP(nil, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// packet makes an RTP packet of PCMA.
func packet(ssrc uint32, seq uint16, ts uint32, payload []byte) []byte {
	b := make([]byte, 12, 12+cap(payload)+ours.Overhead)
	b[0], b[1] = 0x80, 8
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return append(b, payload...)
}

// report makes an empty receiver report with n octets (a multiple of 4) of profile extension.
func report(ssrc uint32, n int) []byte {
	b := []byte{0x80, 201, byte((1 + n/4) >> 8), byte(1 + n/4)}
	return append(binary.BigEndian.AppendUint32(b, ssrc), make([]byte, n)...)
}

// opener is what a far end sent under one key, with the slot that holds the stream in use.
type opener struct {
	*inbound
	s     slot
	spare [maxPacket + slack]byte
}

func opening(t testing.TB, k Key) *opener {
	t.Helper()
	ctx, err := newContext(k)
	if err != nil {
		t.Fatal(err)
	}
	return &opener{inbound: &inbound{key: k, ctx: ctx}}
}

var errRefused = errors.New("refused")

func (o *opener) try(b []byte) error {
	h, ok := ParseHeader(b)
	if !ok {
		return errors.New("no RTP")
	}
	if _, ok := o.open(&o.s, bytes.Clone(b), h, o.spare[:]); !ok {
		return errRefused
	}
	return nil
}

func (o *opener) tryRTCP(b []byte) error {
	if _, ok := o.openRTCP(&o.s, bytes.Clone(b), o.spare[:]); !ok {
		return errRefused
	}
	return nil
}

// onHeap is what lives on it.
func onHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
