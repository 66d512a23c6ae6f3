package sip

import (
	"strconv"
	"time"

	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// Keep-alive as neighbours agree on it: the keep parameter of RFC 6223 in the topmost Via. It is about streams: over UDP it would mean STUN, which is spoken
// neither way.

// keepAsked is what we ask of who keeps a stream to us warm: a ping within that many seconds. RFC 5626 section 4.4.1 has it for TCP where nobody says anything.
const keepAsked = 120

// negotiates says whether keep-alive is agreed on by a request: by what begins a registration or a dialog. RFC 6223 section 4.2.
func negotiates(req *msg.Request) bool { return req.Method == msg.REGISTER || freshInvite(req) }

// keepTell answers a client that is willing to keep its stream warm: the value stands in the topmost Via, which every response to the request repeats. RFC 6223
// section 4.4. Who would get no pong is not asked for pings.
func keepTell(req *msg.Request, in transport.Incoming) {
	if !in.Flow.Proto().Reliable() || !in.Flow.Valid() || in.OnlyEmergency || req.Via() == nil || !negotiates(req) {
		return
	}
	via := req.Via()
	if v, willing := via.Params.Get("keep"); willing && v == "" {
		via.Params.Add("keep", strconv.Itoa(keepAsked)) // takes the place of the one without a value
	}
}

// keepHear takes how often the server of a stream that we opened wants our pings. RFC 6223 section 5: 0 leaves that to us.
func (e *Edge) keepHear(in transport.Incoming) {
	res, ok := in.Msg.(*msg.Response)
	if !ok || !in.Flow.Proto().Reliable() || res.Via() == nil {
		return
	}
	v, ok := res.Via().Params.Get("keep")
	if !ok || v == "" {
		return
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if p := e.profiles.Load().byName[in.Flow.Key().Party]; err != nil || n == 0 || p == nil || !p.pings(in.Flow) {
		return
	}
	e.tl.KeepEvery(in.Flow, time.Duration(n)*time.Second)
}

// pings says whether we ping the party on a flow, and on no other connection in its place: one that it opened it keeps warm itself.
func (p *Party) pings(f transport.Flow) bool {
	return f.Proto().Reliable() && f.Key().Conn == 0 && p.Guard.Keepalive != transport.KeepOff && !(p.Guard.Reuse && f.Proto() == transport.TLS)
}
