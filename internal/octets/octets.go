// Package octets writes values one after the other into bytes and reads them back, for what one process of ours tells another: each value has one form, a reader
// refuses every other, and a length never costs more memory than the bytes that it came with.
//
// A Writer and a Reader keep their first error and do nothing after it, so a form is written as one list of fields and the error is asked for once, at the end.
// It imports the standard library alone.
package octets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrForm is what a reader found where a value should be, wrapped with the reason.
var ErrForm = errors.New("octets: not the form of the value")

// The times that have a form: the years 1 to 9999, and a day more on both sides for those who write them in a zone.
const (
	earliest = -62135596800 - 86400
	latest   = 253402300799 + 86400
)

// Writer appends values to Bytes. The zero Writer is ready.
type Writer struct {
	Bytes []byte
	err   error
}

// Err is the first value that has no form.
func (w *Writer) Err() error { return w.err }

// Byte is one byte.
func (w *Writer) Byte(v byte) { w.Bytes = append(w.Bytes, v) }

// Bool is one byte, 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.Byte(1)
	} else {
		w.Byte(0)
	}
}

// Uint is one to ten bytes.
func (w *Writer) Uint(v uint64) { w.Bytes = binary.AppendUvarint(w.Bytes, v) }

// Raw is v without its length.
func (w *Writer) Raw(v []byte) { w.Bytes = append(w.Bytes, v...) }

// Octets is v behind its length.
func (w *Writer) Octets(v []byte) {
	w.Uint(uint64(len(v)))
	w.Raw(v)
}

// Text is v behind its length.
func (w *Writer) Text(v string) {
	w.Uint(uint64(len(v)))
	w.Bytes = append(w.Bytes, v...)
}

// Time is v to the nanosecond, with the offset of its zone but not the zone's name, and without the reading of a monotonic clock, which means nothing elsewhere.
func (w *Writer) Time(v time.Time) {
	if s := v.Unix(); (s < earliest || s > latest) && w.err == nil {
		w.err = fmt.Errorf("octets: the year %d has no form", v.Year())
	}
	_, offset := v.Zone()
	w.Bytes = binary.BigEndian.AppendUint64(w.Bytes, uint64(v.Unix()))
	w.Uint(uint64(v.Nanosecond()))
	w.Bytes = binary.AppendVarint(w.Bytes, int64(offset))
}

// Put writes a list, each element by one. A nil list is another value than an empty one.
func Put[T any](w *Writer, list []T, one func(*Writer, T)) {
	if list == nil {
		w.Uint(0)
		return
	}
	w.Uint(uint64(len(list)) + 1)
	for _, v := range list {
		one(w, v)
	}
}

// Reader takes values off the front of bytes, which it keeps and does not change. After an error it gives zero values.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Fail ends the reading with the reason why a value that was read cannot be; the first failure stays.
func (r *Reader) Fail(format string, a ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrForm, fmt.Errorf(format, a...))
	}
	r.rest = nil
}

// Err is the first failure.
func (r *Reader) Err() error { return r.err }

// End is Err, or that something follows the last value.
func (r *Reader) End() error {
	if r.err == nil && len(r.rest) > 0 {
		r.Fail("%d bytes follow the end", len(r.rest))
	}
	return r.err
}

// Rest is what was not read yet; nil after an error.
func (r *Reader) Rest() []byte { return r.rest }

// Raw is the next n bytes, which are part of what is read.
func (r *Reader) Raw(n int) []byte {
	if r.err != nil || n > len(r.rest) {
		r.Fail("it ends where %d more bytes belong", n)
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

// Byte is one byte.
func (r *Reader) Byte() byte {
	if v := r.Raw(1); v != nil {
		return v[0]
	}
	return 0
}

// Bool is what Writer.Bool wrote.
func (r *Reader) Bool() bool {
	v := r.Byte()
	if v > 1 {
		r.Fail("%d is neither true nor false", v)
	}
	return v == 1
}

// Uint is what Writer.Uint wrote, in no more bytes than it takes.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.Fail("no whole number in its shortest form")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Octets is what Writer.Octets wrote, as part of what is read.
func (r *Reader) Octets() []byte {
	n := r.Uint()
	if n > uint64(len(r.rest)) {
		r.Fail("it ends where %d more bytes belong", n)
		return nil
	}
	return r.Raw(int(n))
}

// Text is what Writer.Text wrote.
func (r *Reader) Text() string { return string(r.Octets()) }

// Time is what Writer.Time wrote; an offset of 0 is UTC.
func (r *Reader) Time() time.Time {
	b := r.Raw(8)
	if b == nil {
		return time.Time{}
	}
	sec, nano := int64(binary.BigEndian.Uint64(b)), r.Uint()
	offset, n := binary.Varint(r.rest)
	switch {
	case n <= 0 || n > 1 && r.rest[n-1] == 0:
		r.Fail("no offset of a zone in its shortest form")
	case sec < earliest || sec > latest || nano >= uint64(time.Second) || offset < math.MinInt32 || offset > math.MaxInt32:
		r.Fail("no time: %d s, %d ns, zone %d s", sec, nano, offset)
	}
	if r.err != nil {
		return time.Time{}
	}
	r.rest = r.rest[n:]
	if t := time.Unix(sec, int64(nano)); offset != 0 {
		return t.In(time.FixedZone("", int(offset)))
	} else {
		return t.UTC()
	}
}

// List is what Put wrote, each element by one; nil after an error. It grows with what was read, not with what was promised.
func List[T any](r *Reader, one func(*Reader) T) []T {
	n := r.Uint()
	if n == 0 || r.err != nil {
		return nil
	}
	list := make([]T, 0, min(n-1, 64))
	for range n - 1 {
		v := one(r)
		if r.err != nil {
			return nil
		}
		list = append(list, v)
	}
	return list
}
