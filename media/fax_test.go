package media

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// faxLeg takes T.38, and SRTP for its audio where secure says so.
func faxLeg(party string, secure bool) Leg {
	if secure {
		return Leg{Party: party, Security: SRTPOptional, Secure: true, T38: true}
	}
	return Leg{Party: party, Security: Plain, T38: true}
}

// faxForms are how peers write the switch: the image in the place of the audio, and behind an audio that is closed.
var faxForms = map[string]func(audio string) string{
	"replaced": func(string) string { return "" },
	"beside":   func(audio string) string { return "m=audio 0 " + audio + " 8\r\n" },
}

// fax is what the peer says of itself to fax, from a port. before are the media lines before the image.
func (p *peer) fax(before string, port uint16, extra ...string) []byte {
	a := p.rtp.at.Addr()
	return fmt.Appendf(nil, "v=0\r\no=peer 7 8 IN IP4 %s\r\ns=peer\r\nc=IN IP4 %s\r\nt=0 0\r\n%sm=image %d udptl t38\r\n%s\r\n", a, a, before, port,
		strings.Join(append([]string{"a=T38FaxVersion:0", "a=T38FaxUdpEC:t38UDPRedundancy"}, extra...), "\r\n"))
}

// profile of the audio that the peer speaks.
func (p *peer) profile() string {
	if p.ours != nil {
		return protoSAVP
	}
	return protoAVP
}

// faxed reads which port of ours the peer faxes to.
func (p *peer) faxed(text []byte) *peer {
	p.t.Helper()
	d, ref := parseSDP(text)
	if ref != nil {
		p.t.Fatal(ref)
	}
	for _, l := range d.lines {
		if l.port != 0 {
			if !l.fax() || len(l.crypto) > 0 || l.mux {
				p.t.Fatalf("no fax is said alone:\n%s", text)
			}
			p.to = l.addr
		}
	}
	return p
}

// sends has a peer send n packets of UDPTL, and says how many of them the other one gets as they were.
func (p *peer) faxes(to *peer, n int) (same int) {
	p.t.Helper()
	to.got(to.rtp)
	var sent [][]byte
	for i := range n {
		b := append([]byte{0, byte(i), 3 + byte(i)}, bytes.Repeat([]byte{byte(i)}, 5+i)...)
		sent = append(sent, b)
		p.from(p.rtp, b)
	}
	for i, b := range to.got(to.rtp) {
		if i < n && bytes.Equal(b, sent[i]) {
			same++
		}
	}
	return same
}

// faxOn switches the call to a fax that A asks for.
func (c *talking) faxOn(form string) {
	c.t.Helper()
	before := faxForms[form]
	c.b.faxed(ok(c.s.Offer(A, c.a.fax(before(c.a.profile()), c.a.rtp.at.Port()), c.legs[B]))(c.t))
	c.a.faxed(ok(c.s.Answer(B, c.b.fax(before(c.b.profile()), c.b.rtp.at.Port())))(c.t))
}

// Conforms: RFC 3362 section 3; RFC 3264 section 8
func TestFaxDescriptions(t *testing.T) {
	files, _ := filepath.Glob("testdata/fax/*.sdp")
	if len(files) == 0 {
		t.Fatal("no samples")
	}
	for _, name := range files {
		bubble(t, func(t *testing.T) {
			c := newTalking(t, faxLeg("carrier", false), faxLeg("fra", false))
			text := readFile(t, name)
			toB := ok(c.s.Offer(A, []byte(text), c.legs[B]))(t)
			before := ""
			if strings.Contains(text, "m=audio") {
				before = "m=audio 0 RTP/AVP 8\r\n"
			}
			answer := c.b.fax(before, c.b.rtp.at.Port(), "a=T38MaxBitRate:9600", "a=T38VendorInfo:0 0 38", "a=T38FaxMaxDatagram:400", "a=label:main-x")
			toA := ok(c.s.Answer(B, answer))(t)
			got := "--- offer to B\n" + normal(string(toB)) + "--- answer to A\n" + normal(string(toA))
			file := strings.TrimSuffix(name, ".sdp") + ".txt"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := readFile(t, file); got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
			}
			if vendor := regexp.MustCompile("(?i)vendor|198.51.100|host|label|main-x"); vendor.Match(toB) || vendor.Match(toA) {
				t.Errorf("%s: something of the other side crosses:\n%s\n%s", name, toB, toA)
			}
		})
	}
}

func TestFaxAttributes(t *testing.T) {
	for in, want := range map[string]string{
		"T38FaxVersion:3": "T38FaxVersion:3", "T38FAXVERSION:003": "T38FaxVersion:3", "T38FaxVersion:0": "T38FaxVersion:0", "T38FaxVersion": "", "T38FaxVersion:3x": "",
		"T38MaxBitRate:4294967295": "T38MaxBitRate:4294967295", "T38MaxBitRate:4294967296": "", "T38MaxBitRate:+9600": "", "T38FaxMaxIFP: 40 ": "T38FaxMaxIFP:40",
		"T38FaxMaxDatagram:2047": "T38FaxMaxDatagram:2047", "T38FaxMaxDatagram:2048": "T38FaxMaxDatagram:2047", "T38FaxMaxDatagram:72": "T38FaxMaxDatagram:72",
		"T38FaxFillBitRemoval": "T38FaxFillBitRemoval", "T38FaxFillBitRemoval:1": "T38FaxFillBitRemoval", "T38FaxTranscodingMMR:0": "", "T38FaxTranscodingJBIG:x": "",
		"T38FaxUdpEC:T38UDPFEC": "T38FaxUdpEC:t38UDPFEC", "T38FaxUdpEC:": "", "T38FaxRateManagement:localtcf": "T38FaxRateManagement:localTCF", "T38FaxRateManagement:x": "",
		"T38FaxUdpECDepth:2": "T38FaxUdpECDepth:2", "T38FaxUdpECDepth:1 03": "T38FaxUdpECDepth:1 3", "T38FaxUdpECDepth:1 x": "", "T38FaxUdpECDepth:": "", "T38FaxUdpECDepth:x 1": "",
		"T38VendorInfo:1 2 3": "", "T38": "", "ptime:20": "", "": "", "T3": "", "T38FaxUdpFECMaxSpan:4": "T38FaxUdpFECMaxSpan:4",
	} {
		name, value, _ := strings.Cut(in, ":")
		got := ""
		if a, ok := faxAttribute(name, strings.TrimSpace(value)); ok {
			if got = a.key; a.value != "" {
				got += ":" + a.value
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// TestASwitchToFaxAndBack: with both forms, plain and with SRTP, whoever asks: audio, fax, audio; the same ports, keys, rollover counters and session.
func TestASwitchToFaxAndBack(t *testing.T) {
	for form, before := range faxForms {
		for _, secure := range []bool{false, true} {
			for _, asks := range []Side{A, B} {
				t.Run(fmt.Sprint(form, secure, asks), func(t *testing.T) {
					bubble(t, func(t *testing.T) { faxAndBack(t, before, secure, asks) })
				})
			}
		}
	}
}

func faxAndBack(t *testing.T, before func(string) string, secure bool, asks Side) {
	c := newTalking(t, faxLeg("carrier", secure), faxLeg("fra", secure))
	from, to := c.a, c.b
	if asks == B {
		from, to = to, from
	}
	in := map[*peer]*inbound{c.a: c.a.opener(), c.b: c.b.opener()}
	from.ext, to.ext = 65533, 65533
	hear := func(what string) {
		t.Helper()
		for _, x := range [][2]*peer{{from, to}, {to, from}} {
			x[1].got(x[1].rtp)
			if x[0].talk(6); len(x[1].heard(in[x[1]])) != 6 {
				t.Fatalf("%s: no audio", what)
			}
		}
	}
	hear("before")
	ports, keys := [2]string{from.to.String(), to.to.String()}, [2]*crypto{from.key, to.key}
	var last string
	for round := range 2 {
		offer := ok(c.s.Offer(asks, from.fax(before(from.profile()), from.rtp.at.Port()), c.legs[1-asks]))(t)
		if hear("while the other side is asked"); c.s.Report().Sides[A].Codec != "PCMA" {
			t.Error("a fax before it is answered")
		}
		to.faxed(offer)
		answer := ok(c.s.Answer(1-asks, to.fax(before(to.profile()), to.rtp.at.Port())))(t)
		from.faxed(answer)
		if from.to.String() != ports[0] || to.to.String() != ports[1] {
			t.Errorf("the fax goes to %v and %v, the audio to %v", from.to, to.to, ports)
		}
		if from.faxes(to, 20) != 20 || to.faxes(from, 20) != 20 {
			t.Fatal("the fax does not cross as it is")
		}
		if r := c.s.Report().Sides[asks]; r.Codec != "T.38" || r.Suite != "" || r.Fax.RxPackets != uint64(20*(round+1)) || r.Fax.TxPackets != r.Fax.RxPackets || r.Fax.RxBytes == 0 {
			t.Errorf("%+v", r)
		}
		to.talk(3)
		if from.talk(3); len(from.got(from.rtp))+len(to.got(to.rtp)) != 0 {
			t.Error("audio crosses within a fax")
		}
		for _, p := range []*peer{from, to} {
			p.ext -= 3 // which nobody heard
		}

		back := ok(c.s.Offer(asks, from.sdp(beside(before)...), c.legs[1-asks]))(t)
		to.reads(back)
		answer = ok(c.s.Answer(1-asks, to.sdp(beside(before)...)))(t)
		from.reads(answer)
		if n := strings.Count(string(answer), "m="); n != strings.Count(string(back), "m=") || n != 1+len(beside(before)) {
			t.Errorf("%d media lines\n%s", n, answer)
		}
		for i, k := range []*crypto{from.key, to.key} {
			if secure && !k.same(*keys[i]) || !secure && k != nil {
				t.Errorf("our key %d changed", i)
			}
		}
		hear("after")
		_, version := origin(t, answer)
		if version == last {
			t.Error("another description under the same version")
		}
		last = version
	}
	r := c.s.Close()
	if a := r.Sides[asks]; a.Codec != "PCMA" || a.RxPackets != 30 || a.Lost != 0 || a.Fax.RxPackets != 40 || (a.Suite != "") != secure {
		t.Errorf("%+v", a)
	}
}

// beside are the lines behind the audio in the form with two lines.
func beside(before func(string) string) []string {
	if before("") == "" {
		return nil
	}
	return []string{"m=image 0 udptl t38"}
}

// TestARefusedFaxLeavesTheAudio, whoever refuses: the other side, or the rule of either side.
func TestARefusedFaxLeavesTheAudio(t *testing.T) {
	for form, before := range faxForms {
		bubble(t, func(t *testing.T) {
			c := newTalking(t, faxLeg("carrier", true), faxLeg("fra", true))
			in := map[*peer]*inbound{c.a: c.a.opener(), c.b: c.b.opener()}
			goesOn := func(what string) {
				t.Helper()
				c.a.talk(2)
				if c.b.talk(2); len(c.a.heard(in[c.a])) != 2 || len(c.b.heard(in[c.b])) != 2 {
					t.Errorf("%s, %s: no audio", form, what)
				}
				if c.s.Save() == nil {
					t.Errorf("%s, %s: nothing is written down of the call", form, what)
				}
			}
			goesOn("before")
			text := c.a.fax(before(c.a.profile()), c.a.rtp.at.Port())
			ok(c.s.Offer(A, text, c.legs[B]))(t)
			c.s.Rollback() // 488
			goesOn("the other side says no")
			ok(c.s.Offer(A, text, c.legs[B]))(t)
			if _, err := c.s.Offer(B, c.b.fax(before(c.b.profile()), c.b.rtp.at.Port()), c.legs[A]); refusal(err).Status != 491 {
				t.Errorf("glare: %v", err)
			}
			if _, err := c.s.Answer(B, c.b.sdp()); refusal(err).Status != 488 {
				t.Errorf("audio answers an image: %v", err)
			}
			c.s.Rollback()
			goesOn("glare")
			c.s.cfg[B].T38 = false
			if _, err := c.s.Offer(A, text, c.legs[B]); refusal(err).Status != 488 || refusal(err).Warning != 304 || !refusal(err).NoCodec {
				t.Errorf("%v", err)
			}
			goesOn("the rule of the other side")
			c.s.cfg[B].T38 = true
			ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t)
			if _, err := c.s.Answer(B, c.b.fax("", c.b.rtp.at.Port())); refusal(err).Status != 488 {
				t.Errorf("an image answers audio: %v", err)
			}
			c.s.Rollback()
			c.s.cfg[A].T38 = false
			if _, err := c.s.Offer(A, text, c.legs[B]); refusal(err).Status != 488 || refusal(err).Warning != 304 {
				t.Errorf("%v", err)
			}
			goesOn("its own rule")
		})
	}
}

// refusal unwraps; a blank one for any other error.
func refusal(err error) *Refusal {
	if ref, is := err.(*Refusal); is {
		return ref
	}
	return &Refusal{}
}

// TestAFaxIsJudged: an address in a place that is held is refused, in an offer and in an answer, and not a byte goes there.
func TestAFaxIsJudged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, faxLeg("carrier", false), faxLeg("fra", false))
		held := newPeer(t, c.n, heldAddr, 4000, "")
		if _, err := c.s.Offer(A, held.fax("", 4000), c.legs[B]); refusal(err).Status != 403 {
			t.Errorf("offered: %v", err)
		}
		ok(c.s.Offer(A, c.a.fax("", 4000), c.legs[B]))(t)
		if _, err := c.s.Answer(B, held.fax("", 4000)); refusal(err).Status != 403 {
			t.Errorf("answered: %v", err)
		}
		if refused := c.moves.list(); len(refused) < 2 || refused[len(refused)-1].Allowed {
			t.Errorf("%+v", refused)
		}
		c.s.Rollback()
		if c.hears(c.a, c.b, 3) != 3 || len(held.got(held.rtp)) != 0 {
			t.Error("the refusal changed the call")
		}
		// Another port, another family, and a hold by the unspecified address.
		c.faxOn("replaced")
		moved := newPeer(t, c.n, aliceAddr, 4400, "")
		ok(c.s.Offer(A, moved.fax("", 4400), c.legs[B]))(t)
		moved.faxed(ok(c.s.Answer(B, c.b.fax("", c.b.rtp.at.Port())))(t))
		if moved.faxes(c.b, 5) != 5 || c.b.faxes(moved, 5) != 5 {
			t.Error("no fax from another port")
		}
		zero := bytes.ReplaceAll(moved.fax("", 4400), []byte(aliceAddr.String()), []byte("0.0.0.0"))
		ok(c.s.Offer(A, zero, c.legs[B]))(t)
		ok(c.s.Answer(B, c.b.fax("", c.b.rtp.at.Port())))(t)
		if c.b.faxes(moved, 3) != 0 {
			t.Error("something is sent to who is on hold")
		}
		six := bytes.Replace(moved.fax("", 4400), []byte("c=IN IP4 "+aliceAddr.String()), []byte("c=IN IP6 fd00:1::1"), 1)
		if _, err := c.s.Offer(A, six, c.legs[B]); refusal(err).Status != 488 {
			t.Errorf("%v", err)
		}
	})
}

// TestWhichLineIsTaken where several are open, or none.
func TestWhichLineIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, faxLeg("carrier", false), faxLeg("fra", false))
		image := func(port int) string { return fmt.Sprintf("m=image %d udptl t38\r\n", port) }
		first := func(text string) []byte {
			return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n%s", aliceAddr, aliceAddr, text)
		}
		audio := "m=audio 4000 RTP/AVP 8\r\n"
		for name, step := range map[string]struct {
			leg  Leg
			text string
			want string // the open line that B is told; "" for a refusal
		}{
			"a fax from the beginning":      {faxLeg("fra", false), image(4000), "m=image"},
			"both, the image first":         {faxLeg("fra", false), image(4002) + audio, "m=audio"},
			"both, the audio first":         {faxLeg("fra", false), audio + image(4002), "m=audio"},
			"an audio that is closed":       {faxLeg("fra", false), "m=audio 0 RTP/AVP 8\r\n" + image(4002), "m=image"},
			"a fax over TCP":                {faxLeg("fra", false), "m=image 4000 tcp t38\r\n", ""},
			"a fax over RTP":                {faxLeg("fra", false), "m=image 4000 RTP/AVP 98\r\n", ""},
			"something else over UDPTL":     {faxLeg("fra", false), "m=image 4000 udptl x\r\n", ""},
			"a fax that cannot be read":     {faxLeg("fra", false), image(4000) + "c=IN IP9 x\r\n", ""},
			"and beside it audio":           {faxLeg("fra", false), audio + image(4000) + "c=IN IP9 x\r\nnonsense\r\n", "m=audio"},
			"a closed fax":                  {faxLeg("fra", false), image(0), ""},
			"several ports":                 {faxLeg("fra", false), "m=image 4000/2 udptl t38\r\n", ""},
			"a fax for who takes none":      {plainLeg("fra"), image(4000), ""},
			"audio for who takes no faxes":  {plainLeg("fra"), image(4002) + audio, "m=audio"},
			"audio whose transport is none": {faxLeg("fra", false), "m=audio 4000 TCP/RTP/AVP 8\r\n" + image(4002), ""},
		} {
			s := c.open(faxLeg("carrier", false))
			out, err := s.Offer(A, first(step.text), step.leg)
			if step.want == "" {
				if refusal(err).Status != 488 {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
				continue
			}
			open := ""
			for _, l := range lines(t, out, "m=") {
				if !strings.Contains(l, " 0 ") {
					open += l
				}
			}
			if err != nil || !strings.HasPrefix(open, step.want) || strings.Count(string(out), "m=") != strings.Count(step.text, "m=") {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
		// Within a call the line in use goes on beside another one.
		both := append(c.a.sdp(), image(4002)...)
		if out := ok(c.s.Offer(A, both, c.legs[B]))(t); len(lines(t, out, "m=image 0 udptl t38")) != 1 {
			t.Errorf("%s", out)
		}
		c.s.Rollback()
		c.faxOn("beside")
		both = append(c.a.sdp(), image(4000)...)
		if out := ok(c.s.Offer(A, both, c.legs[B]))(t); len(lines(t, out, "m=audio 0 ")) != 1 || len(lines(t, out, "m=image 0 ")) != 0 {
			t.Errorf("%s", out)
		}
		c.s.Rollback()
		if _, _, err := c.s.Replace(B, faxLeg("zrh", false)); refusal(err).Status != 488 {
			t.Errorf("a transfer within a fax: %v", err)
		}
		if _, ok := c.s.Origin(A); ok {
			t.Error("a far end that faxes is taken over by another call")
		}
	})
}

// TestAFaxFromTheBeginning, and the audio behind it.
func TestAFaxFromTheBeginning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		c := &talking{bed: newBed(t, n.door), n: n, legs: [2]Leg{faxLeg("carrier", true), faxLeg("fra", true)}}
		c.a, c.b = newPeer(t, n, aliceAddr, 4000, AES_CM_128_HMAC_SHA1_80), newPeer(t, n, bobAddr, 5000, "")
		c.s = c.open(c.legs[A])
		c.faxOn("replaced")
		if c.a.faxes(c.b, 5) != 5 || c.b.faxes(c.a, 5) != 5 {
			t.Error("no fax")
		}
		c.b.picks(ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t), 0)
		c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
		if in := c.b.opener(); c.hears(c.a, c.b, 0) != 0 {
			t.Error("something is left")
		} else if c.a.talk(3); len(c.b.heard(in)) != 3 {
			t.Error("no audio behind the fax")
		}
	})
}

// TestAFurtherOfferWithinAFax is a refresh, or another address, and needs nobody else.
func TestAFurtherOfferWithinAFax(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, faxLeg("carrier", false), faxLeg("fra", false))
		c.faxOn("beside")
		closed := faxForms["beside"](protoAVP)
		again := c.a.fax(closed, 4000)
		if got := c.s.Compare(A, again); got != Same {
			t.Errorf("a refresh is %d", got)
		}
		if got := c.s.Compare(A, c.a.fax(closed, 4100)); got != Address {
			t.Errorf("another port is %d", got)
		}
		if got := c.s.Compare(A, c.a.sdp()); got != Formats {
			t.Errorf("audio is %d", got)
		}
		answer := ok(c.s.Reoffer(A, again))(t)
		if l := lines(t, answer, "m="); len(l) != 2 || !strings.HasPrefix(l[0], "m=audio 0") || !strings.HasPrefix(l[1], "m=image "+fmt.Sprint(c.a.to.Port())) {
			t.Errorf("%s", answer)
		}
		if len(lines(t, answer, "a=T38FaxUdpEC:t38UDPRedundancy")) != 1 {
			t.Errorf("%s", answer)
		}
		if _, err := c.s.Reoffer(A, c.a.sdp()); refusal(err).Status != 488 {
			t.Errorf("audio is answered alone: %v", err)
		}
		if c.a.faxes(c.b, 3) != 3 || c.b.faxes(c.a, 3) != 3 {
			t.Error("no fax after that")
		}
		if hold := ok(c.s.Reoffer(A, c.a.fax(closed, 4000, "a=sendonly")))(t); len(lines(t, hold, "a=recvonly")) != 1 {
			t.Errorf("%s", hold)
		}
		if c.b.faxes(c.a, 3) != 0 || c.a.faxes(c.b, 3) != 3 {
			t.Error("sendonly does not count")
		}
	})
}

// TestAFaxMayBeSilent: nobody is told of it for as long as it lasts, it has no score, and behind it silence counts again.
func TestAFaxMayBeSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newPulsed(t)
		c.legs = [2]Leg{faxLeg("carrier", false), faxLeg("fra", false)}
		c.s.cfg[A].T38, c.s.cfg[B].T38 = true, true
		c.s.Answered()
		same(t, "speech", c.pass(11, c.a, c.b))
		c.faxOn("replaced")
		windows := c.s.Report().Sides[A].Quality.Windows
		same(t, "ten minutes of nothing", c.pass(600))
		if q := c.s.Report().Sides[A].Quality; q.Silence != 0 || q.State != StateAlive || q.Windows != windows || q.MOSMin < 4.3 {
			t.Errorf("%+v, had %d windows", q, windows)
		}
		c.a.faxes(c.b, 5)
		c.b.reads(ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t))
		c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
		same(t, "silence behind it", c.pass(8, c.a), "b 617: silent after 5s")
		c.faxOn("replaced")
		same(t, "a fax ends it", c.pass(2), "b 620: alive after 8s, held")
	})
}

// TestAFaxIsTakenUpByAnotherRelay: it goes on while nobody is there, and behind it the audio has the ports and keys of before.
func TestAFaxIsTakenUpByAnotherRelay(t *testing.T) {
	for _, secure := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			n := newNetwork()
			bed := newBed(t, n.door)
			bed.surviving()
			bed.restart()
			c := &talking{bed: bed, n: n, legs: [2]Leg{faxLeg("carrier", secure), faxLeg("fra", secure)}}
			suite := Suite("")
			if secure {
				suite = AES_CM_128_HMAC_SHA1_80
			}
			c.a, c.b = newPeer(t, n, aliceAddr, 4000, suite), newPeer(t, n, bobAddr, 5000, "")
			c.s = ok(c.relay.Open("call", c.legs[A]))(t)
			c.b.picks(ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t), 0)
			c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
			in := map[*peer]*inbound{c.a: c.a.opener(), c.b: c.b.opener()}
			c.a.ext, c.b.ext = 65533, 65533
			c.a.talk(6)
			if c.b.talk(6); len(c.a.heard(in[c.a])) != 6 || len(c.b.heard(in[c.b])) != 6 {
				t.Fatal("no audio")
			}
			keyA, keyB := c.a.key, c.b.key
			c.faxOn("beside")
			c.a.faxes(c.b, 4)
			note := c.s.Save()
			if bytes.Contains(note, keyText(keyA)) && secure {
				t.Error("a key was written down")
			}
			c.restart()
			if c.a.faxes(c.b, 4) != 4 {
				t.Error("no fax while nobody is there")
			}
			c.s = ok(c.relay.Readopt("call", note))(t)
			c.relay.Settle()
			if c.a.faxes(c.b, 4) != 4 || c.b.faxes(c.a, 4) != 4 {
				t.Error("no fax afterwards")
			}
			if r := c.s.Report().Sides[A]; r.Codec != "T.38" || r.Fax.RxPackets != 12 || r.Fax.TxPackets != 4 || r.RxPackets != 6 {
				t.Errorf("%+v", r)
			}
			if _, err := c.s.Reoffer(A, c.a.fax(faxForms["beside"](c.a.profile()), 4000)); err != nil {
				t.Errorf("a refresh: %v", err)
			}
			back := ok(c.s.Offer(A, c.a.sdp("m=image 0 udptl t38"), c.legs[B]))(t)
			if n := len(lines(t, back, "a=crypto")); n != 1 && secure || n != 0 && !secure {
				t.Errorf("%d keys are offered, one suite was agreed:\n%s", n, back)
			}
			c.b.reads(back)
			c.a.reads(ok(c.s.Answer(B, c.b.sdp("m=image 0 udptl t38")))(t))
			if secure && (!c.a.key.same(*keyA) || !c.b.key.same(*keyB)) {
				t.Error("our keys changed")
			}
			c.a.talk(6)
			if c.b.talk(6); len(c.a.heard(in[c.a])) != 6 || len(c.b.heard(in[c.b])) != 6 {
				t.Error("no audio behind it")
			}
			c.s.Close()
		})
	}
}

// TestACallWhoseReofferWasRefusedIsTakenUp: it is the call that it was.
func TestACallWhoseReofferWasRefusedIsTakenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		bed.surviving()
		bed.restart()
		c := &talking{bed: bed, n: n, legs: [2]Leg{faxLeg("carrier", false), faxLeg("fra", false)}}
		c.a, c.b = newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		c.s = ok(c.relay.Open("call", c.legs[A]))(t)
		c.b.reads(ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t))
		c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
		ok(c.s.Offer(B, c.b.fax("", 5000), c.legs[A]))(t)
		c.s.Rollback()
		note := c.s.Save()
		c.restart()
		c.s = ok(c.relay.Readopt("call", note))(t)
		if c.hears(c.a, c.b, 2) != 2 || c.hears(c.b, c.a, 2) != 2 {
			t.Error("no audio")
		}
		c.faxOn("replaced")
		if c.a.faxes(c.b, 2) != 2 {
			t.Error("no fax")
		}
		c.s.Close()
	})
}

func TestALegThatDemandsSRTPTakesNoFax(t *testing.T) {
	b := newBed(t, newNetwork().listen)
	if _, err := b.relay.Open("call", Leg{Party: "carrier", Secure: true, T38: true}); err == nil || !strings.Contains(err.Error(), "T.38 goes in the clear") {
		t.Errorf("%v", err)
	}
}

// FuzzFax: whatever is offered and answered within a call, what leaves can be read, has one stream of ours at most, as many lines as were offered, and of a fax nothing but
// what is known of T.38.
func FuzzFax(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.sdp")
	for i, name := range files {
		f.Add([]byte(readFile(f, name)), []byte(readFile(f, files[(i+1)%len(files)])))
		f.Add([]byte(readFile(f, name)), []byte(readFile(f, name)))
	}
	known := regexp.MustCompile(`^a=(T38[A-Za-z]+(:[A-Za-z0-9 ]+)?|sendonly|recvonly|inactive)$`)
	f.Fuzz(func(t *testing.T, offer, answer []byte) {
		bed := newBed(t, newNetwork().listen)
		s := bed.open(faxLeg("carrier", true))
		first := []byte(readFile(t, "testdata/sdp/asterisk.sdp"))
		ok(s.Offer(A, first, faxLeg("fra", false)))(t)
		ok(s.Answer(B, first))(t)
		check := func(text, out []byte) {
			d, _ := parseSDP(text)
			told, _ := parseSDP(out)
			sound(t, out, max(len(d.lines), len(told.lines)))
			for _, l := range told.lines {
				if l.port == 0 || l.kind == "audio" {
					continue
				}
				for _, a := range lines(t, out, "a=") {
					if !l.fax() || !known.MatchString(a) {
						t.Fatalf("%q\n%s", a, out)
					}
				}
			}
		}
		out, err := s.Offer(A, offer, faxLeg("fra", false))
		if err != nil {
			return
		}
		check(offer, out)
		if out, err = s.Answer(B, answer); err == nil {
			check(offer, out)
			back, err := s.Reoffer(A, offer)
			if err == nil {
				check(offer, back)
			}
		} else {
			s.Rollback()
		}
		s.Save()
		if out, err = s.Offer(B, first, faxLeg("carrier", true)); err == nil {
			check(first, out)
		}
	})
}

// sameFax takes a line of T.38 for the comparison with an oracle that does not look into it.
func sameFax(l *line) {
	if l.fax() {
		*l = line{kind: l.kind, proto: l.proto, port: l.port, formats: l.formats, dir: sendrecv}
	}
}

// TestAFaxIsReadInTheMemoryOfItsSession as on the heap.
func TestAFaxIsReadInTheMemoryOfItsSession(t *testing.T) {
	files, _ := filepath.Glob("testdata/fax/*.sdp")
	for _, name := range files {
		used, text := dirty(), []byte(readFile(t, name))
		heap, ref := parseSDP(text)
		place, _ := parseInto(&used, text)
		clear(text)
		if ref != nil || !reflect.DeepEqual(heap.lines, place.lines) {
			t.Errorf("%s: %v\n%+v\n%+v", name, ref, heap.lines, place.lines)
		}
	}
}
