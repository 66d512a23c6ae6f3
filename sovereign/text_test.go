package sovereign

import (
	"encoding"
	"fmt"
	"testing"
)

func TestWords(t *testing.T) {
	type both interface {
		fmt.Stringer
		encoding.TextMarshaler
	}
	for want, v := range map[string]both{
		"deny": Deny, "hold": Hold, "permit": Permit, "verdict(9)": Verdict(9),
		"signalling": Signalling, "media": Media, "recording": Recording, "infrastructure": Infrastructure, "plane(9)": Plane(9),
		"production": Production, "drill": Drill, "synthetic_probe": SyntheticProbe, "emergency_call": EmergencyCall, "purpose(9)": Purpose(9),
		"trunk": KindTrunk, "edge_group": KindGroup, "kind of party(9)": PartyKind(9),
	} {
		b, err := v.MarshalText()
		if v.String() != want || string(b) != want || err != nil {
			t.Errorf("%v: %q, %v; want %q", v, b, err, want)
		}
	}
	if Plane(0).String() != "" || PartyKind(0).String() != "" || KindInfrastructure.String() != "infrastructure" {
		t.Error("the zero values have words")
	}
	for _, v := range []Verdict{Deny, Hold, Permit} {
		back := Permit
		if err := back.UnmarshalText([]byte(v.String())); err != nil || back != v {
			t.Errorf("%v: %v, %v", v, back, err)
		}
	}
	for i := range Plane(5) {
		var back Plane
		if err := back.UnmarshalText([]byte(i.String())); err != nil || back != i {
			t.Errorf("%v: %v, %v", i, back, err)
		}
	}
	for i := range Purpose(4) {
		var back Purpose
		if err := back.UnmarshalText([]byte(i.String())); err != nil || back != i {
			t.Errorf("%v: %v, %v", i, back, err)
		}
	}
	for i := range PartyKind(4) {
		var back PartyKind
		if err := back.UnmarshalText([]byte(i.String())); err != nil || back != i {
			t.Errorf("%v: %v, %v", i, back, err)
		}
	}
	v := Permit
	if err := v.UnmarshalText([]byte("allow")); err == nil || v != Deny {
		t.Errorf("a word that is none leaves %v, %v", v, err)
	}
	var p Purpose = EmergencyCall
	if err := p.UnmarshalText([]byte("emergency")); err == nil || p != Production {
		t.Errorf("%v, %v", p, err)
	}
}

// The zero values refuse: forgetting to judge must not open anything.
func TestZeroValuesRefuse(t *testing.T) {
	var (
		r Ruling
		v Verdict
		p *Pass
		f Finding
	)
	if r.Permitted() || v != Deny || p.Live(now) || (Policy{}).Allows(Region{}) || (Place{}).Known() {
		t.Error("a zero value permits")
	}
	for _, preset := range append(Presets(), "", "all") {
		if got, _ := preset.Rule(f); got != Deny {
			t.Errorf("%q: %v", preset, got)
		}
	}
	if got, _ := Preset("all").Rule(Finding{Standing: StandingInEEA, Member: true}); got != Deny {
		t.Errorf("an unknown preset: %v", got)
	}
	if p, err := ParsePreset(""); p != EEAPlusAdequacy || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := ParsePreset("EEA_ONLY"); p != "" || err == nil {
		t.Errorf("%v, %v", p, err)
	}
}
