package sip

import (
	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// packagesOf gives the INFO packages that the far end of a leg takes, as its INVITE says; none without a leg.
func (c *call) packagesOf(l *leg) []string {
	if l == nil || l.invite == nil {
		return nil
	}
	return tokens(l.invite, "recv-info")
}

// packages writes which INFO packages the other side takes: who sends INFO is this edge, and it sends what comes from there. RFC 6086 section 5.2.
func packages(m message, names []string) {
	for i, n := range names {
		if w := header.Word(n); w != "" && i < 32 {
			m.AppendHeader(msg.NewHeader("Recv-Info", w))
		}
	}
}
