package sip

import (
	"strings"

	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Scanners are words, in lower case, by which tools that look for open exchanges name themselves in User-Agent or in the display name of From. No telephone
// and no carrier uses them. A configuration may add to them.
var Scanners = []string{
	"friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sip-scan", "sipscan", "sipcli", "vaxsipuseragent", "vaxasip", "pplsip", "smap ",
	"siparmyknife", "sivus", "iwar", "gulp", "sipptk", "sipflood", "inviteflood", "svmap", "svwar", "svcrack", "svreport", "sippts", "mr.sip", "stunner-sip",
}

// GroundScanner is the ground of what a scanner sent.
const GroundScanner sovereign.Ground = "scanner"

// scans says whether a request outside a dialog comes from a scanner. It gets no answer and leaves no state: a scanner goes on where somebody answers. Known
// parties are no exception, unless they say so: what comes by a carrier's network may have been sent by anybody.
func (e *Edge) scans(req *msg.Request, in transport.Incoming) bool {
	if to := req.To(); to != nil && to.Params.GetOr("tag", "") != "" {
		return false
	}
	if p := e.profiles.Load().byName[in.Party]; p != nil && p.Guard.Scanners {
		return false
	}
	words := strings.ToLower(value(req, "user-agent"))
	if from := req.From(); from != nil && from.DisplayName != "" {
		words += "\n" + strings.ToLower(from.DisplayName)
	}
	if words == "" || !e.scanner(words) {
		return false
	}
	e.screen.refused(in.Party, in.Flow.Remote(), GroundScanner, "it names itself as a scanner does")
	return true
}

func (e *Edge) scanner(words string) bool {
	for _, list := range [][]string{Scanners, e.c.Scanners} {
		for _, w := range list {
			if strings.Contains(words, w) {
				return true
			}
		}
	}
	return false
}
