package sovereign

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWhatEvidenceContradictsIsHeldAndNoGrantNamesIt(t *testing.T) {
	far := netip.MustParseAddr("192.0.2.7")
	strong := []Contradiction{{Addr: far, Kind: "rtt_bound", Why: "it is at most 30 km from a node that stands 9,000 km away"}}
	weak := []Contradiction{{Addr: far, Kind: "rir", Why: "the registry has it in US", Weak: true}}
	grant := []Grant{{ID: "g", Groups: []string{"fra"}, Regions: []Region{frankfurt}, Until: now.Add(time.Hour)}}
	ask := Ask{Party: "fra", Plane: Signalling, Addr: netip.AddrPortFrom(far, 5061), At: now}
	urgent, inside, other := ask, ask, ask
	urgent.Purpose = EmergencyCall
	inside.Addr = netip.AddrPortFrom(netip.AddrFrom16(far.As16()), 5061) // ::ffff:192.0.2.7 is the same address
	other.Addr = addr("192.0.2.8:5061")
	for what, c := range map[string]struct {
		list   []Contradiction
		grants []Grant
		ask    Ask
		want   Verdict
		ground Ground
	}{
		"nothing":                       {nil, nil, ask, Permit, GroundInEEA},
		"strong":                        {strong, nil, ask, Hold, GroundContradicted},
		"strong, written as IPv6":       {strong, nil, inside, Hold, GroundContradicted},
		"strong, under a grant":         {strong, grant, ask, Hold, GroundContradicted},
		"strong, another address":       {strong, nil, other, Permit, GroundInEEA},
		"strong, an emergency call":     {strong, nil, urgent, Permit, GroundEmergency},
		"weak":                          {weak, nil, ask, Hold, GroundContradicted},
		"weak, under a grant":           {weak, grant, ask, Permit, GroundGrant},
		"of another party":              {[]Contradiction{{Addr: far, Party: "zrh", Why: "w"}}, nil, ask, Permit, GroundInEEA},
		"of this party":                 {[]Contradiction{{Addr: far, Party: "fra", Why: "w"}}, nil, ask, Hold, GroundContradicted},
		"of an address that was denied": {[]Contradiction{{Addr: netip.MustParseAddr("10.1.1.1"), Why: "w"}}, nil, Ask{Addr: addr("10.1.1.1:1"), At: now}, Deny, GroundUndeclaredAddress},
	} {
		s := world(t, func(cfg *SnapshotConfig) { cfg.Grants = c.grants }).WithContradictions(c.list)
		r := s.Judge(c.ask)
		if r.Verdict != c.want || r.Ground != c.ground {
			t.Errorf("%s: %s %s: %s", what, r.Verdict, r.Ground, r.Why)
		}
		if c.ground == GroundContradicted && !strings.Contains(r.Why, c.list[0].Why) {
			t.Errorf("%s: the sentence is %q", what, r.Why)
		}
		if again := travel(t, s).Judge(c.ask); !reflect.DeepEqual(again, r) {
			t.Errorf("%s: in another process %+v, here %+v", what, again, r)
		}
	}
}

// Contradictions over random worlds never loosen a ruling, and change no digest.
func TestContradictionsNeverLoosen(t *testing.T) {
	stricter := 0
	for seed := range uint64(300) {
		d := draw{rand.New(rand.NewPCG(seed, 7))}
		cfg := d.config(t)
		cfg.Grants = d.grants()
		before, err := NewSnapshot(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var list []Contradiction
		for range 1 + d.IntN(6) {
			list = append(list, Contradiction{Addr: d.ask().Addr.Addr(), Party: []string{"", "p0", "p1"}[d.IntN(3)], Kind: "k", Why: "w", Weak: d.IntN(2) == 0})
		}
		after := before.WithContradictions(list)
		if after.PolicyDigest() != before.PolicyDigest() || after.FactsDigest() != before.FactsDigest() || after.Generation() != before.Generation()+1 {
			t.Fatal("contradictions are neither policy nor facts, and another generation")
		}
		for range 20 {
			a := d.ask()
			was, is := before.Judge(a), after.Judge(a)
			if is.Verdict > was.Verdict {
				t.Fatalf("seed %d: %+v was %s and is %s: %s", seed, a, was.Verdict, is.Verdict, is.Why)
			}
			if is.Verdict < was.Verdict {
				stricter++
			}
		}
	}
	if stricter < 50 {
		t.Errorf("only %d answers became stricter: the worlds are too tame", stricter)
	}
}

func TestASnapshotWithoutContradictionsTravelsAsBefore(t *testing.T) {
	s := world(t, nil)
	form, err := s.MarshalBinary()
	if err != nil || !bytes.HasPrefix(form, []byte(snapshotForm)) {
		t.Fatalf("%q, %v", form[:20], err)
	}
	bearing := s.WithContradictions([]Contradiction{{Addr: netip.MustParseAddr("192.0.2.1"), Kind: "rir", Why: "w"}})
	if form, err = bearing.MarshalBinary(); err != nil || !bytes.HasPrefix(form, []byte(bearingForm)) {
		t.Fatalf("%q, %v", form[:20], err)
	}
	if next, err := travel(t, s).Next(form); err != nil || len(next.Contradicted()) != 1 || next.Judge(Ask{Addr: addr("192.0.2.1:1"), At: now}).Ground != GroundContradicted {
		t.Errorf("after a snapshot without any: %v", err)
	}
	empty := append([]byte(bearingForm), 0) // a list of none is not written
	plain, _ := s.MarshalBinary()
	empty = append(empty, plain[len(snapshotForm):len(plain)-sha256.Size]...)
	sum := sha256.Sum256(empty)
	if _, err := DecodeSnapshot(append(empty, sum[:]...)); err == nil {
		t.Error("a form with an empty list was read")
	}
}
