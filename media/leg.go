package media

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// leg is the media of one side in one attempt: its sockets, keys and far end. A new attempt is a new leg. Its packets are carried by the plane.
type leg struct {
	s    *Session
	cfg  *Leg // not changed once it is here
	pair *pair
	host netip.Addr     // written into SDP
	bind netip.AddrPort // of the RTP socket
	ref  plane.Ref

	end    atomic.Pointer[plane.Counters] // what was counted, when it is closed
	spoken atomic.Pointer[spoken]
	far    atomic.Pointer[far]
	usual  struct { // the memory of the first ones, which most legs keep
		spoken spoken
		far    far
		taken  [2]bool // that of spoken, and that of far; the latter is changed only while the leg is told of a move
	}
	pulse pulse
	assoc atomic.Pointer[association] // nil where nothing was agreed beyond descriptions

	// negotiation, guarded by s.mu
	id       uint64
	version  uint64
	sum      uint64   // of what was sent last, without its version; 0: not known
	draft    uint64   // that of what Told gave, where it is something else; 0: nothing
	keys     []crypto // ours, one per suite
	tags     int
	proto    string // as agreed; "" before
	remote   *remote
	layout   []line           // m-lines of the last description that was sent
	told     [usualLines]line // the first ones
	formats  []string
	numbers  timings // what payload types meant to the far end, before what it said and was told last
	dialling dialling
	voice    *remote     // what was agreed of the audio before the fax that has its place; nil else
	renames  bool        // what comes leaves under other numbers
	stale    bool        // the last answer took formats away that it was told of before
	side     Side        // not changed once it is here
	hears    atomic.Bool // not negotiation's alone: its far end wants to be sent to
	fax      atomic.Bool // likewise: it carries a fax
	impaired atomic.Bool // likewise: a drill takes packets away
}

// spoken is what was agreed on last, for who reads reports.
type spoken struct {
	codec string // of the audio: within a fax, of that before it
	suite Suite
}

// far is where the packets of a leg go to and come from, as the plane told last.
type far struct {
	addr   netip.AddrPort
	pass   *sovereign.Pass
	ruling *sovereign.Ruling // that it was latched under: packets went under it, whatever the law says later
}

// errWait says that what was asked for cannot be done without waiting.
var errWait = errors.New("media: sockets must be opened")

// newLeg makes a leg. Without wait it takes sockets that are open, or gives errWait.
func newLeg(s *Session, side Side, cfg *Leg, wait bool) (*leg, error) {
	bind, host := s.r.address(cfg)
	at := home{bind, s.worker}
	pr, err := (*pair)(nil), errWait
	if wait {
		pr, err = s.r.ports.get(at, cfg.Purpose == sovereign.EmergencyCall)
	} else if pr = s.r.ports.draw(at, leastChoice); pr != nil {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	l := s.slab.leg(side)
	l.s, l.side, l.cfg, l.pair, l.host, l.bind = s, side, cfg, pr, host, netip.AddrPortFrom(bind, pr.port)
	l.id = rand.Uint64() >> 2 // an id that fits every parser's signed 64 bits
	l.ref = s.r.seats.take(l, s.worker)
	s.r.plane.Open(plane.Open{
		Ref: l.ref, Pair: pr.id, Session: s.id, Side: uint8(side), Party: cfg.Party, Purpose: cfg.Purpose, Prefixes: cfg.Prefixes, Shown: l.shown(), Sink: s.sink,
	})
	l.begins()
	return l, nil
}

// close ends the leg and gives its sockets back. What it counted stays readable.
func (l *leg) close() {
	r := l.s.r
	if a := l.assoc.Load(); a != nil {
		r.part(a.hands.Swap(nil))
	}
	r.plane.Close(l.ref)
	end := r.spare.counters()
	*end, _ = r.plane.Read(l.ref)
	l.end.Store(end)
	r.seats.leave(l.ref)
	r.ports.free(l.pair)
}

// counters are what was counted so far.
func (l *leg) counters() plane.Counters {
	if c := l.end.Load(); c != nil {
		return *c
	}
	c, _ := l.s.r.plane.Read(l.ref)
	return c
}

// moved hears from the plane where packets go to now.
func (l *leg) moved(m plane.Move) {
	if m.Allowed {
		l.reached(m.To)
	}
	if !m.RTCP && m.Allowed && m.Cause != "law" {
		f := &l.usual.far
		if l.usual.taken[1] {
			f = &far{}
		}
		l.usual.taken[1] = true
		*f = far{addr: m.To, pass: m.Pass, ruling: m.Ruling}
		if f.pass == nil {
			f.pass, _ = l.judge(m.To)
		}
		l.far.Store(f)
		if m.Cause == "nominate" {
			l.nominated(m.To)
		}
	}
	l.s.moved(Move{Side: l.side, At: m.At, From: m.From, To: m.To, RTCP: m.RTCP, Cause: m.Cause, Allowed: m.Allowed, Ruling: m.Ruling})
}

// reached tells of where packets go.
func (l *leg) reached(to netip.AddrPort) {
	if f := l.s.r.cfg.Reached; f != nil && to.IsValid() {
		f(l.cfg.Party, to.Addr(), true)
	}
}

// judge asks the fence for an address to which the plane lets packets go, for a session that began when it did: the plane has judged what is new.
func (l *leg) judge(to netip.AddrPort) (*sovereign.Pass, sovereign.Ruling) {
	return l.s.r.cfg.Fence.Pass(sovereign.Ask{Party: l.cfg.Party, Plane: sovereign.Media, Purpose: l.cfg.Purpose, Addr: to, Began: l.s.opened.UnixNano()})
}

// silence stops a leg whose stream was refused or taken away.
func (l *leg) silence(rem *remote) {
	l.s.r.plane.Silence(l.ref)
	l.spoken.Store(nil)
	l.far.Store(nil)
	l.hears.Store(false)
	l.fax.Store(false)
	l.dialling.opens.Store(false)
	l.remote = rem
}

// commit puts rem in force. Keys that stay keep their rollover counter, and a new key starts at 0 (RFC 3711 section 3.3.1): that is the plane's.
func (l *leg) commit(rem *remote, clocks timings, codec, cause string) error {
	l.remember()
	return l.put(rem, clocks, codec, cause)
}

// put is commit; without a cause packets go on to where they go.
func (l *leg) put(rem *remote, clocks timings, codec, cause string) error {
	room := l.s.r.paces.get()
	defer l.s.r.paces.put(room)
	next := plane.Set{
		Ref: l.ref, Mux: rem.line.mux, Wants: rem.wants(), Clocks: clocks.paces(room[:0]),
		RTP: plane.Aim{Stay: true}, RTCP: plane.Aim{Stay: true}, Reports: l.reports(&rem.line),
	}
	l.dialled(&next)
	l.renames = clocks.differ()
	said := &l.usual.spoken
	if l.usual.taken[0] {
		said = &spoken{}
	}
	l.usual.taken[0] = true
	*said = spoken{codec: codec}
	if rem.key != nil {
		ours, err := l.ours(rem.key)
		if err != nil {
			return err
		}
		next.In, next.Out = rem.key.forPlane(), ours.forPlane()
		said.suite = rem.key.suite
	}
	if !rem.line.hold && cause != "" {
		next.RTP = plane.Aim{To: rem.line.addr, Pass: rem.pass, Cause: cause}
		next.RTCP = plane.Aim{Cause: cause}
		if !rem.line.mux {
			next.RTCP.To, next.RTCP.Pass = rem.line.rtcp, rem.rtcp
		}
	}
	if rem.iced || rem.line.tls() {
		if err := l.associate(rem, &next); err != nil {
			return err
		}
		if rem.line.tls() {
			said.suite = suiteOf(next.Out.Suite)
		}
	}
	l.spoken.Store(said)
	l.s.r.plane.Set(next)
	l.hears.Store(next.Wants)
	l.remote, l.proto, l.voice = rem, rem.line.proto, nil
	l.fax.Store(false)
	if rem.line.tls() {
		return l.shake(rem)
	}
	return nil
}

// reports are those that are made to a far end that said so. One that said to be nowhere gets none, RFC 3264 section 8.4, nor one that allows none, RFC 3556.
func (l *leg) reports(said *line) plane.Reports {
	if said.hold || said.control == noControl {
		return plane.Reports{}
	}
	return plane.Reports{After: l.s.r.cfg.Reports, Octets: said.control}
}

// renumber puts other numbers in force under which what comes leaves, because the other far end has new ones. other is what it said.
func (l *leg) renumber(other *line) error {
	if l.remote == nil || l.remote.off || l.remote.line.fax() || l.remote.audio >= len(l.layout) {
		return nil
	}
	var room [usualTimings]timing
	clocks := across(room[:0], &l.layout[l.remote.audio], &l.remote.line, other)
	said := l.spoken.Load()
	if said == nil || !l.renames && !clocks.differ() && !l.redials() {
		return nil
	}
	return l.put(l.remote, clocks, said.codec, "")
}

// ours is our key for a far end that chose that one: one per suite, for as long as the leg lives.
func (l *leg) ours(theirs *crypto) (crypto, error) {
	c, ok := l.key(theirs.suite)
	if !ok {
		c = newCrypto(theirs.tag, theirs.suite)
		l.keep(c)
	}
	if n, salt := c.suite.lengths(); n == 0 || len(c.key) != n+salt {
		return crypto{}, errors.New("media: no key for the suite " + string(c.suite))
	}
	return c, nil
}

// key is our key for a suite, if there is one.
func (l *leg) key(s Suite) (c crypto, ok bool) {
	for _, k := range l.keys {
		if k.suite == s {
			return k, true
		}
	}
	return crypto{}, false
}

// keep remembers a key of ours.
func (l *leg) keep(c crypto) {
	for i := range l.keys {
		if l.keys[i].suite == c.suite {
			l.keys[i] = c
			return
		}
	}
	l.keys = append(l.keys, c)
}

// forPlane is the key as the plane has it.
func (c *crypto) forPlane() plane.Key {
	k := plane.Key{Master: c.key, MKI: c.mki}
	switch c.suite {
	case AEAD_AES_256_GCM:
		k.Suite = srtp.AES256GCM
	case AEAD_AES_128_GCM:
		k.Suite = srtp.AES128GCM
	case AES_256_CM_SHA1_80:
		k.Suite = srtp.AES256CM80
	case AES_CM_128_HMAC_SHA1_80:
		k.Suite = srtp.AES128CM80
	case AES_CM_128_HMAC_SHA1_32:
		k.Suite = srtp.AES128CM32
	}
	return k
}

func (l *leg) report() SideReport {
	c := l.counters()
	r := SideReport{
		Party: l.cfg.Party, Local: netip.AddrPortFrom(l.host, l.pair.port), RxPackets: c.Packets, RxBytes: c.Bytes, TxPackets: c.Sent, Lost: c.Lost, Jitter: c.Jitter, RTT: c.RTT,
		TxLost: c.LostThere, Refused: c.Refused, DigitsIn: uint64(c.DialledIn), DigitsOut: uint64(c.DialledOut), Ignored: uint64(c.Ignored), FirstRx: moment(c.First), LastRx: moment(c.Last), PerCountry: perCountry(&c),
		Fax: Fax{RxPackets: c.Crossed.Packets, RxBytes: c.Crossed.Bytes, TxPackets: c.Crossed.Sent},
	}
	if c.Peer.IsValid() {
		r.Remote, r.Ruling = c.Peer, l.ruling(c.Peer)
	}
	if said := l.spoken.Load(); said != nil {
		r.Codec, r.Suite = said.codec, said.suite
		if l.fax.Load() {
			r.Codec = codecT38
		}
	}
	r.Quality, r.MOS = l.quality(time.Now(), l.counted(&c))
	return r
}

// ruling is the one in force for the far end, or the one that packets went under before the law changed: a move of cause "law" tells when it ended.
func (l *leg) ruling(peer netip.AddrPort) *sovereign.Ruling {
	f := l.far.Load()
	if f == nil || f.addr != peer { // the plane's word of it is still on its way
		pass, r := l.judge(peer)
		f = &far{addr: peer, pass: pass, ruling: &r}
	}
	if f.pass.Live(time.Now()) {
		return f.pass.Ruled()
	}
	return f.ruling
}

// perCountry is what was counted, by place; nil when nothing came.
func perCountry(c *plane.Counters) map[sovereign.Country]uint64 {
	var out map[sovereign.Country]uint64
	for _, p := range c.Places {
		if p.Packets > 0 {
			if out == nil {
				out = map[sovereign.Country]uint64{}
			}
			out[p.Country] += p.Packets
		}
	}
	return out
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// wants says that a far end wants to be sent to.
func (r *remote) wants() bool { return !r.line.hold && r.line.dir.receives() }
