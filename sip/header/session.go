package header

import "strings"

// Nil is the UUID of an end that is not known yet. RFC 7989 section 5.
const Nil = "00000000000000000000000000000000"

// Session reads a Session-ID: the UUID of who sent it and the one that it knows of the other end. Both are 32 lower-case hex digits, or "" when absent, malformed
// or nil. RFC 7989 section 5; a value without remote is of RFC 7329, section 11.
func Session(value string) (local, remote string) {
	head, rest, more := strings.Cut(value, ";")
	for more && remote == "" {
		var one string
		one, rest, more = strings.Cut(rest, ";")
		if name, v, _ := strings.Cut(one, "="); strings.EqualFold(strings.TrimSpace(name), "remote") {
			remote = uuid(v)
		}
	}
	return uuid(head), remote
}

func uuid(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) != len(Nil) || strings.Trim(s, "0123456789abcdef") != "" || s == Nil {
		return ""
	}
	return s
}

// SessionValue writes a Session-ID; an end that is not known is nil.
func SessionValue(local, remote string) string {
	if local == "" {
		local = Nil
	}
	if remote == "" {
		remote = Nil
	}
	return local + ";remote=" + remote
}
