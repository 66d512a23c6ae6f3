package sovereign

import "fmt"

// The words of logs, receipts and files. The index is the value.
var (
	verdictWords = [...]string{Deny: "deny", Hold: "hold", Permit: "permit"}
	planeWords   = [...]string{0: "", Signalling: "signalling", Media: "media", Recording: "recording", Infrastructure: "infrastructure"}
	purposeWords = [...]string{Production: "production", Drill: "drill", SyntheticProbe: "synthetic_probe", EmergencyCall: "emergency_call"}
	kindWords    = [...]string{0: "", KindTrunk: "trunk", KindGroup: "edge_group", KindInfrastructure: "infrastructure"}
)

func word[T ~uint8](words []string, v T, what string) string {
	if int(v) < len(words) {
		return words[v]
	}
	return fmt.Sprintf("%s(%d)", what, v)
}

func value[T ~uint8](words []string, b []byte, what string) (T, error) {
	for i, w := range words {
		if w == string(b) {
			return T(i), nil
		}
	}
	return 0, fmt.Errorf("sovereign: %q is no %s: one of %q", b, what, words)
}

// String is "deny", "hold" or "permit".
func (v Verdict) String() string { return word(verdictWords[:], v, "verdict") }

// MarshalText is String.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what String wrote; on error the verdict is Deny.
func (v *Verdict) UnmarshalText(b []byte) (err error) {
	*v, err = value[Verdict](verdictWords[:], b, "verdict")
	return err
}

// String is "signalling", "media", "recording" or "infrastructure"; "" for the zero Plane.
func (p Plane) String() string { return word(planeWords[:], p, "plane") }

// MarshalText is String.
func (p Plane) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String wrote.
func (p *Plane) UnmarshalText(b []byte) (err error) {
	*p, err = value[Plane](planeWords[:], b, "plane")
	return err
}

// String is the word that receipts carry: "production", "drill", "synthetic_probe" or "emergency_call".
func (p Purpose) String() string { return word(purposeWords[:], p, "purpose") }

// MarshalText is String.
func (p Purpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String wrote.
func (p *Purpose) UnmarshalText(b []byte) (err error) {
	*p, err = value[Purpose](purposeWords[:], b, "purpose")
	return err
}

// String is "trunk", "edge_group" or "infrastructure"; "" for the zero PartyKind.
func (k PartyKind) String() string { return word(kindWords[:], k, "kind of party") }

// MarshalText is String.
func (k PartyKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String wrote.
func (k *PartyKind) UnmarshalText(b []byte) (err error) {
	*k, err = value[PartyKind](kindWords[:], b, "kind of party")
	return err
}
