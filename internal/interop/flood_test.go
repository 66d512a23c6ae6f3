//go:build interop

package interop

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Floods on real sockets. What is up stays up, and what comes costs nothing that stays.

// resident is the memory of the node that is in RAM, in bytes.
func (n *node) resident() int {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if err != nil || m == nil {
		n.t.Fatalf("the memory of the node: %v\n%s", err, text)
	}
	kb, _ := strconv.Atoi(string(m[1])) // digits
	return kb << 10
}

func mib(bytes int) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// metric sums the samples of a metric whose labels contain a text.
func (n *node) metric(name, labels string) (sum int) {
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
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		head, value, _ := strings.Cut(s.Text(), " ")
		if bare, _, _ := strings.Cut(head, "{"); bare == name && strings.Contains(head, labels) {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				n.t.Fatalf("%s: %v", s.Text(), err)
			}
			sum += int(v)
		}
	}
	return sum
}

// rawRequest is a request as a generator writes it. extra are whole header lines; body is taken as SDP.
func rawRequest(method, to, edge, proto, from, id, extra, body string) string {
	text := fmt.Sprintf("%s sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/%s %s;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: <sip:+4930123456@%s>;tag=f%s\r\nTo: <sip:%s@%s>\r\n"+
		"Call-ID: %s\r\nCSeq: 1 %s\r\nContact: <sip:peer@%s>\r\n%s",
		method, to, edge, strings.ToUpper(proto), from, id, from, id, to, edge, id, method, from, extra)
	if body != "" {
		text += "Content-Type: application/sdp\r\n"
	}
	return text + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// rawSDP offers audio from an address at which nobody listens.
func rawSDP(addr string) string {
	return "v=0\r\no=- 1 1 IN IP4 " + addr + "\r\ns=-\r\nc=IN IP4 " + addr + "\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
}

// flooded is what came of a flood.
type flooded struct {
	sent  int
	heard map[string]int // final answers by status
}

// flood sends new calls from an address over several sockets: so many in all per second, for a while. Nobody acknowledges anything.
func (n *node) flood(transport, from string, sockets, perSecond int, lasts time.Duration) flooded {
	n.t.Helper()
	out := flooded{heard: map[string]int{}}
	var mu sync.Mutex
	var readers, writers sync.WaitGroup
	for i := range sockets {
		c := n.dialSIP(transport, from)
		readers.Go(func() {
			heard := map[string]int{}
			answers := func(text string) {
				if status, ok := strings.CutPrefix(text, "SIP/2.0 "); ok && len(status) > 3 && status[0] != '1' {
					heard[status[:3]]++
				}
			}
			if transport == "udp" {
				b := make([]byte, 65536)
				for k, err := c.Read(b); err == nil; k, err = c.Read(b) {
					answers(string(b[:k]))
				}
			} else {
				for s := bufio.NewScanner(c); s.Scan(); {
					answers(s.Text())
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for k, v := range heard {
				out.heard[k] += v
			}
		})
		writers.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			sent := 0
			for begin := time.Now(); time.Since(begin) < lasts; <-tick.C {
				for due := int(time.Since(begin).Seconds() * float64(perSecond) / float64(sockets)); sent < due; sent++ {
					text := rawRequest("INVITE", "+4969777", n.w.edge, transport, c.LocalAddr().String(), fmt.Sprintf("flood-%s-%d-%d", transport, i, sent), "", rawSDP(from))
					if _, err := io.WriteString(c, text); err != nil {
						break // the node may close who floods it
					}
				}
			}
			mu.Lock()
			out.sent += sent
			mu.Unlock()
			c.Close()
		})
	}
	writers.Wait()
	readers.Wait()
	return out
}

func (f flooded) String() string {
	words := []string{fmt.Sprintf("%d INVITEs", f.sent)}
	for _, k := range slices.Sorted(maps.Keys(f.heard)) {
		words = append(words, fmt.Sprintf("%d x %s", f.heard[k], k))
	}
	return strings.Join(words, ", ")
}

// slowest is the longest time from a request of a method to its answer, as a caller saw it, over all its calls.
func (s *sipp) slowest(method string) (worst time.Duration, answered int) {
	s.t.Helper()
	id, cseq := regexp.MustCompile(`(?mi)^Call-ID: *(\S+)`), regexp.MustCompile(`(?mi)^CSeq: *(\d+) `+method)
	asked := map[string]time.Time{}
	for _, m := range s.messages() {
		num := cseq.FindStringSubmatch(m.text)
		if num == nil {
			continue
		}
		k := id.FindStringSubmatch(m.text)[1] + " " + num[1]
		if m.sent {
			if _, again := asked[k]; !again {
				asked[k] = m.at
			}
		} else if at, ok := asked[k]; ok && strings.HasPrefix(m.line, "SIP/2.0 200") {
			worst = max(worst, m.at.Sub(at))
			answered++
			delete(asked, k)
		}
	}
	return worst, answered
}

// helps is the configuration of a country with a trunk for emergency calls.
const helps = "emergency: [{country: DE, numbers: [\"112\"], trunk: helpline}]\n"

// Ten times what the node takes, from the address of a known trunk, over UDP and over TCP, while calls with audio are up: none of them notices, probes go on,
// and a call for help from that very address is answered.
// Conforms: RFC 3261 section 21.5.4; RFC 3261 section 8.2.7
func TestAFloodOfInvites(t *testing.T) {
	const calls, infos, perSecond = 24, 10, 100
	helpline := answer(t, loop(1, 12), answers, options{echo: true})
	l := set(t, "udp", func(w *world) {
		w.also = []string{"tcp"}
		w.trunks[0].more = "country: DE"
		help := helpline.as("helpline", "udp")
		help.more = "country: DE"
		w.trunks = append(w.trunks, help)
		w.more = helps + fmt.Sprintf("limits: {max_calls: %d, rate_per_source: %d}\n", calls, perSecond)
	}, "< INVITE\n> 180\n> 200 | sdp\n< ACK\n"+strings.Repeat("< INFO\n> 200\n", infos)+"< BYE\n> 200")
	l.waitFor("helpline", "up")
	uac := l.dial("> INVITE | sdp\n< 100 | optional\n< 180\n< 200 | rrs\n> ACK\nplay long\n"+strings.Repeat("wait 2150\n> INFO | dtmf=1\n< 200\n", infos)+"> BYE\n< 200",
		"-m", num(calls), "-r", num(calls), "-l", num(calls))
	until(t, "the calls are up", 15*time.Second, func() bool { return l.calls() == calls && l.groups[0].count(false, "ACK") == calls })
	before := l.resident()
	most, down := before, 0
	for _, transport := range []string{"udp", "tcp"} {
		over := make(chan flooded)
		go func() { over <- l.flood(transport, carrierAt, 8, 10*perSecond, 6*time.Second) }()
		var help *sipp
		var f flooded
		for begin := time.Now(); f.sent == 0; {
			select {
			case f = <-over:
			case <-time.After(200 * time.Millisecond):
			}
			if help == nil && time.Since(begin) > 3*time.Second {
				help = l.dial(talksBriefly, "-s", "112")
			}
			most = max(most, l.resident())
			for _, p := range []string{"carrier", "helpline", "fra"} {
				if l.state(p) != "up" {
					down++
				}
			}
		}
		help.expect(1)
		noted(t, "INVITE flood at 10 x capacity, "+transport, f.String(), fmt.Sprintf("%d a second, refused or dropped", 10*perSecond))
		measured(t, "112 in the flood, "+transport+": INVITE to 180", help.rang(), 2*time.Second)
		if f.sent < 6*10*perSecond*9/10 || f.heard["503"] == 0 || f.heard["200"] != 0 {
			t.Errorf("the flood over %s: %s", transport, f)
		}
	}
	st := uac.expect(calls)
	worst, answered := uac.slowest("INFO")
	noted(t, "calls with audio under both floods", fmt.Sprintf("%d of %d ended well, %d retransmissions", st.successful, calls, st.retransmissions), "all")
	noted(t, "their requests inside the dialog", fmt.Sprintf("%d of %d answered", answered, calls*infos), "all")
	measured(t, "the slowest of them, end to end", worst, time.Second)
	noted(t, "looks at probed targets that were not up", num(down), "0")
	noted(t, "memory of the node, before and at most", mib(before)+", "+mib(most), "<= 96 MiB more")
	if answered != calls*infos || down != 0 || most-before > 96<<20 {
		t.Errorf("%d answered, %d not up, %s more memory", answered, down, mib(most-before))
	}
	heard, lost := uint64(0), 0
	for _, r := range l.receipts(calls + 2) {
		switch {
		case r.Purpose != "production": // a call for help
			if r.Outcome.SIPFinal != 200 || r.Trunk == "" {
				t.Errorf("receipt of the call for help: %+v", r)
			}
		case r.Outcome.SIPFinal == 200:
			heard += packets(r, "a")
			if packets(r, "a") < 20*packetsOfTone*99/100 || packets(r, "b") < 20*packetsOfTone*95/100 {
				lost++
			}
		}
	}
	noted(t, "packets of audio that came in under the floods", fmt.Sprintf("%d of %d", heard, calls*20*packetsOfTone), "99 % in each call")
	if lost != 0 {
		t.Errorf("%d calls lost more than a hundredth of their audio", lost)
	}
	helpline.finish(2)
	l.finish(calls)
}

// forge sends datagrams from ever new source addresses of the loopback net, each to the node, and says whether anything came back to any of them.
func (n *node) forge(text string, first, count int) (heard int) {
	n.t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr(n.w.edge), n.sip["udp"])
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range count {
		k := first + i
		from := unix.Inet4Pktinfo{Spec_dst: [4]byte{127, byte(100 + k>>16), byte(k >> 8), byte(k)}}
		if _, _, err := c.WriteMsgUDPAddrPort([]byte(text), unix.PktInfo4(&from), to); err != nil {
			n.t.Fatal(err)
		}
		if i%25 == 24 {
			<-tick.C // 25,000 a second: the node must see them, or nothing was shown
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	b := make([]byte, 65536)
	for {
		k, err := c.Read(b)
		if err != nil {
			return heard
		}
		heard += k
	}
}

// Two hundred thousand datagrams, each from another unknown source: no byte goes back, and none stays.
func TestForgedSources(t *testing.T) {
	const sources = 200000
	l := set(t, "udp", nil, answers)
	invite := rawRequest("INVITE", "+4969777", l.w.edge, "udp", "127.99.0.1:5060", "forged", "", rawSDP("127.99.0.1"))
	refused := func() int { return l.metric("cordon_sip_ingress_refused_total", "party_unknown") }
	l.forge(invite, 0, sources/4) // what the node keeps for sampling is there from here on
	before, saw, routines := l.resident(), refused(), l.metric("go_goroutines", "")
	begin := time.Now()
	heard := l.forge(invite, sources/4, sources)
	took := time.Since(begin)
	saw = refused() - saw
	grown, more := l.resident()-before, l.metric("go_goroutines", "")-routines
	noted(t, "datagrams from 200,000 unknown sources", fmt.Sprintf("%d seen in %.1f s, %d bytes sent back", saw, took.Seconds(), heard), "0 bytes")
	noted(t, "what the node grew by", fmt.Sprintf("%s, %d goroutines", mib(grown), more), "no growth: noise of the collector, <= 8 MiB")
	if saw < sources*9/10 || heard != 0 || grown > 8<<20 || more > 4 {
		t.Errorf("%d seen, %d bytes back, %s and %d goroutines more", saw, heard, mib(grown), more)
	}
	if n := l.calls(); n != 0 {
		t.Errorf("%d calls", n)
	}
	l.call(talks)
	l.finish(1)
}
