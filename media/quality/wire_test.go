package quality

import (
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Conforms: RFC 3550 section 4
func TestNTP(t *testing.T) {
	for unix, want := range map[int64]uint64{
		0:                              2208988800 << 32,
		1500 * int64(time.Millisecond): (2208988801 << 32) + 1<<31,
		-2208988800 * second:           0,
	} {
		if got := NTP(unix); got != want {
			t.Errorf("%d: %x, want %x", unix, got, want)
		}
	}
}

// Conforms: RFC 3550 section 6.4.1
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		a, lsr, dlsr uint32
		want         time.Duration
	}{
		{0xb7108000, 0xb7052000, 0x00054000, 6125 * time.Millisecond}, // the RFC's example: A, LSR, DLSR, 6.125 s
		{0x00000800, 0xfffff800, 0x00000800, 31250 * time.Microsecond},
		{5, 0, 1, 0},
		{100, 200, 10, 0},
	} {
		if got := RoundTrip(c.a, c.lsr, c.dlsr); got != c.want {
			t.Errorf("%x - %x - %x: %v, want %v", c.a, c.lsr, c.dlsr, got, c.want)
		}
	}
}

// By hand, and as another library reads it.
// Conforms: RFC 3550 section 6.4.1; RFC 3550 section 6.4.2; RFC 3550 section 6.5.1
func TestReportsOnTheWire(t *testing.T) {
	k := Block{SSRC: 0x01020304, Share: 0x80, Lost: -2, Highest: 0x00010005, Jitter: 7, LSR: 0xaabbccdd, DLSR: 0x00010000}
	got := AppendSR(nil, 0, Sending{SSRC: 0x11223344, RTPTime: 160, Packets: 3, Octets: 480}, k)
	want := unhex(t, `81c8000c 11223344 83aa7e80 00000000 000000a0 00000003 000001e0
		01020304 80fffffe 00010005 00000007 aabbccdd 00010000`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("SR\n got %x\nwant %x", got, want)
	}
	got = AppendRR(nil, 0x11223344)
	if want = unhex(t, `80c90001 11223344`); !reflect.DeepEqual(got, want) {
		t.Errorf("RR\n got %x\nwant %x", got, want)
	}
	for n := range 40 {
		b := AppendRR(nil, 5, make([]Block, n)...)
		b = AppendCNAME(b, 5, []byte(strings.Repeat("x", n)))
		packets, err := rtcp.Unmarshal(b)
		if err != nil || len(packets) != 2 {
			t.Fatalf("%d: %v, %v", n, packets, err)
		}
		if r := packets[0].(*rtcp.ReceiverReport); len(r.Reports) != min(n, 31) {
			t.Errorf("%d blocks of %d", len(r.Reports), n)
		}
		if d := packets[1].(*rtcp.SourceDescription); d.Chunks[0].Source != 5 || d.Chunks[0].Items[0].Text != strings.Repeat("x", n) {
			t.Errorf("%d: %+v", n, d)
		}
	}
}

func TestLostIsClamped(t *testing.T) {
	for lost, want := range map[int32]int32{0: 0, -1: -1, 1 << 23: 1<<23 - 1, -1 << 24: -1 << 23, math.MaxInt32: 1<<23 - 1} {
		var out [1]Block
		kind, count, p, _, ok := Next(AppendRR(nil, 1, Block{Lost: lost, Share: 255}))
		_, n, fine := Blocks(kind, count, p, out[:])
		if !ok || !fine || n != 1 || out[0].Lost != want || out[0].Share != 255 {
			t.Errorf("%d: %+v", lost, out)
		}
	}
}

func TestBlocksAreReadAsTheyWereWritten(t *testing.T) {
	in := []Block{{1, 2, 3, 4, 5, 6, 7}, {11, 12, -13, 14, 15, 16, 17}, {21, 22, 23, 24, 25, 26, 27}}
	b := AppendSR(nil, 9, Sending{SSRC: 77}, in...)
	b = AppendRR(b, 78, in[:1]...)
	var out [2]Block
	kind, count, p, rest, ok := Next(b)
	ssrc, n, fine := Blocks(kind, count, p, out[:])
	if !ok || !fine || kind != TypeSR || ssrc != 77 || n != 2 || out[0] != in[0] || out[1] != in[1] {
		t.Fatalf("%v %v %d %d %d %+v", ok, fine, kind, ssrc, n, out)
	}
	kind, count, p, rest, ok = Next(rest)
	ssrc, n, fine = Blocks(kind, count, p, out[:])
	if !ok || !fine || kind != TypeRR || ssrc != 78 || n != 1 || out[0] != in[0] || len(rest) != 0 {
		t.Fatalf("%v %v %d %d %d %+v", ok, fine, kind, ssrc, n, out)
	}
	if _, _, fine = Blocks(TypeRR, 2, p, out[:]); fine {
		t.Error("two blocks were read of one")
	}
	if _, _, fine = Blocks(TypeSDES, 1, p, out[:]); fine {
		t.Error("blocks of a source description")
	}
}

func TestNextRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":            "",
		"three bytes":        "80c900",
		"version 1":          "40c90001 00000001",
		"longer than it is":  "80c90002 00000001",
		"padding of nothing": "a0c90001 00000000",
		"padding of three":   "a0c90001 00000003",
		"padding of all":     "a0c90001 00000008",
		"padded in front":    "a0c90001 00000004 80c90001 00000001",
	} {
		if _, _, p, _, ok := Next(unhex(t, s)); ok {
			t.Errorf("%s: %x", name, p)
		}
	}
	if _, _, p, _, ok := Next(unhex(t, "a0c90002 00000001 00000004")); !ok || len(p) != 8 {
		t.Errorf("padding was not taken off: %x", p)
	}
}

// Conforms: RFC 3550 section 6.2; RFC 3550 section 6.3.1
func TestInterval(t *testing.T) {
	const half = 1 << 31
	for _, c := range []struct {
		members int
		octets  float64
		average float64
		first   bool
		dice    uint32
		want    float64 // seconds before the division by 1.21828
	}{
		{2, 400, 128, false, half, 5},
		{2, 400, 128, true, half, 2.5},
		{2, 400, 128, false, 0, 2.5},
		{2, 400, 128, false, math.MaxUint32, 7.5},
		{2, 10, 128, false, half, 25.6}, // a narrow session
		{100, 400, 128, false, half, 32},
	} {
		near(t, "interval", Interval(c.members, c.octets, c.average, c.first, c.dice).Seconds(), c.want/1.21828, 1e-6)
	}
}

// Conforms: RFC 3550 section 6.1; RFC 3550 section 6.4; RFC 3550 section A.3
func TestReporter(t *testing.T) {
	r := Reporter{SSRC: 42, Name: [16]byte([]byte("0123456789abcdef"))}
	if r.Due(math.MaxInt64) {
		t.Error("due before it was started")
	}
	const half = 1 << 31
	at := 1000 * second
	r.Start(at, half)
	if r.Due(at+2*second) || !r.Due(at+3*second) {
		t.Error("the first report does not come after 2.05 s")
	}
	from := &Reception{SSRC: 9, Base: 65530, Highest: 65530 + 99, Received: 90, Jitter: 8, LSR: 0x01020304, At: at - second/2}
	read := func(b []byte) (rtcp.Packet, rtcp.ReceptionReport) {
		t.Helper()
		packets, err := rtcp.Unmarshal(b)
		if err != nil || len(packets) != 2 {
			t.Fatalf("%v, %v", packets, err)
		}
		if d := packets[1].(*rtcp.SourceDescription); d.Chunks[0].Source != 42 || d.Chunks[0].Items[0].Text != "0123456789abcdef" {
			t.Errorf("%+v", d)
		}
		var reports []rtcp.ReceptionReport
		switch p := packets[0].(type) {
		case *rtcp.SenderReport:
			reports = p.Reports
		case *rtcp.ReceiverReport:
			reports = p.Reports
		}
		if len(reports) == 0 {
			return packets[0], rtcp.ReceptionReport{}
		}
		return packets[0], reports[0]
	}
	send := func(sent uint32) (rtcp.Packet, rtcp.ReceptionReport) {
		return read(r.Append(nil, at, 0, Sending{SSRC: 42, Packets: sent, Octets: sent * 160}, from, half))
	}
	p, k := send(100)
	if s, ok := p.(*rtcp.SenderReport); !ok || s.PacketCount != 100 || s.OctetCount != 16000 {
		t.Errorf("%+v", p)
	}
	if k.SSRC != 9 || k.TotalLost != 10 || k.FractionLost != 25 || k.LastSequenceNumber != 65629 || k.Jitter != 8 || k.LastSenderReport != 0x01020304 || k.Delay != 32768 {
		t.Errorf("%+v", k)
	}
	if r.Due(at+4*second) || !r.Due(at+5*second) {
		t.Error("the next report does not come after 4.1 s")
	}
	from.Highest, from.Received = from.Highest+100, from.Received+100 // nothing lost since
	p, k = send(100)
	if _, ok := p.(*rtcp.SenderReport); !ok || k.FractionLost != 0 || k.TotalLost != 10 {
		t.Errorf("%T %+v", p, k)
	}
	// Nothing was sent since the last report but one.
	from.Highest, from.Received = from.Highest+100, from.Received+150 // duplicates
	p, k = send(100)
	if _, ok := p.(*rtcp.ReceiverReport); !ok || k.FractionLost != 0 || k.TotalLost != 1<<24-40 {
		t.Errorf("%T %+v", p, k)
	}
	*from = Reception{SSRC: 10, Highest: 999, Received: 500} // another source
	if _, k = send(101); k.SSRC != 10 || k.FractionLost != 128 || k.TotalLost != 500 || k.LastSenderReport != 0 || k.Delay != 0 {
		t.Errorf("%+v", k)
	}
	from = nil
	r.Defer(at, half)
	send(101)
	if p, _ := read(r.Append(nil, at, 0, Sending{SSRC: r.SSRC, Packets: 101}, nil, half)); p.(*rtcp.ReceiverReport).SSRC != 42 {
		t.Errorf("%+v", p)
	}
}

// compoundXR is a receiver report and an extended report with all the blocks that are read, between two that are not.
func compoundXR(t testing.TB) []byte {
	return unhex(t, `80c90001 11223344
		80cf0022 11223344
		01000002 00000001 00010002
		04000002 83aa7e80 80000000
		05000006 00000001 00000002 00000003 00000004 00000005 00000006
		06e80009 0a0b0c0d 00640096 00000005 00000002 00000010 00000030 00000020 00000008 40464201
		07000008 01020304 0510d020 012c1388 004b0078 e2ce4110 5d7f2a29 b4000028 00500078
		63000000`)
}

// By the layout of the RFC.
// Conforms: RFC 3611 section 2; RFC 3611 section 3; RFC 3611 section 4.4; RFC 3611 section 4.5; RFC 3611 section 4.6; RFC 3611 section 4.7
func TestParseXR(t *testing.T) {
	b := compoundXR(t)
	_, _, _, b, _ = Next(b)
	kind, _, b, rest, ok := Next(b)
	var x XR
	if err := ParseXR(b, &x); err != nil || !ok || kind != TypeXR || len(rest) != 0 {
		t.Fatalf("%v %d %x", err, kind, rest)
	}
	ms := time.Millisecond
	want := XR{
		SSRC: 0x11223344, Has: HasClock | HasAnswers | HasSummary | HasVoIP, Clock: 0x83aa7e8080000000,
		Answers: [4]Answer{{1, 2, 3}, {4, 5, 6}}, Answer: 2,
		Summary: Statistics{
			SSRC: 0x0a0b0c0d, Begin: 100, End: 150, Lost: 5, Duplicates: 2, JitterMin: 16, JitterMax: 48, JitterMean: 32, JitterSD: 8,
			HopsMin: 64, HopsMax: 70, HopsMean: 66, HopsSD: 1, Loss: true, Twice: true, Jitter: true, Hops: 1,
		},
		VoIP: VoIP{
			SSRC: 0x01020304, Loss: 5, Discard: 16, BurstDensity: 208, GapDensity: 32, BurstDuration: 300 * ms, GapDuration: 5000 * ms,
			RoundTrip: 75 * ms, EndSystem: 120 * ms, Signal: -30, Noise: -50, EchoLoss: 65, Gmin: 16, R: 93, ExtR: Unavailable, MOSLQ: 42, MOSCQ: 41,
			Config: 0xb4, BufferNow: 40 * ms, BufferMax: 80 * ms, BufferBound: 120 * ms,
		},
	}
	if x != want {
		t.Errorf("\n got %+v\nwant %+v", x, want)
	}
	var theirs rtcp.ExtendedReport
	if err := theirs.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	for _, r := range theirs.Reports {
		if v, ok := r.(*rtcp.VoIPMetricsReportBlock); ok && (v.BurstDensity != 208 || v.RoundTripDelay != 75 || v.JBAbsMax != 120 || v.MOSCQ != 41) {
			t.Errorf("another library reads %+v", v)
		}
	}
}

func TestFiguresWithoutTheirFlagAreNone(t *testing.T) {
	for own, want := range map[byte]Statistics{
		0x00: {},
		0x80: {Loss: true, Lost: 1},
		0x40: {Twice: true, Duplicates: 1},
		0x20: {Jitter: true, JitterMin: 1, JitterMax: 1, JitterMean: 1, JitterSD: 1},
		0x10: {Hops: 2, HopsMin: 1, HopsMax: 1, HopsMean: 1, HopsSD: 1},
		0x18: {}, // reserved
	} {
		b := []byte{0x80, TypeXR, 0, 11, 0, 0, 0, 0, 6, own, 0, 9}
		b = append(b, make([]byte, 8)...)
		for range 6 {
			b = append(b, 0, 0, 0, 1)
		}
		b = append(b, 1, 1, 1, 1)
		var x XR
		if err := ParseXR(b, &x); err != nil || x.Summary != want {
			t.Errorf("%x: %v\n got %+v\nwant %+v", own, err, x.Summary, want)
		}
	}
}

func TestParseXRRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		hex  string
		want error
	}{
		"nothing":            {"", ErrNotXR},
		"a receiver report":  {"80c90001 00000001", ErrNotXR},
		"version 3":          {"c0cf0001 00000001", ErrNotXR},
		"no SSRC":            {"80cf0000", ErrCut},
		"half a header":      {"80cf0002 00000001 0400", ErrCut},
		"a block too long":   {"80cf0002 00000001 04000002", ErrCut},
		"a short clock":      {"80cf0003 00000001 04000001 00000000", ErrBlock},
		"a third of answers": {"80cf0004 00000001 05000002 00000000 00000000", ErrBlock},
		"a short summary":    {"80cf0003 00000001 06000001 00000000", ErrBlock},
		"short metrics":      {"80cf0003 00000001 07000001 00000000", ErrBlock},
		"no block at all":    {"80cf0001 00000001", nil},
		"none of ours":       {"80cf0003 00000001 ff000001 00000000", nil},
		"no answers":         {"80cf0002 00000001 05000000", nil},
	} {
		x := XR{Has: HasVoIP, Answer: 3}
		if err := ParseXR(unhex(t, c.hex), &x); !errors.Is(err, c.want) || (err == nil && x.Has != 0) || x.Answer != 0 {
			t.Errorf("%s: %v, %+v", name, err, x)
		}
	}
	many := append([]byte{0x80, TypeXR, 0, 20, 0, 0, 0, 1, 5, 0, 0, 18}, make([]byte, 72)...)
	var x XR
	if err := ParseXR(many, &x); err != nil || x.Answer != 4 {
		t.Errorf("%v, %d answers", err, x.Answer)
	}
}

func TestScoreOfTheFarEnd(t *testing.T) {
	for _, c := range []struct {
		v    VoIP
		want Score
	}{
		{VoIP{R: 93, MOSLQ: 44, MOSCQ: 41}, Score{93, 4.1}},
		{VoIP{R: Unavailable, MOSLQ: 44, MOSCQ: Unavailable}, Score{0, 4.4}},
		{VoIP{R: Unavailable, MOSLQ: Unavailable, MOSCQ: Unavailable}, Score{}},
		{VoIP{R: 50, MOSLQ: 9, MOSCQ: 51}, Score{R: 50}},
	} {
		if got := c.v.Score(); got != c.want {
			t.Errorf("%+v: %+v", c.v, got)
		}
	}
}

// FuzzCompound walks what a far end may send. Whatever it is, reading ends, keeps to its room, and what was written from what was read reads the same.
func FuzzCompound(f *testing.F) {
	f.Add(compoundXR(f))
	f.Add(AppendCNAME(AppendSR(nil, 1, Sending{SSRC: 1}, Block{SSRC: 2}), 1, []byte("x")))
	f.Add(unhex(f, "a0c90002 00000001 00000004"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for left := len(b); ; {
			kind, count, p, rest, ok := Next(b)
			if !ok {
				return
			}
			if len(rest) >= left || len(p) < 4 {
				t.Fatalf("%d of %d bytes left", len(rest), left)
			}
			b, left = rest, len(rest)
			var out [31]Block
			if ssrc, n, ok := Blocks(kind, count, p, out[:]); ok {
				var again [31]Block
				k, c, q, _, _ := Next(AppendRR(nil, ssrc, out[:n]...))
				if s, m, ok := Blocks(k, c, q, again[:]); !ok || s != ssrc || m != n || again != out {
					t.Fatalf("%+v, then %+v", out, again)
				}
			}
			var x XR
			if err := ParseXR(p, &x); err == nil && (x.Answer < 0 || x.Answer > len(x.Answers) || x.Answer > 0 != (x.Has&HasAnswers != 0)) {
				t.Fatalf("%+v", x)
			}
		}
	})
}
