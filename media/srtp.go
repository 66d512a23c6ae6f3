package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pion/srtp/v2"
)

// Bounds of SRTP state. The engine keeps state for an SSRC before it has authenticated the first packet of it, so a context is made per
// SSRC here, kept only after authentication, and thrown away otherwise.
const (
	maxStreams   = 8       // SSRCs with a live context, per key
	maxRetired   = 256     // SSRCs that had one: 16 bytes each, so that their old packets stay replays
	replayWindow = 128     // packets, RFC 3711 section 3.3.2 wants at least 64
	maxAhead     = 1 << 14 // packets that one stream may skip: with half the numbers skipped nobody could tell the rollover counter
	tagRTCP      = 10      // HMAC-SHA1 tag of SRTCP, in the _32 suite too: RFC 4568 section 6.2.2
)

var (
	errAuth    = errors.New("media: packet failed authentication")
	errReplay  = errors.New("media: packet is a replay")
	errStreams = errors.New("media: too many SSRCs under one key")
)

func profile(s Suite) srtp.ProtectionProfile {
	switch s {
	case AEAD_AES_256_GCM:
		return srtp.ProtectionProfileAeadAes256Gcm
	case AEAD_AES_128_GCM:
		return srtp.ProtectionProfileAeadAes128Gcm
	case AES_256_CM_SHA1_80:
		return srtp.ProtectionProfileAes256CmHmacSha1_80
	case AES_CM_128_HMAC_SHA1_32:
		return srtp.ProtectionProfileAes128CmHmacSha1_32
	default:
		return srtp.ProtectionProfileAes128CmHmacSha1_80
	}
}

func newContext(c *crypto) (*srtp.Context, error) {
	n, _ := c.suite.lengths()
	opts := []srtp.ContextOption{srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow)}
	if len(c.mki) > 0 {
		opts = append(opts, srtp.MasterKeyIndicator(c.mki))
	}
	ctx, err := srtp.CreateContext(c.key[:n], c.key[n:], profile(c.suite), opts...)
	if err != nil {
		return nil, fmt.Errorf("media: context of %s: %w", c.suite, err)
	}
	return ctx, nil
}

// stream is the state of one SSRC under one key. highest is the largest index seen: 48 bits of RTP, or 31 of RTCP.
type stream struct {
	ssrc    uint32
	ctx     *srtp.Context
	highest uint64
	floor   uint64 // of a stream that was retired once: what lies below may be a replay
	used    uint64
}

// inbound opens what a peer protected under one key. Its RTP half belongs to the goroutine that reads the RTP socket, its RTCP half to
// whoever holds the session's control lock.
type inbound struct {
	key       crypto
	rtp, rtcp streams
}

type streams struct {
	live    []*stream
	retired []stream // without contexts
	turn    uint64
}

// openRTP authenticates and decrypts b into dst, which must have room.
func (in *inbound) openRTP(dst, b []byte, h header) ([]byte, error) {
	s, err := in.rtp.get(&in.key, h.ssrc, true)
	if err != nil {
		return nil, err
	}
	out, err := s.ctx.DecryptRTP(dst[:0], b, nil)
	if err != nil {
		return nil, errAuth
	}
	roc, _ := s.ctx.ROC(h.ssrc)
	index := s.index(h.seq, roc)
	if index < s.floor {
		return nil, errReplay
	}
	in.rtp.keep(s, index)
	return out, nil
}

// index of a packet that was authentic, when roc is the counter of the newest one by now.
func (s *stream) index(seq uint16, roc uint32) uint64 {
	newest := uint64(roc)<<16 | uint64(seq)
	if behind := uint64(uint16(s.highest) - seq); s.used > 0 && behind < 1<<15 && behind <= s.highest {
		return s.highest - behind // a late one may belong to the rollover before
	}
	return newest
}

// openRTCP does the same for RTCP.
func (in *inbound) openRTCP(dst, b []byte) ([]byte, error) {
	end := len(b) - len(in.key.mki)
	if in.key.suite != AEAD_AES_128_GCM && in.key.suite != AEAD_AES_256_GCM {
		end -= tagRTCP
	}
	if end < 12 {
		return nil, errAuth
	}
	word := binary.BigEndian.Uint32(b[end-4:])
	// Unencrypted SRTCP was not negotiated (RFC 4568 section 6.3.2), so a packet without the E bit is not our peer's.
	if word>>31 == 0 {
		return nil, errAuth
	}
	s, err := in.rtcp.get(&in.key, binary.BigEndian.Uint32(b[4:]), false)
	if err != nil {
		return nil, err
	}
	index := uint64(word &^ (1 << 31))
	if index < s.floor {
		return nil, errReplay
	}
	out, err := s.ctx.DecryptRTCP(append(dst[:0], b...), b, nil)
	if err != nil {
		return nil, errAuth
	}
	in.rtcp.keep(s, index)
	return out, nil
}

// get finds the stream of ssrc, or makes one that is not kept yet.
func (t *streams) get(key *crypto, ssrc uint32, rtp bool) (*stream, error) {
	for _, s := range t.live {
		if s.ssrc == ssrc {
			return s, nil
		}
	}
	ctx, err := newContext(key)
	if err != nil {
		return nil, err
	}
	s := &stream{ssrc: ssrc, ctx: ctx}
	for i := range t.retired {
		if t.retired[i].ssrc != ssrc {
			continue
		}
		s.highest, s.floor = t.retired[i].highest, t.retired[i].highest+1
		if rtp {
			ctx.SetROC(ssrc, uint32(s.highest>>16))
		}
		return s, nil
	}
	if len(t.live) == maxStreams && len(t.retired) == maxRetired {
		return nil, errStreams
	}
	return s, nil
}

// keep notes that a packet of s was authentic.
func (t *streams) keep(s *stream, index uint64) {
	t.turn++
	if s.used == 0 {
		t.admit(s)
	}
	s.used = t.turn
	s.highest = max(s.highest, index)
}

// admit gives s a place among the live streams; the one that was silent longest leaves its index behind.
func (t *streams) admit(s *stream) {
	for i := range t.retired {
		if t.retired[i].ssrc == s.ssrc {
			t.retired = append(t.retired[:i], t.retired[i+1:]...)
			break
		}
	}
	if len(t.live) < maxStreams {
		t.live = append(t.live, s)
		return
	}
	old := 0
	for i, l := range t.live {
		if l.used < t.live[old].used {
			old = i
		}
	}
	t.retired = append(t.retired, stream{ssrc: t.live[old].ssrc, highest: t.live[old].highest})
	t.live[old] = s
}

// outbound protects what goes to a peer under our key for it. The RTP half belongs to the goroutine that reads the other side's RTP
// socket, the RTCP half to whoever holds the session's control lock. names may be read by anyone.
type outbound struct {
	key   crypto
	rtcp  *srtp.Context // made for the first packet: short calls have none, and it is half of what setting up a key costs
	sends []*sending
	turn  uint64
	names atomic.Pointer[[]alias]
}

// alias says under which SSRC a stream leaves. It is its own, unless that was used up under this key: the same SSRC and index twice
// would be a two-time pad (RFC 3711 section 9.1). That happens when a new attempt or a looping player starts again.
type alias struct{ in, out uint32 }

type sending struct {
	alias
	ctx     *srtp.Context
	first   uint32
	highest uint32
	seen    [replayWindow / 64]uint64
	used    uint64
}

func newOutbound(key crypto) (*outbound, error) {
	if n, salt := key.suite.lengths(); n == 0 || len(key.key) != n+salt {
		return nil, fmt.Errorf("media: a key of %d bytes for the suite %q", len(key.key), key.suite)
	}
	o := &outbound{key: key}
	o.names.Store(&[]alias{})
	return o, nil
}

// sealRTP protects b, whose header it may change, into dst. fresh says that the source of b started anew, ext is its extended sequence
// number. A packet whose index was already used gives errReplay. A stream that comes back after a long hold, in which its packets were not
// passed on, goes on under another SSRC, as one that started anew does.
func (o *outbound) sealRTP(dst, b []byte, ssrc, ext uint32, fresh bool) ([]byte, error) {
	var s *sending
	if !fresh {
		for _, c := range o.sends {
			if c.in == ssrc && int32(ext-c.highest) < maxAhead {
				s = c
				break
			}
		}
	}
	if s == nil {
		var err error
		if s, err = o.begin(ssrc, ext); err != nil {
			return nil, err
		}
	} else if !s.take(ext) {
		return nil, errReplay
	}
	o.turn++
	s.used = o.turn
	binary.BigEndian.PutUint32(b[8:], s.out)
	return s.ctx.EncryptRTP(dst[:0], b, nil)
}

// begin starts a stream. The out SSRCs that were ever used under this key are remembered in names.
func (o *outbound) begin(ssrc, ext uint32) (*sending, error) {
	names := *o.names.Load()
	out := ssrc
	for taken(names, out) {
		out = random32()
	}
	if len(names) == maxStreams+maxRetired {
		return nil, errStreams
	}
	ctx, err := newContext(&o.key)
	if err != nil {
		return nil, err
	}
	s := &sending{alias: alias{ssrc, out}, ctx: ctx, first: ext, highest: ext}
	s.seen[0] = 1
	next := make([]alias, 0, len(names)+1)
	next = append(next, s.alias) // the newest first, so that RTCP finds it first
	next = append(next, names...)
	o.names.Store(&next)
	o.drop(ssrc)
	if len(o.sends) == maxStreams {
		old := 0
		for i, c := range o.sends {
			if c.used < o.sends[old].used {
				old = i
			}
		}
		o.sends[old] = s
		return s, nil
	}
	o.sends = append(o.sends, s)
	return s, nil
}

// drop forgets the context of an earlier stream of the same source.
func (o *outbound) drop(ssrc uint32) {
	for i, c := range o.sends {
		if c.in == ssrc {
			o.sends = append(o.sends[:i], o.sends[i+1:]...)
			return
		}
	}
}

func taken(names []alias, out uint32) bool {
	for _, a := range names {
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
		for range min(ahead, replayWindow) {
			s.seen[1] = s.seen[1]<<1 | s.seen[0]>>63
			s.seen[0] <<= 1
		}
		s.highest = ext
		s.seen[0] |= 1
		return true
	}
	back := s.highest - ext
	if back >= replayWindow || s.seen[back/64]>>(back%64)&1 == 1 {
		return false
	}
	s.seen[back/64] |= 1 << (back % 64)
	return true
}

// sealRTCP protects a compound packet.
func (o *outbound) sealRTCP(b []byte) ([]byte, error) {
	if o.rtcp == nil {
		ctx, err := newContext(&o.key)
		if err != nil {
			return nil, err
		}
		o.rtcp = ctx
	}
	return o.rtcp.EncryptRTCP(nil, b, nil)
}

// outgoing is the SSRC under which a stream leaves; nil leaves it as it is.
func (o *outbound) outgoing(ssrc uint32) uint32 {
	if o == nil {
		return ssrc
	}
	for _, a := range *o.names.Load() {
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
	for _, a := range *o.names.Load() {
		if a.out == ssrc {
			return a.in
		}
	}
	return ssrc
}
