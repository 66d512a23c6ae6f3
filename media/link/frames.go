package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// Bounds of what a frame may list.
const (
	maxPrefixes = 1024
	maxClocks   = 128 // payload types
	maxMKI      = 128 // RFC 4568 section 6.1
	maxHeader   = 256 // of a packet that a watched leg took or sent
	maxRuling   = 60 << 10
)

// one appends a frame that has no fields but a leg.
func one(b []byte, k kind, r plane.Ref) []byte {
	at := len(b)
	b, _ = end(putRef(begin(b, k, 0), r), at) // never too long
	return b
}

func putRef(b []byte, r plane.Ref) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, r.Slot), r.Serial)
}

func (r *body) ref() plane.Ref { return plane.Ref{Slot: r.u32(), Serial: r.u32()} }

// putGive and putWithdraw name a pair; its descriptors go beside the frame.
func putGive(b []byte, pair uint32) []byte { return putPair(b, kindGive, 2, pair) }

func putWithdraw(b []byte, pair uint32) []byte { return putPair(b, kindWithdraw, 0, pair) }

func putPair(b []byte, k kind, files int, pair uint32) []byte {
	at := len(b)
	b, _ = end(binary.LittleEndian.AppendUint32(begin(b, k, files), pair), at)
	return b
}

// putOpen leaves the sink out: it stays in its process.
func putOpen(b []byte, o plane.Open) ([]byte, error) {
	if len(o.Session) > maxText || len(o.Party) > maxText || len(o.Prefixes) > maxPrefixes {
		return b, fmt.Errorf("link: a leg with names of %d and %d bytes and %d prefixes: %d, %d and %d are allowed",
			len(o.Session), len(o.Party), len(o.Prefixes), maxText, maxText, maxPrefixes)
	}
	at := len(b)
	b = putRef(begin(b, kindOpen, 0), o.Ref)
	b = binary.LittleEndian.AppendUint32(b, o.Pair)
	b = putText(b, o.Session)
	b = append(b, o.Side, byte(o.Purpose))
	b = putText(b, o.Party)
	b = putMarshalled(b, o.Shown)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(o.Prefixes)))
	for _, p := range o.Prefixes {
		b = putMarshalled(b, p)
	}
	return end(b, at)
}

func (r *body) open() (o plane.Open) {
	o.Ref, o.Pair, o.Session = r.ref(), r.u32(), r.text()
	o.Side, o.Purpose = r.u8(), sovereign.Purpose(r.u8())
	o.Party, o.Shown = r.text(), r.addrPort()
	n := int(r.u16())
	if n > maxPrefixes {
		r.bad = true
	}
	for i := 0; i < n && !r.bad; i++ {
		o.Prefixes = append(o.Prefixes, r.prefix())
	}
	return o
}

func putKey(b []byte, k plane.Key) []byte {
	return putBytes(putBytes(append(b, byte(k.Suite)), k.Master), k.MKI)
}

// key refuses one whose length is not that of its suite: who makes a context of it cuts it without looking.
func (r *body) key() plane.Key {
	k := plane.Key{Suite: srtp.Suite(r.u8()), Master: r.bytes(maxText), MKI: r.bytes(maxMKI)}
	key, salt := k.Suite.Lengths()
	if len(k.Master) != key+salt || key == 0 && (k.Suite != 0 || k.MKI != nil) {
		r.bad = true
	}
	return k
}

// putAim leaves the pass out: the other fence asks for itself.
func putAim(b []byte, a plane.Aim) []byte {
	return putText(putBool(putMarshalled(b, a.To), a.Stay), a.Cause)
}

func (r *body) aim() plane.Aim {
	return plane.Aim{To: r.addrPort(), Stay: r.bool(), Cause: r.text()}
}

func putSet(b []byte, s plane.Set) ([]byte, error) {
	if len(s.Clocks) > maxClocks || len(s.Tones) > maxTones || len(s.In.MKI) > maxMKI || len(s.Out.MKI) > maxMKI {
		return b, fmt.Errorf("link: a leg with %d clocks, %d tones and key identifiers of %d and %d bytes: %d, %d and %d are allowed",
			len(s.Clocks), len(s.Tones), len(s.In.MKI), len(s.Out.MKI), maxClocks, maxTones, maxMKI)
	}
	k, aside := kindSet, s.Aside || s.Wait || s.Checks != (plane.Checks{})
	if aside {
		k = kindSetAside
	}
	at := len(b)
	b = putRef(begin(b, k, 0), s.Ref)
	b = putKey(putKey(b, s.In), s.Out)
	b = putBool(putBool(b, s.Mux), s.Wants)
	b = append(b, byte(len(s.Clocks)))
	for _, c := range s.Clocks {
		b = binary.LittleEndian.AppendUint32(putBool(putBool(append(b, c.PT, c.To), c.Moves), c.Event), c.Rate)
	}
	b = putBool(putAim(putAim(b, s.RTP), s.RTCP), s.Opaque)
	b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, uint64(s.Reports.After)), s.Reports.Octets)
	if aside {
		b = putBool(putBool(b, s.Aside), s.Wait)
		b = putText(putText(putText(b, s.Checks.Own.Ufrag), s.Checks.Own.Pwd), s.Checks.Peer)
	}
	b = putTones(b, &s)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, uint64(began(s.RTP))), uint64(began(s.RTCP)))
	return end(b, at)
}

// began is since when packets go where a points: another fence asks for itself, and must not take a call that runs for a new one.
func began(a plane.Aim) int64 {
	if a.Pass != nil {
		return a.Pass.Ask().Began
	}
	return a.Began
}

// setting reads a Set of either kind.
func (r *body) setting(k kind) plane.Set {
	s := r.set()
	if k == kindSetAside {
		s.Aside, s.Wait = r.bool(), r.bool()
		s.Checks.Own.Ufrag, s.Checks.Own.Pwd, s.Checks.Peer = r.text(), r.text(), r.text()
	}
	if r.more() { // since version 1.5
		r.tones(&s)
	}
	if r.more() { // since version 1.6
		s.RTP.Began, s.RTCP.Began = int64(r.u64()), int64(r.u64())
	}
	return s
}

// setIn reads the Set in a frame.
func setIn(frame []byte) plane.Set {
	r := body{b: frame[headerSize:]}
	return r.setting(kind(frame[4]))
}

func (r *body) set() (s plane.Set) {
	s.Ref, s.In, s.Out = r.ref(), r.key(), r.key()
	s.Mux, s.Wants = r.bool(), r.bool()
	n := int(r.u8())
	if n > maxClocks {
		r.bad = true
	}
	for i := 0; i < n && !r.bad; i++ {
		s.Clocks = append(s.Clocks, plane.Clock{PT: r.u8(), To: r.u8(), Moves: r.bool(), Event: r.bool(), Rate: r.u32()})
	}
	s.RTP, s.RTCP = r.aim(), r.aim()
	if r.more() { // since version 1.1
		s.Opaque = r.bool()
	}
	if r.more() { // since version 1.2
		s.Reports = plane.Reports{After: time.Duration(r.u64()), Octets: r.u32()}
	}
	return s
}

// putState says what is known of a leg.
func putState(b []byte, p plane.Ref, record []byte) ([]byte, error) {
	at := len(b)
	return end(append(putRef(begin(b, kindState, 0), p), record...), at)
}

// state does not copy the record: it is valid as long as the frame is.
func (r *body) state() (p plane.Ref, record []byte) { return r.ref(), r.take(len(r.b)) }

func putJoin(b []byte, x, y plane.Ref) []byte {
	at := len(b)
	b, _ = end(putRef(putRef(begin(b, kindJoin, 0), x), y), at)
	return b
}

func putWatch(b []byte, r plane.Ref, on bool) []byte {
	at := len(b)
	b, _ = end(putBool(putRef(begin(b, kindWatch, 0), r), on), at)
	return b
}

// putMoved has the ruling in the form that sovereign gives it.
func putMoved(b []byte, m plane.Move) ([]byte, error) {
	at := len(b)
	b = putBool(putRef(begin(b, kindMoved, 0), m.Leg), m.RTCP)
	b = putMarshalled(putMarshalled(putTime(b, m.At), m.From), m.To)
	b = putBool(putText(b, m.Cause), m.Allowed)
	from := len(b)
	b, err := m.Ruling.AppendBinary(append(b, 0, 0))
	if n := len(b) - from - 2; err != nil || n > maxRuling {
		return b[:at], fmt.Errorf("link: a ruling of %d bytes: %w", n, err)
	}
	binary.LittleEndian.PutUint16(b[from:], uint16(len(b)-from-2))
	return end(b, at)
}

// moved shares a ruling with the moves before it. known may be nil.
func (r *body) moved(known *rulings) (m plane.Move) {
	m.Leg, m.RTCP, m.At = r.ref(), r.bool(), r.time()
	m.From, m.To, m.Cause, m.Allowed = r.addrPort(), r.addrPort(), r.text(), r.bool()
	ruling, err := known.decode(r.take(int(r.u16())))
	m.Ruling, r.bad = ruling, r.bad || err != nil
	return m
}

// passed is a packet of a watched leg.
type passed struct {
	leg    plane.Ref
	in     bool
	at     int64 // unix ns
	peer   netip.AddrPort
	size   int
	header []byte
}

func putPassed(b []byte, p passed) []byte {
	at := len(b)
	b = putBool(putRef(begin(b, kindPassed, 0), p.leg), p.in)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.at))
	b = binary.LittleEndian.AppendUint16(putMarshalled(b, p.peer), uint16(p.size))
	b, _ = end(putBytes(b, p.header[:min(len(p.header), maxHeader)]), at)
	return b
}

// passed does not copy the header: it is valid as long as the frame is.
func (r *body) passed() (p passed) {
	p.leg, p.in, p.at, p.peer, p.size = r.ref(), r.bool(), int64(r.u64()), r.addrPort(), int(r.u16())
	n := int(r.u16())
	if n > maxHeader {
		r.bad = true
		return p
	}
	p.header = r.take(n)
	return p
}

// said is a datagram that is no media, on its way out or on its way in.
type said struct {
	leg   plane.Ref
	at    netip.AddrPort // where it goes, or came from
	bytes []byte
}

const maxAside = 1500

func putSaid(b []byte, k kind, s said) ([]byte, error) {
	if len(s.bytes) > maxAside {
		return b, fmt.Errorf("link: a datagram of %d bytes: %d are allowed", len(s.bytes), maxAside)
	}
	at := len(b)
	return end(putBytes(putMarshalled(putRef(begin(b, k, 0), s.leg), s.at), s.bytes), at)
}

// said does not copy the datagram: it is valid as long as the frame is.
func (r *body) said() (s said) {
	s.leg, s.at = r.ref(), r.addrPort()
	n := int(r.u16())
	if n > maxAside {
		r.bad = true
		return s
	}
	s.bytes = r.take(n)
	return s
}

// policyPart is a part of a snapshot. Its push counts the snapshots of one control process.
type policyPart struct {
	push         uint64
	total, begin uint32
	bytes        []byte
}

const (
	maxPolicy = sovereign.MaxSnapshot
	partSize  = 32 << 10
)

// putPolicy cuts a snapshot into frames.
func putPolicy(b []byte, push uint64, snapshot []byte) []byte {
	from := uint32(0)
	for part := range slices.Chunk(snapshot, partSize) {
		at := len(b)
		b = binary.LittleEndian.AppendUint64(begin(b, kindSnapshot, 0), push)
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, uint32(len(snapshot))), from)
		b, _ = end(putBytes(b, part), at)
		from += uint32(len(part))
	}
	return b
}

func (r *body) policy() (p policyPart) {
	p.push, p.total, p.begin, p.bytes = r.u64(), r.u32(), r.u32(), r.bytes(partSize)
	if p.total > maxPolicy || uint64(p.begin)+uint64(len(p.bytes)) > uint64(p.total) || len(p.bytes) == 0 {
		r.bad = true
	}
	return p
}

// gathered puts the parts of a snapshot together. They come in order, and a new one takes the place of one that is not whole.
type gathered struct {
	push  uint64
	total uint32
	bytes []byte
}

// add gives the whole when p was the last part.
func (g *gathered) add(p policyPart) (whole []byte, err error) {
	if p.begin == 0 {
		*g = gathered{push: p.push, total: p.total}
	}
	if p.push != g.push || p.total != g.total || int(p.begin) != len(g.bytes) {
		return nil, fmt.Errorf("%w: a part of a policy that does not fit the one before", errFrame)
	}
	if g.bytes = append(g.bytes, p.bytes...); len(g.bytes) < int(p.total) {
		return nil, nil
	}
	whole, g.bytes = g.bytes, nil
	return whole, nil
}

// putMemory says what the plane of a memory is like; its descriptor goes beside the frame.
func putMemory(b []byte, workers int, tick time.Duration) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint16(begin(b, kindMemory, 1), uint16(workers))
	b, _ = end(binary.LittleEndian.AppendUint64(b, uint64(tick)), at)
	return b
}

func (r *body) memory() (workers int, tick time.Duration) {
	return int(r.u16()), time.Duration(r.u64())
}

// pong is what a media process says of itself.
type pong struct {
	seq              uint64
	control, dropped uint64 // as the plane counts them
	unheard          uint64 // events that found no room
	impaired         uint64 // since version 1.7: as the plane counts them
}

func putPong(b []byte, p pong) []byte {
	at := len(b)
	b = begin(b, kindPong, 0)
	for _, n := range []uint64{p.seq, p.control, p.dropped, p.unheard, p.impaired} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b, _ = end(b, at)
	return b
}

func (r *body) pong() pong {
	p := pong{seq: r.u64(), control: r.u64(), dropped: r.u64(), unheard: r.u64()}
	if r.more() {
		p.impaired = r.u64()
	}
	return p
}

// putInForce says that the snapshot of a push is in force.
func putInForce(b []byte, push uint64) []byte {
	at := len(b)
	b, _ = end(binary.LittleEndian.AppendUint64(begin(b, kindInForce, 0), push), at)
	return b
}

// putPing asks for a pong, and says how many moves were heard over this connection.
func putPing(b []byte, seq, moves uint64) []byte {
	at := len(b)
	b, _ = end(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(begin(b, kindPing, 0), seq), moves), at)
	return b
}

// bare is a frame that says all by its kind.
func bare(b []byte, k kind) []byte {
	at := len(b)
	b, _ = end(begin(b, k, 0), at)
	return b
}
