package report

import (
	"crypto/ed25519"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

var update = flag.Bool("update", false, "write the golden files anew")

// receipts is an hour of a bank that fails over from Frankfurt to Zurich and, by a gate, to Virginia.
func receipts() []audit.Event {
	start := at("2026-11-20T08:00:00Z")
	hop := func(plane, country, region, verdict string) audit.ReceiptHop {
		return audit.ReceiptHop{Plane: plane, Leg: "b", DeclaredCountry: country, DeclaredRegion: region, Verdict: verdict, Ground: "as declared"}
	}
	answered := start.Add(time.Second)
	return []audit.Event{
		audit.NodeStarted{},
		audit.Receipt{
			CallRef: "1", Purpose: "production", TInvite: start, TAnswer: answered, Overall: "compliant",
			Hops:    []audit.ReceiptHop{hop("signalling", "DE", "aws:eu-central-1", "in_eea"), hop("media", "DE", "aws:eu-central-1", "in_eea"), hop("media", "DE", "aws:eu-central-1", "in_eea")},
			Packets: map[string]uint64{"DE": 100},
		},
		audit.Receipt{
			CallRef: "2", Purpose: "production", TInvite: start, TAnswer: answered, Overall: "compliant",
			Hops:    []audit.ReceiptHop{hop("signalling", "DE", "aws:eu-central-1", "in_eea"), hop("signalling", "CH", "aws:eu-central-2", "adequate"), hop("media", "CH", "aws:eu-central-2", "adequate"), hop("recording", "CH", "aws:eu-central-2", "adequate")},
			Packets: map[string]uint64{"CH": 50, "DE": 7},
		},
		audit.Receipt{
			CallRef: "3", Purpose: "production", TInvite: start, Overall: "refused_by_policy",
			Attempts: []audit.Attempt{{Country: "DE", Verdict: "permit", At: start, Result: "silent"}, {Country: "US", Verdict: "hold", Result: "refused_by_policy"}, {Country: "RU", Verdict: "deny", Result: "refused_by_policy"}},
		},
		audit.Receipt{
			CallRef: "4", Purpose: "drill", TInvite: start, TAnswer: answered, Overall: "compliant_by_gate", GateDecision: "t1",
			Hops: []audit.ReceiptHop{hop("media", "US", "aws:us-east-1", "gate")}, Packets: map[string]uint64{"US": 9},
			Attempts: []audit.Attempt{{Country: "US", Verdict: "hold", At: start, Result: "200"}},
		},
		audit.Receipt{CallRef: "5", Purpose: "production", TInvite: start, Overall: "violation", Hops: []audit.ReceiptHop{hop("media", "", "", "unknown")}},
		audit.Receipt{CallRef: "6", Purpose: "production", TInvite: start, Overall: "violation"},
		audit.Receipt{CallRef: "7", Purpose: "production", TInvite: start, Overall: "indeterminate"},
		audit.Receipt{CallRef: "8", Purpose: "production", TInvite: start, Overall: "a word of a later version"},
		audit.Gap{Cause: "crash", Lost: 3},
	}
}

func TestResidency(t *testing.T) {
	now := at("2026-11-20T09:00:00Z")
	l, err := audit.Memory(audit.Config{
		Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "test",
		Now: func() time.Time { now = now.Add(time.Second); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range receipts() {
		if _, err := l.Append(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := l.Entries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Residency(entries)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/residency.golden"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got %s", got)
	}
	if len(s.Violations) != 2 || s.Indeterminate != 2 || s.Gated != 1 || s.Refused != 1 || s.Lost != 3 {
		t.Errorf("%+v", s)
	}
}

func TestResidencyEmptyAndBad(t *testing.T) {
	s, err := Residency(nil)
	if err != nil || s.Receipts != 0 || s.Violations == nil || s.Countries == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Residency([]audit.Entry{{Kind: audit.KindReceipt, Body: []byte(`{"hops":1}`)}}); err == nil {
		t.Error("a receipt that does not read was left out")
	}
}
