package quality

import (
	"encoding/binary"
	"time"
)

// Packet types of RTCP that this package writes or reads, RFC 3550 section 12.1 and RFC 3611 section 6.1.
const (
	TypeSR   = 200
	TypeRR   = 201
	TypeSDES = 202
	TypeBYE  = 203
	TypeXR   = 207
)

// Block is a reception report block, RFC 3550 section 6.4.1.
type Block struct {
	SSRC    uint32
	Share   uint8 // lost since the report before, of 256
	Lost    int32 // cumulative, 24 bits with sign
	Highest uint32
	Jitter  uint32 // in time stamp units
	LSR     uint32 // middle 32 bits of the NTP time of the last sender report; 0 for none
	DLSR    uint32 // 1/65536 s since it came
}

// Sending is what a sender report says of what we send.
type Sending struct {
	SSRC    uint32
	RTPTime uint32 // time stamp that belongs to the moment of the report
	Packets uint32
	Octets  uint32 // of payload
}

// NTP is a moment of the Unix clock as NTP's seconds since 1900 and a binary fraction, RFC 3550 section 4.
func NTP(unix int64) uint64 {
	sec, ns := unix/int64(time.Second), unix%int64(time.Second)
	return uint64(sec+2208988800)<<32 | uint64(ns)<<32/uint64(time.Second)
}

// Middle is the middle 32 bits of an NTP time, which reports refer to.
func Middle(ntp uint64) uint32 { return uint32(ntp >> 16) }

// RoundTrip is what a report of ours that came back at the moment `arrival` took on the way: A - LSR - DLSR, RFC 3550 section 6.4.1, and the same of RFC 3611 section 4.5. All are
// the middle 32 bits of NTP times or units of them. 0 for none (lsr is 0) or a clock that does not add up.
func RoundTrip(arrival, lsr, dlsr uint32) time.Duration {
	d := int32(arrival - lsr - dlsr)
	if lsr == 0 || d <= 0 {
		return 0
	}
	return time.Duration(d) * time.Second / 65536
}

// AppendSR appends a sender report of at most 31 blocks, RFC 3550 section 6.4.1.
func AppendSR(b []byte, unix int64, s Sending, blocks ...Block) []byte {
	blocks = blocks[:min(len(blocks), 31)]
	b = appendHeader(b, len(blocks), TypeSR, 6+6*len(blocks))
	b = binary.BigEndian.AppendUint32(b, s.SSRC)
	b = binary.BigEndian.AppendUint64(b, NTP(unix))
	b = binary.BigEndian.AppendUint32(b, s.RTPTime)
	b = binary.BigEndian.AppendUint32(b, s.Packets)
	b = binary.BigEndian.AppendUint32(b, s.Octets)
	return appendBlocks(b, blocks)
}

// AppendRR appends a receiver report of at most 31 blocks, RFC 3550 section 6.4.2.
func AppendRR(b []byte, ssrc uint32, blocks ...Block) []byte {
	blocks = blocks[:min(len(blocks), 31)]
	b = appendHeader(b, len(blocks), TypeRR, 1+6*len(blocks))
	return appendBlocks(binary.BigEndian.AppendUint32(b, ssrc), blocks)
}

// AppendCNAME appends a source description with a canonical name and nothing else, RFC 3550 section 6.5.1. Every compound packet has one (section 6.1).
func AppendCNAME(b []byte, ssrc uint32, name []byte) []byte {
	name = name[:min(len(name), 255)]
	words := (2 + len(name) + 1 + 3) / 4 // the item, and at least one zero byte that ends the list
	b = appendHeader(b, 1, TypeSDES, 1+words)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 1, byte(len(name)))
	b = append(b, name...)
	for range 4*words - 2 - len(name) {
		b = append(b, 0)
	}
	return b
}

// appendHeader appends the common header of a packet with so many 32-bit words behind it.
func appendHeader(b []byte, count int, kind byte, words int) []byte {
	return append(b, 2<<6|byte(count), kind, byte(words>>8), byte(words))
}

func appendBlocks(b []byte, blocks []Block) []byte {
	for i := range blocks {
		k := &blocks[i]
		b = binary.BigEndian.AppendUint32(b, k.SSRC)
		lost := min(max(k.Lost, -1<<23), 1<<23-1) // appendix A.3: it clamps, it does not wrap
		b = binary.BigEndian.AppendUint32(b, uint32(k.Share)<<24|uint32(lost)&0xffffff)
		b = binary.BigEndian.AppendUint32(b, k.Highest)
		b = binary.BigEndian.AppendUint32(b, k.Jitter)
		b = binary.BigEndian.AppendUint32(b, k.LSR)
		b = binary.BigEndian.AppendUint32(b, k.DLSR)
	}
	return b
}

// Next cuts the first packet off a compound RTCP packet, RFC 3550 section 6.4.1: its type, its count and itself with its header and without padding. False at the end, or
// where the rest is no RTCP.
func Next(b []byte) (kind, count uint8, packet, rest []byte, ok bool) {
	if len(b) < 4 || b[0]>>6 != 2 {
		return 0, 0, nil, nil, false
	}
	n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return 0, 0, nil, nil, false
	}
	packet, rest = b[:n:n], b[n:]
	if b[0]&0x20 != 0 {
		pad := int(packet[n-1])
		if pad == 0 || pad%4 != 0 || pad > n-4 || len(rest) > 0 {
			return 0, 0, nil, nil, false // only the last one may be padded
		}
		packet = packet[:n-pad]
	}
	return b[1], b[0] & 31, packet, rest, true
}

// Blocks reads the report blocks of an SR or RR that Next gave into out: how many there were, at most len(out). The sender's SSRC comes along; false for another packet, or one
// that is too short for what it counts.
func Blocks(kind, count uint8, packet []byte, out []Block) (ssrc uint32, n int, ok bool) {
	at := 8
	switch kind {
	case TypeSR:
		at = 28
	case TypeRR:
	default:
		return 0, 0, false
	}
	if len(packet) < at+24*int(count) {
		return 0, 0, false
	}
	for ; n < min(int(count), len(out)); n++ {
		b := packet[at+24*n:]
		lost := binary.BigEndian.Uint32(b[4:])
		out[n] = Block{
			SSRC: binary.BigEndian.Uint32(b), Share: uint8(lost >> 24), Lost: int32(lost<<8) >> 8, Highest: binary.BigEndian.Uint32(b[8:]),
			Jitter: binary.BigEndian.Uint32(b[12:]), LSR: binary.BigEndian.Uint32(b[16:]), DLSR: binary.BigEndian.Uint32(b[20:]),
		}
	}
	return binary.BigEndian.Uint32(packet[4:]), n, true
}
