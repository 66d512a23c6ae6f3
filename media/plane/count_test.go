package plane

import (
	"math"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// counting is a leg of which nothing but the counters is used.
func counting(clocks ...Clock) leg {
	l := leg{slot: &slot{}, beside: &beside{}}
	l.known(clocks)
	return l
}

func (l *leg) count(h Header, n int, at time.Time) verdict {
	return l.tally(l.beside, h, n, at.UnixNano())
}

// Conforms: RFC 3550 section A.1
func TestSequence(t *testing.T) {
	type seqs []uint16
	for name, c := range map[string]struct {
		in       seqs
		lost     int64
		ext      uint32 // of the last packet
		gaps     uint32
		restarts int
		strays   int
	}{
		"in order":           {seqs{10, 11, 12}, 0, 12, 0, 1, 0},
		"two lost":           {seqs{10, 13}, 2, 13, 1, 1, 0},
		"late":               {seqs{10, 12, 11}, 0, 11, 1, 1, 0},
		"twice":              {seqs{10, 11, 11}, -1, 11, 0, 1, 0},
		"over the end":       {seqs{65534, 65535, 0, 1}, 0, 65537, 0, 1, 0},
		"late over the end":  {seqs{65534, 0, 65535}, 0, 65535, 1, 1, 0},
		"a stray packet":     {seqs{10, 40000, 11}, 0, 11, 0, 1, 1},
		"a new start":        {seqs{10, 40000, 40001, 40002}, 0, 40002, 0, 2, 1},
		"back to the start":  {seqs{1000, 1200, 1000, 1001}, 199, 1001, 1, 2, 1},
		"a long outage":      {seqs{10, 3009}, 2998, 3009, 1, 1, 0},
		"too long an outage": {seqs{10, 3010}, 0, 0, 0, 1, 1},
	} {
		l := counting()
		var v verdict
		restarts, strays := 0, 0
		for _, s := range c.in {
			v = l.count(Header{Seq: s, SSRC: 1}, 100, time.Unix(1, 0))
			if v.fresh {
				restarts++
			}
			if v.stray {
				strays++
			}
		}
		k := l.counters()
		if k.Lost != c.lost || v.ext != c.ext || k.Gaps != c.gaps || restarts != c.restarts || strays != c.strays {
			t.Errorf("%s: lost %d, at %d, %d gaps, %d starts, %d strays; want %+v", name, k.Lost, v.ext, k.Gaps, restarts, strays, c)
		}
		if k.Packets != uint64(len(c.in)) || k.Bytes != 100*k.Packets || k.First != 1e9 || k.Last != 1e9 {
			t.Errorf("%s: %+v", name, k)
		}
	}
}

// told apart are more sources where they are authenticated.
var bounds = map[uint32]int{0: plainSources, flagOpens: maxSources}

func TestSourcesAreBounded(t *testing.T) {
	for flags, most := range bounds {
		l := counting()
		l.flags = flags
		at := time.Unix(1, 0)
		for round := range 2 {
			for ssrc := range uint32(20) {
				for seq := range uint16(3) {
					v := l.count(Header{Seq: seq*2 + uint16(round*6), SSRC: ssrc}, 10, at)
					if v.fresh != (seq == 0) {
						t.Fatalf("ssrc %d, packet %d: %+v", ssrc, seq, v)
					}
				}
			}
		}
		if k := l.counters(); len(l.sources) != most-1 || k.Lost != 80 || k.Gaps != 80 || k.Packets != 120 {
			t.Errorf("%d sources rest, %d lost of %d in %d gaps", len(l.sources), k.Lost, k.Packets, k.Gaps)
		}
	}
}

// TestSourcesComeBack: as many as are told apart take turns, and each goes on where it was.
func TestSourcesComeBack(t *testing.T) {
	for flags, most := range bounds {
		l := counting()
		l.flags = flags
		for i := range uint16(10) {
			for ssrc := range uint32(most) {
				seq := 65530 + i // over the end
				if i > 4 {
					seq++ // one is lost
				}
				v := l.count(Header{Seq: seq, SSRC: ssrc}, 10, time.Unix(int64(i), 0))
				if want := 65530 + uint32(seq-65530); v.stray || v.fresh != (i == 0) || v.ext != want {
					t.Fatalf("ssrc %d, %d: %+v, want %d", ssrc, seq, v, want)
				}
			}
		}
		if k := l.counters(); k.Lost != int64(most) || k.Gaps != uint32(most) {
			t.Errorf("%d lost in %d gaps", k.Lost, k.Gaps)
		}
	}
}

// Conforms: RFC 3550 section A.8
func TestJitter(t *testing.T) {
	// RFC 3550 appendix A.8 by hand: J += (|D| - J) / 16, D in time stamp units of 125 us.
	l := counting(Clock{PT: 8, To: 8, Rate: 8000}, Clock{PT: 101, To: 101, Rate: 8000, Event: true}, Clock{PT: 9, To: 9})
	at := time.Unix(1700000000, 0)
	want, prev := 0.0, 0.0
	for i, late := range []time.Duration{0, 5, 0, 10, 3, 0, 0, 20, 0, 1} {
		late *= time.Millisecond
		l.count(Header{PT: 8, Seq: uint16(i), SSRC: 1, TS: uint32(160 * i)}, 100, at.Add(time.Duration(i)*20*time.Millisecond+late))
		if i > 0 {
			want += (math.Abs(late.Seconds()*8000-prev) - want) / 16
		}
		prev = late.Seconds() * 8000
	}
	before := l.counters().Jitter
	if got := before.Seconds() * 8000; math.Abs(got-want) > 0.01 || want < 5 {
		t.Errorf("jitter %v, want %v time stamp units", got, want)
	}
	// Events keep one time stamp for many packets and say nothing of the network; nor does what has no known clock.
	for i, pt := range []uint8{101, 9, 77} {
		l.count(Header{PT: pt, Seq: uint16(10 + i), SSRC: 1}, 100, at.Add(time.Hour))
	}
	if l.counters().Jitter != before {
		t.Error("an event, or a type without a clock, changed the jitter")
	}
}

func TestParseHeader(t *testing.T) {
	plain := packet(7, 8, 9, []byte("x"))
	if h, fine := ParseHeader(plain); !fine || h.Base != 12 || h.Full != 12 || h.SSRC != 7 || h.Seq != 8 || h.TS != 9 || h.PT != 8 || h.Marker {
		t.Errorf("%+v", h)
	}
	full := append(append([]byte{0xb1, 0x88}, plain[2:12]...), 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 5, 6, 7, 8, 'x')
	h, fine := ParseHeader(full)
	if !fine || h.Base != 16 || h.Full != 24 || !h.Marker || h.PT != 8 {
		t.Errorf("%+v", h)
	}
	if b := bare(full, h); len(b) != 17 || b[0] != 0xa1 || b[16] != 'x' || string(b[12:16]) != "\x01\x02\x03\x04" {
		t.Errorf("without its extension: %x", b)
	}
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"short":               plain[:11],
		"version 1":           append([]byte{0x40}, plain[1:]...),
		"sources missing":     append([]byte{0x81}, plain[1:13]...),
		"extension cut":       append([]byte{0x90}, plain[1:]...),
		"extension too short": append(append([]byte{0x90}, plain[1:12]...), 0, 0, 0, 9, 1, 2, 3, 4),
	} {
		if _, fine := ParseHeader(b); fine {
			t.Error(name)
		}
	}
}

// TestPlaces: countries are counted apart up to a bound, and what is no code counts for none.
func TestPlaces(t *testing.T) {
	var c tallies
	for i, code := range []string{"DE", "CH", "DE", "", "A", "EURO", "EUROPE", "d1", "FR", "XX"} {
		want := []uint8{0, 1, 0, maxPlaces, 2, 3, maxPlaces, 4, 5, maxPlaces}[i]
		if got := c.place(sovereign.Country(code)); got != want {
			t.Errorf("%q is place %d, want %d", code, got, want)
		}
	}
	for i, want := range []string{"DE", "CH", "A", "EURO", "d1", "FR"} {
		if got := text(c.countries[i]); got != want {
			t.Errorf("place %d is %q, want %q", i, got, want)
		}
	}
}
