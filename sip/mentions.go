package sip

import (
	"strings"

	msg "github.com/emiago/sipgo/sip"
)

// mentions are headers that a message has, of those that are asked for in nearly every message and stand in few: one walk tells for which of them another is worth
// while.
type mentions uint32

const (
	mentionsAccept mentions = 1 << iota
	mentionsAllow
	mentionsEncoding // Content-Encoding
	mentionsInterval // Session-Expires
	mentionsBreadth  // Max-Breadth
	mentionsLeast    // Min-SE
	mentionsPackages // Recv-Info
	mentionsReason
	mentionsReplaces
	mentionsRequire
	mentionsSession // Session-ID
	mentionsSupported
	mentionsCrossing // one that hear takes
)

// watched are their names, in lower case, by length. Read only.
var watched = [...][]struct {
	name string
	is   mentions
}{
	1:  {{"k", mentionsSupported}, {"x", mentionsInterval}, {"e", mentionsEncoding}},
	4:  {{"date", mentionsCrossing}},
	5:  {{"allow", mentionsAllow}},
	6:  {{"accept", mentionsAccept}, {"reason", mentionsReason}, {"min-se", mentionsLeast}},
	7:  {{"require", mentionsRequire}, {"privacy", mentionsCrossing}},
	8:  {{"replaces", mentionsReplaces}, {"identity", mentionsCrossing}},
	9:  {{"supported", mentionsSupported}, {"recv-info", mentionsPackages}, {"diversion", mentionsCrossing}},
	10: {{"session-id", mentionsSession}},
	11: {{"max-breadth", mentionsBreadth}, {"geolocation", mentionsCrossing}},
	12: {{"user-to-user", mentionsCrossing}, {"history-info", mentionsCrossing}},
	13: {{"p-early-media", mentionsCrossing}},
	15: {{"session-expires", mentionsInterval}},
	16: {{"content-encoding", mentionsEncoding}},
	17: {{"resource-priority", mentionsCrossing}},
	19: {{"p-asserted-identity", mentionsCrossing}, {"geolocation-routing", mentionsCrossing}},
	20: {{"p-preferred-identity", mentionsCrossing}},
}

func mentionsOf(m msg.Message) (seen mentions) {
	for _, h := range headersOf(m) {
		name := h.Name()
		if len(name) >= len(watched) {
			continue
		}
		for _, w := range watched[len(name)] {
			if name[0]|0x20 == w.name[0] && strings.EqualFold(name, w.name) {
				seen |= w.is
			}
		}
	}
	return seen
}

// any says whether one of these is among them.
func (m mentions) any(of mentions) bool { return m&of != 0 }
