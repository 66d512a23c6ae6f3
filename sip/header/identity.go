package header

import (
	"net/netip"
	"strings"
)

// Identity is one identity of P-Asserted-Identity or P-Preferred-Identity.
type Identity struct {
	Display string
	User    string // user part, or the number of a tel URI
	Tel     bool
}

// Identities reads them: at most one SIP and one tel URI, the first of each. RFC 3325 section 9.1.
func Identities(values []string) []Identity {
	var out []Identity
	var seen [2]bool
	for _, one := range list(values) {
		a, ok := readAddress(one)
		if !ok || a.scheme != "sip" && a.scheme != "sips" && a.scheme != "tel" {
			continue
		}
		id := Identity{Display: Display(a.display), User: User(a.user), Tel: a.scheme == "tel"}
		i := 0
		if id.Tel {
			i = 1
		}
		if !seen[i] {
			seen[i] = true
			out = append(out, id)
		}
	}
	return out
}

// Value writes the identity; a SIP URI gets host in place of the host that it had.
func (id Identity) Value(host string) string {
	name := ""
	if id.Display != "" {
		name = Quote(id.Display) + " "
	}
	if id.Tel {
		return name + "<tel:" + id.User + ">"
	}
	return name + "<sip:" + id.User + "@" + host + ">"
}

// Display is a display name that names a person and no machine: an IP address in it, or something like an address of record, gives "".
func Display(s string) string {
	if strings.ContainsAny(s, "@\r\n") || namesAddress(s) {
		return ""
	}
	return s
}

// namesAddress says whether an IP address stands anywhere in s.
func namesAddress(s string) bool {
	for w := range strings.FieldsFuncSeq(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F' || r == '.' || r == ':')
	}) {
		w = strings.Trim(w, ".:")
		if !strings.ContainsAny(w, ".:") { // a word; the errors would be made for nobody
			continue
		}
		if a, err := netip.ParseAddr(w); err == nil && a.IsValid() {
			return true
		}
		if _, err := netip.ParseAddrPort(w); err == nil {
			return true
		}
	}
	return false
}

// Privacy is what a Privacy header asks for. RFC 3323 section 4.2, RFC 3325 section 9.3, RFC 7044 section 10.1.
type Privacy struct {
	ID, User, Header, Session, History, Critical, None bool
	Unknown                                            bool // something is asked for that nobody here knows
}

// Privacies reads the Privacy headers. "none" stands alone: with it nothing else is asked for.
func Privacies(values []string) (p Privacy) {
	for _, v := range values {
		for t := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ';' || r == ',' || r == ' ' || r == '\t' }) {
			switch strings.ToLower(t) {
			case "id":
				p.ID = true
			case "user":
				p.User = true
			case "header":
				p.Header = true
			case "session":
				p.Session = true
			case "history":
				p.History = true
			case "critical":
				p.Critical = true
			case "none":
				p.None = true
			default:
				p.Unknown = true
			}
		}
	}
	if p.None {
		p = Privacy{None: true}
	}
	return p
}

// Hides says whether who calls must not show outside the trust domain.
func (p Privacy) Hides() bool { return p.ID || p.User || p.Header }

// Impossible says that the request must fail: it is critical, and what it asks for cannot be given. RFC 3323 section 5. Header and session privacy are always given by
// an agent that writes every header and anchors all media.
func (p Privacy) Impossible() bool { return p.Critical && p.Unknown }

// String writes the header inside the trust domain; "" asks for nothing.
func (p Privacy) String() string {
	var out []string
	for _, w := range []struct {
		on   bool
		word string
	}{{p.User, "user"}, {p.Header, "header"}, {p.Session, "session"}, {p.ID, "id"}, {p.History, "history"}, {p.None, "none"}} {
		if w.on {
			out = append(out, w.word)
		}
	}
	if len(out) > 0 && p.Critical {
		out = append(out, "critical")
	}
	return strings.Join(out, ";")
}
