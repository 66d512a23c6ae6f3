package trace

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/internal/background"
)

var (
	carrier = netip.MustParseAddrPort("192.0.2.1:5060")
	edge    = netip.MustParseAddrPort("192.0.2.10:5060")
	group   = netip.MustParseAddrPort("198.51.100.1:5061")
)

func text(line, id, cseq string) []byte {
	return []byte(line + "\r\nFrom: \"Erika\" <sip:+4917012345678@x>;tag=a\r\nCall-ID: " + id + "\r\nCSeq: " + cseq + "\r\n\r\n")
}

func in(from netip.AddrPort, b []byte) Packet {
	return Packet{At: time.Now(), Proto: "udp", Local: edge, Remote: from, Text: b}
}

func out(to netip.AddrPort, b []byte) Packet {
	p := in(to, b)
	p.Out = true
	return p
}

// owned runs f with a book that somebody owns.
func owned(t *testing.T, c Config, f func(b *Book)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := New(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		f(b)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// oneCall plays a call of two legs that fails over.
func oneCall(b *Book, id, ref string) {
	b.Tap(in(carrier, text("INVITE sip:+4969123456@edge SIP/2.0", "a-"+id, "1 INVITE")))
	b.Join(id, Leg{CallID: "a-" + id, Party: "carrier", Caller: true})
	b.Tap(out(carrier, text("SIP/2.0 100 Trying", "a-"+id, "1 INVITE")))
	b.Note(id, "iad 203.0.113.9:5060 aws:us-east-1 "+Verdict("hold", "region_not_allow_listed"))
	b.Name(id, ref, "aa;remote=00")
	b.Join(id, Leg{CallID: "b-" + id, Party: "fra", Group: true})
	b.Tap(out(group, text("INVITE sip:+4969123456@fra SIP/2.0", "b-"+id, "1 INVITE")))
	b.Tap(in(group, text("SIP/2.0 503 Service Unavailable", "b-"+id, "1 INVITE")))
	b.Note(id, "failover: zrh 198.51.100.2:5060")
	b.End(id, "aa;remote=bb", "ended by the caller with 200, answered")
}

const wantLadder = `call ref-1  session aa;remote=bb
began 2000-01-01T00:00:00.000Z, masked

  seconds  carrier                                 cordon                                     fra
    0.000  |- INVITE (1 INVITE) ----------------->|                                        |
    0.000  |< 100 Trying (1 INVITE) --------------|                                        |
    0.000  -- iad 203.0.113.9:5060 aws:us-east-1 held: region_not_allow_listed
    0.000  |                                      | - INVITE (1 INVITE) -----------------> |
    0.000  |                                      | < 503 Service Unavailable (1 INVI~ --- |
    0.000  -- failover: zrh 198.51.100.2:5060
    0.000  -- ended by the caller with 200, answered
`

func TestBothLegsOfACallAreOneTrace(t *testing.T) {
	var sent []string
	owned(t, Config{Export: func(e Event, ref string) { sent = append(sent, ref+" "+e.Line) }}, func(b *Book) {
		oneCall(b, "s1", "ref-1")
		b.Tap(in(group, text("OPTIONS sip:x SIP/2.0", "b-s1", "1 OPTIONS")))
		b.Tap(in(group, text("BYE sip:x SIP/2.0", "unknown", "1 BYE")))
		synctest.Wait()
		got, ok := b.Find("ref-1", 0)
		if !ok || got.ID != "s1" || got.Session != "aa;remote=bb" || got.Ended.IsZero() || !got.Masked || got.Lost != 0 {
			t.Fatalf("%v %+v", ok, got)
		}
		var w strings.Builder
		if err := errors.Join(Head(&w, got), Rungs(&w, got)); err != nil {
			t.Fatal(err)
		}
		if w.String() != wantLadder {
			t.Errorf("got:\n%s\nwant:\n%s", w.String(), wantLadder)
		}
		for _, e := range got.Events {
			if strings.Contains(e.Text, "12345") || strings.Contains(e.Text, "Erika") {
				t.Errorf("not masked: %s", e.Text)
			}
		}
		if rest, _ := b.Find("ref-1", 5); len(rest.Events) != 2 || rest.Events[0].Seq != 6 {
			t.Errorf("what came after 5: %+v", rest.Events)
		}
	})
	if fmt.Sprint(sent) != "[ref-1 INVITE ref-1 100 Trying ref-1 INVITE ref-1 503 Service Unavailable]" {
		t.Errorf("exported: %q", sent)
	}
}

// A call begins with its first message, which comes before anybody knows that it is one.
func TestACallBeginsWithItsFirstMessage(t *testing.T) {
	owned(t, Config{}, func(b *Book) {
		first := time.Now()
		b.Tap(in(carrier, text("INVITE sip:x SIP/2.0", "a", "1 INVITE")))
		time.Sleep(time.Second)
		b.Join("s", Leg{CallID: "a", Party: "carrier", Caller: true})
		b.Name("s", "ref", "")
		if got, _ := b.Find("ref", 0); !got.Began.Equal(first) {
			t.Errorf("it began %v later", got.Began.Sub(first))
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	owned(t, Config{Calls: 3, Messages: 8, Keep: time.Minute}, func(b *Book) {
		for i := range 5 {
			oneCall(b, fmt.Sprint("s", i), fmt.Sprint("ref-", i))
		}
		for i := range 100 {
			b.Tap(in(group, text("INFO sip:x SIP/2.0", "b-s4", fmt.Sprint(i, " INFO"))))
		}
		synctest.Wait()
		if _, ok := b.Find("ref-1", 0); ok || len(b.byCall) != 6 || len(b.byID) != 3 {
			t.Errorf("%d calls, %d dialogs", len(b.byID), len(b.byCall))
		}
		got, _ := b.Find("ref-4", 0)
		if len(got.Events) != 8 || got.Events[0].Line != "INVITE" || got.Events[7].CSeq != "99 INFO" || got.Lost != 99 {
			t.Errorf("%d events, %d lost, the last %q", len(got.Events), got.Lost, got.Events[7].CSeq)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(b.byCall)+len(b.byID)+b.bytes != 0 || b.live.first != nil || b.ended.first != nil {
			t.Errorf("after its time: %d calls, %d dialogs, %d bytes", len(b.byID), len(b.byCall), b.bytes)
		}
	})
	owned(t, Config{Bytes: 1000}, func(b *Book) {
		for i := range 20 {
			oneCall(b, fmt.Sprint("s", i), fmt.Sprint("ref-", i))
		}
		synctest.Wait()
		if _, ok := b.Find("ref-19", 0); !ok || b.bytes > 1000 {
			t.Errorf("%d bytes of %d calls", b.bytes, len(b.byID))
		}
	})
	owned(t, Config{}, func(b *Book) { // first messages of calls that never come to be
		for i := range 1000 {
			b.Tap(in(carrier, text("INVITE sip:x SIP/2.0", fmt.Sprint(i), "1 INVITE")))
		}
		synctest.Wait()
		if len(b.strays.list) != maxStrays {
			t.Errorf("%d strays", len(b.strays.list))
		}
	})
}

// What is refused must not hold memory: an INVITE waits for its call in bounded room, and goes when its last answer says that no call will come.
func TestARefusedINVITEIsNotKept(t *testing.T) {
	big := func(id string) []byte {
		return append(text("INVITE sip:x SIP/2.0", id, "1 INVITE"), bytes.Repeat([]byte("a=x\r\n"), 10_000)...)
	}
	for status, kept := range map[string]bool{
		"100 Trying": true, "400 Bad Request": false, "401 Unauthorized": true, "407 Proxy Authentication Required": true, "422 Session Interval Too Small": true,
		"415 Unsupported Media Type": false, "503 Service Unavailable": false, "603 Decline": false,
	} {
		b := New(Config{})
		b.Tap(in(carrier, big("a")))
		b.Tap(out(carrier, text("SIP/2.0 "+status, "a", "1 INVITE")))
		if got := len(b.strays.list) == 2 && b.strays.bytes > 50_000; got != kept || !kept && (len(b.strays.list) != 0 || b.strays.bytes != 0) {
			t.Errorf("after %s: %d messages, %d bytes are kept", status, len(b.strays.list), b.strays.bytes)
		}
	}
	const most = 4 << 20 / strayShare
	owned(t, Config{Bytes: 4 << 20}, func(b *Book) {
		for i := range 100 { // nobody answers
			b.Tap(in(carrier, big(fmt.Sprint(i))))
		}
		if n := len(b.strays.list); n != 5 || b.strays.bytes > most || string(callID(b.strays.list[4].Text)) != "99" {
			t.Errorf("%d INVITEs wait, %d bytes", n, b.strays.bytes)
		}
		b.Join("s", Leg{CallID: "98", Party: "carrier", Caller: true})
		b.Name("s", "ref", "")
		if got, ok := b.Find("ref", 0); !ok || len(got.Events) != 1 || len(b.strays.list) != 4 || b.strays.bytes > most-50_000 {
			t.Errorf("the call has %d messages, %d INVITEs wait, %d bytes", len(got.Events), len(b.strays.list), b.strays.bytes)
		}
		b.Note("s", "seen") // under its lock: what sweeps comes behind what was looked at here
		time.Sleep(strayFor + 2*sweepEach)
		synctest.Wait()
		if len(b.strays.list) != 0 || b.strays.bytes != 0 {
			t.Errorf("after their time %d INVITEs wait, %d bytes", len(b.strays.list), b.strays.bytes)
		}
		for i := range maxSpare + 1 { // the memory of long messages is not kept for others
			b.Tap(in(carrier, big(fmt.Sprint(i))))
			b.Tap(out(carrier, text("SIP/2.0 400 Bad Request", fmt.Sprint(i), "1 INVITE")))
		}
		for _, x := range b.strays.spare {
			if cap(x) > roomy {
				t.Errorf("%d bytes are kept for the next message", cap(x))
			}
		}
	})
}

// Copies that nobody takes in time hold a bounded part of the memory.
func TestTheQueueOfCopiesIsBoundedInBytes(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan string, 1000)
	b := New(Config{Bytes: 4 << 20, Messages: 1000, Metrics: m, Export: func(e Event, _ string) { taken <- e.CSeq }})
	b.Join("s", Leg{CallID: "a", Party: "carrier", Caller: true})
	b.Name("s", "ref", "")
	info := func(n int) {
		b.Tap(in(carrier, append(text("INFO sip:x SIP/2.0", "a", fmt.Sprint(n, " INFO")), bytes.Repeat([]byte("x"), 64<<10)...)))
	}
	for i := range 50 { // nobody owns it yet
		info(i)
	}
	const room = (4 << 20) / queuePart / (65 << 10)
	if got := counted(t, reg, "cordon_trace_hep_dropped_total"); len(b.queue) != room || got != 50-room || b.waiting.Load() > 4<<20/queuePart {
		t.Errorf("%d copies wait, %d bytes; %v are dropped", len(b.queue), b.waiting.Load(), got)
	}
	stop := background.Run(t, b.Run)
	for range room {
		<-taken
	}
	info(50)
	if got := <-taken; got != "50 INFO" || b.waiting.Load() != 0 {
		t.Errorf("there is room again, and %q came; %d bytes wait", got, b.waiting.Load())
	}
	stop()
}

func TestCopiesThatFindNoRoomAreCountedAndNobodyWaits(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	b := New(Config{Metrics: m, Export: func(Event, string) { t.Error("nobody owns the book") }})
	b.Join("s", Leg{CallID: "a", Party: "carrier"})
	b.Name("s", "ref", "")
	for range queued + 7 {
		b.Tap(in(carrier, text("INFO sip:x SIP/2.0", "a", "1 INFO")))
	}
	if got := counted(t, reg, "cordon_trace_hep_dropped_total"); got != 7 {
		t.Errorf("%v copies were counted", got)
	}
	if got := counted(t, reg, "cordon_trace_lost_total"); got != queued+7-64 {
		t.Errorf("%v messages were counted", got)
	}
	var none *Book
	none.Note("s", "x")
	none.Tap(in(carrier, text("INVITE sip:x SIP/2.0", "a", "1 INVITE")))
	if _, ok := none.Find("x", 0); ok {
		t.Error("nothing remembers something")
	}
}

func counted(t *testing.T, reg *prometheus.Registry, name string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, x := range f.GetMetric() {
				n += x.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestHEPGoldenBytes(t *testing.T) {
	e := Event{At: time.Unix(0x5F5E1000, 123456789), Out: true, Proto: "udp", Local: edge, Remote: carrier, Text: "ACK"}
	const want = "48455033" + "0077" +
		"0000000100070" + "2" + "0000000200071" + "1" +
		"00000003000ac000020a" + "00000004000ac0000201" +
		"0000000700" + "0813c4" + "00000008000813c4" +
		"00000009000a5f5e1000" + "0000000a000a0001e240" +
		"0000000b000701" + "0000000c000a00000007" +
		"0000000e00087077" + "0000000f000941434b" + "0000001100097265" + "66"
	if got := hex.EncodeToString(HEP(e, "ref", 7, "pw")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if HEP(Event{Text: strings.Repeat("x", maxHEP)}, "ref", 7, "") != nil {
		t.Error("a packet that is too long was made")
	}
}

// readHEP reads a packet as a collector does: what the writer says must come out again.
func readHEP(b []byte) (map[uint16][]byte, error) {
	if len(b) < 6 || string(b[:4]) != "HEP3" || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return nil, errors.New("no packet")
	}
	chunks := map[uint16][]byte{}
	for b = b[6:]; len(b) > 0; {
		if len(b) < 6 {
			return nil, errors.New("no chunk")
		}
		n := int(binary.BigEndian.Uint16(b[4:]))
		if n < 6 || n > len(b) || binary.BigEndian.Uint16(b) != 0 {
			return nil, errors.New("no length")
		}
		chunks[binary.BigEndian.Uint16(b[2:])] = b[6:n]
		b = b[n:]
	}
	return chunks, nil
}

func FuzzHEP(f *testing.F) {
	f.Add("INVITE sip:x SIP/2.0\r\n\r\n", "ref", "pw", uint32(1), []byte{192, 0, 2, 1}, true)
	f.Add("", "", "", uint32(0), bytes.Repeat([]byte{1}, 16), false)
	f.Fuzz(func(t *testing.T, text, ref, password string, agent uint32, addr []byte, sent bool) {
		a, _ := netip.AddrFromSlice(addr)
		e := Event{At: time.Unix(1, 0), Out: sent, Local: edge, Remote: netip.AddrPortFrom(a, 9), Proto: "tcp", Text: text}
		b := HEP(e, ref, agent, password)
		if b == nil {
			if len(text)+len(ref)+len(password) < 60000 {
				t.Fatal("nothing was made of a short message")
			}
			return
		}
		c, err := readHEP(b)
		if err != nil || string(c[chunkPayload]) != text || string(c[chunkCorrelation]) != ref || string(c[chunkKey]) != password ||
			binary.BigEndian.Uint32(c[chunkAgent]) != agent {
			t.Fatalf("%v: %v", err, c)
		}
		port := c[chunkFromPort]
		if sent {
			port = c[chunkToPort]
		}
		if binary.BigEndian.Uint16(port) != 9 {
			t.Fatalf("the ports: %v %v", c[chunkFromPort], c[chunkToPort])
		}
	})
}

type sink struct {
	mu     *sync.Mutex // nil: whoever looks is told when to
	got    [][]byte
	err    error
	closed int
}

func (s *sink) Write(b []byte) (int, error) {
	if s.mu != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	if s.err != nil {
		return 0, s.err
	}
	s.got = append(s.got, bytes.Clone(b))
	return len(b), nil
}
func (s *sink) Close() error { s.closed++; return nil }

func TestACollectorThatIsRefusedGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m, err := NewMetrics(reg)
		if err != nil {
			t.Fatal(err)
		}
		fenced, dials, s := errors.New("fenced"), 0, &sink{}
		lawful := true
		c := NewCollector(Collector{Agent: 7, Metrics: m, Fenced: func(err error) bool { return errors.Is(err, fenced) }, Dial: func(context.Context) (io.WriteCloser, error) {
			dials++
			if !lawful {
				return nil, fenced
			}
			return s, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		send := func() {
			c.Export(Event{At: time.Now(), Proto: "udp", Local: edge, Remote: carrier, Text: "ACK"}, "ref")
			synctest.Wait()
		}
		send()
		send()
		if dials != 1 || len(s.got) != 2 {
			t.Errorf("%d sockets, %d packets", dials, len(s.got))
		}
		lawful = false
		time.Sleep(socketFor) // the law is asked anew
		send()
		send()
		if dials != 2 || len(s.got) != 2 || s.closed != 1 {
			t.Errorf("refused: %d sockets, %d packets, %d closed", dials, len(s.got), s.closed)
		}
		lawful, s.err = true, fenced // the pass dies under an open socket
		time.Sleep(socketPause)
		send()
		s.err = nil
		send()
		if dials != 3 || len(s.got) != 2 || s.closed != 2 {
			t.Errorf("a pass that died: %d sockets, %d packets, %d closed", dials, len(s.got), s.closed)
		}
		time.Sleep(socketPause)
		send()
		s.err = errors.New("no route")
		send()
		s.err = nil
		time.Sleep(socketPause)
		if len(s.got) != 3 || counted(t, reg, "cordon_trace_hep_dropped_total") != 5 {
			t.Errorf("a datagram that failed was kept: %d packets", len(s.got))
		}
		if len(s.got) != 3 || counted(t, reg, "cordon_trace_hep_sent_total") != 3 || counted(t, reg, "cordon_trace_hep_dropped_total") != 5 {
			t.Errorf("%d packets, %v sent, %v dropped", len(s.got), counted(t, reg, "cordon_trace_hep_sent_total"), counted(t, reg, "cordon_trace_hep_dropped_total"))
		}
		cancel()
		<-done
	})
}

func TestTheCaptureSaysHowLongPacketsWereAndHoldsHeadersAlone(t *testing.T) {
	at := time.Unix(1000, 5000)
	tr := Trace{Events: []Event{
		{At: at, Kind: "message", Proto: "udp", Local: edge, Remote: carrier, Text: "INVITE"},
		{At: at, Kind: "note", Line: "held"},
		{At: at, Kind: "message", Proto: "tls", Out: true, Local: edge, Remote: group, Text: "ACK"},
	}}
	var w bytes.Buffer
	if err := WritePCAP(&w, tr, []RTP{{At: at.Add(time.Second), From: carrier, To: edge, Header: make([]byte, 12), Size: 172}}); err != nil {
		t.Fatal(err)
	}
	b, rows := w.Bytes()[24:], []string{}
	for len(b) > 0 {
		n, full := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
		ip := b[16 : 16+n]
		rows = append(rows, fmt.Sprint(n, " of ", full, ": ", binary.BigEndian.Uint16(ip[2:]), " ", ip[9], " ", binary.BigEndian.Uint16(ip[20:]), ">", binary.BigEndian.Uint16(ip[22:])))
		if fold(sum(0, ip[:20])) != 0xFFFF {
			t.Errorf("the checksum of the IP header does not hold: %x", ip[:20])
		}
		b = b[16+n:]
	}
	if got, want := strings.Join(rows, "; "), "34 of 34: 34 17 5060>5060; 43 of 43: 43 6 5060>5060; 40 of 200: 200 17 5060>5060"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func BenchmarkOneMessage(b *testing.B) {
	book := New(Config{})
	book.Join("s", Leg{CallID: "a", Party: "carrier"})
	p := in(carrier, text("INVITE sip:+4969123456@edge SIP/2.0", "a", "1 INVITE"))
	b.ReportAllocs()
	for b.Loop() {
		book.Tap(p)
	}
}

// A call takes the memory of one that was forgotten: what is remembered costs nothing but copies. Of its messages two in each leg have a body.
func BenchmarkOneCall(b *testing.B) {
	body := strings.ReplaceAll(`v=0
o=x 42 1 IN IP4 10.2.0.1
s=-
c=IN IP4 10.2.0.1
t=0 0
m=audio 30000 RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
`, "\n", "\r\n")
	type leg struct{ id, brief, whole string }
	var calls [2048]struct {
		id   string
		legs [2]leg
	}
	for i := range calls {
		c := &calls[i]
		c.id = fmt.Sprint("s", i)
		for k, to := range []string{"a-", "b-"} {
			l := string(text("INVITE sip:+4969123456@edge SIP/2.0", to+c.id, "1 INVITE"))
			c.legs[k] = leg{to + c.id, strings.TrimSuffix(l, "\r\n") + "Content-Length: 0\r\n\r\n", l + body}
		}
	}
	book, buf := New(Config{}), make([]byte, 0, 2048)
	message := func(l *leg, i int, way func(netip.AddrPort, []byte) Packet, far netip.AddrPort) {
		m := l.brief
		if i%3 == 0 {
			m = l.whole
		}
		book.Tap(way(far, append(buf, m...)))
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		c := &calls[n%len(calls)]
		first, second := &c.legs[0], &c.legs[1]
		message(first, 0, in, carrier)
		book.Join(c.id, Leg{CallID: first.id, Party: "carrier", Caller: true})
		for i := range 6 {
			message(first, i+1, out, carrier)
		}
		book.Name(c.id, c.id, "session")
		book.Join(c.id, Leg{CallID: second.id, Party: "fra", Group: true})
		for i := range 6 {
			message(second, i, out, group)
		}
		book.Note(c.id, "attempt: ", "fra", " ", "permit")
		book.End(c.id, "session", "ended by ", "the caller")
	}
}

// What an event says is independent of what came before it, and of the memory that another call left.
func TestARecordThatIsUsedAgainHoldsNothingOfTheCallBefore(t *testing.T) {
	b := New(Config{Calls: 1, Messages: 8})
	for i := range 20 {
		id := fmt.Sprint("s", i)
		b.Tap(in(carrier, text("INVITE sip:x SIP/2.0", "a-"+id, "1 INVITE")))
		b.Join(id, Leg{CallID: "a-" + id, Party: "carrier" + id, Caller: true})
		for n := range i {
			b.Tap(out(carrier, text("INFO sip:x SIP/2.0", "a-"+id, fmt.Sprint(n, " INFO"))))
		}
		b.Name(id, "ref-"+id, "")
		b.End(id, "", "over ", id)
		got, ok := b.Find("ref-"+id, 0)
		if !ok || len(got.Left) != 1 || got.Left[0] != "carrier"+id || len(got.Right) != 0 || got.Seen != i+2 || len(got.Events) != min(i+2, 8) || got.Lost != max(0, i-6) {
			t.Fatalf("%d: %+v", i, got)
		}
		for k, e := range got.Events {
			want := "1 INVITE"
			switch {
			case k == len(got.Events)-1:
				want = ""
				if e.Line != "over "+id || e.Kind != "note" {
					t.Fatalf("%d: the last is %+v", i, e)
				}
			case k > 0:
				want = fmt.Sprint(e.Seq-2, " INFO")
			}
			if e.CSeq != want {
				t.Fatalf("%d: event %d is %q and not %q", i, e.Seq, e.CSeq, want)
			}
		}
		if _, ok := b.Find("ref-s0", 0); ok != (i == 0) {
			t.Fatalf("%d: the first call is remembered: %t", i, ok)
		}
	}
}

// A connection is kept; what it broke at goes over the next one, at once if it had lasted, and what comes meanwhile waits in a queue that is bounded.
func TestACollectorOverAStreamIsConnectedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m, err := NewMetrics(reg)
		if err != nil {
			t.Fatal(err)
		}
		fenced, broken := errors.New("fenced"), errors.New("broken")
		var mu sync.Mutex // of what follows: the collector's pauses end without us
		var dials int
		var s *sink
		var refuse error
		set := func(err, next error) {
			mu.Lock()
			defer mu.Unlock()
			s.err, refuse = err, next
		}
		c := NewCollector(Collector{Stream: true, Metrics: m, Fenced: func(err error) bool { return errors.Is(err, fenced) }, Dial: func(context.Context) (io.WriteCloser, error) {
			mu.Lock()
			defer mu.Unlock()
			dials++
			if refuse != nil {
				return nil, refuse
			}
			s = &sink{mu: &mu}
			return s, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		n := 0
		send := func() {
			n++
			c.Export(Event{At: time.Now(), Proto: "tcp", Local: edge, Remote: carrier, Text: fmt.Sprint("message ", n)}, "ref")
			synctest.Wait()
		}
		has := func(what string, conns int, want ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			var got []string
			for _, b := range s.got {
				chunks, err := readHEP(b)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(chunks[chunkPayload]))
			}
			if conns != 0 && dials != conns || !slices.Equal(got, want) {
				t.Errorf("%s: %d connections, the last got %q, want %d and %q", what, dials, got, conns, want)
			}
		}
		send()
		time.Sleep(time.Hour)
		send()
		has("kept", 1, "message 1", "message 2")
		set(broken, nil)
		send()
		has("replaced at once", 2, "message 3")
		set(broken, nil) // it did not last
		send()
		send()
		has("a pause", 2, "message 3")
		time.Sleep(socketPause)
		synctest.Wait()
		has("after it", 3, "message 4", "message 5")
		set(broken, broken)
		time.Sleep(socketPause)
		send() // it is held until there is a collector, and what follows waits behind it
		for range 1100 {
			c.Export(Event{At: time.Now(), Local: edge, Remote: carrier, Text: "queued"}, "ref")
		}
		time.Sleep(time.Minute)
		if got := counted(t, reg, "cordon_trace_hep_dropped_total"); got != 1100-1024 {
			t.Errorf("%v dropped while there was no collector, want what the queue does not hold: %d", got, 1100-1024)
		}
		set(broken, nil)
		time.Sleep(socketPause)
		synctest.Wait()
		mu.Lock()
		if len(s.got) != 1+1024 {
			t.Errorf("%d came when it was back", len(s.got))
		}
		mu.Unlock()
		set(fenced, fenced)
		send()
		time.Sleep(socketPause)
		send()
		if got := counted(t, reg, "cordon_trace_hep_dropped_total"); got != 1100-1024+2 {
			t.Errorf("%v dropped when the law closed the way", got)
		}
		set(fenced, nil)
		time.Sleep(socketPause)
		c.Export(Event{At: time.Now(), Local: edge, Remote: carrier, Text: strings.Repeat("x", maxHEP)}, "ref")
		send()
		has("after one that is too long", 0, fmt.Sprint("message ", n))
		cancel()
		<-done
	})
}
