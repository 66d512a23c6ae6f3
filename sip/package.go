package sip

import (
	"strings"

	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// offered says whether an INFO may go on: it is of no package, as the old kinds are, or of one that either end named. RFC 6086 section 4.2.2.
func offered(req *msg.Request, from, to *leg) bool {
	name, _, _ := strings.Cut(value(req, "info-package"), ";")
	if name = strings.TrimSpace(name); name == "" {
		return true
	}
	for _, l := range []*leg{from, to} {
		for _, p := range l.takes {
			if p, _, _ = strings.Cut(p, ";"); strings.EqualFold(strings.TrimSpace(p), name) {
				return true
			}
		}
	}
	return false
}

// recvInfo is Recv-Info with those packages, or without any. RFC 6086 section 5.2.3.
func recvInfo(names []string) []msg.Header {
	var out []msg.Header
	for _, n := range names {
		if w := header.Word(n); w != "" && len(out) < 32 {
			out = append(out, msg.NewHeader("Recv-Info", w))
		}
	}
	if out == nil {
		out = append(out, msg.NewHeader("Recv-Info", ""))
	}
	return out
}

// packages writes which INFO packages the other side takes: who sends INFO is this edge, and it sends what comes from there. RFC 6086 section 5.2.
func packages(m message, names []string) {
	for i, n := range names {
		if w := header.Word(n); w != "" && i < 32 {
			m.AppendHeader(msg.NewHeader("Recv-Info", w))
		}
	}
}
