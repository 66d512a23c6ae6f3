//go:build linux

package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// The role of a process that this test starts again of itself.
const roleVar = "CORDON_LINK_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "media":
		os.Exit(mediaMain(os.Args[1:]))
	case "control":
		os.Exit(controlMain())
	}
	os.Exit(m.Run())
}

// mediaMain is what `cordon media` does.
func mediaMain(args []string) int {
	Prepare()
	fs := flag.NewFlagSet("media", flag.ContinueOnError)
	socket, ready, alone := fs.String("socket", "", ""), fs.Int("ready", 0, ""), fs.Duration("alone", time.Hour, "")
	if fs.Parse(args) != nil {
		return 2
	}
	s, err := NewServer(ServerConfig{
		Socket: *socket, Alone: *alone, Ready: os.NewFile(uintptr(*ready), "ready"), Build: os.Getenv("CORDON_LINK_BUILD"),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err == nil {
		if n, _ := strconv.Atoi(os.Getenv("CORDON_LINK_LAYOUT")); n > 0 {
			s.layout = uint32(n)
		}
		err = s.Run(context.Background())
	}
	if err != nil {
		return 1
	}
	return 0
}

func region(s string) sovereign.Region {
	r, err := sovereign.ParseRegion(s)
	if err != nil {
		panic(err)
	}
	return r
}

// snapshot permits the regions of the relay and of side A, and those that are named.
func snapshot(generation uint64, allow ...string) *sovereign.Snapshot {
	atlas, err := sovereign.NewAtlas(sovereign.ShippedRegions(), []sovereign.Declaration{
		{Prefix: "127.0.1.0/24", Region: region("aws:eu-central-1"), Contract: "test 1"},
		{Prefix: "127.0.2.0/24", Region: region("aws:eu-central-2"), Contract: "test 2"},
		{Prefix: "127.0.66.0/24", Region: region("aws:us-east-1"), Contract: "test 3"},
	})
	if err != nil {
		panic(err)
	}
	p := sovereign.Policy{Home: region("aws:eu-central-1"), Allow: []sovereign.Region{region("aws:eu-central-1")}}
	for _, a := range allow {
		p.Allow = append(p.Allow, region(a))
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: p, Atlas: atlas, Generation: generation,
		Parties: []sovereign.Party{{Name: "carrier", Kind: sovereign.KindTrunk}, {Name: "fra", Kind: sovereign.KindGroup}},
	})
	if err != nil {
		panic(err)
	}
	return s
}

func europe() *sovereign.Snapshot { return snapshot(1, "aws:eu-central-2") }

// events collects what was heard.
type events struct {
	mu     sync.Mutex
	moves  []plane.Move
	passed int
	shown  []byte
	asides []said
	played []plane.Played
	digits []plane.Digit
}

func (e *events) Played(p plane.Played) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.played = append(e.played, p)
}

// ended says whether it was told that a leg played so much, and why no more.
func (e *events) ended(p plane.Played) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.played, p)
}

func (e *events) Moved(m plane.Move) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moves = append(e.moves, m)
}

func (e *events) Passed(_ plane.Ref, _ bool, _ time.Time, _ netip.AddrPort, header []byte, _ int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.passed++
	e.shown = bytes.Clone(header)
}

func (e *events) Aside(_ plane.Ref, from netip.AddrPort, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asides = append(e.asides, said{at: from, bytes: bytes.Clone(b)})
}

func (e *events) Pressed(d plane.Digit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.digits = append(e.digits, d)
}

func (e *events) dialled() []plane.Digit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.digits)
}

func (e *events) seen() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.passed
}

// moved says whether a move was told of.
func (e *events) moved(leg plane.Ref, to netip.AddrPort, allowed bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.moves {
		if m.Leg == leg && m.To == to && m.Allowed == allowed && m.Ruling != nil && m.Ruling.Why != "" {
			return true
		}
	}
	return false
}

// rig is one way to have a plane.
type rig struct {
	plane.Commands
	fence  *sovereign.Fence
	events *events
	client *Client // nil in one process
}

// folder is short: a path of a socket has 107 bytes at most.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "link")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// runs runs f beside the test and ends it with it.
func runs(t testing.TB, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func quiet(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return slog.New(slog.DiscardHandler)
}

func inProcess(t testing.TB) *rig {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	p, err := plane.New(plane.Config{Fence: r.fence, Events: r.events, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	r.Commands = p
	runs(t, p.Run)
	return r
}

// environ is that of a media process of some build, and of some layout unless it is 0.
func environ(build string, layout int) []string {
	return append(os.Environ(), roleVar+"=media", "CORDON_LINK_BUILD="+build, "CORDON_LINK_LAYOUT="+strconv.Itoa(layout))
}

// config of a client whose media processes are this test again.
func config(t testing.TB, r *rig) Config {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Socket: filepath.Join(folder(t), "media.sock"), Command: []string{exe}, Env: environ("test", 0), Build: "test", Fence: r.fence, Legs: 1000,
		Events: r.events, Logger: quiet(t),
	}
}

func joined(t testing.TB, r *rig, c Config) *rig {
	t.Helper()
	client, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Commands, r.client = client, client
	runs(t, client.Run)
	return r
}

func served(t testing.TB) *rig {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	c := config(t, r)
	ready, signal := io.Pipe()
	s, err := NewServer(ServerConfig{Socket: c.Socket, Ready: signal, Logger: quiet(t), Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	runs(t, s.Run)
	if _, err := io.ReadAll(ready); err != nil {
		t.Fatal(err)
	}
	return joined(t, r, c)
}

func child(t testing.TB) *rig {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	return joined(t, r, config(t, r))
}

// eventually waits until something is so: commands are not answered.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("in 10 s not so: %s", what)
		}
	}
}

// phone is a far end. The keys are those of what it sends and of what it gets; zero for plain RTP.
type phone struct {
	c         *net.UDPConn
	at        netip.AddrPort
	out, in   plane.Key
	seal, get *srtp.Context
	ssrc      uint32
	seq       uint16
	win       srtp.Window
}

func newPhone(t testing.TB, host string, ssrc uint32, secure bool) *phone {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &phone{c: c, at: c.LocalAddr().(*net.UDPAddr).AddrPort(), ssrc: ssrc, seq: 65530} // the numbers roll over early
	if secure {
		p.key(t, byte(ssrc))
	}
	return p
}

func (p *phone) key(t testing.TB, seed byte) {
	t.Helper()
	p.out, p.in = testKey(seed), testKey(seed+100)
	var err error
	if p.seal, err = srtp.New(p.out.Suite, p.out.Master[:16], p.out.Master[16:]); err != nil {
		t.Fatal(err)
	}
	if p.get, err = srtp.New(p.in.Suite, p.in.Master[:16], p.in.Master[16:]); err != nil {
		t.Fatal(err)
	}
}

func testKey(seed byte) plane.Key {
	return plane.Key{Suite: srtp.AES128CM80, Master: bytes.Repeat([]byte{seed}, 30)}
}

// packet is the next one, of G.711 in length.
func (p *phone) packet(index uint64) []byte {
	b := make([]byte, 12, 12+160+srtp.Overhead)
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], uint16(index))
	binary.BigEndian.PutUint32(b[4:], uint32(index)*160)
	binary.BigEndian.PutUint32(b[8:], p.ssrc)
	b = binary.BigEndian.AppendUint64(b, index)
	b = append(b, make([]byte, 152)...)
	if p.seal != nil {
		b = p.seal.SealRTP(b[:0], b, 12, index)
	}
	return b
}

func (p *phone) send(t testing.TB, index uint64, to netip.AddrPort) {
	t.Helper()
	if _, err := p.c.WriteToUDPAddrPort(p.packet(index), to); err != nil {
		t.Fatal(err)
	}
}

// hear reads the next packet; false when none comes within d, or one that does not open.
func (p *phone) hear(d time.Duration) (index uint64, ok bool) {
	b := make([]byte, 2048)
	p.c.SetReadDeadline(time.Now().Add(d))
	n, _, err := p.c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, false
	}
	b = b[:n]
	if p.get != nil {
		indices, n := p.win.Candidates(binary.BigEndian.Uint16(b[2:]))
		for i, idx := range indices[:n] {
			if out, ok := p.get.OpenRTP(make([]byte, 0, len(b)), b, 12, idx); ok {
				p.win.Take(idx)
				b = out
				break
			} else if i == n-1 {
				return 0, false
			}
		}
	}
	return binary.BigEndian.Uint64(b[12:]), len(b) == 172
}

// call is two phones and what a plane has for them.
type call struct {
	n        uint32
	a, b     *phone
	la, lb   plane.Ref
	at       [2]netip.AddrPort // our sockets
	sequence uint64            // of the next packet
}

const firstIndex = 65530

func pairOf(t testing.TB, id uint32) (plane.Pair, netip.AddrPort) {
	t.Helper()
	var s [2]*osnet.Socket
	for i := range s {
		var err error
		if s[i], err = (osnet.Net{}).Socket(netip.MustParseAddrPort("127.0.1.1:0"), osnet.SocketOptions{DSCP: -1}); err != nil {
			t.Fatal(err)
		}
	}
	return plane.Pair{ID: id, RTP: s[0], RTCP: s[1]}, s[0].Bound()
}

func newCall(t testing.TB, n uint32, secure bool) *call {
	return &call{
		n: n, a: newPhone(t, "127.0.1.10", 2*n, secure), b: newPhone(t, "127.0.2.10", 2*n+1, secure),
		la: plane.Ref{Slot: 2*n + 1, Serial: 7}, lb: plane.Ref{Slot: 2*n + 2, Serial: 9}, sequence: firstIndex,
	}
}

func (c *call) session() string { return "call-" + strconv.Itoa(int(c.n)) }

// up has the call carried.
func (c *call) up(t testing.TB, p plane.Commands) {
	t.Helper()
	for i := range 2 {
		pair, at := pairOf(t, 2*c.n+uint32(i)+1)
		c.at[i] = at
		p.Give(pair)
		p.Open(plane.Open{
			Ref: []plane.Ref{c.la, c.lb}[i], Pair: pair.ID, Session: c.session(), Side: uint8(i), Party: []string{"carrier", "fra"}[i], Shown: at,
		})
	}
	p.Join(c.la, c.lb)
	for i, far := range []*phone{c.a, c.b} { // behind the Join: who sees where B is sees a call that is whole
		p.Set(c.negotiated(i, far))
	}
}

func (c *call) negotiated(side int, far *phone) plane.Set {
	return plane.Set{
		Ref: []plane.Ref{c.la, c.lb}[side], In: far.out, Out: far.in, Wants: true, Clocks: []plane.Clock{{PT: 0, Rate: 8000}},
		RTP: plane.Aim{To: far.at, Cause: []string{"offer", "answer"}[side]},
	}
}

// talk has both say n packets and hear them.
func (c *call) talk(t testing.TB, n int) {
	t.Helper()
	for range n {
		c.a.send(t, c.sequence, c.at[0])
		if got, ok := c.b.hear(3 * time.Second); !ok || got != c.sequence {
			t.Fatalf("%s: B heard %d %v, want %d", c.session(), got, ok, c.sequence)
		}
		c.b.send(t, c.sequence, c.at[1])
		if got, ok := c.a.hear(3 * time.Second); !ok || got != c.sequence {
			t.Fatalf("%s: A heard %d %v, want %d", c.session(), got, ok, c.sequence)
		}
		c.sequence++
	}
}

// ready waits until the plane has the call.
func (c *call) ready(t testing.TB, p plane.Commands) {
	t.Helper()
	eventually(t, "the legs are there", func() bool {
		a, okA := p.Read(c.la)
		b, okB := p.Read(c.lb)
		return okA && okB && a.Peer.IsValid() && b.Peer.IsValid()
	})
}
