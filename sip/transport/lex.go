package transport

import "strings"

// tokenByte holds the characters of a token, RFC 3261 section 25.1.
var tokenByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-.!%*_+`'~", byte(c)) >= 0
	}
	return t
}()

func isToken[T ~string | ~[]byte](s T) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// same is strings.EqualFold, quicker for those who write a word as we do.
func same(word, ours string) bool { return word == ours || strings.EqualFold(word, ours) }

// trimLWS cuts blanks and tabs off both ends.
func trimLWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// leadLWS cuts blanks and tabs off the front.
func leadLWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// oddByte holds what clean must look at twice: controls but HTAB, and the quote that may excuse them.
var oddByte = func() (t [256]bool) {
	for c := range ' ' {
		t[c] = c != '\t'
	}
	t[0x7F], t['"'] = true, true
	return t
}()

// plainWords is how many bytes at the front of b are certainly neither controls nor quotes, DEL among them: eight are looked at together, as far as they go.
func plainWords(b string) (n int) {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b, n = b[8:], n+8 {
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, del := w^each*'"', w^each*0x7F
		// Where a byte is below what is taken from it, and only from there on upward, its high bit turns.
		if ((w-each*' ')&^w|(quote-each)&^quote|(del-each)&^del)&high != 0 {
			break
		}
	}
	return n
}

// clean says that b holds no control character but HTAB, save behind a backslash inside a quoted string: quoted-pair = "\" (%x00-09 / %x0B-0C / %x0E-7F).
// CR and LF are never clean, so no value can end its line.
func clean(b string) bool {
	odd := plainWords(b)
	for odd < len(b) && !oddByte[b[odd]] {
		odd++
	}
	b = b[odd:] // outside of quotes a backslash is a character like any other
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			if i++; i < len(b) && (b[i] == '\r' || b[i] == '\n') {
				return false
			}
		case c == '"':
			quoted = !quoted
		case c < ' ' && c != '\t' || c == 0x7F:
			return false
		}
	}
	return true
}

// number reads 1*DIGIT up to limit.
func number(b string, limit uint64) (uint64, bool) {
	var n uint64
	for i := range len(b) {
		c := b[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + uint64(c-'0'); n > limit {
			return 0, false
		}
	}
	return n, len(b) > 0
}

// listEnd is where the first member of a comma-separated list ends; commas inside quotes and angle brackets separate nothing.
func listEnd(b string) int {
	if strings.IndexByte(b, ',') < 0 {
		return len(b)
	}
	quoted, angle := false, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && !angle:
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			return i
		}
	}
	return len(b)
}

// nextItem cuts the first member off a comma-separated list. more is false when it was the last.
func nextItem(list string) (item, rest string, more bool) {
	end := listEnd(list)
	if end == len(list) {
		return trimLWS(list), "", false
	}
	return trimLWS(list[:end]), list[end+1:], true
}

// quotedEnd gives the index behind the closing quote of the quoted string that begins at s[0], or -1.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
