package header

import (
	"strconv"
	"strings"
)

// Protocols of the Reason header that are carried on. RFC 3326 section 2.
const (
	SIP  = "SIP"
	Q850 = "Q.850"
)

// Reason is one value of the Reason header, RFC 3326.
type Reason struct {
	Protocol string // SIP or Q850
	Cause    int    // 1 to 999; of Q850 1 to 127
	Text     string
	Location string // of Q850: which network raised the cause, RFC 8606: U, LPN, LN, TN, RLN, RPN, LOC-6, INTL, BI and the like
}

// Reasons reads Reason headers, at most four of them, and leaves out what could carry an address: text with a dot in it, other protocols, other parameters.
func Reasons(values []string) []Reason {
	var out []Reason
	for _, one := range list(values) {
		name, params := cutParams(one)
		r := Reason{}
		switch strings.ToUpper(name) {
		case SIP:
			r.Protocol = SIP
		case Q850:
			r.Protocol = Q850
			r.Location = location(find(params, "location"))
		default:
			continue
		}
		r.Cause, _ = strconv.Atoi(find(params, "cause"))
		r.Text = Harmless(find(params, "text"))
		if r.Cause > 0 && r.Cause < 1000 && (r.Protocol == SIP || r.Cause < 128) && len(out) < 4 {
			out = append(out, r)
		}
	}
	return out
}

// location keeps a value of the registry of RFC 8606 section 4: it names a kind of network and no network.
func location(s string) string {
	switch s = strings.ToUpper(s); s {
	case "U", "LPN", "LN", "TN", "RLN", "RPN", "LOC-6", "INTL", "LOC-8", "LOC-9", "BI", "LOC-11", "LOC-12", "LOC-13", "LOC-14", "LOC-15":
		return s
	}
	return ""
}

// String writes the value.
func (r Reason) String() string {
	v := r.Protocol + ";cause=" + strconv.Itoa(r.Cause)
	if r.Text != "" {
		v += `;text="` + r.Text + `"`
	}
	if r.Location != "" {
		v += ";location=" + r.Location
	}
	return v
}

// CauseOf maps a final status to a Q.850 cause; 0 where there is none (487 and everything below 400). RFC 3398 section 8.2.6.1.
func CauseOf(status int) int {
	if c, ok := causes[status]; ok {
		return c
	}
	if status >= 400 && status < 700 {
		return 31 // what the table leaves out
	}
	return 0
}

// causes is read only. 488 and 606 have no single cause: without the Warning that would tell them apart they are "normal, unspecified".
var causes = map[int]int{
	400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127, 415: 79, 416: 127, 420: 127,
	421: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 1, 486: 17, 487: 0, 488: 31,
	500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 600: 17, 603: 21, 604: 1, 606: 31,
}

// StatusOf maps a Q.850 cause to the final status of an INVITE; 0 for 16, which ends an answered call. RFC 3398 section 7.2.4.1.
func StatusOf(cause int) int {
	if cause == 16 {
		return 0
	}
	if s, ok := statuses[cause]; ok {
		return s
	}
	switch { // what the table leaves out is like its class, as Q.850 wants; RFC 3398 would say 500 of all
	case cause >= 1 && cause <= 31:
		return 480
	case cause >= 32 && cause <= 47:
		return 503
	case cause >= 48 && cause <= 63:
		return 503
	case cause >= 64 && cause <= 79:
		return 501
	case cause >= 80 && cause <= 95:
		return 500
	}
	return 500
}

// statuses is read only.
var statuses = map[int]int{
	1: 404, 2: 404, 3: 404, 17: 486, 18: 408, 19: 480, 20: 480, 21: 403, 22: 410, 23: 410, 26: 404, 27: 502, 28: 484, 29: 501, 31: 480,
	34: 503, 38: 503, 41: 503, 42: 503, 47: 503, 55: 403, 57: 403, 58: 503, 65: 488, 70: 488, 79: 501, 87: 403, 88: 503, 102: 504, 111: 500, 127: 500,
}

// Cause is the Q.850 cause that a list of reasons tells: the one that was given, or the one of the SIP status in it, or that of status; 0 when neither says any.
func Cause(rs []Reason, status int) int {
	for _, r := range rs {
		if r.Protocol == Q850 {
			return r.Cause
		}
	}
	for _, r := range rs {
		switch {
		case r.Protocol != SIP:
		case r.Cause >= 200 && r.Cause < 300: // the call was answered, elsewhere or here
			return 16
		case CauseOf(r.Cause) > 0:
			return CauseOf(r.Cause)
		}
	}
	return CauseOf(status)
}

// Warning writes a Warning whose agent is a pseudonym. RFC 3261 section 20.43. A code outside 300 to 399 becomes 399.
func Warning(code int, text string) string {
	if code < 300 || code > 399 {
		code = 399
	}
	return strconv.Itoa(code) + ` edge "` + Harmless(text) + `"`
}
