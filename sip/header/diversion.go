package header

import (
	"net/url"
	"strconv"
	"strings"
)

// Redirection is one party that sent the call on, as Diversion and History-Info both tell it. RFC 5806, RFC 7044, mapped by RFC 7544.
type Redirection struct {
	User    string
	Tel     bool
	Reason  string // of RFC 5806: unconditional, user-busy, no-answer, ...
	Counter int    // how often, at least 1
	Private bool   // it wants not to show outside the trust domain
}

// diversionReasons are the words of RFC 5806 with the causes of RFC 4458 that RFC 7544 section 5 gives them. Read only.
var diversionReasons = map[string]int{
	"unknown": 404, "unconditional": 302, "user-busy": 486, "no-answer": 408, "deflection": 480, "unavailable": 503,
	"time-of-day": 404, "do-not-disturb": 404, "follow-me": 404, "out-of-service": 404, "away": 404,
}

// diversionReason gives the word of a cause; "" for a cause that tells of no diversion. RFC 7544 section 6.
func diversionReason(cause int) string {
	switch cause {
	case 302:
		return "unconditional"
	case 404:
		return "unknown"
	case 408:
		return "no-answer"
	case 480, 487:
		return "deflection"
	case 486:
		return "user-busy"
	case 503:
		return "unavailable"
	}
	return ""
}

// maxRedirections bounds what a message tells of where it has been.
const maxRedirections = 10

// FromDiversion reads Diversion headers. The oldest comes first, which in the header stands last.
func FromDiversion(values []string) []Redirection {
	var out []Redirection
	for _, one := range list(values) {
		a, ok := readAddress(one)
		if !ok || len(out) == maxRedirections {
			continue
		}
		r := Redirection{User: User(a.user), Tel: a.scheme == "tel", Reason: strings.ToLower(find(a.params, "reason")), Counter: 1}
		if _, known := diversionReasons[r.Reason]; !known {
			r.Reason = "unknown"
		}
		if n, err := strconv.Atoi(find(a.params, "counter")); err == nil && n > 1 && n <= maxRedirections {
			r.Counter = n
		}
		switch strings.ToLower(find(a.params, "privacy")) {
		case "full", "name", "uri":
			r.Private = true
		}
		out = append(out, r)
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// ToDiversion writes the headers, the newest first, with host in place of theirs.
func ToDiversion(rs []Redirection, host string) []string {
	var out []string
	for i := len(rs) - 1; i >= 0; i-- {
		r := rs[i]
		v := "<" + r.uri(host, "") + ">;reason=" + r.Reason
		if r.Counter > 1 {
			v += ";counter=" + strconv.Itoa(r.Counter)
		}
		if r.Private {
			v += ";privacy=full"
		}
		out = append(out, v)
	}
	return out
}

func (r Redirection) uri(host, params string) string {
	if r.Tel {
		return "tel:" + r.User + params
	}
	return "sip:" + r.User + "@" + host + params
}

// entry is one value of History-Info.
type entry struct {
	user    string
	tel     bool
	cause   int // of the URI, RFC 4458: why the call came to it
	reason  int // of the Reason in the URI: why it went on from it, RFC 7044 section 5
	private bool
	index   string
	rel     param // rc, mp or np
}

func entries(values []string) []entry {
	var out []entry
	for _, one := range list(values) {
		a, ok := readAddress(one)
		if !ok || len(out) == 2*maxRedirections {
			continue
		}
		e := entry{user: User(a.user), tel: a.scheme == "tel"}
		e.cause, _ = strconv.Atoi(find(a.inner, "cause"))
		hs, _ := url.ParseQuery(strings.ReplaceAll(a.headers, ";", "%3B"))
		for name, vs := range hs {
			switch strings.ToLower(name) {
			case "privacy":
				e.private = Privacies(vs).History
			case "reason":
				for _, r := range Reasons(vs) {
					if r.Protocol == SIP {
						e.reason = r.Cause
					}
				}
			}
		}
		for _, p := range a.params {
			switch {
			case p.name == "index" && isIndex(p.value):
				e.index = p.value
			case (p.name == "rc" || p.name == "mp" || p.name == "np") && isIndex(p.value):
				e.rel = p
			}
		}
		if e.index != "" { // RFC 7044 section 5: mandatory
			out = append(out, e)
		}
	}
	return out
}

func isIndex(s string) bool { return s != "" && len(s) < 64 && strings.Trim(s, "0123456789.") == "" }

// Rehost writes History-Info again with host in place of its hosts; indexes, relations, causes and marks of privacy stay. RFC 7044 section 5.
func Rehost(values []string, host string) []string {
	var out []string
	for _, e := range entries(values) {
		r := Redirection{User: e.user, Tel: e.tel}
		params := ""
		if e.cause > 0 && e.cause < 1000 {
			params = ";cause=" + strconv.Itoa(e.cause)
		}
		var hs []string
		if e.reason > 0 {
			hs = append(hs, "Reason=SIP%3Bcause%3D"+strconv.Itoa(e.reason))
		}
		if e.private {
			hs = append(hs, "Privacy=history")
		}
		if len(hs) > 0 {
			params += "?" + strings.Join(hs, "&")
		}
		v := "<" + r.uri(host, params) + ">;index=" + e.index
		if e.rel.name != "" {
			v += ";" + e.rel.name + "=" + e.rel.value
		}
		out = append(out, v)
	}
	return out
}

// FromHistory reads the diversions that History-Info tells of, the oldest first: for each entry with a cause, who sent the call there. RFC 7544 section 6.
func FromHistory(values []string) []Redirection {
	es := entries(values)
	var out []Redirection
	for i := 1; i < len(es); i++ {
		from := i - 1
		for j := range i {
			if es[i].rel.name == "mp" && es[j].index == es[i].rel.value {
				from = j
			}
		}
		word := diversionReason(es[i].cause)
		if word == "" && es[i].cause == 0 { // RFC 4244 had it with who sent it on
			word = diversionReason(es[from].reason)
		}
		if word == "" || len(out) == maxRedirections {
			continue
		}
		out = append(out, Redirection{User: es[from].user, Tel: es[from].tel, Reason: word, Counter: 1, Private: es[from].private})
	}
	return out
}

// ToHistory writes the diversions as History-Info that ends at called, with host in place of theirs. RFC 7544 section 5: each
// diversion that a counter tells of beside its own has an entry of an unknown number, as far as twice maxRedirections entries allow.
func ToHistory(rs []Redirection, called, host string) []string {
	if len(rs) == 0 {
		return nil
	}
	var out []string
	index, cause, before := "1", 0, ""
	add := func(uri string) {
		if before != "" {
			index += ".1"
		}
		v := "<" + uri + ">;index=" + index
		if before != "" {
			v += ";mp=" + before
		}
		out, before = append(out, v), index
	}
	all := append(rs[:len(rs):len(rs)], Redirection{User: called, Counter: 1})
	for i, r := range all {
		for n := 1; n < r.Counter && len(out)+len(all)-i < 2*maxRedirections; n++ {
			uri := "sip:unknown@unknown.invalid"
			if cause > 0 {
				uri += ";cause=" + strconv.Itoa(cause)
			}
			add(uri)
			cause = diversionReasons["unknown"]
		}
		params := ""
		if cause > 0 {
			params = ";cause=" + strconv.Itoa(cause)
		}
		if r.Private {
			params += "?Privacy=history"
		}
		add(r.uri(host, params))
		cause = diversionReasons[r.Reason]
	}
	return out
}
