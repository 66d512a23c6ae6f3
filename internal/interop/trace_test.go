//go:build interop

package interop

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sip/trace"
)

const tracedNumber = "+4969123456"

// tracedLab is a lab whose node sends copies of messages to a collector.
type tracedLab struct {
	*lab
	collector netip.AddrPort
}

func newTracedLab(t *testing.T) *tracedLab {
	t.Helper()
	at := loop(5, 20)
	l := &tracedLab{collector: netip.AddrPortFrom(netip.MustParseAddr(at), loopback.freePort(t, at))}
	l.lab = set(t, "udp", func(w *world) {
		writeFile(t, filepath.Join(w.dir, "hep.secret"), []byte("h3p\n"))
		w.more = fmt.Sprintf("hep: {address: %q, capture_id: 2001, password: {file: hep.secret}}\n", l.collector)
	}, answers)
	return l
}

// command starts one command as a person who may see calls.
func (l *tracedLab) command(args ...string) *process {
	l.t.Helper()
	return start(l.t, loopback, l.dir, cordonBin, append(args, "--api=http://"+l.api, "--token="+filepath.Join(l.dir, "ops.token"))...)
}

// liveRef waits for the only live call and gives its reference.
func (l *tracedLab) liveRef() (ref string) {
	l.t.Helper()
	until(l.t, "a live call", 10*time.Second, func() bool {
		var v struct {
			Calls []struct {
				Ref string `json:"call_ref"`
			}
		}
		if l.get("/api/v1/calls", &v); len(v.Calls) == 1 {
			ref = v.Calls[0].Ref
		}
		return ref != ""
	})
	return ref
}

// sight is one message as somebody saw it on its way.
func sight(at time.Time, from, to, line, callID string) string {
	return fmt.Sprintf("%d.%09d %s > %s %s [%s]", at.Unix(), at.Nanosecond(), from, to, line, callID)
}

var callIDLine = regexp.MustCompile(`(?mi)^Call-ID: *(\S+)\r$`)

// told are the messages that `cordon trace CALL --json` tells of, with their times cut to a unit.
func told(t *testing.T, events []trace.Event, unit time.Duration) (list []string) {
	t.Helper()
	for _, e := range events {
		if e.Kind != "message" {
			continue
		}
		from, to := e.Remote.String(), e.Local.String()
		if e.Out {
			from, to = to, from
		}
		line, _, _ := strings.Cut(e.Text, "\r\n")
		id := callIDLine.FindStringSubmatch(e.Text)
		if id == nil {
			t.Fatalf("no Call-ID in %s", e.Text)
		}
		list = append(list, sight(e.At.Truncate(unit), from, to, line, id[1]))
	}
	return list
}

// dissected is what tshark finds in a capture file: each packet must be SIP.
func (l *tracedLab) dissected(file string) (list []string) {
	l.t.Helper()
	cmd := exec.Command("tshark", "-r", file, "-n", "-d", fmt.Sprintf("udp.port==%d,sip", l.sip["udp"]), "-T", "fields", "-E", "separator=|",
		"-e", "frame.time_epoch", "-e", "ip.src", "-e", "udp.srcport", "-e", "ip.dst", "-e", "udp.dstport", "-e", "sip.Request-Line", "-e", "sip.Status-Line", "-e", "sip.Call-ID")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 8 || f[5]+f[6] == "" {
			l.t.Fatalf("tshark: no SIP: %s", line)
		}
		list = append(list, fmt.Sprintf("%s %s:%s > %s:%s %s [%s]", f[0], f[1], f[2], f[3], f[4], f[5]+f[6], f[7]))
	}
	return list
}

// masked fails when a file or a text holds what must not be seen.
func masked(t *testing.T, what, text string) {
	t.Helper()
	for _, open := range []string{tracedNumber[1:], "4930123456", "Caller"} { // the called, the caller and the caller's name
		if strings.Contains(text, open) {
			t.Errorf("%s: %s is not masked", what, open)
		}
	}
	if !strings.Contains(text, "+********56") {
		t.Errorf("%s: no masked number", what)
	}
}

func (l *tracedLab) read(file string) string {
	l.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}

// sequence is what one side of a call said and heard, as a ladder shows it; what came twice in a row stands once.
func sequence(events []trace.Event, side string) string {
	var list []string
	for _, e := range events {
		if e.Kind == "message" && e.Side == side {
			arrow := "<"
			if e.Out {
				arrow = ">"
			}
			list = append(list, arrow+strings.Fields(e.Line)[0])
		}
	}
	return strings.Join(slices.Compact(list), " ")
}

// One call as four witnesses saw it: `cordon trace` in JSON, its capture file as tshark reads it, the copies of the node as sngrep decodes HEP3, and those as they
// crossed the wire.
func TestACallAsOthersSeeIt(t *testing.T) {
	l := newTracedLab(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "sngreprc"), []byte("set eep.listen.pass h3p\n"))
	homer := start(t, loopback, dir, "sngrep", "-N", "-q", "-f", "sngreprc", "-L", fmt.Sprintf("udp:%s", l.collector), "-O", "hep.pcap")
	until(t, "sngrep listens", 10*time.Second, func() bool { return !free("udp4", l.collector.Addr().String(), l.collector.Port()) })
	// These are few, and would stand in a block of the kernel that is not full yet when the capture ends.
	wire := watch(t, loopback, "--immediate-mode", "-s", "4096", "udp and dst port "+fmt.Sprint(l.collector.Port()))
	l.call(talksBriefly, "-s", tracedNumber)
	ref := l.oneReceipt().CallRef
	var call trace.Trace
	until(t, "copies of every message", 10*time.Second, func() bool {
		if err := json.Unmarshal([]byte(l.mustCLI("ops", "trace", ref, "--json")), &call); err != nil {
			t.Fatal(err)
		}
		return !call.Ended.IsZero() && len(told(t, call.Events, 1)) >= 13 && l.metric("cordon_trace_hep_sent_total", "") == len(told(t, call.Events, 1))
	})
	if a, b := sequence(call.Events, "left"), sequence(call.Events, "right"); a != "<INVITE >100 >180 >200 <ACK <BYE >200" || b != ">INVITE <180 <200 >ACK >BYE <200" {
		t.Errorf("the call: %s; %s", a, b)
	}
	pcap := filepath.Join(dir, "call.pcap")
	l.mustCLI("ops", "trace", ref, "--pcap="+pcap)
	if got, want := l.dissected(pcap), told(t, call.Events, 1); !slices.Equal(got, want) {
		t.Errorf("the capture file, by tshark:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	want := told(t, call.Events, time.Microsecond)
	hep := filepath.Join(dir, "hep.pcap")
	until(t, "sngrep wrote all", 10*time.Second, func() bool { return strings.Count(l.read(hep), "Call-ID:") >= len(want) })
	homer.signal(syscall.SIGTERM)
	homer.wait(t, 10*time.Second)
	if got := l.dissected(hep); !slices.Equal(got, want) {
		t.Errorf("the copies, by sngrep and tshark:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wire.end(t)
	correlated(t, wire.file, ref, len(want))
	for what, text := range map[string]string{"capture file": l.read(pcap), "copies": l.read(hep), "copies on the wire": l.read(wire.file)} {
		masked(t, what, text)
	}
	noted(t, "messages of one call that tshark reads in its capture file, and sngrep in HEP3", fmt.Sprintf("%d and %d", len(want), len(want)), "all, masked, in order")
	l.finish(1)
}

// correlated checks what sngrep does not write down: capture id, kind, family, protocol and the reference that joins the legs, in each packet on the wire.
func correlated(t *testing.T, file, ref string, packets int) {
	t.Helper()
	out, err := exec.Command("tshark", "-r", file, "-T", "fields", "-e", "udp.payload").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	list := strings.Fields(string(out))
	if len(list) != packets {
		t.Errorf("%d packets went to the collector, want %d", len(list), packets)
	}
	for _, text := range list {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) < 6 || string(b[:4]) != "HEP3" || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
			t.Fatalf("no packet of HEP3: %s %v", text, err)
		}
		chunks := map[uint16]string{}
		for rest := b[6:]; len(rest) >= 6; {
			n := int(binary.BigEndian.Uint16(rest[4:]))
			if n < 6 || n > len(rest) {
				t.Fatalf("no chunk: %x", rest)
			}
			chunks[binary.BigEndian.Uint16(rest[2:])] = string(rest[6:n])
			rest = rest[n:]
		}
		if got := []string{chunks[1], chunks[2], chunks[11], chunks[12], chunks[14], chunks[17]}; !slices.Equal(got, []string{"\x02", "\x11", "\x01", "\x00\x00\x07\xd1", "h3p", ref}) {
			t.Errorf("family, protocol, kind, capture id, key, correlation: %q", got)
		}
	}
}

var rungs = regexp.MustCompile(`(?m)^ +\d+\.\d{3}  (?:\|(?:-|<) (.*?) -*(?:-|>)\||\| +\| ?(?:-|<) (.*?) -*(?:-|>) ?\||-- (.*))`)

// The commands of somebody who watches a live call: the ladder and lines of JSON, both to its end, and the ladder again behind it.
func TestACallIsFollowed(t *testing.T) {
	l := newTracedLab(t)
	caller := l.dial(talks, "-s", tracedNumber)
	ref := l.liveRef()
	ladder, lines := l.command("trace", ref, "--follow"), l.command("trace", ref, "-f", "--json")
	caller.expect(1)
	for _, p := range []*process{ladder, lines} {
		if code := p.wait(t, 20*time.Second); code != 0 {
			t.Fatalf("%d:\n%s", code, p.output())
		}
	}
	var events []trace.Event
	for line := range strings.Lines(lines.output()) {
		var e trace.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("no object: %s: %v", line, err)
		}
		if events = append(events, e); e.Seq != len(events) {
			t.Errorf("event %d is numbered %d", len(events), e.Seq)
		}
	}
	if a, b := sequence(events, "left"), sequence(events, "right"); a != "<INVITE >100 >180 >200 <ACK <BYE >200" || b != ">INVITE <180 <200 >ACK >BYE <200" {
		t.Errorf("followed: %s; %s", a, b)
	}
	masked(t, "lines of JSON", lines.output())
	after := l.mustCLI("ops", "trace", ref)
	if live := ladder.output(); live[strings.Index(live, "\n"):] != after[strings.Index(after, "\n"):] { // the head of a live call knows one end of the session
		t.Errorf("followed:\n%s\nafterwards:\n%s", live, after)
	}
	found := rungs.FindAllStringSubmatch(after, -1)
	if !strings.HasPrefix(after, "call "+ref+"  session ") || !strings.Contains(after, ", masked\n") || !regexp.MustCompile(`seconds  carrier +cordon +fra\n`).MatchString(after) || len(found) != len(events) {
		t.Errorf("%d rungs of %d events:\n%s", len(found), len(events), after)
	}
	for _, want := range []string{
		`\|- INVITE \(\d+ INVITE\) SDP -+>\|`, `\|< 100 Trying \(\d+ INVITE\) -+\|`, `-- attempt: fra \S+ aws:eu-central-1 permitted`, `\| - INVITE \(\d+ INVITE\) SDP -+> \|`,
		`\| < 180 \S+ \(\d+ INVITE\) -+ \|`, `\|< 200 OK \(\d+ INVITE\) SDP -+\|`, `\|- BYE \(\d+ BYE\) -+>\|`, `-- ended by the caller with 200, answered`,
	} {
		if !regexp.MustCompile(want).MatchString(after) {
			t.Errorf("no rung %s in\n%s", want, after)
		}
	}
	if out, err := l.cli("ops", "trace", ref, "--content"); err == nil || !strings.Contains(out, "cordon: error: ") {
		t.Errorf("asked for content: %v\n%s", err, out)
	}
	if out, err := l.cli("ops", "trace", "c-nobody"); err == nil || !strings.Contains(out, "cordon: error: ") {
		t.Errorf("asked for a call that never was: %v\n%s", err, out)
	}
	if out, err := l.cli("anna", "gate", "list"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	l.finish(1)
}
