//go:build interop

package interop

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sipp is one running SIPp.
type sipp struct {
	*process
	t    *testing.T
	dir  string
	addr string
	port uint16
}

// options of a SIPp beyond its script.
type options struct {
	at        place
	transport string // udp (default) or tcp
	args      []string
	echo      bool // sends back the RTP that comes
}

func (o options) flag() string {
	if o.transport == "tcp" {
		return "t1"
	}
	return "u1"
}

// launch runs SIPp on an address with the XML of a script.
func launch(t *testing.T, addr string, port uint16, xml string, o options, args ...string) *sipp {
	t.Helper()
	s := &sipp{t: t, dir: t.TempDir(), addr: addr, port: port}
	writeFile(t, filepath.Join(s.dir, "scenario.xml"), []byte(xml))
	writeFile(t, filepath.Join(s.dir, "tone.pcap"), tonePcap(packetsOfTone))
	writeFile(t, filepath.Join(s.dir, "long.pcap"), tonePcap(20*packetsOfTone))
	writeFile(t, filepath.Join(s.dir, "fax.pcap"), pcapOf(faxPackets(), 30*time.Millisecond))
	all := []string{
		"-sf", "scenario.xml", "-i", addr, "-p", fmt.Sprint(port), "-mi", addr, "-mp", fmt.Sprint(o.at.freePort(t, addr)), "-t", o.flag(), "-nostdin",
		"-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_msg", "-message_file", "messages.log", "-trace_err", "-error_file", "errors.log",
		"-trace_screen", "-screen_file", "screen.log", "-watchdog_minor_maxtriggers", "100000", "-watchdog_major_maxtriggers", "100000",
	}
	if o.echo {
		all = append(all, "-rtp_echo")
	}
	all = append(append(all, o.args...), args...)
	s.process = start(t, o.at, s.dir, "sipp", all...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sipp on %s: errors: %s\nmessages: %s", addr, tail(s.file("errors.log"), 3000), tail(s.file("messages.log"), 12000))
		}
	})
	return s
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// answer starts a callee on a free port.
func answer(t *testing.T, addr, script string, o options) *sipp {
	t.Helper()
	return launch(t, addr, o.at.freePort(t, addr), callee(t, script), o)
}

// as makes a party of a SIPp.
func (s *sipp) as(name, transport string) party {
	return party{name: name, addr: s.addr, port: s.port, transport: transport}
}

// quiet is a carrier that answers OPTIONS and never gets a call.
const quiet = "< INVITE\n> 503\n< ACK"

// dial starts a caller toward a node from the address of its carrier.
func dial(t *testing.T, n *node, addr, script string, o options, args ...string) *sipp {
	t.Helper()
	tr := o.transport
	if tr == "" {
		tr = "udp"
	}
	all := append([]string{"-s", "+4969123456", "-m", "1", "-timeout", "60s", "-timeout_error"}, args...)
	all = append(all, fmt.Sprintf("%s:%d", n.w.edge, n.sip[tr]))
	return launch(t, addr, o.at.freePort(t, addr), caller(t, script), o, all...)
}

// call is dial for callers that end by themselves: it waits and checks SIPp's own counts.
func call(t *testing.T, n *node, addr, script string, o options, args ...string) *sipp {
	t.Helper()
	s := dial(t, n, addr, script, o, args...)
	s.expect(1)
	return s
}

// expect waits for a caller and wants so many successful calls and no failed one.
func (s *sipp) expect(calls int) stats {
	s.t.Helper()
	code := s.wait(s.t, 90*time.Second)
	st := s.stats()
	if code != 0 || st.successful != calls || st.failed != 0 {
		s.t.Fatalf("sipp ended with %d: %d calls successful (want %d), %d failed\n%s", code, st.successful, calls, st.failed, s.file("errors.log"))
	}
	return st
}

// finish ends a callee in its own way, so that it writes its last counts, and wants so many INVITEs and no failed call. SIPp counts probes as calls, too.
func (s *sipp) finish(invites int) stats {
	s.t.Helper()
	s.signal(syscall.SIGUSR1)
	s.wait(s.t, 20*time.Second)
	st := s.stats()
	if st.invites != invites || st.failed != 0 {
		s.t.Fatalf("sipp on %s: %d INVITEs (want %d), %d failed calls\n%s", s.addr, st.invites, invites, st.failed, s.file("errors.log"))
	}
	return st
}

// stats are SIPp's own counts.
type stats struct {
	successful, failed, retransmissions, invites int
}

func (s *sipp) stats() stats {
	s.t.Helper()
	r := csv.NewReader(strings.NewReader(s.file("stat.csv")))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = ';', -1, true
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		s.t.Fatalf("statistics of sipp on %s: %v, %d rows\n%s", s.addr, err, len(rows), s.output())
	}
	last := rows[len(rows)-1]
	column := func(name string) int {
		for i, h := range rows[0] {
			if strings.EqualFold(h, name) && i < len(last) {
				n, _ := strconv.Atoi(last[i])
				return n
			}
		}
		return -1
	}
	return stats{column("SuccessfulCall(C)"), column("FailedCall(C)"), column("Retransmissions(C)"), column("invites(C)")}
}

func (s *sipp) file(name string) string {
	b, _ := os.ReadFile(filepath.Join(s.dir, name)) // it is there only when there was something to say
	return string(b)
}

// message is one line of SIPp's trace: when, which way, and the whole text.
type message struct {
	at   time.Time
	sent bool
	line string // start line
	text string
}

var traceHead = regexp.MustCompile(`(?m)^-{10,} (\d{4}-\d\d-\d\d)[ \t]+(\d\d:\d\d:\d\d\.\d{6})\s*\n(?:UDP|TCP|TLS) message (sent|received)[^\n]*\n\n`)

// messages reads the trace.
func (s *sipp) messages() []message {
	s.t.Helper()
	text := strings.ReplaceAll(s.file("messages.log"), "\r\n", "\n")
	heads := traceHead.FindAllStringSubmatchIndex(text, -1)
	var out []message
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		at, err := time.Parse("2006-01-02 15:04:05.000000", text[h[2]:h[3]]+" "+text[h[4]:h[5]])
		if err != nil {
			s.t.Fatal(err)
		}
		body := strings.TrimLeft(text[h[1]:end], "\n")
		line, _, _ := strings.Cut(body, "\n")
		out = append(out, message{at, text[h[6]:h[7]] == "sent", line, body})
	}
	return out
}

// first finds the first message of a kind: sent or received, by the beginning of its start line.
func (s *sipp) first(sent bool, start string) message {
	s.t.Helper()
	for _, m := range s.messages() {
		if m.sent == sent && strings.HasPrefix(m.line, start) {
			return m
		}
	}
	s.t.Fatalf("sipp on %s never saw %q (sent %v)\n%s", s.addr, start, sent, s.file("messages.log"))
	return message{}
}

// count counts messages of a kind.
func (s *sipp) count(sent bool, start string) int {
	n := 0
	for _, m := range s.messages() {
		if m.sent == sent && strings.HasPrefix(m.line, start) {
			n++
		}
	}
	return n
}

// rang is the time from the INVITE to the first 180, as the caller saw it.
func (s *sipp) rang() time.Duration {
	s.t.Helper()
	return s.first(false, "SIP/2.0 180").at.Sub(s.first(true, "INVITE").at)
}

var echoed = regexp.MustCompile(`(\d+) Total echo RTP pckts 1st stream`)

// echoes is how many RTP packets a running SIPp says that it sent back.
func (s *sipp) echoes() int {
	s.t.Helper()
	var m []string
	until(s.t, "sipp's screens", 5*time.Second, func() bool {
		s.signal(syscall.SIGUSR2) // it writes its screens into the file, through a buffer that a few of them fill
		m = echoed.FindStringSubmatch(s.file("screen.log"))
		return m != nil
	})
	n, err := strconv.Atoi(m[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// packetsOfTone is one second of audio.
const packetsOfTone = 50

// tonePcap makes a capture that SIPp can play: packets of 20 ms of a 440 Hz tone as G.711 A-law (RTP payload type 8).
func tonePcap(count int) []byte {
	const payload = 160
	var all [][]byte
	for i := range count {
		rtp := make([]byte, 12+payload)
		rtp[0], rtp[1] = 0x80, 8
		binary.BigEndian.PutUint16(rtp[2:], uint16(1000+i))
		binary.BigEndian.PutUint32(rtp[4:], uint32(i*payload))
		binary.BigEndian.PutUint32(rtp[8:], 0x1badcafe)
		for j := range payload {
			rtp[12+j] = alaw(int16(8000 * math.Sin(2*math.Pi*440*float64(i*payload+j)/8000)))
		}
		all = append(all, rtp)
	}
	return pcapOf(all, 20*time.Millisecond)
}

// pcapOf makes a capture of datagrams in UDP over Ethernet.
func pcapOf(datagrams [][]byte, every time.Duration) []byte {
	var b bytes.Buffer
	le := binary.LittleEndian
	// Global header: magic, version 2.4, zone, accuracy, snap length, LINKTYPE_ETHERNET.
	for _, v := range []any{uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(1)} {
		_ = binary.Write(&b, le, v) // a Buffer takes everything
	}
	for i, datagram := range datagrams {
		frame := make([]byte, 14+20+8, 14+20+8+len(datagram))
		frame[12], frame[13] = 0x08, 0x00 // IPv4
		ip := frame[14:34]
		ip[0], ip[8], ip[9] = 0x45, 64, 17
		binary.BigEndian.PutUint16(ip[2:], uint16(20+8+len(datagram)))
		copy(ip[12:], []byte{192, 0, 2, 1})
		copy(ip[16:], []byte{192, 0, 2, 2})
		var sum uint32
		for k := 0; k < 20; k += 2 {
			sum += uint32(binary.BigEndian.Uint16(ip[k:]))
		}
		for sum > 0xffff {
			sum = sum&0xffff + sum>>16
		}
		binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
		udp := frame[34:42]
		binary.BigEndian.PutUint16(udp[0:], 4000)
		binary.BigEndian.PutUint16(udp[2:], 4000)
		binary.BigEndian.PutUint16(udp[4:], uint16(8+len(datagram)))
		frame = append(frame, datagram...)
		micros := (time.Duration(i) * every).Microseconds()
		for _, v := range []uint32{uint32(micros / 1000000), uint32(micros % 1000000), uint32(len(frame)), uint32(len(frame))} {
			_ = binary.Write(&b, le, v)
		}
		b.Write(frame)
	}
	return b.Bytes()
}

// alaw encodes one sample, ITU-T G.711.
func alaw(s int16) byte {
	mask := byte(0xd5)
	v := int(s) >> 3
	if v < 0 {
		mask, v = 0x55, -v-1
	}
	seg := 0
	for limit := 31; seg < 7 && v > limit; seg++ {
		limit = limit<<1 | 1
	}
	b := byte(seg << 4)
	if seg < 2 {
		b |= byte(v >> 1 & 0x0f)
	} else {
		b |= byte(v >> seg & 0x0f)
	}
	return b ^ mask
}

func num(n int) string { return strconv.Itoa(n) }
