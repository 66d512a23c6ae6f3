package report

import (
	"bytes"
	"crypto/ed25519"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// moved is a morning of a carrier in Germany whose calls went to Frankfurt, to Zurich, to Dublin where nobody declared it, and by the gate to Virginia.
func moved() []audit.Event {
	start := at("2026-11-20T08:00:00Z")
	call := func(ref, direction, country, region, verdict, instrument, ground, gate string) audit.Receipt {
		start = start.Add(time.Hour)
		near, far := "a", "b"
		if direction == "outbound" {
			near, far = far, near
		}
		hop := func(leg, plane, country, region, verdict, instrument, ground string) audit.ReceiptHop {
			return audit.ReceiptHop{Leg: leg, Plane: plane, DeclaredCountry: country, DeclaredRegion: region, Verdict: verdict, Instrument: instrument, Ground: ground}
		}
		return audit.Receipt{
			CallRef: ref, Direction: direction, Purpose: "production", TInvite: start, TAnswer: start.Add(time.Second), Trunk: "carrier", EdgeGroup: "cloud", Overall: "compliant", GateDecision: gate,
			Hops: []audit.ReceiptHop{
				hop(near, "signalling", "DE", "carrier:de", "in_eea", "", "in_eea"), hop(near, "media", "DE", "carrier:de", "in_eea", "", "in_eea"),
				hop(far, "signalling", country, region, verdict, instrument, ground), hop(far, "media", country, region, verdict, instrument, ground),
				hop(far, "media", country, region, verdict, instrument, ground),
			},
		}
	}
	return []audit.Event{
		call("1", "inbound", "DE", "aws:eu-central-1", "in_eea", "", "in_eea", ""),
		call("2", "outbound", "CH", "aws:eu-central-2", "adequate", "2000/518/EC", "adequate", ""),
		call("3", "inbound", "CH", "azure:switzerlandnorth", "adequate", "2000/518/EC", "adequate", ""),
		call("4", "inbound", "IE", "aws:eu-west-1", "in_eea", "", "in_eea", ""),
		call("5", "inbound", "US", "aws:us-east-1", "no_adequacy", "", "grant", "t1"),
	}
}

func arrangements() []Arrangement {
	return []Arrangement{
		{
			Party: "carrier", Kind: "trunk", Contract: "MSA 7", Provider: "Carrier GmbH", Identifier: "5299009QN2QPJPZU2Q32", HQ: "DE", Service: "S10", Function: "F1", Start: "2025-01-01",
			Law: "DE", Sensitive: "high", Reliance: "full", Rank: 1, Signalling: []string{"DE"}, Media: []string{"DE", "FR"},
		},
		{Party: "cloud", Kind: "edge_group", Service: "S19", Rank: 1, Signalling: []string{"CH", "DE", "US"}, Media: []string{"CH", "DE", "US"}, Alternative: []string{"second"}},
	}
}

// observed follows moved through a log.
func observed(t *testing.T, p Period) *Observer {
	t.Helper()
	now := at("2026-11-20T08:30:00Z")
	l, err := audit.Memory(audit.Config{
		Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "test", Now: func() time.Time { now = now.Add(time.Hour); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range append([]audit.Event{audit.NodeStarted{}}, moved()...) {
		if _, err := l.Append(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	o := NewObserver(p)
	entries, err := l.Entries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := o.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func cover() Cover {
	return Cover{Origin: "bank/edge-1", Size: 6, Root: "cm9vdA==", Unsigned: 1, Checkpoint: "bank/edge-1\n6\ncm9vdA==\n\n- bank/edge-1 sig\n"}
}

// TestRegister: a row for each contract and country, what nobody declared is marked, and a country that was observed and not declared is named with the entries that prove it.
func TestRegister(t *testing.T) {
	o := observed(t, Period{})
	r := NewRegister(arrangements(), o.Seen(), Period{}, cover(), at("2026-11-21T00:00:00Z"))
	if len(r.Rows) != 2+3 {
		t.Errorf("%d rows, want one for each arrangement and country", len(r.Rows))
	}
	cell := func(row Row, column string) Cell {
		for _, c := range row.Cells {
			if c.Column == column {
				return c
			}
		}
		t.Fatalf("no column %s", column)
		return Cell{}
	}
	if c := cell(r.Rows[0], "B_02.02.0080"); c.Value != "9999-12-31" || c.Human {
		t.Errorf("an open end is %+v", c)
	}
	if c := cell(r.Rows[1], "B_02.02.0160"); c.Value != "FR" {
		t.Errorf("the second country of the carrier is %+v", c)
	}
	if c := cell(r.Rows[2], "B_02.02.0030"); c.Value != "" || !c.Human {
		t.Errorf("what nobody declared is %+v", c)
	}
	want := []Drift{
		{"carrier", "media", "FR", "declared_not_observed", 0, 0, 0},
		{"cloud", "signalling", "IE", "observed_not_declared", 1, 4, 4},
		{"cloud", "media", "IE", "observed_not_declared", 1, 4, 4},
	}
	if len(r.Drift) != len(want) {
		t.Fatalf("drift %+v", r.Drift)
	}
	for i := range want {
		if r.Drift[i] != want[i] {
			t.Errorf("drift %+v, want %+v", r.Drift[i], want[i])
		}
	}
	golden(t, "register.html", r.Page().HTML)
	golden(t, "register.txt", r.Page().Text)
}

// TestTransfers: what is outside the EEA, with what it rests on; an undocumented one says so.
func TestTransfers(t *testing.T) {
	o := observed(t, Period{})
	scc := Safeguard{Kind: "Art46(2)(c)_SCC", Document: "SCC 2026/9", SignedOn: "2026-03-02"}
	r := NewTransfers(o, arrangements(), map[string]Safeguard{"cloud": scc}, cover(), at("2026-11-21T00:00:00Z"))
	if len(r.Transfers) != 2 || r.Calls != 5 {
		t.Fatalf("%+v", r)
	}
	ch, us := r.Transfers[0], r.Transfers[1]
	if ch.Country != "CH" || ch.Calls != 2 || ch.Basis != "GDPR Art. 45: 2000/518/EC" || ch.Open != "" || ch.Gated || strings.Join(ch.Planes, " ") != "media signalling" {
		t.Errorf("two regions of one country are two calls to one recipient: %+v", ch)
	}
	if us.Country != "US" || !us.Gated || us.Basis != "Art46(2)(c)_SCC: SCC 2026/9, signed 2026-03-02" || us.Open != "no transfer impact assessment is registered" {
		t.Errorf("%+v", us)
	}
	if bare := NewTransfers(o, nil, nil, cover(), time.Time{}).Transfers[1]; bare.Open == "" || bare.Basis != "decision of the gate" {
		t.Errorf("a gate without a basis: %+v", bare)
	}
	golden(t, "transfers.html", r.Page().HTML)
}

// TestPeriods: the first moment is in, the last is not; nothing outside of them is counted.
func TestPeriods(t *testing.T) {
	for name, c := range map[string]struct {
		p     Period
		calls uint64
	}{
		"all":   {Period{}, 5},
		"from":  {Period{From: at("2026-11-20T12:30:00Z")}, 4},
		"to":    {Period{To: at("2026-11-20T12:30:00Z")}, 1},
		"both":  {Period{at("2026-11-20T10:30:00Z"), at("2026-11-20T12:30:00Z")}, 1},
		"none":  {Period{From: at("2027-01-01T00:00:00Z")}, 0},
		"exact": {Period{at("2026-11-20T12:30:00Z"), at("2026-11-20T13:30:00Z")}, 1},
	} {
		if o := observed(t, c.p); o.calls != c.calls {
			t.Errorf("%s: %d calls, want %d", name, o.calls, c.calls)
		}
	}
}

// TestReportsAreNoMarkup: what a name holds is text in a page, whatever it is.
func TestReportsAreNoMarkup(t *testing.T) {
	list := []Arrangement{{Party: "<script>alert(1)</script>", Signalling: []string{"DE"}}}
	var b bytes.Buffer
	if err := NewRegister(list, nil, Period{}, cover(), time.Time{}).Page().HTML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script") || !strings.Contains(b.String(), "&lt;script&gt;") {
		t.Error("a name of a party is markup")
	}
}

// golden holds what write writes against a file.
func golden(t *testing.T, name string, write func(io.Writer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s is another one (%v):\n%s", name, err, b.String())
	}
}
