package header

import "strings"

// Split cuts a value at sep outside quoted strings and angle brackets.
func Split(s string, sep byte) []string {
	var out []string
	quoted, angled, start := false, false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case s[i] == '<':
			angled = true
		case s[i] == '>':
			angled = false
		case s[i] == sep && !angled:
			out, start = append(out, s[start:i]), i+1
		}
	}
	return append(out, s[start:])
}

// list gives the members of all values of a list header, trimmed, at most MaxValues.
func list(values []string) []string {
	var out []string
	for _, v := range values {
		for _, one := range Split(v, ',') {
			if one = strings.TrimSpace(one); one != "" && len(out) < MaxValues {
				out = append(out, one)
			}
		}
	}
	return out
}

// param is one parameter; its name is in lower case, its value without quotes.
type param struct{ name, value string }

// cutParams splits what stands before the first parameter from the parameters.
func cutParams(s string) (head string, out []param) {
	fields := Split(s, ';')
	for _, f := range fields[1:] {
		k, v, _ := strings.Cut(f, "=")
		if k = strings.ToLower(strings.TrimSpace(k)); k != "" {
			out = append(out, param{k, Unquote(strings.TrimSpace(v))})
		}
	}
	return strings.TrimSpace(fields[0]), out
}

func find(ps []param, name string) string {
	for _, p := range ps {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// Unquote takes the quotes and escapes of a quoted string away; a token stays as it is. RFC 3261 section 25.1.
func Unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	if s = s[1 : len(s)-1]; strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Quote writes a quoted string. Line ends cannot stand in a header and are left out.
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '\r', '\n', 0:
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Word is the first word of a value with those parameters that are words: what a package or a disposition is called.
func Word(value string) string {
	head, params := cutParams(value)
	if !IsToken(head) || namesAddress(head) {
		return ""
	}
	for _, p := range params {
		switch {
		case !IsToken(p.name):
		case p.value == "":
			head += ";" + p.name
		case IsToken(p.value) && Harmless(p.value) != "":
			head += ";" + p.name + "=" + p.value
		}
	}
	return head
}

// IsToken says whether s is a token of RFC 3261 section 25.1.
func IsToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-.!%*_+`'~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// Harmless keeps a short text that can name no host: letters, digits, blanks and a little punctuation. Anything else gives "".
func Harmless(s string) string {
	if len(s) > 64 {
		return ""
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ' ', c == '-', c == '_', c == '/', c == '(', c == ')':
		default:
			return ""
		}
	}
	return s
}

// address is a name-addr or addr-spec with the parameters behind it.
type address struct {
	display string
	scheme  string // in lower case
	user    string // of sip and sips; the number of tel
	inner   []param
	headers string // behind "?" in the URI, still escaped
	params  []param
}

// readAddress reads one address. ok is false for a URI that is neither sip, sips nor tel, or that names nobody.
func readAddress(s string) (a address, ok bool) {
	uri, rest := strings.TrimSpace(s), ""
	if open := angle(uri); open >= 0 {
		end := strings.IndexByte(uri[open:], '>')
		if end < 0 {
			return a, false
		}
		a.display = Unquote(strings.TrimSpace(uri[:open]))
		uri, rest = uri[open+1:open+end], uri[open+end+1:]
	} else if i := strings.IndexByte(uri, ';'); i >= 0 { // RFC 3261 section 20.10: without brackets parameters are the header's
		uri, rest = uri[:i], uri[i:]
	}
	_, a.params = cutParams(rest)
	scheme, spec, found := strings.Cut(uri, ":")
	if !found {
		return a, false
	}
	a.scheme = strings.ToLower(strings.TrimSpace(scheme))
	spec, a.headers, _ = strings.Cut(spec, "?")
	switch a.scheme {
	case "tel":
		number, params := cutParams(spec)
		a.user, a.inner = Digits(number), params
	case "sip", "sips":
		user, host, at := strings.Cut(spec, "@")
		if !at {
			return a, false
		}
		a.user, _, _ = strings.Cut(user, ":") // a password goes nowhere
		_, a.inner = cutParams(host)
	}
	return a, a.user != ""
}

// angle finds the "<" that opens the URI, outside a quoted display name.
func angle(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '<' && !quoted:
			return i
		}
	}
	return -1
}

// Digits is a number without visual separators. RFC 3966 section 3.
func Digits(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.() ", r) {
			return -1
		}
		return r
	}, s)
}

// keptOfUser names the parameters of a number that say something of the number alone. RFC 3966, RFC 4694, RFC 4904 (without the host names of trunk contexts).
func keptOfUser(p param) bool {
	switch p.name {
	case "npdi", "rn", "cic", "isub", "ext", "postd", "cpc", "oli", "phone-context", "rn-context", "cic-context":
		// A context may be a domain of the other side: only a global number prefix crosses.
		if strings.HasSuffix(p.name, "context") && !strings.HasPrefix(p.value, "+") {
			return false
		}
		return p.value == "" || Digits(p.value) != "" && Harmless(strings.TrimPrefix(Digits(p.value), "+")) != ""
	}
	return false
}

// User is the user part of a SIP URI without parameters that could name a host of its side.
func User(s string) string {
	i := strings.IndexByte(s, ';')
	if i < 0 {
		return s
	}
	out := s[:i]
	_, ps := cutParams(s[i:])
	for _, p := range ps {
		if !keptOfUser(p) {
			continue
		}
		if out += ";" + p.name; p.value != "" {
			out += "=" + p.value
		}
	}
	return out
}

// Number is the number in a user part: digits with their plus, and nothing else.
func Number(user string) string {
	n, _, _ := strings.Cut(user, ";")
	return Digits(n)
}

// IsNumber says whether s is a telephone number: 3 to 20 digits, perhaps with a plus before them.
func IsNumber(s string) bool {
	d := strings.TrimPrefix(s, "+")
	return len(d) >= 3 && len(d) <= 20 && strings.Trim(d, "0123456789") == ""
}
