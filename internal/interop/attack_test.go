//go:build interop

package interop

import (
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Attacks on real sockets, each against a node that must go on placing calls.

// hears sends one message from a fresh socket and gives what came back within a while, provisional responses apart.
func (n *node) hears(transport, from, text string, within time.Duration) string {
	n.t.Helper()
	c := n.dialSIP(transport, from)
	defer c.Close()
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "FROM", c.LocalAddr().String())); err != nil {
		return ""
	}
	_ = c.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 65536)
	for {
		k, err := c.Read(b)
		got := string(b[:k])
		for strings.HasPrefix(got, "SIP/2.0 1") { // over TCP the next one may stand behind it
			_, got, _ = strings.Cut(got, "\r\n\r\n")
		}
		if err != nil || got != "" {
			return got // silence is an answer
		}
	}
}

// Tools that look for open exchanges hear nothing: not from an address that nobody knows, and not from that of a carrier either.
func TestScanners(t *testing.T) {
	l := set(t, "udp", nil, answers)
	seen := watch(t, loopback, "-Q", "in", "udp", "and", "src", "host", l.w.edge, "and", "src", "port", fmt.Sprint(l.sip["udp"]), "and", "dst", "portrange", "25060-25069")
	edge, port := l.w.edge, fmt.Sprint(l.sip["udp"])
	for i, from := range []string{"127.99.0.1", carrierAt} {
		for j, tool := range [][]string{
			{"svmap", "-m", "OPTIONS"},
			{"svmap", "-m", "INVITE"},
			{"svwar", "--force", "-m", "REGISTER", "-e", "100-200"},
			{"svwar", "--force", "-m", "OPTIONS", "-e", "100-200"},
			{"svwar", "--force", "-m", "INVITE", "-e", "100-200"},
		} {
			args := append(tool[1:], "-b", from, "-x", from, "-P", fmt.Sprint(25060+5*i+j), "-p", port)
			if tool[0] == "svwar" {
				args = append(args, "--maximumtime", "2")
			}
			s := start(t, loopback, t.TempDir(), tool[0], append(args, edge)...)
			s.wait(t, 60*time.Second)
			if out := s.output(); strings.Contains(out, "| "+edge) || strings.Contains(out, "reqauth") || strings.Contains(out, "noauth") {
				t.Errorf("%s from %s found something:\n%s", strings.Join(tool, " "), from, out)
			}
		}
	}
	options := rawRequest("OPTIONS", "100", edge, "udp", "FROM", "scan", "User-Agent: %s\r\n", "")
	for _, agent := range []string{"friendly-scanner", "sipvicious", "sipcli/v1.8", "VaxSIPUserAgent/3.5", "sundayddr", "pplsip"} {
		if got := l.hears("udp", carrierAt, fmt.Sprintf(options, agent), 300*time.Millisecond); got != "" {
			t.Errorf("%s heard %q", agent, got)
		}
	}
	if got := l.hears("udp", carrierAt, fmt.Sprintf(options, "telephone"), 2*time.Second); !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Errorf("a telephone at the same address heard %q", got)
	}
	asked := l.metric("cordon_sip_ingress_refused_total", `"scanner"`)
	l.call(talks)
	l.finish(1)
	seen.end(t)
	back := len(times(t, seen.file, "udp"))
	noted(t, "svmap and svwar from a stranger's and from a carrier's address", fmt.Sprintf("%d packets back, by tshark; %d requests known for a scanner's", back, asked), "0")
	if back != 0 || asked < 8 { // who hears nothing gives up soon
		t.Errorf("%d packets went back to scanners, %d of their requests were seen", back, asked)
	}
}

// drip is one connection of a slow attacker: a byte now and then, never a whole message. It gives how long the node kept it.
func drip(c net.Conn, text string) time.Duration {
	begin := time.Now()
	b := make([]byte, 256)
	for i := 0; time.Since(begin) < 40*time.Second; i++ {
		if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
			break
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(b); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return time.Since(begin)
}

// Two hundred connections over TCP and as many over TLS say one byte a second, half of those over TLS before their handshake; calls are placed meanwhile, from
// the same address.
// Conforms: RFC 3261 section 18.3
func TestSlowLoris(t *testing.T) {
	const each, calls = 200, 20
	var roots *x509.CertPool
	l := set(t, "tcp", func(p *world) {
		p.pki(t, "edge.example")
		roots = p.ca.Pool()
		p.also = []string{"tls"}
		p.more = fmt.Sprintf("guard: {first_message: 5s, connections_per_source: %d}\nlimits: {rate_per_source: 100}\n", 2*each+50)
	}, answers)
	before, routines := l.resident(), l.metric("go_goroutines", "")
	head := rawRequest("INVITE", "+4969777", l.w.edge, "tcp", carrierAt+":5060", "loris", "", "")
	var all sync.WaitGroup
	var mu sync.Mutex
	longest, open := time.Duration(0), 0
	for i := range 2 * each {
		c := l.dialSIP([]string{"tcp", "tls"}[i%2], carrierAt)
		all.Go(func() {
			if i%4 == 1 { // with a handshake; the others of TLS drip what is none
				tc := tls.Client(c, &tls.Config{ServerName: "edge.example", RootCAs: roots, MinVersion: tls.VersionTLS12})
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				if err := tc.Handshake(); err != nil {
					t.Errorf("handshake: %v", err)
					return
				}
				_ = c.SetDeadline(time.Time{})
				c = tc
			}
			mu.Lock()
			open++
			mu.Unlock()
			text := head
			if i%4 == 3 {
				text = "\x16\x03\x01\x40\x00" + strings.Repeat("\x01", 1000) // the record of a hello that never ends
			}
			took := drip(c, text)
			mu.Lock()
			longest = max(longest, took)
			mu.Unlock()
		})
	}
	st := l.dial(talksBriefly, "-m", num(calls), "-r", "5").expect(calls)
	most := l.resident()
	all.Wait()
	noted(t, "calls beside 400 slow connections, half of them TLS", fmt.Sprintf("%d of %d, %s at most", st.successful, calls, mib(most-before)), "all")
	measured(t, "the longest that one of them lived", longest, 30*time.Second)
	if open != 2*each {
		t.Errorf("%d connections were open", open)
	}
	until(t, "their goroutines are gone", 20*time.Second, func() bool { return l.metric("go_goroutines", "") <= routines+10 })
	l.finish(calls)
}

// bombs are messages that cost whoever reads them whole.
func bombs(edge, proto string) map[string]string {
	req := func(id, extra, body string) string {
		return rawRequest("INVITE", "+4969777", edge, proto, "FROM", "bomb-"+id+"-%d", extra, body)
	}
	deep := "v=0\r\n"
	for i := range 200 {
		deep = fmt.Sprintf("--b%d\r\nContent-Type: multipart/mixed;boundary=b%d\r\n\r\n%s\r\n--b%d--\r\n", i, i-1, deep, i)
	}
	wide := strings.Repeat("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", 1200) + "--b--\r\n"
	multipart := func(id, boundary, body string) string {
		return strings.Replace(req(id, "", body), "application/sdp", "multipart/mixed;boundary="+boundary, 1)
	}
	length := regexp.MustCompile(`Content-Length: \d+`)
	lies := func(id, says string) string { return length.ReplaceAllString(req(id, "", rawSDP(carrierAt)), says) }
	return map[string]string{
		"oversize head":           req("big", "X-Big: "+strings.Repeat("x", 60000)+"\r\n", ""),
		"oversize body":           req("fat", "", strings.Repeat("a=x\r\n", 12000)),
		"2,000 headers":           req("many", strings.Repeat("X-A: b\r\n", 2000), ""),
		"500 Vias":                req("vias", strings.Repeat("Via: SIP/2.0/UDP 127.1.0.11;branch=z9hG4bKx\r\n", 500), ""),
		"one header, 5,000 parts": req("parts", "Supported: "+strings.Repeat("a,", 5000)+"b\r\n", ""),
		"deep multipart":          multipart("deep", "b199", deep),
		"wide multipart":          multipart("wide", "b", wide),
		"length: too long":        lies("long", "Content-Length: 50000"),
		"length: a gigabyte":      lies("giga", "Content-Length: 1073741824"),
		"length: overflow":        lies("over", "Content-Length: 18446744073709551615"),
		"length: negative":        lies("neg", "Content-Length: -1"),
		"length: twice":           lies("twice", "Content-Length: 0\r\nContent-Length: 120"),
		"length: no number":       lies("word", "Content-Length: many"),
	}
}

// wave sends each bomb so many times, each time on a socket of its own, and counts the kinds of bombs by what they heard.
func (n *node) wave(transport string, k, times int) map[string]int {
	n.t.Helper()
	heard := map[string]int{}
	for name, text := range bombs(n.w.edge, transport) {
		first := ""
		for i := range times {
			wait := time.Millisecond // one answer shows what they get
			if i == 0 {
				wait = 300 * time.Millisecond
			}
			got := n.hears(transport, carrierAt, strings.ReplaceAll(text, "%d", fmt.Sprint(k, "-", i)), wait)
			if i == 0 {
				if first = "silence"; got != "" {
					first = strings.TrimPrefix(got, "SIP/2.0 ")[:3]
				}
			}
			if n.ended() {
				n.t.Fatalf("%s ended the node", name)
			}
		}
		if k == 0 {
			n.t.Logf("%-26s %s", name, first)
		}
		heard[first]++
		if first != "silence" && first[0] != '4' && first[0] != '5' {
			n.t.Errorf("%s: %s", name, first)
		}
	}
	return heard
}

// live is the memory in use, by the next collection that begins from here. Until then there is garbage, of which a node may hold four times as much. Asking makes some, too.
func (n *node) live() int {
	n.t.Helper()
	before := n.metric("go_gc_duration_seconds_count", "")
	until(n.t, "two collections", 150*time.Second, func() bool { return n.metric("go_gc_duration_seconds_count", "") >= before+2 }) // the first may have begun before
	return n.metric("go_gc_heap_live_bytes", "")
}

// Waves of bombs over UDP and over TCP, each on a socket of its own: in one wave 650 of them bring 11 MB. None may be taken for a call, and none may leave memory
// behind: the first wave fills what is bounded, such as the traces, and no later one adds more than the small state that answered requests need for 32 s, and the ways
// back to their sources. Were one kind of bomb kept it would be 3 MiB in each wave. Resident memory follows the collector's patience and has a wide bound.
// Conforms: RFC 3261 section 18.3
func TestBombs(t *testing.T) {
	const waves, times, settles, adds, resides = 4, 50, 6 << 20, 6 << 20, 128 << 20
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, func(w *world) { w.more = "limits: {rate_per_source: 100000}\ntrace: {bytes: 1MiB}\n" }, answers)
			resident, live := l.resident(), []int{l.live()}
			heard := map[string]int{}
			for k := range waves {
				heard = l.wave(transport, k, times)
				live = append(live, l.live())
			}
			before, first, last, grown := live[0], live[1], live[waves], l.resident()-resident
			var text []string
			for _, b := range live {
				text = append(text, mib(b))
			}
			noted(t, "bombs over "+transport, fmt.Sprintf("%d waves of %d, kinds by answer %v", waves, len(bombs("", ""))*times, heard), "refused or silence")
			noted(t, "memory in use before them, after each wave, "+transport, strings.Join(text, ", "), fmt.Sprintf("the first adds <= %s, the others <= %s", mib(settles), mib(adds)))
			noted(t, "more resident memory, "+transport, mib(grown), "<= "+mib(resides))
			if first-before > settles || last-first > adds || grown > resides {
				t.Errorf("in use: %v; resident: %s more", text, mib(grown))
			}
			until(t, "what was begun has ended", 40*time.Second, func() bool { return l.calls() == 0 })
			l.call(talks)
			l.groups[0].finish(1)
			l.carrier.finish(0)
			l.stop()
		})
	}
}

// guesser tries passwords for an edge that registers.
type guesser struct {
	n    *node
	c    net.Conn
	from string
	seq  int
}

// try sends one REGISTER and gives the status that came within a while, and the nonce that it was challenged with.
func (g *guesser) try(nonce, password string, within time.Duration) (status, next string, took time.Duration) {
	g.n.t.Helper()
	g.seq++
	extra := "Expires: 60\r\n"
	if nonce != "" {
		h := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
		uri := "sip:edge1@" + g.n.w.edge
		extra += fmt.Sprintf("Authorization: Digest username=\"edge1\", realm=\"edge.lab\", nonce=\"%s\", uri=\"%s\", qop=auth, nc=00000001, cnonce=\"c%d\", algorithm=MD5, response=\"%s\"\r\n",
			nonce, uri, g.seq, h(h("edge1:edge.lab:"+password)+":"+nonce+":00000001:c"+num(g.seq)+":auth:"+h("REGISTER:"+uri)))
	}
	text := rawRequest("REGISTER", "edge1", g.n.w.edge, "udp", g.c.LocalAddr().String(), fmt.Sprintf("guess-%s-%d", g.from, g.seq), extra, "")
	begin := time.Now()
	if _, err := io.WriteString(g.c, text); err != nil {
		g.n.t.Fatal(err)
	}
	b := make([]byte, 65536)
	for _ = g.c.SetReadDeadline(begin.Add(within)); ; {
		k, err := g.c.Read(b)
		if err != nil {
			return "silence", "", time.Since(begin)
		}
		got := string(b[:k])
		if !strings.Contains(got, fmt.Sprintf("guess-%s-%d\r\n", g.from, g.seq)) {
			continue // a probe
		}
		if strings.HasPrefix(got, "SIP/2.0 1") {
			continue // RFC 4320 section 4.1: it says so when the answer takes its time
		}
		if m := regexp.MustCompile(`nonce="([^"]+)"`).FindStringSubmatch(got); m != nil {
			next = m[1]
		}
		return strings.TrimPrefix(got, "SIP/2.0 ")[:3], next, time.Since(begin)
	}
}

// Who guesses a password waits longer each time and then hears nothing more; the edge itself, at another address, registers meanwhile.
// Conforms: RFC 3261 section 22.4; RFC 7616 section 5
func TestGuessedPasswords(t *testing.T) {
	w := &world{dir: t.TempDir()}
	writeFile(t, filepath.Join(w.dir, "edge.secret"), []byte("s3cret\n"))
	carrier := answer(t, carrierAt, quiet, options{})
	w.trunks = []party{carrier.as("carrier", "udp")}
	w.groups = []party{{name: "fra", addr: groupHosts[0], port: loopback.freePort(t, groupHosts[0]), transport: "udp", more: `sources: [127.10.0.0/16]
registers: true
challenge: {realm: edge.lab, algorithms: [MD5], users: [{user: edge1, password: {file: edge.secret}}]}`}}
	n := boot(t, w, "carrier")
	g := &guesser{n: n, c: n.dialSIP("udp", loop(10, 66)), from: "bad"}
	status, nonce, _ := g.try("", "", 2*time.Second)
	if status != "401" {
		t.Fatalf("without credentials: %s", status)
	}
	var waits []time.Duration
	for i := range 12 {
		status, next, took := g.try(nonce, fmt.Sprint("guess", i), 12*time.Second)
		if status == "silence" {
			break
		}
		if waits = append(waits, took.Round(time.Millisecond)); status != "401" {
			t.Fatalf("guess %d: %s", i, status)
		}
		if nonce = next; nonce == "" {
			t.Fatalf("guess %d: no challenge", i)
		}
	}
	good := &guesser{n: n, c: n.dialSIP("udp", loop(10, 77)), from: "good"}
	_, fresh, _ := good.try("", "", 2*time.Second)
	registered, _, _ := good.try(fresh, "s3cret", 2*time.Second)
	late, _, _ := g.try(nonce, "s3cret", 2*time.Second) // the right one comes too late from there
	noted(t, "guessed passwords: wait before each refusal, then silence", fmt.Sprint(waits), "grows")
	noted(t, "the edge at its own address meanwhile; the guesser with the right password", registered+"; "+late, "200; silence")
	if len(waits) < 4 || len(waits) > 10 || waits[0] > 500*time.Millisecond || waits[len(waits)-1] < 4*time.Second || registered != "200" || late != "silence" {
		t.Errorf("waits %v, registered %s, late %s", waits, registered, late)
	}
	for i := 1; i < len(waits); i++ {
		if waits[i] > 500*time.Millisecond && waits[i] < waits[i-1] {
			t.Errorf("the waits do not grow: %v", waits)
		}
	}
	n.stop()
}
