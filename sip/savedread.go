package sip

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/tlv"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

var (
	errSavedVersion = errors.New("sip: a record of a version that is not known here")
	errSaved        = errors.New("sip: the record of a call does not read")
)

// savedCall is a record that was read: the call as far as it needs nobody else, and the names of whom it needs.
type savedCall struct {
	c     *call
	party string
	ref   string
	a, b  savedLeg
	media []byte
}

// savedLeg is one leg of it.
type savedLeg struct {
	l             *leg
	party         string
	proto         transport.Proto
	local, remote netAddrPort
	interrupted   []byte
}

// readCall reads what save wrote.
func readCall(raw []byte) (*savedCall, error) {
	if len(raw) == 0 {
		return nil, errSaved
	}
	if raw[0] != savedVersion {
		return nil, fmt.Errorf("%w: %d", errSavedVersion, raw[0])
	}
	s := &savedCall{c: &call{ask: &ask{said: &nothing}, kept: true, prepared: true, answered: true, confirmed: true}}
	r := tlv.Read(raw[1:])
	for r.Next() {
		if !s.identity(&r) && !s.plan(&r) {
			s.parts(&r)
		}
	}
	if r.Bad() || s.a.l == nil || s.b.l == nil || s.c.id == "" || s.ref == "" || s.party == "" {
		return nil, errSaved
	}
	return s, nil
}

// identity reads what names the call and its times.
func (s *savedCall) identity(r *tlv.Reader) bool {
	c := s.c
	switch r.Tag {
	case tagID:
		c.id = r.String()
	case tagRef:
		s.ref = r.String()
	case tagStart:
		c.start = r.Time()
	case tagAnswer:
		c.answer = r.Time()
	case tagSessionA:
		c.ids.a = r.String()
	case tagSessionB:
		c.ids.b = r.String()
	case tagParty:
		s.party = r.String()
	default:
		return false
	}
	return true
}

// plan reads under what the call runs.
func (s *savedCall) plan(r *tlv.Reader) bool {
	c, p := s.c, &s.c.plan
	switch r.Tag {
	case tagDirection:
		p.Direction = routing.Direction(r.String())
	case tagTrunk:
		p.Trunk = r.String()
	case tagGroup:
		p.Group = r.String()
	case tagRoute:
		p.Route = r.String()
	case tagPurpose:
		if p.Purpose.UnmarshalText(r.Value) != nil {
			r.Fail()
		}
	case tagDigest:
		p.Digest = r.String()
	case tagGeneration:
		p.Generation = r.Uint()
	case tagRecording:
		p.Recording = r.Bool()
	case tagOnHold:
		p.OnHold.Status = int(r.Uint32())
	case tagDrill:
		p.Drill = r.String()
	case tagReason:
		c.reason = routing.RouteReason(r.String())
	case tagGrant:
		c.grant = r.String()
	default:
		return false
	}
	return true
}

// parts reads the records within.
func (s *savedCall) parts(r *tlv.Reader) {
	c := s.c
	switch r.Tag {
	case tagPartyRef:
		c.refs = append(c.refs, readRef(r))
	case tagAttempt:
		c.tried = append(c.tried, readAttempt(r))
	case tagTaken:
		c.taken = append(c.taken, r.String())
	case tagLegA:
		s.a.read(r)
	case tagLegB:
		s.b.read(r)
	case tagMedia:
		s.media = append([]byte{}, r.Value...)
	case tagMoves:
		readJSON(r, &c.moves)
	case tagTransfers:
		readJSON(r, &c.transfers)
	case tagFormer:
		var f savedFormer
		if readJSON(r, &f); f.Ruling == nil {
			f.Ruling = &sovereign.Ruling{}
		}
		c.former = append(c.former, formerLeg{f.Hop, f.Ruling})
	case tagAsk:
		c.ask.read(r)
	}
}

func readJSON(r *tlv.Reader, into any) {
	if json.Unmarshal(r.Value, into) != nil {
		r.Fail()
	}
}

func readRef(r *tlv.Reader) (out audit.PartyRef) {
	in := tlv.Read(r.Value)
	for in.Next() {
		switch in.Tag {
		case tagRefText:
			out.Ref = in.String()
		case tagRefCountry:
			out.Country = in.String()
		}
	}
	if in.Bad() {
		r.Fail()
	}
	return out
}

func readAttempt(r *tlv.Reader) (a audit.Attempt) {
	in := tlv.Read(r.Value)
	for in.Next() {
		switch in.Tag {
		case tagAttemptParty:
			a.Party = in.String()
		case tagAttemptTarget:
			a.Target = in.String()
		case tagAttemptRegion:
			a.Region = in.String()
		case tagAttemptCountry:
			a.Country = in.String()
		case tagAttemptVerdict:
			a.Verdict = in.String()
		case tagAttemptGround:
			a.Ground = in.String()
		case tagAttemptAt:
			a.At = in.Time()
		case tagAttemptTook:
			a.TookMS = float64(in.Uint()) / 1000
		case tagAttemptResult:
			a.Result = in.String()
		case tagAttemptFallback:
			a.Fallback = in.String()
		case tagAttemptDrill:
			a.Drill = in.String()
		}
	}
	if in.Bad() {
		r.Fail()
	}
	return a
}

func (a *ask) read(r *tlv.Reader) {
	a.sdp = []byte{} // there was one, or there is by now
	in := tlv.Read(r.Value)
	for in.Next() {
		switch in.Tag {
		case tagCalled:
			a.called = in.String()
		case tagDomain:
			a.domain = in.String()
		case tagUser:
			a.user = in.String()
		case tagDisplay:
			a.display = in.String()
		case tagDialled:
			a.dialled = in.String()
		case tagAskSession:
			a.session = in.String()
		case tagSips:
			a.sips = in.Bool()
		case tagHidden:
			a.hidden = in.Bool()
		case tagKeys:
			a.keys = in.Bool()
		case tagRel:
			a.rel = in.Bool()
		case tagSaid:
			var h savedSaid
			readJSON(&in, &h)
			a.said = &carried{trusted: h.Trusted, ids: h.IDs, privacy: h.Privacy, fields: h.Fields, data: h.Data, early: h.Early}
		}
	}
	if in.Bad() {
		r.Fail()
	}
}

// read reads one leg.
func (s *savedLeg) read(r *tlv.Reader) {
	l := &leg{ruling: &sovereign.Ruling{}}
	s.l = l
	in := tlv.Read(r.Value)
	for in.Next() {
		if !s.way(&in) && !s.agreed(&in) && !l.timing.read(&in) {
			s.open(&in)
		}
	}
	if in.Bad() || l.dlg == nil || s.party == "" || !s.remote.IsValid() {
		r.Fail()
		return
	}
	l.callID, l.tag = l.dlg.CallID, l.dlg.Local.Tag
}

// way reads where the far end is, and what it proved of itself.
func (s *savedLeg) way(in *tlv.Reader) bool {
	l := s.l
	switch in.Tag {
	case tagLegParty:
		s.party = in.String()
	case tagProto:
		s.proto = transport.Proto(in.String())
	case tagLocal:
		s.local = in.Addr()
	case tagRemote:
		s.remote = in.Addr()
	case tagAccepts:
		l.accepts = in.Bool()
	case tagName:
		l.name = in.String()
	case tagTarget:
		l.target = in.String()
	case tagRuling:
		n := &sovereign.Ruling{}
		readJSON(in, n)
		l.ruling = n
	case tagInforms:
		l.informs = in.Bool()
	case tagRTT:
		l.rtt = time.Duration(in.Uint())
	case tagPeerVersion, tagPeerSuite, tagPeerSPKI, tagPeerName, tagPeerVerified:
		s.proof(in)
	default:
		return false
	}
	return true
}

// proof reads the TLS identity of the far end.
func (s *savedLeg) proof(in *tlv.Reader) {
	if s.l.seen == nil {
		s.l.seen = &transport.PeerIdentity{}
	}
	switch id := s.l.seen; in.Tag {
	case tagPeerVersion:
		id.Version = in.String()
	case tagPeerSuite:
		id.Suite = in.String()
	case tagPeerSPKI:
		id.SPKI = in.String()
	case tagPeerName:
		id.Names = append(id.Names, in.String())
	case tagPeerVerified:
		id.Verified = in.Bool()
	}
}

// agreed reads the dialog and what holds in it.
func (s *savedLeg) agreed(in *tlv.Reader) bool {
	l := s.l
	switch in.Tag {
	case tagDialog:
		d, err := dialog.Read(in.Value)
		if err != nil {
			in.Fail()
		}
		l.dlg = d
	case tagSent:
		l.sent = append([]byte{}, in.Value...)
	case tagPlaces:
		l.taken = append([]byte{}, in.Value...)
	case tagBare:
		l.bare = in.Bool()
	case tagUpdate:
		l.update = in.Bool()
	case tagReplaces:
		l.replaces = in.Bool()
	case tagWays:
		l.ways = in.String()
	case tagTakes:
		l.takes = append(l.takes, in.String())
	case tagKnown:
		l.known = in.String()
	case tagRefers:
		l.refers = int32(min(in.Uint32(), 1<<30))
	default:
		return false
	}
	return true
}

func (s *sessionTimer) read(in *tlv.Reader) bool {
	switch in.Tag {
	case tagInterval:
		s.interval = min(in.Uint32(), maxSE)
	case tagLeast:
		s.least = min(in.Uint32(), maxSE)
	case tagOurs:
		s.ours = in.Bool()
	case tagOver:
		s.over = in.Time()
	default:
		return false
	}
	return true
}

// open reads what was under way.
func (s *savedLeg) open(in *tlv.Reader) {
	l := s.l
	switch in.Tag {
	case tagAckSeq:
		l.acks = []acknowledged{{seq: in.Uint32()}}
	case tagAckBody:
		if len(l.acks) > 0 {
			l.acks[0].sdp = append([]byte{}, in.Value...)
		}
	case tagInterrupted:
		s.interrupted = append([]byte{}, in.Value...)
	case tagOpenSeq:
		l.torn = &torn{seq: in.Uint32()}
	case tagOpenBare:
		if l.torn != nil {
			l.torn.bare = in.Bool()
		}
	}
}
