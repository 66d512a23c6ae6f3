package sip

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sovereign"
)

// TestSheet holds that what a sheet gives out is nobody else's, within its room, behind it, and without any.
func TestSheet(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*sheet{"a sheet": {}, "none": nil} {
		var operators []*audit.Operator
		var proofs [][]audit.Evidence
		for i := range 10 {
			o := s.operator(audit.Operator{Name: itoa(i)})
			operators = append(operators, o)
			p := s.evidence()
			if p == nil || len(p) != 0 {
				t.Errorf("%s: a list of evidence that is not there, or not empty: %v", name, p)
			}
			for j := range 4 { // more than a hop of an ordinary call has
				p = append(p, audit.Evidence{Value: itoa(10*i + j)})
			}
			proofs = append(proofs, p)
		}
		for i := range 10 {
			if operators[i].Name != itoa(i) {
				t.Errorf("%s: operator %d is called %s", name, i, operators[i].Name)
			}
			for j, p := range proofs[i] {
				if p.Value != itoa(10*i+j) {
					t.Errorf("%s: evidence %d of hop %d is %s", name, j, i, p.Value)
				}
			}
		}
		for _, code := range []string{"eu-1", "us-1", "eu-1", "eu-2", "eu-2", "us-1"} {
			r := sovereign.Region{Provider: "aws", Code: code}
			if got := s.region(r); got != r.String() {
				t.Errorf("%s: region %s is written %s", name, r, got)
			}
		}
		if got := s.region(sovereign.Region{}); got != "" {
			t.Errorf("%s: no region is written %q", name, got)
		}
	}
	s := &sheet{}
	var all []*audit.SRTPSeen
	for i := range 4 {
		all = append(all, s.protection(audit.SRTPSeen{Suite: itoa(i)}))
	}
	if !slices.EqualFunc(all, []string{"0", "1", "2", "3"}, func(p *audit.SRTPSeen, want string) bool { return p.Suite == want }) {
		t.Errorf("protections %v", all)
	}
}

// TestASeatIsThatOfThePolicyInForce holds that a sheet, which remembers regions from call to call, tells of no seat that another snapshot knew.
func TestASeatIsThatOfThePolicyInForce(t *testing.T) {
	t.Parallel()
	near, far, lost := sovereign.Region{Provider: "near", Code: "1"}, sovereign.Region{Provider: "far", Code: "1"}, sovereign.Region{Provider: "far", Code: "2"}
	snapshot := func(generation uint64, hq string) *sovereign.Snapshot {
		const row = `{"provider":"%s","code":"1","city":"there","country":"DE","status":"ga","source":"a test","as_of":"2026-11-21"}`
		table := fmt.Sprintf(`{"schema":"sovereign.regions/v1","as_of":"2026-11-21","providers":{"near":{"name":"Near","operator_hq":"%s"},"far":{"name":"Far","operator_hq":"JP"}},`+
			`"regions":[`+row+`,`+row+`]}`, hq, "near", "far")
		c, err := sovereign.ParseCatalogue([]byte(table), sovereign.Shipped())
		if err != nil {
			t.Fatal(err)
		}
		snap, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{Generation: generation, Catalogue: c})
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	first, second, blank := snapshot(1, "US"), snapshot(2, "DE"), snapshot(0, "FR")
	s := newSheet()
	for i, c := range []struct {
		snap *sovereign.Snapshot
		r    sovereign.Region
		want string
	}{
		{first, near, "US"},
		{first, far, "JP"},
		{first, near, "US"},
		{second, near, "DE"},
		{first, near, "US"},
		{blank, near, "FR"},
		{snapshot(0, "US"), near, "US"},
		{second, lost, ""},
		{second, far, "JP"},
		{second, near, "DE"},
		{second, sovereign.Region{}, ""},
		{nil, near, ""},
		{second, near, "DE"},
	} {
		for name, s := range map[string]*sheet{"a sheet": s, "none": nil} {
			if got := s.seat(c.snap, c.r); got != c.want {
				t.Errorf("%d, %s: the seat of %s is %q, want %q", i, name, c.r, got, c.want)
			}
		}
		s.blank()
	}
}

// TestASheetIsUsedAgainBlank holds that nothing of one call is left for the records of the next, and that no more sheets wait than may.
func TestASheetIsUsedAgainBlank(t *testing.T) {
	t.Parallel()
	var p sheets
	s := p.take()
	s.rec.Packets = s.kept.packets
	s.rec.Packets["DE"], s.rec.Trunk, s.ended.CallRef = 7, "carrier", "ref"
	s.rec.Hops = append(s.hops[:0], audit.ReceiptHop{Evidence: append(s.evidence(), audit.Evidence{Value: "near"})})
	s.operator(audit.Operator{Name: "who"})
	s.protection(audit.SRTPSeen{Suite: "one"})
	s.region(sovereign.Region{Provider: "aws", Code: "eu-1"})
	s.call, s.closed, s.target, s.names, s.result = &call{}, true, "there", [2]string{"a", "b"}, &SyntheticResult{}
	s.report.Moves = make([]media.Move, 1)
	s.records.ref, s.records.over = "ref", func() {}
	s.records.left.Store(2)
	p.give(s)
	again := p.take()
	if again != s {
		t.Error("the sheet was not used again")
	}
	if again.kept.entries[0].ev != audit.Event(&again.ended) || again.kept.entries[1].ev != audit.Event(&again.rec) || len(again.kept.packets) != 0 {
		t.Errorf("a sheet that is used again keeps %+v", again.kept)
	}
	again.kept = sheetKept{}
	if !reflect.DeepEqual(again, &sheet{}) {
		t.Errorf("a sheet that is used again holds %+v", again)
	}
	for range 2 * maxSheets {
		p.give(newSheet())
	}
	if len(p.free) != maxSheets {
		t.Errorf("%d sheets wait", len(p.free))
	}
}
