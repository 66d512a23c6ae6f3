package header

import "strings"

// Veil is what one side of a call is called: its addresses, host names, tags and Call-IDs. Nothing of it may show on the other side, whatever header or body
// the configuration lets cross.
type Veil struct{ words []string }

// shortest is the length from which a word names somebody. Shorter ones stand in every text.
const shortest = 4

// Hide adds words; short and empty ones are left out.
func (v *Veil) Hide(words ...string) {
	for _, w := range words {
		if w = strings.ToLower(strings.Trim(w, "[]")); len(w) >= shortest {
			v.words = append(v.words, w)
		}
	}
}

// Shows says whether s holds something of that side.
func (v *Veil) Shows(s string) bool {
	if v == nil || s == "" {
		return false
	}
	s = strings.ToLower(s)
	for _, w := range v.words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// Clean gives the fields whose values show nothing of that side. Headers that point
// somewhere by their nature, or that say who speaks, lose what holds any IP address, too.
func (v *Veil) Clean(in []Field) []Field {
	var out []Field
	for _, f := range in {
		switch strings.ToLower(f.Name) {
		case "call-info", "alert-info", "error-info", "geolocation", "reply-to":
			var kept []string
			for _, one := range Split(f.Value, ',') {
				if one = strings.TrimSpace(one); one != "" && !namesAddress(one) && !v.Shows(one) {
					kept = append(kept, one)
				}
			}
			f.Value = strings.Join(kept, ", ")
		case "organization", "subject", "in-reply-to":
			if v.Shows(f.Value) || namesAddress(f.Value) {
				f.Value = ""
			}
		default:
			if v.Shows(f.Value) {
				f.Value = ""
			}
		}
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}
