// Package tlv is records of fields, each a tag, a length and a value: what a call that is up is kept as. A reader passes over tags that it does not know, and what is
// zero is not written, so that a later version reads what an earlier one wrote and the other way round.
//
// It is pure, needs no memory to write, and imports the standard library alone.
package tlv

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Bytes writes a field behind b; nothing when v is empty.
func Bytes(b []byte, tag byte, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return append(binary.AppendUvarint(append(b, tag), uint64(len(v))), v...)
}

// String is Bytes for a string.
func String(b []byte, tag byte, v string) []byte {
	if v == "" {
		return b
	}
	return append(binary.AppendUvarint(append(b, tag), uint64(len(v))), v...)
}

// Uint writes a number; nothing when it is 0.
func Uint(b []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	var room [binary.MaxVarintLen64]byte
	return Bytes(b, tag, room[:binary.PutUvarint(room[:], v)])
}

// Bool writes true; nothing for false.
func Bool(b []byte, tag byte, v bool) []byte {
	if !v {
		return b
	}
	return Uint(b, tag, 1)
}

// Time writes a time to the nanosecond; nothing for the zero time.
func Time(b []byte, tag byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return Uint(b, tag, uint64(t.UnixNano()))
}

// Addr writes an address and port; nothing when it is not valid.
func Addr(b []byte, tag byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return b
	}
	var room [64]byte
	v, err := a.AppendBinary(room[:0])
	if err != nil {
		return b
	}
	return Bytes(b, tag, v)
}

// nestedLen is the length of the length of a record within a record: a varint that is filled up, so that it can be written when the end is known.
const nestedLen = 3

// Open begins a record within a record; Close ends it.
func Open(b []byte, tag byte) (_ []byte, mark int) {
	b = append(b, tag, 0, 0, 0)
	return b, len(b)
}

// Close ends what Open began at mark. A record that is longer than 2 MiB is dropped.
func Close(b []byte, mark int) []byte {
	n := len(b) - mark
	if n >= 1<<(7*nestedLen) {
		return b[:mark-nestedLen-1]
	}
	b[mark-3], b[mark-2], b[mark-1] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
	return b
}

// Reader reads the fields of a record one after another.
type Reader struct {
	Tag   byte
	Value []byte // of the field at hand; it shares the memory of the record

	rest []byte
	bad  bool
}

// Read begins to read a record.
func Read(raw []byte) Reader { return Reader{rest: raw} }

// Next goes to the next field. False at the end, and where the record is broken: see Bad.
func (r *Reader) Next() bool {
	if len(r.rest) == 0 || r.bad {
		return false
	}
	n, size := binary.Uvarint(r.rest[1:])
	if size <= 0 || n > uint64(len(r.rest)-1-size) {
		r.bad = true
		return false
	}
	from := 1 + size
	r.Tag, r.Value, r.rest = r.rest[0], r.rest[from:from+int(n)], r.rest[from+int(n):]
	return true
}

// Bad says that the record is broken, or that a value of it was not what it was asked for as.
func (r *Reader) Bad() bool { return r.bad }

// Fail makes the record a broken one.
func (r *Reader) Fail() { r.bad = true }

// Uint is the value as a number.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.Value)
	if n != len(r.Value) {
		r.bad = true
		return 0
	}
	return v
}

// Uint32 is the value as a number of 32 bits.
func (r *Reader) Uint32() uint32 {
	v := r.Uint()
	if v > 1<<32-1 {
		r.bad = true
		return 0
	}
	return uint32(v)
}

// Bool is the value as a truth.
func (r *Reader) Bool() bool { return r.Uint() != 0 }

// String is the value as a string of its own.
func (r *Reader) String() string { return string(r.Value) }

// Time is the value as a time.
func (r *Reader) Time() time.Time { return time.Unix(0, int64(r.Uint())) }

// Addr is the value as an address and port.
func (r *Reader) Addr() netip.AddrPort {
	var a netip.AddrPort
	if a.UnmarshalBinary(r.Value) != nil || !a.IsValid() {
		r.bad = true
		return netip.AddrPort{}
	}
	return a
}
