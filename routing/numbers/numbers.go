// Package numbers is the arithmetic of telephone numbers: how each party writes them, which callers it takes, and which of its tables a number stands in.
//
// It is pure: no clock, no file, no state. Inside cordon a number is E.164 with a plus wherever it could be read as one; what could not stays as it came. It
// imports the standard library only.
package numbers

import (
	"fmt"
	"strings"
)

// Form is how numbers are written toward a party.
type Form string

// The forms. The zero Form leaves a number as it is.
const (
	AsIs          Form = ""
	E164          Form = "e164"          // +4969123456, RFC 3966
	Digits        Form = "digits"        // 4969123456
	National      Form = "national"      // 069123456 inside the country, else as International
	International Form = "international" // 004969123456
)

// Plan is how one party writes numbers, both ways.
type Plan struct {
	Country string // calling code without plus, "49"; "" reads no national number
	Trunk   string // national prefix, "0"; "" where a country has none
	Abroad  string // international prefix; default "00"
	Bare    Form   // what digits without any prefix are: Digits (all of E.164), National (without its prefix) or AsIs
	Send    Form
	Rules   []Rule // after Send; the first whose prefix matches counts
}

// Rule rewrites a number on its way to a party: off with Strip characters from its front, then Add before it.
type Rule struct {
	Prefix string
	Strip  int
	Add    string
}

const (
	abroad  = "00"
	longest = 15 // digits, E.164 section 6.2
	short   = 7  // a bare number with fewer digits is a service of its network (110, 112, 116117) and nobody's subscriber
)

// Check says what is wrong with a plan.
func (p Plan) Check() error {
	for what, s := range map[string]string{"country_code": p.Country, "national_prefix": p.Trunk, "international_prefix": p.Abroad} {
		if strings.Trim(s, "0123456789") != "" || len(s) > 8 {
			return fmt.Errorf("%s %q: want up to 8 digits", what, s)
		}
	}
	if len(p.Country) > 3 || strings.HasPrefix(p.Country, "0") {
		return fmt.Errorf("country_code %q: want 1 to 3 digits without a leading 0", p.Country)
	}
	switch p.Send {
	case AsIs, E164, Digits, International:
	case National:
		if p.Country == "" {
			return fmt.Errorf("send %q: needs country_code", p.Send)
		}
	default:
		return fmt.Errorf("send %q: want e164, digits, national or international", p.Send)
	}
	if p.Bare != AsIs && p.Bare != Digits && p.Bare != National || p.Bare == National && p.Country == "" {
		return fmt.Errorf("bare %q: want digits, or national with a country_code", p.Bare)
	}
	for i, r := range p.Rules {
		if r.Prefix == "" || r.Strip < 0 || r.Strip > len(r.Prefix) && r.Strip > longest+1 || !dialled(r.Prefix) || r.Add != "" && !dialled(r.Add) {
			return fmt.Errorf("rules[%d]: want a prefix of digits (with a plus or not), strip from 0 to %d, and digits to add", i, longest+1)
		}
	}
	return nil
}

// dialled says whether s is made of what a telephone can dial.
func dialled(s string) bool {
	return s != "" && s != "+" && strings.Trim(strings.TrimPrefix(s, "+"), "0123456789*#") == ""
}

// Clean takes the visual separators out of a number. RFC 3966 section 5.1.1. What is no number stays as it is.
func Clean(s string) string {
	clean := strings.NewReplacer("-", "", ".", "", "(", "", ")", "", " ", "").Replace(s)
	if !dialled(clean) {
		return s
	}
	return clean
}

// Read gives a number as the party wrote it in E.164 with a plus; what is none, a service code or a name, comes back as it is.
func (p Plan) Read(s string) string {
	n := Clean(s)
	if !dialled(n) || strings.ContainsAny(n, "*#") {
		return s
	}
	out := ""
	switch away := cmpOr(p.Abroad, abroad); {
	case n[0] == '+':
		out = n
	case strings.HasPrefix(n, away) && len(n)-len(away) >= short:
		out = "+" + n[len(away):]
	case p.Country != "" && p.Trunk != "" && strings.HasPrefix(n, p.Trunk) && len(n)-len(p.Trunk) >= 3:
		out = "+" + p.Country + n[len(p.Trunk):]
	case len(n) < short:
		return n
	case p.Bare == Digits:
		out = "+" + n
	case p.Bare == National:
		out = "+" + p.Country + n
	default:
		return n
	}
	if !Whole(out) {
		return n
	}
	return out
}

// Whole says whether s is a plus and up to fifteen digits of which the first is no 0.
func Whole(s string) bool {
	return len(s) > 1 && len(s) <= longest+1 && s[0] == '+' && s[1] != '0' && strings.Trim(s[1:], "0123456789") == ""
}

// Write gives a number as the party wants it.
func (p Plan) Write(s string) string {
	if Whole(s) {
		s = p.form(s)
	}
	for _, r := range p.Rules {
		if rest, ok := strings.CutPrefix(s, r.Prefix); ok {
			if r.Strip > len(s) {
				return s
			}
			if r.Strip <= len(r.Prefix) {
				return r.Add + r.Prefix[r.Strip:] + rest
			}
			return r.Add + s[r.Strip:]
		}
	}
	return s
}

func (p Plan) form(s string) string {
	away := cmpOr(p.Abroad, abroad)
	switch p.Send {
	case Digits:
		return s[1:]
	case International:
		return away + s[1:]
	case National:
		if rest, ok := strings.CutPrefix(s[1:], p.Country); ok {
			return p.Trunk + rest
		}
		return away + s[1:]
	}
	return s
}

func cmpOr(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
