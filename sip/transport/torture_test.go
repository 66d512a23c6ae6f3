package transport

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// verdict is what becomes of a datagram.
type verdict struct {
	status int    // 0: accepted; -1: silence; else the answer
	reason string // what the answer or the fault says
}

var ok, silence = verdict{}, func(reason string) verdict { return verdict{-1, reason} }

func answer(status int, reason string) verdict { return verdict{status, reason} }

// torture is the whole sets of RFC 4475 and RFC 5118, each with what this layer does. Where an accepted message still deserves a refusal, somebody above
// gives it: the comment says which.
var torture = map[string]verdict{
	// RFC 4475 section 3.1.1: valid.
	"rfc4475/wsinv.dat":      ok,
	"rfc4475/intmeth.dat":    ok,
	"rfc4475/esc01.dat":      ok,
	"rfc4475/escnull.dat":    ok,
	"rfc4475/esc02.dat":      ok,
	"rfc4475/lwsdisp.dat":    ok,
	"rfc4475/longreq.dat":    ok,
	"rfc4475/dblreq.dat":     ok, // the first request; what follows in the datagram is cut
	"rfc4475/semiuri.dat":    ok,
	"rfc4475/transports.dat": ok,
	"rfc4475/mpart01.dat":    ok,
	"rfc4475/unreason.dat":   ok,
	"rfc4475/noreason.dat":   ok,

	// Section 3.1.2: invalid.
	"rfc4475/badinv01.dat":   answer(400, "Bad Via"),
	"rfc4475/clerr.dat":      answer(400, "Body Shorter Than Content-Length"),
	"rfc4475/ncl.dat":        answer(400, "Bad Content-Length"),
	"rfc4475/scalar02.dat":   answer(400, "Bad CSeq"),
	"rfc4475/scalarlg.dat":   silence("Bad CSeq"), // a response
	"rfc4475/quotbal.dat":    answer(400, "Bad To"),
	"rfc4475/ltgtruri.dat":   answer(400, "Request-URI In Brackets"),
	"rfc4475/lwsruri.dat":    answer(400, "Bad Request Line"),
	"rfc4475/lwsstart.dat":   answer(400, "Bad Request Line"),
	"rfc4475/trws.dat":       answer(400, "Bad Request Line"),
	"rfc4475/escruri.dat":    answer(400, "Bad Request-URI"),
	"rfc4475/baddate.dat":    answer(400, "Bad Date"),
	"rfc4475/regbadct.dat":   answer(400, "Bad Contact"),
	"rfc4475/badaspec.dat":   answer(400, "Bad To"),
	"rfc4475/baddn.dat":      answer(400, "Missing Empty Line"), // the file ends in the header section; its From is bad too
	"rfc4475/badvers.dat":    answer(505, "Version Not Supported"),
	"rfc4475/mismatch01.dat": answer(400, "CSeq Method Mismatch"),
	"rfc4475/mismatch02.dat": answer(400, "CSeq Method Mismatch"),
	"rfc4475/bigcode.dat":    silence("Bad Status Line"), // a response

	// Section 3.2: transaction layer.
	"rfc4475/badbranch.dat": ok, // matched as a branch of RFC 2543, which it is

	// Section 3.3: application layer.
	"rfc4475/insuf.dat":    answer(400, "Missing From"), // with what it has
	"rfc4475/unkscm.dat":   ok,                          // 416 above
	"rfc4475/novelsc.dat":  ok,                          // 416 above
	"rfc4475/unksm2.dat":   ok,                          // REGISTER is refused above
	"rfc4475/bext01.dat":   ok,                          // 420 above
	"rfc4475/invut.dat":    ok,                          // 415 above
	"rfc4475/regaut01.dat": ok,                          // REGISTER is refused above
	"rfc4475/multi01.dat":  answer(400, "Repeated CSeq"),
	"rfc4475/mcl01.dat":    answer(400, "Repeated Content-Length"),
	"rfc4475/bcast.dat":    ok, // a response; its top Via is not ours, so the layer drops it
	"rfc4475/zeromf.dat":   ok, // 483 above
	"rfc4475/cparam01.dat": ok,
	"rfc4475/cparam02.dat": ok,
	"rfc4475/regescrt.dat": ok,
	"rfc4475/sdp01.dat":    ok, // 406 above

	// Section 3.4: backward compatibility.
	"rfc4475/inv2543.dat": ok,

	// RFC 5118.
	"rfc5118/ipv6-good":                     ok,
	"rfc5118/ipv6-bad":                      answer(400, "Bad Request-URI"),
	"rfc5118/port-ambiguous":                ok,
	"rfc5118/port-unambiguous":              ok,
	"rfc5118/via-received-param-with-delim": ok,
	"rfc5118/via-received-param-no-delim":   ok,
	"rfc5118/ipv6-in-sdp":                   ok,
	"rfc5118/mult-ip-in-header":             ok,
	"rfc5118/mult-ip-in-sdp":                ok,
	"rfc5118/ipv4-mapped-ipv6":              ok,
	"rfc5118/ipv6-bug-abnf-3-colons":        answer(400, "Bad Request-URI"), // RFC 5954 corrected the grammar that allowed it
	"rfc5118/ipv6-correct-abnf-2-colons":    ok,
}

var tortureFrom = netip.MustParseAddrPort("198.51.100.7:5062")

// judge does with a datagram what the socket does.
func judge(b []byte) (verdict, sip.Message, []byte) {
	r := newReader()
	msg, fault := r.datagram(b)
	switch {
	case fault == nil:
		return ok, msg, nil
	case !r.head.answerable():
		return silence(fault.Reason), nil, nil
	}
	return answer(fault.Status, fault.Reason), nil, r.head.reject(fault, tortureFrom, []byte("key"))
}

func tortureFiles(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	root := filepath.Join("testdata", "torture")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		files[filepath.ToSlash(name)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Conforms: RFC 4475 section 3; RFC 5118 section 4
func TestTorture(t *testing.T) {
	files := tortureFiles(t)
	for name := range torture {
		if files[name] == nil {
			t.Errorf("%s: no such file", name)
		}
	}
	for name, b := range files {
		want, known := torture[name]
		if !known {
			t.Errorf("%s: nobody says what becomes of it", name)
			continue
		}
		got, msg, reply := judge(b)
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
			continue
		}
		if reply != nil {
			checkReply(t, name, reply)
		}
		if msg != nil {
			// What is accepted must survive its own writing.
			if _, err := Parse([]byte(msg.String())); err != nil {
				t.Errorf("%s: written again it is refused: %v\n%s", name, err, msg)
			}
		}
	}
}

// checkReply looks for what a refusal must carry. It may repeat a header that no strict reader takes, so it is not parsed.
func checkReply(t *testing.T, name string, reply []byte) {
	t.Helper()
	s := string(reply)
	low := strings.ToLower(s)
	wants := []string{"SIP/2.0 ", "\r\nVia: ", ";received=198.51.100.7", "\r\nCSeq: ", "\r\nContent-Length: 0\r\n\r\n"}
	if name != "fuzz" && name != "rfc4475/insuf.dat" { // where nothing of it is missing
		wants = append(wants, "\r\nFrom: ", "\r\nTo: ", "\r\nCall-ID: ")
	}
	if strings.Contains(s, "\r\nTo: ") {
		wants = append(wants, "tag=")
	}
	for _, want := range wants {
		if !strings.Contains(low, strings.ToLower(want)) {
			t.Errorf("%s: no %q in the answer\n%s", name, want, s)
		}
	}
	if strings.Count(s, "\r\n\r\n") != 1 || !strings.HasSuffix(s, "\r\n\r\n") {
		t.Errorf("%s: the answer is framed wrongly\n%s", name, s)
	}
}

// What the messages say must come out right, not only pass.
// Conforms: RFC 4475 section 3.1; RFC 5118 section 4
func TestTortureContent(t *testing.T) {
	files := tortureFiles(t)
	req := func(name string) *sip.Request {
		t.Helper()
		msg, err := Parse(files[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return msg.(*sip.Request)
	}
	eq := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	w := req("rfc4475/wsinv.dat")
	eq("wsinv top Via", w.Via().Value(), "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw")
	vias := w.GetHeaders("via")
	if len(vias) != 3 {
		t.Fatalf("wsinv has %d Via, want 3", len(vias))
	}
	eq("wsinv second Via", vias[1].Value(), "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8")
	eq("wsinv third Via", vias[2].Value(), "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239")
	tag, _ := w.To().Params.Get("tag")
	eq("wsinv To tag", tag, "1918181833n")
	eq("wsinv From", w.From().DisplayName, `J Rosenberg \\\"`)
	eq("wsinv CSeq", w.CSeq().Value(), "9 INVITE")
	eq("wsinv Max-Forwards", w.MaxForwards().Value(), "68")
	eq("wsinv Contact", w.Contact().Value(), `"Quoted string \"\"" <sip:jdrosen@example.com>;newparam=newvalue;secondparam;q=0.33`)
	eq("wsinv folded", w.GetHeader("NewFangledHeader").Value(), "newfangled value continued newfangled value")
	i := req("rfc4475/intmeth.dat")
	eq("intmeth method", string(i.Method), "!interesting-Method0123456789_*+`.%indeed'~")
	eq("intmeth Call-ID", i.CallID().Value(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{")
	eq("intmeth user", i.Recipient.User, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
	e := req("rfc4475/esc02.dat")
	eq("esc02 method", string(e.Method), "RE%47IST%45R")
	if n := len(e.GetHeaders("contact")); n != 2 {
		t.Errorf("esc02 has %d Contact, want 2: an escaped name is another header", n)
	}
	eq("dblreq", string(req("rfc4475/dblreq.dat").Method), "REGISTER")
	if n := len(req("rfc4475/dblreq.dat").Body()); n != 0 {
		t.Errorf("dblreq has a body of %d bytes: the second request", n)
	}
	if v := req("rfc4475/longreq.dat").GetHeaders("via"); len(v) != 34 {
		t.Errorf("longreq has %d Via, want 34", len(v))
	}
	eq("semiuri user", req("rfc4475/semiuri.dat").Recipient.User, "user;par=u%40example.net")
	eq("unkscm scheme", req("rfc4475/unkscm.dat").Recipient.Scheme, "nobodyknowsthisscheme")
	eq("novelsc", req("rfc4475/novelsc.dat").Recipient.String(), "soap.beep://192.0.2.103:3002")
	if n := len(req("rfc4475/mpart01.dat").Body()); n != 553 {
		t.Errorf("mpart01 has a body of %d bytes, want 553", n)
	}
	p := req("rfc5118/port-unambiguous")
	if p.Recipient.Host != "[2001:db8::10]" || p.Recipient.Port != 5070 {
		t.Errorf("port-unambiguous: %q %d", p.Recipient.Host, p.Recipient.Port)
	}
	eq("IPv6 Via", p.Via().Host, "2001:db8::9:1")
	r, _ := req("rfc5118/via-received-param-no-delim").Via().Params.Get("received")
	eq("received", r, "2001:db8::9:255")
	msg, _ := Parse(files["rfc4475/unreason.dat"])
	if res := msg.(*sip.Response); !strings.HasPrefix(res.Reason, "= 2**3 * 5**2 ") {
		t.Errorf("unreason: %q", res.Reason)
	}
}

func TestFaultIsAnError(t *testing.T) {
	_, err := Parse([]byte("OPTIONS sip:a@b SIP/2.0\r\n\r\n"))
	var f *Fault
	if !errors.As(err, &f) || f.Status != 400 || f.Reason != "Missing Via" {
		t.Errorf("%v", err)
	}
}

// A datagram may be anything. What is accepted has what nobody above needs to check again, and survives its own writing; what is answered is framed rightly.
func FuzzDatagram(f *testing.F) {
	for _, b := range tortureFiles(f) {
		f.Add(b)
	}
	f.Add([]byte("\r\n\r\n"))
	f.Add([]byte("X\nVia:SIp00\nFrom:0\nTo:0\nCall-ID:0\nCSeq:0\n\n"))
	f.Add([]byte("OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\nFrom: <sip:a@b>\nTo: <sip:a@b>\nCall-ID: 1\nCSeq: 1 OPTIONS\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, msg, reply := judge(b)
		if reply != nil {
			checkReply(t, "fuzz", reply)
		}
		if msg == nil {
			return
		}
		checkMessage(t, msg)
		if got := string(Append(nil, msg)); got != msg.String() {
			t.Errorf("written as %q, and by itself as %q", got, msg.String())
		}
		if _, err := Parse([]byte(msg.String())); err != nil {
			t.Errorf("written again it is refused: %v\n%q", err, msg.String())
		}
	})
}

func checkMessage(t *testing.T, msg sip.Message) {
	t.Helper()
	via, from, to, id, cseq := msg.Via(), msg.From(), msg.To(), msg.CallID(), msg.CSeq()
	if via == nil || from == nil || to == nil || id == nil || cseq == nil || msg.ContentLength() == nil {
		t.Fatalf("a mandatory header is missing:\n%s", msg)
	}
	if via.Host == "" || cseq.MethodName == "" || int(*msg.ContentLength()) != len(msg.Body()) {
		t.Errorf("accepted:\n%s", msg)
	}
	switch m := msg.(type) {
	case *sip.Request:
		if m.Method != cseq.MethodName || m.Recipient.Scheme == "" || len(m.Recipient.Headers) > 0 {
			t.Errorf("accepted:\n%s", msg)
		}
	case *sip.Response:
		if m.StatusCode < 100 || m.StatusCode > 699 {
			t.Errorf("accepted status %d", m.StatusCode)
		}
	}
}
