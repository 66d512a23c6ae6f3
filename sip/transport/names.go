package transport

import "strings"

// kind is a header that this package reads or counts. The zero kind is any other.
type kind uint8

// The kinds. There are fewer than 64: sets of them are one word.
const (
	kindOther kind = iota
	kindVia
	kindFrom
	kindTo
	kindCallID
	kindCSeq
	kindContact
	kindRoute
	kindRecordRoute
	kindMaxForwards
	kindContentLength
	kindContentType
	kindReferTo
	kindReferredBy
	kindDate
	kindEvent
	kindExpires
	kindMinExpires
	kindMinSE
	kindMIMEVersion
	kindRAck
	kindRSeq
	kindReplaces
	kindReplyTo
	kindRetryAfter
	kindSessionExpires
	kindTargetDialog
)

// kinds is a set of them.
type kinds uint64

func setOf(of ...kind) (s kinds) {
	for _, k := range of {
		s |= 1 << k
	}
	return s
}

func (s kinds) has(k kind) bool { return s&(1<<k) != 0 }

var (
	// mandatory are those without which nothing can be matched.
	mandatory = setOf(kindVia, kindFrom, kindTo, kindCallID, kindCSeq)
	// vital names those of which a response may carry one alone. Responses are read with more patience: to drop one costs a call.
	vital = setOf(kindFrom, kindTo, kindCallID, kindCSeq, kindContentLength)
	// single names the headers of which a request may carry one alone: a second one would let two readers see two messages.
	single = vital | setOf(kindMaxForwards, kindContentType, kindDate, kindEvent, kindExpires, kindMinExpires, kindMinSE, kindMIMEVersion, kindRAck, kindRSeq,
		kindReferTo, kindReferredBy, kindReplaces, kindReplyTo, kindRetryAfter, kindSessionExpires, kindTargetDialog)
)

// name is a header name in its canonical long form.
type name struct {
	long string
	kind kind
}

// nameOf gives the canonical long form of a header name, and the name itself when it is unknown. RFC 3261 section 7.3.3 and the IANA registry of compact
// forms.
func nameOf(s string) name {
	if len(s) >= len(byLength) {
		return name{long: s}
	}
	switch s { // as nearly everybody writes what each message has
	case "Via":
		return name{"Via", kindVia}
	case "From":
		return name{"From", kindFrom}
	case "To":
		return name{"To", kindTo}
	case "Call-ID":
		return name{"Call-ID", kindCallID}
	case "CSeq":
		return name{"CSeq", kindCSeq}
	case "Contact":
		return name{"Contact", kindContact}
	case "Max-Forwards":
		return name{"Max-Forwards", kindMaxForwards}
	case "Content-Length":
		return name{"Content-Length", kindContentLength}
	case "Content-Type":
		return name{"Content-Type", kindContentType}
	}
	all := byLength[len(s)]
	for i := range all {
		if key := all[i].key; key[0] == s[0]|0x20 && strings.EqualFold(key, s) {
			return all[i].name
		}
	}
	return name{long: s}
}

// keyed is a name with the form in which it is looked for, in lower case.
type keyed struct {
	key string
	name
}

// byLength holds names by the length of what is looked for. Read only.
var byLength = func() (all [17][]keyed) {
	for k, n := range names {
		all[len(k)] = append(all[len(k)], keyed{k, n})
	}
	return all
}()

// names holds the headers that this package looks at and those with a compact form. Read only.
var names = map[string]name{
	"v": {"Via", kindVia}, "via": {"Via", kindVia}, "f": {"From", kindFrom}, "from": {"From", kindFrom}, "t": {"To", kindTo}, "to": {"To", kindTo},
	"i": {"Call-ID", kindCallID}, "call-id": {"Call-ID", kindCallID}, "cseq": {"CSeq", kindCSeq}, "m": {"Contact", kindContact},
	"contact": {"Contact", kindContact}, "l": {"Content-Length", kindContentLength}, "content-length": {"Content-Length", kindContentLength},
	"max-forwards": {"Max-Forwards", kindMaxForwards}, "route": {"Route", kindRoute}, "record-route": {"Record-Route", kindRecordRoute},
	"c": {"Content-Type", kindContentType}, "content-type": {"Content-Type", kindContentType}, "date": {"Date", kindDate},
	"expires": {"Expires", kindExpires}, "min-expires": {"Min-Expires", kindMinExpires}, "min-se": {"Min-SE", kindMinSE},
	"x": {"Session-Expires", kindSessionExpires}, "session-expires": {"Session-Expires", kindSessionExpires}, "rack": {"RAck", kindRAck},
	"rseq": {"RSeq", kindRSeq}, "r": {"Refer-To", kindReferTo}, "refer-to": {"Refer-To", kindReferTo}, "b": {"Referred-By", kindReferredBy},
	"referred-by": {"Referred-By", kindReferredBy}, "replaces": {"Replaces", kindReplaces}, "reply-to": {"Reply-To", kindReplyTo},
	"retry-after": {"Retry-After", kindRetryAfter}, "o": {"Event", kindEvent}, "event": {"Event", kindEvent},
	"mime-version": {"MIME-Version", kindMIMEVersion}, "target-dialog": {"Target-Dialog", kindTargetDialog},

	"e": {long: "Content-Encoding"}, "content-encoding": {long: "Content-Encoding"}, "s": {long: "Subject"}, "subject": {long: "Subject"},
	"k": {long: "Supported"}, "supported": {long: "Supported"}, "u": {long: "Allow-Events"}, "allow-events": {long: "Allow-Events"},
	"a": {long: "Accept-Contact"}, "d": {long: "Request-Disposition"}, "j": {long: "Reject-Contact"}, "n": {long: "Identity-Info"},
	"y": {long: "Identity"}, "require": {long: "Require"}, "proxy-require": {long: "Proxy-Require"}, "reason": {long: "Reason"}, "privacy": {long: "Privacy"},
}
