package ice

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{rfcRequest, rfcIPv4, rfcIPv6, rfcLongTerm} {
		f.Add(fromHex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parse(b)
		if !ok {
			return
		}
		if KindOf(b) != STUN || m.unknowns > maxUnknown || m.integrity >= len(b) || m.fingerprint >= len(b) {
			t.Fatalf("read as %+v", m)
		}
		m.verified()
		m.authentic([]byte(rfcPwd))
	})
}

// FuzzHandle puts any attributes into a request that is properly made: a peer that knows the password is not to be trusted with more than its own media.
func FuzzHandle(f *testing.F) {
	f.Add([]byte{}, []byte{}, true)
	f.Add(attribute(nil, attrControlled, []byte("tiebreak")), attribute(nil, attrUseCandidate, nil), false)
	f.Add(attribute(nil, 0x7fff, nil), []byte{0, 8, 0, 20}, true)
	own := Credentials{"abcdefgh", rfcPwd}
	f.Fuzz(func(t *testing.T, extra, behind []byte, use bool) {
		if len(extra)+len(behind) > 300 {
			return
		}
		a, _ := New(own, "peer")
		r := check(own, "peer", use)
		r.extra, r.behind = extra[:len(extra)&^3], behind[:len(behind)&^3]
		in := r.bytes()
		kept := string(in)
		out, e := a.Handle(0, in, peerOne, make([]byte, ReplyLen))
		switch {
		case string(in) != kept:
			t.Fatal("the datagram was changed")
		case (len(out) > 0) != (e.What > Shunned):
			t.Fatalf("%d octets answered to %d", len(out), e.What)
		case e.What == Nominated && !use && !strings.Contains(string(extra), "\x00\x25"):
			t.Fatal("nominated by nobody")
		case len(out) > ReplyLen:
			t.Fatalf("%d octets", len(out))
		case len(out) > 0:
			readResponse(t, out, own.Pwd)
		}
	})
}

func FuzzTake(f *testing.F) {
	f.Add("candidate", "1 1 UDP 2130706431 198.51.100.7 5000 typ host")
	f.Add("ice-ufrag", "F7gI")
	f.Add("ice-options", "trickle ice2")
	f.Fuzz(func(t *testing.T, name, value string) {
		var p Params
		p.Take(name, value)
		for _, c := range p.Candidates {
			if !c.Addr.IsValid() || c.Addr.Port() == 0 || c.Addr.Addr().IsUnspecified() || c.Addr.Addr().Zone() != "" {
				t.Fatalf("%q: %+v", value, c)
			}
		}
		if p.Ufrag != "" {
			if _, err := New(NewCredentials(), p.Ufrag); err != nil {
				t.Fatal(err)
			}
		}
	})
}
