package sip

import (
	"bytes"
	"encoding/json"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/tlv"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// savedVersion is the first byte of every record. A version that is not known is refused: a field that an older reader may pass over gets a new tag and no new version.
const savedVersion = 1

// The fields of a call. A number is never given to another field.
const (
	tagID byte = iota + 1
	tagRef
	tagStart
	tagAnswer
	tagSessionA
	tagSessionB
	tagParty
	tagDirection
	tagTrunk
	tagGroup
	tagRoute
	tagPurpose
	tagDigest
	tagGeneration
	tagRecording
	tagOnHold
	tagReason
	tagGrant
	tagPartyRef // one for each end: text, and tagCountry within
	tagAttempt
	tagTaken
	tagLegA
	tagLegB
	tagMedia
	tagMoves     // JSON, as in receipts; so are transfers and former legs
	tagTransfers //
	tagFormer
	tagAsk
	tagDrill
)

// The fields of a leg.
const (
	tagLegParty byte = iota + 1
	tagProto
	tagLocal
	tagRemote
	tagName
	tagTarget
	tagDialog
	tagRuling
	tagSent
	tagPlaces
	tagBare
	tagUpdate
	tagReplaces
	tagAckSeq
	tagAckBody
	tagWays
	tagInterval
	tagLeast
	tagOurs
	tagOver
	tagRTT
	tagPeerVersion
	tagPeerSuite
	tagPeerSPKI
	tagPeerName
	tagPeerVerified
	tagTakes
	tagKnown
	tagRefers
	tagInterrupted // an INVITE of the peer that had no final response: its head
	tagOpenSeq     // CSeq of an INVITE of ours that had none, and was it without an offer
	tagOpenBare
	tagAccepts // connections are the far end's to open
	tagInforms // it takes INFO
)

// The fields of an attempt.
const (
	tagAttemptParty byte = iota + 1
	tagAttemptTarget
	tagAttemptRegion
	tagAttemptCountry
	tagAttemptVerdict
	tagAttemptGround
	tagAttemptAt
	tagAttemptTook // microseconds
	tagAttemptResult
	tagAttemptFallback
	tagAttemptDrill
)

// The fields of what the caller asked for.
const (
	tagCalled byte = iota + 1
	tagDomain
	tagUser
	tagDisplay
	tagDialled
	tagAskSession
	tagSips
	tagHidden
	tagKeys
	tagRel
	tagSaid // JSON
)

// The fields of a reference.
const (
	tagRefText byte = iota + 1
	tagRefCountry
)

// append writes the call behind b, on its loop. No key of media is in it.
func (c *call) append(b []byte) []byte {
	b = tlv.String(b, tagID, c.id)
	b = tlv.String(b, tagRef, c.reference())
	b = tlv.Time(b, tagStart, c.start)
	b = tlv.Time(b, tagAnswer, c.answer)
	b = tlv.String(b, tagSessionA, c.ids.a)
	b = tlv.String(b, tagSessionB, c.ids.b)
	b = tlv.String(b, tagParty, c.party.Name)
	b = c.appendPlan(b)
	for _, r := range c.refs {
		n, mark := tlv.Open(b, tagPartyRef)
		n = tlv.String(n, tagRefText, r.Ref)
		b = tlv.Close(tlv.String(n, tagRefCountry, r.Country), mark)
	}
	for i := range c.tried {
		b = appendAttempt(b, &c.tried[i])
	}
	for i := range c.plan.Refused {
		a := refusedAttempt(c.plan.Refused[i])
		b = appendAttempt(b, &a)
	}
	for _, p := range c.taken {
		b = tlv.String(b, tagTaken, p)
	}
	b = c.a.append(b, tagLegA)
	b = c.b.append(b, tagLegB)
	if save := c.sh.e.c.Outlive.Save; save != nil {
		b = tlv.Bytes(b, tagMedia, save(c.media.Load()))
	}
	b = c.appendPast(b)
	return c.ask.append(b)
}

func (c *call) appendPlan(b []byte) []byte {
	p := &c.plan
	b = tlv.String(b, tagDirection, string(p.Direction))
	b = tlv.String(b, tagTrunk, p.Trunk)
	b = tlv.String(b, tagGroup, p.Group)
	b = tlv.String(b, tagRoute, p.Route)
	b = tlv.String(b, tagPurpose, p.Purpose.String())
	b = tlv.String(b, tagDigest, p.Digest)
	b = tlv.Uint(b, tagGeneration, p.Generation)
	b = tlv.Bool(b, tagRecording, p.Recording)
	b = tlv.Uint(b, tagOnHold, uint64(max(p.OnHold.Status, 0)))
	b = tlv.String(b, tagReason, string(c.reason))
	if p.Drill != "" {
		b = tlv.String(b, tagDrill, p.Drill)
	}
	return tlv.String(b, tagGrant, c.grant)
}

// appendPast writes what few calls have: moves, transfers, legs that left.
func (c *call) appendPast(b []byte) []byte {
	if len(c.moves) > 0 {
		b = appendJSON(b, tagMoves, c.moves)
	}
	if len(c.transfers) > 0 {
		b = appendJSON(b, tagTransfers, c.transfers)
	}
	for i := range c.former {
		b = appendJSON(b, tagFormer, savedFormer{c.former[i].hop, c.former[i].ruling})
	}
	return b
}

// savedFormer is a leg that left.
type savedFormer struct {
	Hop    audit.ReceiptHop  `json:"hop"`
	Ruling *sovereign.Ruling `json:"ruling"`
}

func appendJSON(b []byte, tag byte, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return b // these are types of records: what is in them is written into the log the same way
	}
	return tlv.Bytes(b, tag, raw)
}

func appendAttempt(b []byte, a *audit.Attempt) []byte {
	b, mark := tlv.Open(b, tagAttempt)
	b = tlv.String(b, tagAttemptParty, a.Party)
	b = tlv.String(b, tagAttemptTarget, a.Target)
	b = tlv.String(b, tagAttemptRegion, a.Region)
	b = tlv.String(b, tagAttemptCountry, a.Country)
	b = tlv.String(b, tagAttemptVerdict, a.Verdict)
	b = tlv.String(b, tagAttemptGround, a.Ground)
	b = tlv.Time(b, tagAttemptAt, a.At)
	b = tlv.Uint(b, tagAttemptTook, uint64(max(a.TookMS, 0)*1000))
	b = tlv.String(b, tagAttemptResult, a.Result)
	b = tlv.String(b, tagAttemptFallback, a.Fallback)
	b = tlv.String(b, tagAttemptDrill, a.Drill)
	return tlv.Close(b, mark)
}

// append writes what a transfer says of the caller.
func (a *ask) append(b []byte) []byte {
	b, mark := tlv.Open(b, tagAsk)
	b = tlv.String(b, tagCalled, a.called)
	b = tlv.String(b, tagDomain, a.domain)
	b = tlv.String(b, tagUser, a.user)
	b = tlv.String(b, tagDisplay, a.display)
	b = tlv.String(b, tagDialled, a.dialled)
	b = tlv.String(b, tagAskSession, a.session)
	b = tlv.Bool(b, tagSips, a.sips)
	b = tlv.Bool(b, tagHidden, a.hidden)
	b = tlv.Bool(b, tagKeys, a.keys)
	b = tlv.Bool(b, tagRel, a.rel)
	if h := a.said; h != nil && h != &nothing && h != &trusted {
		if h = h.lasting(); h != &nothing {
			b = appendJSON(b, tagSaid, savedSaid{h.trusted, h.ids, h.privacy, h.fields, h.data, h.early})
		}
	}
	return tlv.Close(b, mark)
}

// savedSaid is what the caller said of itself and is said again when the call is transferred.
type savedSaid struct {
	Trusted bool              `json:"trusted,omitempty"`
	IDs     []header.Identity `json:"ids,omitempty"`
	Privacy header.Privacy    `json:"privacy,omitzero"`
	Fields  []header.Field    `json:"fields,omitempty"`
	Data    []string          `json:"data,omitempty"`
	Early   string            `json:"early,omitempty"`
}

// append writes one leg.
func (l *leg) append(b []byte, tag byte) []byte {
	b, mark := tlv.Open(b, tag)
	b = tlv.String(b, tagLegParty, l.party.Name)
	b = l.appendWay(b)
	b = tlv.String(b, tagName, l.name)
	b = tlv.String(b, tagTarget, l.target)
	d, in := tlv.Open(b, tagDialog)
	b = tlv.Close(l.dlg.Append(d), in)
	b = tlv.Bytes(b, tagRuling, l.c.sh.rulings.text(l.ruling))
	b = tlv.Bytes(b, tagSent, keyless(l.sent))
	b = tlv.Bytes(b, tagPlaces, places(l.taken))
	b = tlv.Bool(b, tagBare, l.bare)
	b = tlv.Bool(b, tagUpdate, l.update)
	b = tlv.Bool(b, tagReplaces, l.replaces)
	if n := len(l.acks); n > 0 {
		b = tlv.Uint(b, tagAckSeq, uint64(l.acks[n-1].seq))
		b = tlv.Bytes(b, tagAckBody, keyless(l.acks[n-1].sdp))
	}
	b = tlv.String(b, tagWays, l.ways)
	b = l.timing.append(b)
	b = tlv.Uint(b, tagRTT, uint64(max(l.rtt, 0)))
	for _, t := range l.takes {
		b = tlv.String(b, tagTakes, t)
	}
	b = tlv.String(b, tagKnown, l.known)
	b = tlv.Bool(b, tagInforms, l.informs)
	b = tlv.Uint(b, tagRefers, uint64(l.refers))
	return tlv.Close(l.appendOpen(b), mark)
}

// appendWay writes where the far end is, and what it proved of itself.
func (l *leg) appendWay(b []byte) []byte {
	k := l.flow.Key()
	b = tlv.String(b, tagProto, string(k.Proto))
	b = tlv.Addr(b, tagLocal, k.Local)
	b = tlv.Addr(b, tagRemote, k.Remote)
	b = tlv.Bool(b, tagAccepts, k.Conn != 0 || l.accepts)
	id := l.identity()
	if id == nil {
		return b
	}
	b = tlv.String(b, tagPeerVersion, id.Version)
	b = tlv.String(b, tagPeerSuite, id.Suite)
	b = tlv.String(b, tagPeerSPKI, id.SPKI)
	b = tlv.Bool(b, tagPeerVerified, id.Verified)
	for _, n := range id.Names {
		b = tlv.String(b, tagPeerName, n)
	}
	return b
}

func (s *sessionTimer) append(b []byte) []byte {
	b = tlv.Uint(b, tagInterval, uint64(s.interval))
	b = tlv.Uint(b, tagLeast, uint64(s.least))
	b = tlv.Bool(b, tagOurs, s.ours)
	return tlv.Time(b, tagOver, s.over)
}

// appendOpen writes what is under way on the leg: an INVITE of the peer, so that it can be refused by who comes after us, and one of ours.
func (l *leg) appendOpen(b []byte) []byte {
	if l.in != nil && l.in.Req().Method == msg.INVITE {
		var room [1024]byte
		b = tlv.Bytes(b, tagInterrupted, appendHead(room[:0], l.in.Req()))
	}
	if x := l.out; x != nil && x.req.Method == msg.INVITE {
		b = tlv.Uint(b, tagOpenSeq, uint64(x.req.CSeq().SeqNo))
		b = tlv.Bool(b, tagOpenBare, len(x.req.Body()) == 0)
	}
	return b
}

// appendHead writes of a request what a final response needs, and nothing that it asks for.
func appendHead(b []byte, req *msg.Request) []byte {
	b = transport.AppendRequestLine(b, req)
	for _, h := range req.Headers() {
		switch h.(type) {
		case *msg.ViaHeader, *msg.FromHeader, *msg.ToHeader, *msg.CallIDHeader, *msg.CSeqHeader, *msg.MaxForwardsHeader:
			b = transport.AppendHeader(b, h)
		}
	}
	return append(b, "Content-Length: 0\r\n\r\n"...)
}

// keyless is a description that may be kept: one with keys may not.
func keyless(sdp []byte) []byte {
	if bytes.Contains(sdp, []byte("a=crypto:")) || bytes.Contains(sdp, []byte("a=key-mgmt:")) || bytes.Contains(sdp, []byte("\nk=")) {
		return nil
	}
	return sdp
}

// rulings are the texts of rulings: calls share them, so each is written once.
type rulings struct{ texts map[*sovereign.Ruling][]byte }

// maxRulings bounds them.
const maxRulings = 256

func (r *rulings) text(of *sovereign.Ruling) []byte {
	if t, ok := r.texts[of]; ok {
		return t
	}
	t, err := json.Marshal(of)
	if err != nil {
		return nil
	}
	if r.texts == nil || len(r.texts) >= maxRulings {
		r.texts = map[*sovereign.Ruling][]byte{}
	}
	r.texts[of] = t
	return t
}
