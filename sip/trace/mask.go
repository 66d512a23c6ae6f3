package trace

import (
	"bytes"
	"strings"
)

// Masking keeps every length, so that Content-Length, framing and offsets stay true. It works on the text of a message, whatever its sender thinks of grammar:
// what is not known to be free of people is masked as a whole.

// The ways in which the value of a header is masked.
type treatment uint8

const (
	whole     treatment = iota // every letter and digit: headers that are not named below
	keep                       // nothing: what it can say is of the protocol
	digits                     // long runs of digits: texts and identifiers that may hold a number
	addresses                  // users of URIs, telephone numbers, display names
	secrets                    // digest answers and names
)

var treatments = map[string]treatment{
	"via": keep, "v": keep, "cseq": keep, "max-forwards": keep, "max-breadth": keep, "content-length": keep, "l": keep, "content-type": keep, "c": keep,
	"content-disposition": keep, "content-encoding": keep, "e": keep, "mime-version": keep, "allow": keep, "supported": keep, "k": keep, "require": keep, "proxy-require": keep,
	"unsupported": keep, "session-expires": keep, "x": keep, "min-se": keep, "expires": keep, "min-expires": keep, "date": keep, "server": keep, "user-agent": keep,
	"rack": keep, "rseq": keep, "session-id": keep, "retry-after": keep, "event": keep, "o": keep, "allow-events": keep, "u": keep, "accept": keep, "accept-encoding": keep,
	"accept-language": keep, "timestamp": keep, "recv-info": keep, "info-package": keep, "subscription-state": keep, "privacy": keep, "p-early-media": keep,
	"resource-priority": keep, "www-authenticate": keep, "proxy-authenticate": keep, "x-cordon-receipt": keep,
	"call-id": digits, "i": digits, "reason": digits, "warning": digits, "replaces": digits, "target-dialog": digits, "in-reply-to": digits,
	"from": addresses, "f": addresses, "to": addresses, "t": addresses, "contact": addresses, "m": addresses, "p-asserted-identity": addresses,
	"p-preferred-identity": addresses, "remote-party-id": addresses, "diversion": addresses, "history-info": addresses, "refer-to": addresses, "r": addresses,
	"referred-by": addresses, "b": addresses, "route": addresses, "record-route": addresses, "path": addresses, "service-route": addresses,
	"p-associated-uri": addresses, "p-called-party-id": addresses, "reply-to": addresses,
	"authorization": secrets, "proxy-authorization": secrets, "authentication-info": secrets, "proxy-authentication-info": secrets,
}

const star = '*'

// Mask masks one SIP message in place. open leaves numbers, names and users as they are and masks secrets alone: digest answers and keys of media.
func Mask(b []byte, open bool) {
	rest, kind, t := b, "", keep
	for first := true; len(rest) > 0; first = false {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i+1], rest[i+1:]
		} else {
			rest = nil
		}
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			startLine(text, open)
		case len(text) == 0:
			body(rest, kind, open)
			return
		case text[0] == ' ' || text[0] == '\t': // a folded line goes on with what the header is
			value(text, t, open)
		default:
			name, v, found := bytes.Cut(text, []byte(":"))
			if !found {
				value(text, whole, open)
				continue
			}
			var room [32]byte
			key := lowered(room[:0], bytes.TrimSpace(name))
			t = treatments[string(key)]
			if string(key) == "content-type" || string(key) == "c" {
				kind = strings.ToLower(string(bytes.TrimSpace(v)))
			}
			value(v, t, open)
		}
	}
}

// startLine masks the request URI; of a response there is nothing to mask but numbers in its phrase.
func startLine(text []byte, open bool) {
	if open {
		return
	}
	if bytes.HasPrefix(text, []byte("SIP/2.0 ")) {
		runs(text[len("SIP/2.0 "):], longRun)
		return
	}
	if i := bytes.IndexByte(text, ' '); i >= 0 {
		uris(text[i+1:])
	}
}

func value(v []byte, t treatment, open bool) {
	if t == secrets {
		credentials(v)
	}
	if open {
		return
	}
	switch t {
	case whole:
		blot(v)
	case digits:
		runs(v, longRun)
	case addresses:
		displays(v)
		uris(v)
	case secrets:
		uris(v)
	case keep:
	}
}

// longRun is how many digits in a row may be a telephone number.
const longRun = 7

// blot masks every letter and digit.
func blot(v []byte) {
	for i, c := range v {
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80 {
			v[i] = star
		}
	}
}

// veil masks a user or a number: of digits the last two stay, of anything else nothing. Service numbers of up to three digits, such as 112, are nobody's.
func veil(u []byte) {
	n, other := 0, false
	for _, c := range u {
		switch {
		case c >= '0' && c <= '9':
			n++
		case c != '+' && c != '-' && c != '.' && c != '(' && c != ')':
			other = true
		}
	}
	if other || n == 0 {
		blot(u)
		return
	}
	if n <= 3 {
		return
	}
	for i, c := range u {
		if c < '0' || c > '9' {
			continue
		}
		if n > 2 {
			u[i] = star
		}
		n--
	}
}

// runs veils runs of at least least digits.
func runs(v []byte, least int) {
	for i := 0; i < len(v); {
		j := i
		for j < len(v) && v[j] >= '0' && v[j] <= '9' {
			j++
		}
		if j-i >= least {
			veil(v[i:j])
		}
		i = max(j, i+1)
	}
}

// uris veils the users of SIP URIs and the numbers of tel URIs, also where they stand in parameters.
func uris(v []byte) {
	for i := 0; i < len(v); {
		c := bytes.IndexByte(v[i:], ':')
		if c < 0 {
			return
		}
		at := i + c + 1
		end := at + len(v[at:])
		if j := bytes.IndexAny(v[at:], "> \t\""); j >= 0 {
			end = at + j
		}
		switch scheme := v[i : at-1]; {
		case endsIn(scheme, "tel"):
			number(v[at:end])
		case endsIn(scheme, "sip"), endsIn(scheme, "sips"):
			if a := bytes.LastIndexByte(v[at:end], '@'); a >= 0 {
				user(v[at : at+a])
			}
		case endsIn(scheme, "urn"), endsIn(scheme, "http"), endsIn(scheme, "https"):
		default: // a port, a password, a scheme that nobody knows: only what stands before an @ can be a person
			if a := bytes.LastIndexByte(v[at:end], '@'); a >= 0 {
				blot(v[at : at+a])
			}
		}
		i = max(end, at)
	}
}

// user masks the user part; its parameters, a phone context say, and a password go with it.
func user(u []byte) {
	head := u
	if i := bytes.IndexAny(u, ";:"); i >= 0 {
		head = u[:i]
		blot(u[i:])
	}
	veil(head)
}

// number masks a telephone number with its context; other parameters stay.
func number(v []byte) {
	head, rest, _ := bytes.Cut(v, []byte(";"))
	veil(head)
	runs(rest, 4)
}

func endsIn(v []byte, word string) bool {
	if len(v) < len(word) || !strings.EqualFold(string(v[len(v)-len(word):]), word) {
		return false
	}
	if len(v) == len(word) {
		return true
	}
	c := v[len(v)-len(word)-1] | 0x20
	return c < 'a' || c > 'z'
}

// displays masks quoted texts, and the words before an angle bracket.
func displays(v []byte) {
	from, quoted := 0, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\' && i+1 < len(v):
			v[i+1], i = star, i+1
		case c == '"':
			quoted = !quoted
		case quoted:
			blot(v[i : i+1])
		case c == '<':
			blot(v[from:i])
			if j := bytes.IndexByte(v[i:], '>'); j >= 0 {
				i += j
			}
			from = i + 1
		case c == ',' || c == ';' || c == '=':
			from = i + 1
		}
	}
}

// credentials masks what proves a user, and the user: the answers of digest, or all that another scheme says.
func credentials(v []byte) {
	text := bytes.TrimLeft(v, " \t")
	if scheme, rest, ok := bytes.Cut(text, []byte(" ")); ok && !strings.EqualFold(string(scheme), "digest") && !bytes.ContainsRune(scheme, '=') {
		stars(rest)
		return
	}
	for _, name := range []string{"response", "username", "username*", "cnonce", "rspauth"} {
		for at := 0; ; {
			i := indexFold(v[at:], name+"=")
			if i < 0 {
				break
			}
			at += i + len(name) + 1
			end := bytes.IndexAny(v[at:], ", \t")
			if at < len(v) && v[at] == '"' {
				at++
				end = bytes.IndexByte(v[at:], '"')
			}
			if end < 0 {
				end = len(v) - at
			}
			stars(v[at : at+end])
		}
	}
}

// stars masks every byte.
func stars(v []byte) {
	for i := range v {
		v[i] = star
	}
}

func indexFold(v []byte, word string) int {
	for i := 0; i+len(word) <= len(v); i++ {
		if v[i]|0x20 == word[0] && strings.EqualFold(string(v[i:i+len(word)]), word) {
			return i
		}
	}
	return -1
}

// lowered appends b in lower case; what does not fit into the room is no name that is known.
func lowered(room, b []byte) []byte {
	for _, c := range b[:min(len(b), cap(room))] {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		room = append(room, c)
	}
	return room
}

// body masks what a message carries. Of a session description what names people and what is secret; of a fragment of SIP what Mask masks; all else is content.
func body(b []byte, kind string, open bool) {
	switch {
	case strings.HasPrefix(kind, "application/sdp"):
		description(b, open)
	case strings.HasPrefix(kind, "message/sipfrag"), strings.HasPrefix(kind, "message/sip"):
		Mask(b, open)
	case strings.HasPrefix(kind, "multipart/"):
		parts(b, kind, open)
	default:
		content(b)
	}
}

// content masks every byte but the ends of lines: it is never shown, whatever the configuration says.
func content(b []byte) {
	for i, c := range b {
		if c != '\r' && c != '\n' {
			b[i] = star
		}
	}
}

// parts masks each part by its own type. Without a boundary that can be read everything is content.
func parts(b []byte, kind string, open bool) {
	_, mark, ok := strings.Cut(kind, "boundary=")
	mark = strings.Trim(strings.TrimSpace(mark), `"`)
	if i := strings.IndexAny(mark, "\"; "); i >= 0 {
		mark = mark[:i]
	}
	if !ok || mark == "" {
		content(b)
		return
	}
	lower := bytes.ToLower(b) // the boundary was lowered with its type
	at := bytes.Index(lower, []byte("--"+mark))
	if at < 0 {
		content(b)
		return
	}
	content(b[:at])
	for at < len(b) {
		begin := at + len("--"+mark)
		next := bytes.Index(lower[begin:], []byte("--"+mark))
		end := len(b)
		if next >= 0 {
			end = begin + next
		}
		Mask(b[begin:end], open) // its headers stand behind what is left of the boundary's line
		at = end
	}
}

// description masks a session description. RFC 8866: the user name of o=, what tells of people, and every key.
func description(b []byte, open bool) {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		line = bytes.TrimRight(line, "\r")
		if len(line) < 2 || line[1] != '=' {
			content(line)
			continue
		}
		keys(line)
		if open {
			continue
		}
		switch v := line[2:]; line[0] {
		case 'o':
			if name, _, ok := bytes.Cut(v, []byte(" ")); ok && string(name) != "-" {
				blot(name)
			}
		case 's', 'i', 'u', 'e', 'p':
			blot(v)
		}
	}
}

// keys masks the keys of media: RFC 4568 inline keys, k=, key-mgmt, the password of ICE.
func keys(line []byte) {
	if line[0] == 'k' {
		stars(line[2:])
		return
	}
	for at := 0; line[0] == 'a'; {
		i := indexFold(line[at:], "inline:")
		if i < 0 {
			break
		}
		at += i + len("inline:")
		end := bytes.IndexAny(line[at:], "|; \t")
		if end < 0 {
			end = len(line) - at
		}
		stars(line[at : at+end])
	}
	for _, name := range []string{"a=key-mgmt:", "a=ice-pwd:"} {
		if indexFold(line[:min(len(line), len(name))], name) == 0 {
			stars(line[len(name):])
		}
	}
}
