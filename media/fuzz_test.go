package media

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are the sample offers.
func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/sdp/*.sdp")
	if err != nil || len(files) == 0 {
		f.Fatal("no samples", err)
	}
	for _, name := range files {
		f.Add([]byte(readFile(f, name)))
	}
}

// sound checks what every description that leaves us must be.
func sound(t *testing.T, out []byte, lines int) {
	t.Helper()
	d, ref := parseSDP(out)
	if ref != nil {
		t.Fatalf("what we wrote can't be read: %v\n%q", ref, out)
	}
	if len(d.lines) != lines {
		t.Fatalf("%d lines for %d\n%s", len(d.lines), lines, out)
	}
	on := 0
	for _, l := range d.lines {
		if l.port == 0 {
			continue
		}
		on++
		if l.fault != nil || l.addr.Addr() != relayAddr || l.secure() != (len(l.crypto) > 0) {
			t.Fatalf("%+v\n%s", l, out)
		}
	}
	if on > 1 {
		t.Fatalf("%d streams\n%s", on, out)
	}
	if n := strings.Count(string(out), "\nc="); n != 1 {
		t.Fatalf("%d addresses\n%s", n, out)
	}
}

func FuzzOffer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		bed := newBed(t, newNetwork().door)
		s := bed.open(Leg{Party: "carrier", Security: SRTPOptional, Secure: true})
		out, err := s.Offer(A, text, Leg{Party: "fra", Secure: true})
		if err != nil {
			if _, isRef := err.(*Refusal); !isRef || out != nil {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		d, _ := parseSDP(text)
		sound(t, out, len(d.lines))
		again, err := s.Offer(A, text, Leg{Party: "fra", Secure: true})
		if err != nil || normal(string(again)) == "" {
			t.Fatalf("the second time: %v", err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	seeds(f)
	f.Add([]byte("v=0\r\no=- 1 1 IN IP4 127.0.2.10\r\ns=-\r\nc=IN IP4 127.0.2.10\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\na=inactive\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		bed := newBed(t, newNetwork().door)
		s := bed.open(plainLeg("carrier"))
		if _, err := s.Offer(A, []byte(readFile(t, "testdata/sdp/asterisk.sdp")), plainLeg("fra")); err != nil {
			t.Fatal(err)
		}
		out, err := s.Answer(B, text)
		if err != nil {
			if _, isRef := err.(*Refusal); !isRef || out != nil {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		sound(t, out, 1)
		same, err := s.Answer(B, text)
		if err != nil || !bytes.Equal(out, same) {
			t.Fatalf("the same answer again: %v\n%s\n%s", err, out, same)
		}
	})
}

// FuzzCodecs: whatever is offered and answered, a side is offered only what it may speak, in its order, and the other is told only what was offered to it.
func FuzzCodecs(f *testing.F) {
	files, _ := filepath.Glob("testdata/sdp/*.sdp")
	for i, name := range files {
		f.Add([]byte(readFile(f, name)), []byte(readFile(f, files[(i+1)%len(files)])), "G722 PCMA", "telephone-event", "PCMA")
	}
	f.Add([]byte(manyCodecs), []byte(manyCodecs), "", "opus G729", "g722 cn")
	f.Fuzz(func(t *testing.T, offer, answer []byte, allow, deny, prefer string) {
		codecs := Codecs{Allow: strings.Fields(allow), Deny: strings.Fields(deny), Prefer: strings.Fields(prefer)}
		bed := newBed(t, newNetwork().listen)
		a, b := Leg{Party: "carrier", Security: SRTPOptional, Secure: true, Codecs: Codecs{Deny: []string{"GSM"}}}, plainLeg("fra")
		b.Codecs = codecs
		s := bed.open(a)
		out, err := s.Offer(A, offer, b)
		if err != nil {
			return
		}
		for _, l := range fit(t, out, codecs) {
			if !a.Codecs.Permits(l) {
				t.Fatalf("%s crosses\n%s", l, out)
			}
		}
		told := fit(t, out, codecs)
		back, err := s.Answer(B, answer)
		if err != nil {
			return
		}
		for _, l := range fit(t, back, Codecs{}) {
			if named(told, l) < 0 && l != "" {
				t.Fatalf("%s was never offered\n%s\n%s", l, out, back)
			}
		}
	})
}

// fit checks that a description has only formats of c in its stream, in the order of c, and gives their names.
func fit(t *testing.T, text []byte, c Codecs) []string {
	t.Helper()
	d, ref := parseSDP(text)
	if ref != nil {
		t.Fatalf("%v\n%s", ref, text)
	}
	var names []string
	last := 0
	for i := range d.lines {
		l := &d.lines[i]
		if l.port == 0 {
			continue
		}
		clocks := l.clocks(nil)
		for _, f := range l.formats {
			name := clocks.named(f).name
			names = append(names, name)
			rank := named(c.Prefer, name)
			if rank < 0 {
				rank = len(c.Prefer)
			}
			if !c.Permits(name) || rank < last {
				t.Fatalf("%s under %+v\n%s", name, c, text)
			}
			last = rank
		}
	}
	return names
}

func FuzzCrypto(f *testing.F) {
	for _, s := range defaultSuites() {
		f.Add(newCrypto("1", s).String() + "|2^31|1:4")
	}
	f.Add("1 AES_CM_128_HMAC_SHA1_80 inline:AAAA|2^20 WSH=64 -KDR=1")
	f.Fuzz(func(t *testing.T, v string) {
		c := parseCrypto(v)
		if c.suite == "" {
			return
		}
		k, salt := c.suite.lengths()
		if len(c.key) != k+salt || len(c.mki) > 8 || c.tag == "" {
			t.Fatalf("%+v", c)
		}
		if key := c.forPlane(); key.Suite == 0 || len(key.Master) != k+salt {
			t.Fatalf("%+v", key)
		}
		back := parseCrypto(c.String())
		if back.mki = c.mki; !back.same(c) || back.tag != c.tag {
			t.Fatalf("%q comes back as %q", v, back)
		}
	})
}

// FuzzPacket throws datagrams from the latched and from another address at both ports of a call that is up.
func FuzzPacket(f *testing.F) {
	f.Add(packet(7, 8, 9, []byte("speech")), true, false)
	f.Add(report(7, 8), true, true)
	f.Add([]byte{0x90, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x10, 1, 2, 3, 9}, false, false)
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, true, true)
	f.Fuzz(func(t *testing.T, b []byte, known, second bool) {
		if len(b) >= maxPacket {
			return
		}
		for _, legs := range [][2]Leg{{plainLeg("carrier"), srtpLeg("fra", AES_CM_128_HMAC_SHA1_80)}, {srtpLeg("carrier"), plainLeg("fra")}} {
			n, socks := newNetwork(), swallows{}
			bed := newBed(t, socks.listen, func(c *Config) { c.Ports = [2]uint16{30000, 30999} })
			suite := Suite("")
			if legs[A].Security != Plain {
				suite = AEAD_AES_128_GCM
			}
			a, c := newPeer(t, n, aliceAddr, 4000, suite), newPeer(t, n, bobAddr, 5000, "")
			s := bed.open(legs[A])
			c.picks(ok(s.Offer(A, a.sdp("a=rtcp-mux"), legs[B]))(t), 0)
			ok(s.Answer(B, c.sdp()))(t)
			at, from := s.legs[A].Load().bind, a.rtp.at
			if second {
				at = netipPort(at, at.Port()+1)
			}
			if !known {
				from = netip.AddrPortFrom(aliceAddr, 9)
			}
			socks[at].take(b, from)
			if r := s.Close().Sides[A]; legs[A].Security != Plain && r.RxPackets != 0 {
				t.Fatalf("an unauthentic packet was counted: %+v", r)
			}
		}
	})
}
