package octets

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// everything is one of each.
type everything struct {
	byte   byte
	yes    bool
	uint   uint64
	raw    [3]byte
	octets []byte
	text   string
	time   time.Time
	list   []string
}

func (e everything) write(w *Writer) {
	w.Byte(e.byte)
	w.Bool(e.yes)
	w.Uint(e.uint)
	w.Raw(e.raw[:])
	w.Octets(e.octets)
	w.Text(e.text)
	w.Time(e.time)
	Put(w, e.list, (*Writer).Text)
}

func read(r *Reader) everything {
	e := everything{byte: r.Byte(), yes: r.Bool(), uint: r.Uint()}
	copy(e.raw[:], r.Raw(3))
	e.octets, e.text, e.time = r.Octets(), r.Text(), r.Time()
	e.list = List(r, (*Reader).Text)
	return e
}

func TestRoundTrip(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	for name, e := range map[string]everything{
		"zero":       {octets: []byte{}},
		"full":       {7, true, 300, [3]byte{1, 2, 3}, []byte("abc"), "def", noon, []string{"", "x"}},
		"largest":    {255, true, math.MaxUint64, [3]byte{}, []byte{0}, strings.Repeat("x", 200), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), nil},
		"empty list": {octets: []byte{}, list: []string{}},
		"early":      {octets: []byte{}, time: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
		"in a zone":  {octets: []byte{}, time: noon.In(time.FixedZone("", -5*3600-1800))},
		"far ahead":  {octets: []byte{}, time: noon.In(time.FixedZone("", 14*3600))},
		"no list":    {octets: []byte{}, list: nil, text: "\xff"},
	} {
		var w Writer
		e.write(&w)
		r := NewReader(w.Bytes)
		if r.Byte(); !bytes.Equal(r.Rest(), w.Bytes[1:]) {
			t.Errorf("%s: %x is left", name, r.Rest())
		}
		r = NewReader(w.Bytes)
		got := read(r)
		if err := r.End(); err != nil || w.Err() != nil {
			t.Errorf("%s: %v, %v", name, err, w.Err())
		}
		if got.time.Format(time.RFC3339Nano) != e.time.Format(time.RFC3339Nano) {
			t.Errorf("%s: %v, want %v", name, got.time, e.time)
		}
		got.time = e.time
		if !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %+v, want %+v", name, got, e)
		}
		for n := range w.Bytes {
			if r := NewReader(w.Bytes[:n]); !fails(r) {
				t.Errorf("%s: reads %d of %d bytes", name, n, len(w.Bytes))
			}
		}
		if r := NewReader(append(w.Bytes, 0)); !fails(r) {
			t.Errorf("%s: reads one byte more", name)
		}
	}
}

func fails(r *Reader) bool {
	read(r)
	return errors.Is(r.End(), ErrForm)
}

// The zero time is the zero Time, and a monotonic reading does not travel.
func TestTimes(t *testing.T) {
	var w Writer
	w.Time(time.Time{})
	w.Time(time.Now())
	r := NewReader(w.Bytes)
	if got := r.Time(); got != (time.Time{}) {
		t.Errorf("%#v", got)
	}
	if got := r.Time(); got.String() != got.Round(0).String() || r.End() != nil {
		t.Errorf("%v", got)
	}
	for _, bad := range []time.Time{time.Date(10000, 1, 3, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		var w Writer
		w.Time(bad)
		if w.Err() == nil || !fails(NewReader(w.Bytes)) {
			t.Errorf("%v has a form", bad)
		}
	}
}

// A value has one form.
func TestOtherFormsAreRefused(t *testing.T) {
	sec := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	for name, c := range map[string]struct {
		b    []byte
		read func(*Reader)
	}{
		"a bool of 2":           {[]byte{2}, func(r *Reader) { r.Bool() }},
		"a long zero":           {[]byte{0x80, 0}, func(r *Reader) { r.Uint() }},
		"a number without end":  {bytes.Repeat([]byte{0x80}, 20), func(r *Reader) { r.Uint() }},
		"a number too large":    {append(bytes.Repeat([]byte{0xff}, 9), 2), func(r *Reader) { r.Uint() }},
		"a text too long":       {[]byte{5, 'a'}, func(r *Reader) { _ = r.Text() }},
		"a text far too long":   {append(bytes.Repeat([]byte{0xff}, 9), 1), func(r *Reader) { _ = r.Text() }},
		"a list too long":       {append(bytes.Repeat([]byte{0xff}, 9), 1), func(r *Reader) { List(r, (*Reader).Byte) }},
		"a second of 1e9 ns":    {append(sec[:8:8], 0x80, 0x94, 0xeb, 0xdc, 3, 0), func(r *Reader) { r.Time() }},
		"a long offset":         {append(sec[:8:8], 0, 0x80, 0), func(r *Reader) { r.Time() }},
		"an offset of 80 years": {append(sec[:8:8], 0, 0xfe, 0xff, 0xff, 0xff, 0x1f), func(r *Reader) { r.Time() }},
		"the day after the end": {[]byte{0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0}, func(r *Reader) { r.Time() }},
	} {
		r := NewReader(c.b)
		if c.read(r); !errors.Is(r.Err(), ErrForm) {
			t.Errorf("%s: %v", name, r.Err())
		}
	}
}

// After an error nothing is read, and the first one stays.
func TestFirstErrorStays(t *testing.T) {
	r := NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	r.Fail("the first %d", 1)
	r.Fail("the second")
	if e := read(r); !reflect.DeepEqual(e, everything{}) || r.Rest() != nil {
		t.Errorf("%+v", e)
	}
	if err := r.End(); err == nil || !strings.Contains(err.Error(), "the first 1") {
		t.Errorf("%v", err)
	}
}

// A list that promises much and holds little costs little.
func TestAPromiseCostsNothing(t *testing.T) {
	b := append(bytes.Repeat([]byte{0xff}, 8), 1, 'x')
	if n := testing.AllocsPerRun(10, func() { List(NewReader(b), (*Reader).Text) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReader(f *testing.F) {
	var w Writer
	everything{7, true, 300, [3]byte{1, 2, 3}, []byte("abc"), "def", time.Date(2026, 11, 21, 12, 0, 0, 5, time.FixedZone("", 3600)), []string{"", "x"}}.write(&w)
	f.Add(w.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		e := read(r)
		if r.End() != nil {
			return
		}
		var again Writer
		if e.write(&again); again.Err() != nil || !bytes.Equal(again.Bytes, b) {
			t.Errorf("%x was read and is written as %x: %v", b, again.Bytes, again.Err())
		}
	})
}
