//go:build interop

package interop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// linphone is one running linphone-daemon, which is told what to do over its pipe and says there what happened.
type linphone struct {
	*process
	t    *testing.T
	ctl  net.Conn
	addr string
	port uint16
	tone string // the file that it plays
}

const linphoneConfig = `[sip]
sip_port=0
sip_tcp_port=0
sip_tls_port=0
guess_hostname=0
contact="%s" <sip:%s@%s>
media_encryption=%s
media_encryption_mandatory=%d
root_ca=%s
verify_server_certs=1
verify_server_cn=0
[sound]
use_files=1
[rtp]
audio_rtp_port=%d
[video]
enabled=0
capture=0
display=0
[audio_codec_0]
mime=PCMA
rate=8000
channels=1
enabled=1
[audio_codec_1]
mime=telephone-event
rate=8000
channels=1
enabled=1
`

// newLinphone starts one in a namespace, over UDP in clear, or with an authority over TLS and SRTP. It answers by itself.
func newLinphone(t *testing.T, at place, addr, user string, pki *world) *linphone {
	t.Helper()
	p := &linphone{t: t, addr: addr, port: at.freePort(t, addr)}
	dir := t.TempDir()
	keying, must, roots, transport := "none", 0, "", "udp"
	if pki != nil {
		keying, must, roots, transport = "srtp", 1, filepath.Join(pki.dir, "roots.pem"), "tls"
	}
	writeFile(t, filepath.Join(dir, "rc"), fmt.Appendf(nil, linphoneConfig, user, user, addr, keying, must, roots, at.freePort(t, addr)))
	if err := os.MkdirAll(filepath.Join(dir, ".local/share/linphone"), 0o755); err != nil { // it does not make it itself
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "tone.wav"), toneWav(20))
	p.tone = filepath.Join(dir, "tone.wav")
	name := fmt.Sprintf("cordon-%d-%d", os.Getpid(), p.port) // it puts its socket into /tmp
	p.process = start(t, at, dir, "sh", "-c", `HOME="$PWD" exec linphone-daemon --config "$PWD/rc" --auto-answer --disable-stats-events --log linphone.log --pipe `+name)
	t.Cleanup(func() { os.Remove("/tmp/" + name) })
	until(t, "linphone opens its pipe", 15*time.Second, func() bool {
		if p.ended() {
			t.Fatalf("linphone ended: %v\n%s", p.err, p.output())
		}
		var err error
		p.ctl, err = net.Dial("unix", "/tmp/"+name)
		return err == nil
	})
	t.Cleanup(func() { p.ctl.Close() })
	p.say(fmt.Sprintf("port sip %d %s", p.port, transport))
	return p
}

// say gives a command and returns the answer.
func (p *linphone) say(command string) string {
	p.t.Helper()
	_ = p.ctl.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintln(p.ctl, command); err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, 65536)
	n, err := p.ctl.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "Status: Ok") {
		p.t.Fatalf("linphone on %s: %s: %v %s", p.addr, command, err, b[:n])
	}
	return string(b[:n])
}

// await waits until a call changed to a state, and takes the events up to there.
func (p *linphone) await(state string) {
	p.t.Helper()
	until(p.t, p.addr+" is in state "+state, 20*time.Second, func() bool {
		text := p.say("pop-event")
		if _, event, ok := strings.Cut(text, "Event: LinphoneCall"); ok {
			event, _, _ = strings.Cut(event, "\n")
			return event == state
		}
		return false
	})
}

// received is how many RTP packets the node has taken from a side, "a" or "b".
func (n *node) received(side string) (packets int) {
	n.t.Helper()
	req, err := http.NewRequest("GET", "http://"+n.api+"/metrics", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.token["ops"])
	res, err := n.http.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		n.t.Fatalf("metrics: %d %v", res.StatusCode, err)
	}
	name := `cordon_media_rx_packets_total{side="` + side + `"} `
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				n.t.Fatal(err)
			}
			return int(f)
		}
	}
	return 0
}

// talk waits until so many more packets came from both sides.
func (n *node) talk(packets int) {
	n.t.Helper()
	a, b := n.received("a"), n.received("b")
	until(n.t, fmt.Sprintf("%d packets come from both sides", packets), 15*time.Second, func() bool {
		return n.received("a") >= a+packets && n.received("b") >= b+packets
	})
}

// Linphone calls linphone through the node: it answers, holds, resumes and hangs up. The caller speaks UDP and RTP, or TLS and SRTP.
// Conforms: RFC 3261 section 13; RFC 3264 section 8.4; RFC 4568 section 6
func TestLinphone(t *testing.T) {
	for _, transport := range []string{"udp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			net := connect(t, 1, 5, 10)
			w := &world{at: net.in[5], edge: lan(5, 10)}
			secure, media := (*world)(nil), "{security: plain}"
			if transport == "tls" {
				w.pki(t, "edge.lab.example,"+lan(5, 10))
				secure, media = w, "{security: srtp}"
			}
			caller := newLinphone(t, net.in[1], lan(1, 10), "caller", secure)
			callee := newLinphone(t, net.in[10], lan(10, 10), "+4969123456", nil)
			w.trunks = []party{{name: "carrier", addr: caller.addr, port: caller.port, transport: transport, media: media}}
			w.groups = []party{{name: "fra", addr: callee.addr, port: callee.port, transport: "udp"}}
			n := boot(t, w, "fra")
			converse := func() {
				t.Helper()
				for _, p := range []*linphone{caller, callee} {
					p.await("StreamsRunning")
					p.say("incall-player-start " + p.tone + " 1")
				}
				n.talk(50)
			}
			caller.say(fmt.Sprintf("call sip:+4969123456@%s:%d;transport=%s", n.w.edge, n.sip[transport], transport))
			converse()
			caller.say("call-pause 1")
			caller.await("Paused")
			callee.await("PausedByRemote")
			caller.say("call-resume 1")
			converse()
			caller.say("terminate 1")
			callee.await("Released")
			r := n.oneReceipt()
			wantAnswered(t, r, "fra", "primary")
			if a, b := suites(r); b != "" || (a == "") != (transport == "udp") {
				t.Errorf("the receipt names the suites %q and %q", a, b)
			}
			n.stop()
		})
	}
}
