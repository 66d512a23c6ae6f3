//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pion/srtp/v2"
	"golang.org/x/sys/unix"
)

// G.711 with 20 ms in a packet.
const (
	packetTime  = 20 * time.Millisecond
	perSecond   = int(time.Second / packetTime)
	headerSize  = 12
	payloadSize = 160
	plainSize   = headerSize + payloadSize
	payloadType = 8
	samples     = 160 // of the timestamp
)

// tagSize is what a suite adds to a packet.
func tagSize(suite string) int {
	switch suite {
	case tag80:
		return 10
	case tag32:
		return 4
	default:
		return 0
	}
}

// stream is one direction of one call, from a far end to the other through the relay.
type stream struct {
	from  side
	to    unix.RawSockaddrInet4 // the relay's port for the side that sends
	ssrc  uint32
	seq   uint16 // of the next packet
	stamp uint32
	suite [2]string     // as sent, as it must come
	seal  *srtp.Context // nil for plain RTP
	open  *srtp.Context
}

func keyed(suite string, key master) (*srtp.Context, error) {
	profile := srtp.ProtectionProfileAes128CmHmacSha1_80
	switch suite {
	case "":
		return nil, nil
	case tag32:
		profile = srtp.ProtectionProfileAes128CmHmacSha1_32
	}
	return srtp.CreateContext(key[:16], key[16:], profile)
}

// write makes the packet in buf, which has room for it and its tag, and moves the stream on.
func (s *stream) write(buf []byte) ([]byte, error) {
	plain := fill(buf[:plainSize], s.ssrc, s.seq, s.stamp)
	s.seq, s.stamp = s.seq+1, s.stamp+samples
	if s.seal == nil {
		return plain, nil
	}
	var copied [plainSize]byte
	return s.seal.EncryptRTP(buf[:0], append(copied[:0], plain...), nil)
}

// fill writes a packet whose payload says which it is.
func fill(b []byte, ssrc uint32, seq uint16, stamp uint32) []byte {
	b[0], b[1] = 0x80, payloadType
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], stamp)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	x := uint64(ssrc)<<16 | uint64(seq)
	for i := headerSize; i < plainSize; i += 8 {
		x = x*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	return b[:plainSize]
}

var errPacket = errors.New("a packet that came through")

// verify checks a packet that came wholly: authentication, header and each byte of the payload.
func (s *stream) verify(got []byte) error {
	if s.open != nil {
		var err error
		if got, err = s.open.DecryptRTP(nil, got, nil); err != nil {
			return fmt.Errorf("%w: %w", errPacket, err)
		}
	}
	var want [plainSize]byte
	if len(got) != plainSize {
		return fmt.Errorf("%w: %d bytes", errPacket, len(got))
	}
	// The timestamp follows from the sequence number.
	seq := binary.BigEndian.Uint16(got[2:])
	stamp := s.stamp - samples*uint32(s.seq-seq)
	if fill(want[:], s.ssrc, seq, stamp); [plainSize]byte(got) != want {
		return fmt.Errorf("%w: not what was sent", errPacket)
	}
	return nil
}

// load is what is sent in one window: so many packets of each stream, all made beforehand.
type load struct {
	base    uint32 // SSRC of the first stream; the others follow
	streams []*stream
	order   []int32 // of the streams within the 20 ms
	packets int     // of each stream
	first   []uint16
	slab    []byte // one packet in each stride, all first packets first: in the order in which they are sent, but for the one within the 20 ms
	stride  int
}

// shuffled is an order of n streams in which neighbours are not of one call. It is the same in every run.
func shuffled(n int) []int32 {
	order := make([]int32, n)
	for i, v := range rand.New(rand.NewPCG(20, 8)).Perm(n) {
		order[i] = int32(v)
	}
	return order
}

// prepare makes the packets. slab is used again when it is large enough.
func prepare(streams []*stream, base uint32, packets int, slab []byte) (*load, error) {
	l := &load{base: base, streams: streams, order: shuffled(len(streams)), packets: packets, first: make([]uint16, len(streams)), stride: plainSize + 12, slab: slab}
	if need := len(streams) * packets * l.stride; cap(slab) < need {
		l.slab = make([]byte, need)
	}
	for i, s := range streams {
		l.first[i] = s.seq
	}
	for p := range packets {
		for i, s := range streams {
			at := l.index(i, p) * l.stride
			b, err := s.write(l.slab[at : at+l.stride : at+l.stride])
			if err != nil {
				return nil, err
			}
			if len(b) != plainSize+tagSize(s.suite[0]) {
				return nil, fmt.Errorf("a packet of %d bytes", len(b))
			}
		}
	}
	return l, nil
}

// index is where the p-th packet of a stream stands in what is kept of all.
func (l *load) index(stream, p int) int { return p*len(l.streams) + stream }

// packet is the p-th of a stream.
func (l *load) packet(stream, p int) []byte {
	at := l.index(stream, p) * l.stride
	return l.slab[at : at+plainSize+tagSize(l.streams[stream].suite[0])]
}
