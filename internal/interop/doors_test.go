//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

const asks = `> OPTIONS
< %s`

// Conforms: RFC 3261 section 11
func TestOptions(t *testing.T) {
	l := set(t, "udp", nil, answers)
	l.call(fmt.Sprintf(asks, "200 | Allow: INVITE"))
	l.finish(0)
}

// An edge that is asked to end refuses new calls and keeps the live one until its BYE.
// Conforms: RFC 3261 section 21.5.4
func TestDraining(t *testing.T) {
	l := set(t, "udp", nil, answers)
	live := l.dial(strings.Replace(talks, "wait 1600", "wait 3500", 1))
	until(t, "the call is answered", 10*time.Second, func() bool { return l.groups[0].count(false, "ACK") == 1 })
	l.signal(syscall.SIGTERM)
	until(t, "the node says that it is not ready", 5*time.Second, func() bool { return !l.ready() })
	l.call(`> INVITE | sdp
< 100 | optional
< 503 | Retry-After: [0-9]
> ACK | of=3`)
	l.call(fmt.Sprintf(asks, "503 | Retry-After: [0-9]"))
	if live.ended() || l.ended() || l.groups[0].count(false, "BYE") != 0 {
		t.Error("the live call did not last")
	}
	live.expect(1)
	if code := l.wait(t, 20*time.Second); code != 0 {
		t.Errorf("cordon ended with %d", code)
	}
	l.groups[0].finish(1)
	l.verify()
}

func TestReloadLeavesLiveCallsAlone(t *testing.T) {
	l := set(t, "udp", nil, answers)
	// The tone goes out after the reload: the call's media must still stand.
	live := l.dial(strings.Replace(talks, "play\n", "wait 2500\nplay\n", 1))
	until(t, "the call is answered", 10*time.Second, func() bool { return l.groups[0].count(false, "ACK") == 1 })
	const gone = "aws:eu-north-1" // a narrower policy is in force at once, a wider one waits for people
	before := strings.Count(l.mustCLI("ops", "status"), gone)
	l.w.allow = slices.DeleteFunc(l.w.allow, func(r string) bool { return r == gone })
	l.w.write(l.node)
	l.signal(syscall.SIGHUP)
	until(t, "the reload", 5*time.Second, func() bool { return strings.Contains(l.output(), "the new configuration is in force") })
	if live.ended() || l.groups[0].count(false, "BYE") != 0 {
		t.Error("the live call did not last")
	}
	live.expect(1)
	r := l.oneReceipt()
	wantAnswered(t, r, "fra", "primary")
	wantAudio(t, r)
	if out := l.mustCLI("ops", "status"); strings.Count(out, gone) >= before {
		t.Errorf("status does not know the new policy:\n%s", out)
	}
	l.finish(1)
}

// malformed are datagrams that no peer should send. Each may be refused or dropped; none may hurt.
func malformed(edge string) map[string]string {
	head := "INVITE sip:+4969@" + edge + " SIP/2.0\r\nVia: SIP/2.0/UDP " + carrierAt + ":5060;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"
	from, to, id, cseq := "From: <sip:a@b.example>;tag=1\r\n", "To: <sip:+4969@b.example>\r\n", "Call-ID: bad-%s@x\r\n", "CSeq: 1 INVITE\r\n"
	contact := "Contact: <sip:a@" + carrierAt + ":5060>\r\n"
	m := map[string]string{
		"truncated":                fmt.Sprintf(head, "t")[:60],
		"garbage":                  "\x00\x01\xff\xfe" + strings.Repeat("\x80\x7f", 300),
		"empty lines":              "\r\n\r\n\r\n\r\n",
		"oversize":                 head + from + to + id + cseq + contact + "X-Big: " + strings.Repeat("x", 60000) + "\r\nContent-Length: 0\r\n\r\n",
		"Content-Length too long":  head + from + to + id + cseq + contact + "Content-Type: application/sdp\r\nContent-Length: 999\r\n\r\nv=0\r\n",
		"Content-Length negative":  head + from + to + id + cseq + contact + "Content-Length: -5\r\n\r\n",
		"two Content-Lengths":      head + from + to + id + cseq + contact + "Content-Length: 0\r\nContent-Length: 7\r\n\r\n",
		"no To":                    head + from + id + cseq + contact + "Content-Length: 0\r\n\r\n",
		"no From":                  head + to + id + cseq + contact + "Content-Length: 0\r\n\r\n",
		"no Call-ID":               head + from + to + cseq + contact + "Content-Length: 0\r\n\r\n",
		"CSeq of another method":   head + from + to + id + "CSeq: 1 BYE\r\n" + contact + "Content-Length: 0\r\n\r\n",
		"SIP/7.0":                  strings.Replace(head, "SIP/2.0\r\n", "SIP/7.0\r\n", 1) + from + to + id + cseq + contact + "Content-Length: 0\r\n\r\n",
		"no hops left":             strings.Replace(head, ": 70", ": 0", 1) + from + to + id + cseq + contact + "Content-Length: 0\r\n\r\n",
		"a body that is no SDP":    head + from + to + id + cseq + contact + "Content-Type: application/sdp\r\nContent-Length: 7\r\n\r\nrubbish",
		"a response to nothing":    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP " + edge + ":5060;branch=z9hG4bKnone\r\n" + from + to + id + cseq + "Content-Length: 0\r\n\r\n",
		"a BYE outside any dialog": strings.ReplaceAll(head, "INVITE", "BYE") + from + "To: <sip:a@b>;tag=2\r\n" + id + "CSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
	}
	i := 0
	for name, text := range m {
		i++
		m[name] = strings.ReplaceAll(text, "%s", fmt.Sprint("bad", i))
	}
	return m
}

// Conforms: RFC 3261 section 18.3
func TestMalformedMessagesOverUDP(t *testing.T) {
	l := set(t, "udp", nil, answers)
	for name, text := range malformed(l.w.edge) {
		c := l.dialSIP("udp", carrierAt)
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		b := make([]byte, 65536)
		heard := "silence"
		for {
			n, err := c.Read(b)
			if err != nil {
				break
			}
			line, _, _ := strings.Cut(string(b[:n]), "\r\n")
			if heard = strings.TrimPrefix(line, "SIP/2.0 "); heard[0] != '1' {
				break
			}
		}
		c.Close()
		t.Logf("%-26s %s", name, heard)
		if heard != "silence" && heard[0] != '4' && heard[0] != '5' {
			t.Errorf("%s: %s", name, heard)
		}
		if l.ended() {
			t.Fatalf("%s ended the node", name)
		}
	}
	l.call(talks)
	l.groups[0].finish(1)
	l.carrier.finish(0)
	l.stop()
}

// Over a stream a wrong length breaks the framing: the connection may end, the node and its other connections may not.
// Conforms: RFC 3261 section 18.3
func TestMalformedMessagesOverTCP(t *testing.T) {
	l := set(t, "tcp", nil, answers)
	for name, text := range malformed(l.w.edge) {
		c := l.dialSIP("tcp", carrierAt)
		text = strings.ReplaceAll(text, "SIP/2.0/UDP", "SIP/2.0/TCP")
		_, err := c.Write([]byte(text))
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		b := make([]byte, 65536)
		heard := "silence"
		for err == nil {
			var n int
			if n, err = c.Read(b); err == nil {
				line, _, _ := strings.Cut(string(b[:n]), "\r\n")
				if heard = strings.TrimPrefix(line, "SIP/2.0 "); heard != "" && heard[0] != '1' {
					break
				}
			} else if !errors.Is(err, os.ErrDeadlineExceeded) {
				heard = strings.TrimPrefix(heard+", then closed", "silence, then ")
			}
		}
		c.Close()
		t.Logf("%-26s %s", name, heard)
		if l.ended() {
			t.Fatalf("%s ended the node", name)
		}
	}
	l.call(talks)
	l.groups[0].finish(1)
	l.carrier.finish(0)
	l.stop()
}

// The commands, as somebody at a terminal types them.
func TestCommands(t *testing.T) {
	l := set(t, "udp", nil, answers, answers)
	if out := l.mustCLI("ops", "check", "cordon.yaml"); !strings.Contains(out, "zrh") || !strings.Contains(out, "permit") {
		t.Errorf("check:\n%s", out)
	}
	if out := l.mustCLI("ops", "status"); !strings.Contains(out, "HEALTHY") || !strings.Contains(out, "zrh") {
		t.Errorf("status:\n%s", out)
	}
	out := l.mustCLI("ops", "plan", "carrier", "+4969123456")
	if i, j := strings.Index(out, "1. fra"), strings.Index(out, "2. zrh"); i < 0 || j < i {
		t.Errorf("plan:\n%s", out)
	}
	out = l.mustCLI("ops", "call", "carrier", "+4969123456", "--hold", "1s")
	t.Logf("call: %s", out)
	if !strings.HasPrefix(out, "200 over fra") || strings.Contains(out, " 0 packets came back") {
		t.Errorf("call: %s", out)
	}
	if r := l.oneReceipt(); r.Purpose != "synthetic_probe" || r.Outcome.SIPFinal != 200 || r.EdgeGroup != "fra" {
		t.Errorf("receipt: %+v", r)
	}
	if out, err := l.cli("ben", "call", "carrier", "+4969123456"); err == nil {
		t.Errorf("somebody who is no operator placed a call: %s", out)
	}
	if out, err := l.cli("nobody", "status"); err == nil {
		t.Errorf("status without a token: %s", out)
	}
	if out := l.mustCLI("ops", "gate", "list"); strings.Count(out, "\n") != 1 {
		t.Errorf("gate list:\n%s", out)
	}
	l.finish(1, 0)
}

// A suspended instrument takes its country out of reach within a second, without a restart.
func TestASuspensionByCommand(t *testing.T) {
	l := set(t, "udp", func(w *world) {
		key, err := loopback.command(cordonBin, "law", "key", filepath.Join(w.dir, "law.key")).Output()
		if err != nil {
			t.Fatal(err)
		}
		public := regexp.MustCompile(`law-1: (\S+)`).FindStringSubmatch(string(key))
		if public == nil {
			t.Fatalf("law key: %s", key)
		}
		w.policy = fmt.Sprintf("suspensions_file: suspended.jsonl\n  suspension_keys: {law-1: %q}", public[1])
	}, answers, answers)
	before := l.mustCLI("ops", "plan", "carrier", "+4969123456")
	if !strings.Contains(before, "2. zrh") {
		t.Fatalf("plan:\n%s", before)
	}
	l.mustCLI("ops", "law", "suspend", "2000/518/EC", "--reason", "a court says so", "--file", "suspended.jsonl", "--key", "law.key", "--key-id", "law-1")
	began := time.Now()
	until(t, "the plan leaves Zurich out", 5*time.Second, func() bool {
		return strings.Contains(l.mustCLI("ops", "plan", "carrier", "+4969123456"), "not zrh")
	})
	measured(t, "a suspension by command takes effect", time.Since(began), time.Second)
	if out := l.mustCLI("ops", "status"); !strings.Contains(out, "2000/518/EC") {
		t.Errorf("status:\n%s", out)
	}
	l.call(talksBriefly)
	l.finish(1, 0)
}

// A log that somebody changed does not verify, and the command says where.
func TestATamperedLogDoesNotVerify(t *testing.T) {
	l := set(t, "udp", nil, answers)
	l.call(talksBriefly)
	l.oneReceipt()
	l.finish(1)
	changed := 0 // every copy of the receipt: there is one in each bundle that was published since
	err := filepath.WalkDir(filepath.Join(l.dir, "state", "log"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if i := bytes.Index(b, []byte(`"sip_final":200`)); err == nil && i >= 0 && strings.Contains(path, "entries") {
			b[i+len(`"sip_final":`)] = '4'
			changed++
			return os.WriteFile(path, b, 0o644)
		}
		return err
	})
	if err != nil || changed == 0 {
		t.Fatalf("%d files changed, %v", changed, err)
	}
	out, err := l.cli("ops", "verify", "state")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	t.Logf("verify says:\n%s", out)
}

// A node that is killed under a live call comes back with a record of the gap, and its log holds.
func TestACrashLeavesAGapRecord(t *testing.T) {
	l := set(t, "udp", nil, answers)
	l.call(talksBriefly)
	l.oneReceipt()
	live := l.dial(strings.Replace(talks, "wait 1600", "wait 60000", 1))
	until(t, "the call is answered", 10*time.Second, func() bool { return l.groups[0].count(false, "ACK") == 2 })
	l.kill()
	live.kill()
	l.node = boot(t, l.w, "fra", "carrier")
	var page struct{ Entries []audit.Entry }
	l.get("/api/v1/log/entries?kind=log.gap", &page)
	if len(page.Entries) != 1 {
		t.Fatalf("%d gap records", len(page.Entries))
	}
	var gap audit.Gap
	if err := json.Unmarshal(page.Entries[0].Body, &gap); err != nil || gap.Cause != "crash" || gap.Lost != 1 || len(gap.Calls) != 1 {
		t.Errorf("the gap record: %+v, %v", gap, err)
	}
	l.call(talksBriefly)
	l.signal(syscall.SIGTERM)
	if code := l.wait(t, 20*time.Second); code != 0 {
		t.Errorf("cordon ended with %d", code)
	}
	if out := l.mustCLI("ops", "verify", "state"); !strings.Contains(out, "2 of them receipts, 1 gaps") {
		t.Errorf("verify: %s", out)
	}
}
