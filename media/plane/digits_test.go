package plane

import (
	"context"
	"encoding/binary"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
)

const payloadEvent = 101

// event makes the payload of one telephone event.
func event(code uint8, end bool, length uint16) []byte {
	b := []byte{code, volume, byte(length >> 8), byte(length)}
	if end {
		b[1] |= 0x80
	}
	return b
}

// dial makes the far end's next packet one of telephone events.
func (e *end) dial(ts uint32, marker bool, events ...[]byte) {
	var p []byte
	for _, one := range events {
		p = append(p, one...)
	}
	b := packet(e.ssrc, uint16(e.ext), ts, append(make([]byte, 0, 64+srtp.Overhead), p...))
	b[1] = payloadEvent
	if marker {
		b[1] |= 0x80
	}
	if e.seal != nil {
		b = e.seal.SealRTP(b[:0], b, 12, e.ext)
	}
	e.ext++
	e.rtp.take(b, e.at)
}

// converting opens a call whose first side has telephone events, and whose second one has digits in its signalling; the plane runs.
func converting(t *testing.T, suite srtp.Suite, do func(b *bed, alice, bob *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))) // the law of today
		b := newBed(t, Config{})
		alice, bob := b.call(suite, suite)
		set := alice.set()
		set.Clocks = append(set.Clocks, Clock{PT: payloadEvent, To: payloadEvent, Event: true, Rate: 8000})
		set.Taken, set.Tones = true, []Tone{{payloadEvent, 8000}}
		b.Set(set)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- b.Run(ctx) }()
		defer func() {
			stop()
			if err := <-over; err != nil {
				t.Error(err)
			}
		}()
		do(b, alice, bob)
	})
}

// The sequence of digits 9, 1, 1 with a frame of 50 ms: each is told once, with its duration, and nothing of it goes on.
//
// Conforms: RFC 4733 section 5; RFC 4733 section 2.5.1.4; the example of dialled digits; final packets that come three times are one digit.
func TestDialledDigits(t *testing.T) {
	type step struct {
		at     int // ms
		ts     uint32
		marker bool
		code   uint8
		length uint16
		end    bool
	}
	steps := []step{
		{50, 0, true, 9, 400, false},
		{100, 0, false, 9, 800, false},
		{150, 0, false, 9, 1200, false},
		{200, 0, false, 9, 1600, false},
		{250, 0, false, 9, 1600, true},
		{300, 0, false, 9, 1600, true},
		{930, 7040, true, 1, 400, false},
		{980, 7040, false, 1, 800, false},
		{1030, 7040, false, 1, 1200, false},
		{1080, 7040, false, 1, 1600, false},
		{1130, 7040, false, 1, 2000, true},
		{1180, 7040, false, 1, 2000, true},
		{1230, 7040, false, 1, 2000, true},
		{1450, 11200, true, 1, 400, false},
		{1500, 11200, false, 1, 800, false},
		{1550, 11200, false, 1, 1200, false},
		{1600, 11200, false, 1, 1600, false},
		{1650, 11200, false, 1, 1760, true},
		{1700, 11200, false, 1, 1760, true},
		{1750, 11200, false, 1, 1760, true},
	}
	for _, suite := range []srtp.Suite{0, srtp.AES128CM80} {
		converting(t, suite, func(b *bed, alice, bob *end) {
			start := time.Now()
			for _, s := range steps {
				time.Sleep(time.Until(start.Add(time.Duration(s.at) * time.Millisecond)))
				alice.dial(s.ts, s.marker, event(s.code, s.end, s.length))
			}
			time.Sleep(time.Second)
			want := []Digit{{alice.Ref, 9, 200 * time.Millisecond}, {alice.Ref, 1, 250 * time.Millisecond}, {alice.Ref, 1, 220 * time.Millisecond}}
			if got := b.events.dialled(); !reflect.DeepEqual(got, want) {
				t.Errorf("%v", got)
			}
			if c := b.read(alice.Ref); bob.rtp.sent != 0 || c.DialledIn != 3 || c.Ignored != 0 || c.Packets != uint64(len(steps)) {
				t.Errorf("%d packets went on: %+v", bob.rtp.sent, c)
			}
			if alice.crosses(bob, 2) != 2 {
				t.Error("speech does not cross")
			}
		})
	}
}

// What networks and far ends make of digits: lost ends, packets that come late or twice, long digits, streams that begin anew, several digits in one packet, tones.
func TestDigitsThatComeOtherwise(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		do      func(alice *end)
		want    []Digit
		ignored uint32
	}{
		"all ends lost, silence": {func(a *end) {
			a.dial(0, true, event(5, false, 160))
			a.dial(0, false, event(5, false, 320))
			time.Sleep(lapse + ms)
			a.dial(0, false, event(5, true, 800)) // far too late
		}, []Digit{{Event: 5, Duration: 40 * ms}}, 0},
		"all ends lost, the next digit": {func(a *end) {
			a.dial(0, true, event(5, false, 160))
			a.dial(800, true, event(5, true, 320))
		}, []Digit{{Event: 5, Duration: 20 * ms}, {Event: 5, Duration: 40 * ms}}, 0},
		"out of order": {func(a *end) {
			a.dial(0, true, event(11, false, 320))
			a.dial(0, false, event(11, false, 160))
			a.dial(0, false, event(11, true, 480))
			a.dial(0, false, event(11, false, 400))
			a.dial(1600, true, event(10, false, 160))
			a.dial(0, false, event(11, true, 480))
			a.dial(1600, false, event(10, true, 320))
		}, []Digit{{Event: 11, Duration: 60 * ms}, {Event: 10, Duration: 40 * ms}}, 0},
		"only an end": {func(a *end) { a.dial(0, false, event(16, true, 800)) }, []Digit{{Event: 16, Duration: 100 * ms}}, 0},
		"longer than a segment": {func(a *end) {
			a.dial(0, true, event(1, false, 32000))
			a.dial(0, false, event(1, false, 65535))
			a.dial(65535, false, event(1, false, 160))
			a.dial(65535, false, event(1, true, 1425))
			a.dial(65535, false, event(1, true, 1425))
		}, []Digit{{Event: 1, Duration: 66960 * time.Second / 8000}}, 0},
		"the same digit with a marker is another one": {func(a *end) {
			a.dial(0, true, event(1, false, 160))
			a.dial(65535, true, event(1, true, 160))
		}, []Digit{{Event: 1, Duration: 20 * ms}, {Event: 1, Duration: 20 * ms}}, 0},
		"two in one packet": {func(a *end) {
			a.dial(0, true, event(2, true, 480), event(3, true, 320))
			a.dial(0, false, event(2, true, 480), event(3, true, 320))
		}, []Digit{{Event: 2, Duration: 60 * ms}, {Event: 3, Duration: 40 * ms}}, 0},
		"time stamps that begin anew": {func(a *end) {
			a.dial(1<<31, true, event(2, true, 480))
			a.dial(99, true, event(3, true, 320))
		}, []Digit{{Event: 2, Duration: 60 * ms}, {Event: 3, Duration: 40 * ms}}, 0},
		"time stamps that wrap": {func(a *end) {
			a.dial(0xffffff00, true, event(2, true, 480))
			a.dial(1000, true, event(3, true, 320))
			a.dial(0xffffff00, false, event(2, true, 480))
		}, []Digit{{Event: 2, Duration: 60 * ms}, {Event: 3, Duration: 40 * ms}}, 0},
		"another stream": {func(a *end) {
			a.dial(500, true, event(2, false, 160))
			a.ssrc, a.ext = 77, 5
			a.dial(500, true, event(2, true, 160))
		}, []Digit{{Event: 2, Duration: 20 * ms}, {Event: 2, Duration: 20 * ms}}, 0},
		"tones": {func(a *end) {
			a.dial(0, true, event(17, false, 160))
			a.dial(0, false, event(17, true, 160))
			a.dial(900, true, event(66, true, 160)) // RFC 4734
		}, nil, 2},
		"no event": {func(a *end) { a.dial(0, true, []byte{1, 2, 3}) }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			converting(t, srtp.AES128CM80, func(b *bed, alice, bob *end) {
				c.do(alice)
				time.Sleep(time.Second)
				for i := range c.want {
					c.want[i].Leg = alice.Ref
				}
				if got := b.events.dialled(); !reflect.DeepEqual(got, c.want) {
					t.Errorf("%v, want %v", got, c.want)
				}
				if n := b.read(alice.Ref); n.Ignored != c.ignored || bob.rtp.sent != 0 {
					t.Errorf("%d ignored, %d went on", n.Ignored, bob.rtp.sent)
				}
			})
		})
	}
}

// Padding is no event.
func TestPaddingBehindAnEvent(t *testing.T) {
	converting(t, 0, func(b *bed, alice, _ *end) {
		p := packet(alice.ssrc, uint16(alice.ext), 0, append(event(7, true, 800), 9, 9, 0, 4))
		p[0] |= 0x20
		p[1] = payloadEvent
		alice.rtp.take(p, alice.at)
		if got := b.events.dialled(); len(got) != 1 || got[0].Event != 7 {
			t.Errorf("%v", got)
		}
	})
}

// Comfort noise crosses as any other payload, converting or not.
//
// Conforms: RFC 3389 section 4; comfort noise is a payload of its own, with the payload type 13.
func TestComfortNoise(t *testing.T) {
	converting(t, srtp.AES256GCM, func(b *bed, alice, bob *end) {
		open := pion(t, bob.out)
		for i := range 3 {
			p := packet(alice.ssrc, uint16(alice.ext), 160*uint32(i), append(make([]byte, 0, 64), 40, 3, 7))
			p[1] = 13
			p = alice.seal.SealRTP(p[:0], p, 12, alice.ext)
			alice.ext++
			alice.rtp.take(p, alice.at)
			got, err := open.DecryptRTP(nil, bob.rtp.last, nil)
			if err != nil || got[1] != 13 || string(got[12:]) != "\x28\x03\x07" {
				t.Fatalf("%x %v", got, err)
			}
		}
		if len(b.events.dialled()) != 0 {
			t.Error("comfort noise was told of as a digit")
		}
	})
}

// A plane that takes over from one that died tells of no digit that was told of, and of one whose beginning it missed.
func TestADigitIsNotToldTwice(t *testing.T) {
	memory := make([]byte, Memory(8, 1))
	first := newBed(t, Config{Memory: memory})
	set := func(b *bed, e *end) {
		n := e.set()
		n.Clocks = append(n.Clocks, Clock{PT: payloadEvent, To: payloadEvent, Event: true, Rate: 8000})
		n.Taken = true
		b.Set(n)
	}
	alice, bob := first.call(0, 0)
	set(first, alice)
	alice.dial(0, true, event(4, true, 800))
	alice.dial(8000, true, event(6, false, 160))
	next := newBed(t, Config{Memory: memory})
	for _, e := range []*end{alice, bob} {
		e.rtp, e.rtcp = next.pair(e.Pair)
		next.Open(e.Open)
		next.Set(e.set())
	}
	set(next, alice)
	next.Join(alice.Ref, bob.Ref)
	alice.dial(0, false, event(4, true, 800))
	alice.dial(8000, false, event(6, true, 800))
	if got := first.events.dialled(); len(got) != 1 || got[0].Event != 4 {
		t.Errorf("the first plane told %v", got)
	}
	if got := next.events.dialled(); len(got) != 1 || got[0].Event != 6 {
		t.Errorf("the next plane told %v", got)
	}
}

// FuzzDialled has any telephone events come: no digit without an event, none longer than what was said, and nothing goes on.
func FuzzDialled(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0x80, 9, 10, 1, 144}, []byte{0, 0, 27, 128, 0, 1, 0x8a, 7, 208})
	f.Add([]byte{0, 0, 0, 0, 0, 9, 10, 255, 255}, []byte{0, 0, 255, 255, 0, 9, 0x8a, 0, 9})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		set := alice.set()
		set.Clocks, set.Taken = []Clock{{PT: 8, To: 8, Rate: 8000}, {PT: payloadEvent, Event: true, Rate: 8000}}, true
		b.Set(set)
		events := 0
		for _, p := range [][]byte{one, two, one} {
			if len(p) < 5 || len(p) > 200 {
				return
			}
			events += (len(p) - 5) / 4
			alice.dial(binary.BigEndian.Uint32(p), p[4]&0x80 != 0, p[5:])
		}
		got := b.events.dialled()
		if len(got) > events || bob.rtp.sent != 0 {
			t.Fatalf("%d digits of %d events; %d packets went on", len(got), events, bob.rtp.sent)
		}
		for _, d := range got {
			if d.Event > lastDigit || d.Duration < 0 || d.Duration > time.Duration(events)*segment*time.Second/8000 {
				t.Fatalf("%v", d)
			}
		}
	})
}
