package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A frame is a header and a body. The header has the length of the body (32 bits), the kind, how many descriptors belong to it, and two bytes of zero. All numbers are
// little-endian. What a later minor version adds stands at the end of a body, where this one does not look, or in frames of other kinds, which this one leaves out.
const (
	headerSize = 8
	maxBody    = 64 << 10
	maxText    = 1 << 10 // of a name
)

// kind of a frame. Numbers are never given twice.
type kind uint8

const (
	kindHello    kind = 1 // both ways, the first; its form holds for all versions
	kindRefuse   kind = 2 // server: why there is no connection
	kindMemory   kind = 3 // memory of the slots, with its descriptor
	kindSnapshot kind = 4 // client: a part of a policy
	kindInForce  kind = 5 // server: a policy is in force
	kindReady    kind = 6 // client: all was told, packets may be read
	kindAdopt    kind = 7 // client: tell all that you hold
	kindHeld     kind = 8 // server: that was all
	kindStop     kind = 9 // client: stop carrying, and end; the end of the connection says that it is done
	kindPing     kind = 10
	kindPong     kind = 11
	kindYield    kind = 12 // client: stand still, and tell all that you hold, with the state of each leg
	kindState    kind = 13 // server: what is known of a leg, as plane.Export has it

	kindGive     kind = 32 // with two descriptors
	kindWithdraw kind = 33
	kindOpen     kind = 34
	kindSet      kind = 35
	kindMute     kind = 36
	kindSilence  kind = 37
	kindJoin     kind = 38
	kindClose    kind = 39
	kindWatch    kind = 40
	// 41 was a note of a session, which nobody left.
	kindSay      kind = 42
	kindSetAside kind = 43 // Set with what stands aside from media; who does not know it leaves the leg without media
	kindPress    kind = 44
	kindClip     kind = 46 // a part of a clip
	kindDrop     kind = 47
	kindPlay     kind = 48
	kindHush     kind = 49
	kindImpair   kind = 50

	kindMoved   kind = 64 // server
	kindPassed  kind = 65
	kindAside   kind = 66
	kindPressed kind = 67
	kindPlayed  kind = 68
)

// errFrame is a frame that does not read.
var errFrame = errors.New("link: a frame that does not read")

// begin appends the header of a frame; end fills in its length.
func begin(b []byte, k kind, files int) []byte {
	return append(b, 0, 0, 0, 0, byte(k), byte(files), 0, 0)
}

// end completes the frame that begins at `at`. A body that is too long is taken back.
func end(b []byte, at int) ([]byte, error) {
	n := len(b) - at - headerSize
	if n > maxBody {
		return b[:at], fmt.Errorf("link: %d bytes are too long for a frame", n)
	}
	binary.LittleEndian.PutUint32(b[at:], uint32(n))
	return b, nil
}

// header reads the first bytes of a frame.
func header(b []byte) (k kind, files, body int, err error) {
	n := binary.LittleEndian.Uint32(b)
	if n > maxBody {
		return 0, 0, 0, fmt.Errorf("link: a frame of %d bytes: %d are allowed", n, maxBody)
	}
	return kind(b[4]), int(b[5]), int(n), nil
}

func putText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(s))), s...)
}

func putBytes(b, s []byte) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(s))), s...)
}

func putBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// putTime appends nanoseconds since 1970; 0 is no time.
func putTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.LittleEndian.AppendUint64(b, 0)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(t.UnixNano()))
}

// putMarshalled appends a netip value with its length.
func putMarshalled(b []byte, v interface {
	AppendBinary(b []byte) ([]byte, error)
},
) []byte {
	at := len(b)
	b, _ = v.AppendBinary(append(b, 0)) // netip never fails
	b[at] = byte(len(b) - at - 1)
	return b
}

// body reads the fields of a frame. What is not there makes it bad, and zero.
type body struct {
	b   []byte
	bad bool
}

// more says that a field follows. Those that a later minor version added are asked for so: who speaks an earlier one ends before them.
func (r *body) more() bool { return !r.bad && len(r.b) > 0 }

// take gives the next n bytes; they are of the frame.
func (r *body) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *body) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *body) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *body) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *body) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// bool takes 0 and 1 alone: one value has one form.
func (r *body) bool() bool {
	v := r.u8()
	r.bad = r.bad || v > 1
	return v == 1
}

func (r *body) time() time.Time {
	n := int64(r.u64())
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// bytes copies what has its length before it; nil for none.
func (r *body) bytes(most int) []byte {
	n := int(r.u16())
	if n > most {
		r.bad = true
		return nil
	}
	if b := r.take(n); len(b) > 0 {
		return append([]byte(nil), b...)
	}
	return nil
}

func (r *body) text() string {
	n := int(r.u16())
	if n > maxText {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

func (r *body) addrPort() (a netip.AddrPort) {
	if b := r.take(int(r.u8())); len(b) > 0 {
		r.bad = r.bad || a.UnmarshalBinary(b) != nil
	}
	return a
}

func (r *body) prefix() (p netip.Prefix) {
	if b := r.take(int(r.u8())); len(b) > 0 {
		r.bad = r.bad || p.UnmarshalBinary(b) != nil
	}
	return p
}

// end says whether all that was asked for was there.
func (r *body) end() error {
	if r.bad {
		return errFrame
	}
	return nil
}
