//go:build interop

package interop

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// overloaded is a peer written by hand: it answers OPTIONS, refuses calls, and asks in each answer to be spared.
type overloaded struct {
	net.PacketConn
	mu     sync.Mutex
	asked  int    // INVITEs
	via    string // the topmost of the last one
	probes int    // OPTIONS after the first INVITE
	ended  chan struct{}
}

var (
	topVia   = regexp.MustCompile(`(?mi)^Via: *(.*)\r$`)
	headerOf = func(name, text string) string {
		return strings.TrimSpace(regexp.MustCompile(`(?mi)^` + name + `: *(.*)\r$`).FindString(text))
	}
)

func (o *overloaded) run() {
	defer close(o.ended)
	b := make([]byte, 65536)
	for {
		n, from, err := o.ReadFrom(b)
		if err != nil {
			return
		}
		text := string(b[:n])
		method, _, _ := strings.Cut(text, " ")
		via := topVia.FindStringSubmatch(text)
		if via == nil || method != "INVITE" && method != "OPTIONS" {
			continue
		}
		status := "200 OK"
		o.mu.Lock()
		if method == "INVITE" {
			status = "486 Busy Here"
			o.asked++
			o.via = via[1]
		} else if o.asked > 0 {
			o.probes++
		}
		o.mu.Unlock()
		back := via[1]
		if method == "INVITE" { // RFC 7339 section 4: the parameters that the client announced come back with values
			back = regexp.MustCompile(`;oc-algo="[^"]*"|;oc\b`).ReplaceAllString(back, "") + `;oc=100;oc-algo="loss";oc-validity=4000;oc-seq=1282321615.782`
		}
		fmt.Fprintf(o.to(from), "SIP/2.0 %s\r\nVia: %s\r\n%s\r\n%s;tag=raw\r\n%s\r\n%s\r\nContent-Length: 0\r\n\r\n",
			status, back, headerOf("From", text), headerOf("To", text), headerOf("Call-ID", text), headerOf("CSeq", text))
	}
}

// to is a writer of datagrams to one address.
func (o *overloaded) to(a net.Addr) writeTo { return writeTo{o, a} }

type writeTo struct {
	c net.PacketConn
	a net.Addr
}

func (w writeTo) Write(b []byte) (int, error) { return w.c.WriteTo(b, w.a) }

// A group that asks to be spared gets no new call until that ends, and its probes go on; who announces overload control is told how we are.
// Conforms: RFC 7339 section 5.4; RFC 7339 section 5.10
func TestOverloadControl(t *testing.T) {
	pc, err := net.ListenPacket("udp", groupHosts[1]+":0")
	if err != nil {
		t.Fatal(err)
	}
	raw := &overloaded{PacketConn: pc, ended: make(chan struct{})}
	go raw.run()
	defer func() { pc.Close(); <-raw.ended }()
	l := set(t, "udp", func(w *world) {
		w.groups = append(w.groups, party{
			name: "zrh", addr: groupHosts[1], port: uint16(pc.LocalAddr().(*net.UDPAddr).Port), transport: "udp", more: `guard: {overload_control: "on"}`,
		})
		w.to = []string{"zrh", "fra"}
	}, answers)
	l.waitFor("zrh", "up")
	busy := "> INVITE | sdp\n< 100 | optional\n< 486\n> ACK | of=3"
	l.call(busy)
	spared := time.Now()
	l.call(talksBriefly)
	l.call(talksBriefly)
	raw.mu.Lock()
	asked, via := raw.asked, raw.via
	raw.mu.Unlock()
	if asked != 1 || !strings.Contains(via, `;oc;oc-algo="loss,rate"`) {
		t.Errorf("the group that asked to be spared got %d INVITEs, with %q", asked, via)
	}
	until(t, "it is probed meanwhile", 4*time.Second, func() bool { raw.mu.Lock(); defer raw.mu.Unlock(); return raw.probes > 0 })
	until(t, "its feedback ends", 6*time.Second, func() bool { return time.Since(spared) > 4200*time.Millisecond })
	l.call(busy)
	options := strings.Replace(rawRequest("OPTIONS", "100", l.w.edge, "udp", "FROM", "oc", "", ""), ";rport", `;rport;oc;oc-algo="loss"`, 1)
	got := l.hears("udp", carrierAt, options, 2*time.Second)
	if m := topVia.FindStringSubmatch(got); m == nil || !regexp.MustCompile(`;oc=0;oc-algo="loss";oc-validity=500;oc-seq=\d+\.\d+`).MatchString(m[1]) {
		t.Errorf("who announces overload control hears:\n%s", got)
	}
	noted(t, "calls to a group that asked for none of them for 4 s, before and during and after", fmt.Sprintf("1, %d, %d", asked-1, raw.asked-asked), "1, 0, 1")
	l.finish(2)
}
