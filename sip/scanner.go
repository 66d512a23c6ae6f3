package sip

import (
	"slices"
	"strings"

	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Scanners are product names, in lower case, by which tools that look for open exchanges name themselves at the front of User-Agent. Each is a whole name and long
// enough that no telephone and no person has it. A configuration may add to them.
var Scanners = []string{
	"friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sip-scan", "sipscan", "sipcli", "vaxsipuseragent", "vaxasip", "pplsip",
	"siparmyknife", "sipptk", "sipflood", "inviteflood", "svwar", "svcrack", "svreport", "sippts", "mr.sip", "stunner-sip",
}

// scanningCallers are the whole display names in From that scanners give themselves.
var scanningCallers = []string{"sipvicious", "friendly-scanner"}

// GroundScanner is the ground of what a scanner sent.
const GroundScanner sovereign.Ground = "scanner"

// scans says whether a request outside a dialog comes from a scanner. It gets no answer and leaves no state: a scanner goes on where somebody answers. Known
// parties are no exception, unless they say so: what comes by a carrier's network may have been sent by anybody.
func (e *Edge) scans(s *shard, req *msg.Request, in transport.Incoming) bool {
	if to := req.To(); to != nil && to.Params.GetOr("tag", "") != "" {
		return false
	}
	if p := e.profiles.Load().byName[in.Party]; p != nil && p.Guard.Scanners {
		return false
	}
	if !e.scanner(req) || e.asksForHelp(in) || req.Method == msg.CANCEL && s.lobby.knows(keyOf(req, in.Party)) {
		return false // whoever asks for help is heard, whatever their telephone is called
	}
	e.screen.refused(in.Party, in.Flow.Remote(), GroundScanner, "it names itself as a scanner does")
	return true
}

// scanner compares whole names: a part of a name says nothing of it.
func (e *Edge) scanner(req *msg.Request) bool {
	agent := strings.TrimSpace(value(req, "user-agent"))
	if i := strings.IndexAny(agent, "/ \t("); i >= 0 { // RFC 3261 section 25.1: product = token [SLASH product-version]
		agent = agent[:i]
	}
	if agent != "" && (among(Scanners, agent) || among(e.c.Scanners, agent)) {
		return true
	}
	from := req.From()
	if from == nil || from.DisplayName == "" {
		return false
	}
	name := strings.TrimSpace(from.DisplayName)
	return among(scanningCallers, name) || among(e.c.Scanners, name)
}

// among says whether a list holds a word, however it is written.
func among(list []string, word string) bool {
	return slices.ContainsFunc(list, func(w string) bool { return strings.EqualFold(w, word) })
}
