package sip

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// torture is every message of RFC 4475 and RFC 5118 with what its sender hears: the final status, nothing, or "call" where an INVITE went on to the next hop,
// whose 486 came back.
var torture = map[string]string{
	"rfc4475/badaspec.dat":                  "400",
	"rfc4475/badbranch.dat":                 "200", // a branch of RFC 2543
	"rfc4475/baddate.dat":                   "400",
	"rfc4475/baddn.dat":                     "400",
	"rfc4475/badinv01.dat":                  "400",
	"rfc4475/badvers.dat":                   "505",
	"rfc4475/bcast.dat":                     "",    // a response to nobody's request
	"rfc4475/bext01.dat":                    "420", // extensions that nobody knows
	"rfc4475/bigcode.dat":                   "",    // a response
	"rfc4475/clerr.dat":                     "400",
	"rfc4475/cparam01.dat":                  "405", // REGISTER of a party that does not register
	"rfc4475/cparam02.dat":                  "405", // REGISTER, too
	"rfc4475/dblreq.dat":                    "405", // REGISTER; the second request in the datagram is cut
	"rfc4475/esc01.dat":                     "call 486",
	"rfc4475/esc02.dat":                     "405", // RE%47IST%45R is another method
	"rfc4475/escnull.dat":                   "405", // REGISTER
	"rfc4475/escruri.dat":                   "400",
	"rfc4475/insuf.dat":                     "400", // what it lacks is left out of the answer, too
	"rfc4475/intmeth.dat":                   "405",
	"rfc4475/inv2543.dat":                   "400", // no Contact: nothing could be sent to it inside the dialog, RFC 3261 section 8.1.1.8
	"rfc4475/invut.dat":                     "415", // a body that nobody knows
	"rfc4475/longreq.dat":                   "call 486",
	"rfc4475/ltgtruri.dat":                  "400",
	"rfc4475/lwsdisp.dat":                   "200",
	"rfc4475/lwsruri.dat":                   "400",
	"rfc4475/lwsstart.dat":                  "400",
	"rfc4475/mcl01.dat":                     "400",
	"rfc4475/mismatch01.dat":                "400",
	"rfc4475/mismatch02.dat":                "400",
	"rfc4475/mpart01.dat":                   "415", // MESSAGE with a body that its party may not send
	"rfc4475/multi01.dat":                   "400",
	"rfc4475/ncl.dat":                       "400",
	"rfc4475/noreason.dat":                  "",    // a response
	"rfc4475/novelsc.dat":                   "416", // a scheme that means nothing here
	"rfc4475/quotbal.dat":                   "400",
	"rfc4475/regaut01.dat":                  "405", // REGISTER
	"rfc4475/regbadct.dat":                  "400",
	"rfc4475/regescrt.dat":                  "405", // REGISTER
	"rfc4475/scalar02.dat":                  "400",
	"rfc4475/scalarlg.dat":                  "",    // a response
	"rfc4475/sdp01.dat":                     "406", // it takes no session description
	"rfc4475/semiuri.dat":                   "200",
	"rfc4475/transports.dat":                "200",
	"rfc4475/trws.dat":                      "400",
	"rfc4475/unkscm.dat":                    "416", // a scheme that nobody knows
	"rfc4475/unksm2.dat":                    "405", // REGISTER
	"rfc4475/unreason.dat":                  "",    // a response
	"rfc4475/wsinv.dat":                     "481", // a To tag of no dialog
	"rfc4475/zeromf.dat":                    "200", // OPTIONS to us goes no further
	"rfc5118/ipv4-mapped-ipv6":              "call 486",
	"rfc5118/ipv6-bad":                      "400",
	"rfc5118/ipv6-bug-abnf-3-colons":        "400",
	"rfc5118/ipv6-correct-abnf-2-colons":    "200",
	"rfc5118/ipv6-good":                     "405",
	"rfc5118/ipv6-in-sdp":                   "488", // G.726 in a dynamic format of no name that is known
	"rfc5118/mult-ip-in-header":             "481", // BYE of no dialog
	"rfc5118/mult-ip-in-sdp":                "call 486",
	"rfc5118/port-ambiguous":                "405",
	"rfc5118/port-unambiguous":              "405",
	"rfc5118/via-received-param-no-delim":   "200",
	"rfc5118/via-received-param-with-delim": "481", // BYE of no dialog
}

// tortured gives what the sender of a message hears, 100 apart, and "call" where an INVITE went out for it, which is then refused with 486.
func tortured(t *testing.T, raw []byte) string {
	var out []string
	run(t, func(c *Config) {
		c.Fence.Swap(snapshotWith(t, []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"})) // where the examples' media live
	}, func(w *world) {
		w.carrier.write(string(raw))
		for range 12 { // refusals of an INVITE come again until an ACK that nobody sends
			line := w.carrier.statusLine(2 * time.Second)
			if line == "" {
				break
			}
			if line == "100" {
				if in := w.fra.read(time.Second); in != nil {
					out = append(out, "call")
					w.fra.reply(in.(*msg.Request), 486, "")
				}
				continue
			}
			if !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	})
	return strings.Join(out, " ")
}

// statusLine gives the status of the next response, however broken its headers are; "" after d.
func (p *peer) statusLine(d time.Duration) string {
	p.w.t.Helper()
	buf := make([]byte, 65536)
	_ = p.conn.SetReadDeadline(time.Now().Add(d))
	n, _, err := p.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		return ""
	}
	status, ok := strings.CutPrefix(string(buf[:n]), "SIP/2.0 ")
	if !ok {
		p.w.t.Fatalf("a request to the sender:\n%s", buf[:n])
	}
	return status[:3]
}

// Conforms: RFC 4475 section 3; RFC 5118 section 4
func TestTortureMessagesAreAnswered(t *testing.T) {
	root := filepath.Join("transport", "testdata", "torture")
	seen := 0
	for _, dir := range []string{"rfc4475", "rfc5118"} {
		list, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			raw, err := os.ReadFile(filepath.Join(root, dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			name := dir + "/" + f.Name()
			want, known := torture[name]
			if got := tortured(t, raw); !known || got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			seen++
		}
	}
	if seen != len(torture) {
		t.Errorf("%d messages, %d rows", seen, len(torture))
	}
}
