package header

import (
	"strconv"
	"strings"
	"time"
)

// The bodies of INFO that say a digit. Both are older than any standard and have none: what is read here is what phones and gateways write.
const (
	TypeDTMFRelay = "application/dtmf-relay" // "Signal=5", "Duration=160" in ms, a line each
	TypeDTMF      = "application/dtmf"       // the digit alone
)

// Digit is one that a body says.
type Digit struct {
	Event    uint8         // RFC 4733 section 3.2: 0 to 9, 10 *, 11 #, 12 to 15 A to D, 16 flash
	Duration time.Duration // 0: it is not said
}

const (
	maxDigitBody = 256
	maxDigitLast = 60_000 // ms: nobody holds a key for longer
	signals      = "0123456789*#ABCD!"
)

// IsDigits says whether a content type is one of a digit. The type alone counts, without parameters and without regard to case.
func IsDigits(contentType string) bool {
	kind := digitType(contentType)
	return kind == TypeDTMFRelay || kind == TypeDTMF
}

func digitType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.TrimSpace(kind)
	for _, known := range [2]string{TypeDTMFRelay, TypeDTMF} {
		if strings.EqualFold(kind, known) {
			return known
		}
	}
	return ""
}

// ReadDigit reads a body of that content type; false when it says no digit, more than one, or anything that is not understood.
func ReadDigit(contentType string, body []byte) (d Digit, ok bool) {
	if len(body) > maxDigitBody {
		return Digit{}, false
	}
	text := string(body)
	switch digitType(contentType) {
	case TypeDTMF:
		d.Event, ok = signal(strings.TrimSpace(text))
		return d, ok
	case TypeDTMFRelay:
		return readRelay(text)
	}
	return Digit{}, false
}

// readRelay reads lines of the form "name=value"; one of each name, in any order.
func readRelay(text string) (d Digit, ok bool) {
	timed := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, v, is := strings.Cut(line, "=")
		name, v = strings.TrimSpace(name), strings.TrimSpace(v)
		switch {
		case !is:
			return Digit{}, false
		case strings.EqualFold(name, "Signal") && !ok:
			if d.Event, ok = signal(v); !ok {
				return Digit{}, false
			}
		case strings.EqualFold(name, "Duration") && !timed:
			n, err := strconv.ParseUint(v, 10, 32)
			if err != nil || n > maxDigitLast || v[0] == '+' {
				return Digit{}, false
			}
			d.Duration, timed = time.Duration(n)*time.Millisecond, true
		default:
			return Digit{}, false
		}
	}
	if !ok {
		return Digit{}, false
	}
	return d, true
}

// signal reads a key: itself, or the number of its event.
func signal(v string) (uint8, bool) {
	switch len(v) {
	case 1:
		i := strings.IndexByte(signals, upper(v[0]))
		return uint8(max(i, 0)), i >= 0
	case 2:
		if n, err := strconv.ParseUint(v, 10, 8); err == nil && v[0] != '0' && n < uint64(len(signals)) {
			return uint8(n), true
		}
	}
	return 0, false
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// Body is a digit as a body of that type says it. An event that is none gives "".
func (d Digit) Body(contentType string) string {
	if int(d.Event) >= len(signals) {
		return ""
	}
	key := signals[d.Event : d.Event+1]
	if d.Event == 16 { // a flash has no key; "!" is not understood everywhere, its number is
		key = "16"
	}
	if digitType(contentType) == TypeDTMF {
		return key
	}
	ms := max(d.Duration.Milliseconds(), 1)
	return "Signal=" + key + "\r\nDuration=" + strconv.FormatInt(min(ms, maxDigitLast), 10) + "\r\n"
}
