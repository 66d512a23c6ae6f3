package sovereign

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// Of two policies the stricter one rules, whatever was asked: with grants, in an emergency, after a suspension, and in a copy that travelled.
func TestAPolicyWithinAnotherPermitsWhatBothPermit(t *testing.T) {
	var both, fewer, granted int
	for seed := range uint64(600) {
		d := draw{rand.New(rand.NewPCG(seed, 2))}
		outer, inner := d.config(t), d.config(t)
		accepted, err := NewSnapshot(inner)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := NewSnapshot(outer)
		if err != nil {
			t.Fatal(err)
		}
		outer.Within = accepted
		s, err := NewSnapshot(outer)
		if err != nil {
			t.Fatal(err)
		}
		if s.PolicyDigest() == alone.PolicyDigest() {
			t.Fatal("the digest does not tell that another policy has a say")
		}
		grants, suspended := d.grants(), d.suspensions()
		sets := [3]*Snapshot{s, alone, accepted}
		for i := range sets {
			sets[i] = sets[i].WithGrants(grants).WithSuspensions(suspended)
		}
		copied := travel(t, sets[0])
		for range 12 {
			a := d.ask()
			got, one, two := sets[0].Judge(a), sets[1].Judge(a), sets[2].Judge(a)
			if got.Verdict != min(one.Verdict, two.Verdict) {
				t.Fatalf("seed %d: %+v: %v of %v and %v", seed, a, got.Verdict, one.Verdict, two.Verdict)
			}
			if got.Permitted() {
				both++
				rests := one.Ground == GroundGrant || two.Ground == GroundGrant
				if rests != (got.Ground == GroundGrant) || rests != (got.Grant != "") {
					t.Fatalf("seed %d: %+v: %+v of %+v and %+v", seed, a, got, one, two)
				}
				if rests {
					granted++
				}
				if earlier(one.Until, two.Until) != got.Until {
					t.Fatalf("seed %d: %+v: until %v of %v and %v", seed, a, got.Until, one.Until, two.Until)
				}
			} else if one.Permitted() {
				fewer++
			}
			same(t, sets[0], copied, a)
			checkMemory(t, seed, sets[0], a)
			checkUntil(t, seed, sets[0], a)
		}
	}
	if both < 250 || fewer < 400 || granted < 20 {
		t.Errorf("the worlds are too tame: %d permitted by both, %d by the outer one alone, %d under a grant", both, fewer, granted)
	}
}

// A copy shares what it can with the one before it, and a bound that comes or goes is another ground.
func TestABoundTravels(t *testing.T) {
	inner := world(t, func(c *SnapshotConfig) { c.Policy.Allow = []Region{frankfurt} })
	free := world(t, nil)
	bound := world(t, func(c *SnapshotConfig) { c.Within = inner })
	if bound.Within().PolicyDigest() != inner.PolicyDigest() || free.Within() != nil {
		t.Fatal("the bound is not there")
	}
	form, err := bound.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for name, before := range map[string]*Snapshot{"nothing": nil, "itself": travel(t, bound), "the same without a bound": travel(t, free)} {
		got, err := before.Next(form)
		if err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
		equal(t, bound, got)
		for _, a := range asks() {
			same(t, bound, got, a)
		}
	}
	without, err := free.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := travel(t, bound).Next(without); err != nil || got.Within() != nil {
		t.Errorf("the bound stays: %v", err)
	}
	// A form that names the wrong version is refused: a program that does not know of bounds must not drop one.
	for from, to := range map[string]string{"\x05": "\x07", "\x07": "\x05"} {
		b := without
		if from == "\x07" {
			b = form
		}
		b = bytes.Replace(b, []byte("snapshot"+from), []byte("snapshot"+to), 1)
		sum := sha256.Sum256(b[:len(b)-sha256.Size])
		copy(b[len(b)-sha256.Size:], sum[:])
		if _, err := DecodeSnapshot(b); err == nil || !strings.HasPrefix(err.Error(), "sovereign: snapshot: ") {
			t.Errorf("form %q read as %q: %v", from, to, err)
		}
	}
}

// What speaks against a place does so in both policies: a grant that opens it in one opens nothing in the other.
func TestContradictionsBindBothPolicies(t *testing.T) {
	d := draw{rand.New(rand.NewPCG(1, 2))}
	outer, inner := d.config(t), d.config(t)
	var err error
	if outer.Within, err = NewSnapshot(inner); err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(outer)
	if err != nil {
		t.Fatal(err)
	}
	against := []Contradiction{{Addr: netip.MustParseAddr("192.0.2.1"), Kind: "rir", Weak: true}}
	for name, next := range map[string]*Snapshot{"at once": s.WithContradictions(against), "built anew": s.Bearing(against), "with grants": s.Bearing(against).WithGrants(d.grants())} {
		if len(next.Contradicted()) != 1 || len(next.Within().Contradicted()) != 1 || len(next.Within().contradicted) != 1 {
			t.Errorf("%s: %v and %v", name, next.Contradicted(), next.Within().Contradicted())
		}
	}
	if len(s.Within().Contradicted()) > 0 {
		t.Error("the snapshot of before was changed")
	}
}
