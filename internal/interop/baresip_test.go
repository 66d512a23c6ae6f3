//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// phone is one running baresip, which is told what to do over its control connection and says there what happens.
type phone struct {
	*process
	t    *testing.T
	dir  string
	addr string
	user string
	port uint16 // of UDP and TCP; TLS is one above
	ctl  net.Conn

	events struct {
		sync.Mutex
		at map[string]time.Time // the first of each kind since the last forget
	}
}

// phoneOptions say what a phone is.
type phoneOptions struct {
	at     place
	addr   string
	user   string
	secure bool   // TLS and SRTP, or UDP and RTP
	source string // tone (the file), echo (what it hears, of one call) or echoes (of each of its calls)
	pki    *world // for secure
	name   string // of its certificate's files
	params string // further parameters of its account
	config string // further lines of its configuration
}

// phoneConfig records what the phone hears, after decryption and decoding, as dump-...-dec.wav.
const phoneConfig = `poll_method epoll
call_local_timeout 120
call_max_calls 64
audio_player aubridge,line
audio_source %s
audio_alert aubridge,bell
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_stats yes
net_interface eth0
module_path /usr/lib/baresip/modules
module g711.so
module sndfile.so
module aubridge.so
module aufile.so
module srtp.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
snd_path %s
sip_listen %s:%d
ctrl_tcp_listen 127.0.0.1:%d
`

// ring up a phone.
func newPhone(t *testing.T, o phoneOptions) *phone {
	t.Helper()
	p := &phone{t: t, dir: t.TempDir(), addr: o.addr, user: o.user, port: o.at.freePort(t, o.addr)}
	source := "aubridge,line"
	if o.source == "tone" {
		writeFile(t, filepath.Join(p.dir, "tone.wav"), toneWav(20))
		source = "aufile," + filepath.Join(p.dir, "tone.wav")
	}
	ctl := o.at.freePort(t, "127.0.0.1")
	text := fmt.Sprintf(phoneConfig, source, p.dir, o.addr, p.port, ctl)
	account := fmt.Sprintf("<sip:%s@%s;transport=udp>;regint=0;audio_codecs=pcma;answermode=auto\n", o.user, o.addr)
	if o.secure {
		text += fmt.Sprintf("sip_certificate %s\nsip_cafile %s\n", filepath.Join(o.pki.dir, o.name+".pem"), filepath.Join(o.pki.dir, "roots.pem"))
		account = fmt.Sprintf("<sip:%s@%s;transport=tls>;regint=0;audio_codecs=pcma;answermode=auto;mediaenc=srtp-mand\n", o.user, o.addr)
	}
	if o.source == "echoes" { // the module answers by itself, and gives each call a bridge of its own
		text += "module_app echo.so\n"
		account = strings.Replace(account, "answermode=auto", "answermode=manual", 1)
	}
	if o.params != "" {
		account = strings.TrimSuffix(account, "\n") + ";" + o.params + "\n"
	}
	text += o.config
	writeFile(t, filepath.Join(p.dir, "config"), []byte(text))
	writeFile(t, filepath.Join(p.dir, "accounts"), []byte(account))
	writeFile(t, filepath.Join(p.dir, "contacts"), nil)
	p.process = start(t, o.at, p.dir, "baresip", "-f", p.dir)
	until(t, "baresip is ready", 15*time.Second, func() bool {
		if p.ended() {
			t.Fatalf("baresip ended: %v\n%s", p.err, p.output())
		}
		return strings.Contains(p.output(), "baresip is ready")
	})
	err := o.at.inside(func() error {
		var err error
		p.ctl, err = net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ctl))))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.ctl.Close() })
	p.forget()
	go p.listen()
	return p
}

// listen collects the events: JSON in netstrings, until the connection ends.
func (p *phone) listen() {
	r := bufio.NewReader(p.ctl)
	for {
		size, err := r.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
		if err != nil || n < 0 || n > 1<<20 {
			return
		}
		b := make([]byte, n+1) // and a comma
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		var e struct{ Type string }
		if json.Unmarshal(b[:n], &e) == nil && e.Type != "" {
			p.events.Lock()
			if _, known := p.events.at[e.Type]; !known {
				p.events.at[e.Type] = time.Now()
			}
			p.events.Unlock()
		}
	}
}

// await waits for an event and says when it came.
func (p *phone) await(event string) time.Time {
	p.t.Helper()
	var at time.Time
	until(p.t, p.addr+": "+event, 15*time.Second, func() bool {
		p.events.Lock()
		defer p.events.Unlock()
		at = p.events.at[event]
		return !at.IsZero()
	})
	return at
}

func (p *phone) saw(event string) bool {
	p.events.Lock()
	defer p.events.Unlock()
	return !p.events.at[event].IsZero()
}

// forget makes ready for another call.
func (p *phone) forget() {
	p.events.Lock()
	defer p.events.Unlock()
	p.events.at = map[string]time.Time{}
}

func (p *phone) command(name, params string) {
	p.t.Helper()
	b, err := json.Marshal(map[string]string{"command": name, "params": params})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(p.ctl, "%d:%s,", len(b), b); err != nil {
		p.t.Fatal(err)
	}
}

// as makes a party of a phone.
func (p *phone) as(name, transport string) party {
	q := party{name: name, addr: p.addr, port: p.port, transport: transport}
	if transport == "tls" {
		q.port++
		q.media = "{security: srtp}"
		q.more = fmt.Sprintf("tls: {server_name: %s.lab.example, roots_file: roots.pem}", name)
	}
	return q
}

// heard is what the phone has recorded so far, as samples. It begins a new file with each change of its media; the names sort by time.
func (p *phone) heard() []int16 {
	files, _ := filepath.Glob(filepath.Join(p.dir, "dump-*-dec.wav")) // the pattern is fine
	var out []int16
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || len(b) < 44 {
			continue
		}
		for i := 44; i+1 < len(b); i += 2 {
			out = append(out, int16(binary.LittleEndian.Uint16(b[i:])))
		}
	}
	return out
}

// talk waits until the phone has heard so much more sound.
func (p *phone) talk(more time.Duration) {
	p.t.Helper()
	want := len(p.heard()) + int(more.Seconds()*8000)
	until(p.t, p.addr+" hears "+more.String(), 15*time.Second, func() bool { return len(p.heard()) >= want })
}

// loudness is the root mean square of the second half of what was heard: the first may still be silence.
func (p *phone) loudness() float64 {
	s := p.heard()
	s = s[len(s)/2:]
	sum := 0.0
	for _, v := range s {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(1, len(s))))
}

var rates = regexp.MustCompile(`audio=(\d+)/(\d+) \(bit/s\)`)

// streams waits until the phone says that it sends and receives, decrypted, without a pause: it measures windows of three seconds, and 64 kbit/s is all of G.711.
func (p *phone) streams() {
	p.t.Helper()
	until(p.t, p.addr+" sends and receives", 15*time.Second, func() bool {
		list := rates.FindAllStringSubmatch(p.output(), -1)
		if len(list) == 0 {
			return false
		}
		sent, _ := strconv.Atoi(list[len(list)-1][1])
		received, _ := strconv.Atoi(list[len(list)-1][2])
		return sent > 60000 && received > 60000
	})
	if strings.Contains(p.output(), "decrypt") {
		p.t.Errorf("%s could not decrypt", p.addr)
	}
}

// toneWav is a 440 Hz tone, 8 kHz, 16 bit, mono.
func toneWav(seconds int) []byte {
	var b bytes.Buffer
	n := seconds * 8000
	le := binary.LittleEndian
	b.WriteString("RIFF")
	_ = binary.Write(&b, le, uint32(36+2*n)) // a Buffer takes everything
	b.WriteString("WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(8000), uint32(16000), uint16(2), uint16(16)} {
		_ = binary.Write(&b, le, v)
	}
	b.WriteString("data")
	_ = binary.Write(&b, le, uint32(2*n))
	for i := range n {
		_ = binary.Write(&b, le, int16(8000*math.Sin(2*math.Pi*440*float64(i)/8000)))
	}
	return b.Bytes()
}

// media finds the suites of both legs in a receipt; "" is a leg in clear.
func suites(r audit.Receipt) (a, b string) {
	for _, h := range r.Hops {
		if h.Plane == "media" && h.SRTP != nil {
			if h.Leg == "a" {
				a = h.SRTP.Suite
			} else {
				b = h.SRTP.Suite
			}
		}
	}
	return a, b
}

// secureLab is a carrier phone, phones as edge groups and a node, each in a region of its own.
type secureLab struct {
	net     *network
	w       *world
	carrier *phone
	groups  []*phone
	names   []string
}

// securePhones starts a carrier in region 1 and one phone as an edge group in each of the other regions. A plain carrier talks UDP and RTP.
func securePhones(t *testing.T, plainCarrier bool, numbers ...int) *secureLab {
	t.Helper()
	l := &secureLab{net: connect(t, 1, 5, 10, 20)}
	l.w = &world{at: l.net.in[5], edge: lan(5, 10)}
	names := map[int]string{10: "fra", 20: "zrh", 30: "sto"}
	certs := []string{"edge.lab.example," + lan(5, 10), "carrier.lab.example," + lan(1, 10)}
	for _, n := range numbers {
		certs = append(certs, names[n]+".lab.example,"+lan(n, 10))
	}
	l.w.pki(t, certs...)
	l.carrier = newPhone(t, phoneOptions{at: l.net.in[1], addr: lan(1, 10), user: "+4989123456", secure: !plainCarrier, source: "tone", pki: l.w, name: "carrier"})
	transport := "tls"
	if plainCarrier {
		transport = "udp"
	}
	l.w.trunks = []party{l.carrier.as("carrier", transport)}
	for _, n := range numbers {
		p := newPhone(t, phoneOptions{at: l.net.in[n], addr: lan(n, 10), user: "+4969123456", secure: true, source: "echo", pki: l.w, name: names[n]})
		l.groups = append(l.groups, p)
		l.w.groups = append(l.w.groups, p.as(names[n], "tls"))
		l.names = append(l.names, names[n])
	}
	return l
}

// dial places one call from the carrier phone. It gives the time until it heard a 180 of a group.
func (l *secureLab) dial(n *node, transport string, group *phone) time.Duration {
	return l.carrier.dial(n, transport, group)
}

// dial places one call to a phone at the other side of the node.
func (p *phone) dial(n *node, transport string, to *phone) time.Duration {
	p.forget()
	to.forget()
	began := time.Now()
	p.command("dial", fmt.Sprintf("sip:%s@%s:%d;transport=%s", to.user, n.w.edge, n.sip[transport], transport))
	took := p.await("CALL_RINGING").Sub(began)
	p.await("CALL_ESTABLISHED")
	to.await("CALL_ESTABLISHED")
	return took
}

func (l *secureLab) hangUp(group *phone) { l.carrier.hangUp(group) }

func (p *phone) hangUp(to *phone) {
	p.command("hangup", "")
	to.await("CALL_CLOSED")
}

// converse lets a second of tone come back from the group before it hangs up.
func (l *secureLab) converse(t *testing.T, n *node, transport string, group *phone) {
	t.Helper()
	l.dial(n, transport, group)
	group.talk(time.Second)
	l.carrier.talk(time.Second)
	l.hangUp(group)
	if there, back := group.loudness(), l.carrier.loudness(); there < 1000 || back < 1000 {
		t.Errorf("loudness at the callee %.0f, of the echo at the caller %.0f: too low", there, back)
	} else {
		t.Logf("loudness (RMS) of the tone at the callee %.0f, of its echo at the caller %.0f", there, back)
	}
}

// A calling baresip offers one suite alone; an answering one takes the first that it knows of those it is offered, and it knows four.
const baresipOffers = "AES_CM_128_HMAC_SHA1_80"

// Each suite is spoken with a group that is called, and with a carrier that is called, while the caller speaks another one, or none; and a carrier in clear is called.
// Conforms: RFC 4568 section 6; RFC 7714 section 14; RFC 6188 section 4
func TestSRTPToSRTPWithEverySuite(t *testing.T) {
	for _, suite := range []string{baresipOffers, "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"} {
		t.Run(suite+", group called", func(t *testing.T) { oneWay(t, suite, false, false) })
		t.Run(suite+", group called in clear", func(t *testing.T) { oneWay(t, suite, true, false) })
		t.Run(suite+", carrier called", func(t *testing.T) { oneWay(t, suite, false, true) })
	}
	t.Run("carrier called in clear", func(t *testing.T) { oneWay(t, "", true, true) })
}

// oneWay calls one side with a suite: the group, or with out the carrier. With plain the carrier speaks RTP.
func oneWay(t *testing.T, suite string, plain, out bool) {
	l := securePhones(t, plain, 10)
	transport, offered, name, called := "tls", baresipOffers, "fra", &l.w.groups[0]
	switch {
	case out: // the echo of a phone that calls says nothing: it has a tone
		l.groups[0].kill()
		l.groups[0] = newPhone(t, phoneOptions{at: l.net.in[10], addr: lan(10, 10), user: "+4969123456", secure: true, source: "tone", pki: l.w, name: "fra"})
		l.w.groups = []party{l.groups[0].as("fra", "tls")}
		name, called = "carrier", &l.w.trunks[0]
	case plain:
		transport, offered = "udp", ""
	}
	if suite != "" {
		called.media = "{security: srtp, suites: [" + suite + "]}"
	}
	n := boot(t, l.w, name)
	if out {
		l.groups[0].dial(n, transport, l.carrier)
		l.groups[0].streams()
		l.carrier.streams()
		l.groups[0].hangUp(l.carrier)
	} else {
		l.converse(t, n, transport, l.groups[0])
	}
	r := n.oneReceipt()
	if !out {
		wantAnswered(t, r, "fra", "primary")
	}
	if a, b := suites(r); a != offered || b != suite {
		t.Errorf("the receipt names %q and %q, want %q and %q: %+v", a, b, offered, suite, r.Hops)
	}
	if a, b := packets(r, "a"), packets(r, "b"); a < 50 || b < 50 {
		t.Errorf("the receipt counts %d and %d packets", a, b)
	}
	n.stop()
}

// Hold and resume change the direction of both SRTP streams and must not lose the step of their counters.
// Conforms: RFC 3264 section 8.4; RFC 4568 section 7.1
func TestHoldAndResumeWithSRTP(t *testing.T) {
	l := securePhones(t, false, 10)
	// The echo of a phone does not survive a hold, and neither does its recording; its tone and its counts do.
	l.groups[0].kill()
	fra := newPhone(t, phoneOptions{at: l.net.in[10], addr: lan(10, 10), user: "+4969123456", secure: true, source: "tone", pki: l.w, name: "fra"})
	l.w.groups = []party{fra.as("fra", "tls")}
	n := boot(t, l.w, "fra")
	l.dial(n, "tls", fra)
	fra.talk(500 * time.Millisecond)
	for _, word := range []string{"hold", "resume"} {
		fra.forget()
		l.carrier.forget()
		l.carrier.command(word, "")
		fra.await("CALL_REMOTE_SDP")
		l.carrier.await("CALL_REMOTE_SDP")
	}
	fra.streams()
	l.carrier.streams()
	l.hangUp(fra)
	wantAnswered(t, n.oneReceipt(), "fra", "primary")
	n.stop()
}

// A trunk whose certificate is asked for is taken under its own name and not under another one.
// Conforms: RFC 5922 section 7.4
func TestCarrierShowsACertificate(t *testing.T) {
	for name, accepted := range map[string]bool{"carrier.lab.example": true, "someone.lab.example": false} {
		t.Run(name, func(t *testing.T) {
			l := securePhones(t, false, 10)
			l.w.clientCA, l.w.more = true, "limits: {stranger: \"403\"}\n"
			l.w.trunks[0].more += "\npeers: [" + name + "]"
			n := boot(t, l.w, "fra")
			if accepted {
				l.converse(t, n, "tls", l.groups[0])
				wantAnswered(t, n.oneReceipt(), "fra", "primary")
			} else {
				l.carrier.command("dial", fmt.Sprintf("sip:+4969123456@%s:%d;transport=tls", n.w.edge, n.sip["tls"]))
				l.carrier.await("CALL_CLOSED")
				if l.groups[0].saw("CALL_REMOTE_SDP") {
					t.Error("the call of another name went through")
				}
			}
			n.stop()
		})
	}
}

func TestSRTPToRTP(t *testing.T) {
	l := securePhones(t, false, 10)
	at := l.net.in[20]
	zrh := answer(t, lan(20, 10), answers, options{at: at, echo: true})
	l.w.groups = []party{zrh.as("zrh", "udp")}
	n := boot(t, l.w, "zrh")
	l.carrier.command("dial", fmt.Sprintf("sip:+4969123456@%s:%d;transport=tls", n.w.edge, n.sip["tls"]))
	l.carrier.await("CALL_ESTABLISHED")
	l.carrier.talk(time.Second)
	l.carrier.command("hangup", "")
	r := n.oneReceipt()
	wantAnswered(t, r, "zrh", "primary")
	if a, b := suites(r); a == "" || strings.Contains(b, "AE") {
		t.Errorf("the receipt names %q and %q: %+v", a, b, r.Hops)
	}
	if back := l.carrier.loudness(); back < 1000 {
		t.Errorf("loudness of the echo at the caller %.0f: too low", back)
	}
	if zrh.echoes() < packetsOfTone/2 {
		t.Errorf("the callee echoed %d packets", zrh.echoes())
	}
	zrh.finish(1)
	n.stop()
}

// The group's phone is stopped: its connection stands and nothing comes back over it. The times hold the caller's TLS handshake, too.
func TestSilentSRTPGroup(t *testing.T) {
	for _, c := range []struct {
		what, more string
		limit      time.Duration
	}{
		{"TLS and SRTP, default of 1.5 s", "", 2 * time.Second},
		{"TLS and SRTP, 4 s by config", "deadlines: {first_response: 4s}", 4300 * time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := securePhones(t, false, 10, 20)
			l.w.groups[0].more += "\n" + c.more
			n := boot(t, l.w, "fra", "zrh")
			l.groups[0].signal(syscall.SIGSTOP)
			first := l.dial(n, "tls", l.groups[1])
			l.groups[1].talk(500 * time.Millisecond)
			l.hangUp(l.groups[1])
			n.waitFor("fra", "down")
			next := l.dial(n, "tls", l.groups[1])
			l.hangUp(l.groups[1])
			list := n.receipts(2)
			wantAnswered(t, list[0], "zrh", "auto_failover")
			wantAnswered(t, list[1], "zrh", "auto_failover")
			if a := list[0].Attempts; len(a) != 2 || a[0].Result != "silent" {
				t.Errorf("attempts of the first call: %+v", a)
			}
			if a, b := suites(list[0]); a == "" || b == "" {
				t.Errorf("the receipt names %q and %q", a, b)
			}
			measured(t, "silent group, "+c.what+": dialling to ringing at the next", first, c.limit)
			measured(t, "silent group, "+c.what+": the next call, after detection", next, 250*time.Millisecond)
			n.stop()
		})
	}
}

// Nothing listens any more where the group's phone was.
func TestRefusingSRTPGroup(t *testing.T) {
	l := securePhones(t, false, 10, 20)
	n := boot(t, l.w, "fra", "zrh")
	l.groups[0].kill()
	took := l.dial(n, "tls", l.groups[1])
	l.hangUp(l.groups[1])
	wantAnswered(t, n.oneReceipt(), "zrh", "auto_failover")
	measured(t, "refusing group, TLS and SRTP: dialling to ringing at the next", took, 100*time.Millisecond)
	n.stop()
}
