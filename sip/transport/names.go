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
	// stacked are those of which a message gives the top one.
	stacked = setOf(kindVia, kindRoute, kindRecordRoute)
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
	all := byLength[len(s)]
	for i := range all { // as nearly everybody writes it
		if all[i].key == s {
			return all[i].name
		}
	}
	for i := range all {
		if key := all[i].key; key[0]|0x20 == s[0]|0x20 && strings.EqualFold(key, s) {
			return all[i].name
		}
	}
	return name{long: s}
}

// keyed is a name with the form in which it is looked for.
type keyed struct {
	key string
	name
}

// byLength holds names by the length of what is looked for. Read only.
var byLength = func() (all [20][]keyed) {
	for _, n := range names {
		for _, key := range [...]string{n.compact, n.long} {
			if key != "" {
				all[len(key)] = append(all[len(key)], keyed{key, n.name})
			}
		}
	}
	return all
}()

// names holds the headers that this package looks at and those with a compact form; those that come most often stand first. Read only.
var names = [...]struct {
	name
	compact string
}{
	{name{"Via", kindVia}, "v"},
	{name{"From", kindFrom}, "f"},
	{name{"To", kindTo}, "t"},
	{name{"Call-ID", kindCallID}, "i"},
	{name{"CSeq", kindCSeq}, ""},
	{name{"Contact", kindContact}, "m"},
	{name{"Max-Forwards", kindMaxForwards}, ""},
	{name{"Content-Length", kindContentLength}, "l"},
	{name{"Content-Type", kindContentType}, "c"},
	{name{"Route", kindRoute}, ""},
	{name{"Record-Route", kindRecordRoute}, ""},
	{name{"Date", kindDate}, ""},
	{name{"Expires", kindExpires}, ""},
	{name{"Min-Expires", kindMinExpires}, ""},
	{name{"Min-SE", kindMinSE}, ""},
	{name{"Session-Expires", kindSessionExpires}, "x"},
	{name{"RAck", kindRAck}, ""},
	{name{"RSeq", kindRSeq}, ""},
	{name{"Refer-To", kindReferTo}, "r"},
	{name{"Referred-By", kindReferredBy}, "b"},
	{name{"Replaces", kindReplaces}, ""},
	{name{"Reply-To", kindReplyTo}, ""},
	{name{"Retry-After", kindRetryAfter}, ""},
	{name{"Event", kindEvent}, "o"},
	{name{"MIME-Version", kindMIMEVersion}, ""},
	{name{"Target-Dialog", kindTargetDialog}, ""},
	{name{"Content-Encoding", kindOther}, "e"},
	{name{"Subject", kindOther}, "s"},
	{name{"Supported", kindOther}, "k"},
	{name{"Allow-Events", kindOther}, "u"},
	{name{"Accept-Contact", kindOther}, "a"},
	{name{"Request-Disposition", kindOther}, "d"},
	{name{"Reject-Contact", kindOther}, "j"},
	{name{"Identity-Info", kindOther}, "n"},
	{name{"Identity", kindOther}, "y"},
	{name{"Require", kindOther}, ""},
	{name{"Proxy-Require", kindOther}, ""},
	{name{"Reason", kindOther}, ""},
	{name{"Privacy", kindOther}, ""},
}
