package plane

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
)

// leaving is one packet that left to a far end, in clear.
type leaving struct {
	Header
	payload []byte
}

// collect gives what leaves to the far end of e, packet for packet, from now on. It opens SRTP with somebody else's.
func (e *end) collect(t *testing.T) func() []leaving {
	var out []leaving
	open := func(b []byte) []byte { return b }
	if e.out.Suite != 0 {
		ctx := pion(t, e.out)
		open = func(b []byte) []byte {
			p, err := ctx.DecryptRTP(nil, b, nil)
			if err != nil {
				t.Errorf("what left cannot be opened: %v", err)
			}
			return p
		}
	}
	e.rtp.tape = func(b []byte) {
		p := open(b)
		if h, ok := ParseHeader(p); ok {
			out = append(out, leaving{h, append([]byte{}, p[h.Full:]...)})
		}
	}
	return func() []leaving {
		got := out
		out = nil
		return got
	}
}

// speak sends n packets, one in 20 ms.
func (e *end) speak(n int) {
	for range n {
		e.rtp.take(e.next(), e.at)
		time.Sleep(20 * time.Millisecond)
	}
}

// score writes packets as a line: "-" is speech, "M" the first of an event, "." a further one, "E" an end; each event is followed by its code and duration at the end.
func score(t *testing.T, got []leaving) string {
	var b strings.Builder
	for i, p := range got {
		if p.PT != payloadEvent {
			b.WriteByte('-')
			continue
		}
		if len(p.payload) != 4 || p.payload[1]&0x7f != volume {
			t.Errorf("packet %d: an event of %x", i, p.payload)
			continue
		}
		switch end := p.payload[1]&0x80 != 0; {
		case p.Marker:
			fmt.Fprintf(&b, "M%d", p.payload[0])
		case end:
			fmt.Fprintf(&b, "E%d", binary.BigEndian.Uint16(p.payload[2:]))
		default:
			b.WriteByte('.')
		}
	}
	return b.String()
}

// A digit takes the place of speech packet for packet: sequence numbers and SSRC are those of what came, the time stamp is that of its beginning, the duration grows.
//
// Conforms: RFC 4733 section 2.2.1; RFC 4733 section 2.2.2; RFC 4733 section 2.3.5; time stamp, marker, duration and three final packets of an event
func TestADigitTakesThePlaceOfSpeech(t *testing.T) {
	for _, suite := range []srtp.Suite{0, srtp.AES128CM80, srtp.AES256GCM} {
		converting(t, suite, func(b *bed, alice, bob *end) {
			leaves := alice.collect(t)
			bob.speak(3)
			b.Press(Press{alice.Ref, 5, 100 * time.Millisecond, 100 * time.Millisecond})
			b.Press(Press{alice.Ref, 11, 40 * time.Millisecond, 40 * time.Millisecond})
			first := uint16(bob.ext)
			bob.speak(20)
			got := leaves()
			if s := score(t, got); s != "---M5...E800E800E800---M11E320E320E320------" {
				t.Fatal(s)
			}
			for i, p := range got {
				if p.Seq != first-3+uint16(i) || p.SSRC != bob.ssrc {
					t.Errorf("packet %d leaves as %d of %x", i, p.Seq, p.SSRC)
				}
			}
			for i, p := range got[3:10] {
				if want := uint32(first) * 160; p.TS != want || binary.BigEndian.Uint16(p.payload[2:]) != min(800, 160*uint16(i+1)) {
					t.Errorf("packet %d of the digit: %d, %x", i, p.TS-want, p.payload)
				}
			}
			if c := b.read(alice.Ref); c.DialledOut != 2 || c.Ignored != 0 || c.Sent != 23 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// Where nothing passes a digit goes out by itself, in the same form, in one stream of our own, with the pause between two; what passes later finds its own stream as it was.
func TestADigitWithoutSpeech(t *testing.T) {
	for _, suite := range []srtp.Suite{0, srtp.AES128CM80} {
		converting(t, suite, func(b *bed, alice, bob *end) {
			leaves := alice.collect(t)
			bob.speak(2)
			start := time.Now()
			b.Press(Press{alice.Ref, 1, 60 * time.Millisecond, 40 * time.Millisecond})
			b.Press(Press{alice.Ref, 2, 40 * time.Millisecond, 100 * time.Millisecond})
			b.Press(Press{alice.Ref, 3, 40 * time.Millisecond, 40 * time.Millisecond})
			time.Sleep(still - time.Millisecond)
			if n := len(leaves()); n != 2 {
				t.Errorf("%d packets: a digit does not wait for speech", n)
			}
			time.Sleep(time.Second)
			got := leaves()
			if s := score(t, got); s != "M1.E480E480E480M2E320E320E320M3E320E320E320" {
				t.Fatal(s)
			}
			var began []uint32
			for i, p := range got {
				if p.SSRC != got[0].SSRC || p.SSRC == bob.ssrc || p.Seq != got[0].Seq+uint16(i) {
					t.Errorf("packet %d: %d of %x", i, p.Seq, p.SSRC)
				}
				if p.Marker {
					began = append(began, (p.TS-got[0].TS)/8)
				}
			}
			// 60 ms, its ends until 100 and a pause of 40 from 60 on; then 40 ms and a pause of 100.
			if want := []uint32{0, 100, 240}; !reflect.DeepEqual(began, want) {
				t.Errorf("digits begin at %v ms after %v", began, time.Since(start))
			}
			bob.speak(2)
			if s := leaves(); len(s) != 2 || s[0].SSRC != bob.ssrc || s[1].Seq != uint16(bob.ext-1) {
				t.Errorf("speech afterwards: %+v", s)
			}
		})
	}
}

// Speech that comes back within a digit of its own stream passes beside it, and the next digit takes its place.
func TestSpeechThatComesBack(t *testing.T) {
	converting(t, srtp.AES128CM80, func(b *bed, alice, bob *end) {
		leaves := alice.collect(t)
		b.Press(Press{alice.Ref, 1, 60 * time.Millisecond, 40 * time.Millisecond})
		b.Press(Press{alice.Ref, 2, 40 * time.Millisecond, 40 * time.Millisecond})
		time.Sleep(still + 30*time.Millisecond)
		bob.speak(12)
		var own, theirs []leaving
		for _, p := range leaves() {
			if p.SSRC == bob.ssrc {
				theirs = append(theirs, p)
			} else {
				own = append(own, p)
			}
		}
		if s := score(t, own); s != "M1.E480E480E480" {
			t.Error(s)
		}
		if s := score(t, theirs); !strings.HasPrefix(s, "---") || !strings.Contains(s, "-M2E320E320E320-") || len(theirs) != 12 {
			t.Error(s)
		}
	})
}

// Speech that stops within a digit is waited for a little, in which the digit may find its end; after that it is over, and is not begun again.
func TestSpeechThatStopsWithinADigit(t *testing.T) {
	converting(t, 0, func(b *bed, alice, bob *end) {
		leaves := alice.collect(t)
		bob.speak(1)
		b.Press(Press{alice.Ref, 1, 100 * time.Millisecond, 40 * time.Millisecond})
		bob.speak(2)
		bob.ext += 10 // 200 ms of silence in a stream that suppresses it
		time.Sleep(200 * time.Millisecond)
		bob.speak(4)
		if s := score(t, leaves()); s != "-M1.E2080E2080E2080-" {
			t.Error(s)
		}
		b.Press(Press{alice.Ref, 2, 100 * time.Millisecond, 40 * time.Millisecond})
		b.Press(Press{alice.Ref, 3, 40 * time.Millisecond, 40 * time.Millisecond})
		bob.speak(2)
		time.Sleep(3 * time.Second)
		if s := score(t, leaves()); s != "M2.M3E320E320E320" {
			t.Error(s)
		}
		bob.speak(3)
		if s := score(t, leaves()); s != "---" {
			t.Error(s)
		}
	})
}

// A digit that is longer than its duration field can say goes on in another segment.
//
// Conforms: RFC 4733 section 2.5.1.3; a long event is split into segments, of which none but the last one has an end.
func TestALongDigit(t *testing.T) {
	converting(t, 0, func(b *bed, alice, bob *end) {
		set := alice.set()
		set.Clocks, set.Tones = []Clock{{PT: 8, To: 8, Rate: 48000}}, []Tone{{payloadEvent, 48000}}
		b.Set(set)
		leaves := alice.collect(t)
		b.Press(Press{alice.Ref, 9, 1500 * time.Millisecond, 40 * time.Millisecond})
		time.Sleep(3 * time.Second)
		got := leaves()
		if s := score(t, got); s != "M9"+strings.Repeat(".", 73)+"E6465E6465E6465" && len(got) != 78 {
			t.Errorf("%d: %s", len(got), s)
		}
		last := got[len(got)-1]
		if units := last.TS - got[0].TS + uint32(binary.BigEndian.Uint16(last.payload[2:])); units < 72000 || units > 72960 {
			t.Errorf("%d units", units)
		}
		if last.TS-got[0].TS != segment {
			t.Errorf("the second segment begins after %d", last.TS-got[0].TS)
		}
	})
}

// Events have the clock of the speech whose place they take.
//
// Conforms: RFC 4733 section 2.1; events share the clock of the speech that they stand among.
func TestADigitHasTheClockOfSpeech(t *testing.T) {
	converting(t, 0, func(b *bed, alice, bob *end) {
		set := alice.set()
		set.Tones = []Tone{{PT: 102, Rate: 48000}, {PT: payloadEvent, Rate: 8000}}
		b.Set(set)
		leaves := alice.collect(t)
		b.Press(Press{alice.Ref, 1, 40 * time.Millisecond, 40 * time.Millisecond})
		bob.speak(6)
		if s := score(t, leaves()); s != "M1E320E320E320--" {
			t.Error(s)
		}
		b.Press(Press{alice.Ref, 1, 40 * time.Millisecond, 40 * time.Millisecond})
		time.Sleep(time.Second)
		if got := leaves(); len(got) != 4 || got[0].PT != 102 || binary.BigEndian.Uint16(got[3].payload[2:]) != 1920 {
			t.Errorf("alone: %+v", got)
		}
	})
}

// What cannot be pressed is counted: no way to tell, no digit, no room. A leg that is closed or set anew forgets what waits.
func TestDigitsThatCannotBePressed(t *testing.T) {
	converting(t, 0, func(b *bed, alice, bob *end) {
		leaves := bob.collect(t)
		b.Press(Press{bob.Ref, 1, time.Second, 0}) // takes no events
		b.Press(Press{Ref{9, 9}, 1, time.Second, 0})
		time.Sleep(time.Second)
		if c := b.read(bob.Ref); c.Ignored != 1 || len(leaves()) != 0 {
			t.Errorf("%+v", c)
		}
		b.Press(Press{alice.Ref, lastDigit + 1, time.Second, 0})
		for range maxPresses + 2 {
			b.Press(Press{alice.Ref, 1, time.Second, 0})
		}
		if c := b.read(alice.Ref); c.Ignored != 3 {
			t.Errorf("%d ignored", c.Ignored)
		}
		b.Set(alice.set()) // no events any more
		leaves = alice.collect(t)
		bob.speak(5)
		if s := score(t, leaves()); s != "-----" {
			t.Error(s)
		}
		set := alice.set()
		set.Tones = []Tone{{payloadEvent, 8000}}
		b.Set(set)
		b.Press(Press{alice.Ref, 1, time.Second, 0})
		b.Close(alice.Ref)
		time.Sleep(time.Second)
		if len(leaves()) != 0 {
			t.Error("a closed leg speaks")
		}
	})
}

// Digits cost no memory per packet, whichever way they go.
func TestDigitsAllocateNothing(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(srtp.AES128CM80, srtp.AES128CM80)
	set := alice.set()
	set.Clocks = append(set.Clocks, Clock{PT: payloadEvent, To: payloadEvent, Event: true, Rate: 8000})
	set.Taken, set.Tones = true, []Tone{{payloadEvent, 8000}}
	b.Set(set)
	b.Press(Press{alice.Ref, 1, time.Hour, 0})
	bob.crosses(alice, 1)
	alice.dial(0, true, event(1, false, 160))
	packets := make([][]byte, 2*101)
	for i := range packets {
		e := []*end{alice, bob}[i&1]
		p := packet(e.ssrc, uint16(e.ext), 0, append(make([]byte, 0, 64), event(1, false, uint16(i))...))
		if p[1] = payloadEvent; e == bob {
			p[1] = 8
			binary.BigEndian.PutUint32(p[4:], uint32(e.ext)*160)
		}
		packets[i] = e.seal.SealRTP(p[:0], p, 12, e.ext)
		e.ext++
	}
	n := 0
	if a := testing.AllocsPerRun(100, func() {
		alice.rtp.take(packets[n], alice.at)
		bob.rtp.take(packets[n+1], bob.at)
		n += 2
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
	if c := b.read(alice.Ref); alice.rtp.sent != 102 || c.Packets != 102 {
		t.Errorf("%d left, %d came", alice.rtp.sent, c.Packets)
	}
}
