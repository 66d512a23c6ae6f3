package cordon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
)

// waitFor asks until ok says yes, for as long as a slow machine may need.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// tracedCall sends one INVITE of the trunk to n and gives the reference of the call that came of it.
func tracedCall(t *testing.T, n *cordon.Node) string {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 1, 0, 10)}, udpAddr(t, strings.TrimPrefix(n.Addrs()[0], "udp ")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "INVITE sip:+4969123456@edge SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKtraced;rport\r\nMax-Forwards: 70\r\nFrom: \"Erika Mustermann\" <sip:+4917012345678@carrier>;tag=a\r\n"+
		"To: <sip:+4969123456@edge>\r\nCall-ID: traced\r\nCSeq: 1 INVITE\r\nContact: <sip:erika@%s>\r\nContent-Length: 0\r\n\r\n", c.LocalAddr(), c.LocalAddr())
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for b := make([]byte, 4096); ; {
		k, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b[:k], []byte("SIP/2.0 1")) {
			break
		}
	}
	ref := ""
	waitFor(t, "call.ended in the log", func() bool {
		list, err := n.Log().Entries(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			var body audit.CallEnded
			if e.Kind == audit.KindCallEnded && json.Unmarshal(e.Body, &body) == nil {
				ref = body.CallRef
			}
		}
		return ref != ""
	})
	return ref
}

func udpAddr(t *testing.T, s string) *net.UDPAddr {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// dropped reads what a collector never got, as a metric counts it by reason.
func dropped(t *testing.T, n *cordon.Node, metric, reason string) (count float64) {
	t.Helper()
	families, err := n.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == metric && m.GetLabel()[0].GetValue() == reason {
				count = m.GetCounter().GetValue()
			}
		}
	}
	return count
}

func TestACollectorGetsMaskedCopiesInAPermittedPlaceAndNothingElsewhere(t *testing.T) {
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	for place, permitted := range map[string]bool{"127.1.0.99": true, "127.9.0.99": false} {
		t.Run(place+" by TCP", func(t *testing.T) { collectByTCP(t, place, permitted) })
		t.Run(place, func(t *testing.T) {
			collector, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(place)})
			if err != nil {
				t.Fatal(err)
			}
			defer collector.Close()
			file := writeConfig(t, t.TempDir(), nodeConfig+"hep: {address: \""+collector.LocalAddr().String()+"\", capture_id: 7}\n")
			cfg, err := configs.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			warned := slices.ContainsFunc(cfg.Warnings, func(p configs.Problem) bool { return p.Path == "hep.address" })
			n := boot(t, file)
			defer n.Stop(t.Context(), 0)
			ref := tracedCall(t, n)
			b := make([]byte, 65536)
			if !permitted {
				waitFor(t, "a refusal that is counted", func() bool { return dropped(t, n, "cordon_trace_hep_dropped_total", "fenced") > 0 })
				_ = collector.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				if k, err := collector.Read(b); err == nil || !warned {
					t.Errorf("warned: %v; the collector got %q", warned, b[:k])
				}
				return
			}
			_ = collector.SetReadDeadline(time.Now().Add(10 * time.Second))
			k, err := collector.Read(b)
			if err != nil || warned {
				t.Fatalf("%v; warned: %v", err, warned)
			}
			got := string(b[:k])
			if !strings.HasPrefix(got, "HEP3") || !strings.Contains(got, "INVITE sip:+********56@edge SIP/2.0\r\n") || !strings.HasSuffix(got, ref) || strings.Contains(got, "Erika") {
				t.Errorf("the first packet: %q", got)
			}
		})
	}
}

// collectByTCP is a collector behind a connection: in a permitted place it gets packets one after another, elsewhere
// not even a connection.
func collectByTCP(t *testing.T, place string, permitted bool) {
	ln, err := net.Listen("tcp", net.JoinHostPort(place, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file := writeConfig(t, t.TempDir(), nodeConfig+"hep: {address: \""+ln.Addr().String()+"\", transport: tcp}\n")
	n := boot(t, file)
	defer n.Stop(t.Context(), 0)
	tracedCall(t, n)
	if !permitted {
		waitFor(t, "a refusal that is counted", func() bool { return dropped(t, n, "cordon_trace_hep_dropped_total", "fenced") > 0 })
		_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
		if c, err := ln.Accept(); err == nil {
			t.Errorf("a connection from %s", c.RemoteAddr())
		}
		return
	}
	if first := hepFrom(t, ln); !strings.Contains(first, "INVITE sip:+********56@edge SIP/2.0\r\n") || strings.Contains(first, "Erika") {
		t.Errorf("the first packet: %q", first)
	}
}

// hepFrom takes a connection, reads three packets and gives the first.
func hepFrom(t *testing.T, ln net.Listener) (first string) {
	t.Helper()
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	for i := range 3 {
		head := make([]byte, 6)
		if _, err := io.ReadFull(c, head); err != nil || string(head[:4]) != "HEP3" {
			t.Fatalf("packet %d begins with %q: %v", i, head, err)
		}
		rest := make([]byte, int(head[4])<<8+int(head[5])-6)
		if _, err := io.ReadFull(c, rest); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = string(rest)
		}
	}
	return first
}

func TestACallIsShownToWhoMayAndTheLogSaysSo(t *testing.T) {
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	file := writeConfig(t, t.TempDir(), strings.Replace(nodeConfig, "roles: [dpo], token", "roles: [dpo], scopes: [calls.trace], token", 1))
	n := boot(t, file)
	defer n.Stop(t.Context(), 0)
	ref := tracedCall(t, n)
	ask := func(query string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+n.APIAddr().String()+"/api/v1/calls/"+ref+"/trace"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer clara's token")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		return res.StatusCode, b.String()
	}
	var code int
	var text string
	waitFor(t, "a trace of the whole call", func() bool {
		code, text = ask("")
		return strings.Contains(text, "ended by")
	})
	if code != 200 || !strings.Contains(text, `"line": "INVITE"`) || !strings.Contains(text, "100 Trying") || strings.Contains(text, "Erika") || strings.Contains(text, "12345") {
		t.Errorf("%d %s", code, text)
	}
	if code, text := ask("?format=pcap"); code != 200 || !strings.Contains(text, "INVITE sip:+********56@edge") {
		t.Errorf("%d %q", code, text)
	}
	if code, _ := ask("?format=pcap&media=1s"); code != 409 {
		t.Errorf("media of a call that ended: %d", code)
	}
	var read []audit.TraceRead
	list, err := n.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		var r audit.TraceRead
		if e.Kind == audit.KindTraceRead && json.Unmarshal(e.Body, &r) == nil {
			read = append(read, r)
		}
	}
	if len(read) != 3 || read[0].CallRef != ref || !strings.HasPrefix(read[0].By, "p-") || !read[0].Masked || read[1].Form != "capture" || read[2].Media != 1 {
		t.Errorf("the log: %+v", read)
	}
}
