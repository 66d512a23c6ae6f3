package sovereign

import (
	"fmt"
	"slices"
)

// Preset names a set of legal standings that the operator accepts without asking a person.
type Preset string

// The presets. The zero Preset means EEAPlusAdequacy.
const (
	EUOnly                       Preset = "eu_only"
	EEAOnly                      Preset = "eea_only"
	EEAPlusAdequacy              Preset = "eea_plus_adequacy"
	EEAPlusAdequacyNoConditional Preset = "eea_plus_adequacy_no_conditional"
)

// Presets lists them, narrowest first.
func Presets() []Preset {
	return []Preset{EUOnly, EEAOnly, EEAPlusAdequacyNoConditional, EEAPlusAdequacy}
}

// ParsePreset reads the name of a preset; "" is the default.
func ParsePreset(s string) (Preset, error) {
	if s == "" {
		return EEAPlusAdequacy, nil
	}
	if p := Preset(s); slices.Contains(Presets(), p) {
		return p, nil
	}
	return "", fmt.Errorf("sovereign: %q is no preset: one of %q", s, Presets())
}

// Rule says what the preset makes of the law's answer, before the allow-list is asked. A lawful jurisdiction outside the preset and one without adequacy
// are held for people to decide; what is denied or unknown never gets that far. A preset that is none of the four denies.
func (p Preset) Rule(f Finding) (Verdict, Ground) {
	if p == "" {
		p = EEAPlusAdequacy
	}
	if !slices.Contains(Presets(), p) {
		return Deny, GroundPreset
	}
	accept := func(ok bool, g Ground) (Verdict, Ground) {
		if ok {
			return Permit, g
		}
		return Hold, GroundPreset
	}
	switch f.Standing {
	case StandingInEEA:
		return accept(f.Member || p != EUOnly, GroundInEEA)
	case StandingAdequate:
		return accept(p == EEAPlusAdequacy || p == EEAPlusAdequacyNoConditional, GroundAdequate)
	case StandingAdequateConditional:
		return accept(p == EEAPlusAdequacy, GroundAdequateConditional)
	case StandingNoAdequacy:
		switch {
		case f.Suspended != "":
			return Hold, GroundSuspended
		case len(f.Unmet) > 0:
			return Hold, GroundConditionsNotMet
		}
		return Hold, GroundNoAdequacy
	case StandingGate:
		return Hold, GroundContested
	case StandingDeny:
		return Deny, GroundDeniedJurisdiction
	default:
		return Deny, GroundUnknownCountry
	}
}

// Policy is the operator's rule: a region is permitted only if it is in Allow AND its country passes Preset. An empty Allow
// permits Home alone; Home itself must pass the preset too.
type Policy struct {
	Preset Preset   `json:"preset"`
	Home   Region   `json:"home"`
	Allow  []Region `json:"allow"`
}

// Allows says whether r is allow-listed. Home is no exception once Allow names anything: the list is the list.
func (p Policy) Allows(r Region) bool {
	if r.IsZero() {
		return false
	}
	if len(p.Allow) == 0 {
		return r == p.Home
	}
	return slices.Contains(p.Allow, r)
}
