package spans

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

var update = flag.Bool("update", false, "write the golden file anew")

const (
	caller = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
	callee = "47755a9de7794ba387653f2099600ef2"
)

// receipt is a call that went to its second target, was transferred and ended. What is about people says so.
func receipt() audit.Receipt {
	at := time.Date(2026, 11, 20, 8, 0, 0, 5, time.UTC)
	return audit.Receipt{
		CallRef: "c-1", Session: caller + ";remote=" + callee, Direction: "inbound", Purpose: "production",
		TInvite: at, TAnswer: at.Add(2 * time.Second), TEnd: at.Add(time.Minute),
		PartyA: audit.PartyRef{Ref: "person-a", Country: "+49"}, PartyB: audit.PartyRef{Ref: "person-b", Country: "+49"},
		Trunk: "carrier", EdgeGroup: "zrh", RouteReason: "gated_failover", GateDecision: "T1",
		Hops: []audit.ReceiptHop{{Plane: "signalling", Leg: "a", RemoteAddr: "person-address", RemoteName: "person-name"}},
		Attempts: []audit.Attempt{
			{
				Party: "fra", Target: "person-contact", Region: "aws:eu-central-1", Country: "DE", Verdict: "permit", Ground: "in_eea",
				At: at.Add(time.Millisecond), TookMS: 500, Result: "silent",
			},
			{
				Party: "zrh", Target: "zrh-1", Region: "aws:eu-central-2", Country: "CH", Verdict: "permit", Ground: "grant",
				At: at.Add(501 * time.Millisecond), TookMS: 1499, Result: "200", Fallback: "plain",
			},
			{Party: "iad", Target: "iad-1", Region: "aws:us-east-1", Country: "US", Verdict: "deny", Ground: "region_not_allow_listed", Result: "refused_by_policy"},
		},
		Transfers: []audit.Transfer{{
			T: at.Add(30 * time.Second), By: "b", Party: "zrh", How: "refer", Result: "failed", SIPFinal: 503, TookMS: 100,
			Attempts: []audit.Attempt{{Party: "fra", Region: "aws:eu-central-1", Verdict: "permit", Ground: "in_eea", At: at.Add(30 * time.Second), TookMS: 100, Result: "503"}},
		}},
		Outcome: audit.Outcome{
			SIPFinal: 200, EndedBy: "a", Cause: "person-words", Q850: 16,
			Quality: []audit.LegQuality{{Leg: "a", Packets: 2900, Lost: 3, JitterMS: 1.5, MOS: 4.3}, {Leg: "b", Packets: 2890}},
		},
		Overall: "compliant_by_gate", PolicyDigest: "sha256:p",
	}
}

func TestAReceiptWithTwoAttemptsIsOneTrace(t *testing.T) {
	got, err := encode(Origin{"bank-1", "edge-1", "v1"}, traceOf(receipt(), "in"))
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	const file = "testdata/receipt.json"
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(pretty.Bytes(), want) {
		t.Errorf("%v; got\n%s", err, pretty.Bytes())
	}
	if strings.Contains(pretty.String(), "person") {
		t.Errorf("something about people leaves: %s", pretty.Bytes())
	}
}

func TestTheTraceIDIsTheCallersHalf(t *testing.T) {
	derived := traceIDOf("", "c-1")
	if derived == (traceID{}) || derived == traceIDOf("", "c-2") {
		t.Errorf("two calls share %x", derived)
	}
	for session, want := range map[string]string{
		caller:                                 caller,
		caller + ";remote=" + callee:           caller,
		strings.ToUpper(caller):                caller,
		"":                                     "",
		";remote=" + callee:                    "",
		caller[1:]:                             "",
		caller + "0":                           "",
		"zz" + caller[2:]:                      "",
		strings.Repeat("0", 32) + ";remote=ab": "",
	} {
		id := traceIDOf(session, "c-1")
		if text, _ := id.MarshalText(); want != "" && string(text) != want || want == "" && id != derived {
			t.Errorf("%q gives %s", session, text)
		}
	}
}

func TestSpansOfACallAreApartAndWithinTime(t *testing.T) {
	r := receipt()
	r.TEnd = r.TInvite.Add(-time.Second) // a clock that was set back
	seen := map[spanID]bool{}
	list := traceOf(r, "")
	for i, s := range list {
		if seen[s.ID] || time.Time(s.End).Before(time.Time(s.Start)) || (s.Parent == nil) != (i == 0) || s.Parent != nil && !seen[*s.Parent] {
			t.Errorf("span %d: %+v", i, s)
		}
		seen[s.ID] = true
	}
	other := receipt()
	other.CallRef = "c-2"
	for _, s := range traceOf(other, "") {
		if seen[s.ID] || s.Trace != list[0].Trace {
			t.Errorf("another call of the same session: %+v", s)
		}
	}
}

func TestTheCallStandsForTheAttemptThatDecided(t *testing.T) {
	r := receipt()
	if a, ok := decisive(r.Attempts); !ok || a.Party != "zrh" {
		t.Errorf("%+v", a)
	}
	if a, ok := decisive(r.Attempts[2:]); !ok || a.Party != "iad" {
		t.Errorf("%+v", a)
	}
	if _, ok := decisive(nil); ok {
		t.Error("of nothing something was made")
	}
}

func FuzzRejected(f *testing.F) {
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":"3"}}`))
	f.Add([]byte(`{"partialSuccess":{"rejectedSpans":-1}}`))
	f.Fuzz(func(_ *testing.T, b []byte) { rejected(b) })
}

func TestRejected(t *testing.T) {
	for body, want := range map[string]int64{
		``: 0, `{}`: 0, `{"partialSuccess":{}}`: 0, `[]`: 0, `{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}`: 3,
		`{"partialSuccess":{"rejectedSpans":2}}`: 2, `{"partialSuccess":{"rejectedSpans":"many"}}`: 0,
	} {
		if got := rejected([]byte(body)); got != want {
			t.Errorf("%s: %d", body, got)
		}
	}
}
