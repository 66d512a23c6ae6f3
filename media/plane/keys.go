package plane

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cordonsip/cordon/media/srtp"
)

const (
	maxStreams = 264     // SSRCs under one key, either way: what is known of each is what keeps its old packets from being played again
	maxSending = 8       // streams under one key that go out side by side
	maxKeys    = 4       // keys of one far end that are remembered: forks and re-keying come back to an earlier one
	sendWindow = 128     // packets that may come out of order
	maxAhead   = 1 << 14 // packets that one stream may skip: with half the numbers skipped nobody could tell the rollover counter
	rtcpLeap   = 1 << 16 // of the index of our SRTCP when another plane takes over: nothing is sent twice under one index
)

// inbound opens what a far end protected under one key. The streams in use are those of the slot.
type inbound struct {
	key       Key
	ctx       *srtp.Context
	rtp, rtcp []stream
}

// outbound protects what goes to a far end under our key for it. names are the newest first.
type outbound struct {
	key   Key
	ctx   *srtp.Context
	sends []sending // but for the one in use, which is that of the slot
	names []alias
	lost  bool   // names are not complete: another plane made streams under the key
	rtcp  uint32 // the next index, while the key is not the one in use
	turn  uint64
}

// alias says under which SSRC a stream leaves. It is its own, unless that was used up under this key: the same SSRC and index twice
// would be a two-time pad (RFC 3711 section 9.1). That happens when a new attempt or a looping player starts again.
type alias struct{ in, out uint32 }

// sending is a stream that goes out.
type sending struct {
	alias
	on      bool
	first   uint32
	highest uint32
	seen    [sendWindow / 64]uint64
	used    uint64
}

// own copies a key: its giver may overwrite it.
func (k Key) own() Key {
	return Key{k.Suite, slices.Clone(k.Master), slices.Clone(k.MKI)}
}

// mark tells keys apart in a slot, and tells nothing of them.
func (k Key) mark() uint64 {
	h := sha256.New()
	h.Write([]byte{byte(k.Suite), byte(len(k.Master))})
	h.Write(k.Master)
	h.Write(k.MKI)
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// forget overwrites it.
func (k Key) forget() { clear(k.Master) }

func newContext(k Key) (*srtp.Context, error) {
	n, _ := k.Suite.Lengths()
	if n == 0 || len(k.Master) <= n {
		return nil, errors.New("plane: a key without its salt")
	}
	ctx, err := srtp.New(k.Suite, k.Master[:n], k.Master[n:])
	if err != nil {
		return nil, err
	}
	if len(k.MKI) > 0 {
		ctx.Expect(k.MKI)
	}
	return ctx, nil
}

// choose puts the stream of ssrc in use, if it is known. What was in use goes to the others, and leaves its mark.
func (s *stream) choose(others *[]stream, ssrc uint32, left *marks, rtcp bool) bool {
	if s.on && s.ssrc == ssrc {
		return true
	}
	for i, o := range *others {
		if o.ssrc != ssrc {
			continue
		}
		left.put(s, rtcp)
		if s.on {
			(*others)[i] = *s
		} else {
			*others = append((*others)[:i], (*others)[i+1:]...)
		}
		*s = o
		return true
	}
	return false
}

// replace puts a new stream in use.
func (s *stream) replace(others *[]stream, by stream, left *marks, rtcp bool) bool {
	left.put(s, rtcp)
	if s.on {
		if len(*others) >= maxStreams-1 {
			return false
		}
		*others = append(*others, *s)
	}
	*s = by
	s.on = true
	return true
}

// open authenticates and decrypts b in place. spare has room for as much as b.
func (in *inbound) open(s *slot, b []byte, h Header, spare []byte) ([]byte, bool) {
	if s.in.choose(&in.rtp, h.SSRC, &s.left, false) {
		index := s.in.win.Guess(h.Seq)
		if !s.in.win.Fresh(index) {
			return nil, false
		}
		out, ok := in.ctx.OpenRTP(b[:0], b, h.Full, index)
		if ok {
			s.in.win.Take(index)
		}
		return out, ok
	}
	// The first packet of a stream. Near the end of the numbers nobody knows whether they began before the rollover: authentication tells.
	next := s.left.begins(h.SSRC, false)
	indices, n := next.win.Candidates(h.Seq)
	for _, index := range indices[:n] {
		if !next.win.Fresh(index) {
			continue
		}
		out, ok := in.ctx.OpenRTP(spare[:0], b, h.Full, index)
		if !ok {
			continue
		}
		next.win.Take(index)
		if !s.in.replace(&in.rtp, next, &s.left, false) {
			return nil, false
		}
		return append(b[:0], out...), true
	}
	return nil, false
}

// openRTCP does the same for RTCP.
func (in *inbound) openRTCP(s *slot, b []byte, spare []byte) ([]byte, bool) {
	out, index, ok := in.ctx.OpenRTCP(spare[:0], b)
	if !ok || len(out) < 8 {
		return nil, false
	}
	ssrc := binary.BigEndian.Uint32(out[4:])
	if !s.inRTCP.choose(&in.rtcp, ssrc, &s.left, true) {
		next := s.left.begins(ssrc, true)
		if !next.win.Fresh(uint64(index)) {
			return nil, false
		}
		next.win.Take(uint64(index))
		return out, s.inRTCP.replace(&in.rtcp, next, &s.left, true)
	}
	if !s.inRTCP.win.Fresh(uint64(index)) {
		return nil, false
	}
	s.inRTCP.win.Take(uint64(index))
	return out, true
}

// seal protects b, whose header it may change, in place. fresh says that the source of b started anew, ext is its extended sequence number. A packet whose
// index was already used is refused. A stream that comes back after a long hold, in which its packets were not passed on, goes on under another SSRC, as one
// that started anew does. Sequence numbers are not rewritten.
func (o *outbound) seal(s *slot, b []byte, header int, ssrc, ext uint32, fresh bool) ([]byte, bool) {
	c := &s.out
	switch {
	case c.on && c.in == ssrc && !fresh && int32(ext-c.highest) < maxAhead:
		if !c.take(ext) {
			return nil, false
		}
	case !fresh && o.resume(c, ssrc, ext):
		if !c.take(ext) {
			return nil, false
		}
	case !o.begin(c, ssrc, ext):
		return nil, false
	}
	binary.BigEndian.PutUint32(b[8:], c.out)
	// The far end counts rollovers from the first packet that it gets under the key, RFC 3711 section 3.3.1.
	out := o.ctx.SealRTP(b[:0], b, header, uint64(ext-c.first&^0xffff))
	return out, out != nil
}

// resume puts another stream that goes out already in use.
func (o *outbound) resume(c *sending, ssrc, ext uint32) bool {
	for i := range o.sends {
		if n := &o.sends[i]; n.in == ssrc && int32(ext-n.highest) < maxAhead {
			o.turn++
			c.used = o.turn
			if c.on {
				*n, *c = *c, *n
				return true
			}
			*c = *n
			o.sends = append(o.sends[:i], o.sends[i+1:]...)
			return true
		}
	}
	return false
}

// begin starts a stream and puts it in use. The SSRCs that were ever used under this key are remembered in names.
func (o *outbound) begin(c *sending, ssrc, ext uint32) bool {
	if len(o.names) == maxStreams {
		return false
	}
	out := ssrc
	for o.lost && out == ssrc || o.taken(out) {
		out = random32()
	}
	for i := range o.sends {
		if o.sends[i].in == ssrc {
			o.sends = append(o.sends[:i], o.sends[i+1:]...)
			break
		}
	}
	if c.on && c.in != ssrc {
		o.rest(*c)
	}
	*c = sending{alias: alias{ssrc, out}, on: true, first: ext, highest: ext}
	c.seen[0] = 1
	o.names = append(o.names, alias{})
	copy(o.names[1:], o.names)
	o.names[0] = c.alias
	return true
}

// rest keeps a stream beside the one in use; the one that was used longest ago makes room.
func (o *outbound) rest(c sending) {
	o.turn++
	c.used = o.turn
	if len(o.sends) < maxSending-1 {
		o.sends = append(o.sends, c)
		return
	}
	old := 0
	for i := range o.sends {
		if o.sends[i].used < o.sends[old].used {
			old = i
		}
	}
	o.sends[old] = c
}

func (o *outbound) taken(out uint32) bool {
	for _, a := range o.names {
		if a.out == out {
			return true
		}
	}
	return false
}

// take marks ext as used; false when it was, or is too old to tell. What lies before the first packet is refused too: it would belong to the
// rollover before the first.
func (s *sending) take(ext uint32) bool {
	if int32(ext-s.first) < 0 {
		return false
	}
	if ahead := int32(ext - s.highest); ahead > 0 {
		switch {
		case ahead >= sendWindow:
			s.seen = [2]uint64{}
		case ahead >= 64:
			s.seen[1], s.seen[0] = s.seen[0]<<(ahead-64), 0
		default:
			s.seen[1] = s.seen[1]<<ahead | s.seen[0]>>(64-ahead)
			s.seen[0] <<= ahead
		}
		s.highest = ext
		s.seen[0] |= 1
		return true
	}
	back := s.highest - ext
	if back >= sendWindow || s.seen[back/64]>>(back%64)&1 == 1 {
		return false
	}
	s.seen[back/64] |= 1 << (back % 64)
	return true
}

// sealRTCP protects a compound packet.
func (o *outbound) sealRTCP(s *slot, dst, b []byte) []byte {
	index := s.outRTCP
	s.outRTCP = (index + 1) & (1<<31 - 1)
	return o.ctx.SealRTCP(dst[:0], b, index)
}

// outgoing is the SSRC under which a stream leaves; nil leaves it as it is.
func (o *outbound) outgoing(ssrc uint32) uint32 {
	if o == nil {
		return ssrc
	}
	for _, a := range o.names {
		if a.in == ssrc {
			return a.out
		}
	}
	return ssrc
}

// incoming is the reverse of outgoing.
func (o *outbound) incoming(ssrc uint32) uint32 {
	if o == nil {
		return ssrc
	}
	for _, a := range o.names {
		if a.out == ssrc {
			return a.in
		}
	}
	return ssrc
}

func random32() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails, by its contract
	return binary.BigEndian.Uint32(b[:])
}
