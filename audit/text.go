package audit

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// texter is an event that writes its own JSON: the two kinds that every call leaves behind, handed over by pointer, for which reflection would cost more
// than all else. What it writes is what encoding/json writes, to the byte.
type texter interface {
	text(*text)
}

// text is JSON as it is written. Keys are given as they stand in it, comma and colon included.
type text struct {
	b   []byte
	err error
}

var errNumber = errors.New("a number that JSON cannot hold")

func (t *text) raw(s string) { t.b = append(t.b, s...) }

// str makes room for key and value at once, and takes the value for plain until it is found to be otherwise.
func (t *text) str(key, v string) {
	from, n := len(t.b), len(key)+len(v)+2
	if cap(t.b)-from < n {
		t.b = slices.Grow(t.b, n)
	}
	t.b = t.b[:from+n]
	b := t.b[from:]
	at := copy(b, key)
	b[at] = '"'
	copy(b[at+1:], v)
	b[len(b)-1] = '"'
	if !isPlain(v) {
		t.b = t.b[:from+at]
		t.quote(v)
	}
}

// some writes a text unless it is empty.
func (t *text) some(key, v string) {
	if v != "" {
		t.str(key, v)
	}
}

// escaped is 0 for the characters that stand in JSON, and in HTML, as they are: ASCII but for controls, quotation marks, backslashes, < > and &.
var escaped = func() (o [256]uint8) {
	for c := range o {
		if c < ' ' || c >= utf8.RuneSelf || strings.IndexByte("\"\\<>&", byte(c)) >= 0 {
			o[c] = 1
		}
	}
	return o
}()

// isPlain says whether v stands in JSON as it is. Nearly everything does, so it looks at all of it and decides once.
func isPlain(v string) bool {
	found := uint8(0)
	for i := range len(v) {
		found |= escaped[v[i]]
	}
	return found == 0
}

// quote writes plain ASCII as it is and leaves all that must be escaped to encoding/json.
func (t *text) quote(v string) {
	if isPlain(v) {
		t.b = append(append(append(t.b, '"'), v...), '"')
		return
	}
	quoted, err := json.Marshal(v)
	t.b, t.err = append(t.b, quoted...), errors.Join(t.err, err)
}

func (t *text) num(key string, v int) {
	t.raw(key)
	t.b = strconv.AppendInt(t.b, int64(v), 10)
}

func (t *text) count(key string, v uint64) {
	t.raw(key)
	t.b = strconv.AppendUint(t.b, v, 10)
}

// above writes a count unless it is zero.
func (t *text) above(key string, v uint64) {
	if v != 0 {
		t.count(key, v)
	}
}

func (t *text) flag(key string, v bool) {
	t.raw(key)
	t.b = strconv.AppendBool(t.b, v)
}

// float writes a number as ECMAScript does, which is what encoding/json follows.
func (t *text) float(key string, v float64) {
	t.raw(key)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		t.err = errors.Join(t.err, errNumber)
		return
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	t.b = strconv.AppendFloat(t.b, v, format, -1, 64)
	if n := len(t.b); format == 'e' && n >= 4 && t.b[n-4] == 'e' && t.b[n-3] == '-' && t.b[n-2] == '0' { // e-09 to e-9
		t.b[n-2] = t.b[n-1]
		t.b = t.b[:n-1]
	}
}

// time writes RFC 3339 with nanoseconds.
// more writes a number unless it is zero.
func (t *text) more(key string, v float64) {
	if v != 0 {
		t.float(key, v)
	}
}

func (t *text) time(key string, v time.Time) {
	t.raw(key)
	t.b = append(t.b, '"')
	b, err := v.AppendText(t.b)
	t.b, t.err = append(b, '"'), errors.Join(t.err, err)
}

// once writes a time unless it is zero.
func (t *text) once(key string, v time.Time) {
	if !v.IsZero() {
		t.time(key, v)
	}
}

// list writes the elements of a slice, and null for none at all.
func list[T any](t *text, key string, all []T, one func(*text, *T)) {
	t.raw(key)
	if all == nil {
		t.raw("null")
		return
	}
	t.b = append(t.b, '[')
	for i := range all {
		if i > 0 {
			t.b = append(t.b, ',')
		}
		one(t, &all[i])
	}
	t.b = append(t.b, ']')
}

// counts writes a map in the order of its keys.
func (t *text) counts(key string, m map[string]uint64) {
	t.raw(key)
	if m == nil {
		t.raw("null")
		return
	}
	t.b = append(t.b, '{')
	var room [8]string
	keys := room[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 {
			t.b = append(t.b, ',')
		}
		t.quote(k)
		t.count(":", m[k])
	}
	t.b = append(t.b, '}')
}

// text is the envelope of an entry up to its body. stamped is what stampText writes of it.
func (e *Entry) text(t *text, stamped string) {
	t.str(`{"record_id":`, e.ID)
	t.str(`,"record_type":`, string(e.Kind))
	t.raw(stamped)
	t.time(`,"time_utc":`, e.Time)
	t.str(`,"clock":{"source":`, e.Clock.Source)
	if e.Clock.Stratum != 0 {
		t.num(`,"stratum":`, e.Clock.Stratum)
	}
	if e.Clock.OffsetMS != nil {
		t.float(`,"offset_ms":`, *e.Clock.OffsetMS)
	}
	if e.Clock.MaxErrorMS != nil {
		t.float(`,"max_error_ms":`, *e.Clock.MaxErrorMS)
	}
	t.once(`,"last_sync":`, e.Clock.LastSync)
	t.raw("}")
	if e.Gap {
		t.flag(`,"gap_marker":`, true)
	}
	t.raw(`,"body":`)
}

// stampText is the part of the envelope that is the same for all entries under one stamp.
func (e *Entry) stampText(t *text) {
	t.str(`,"tenant":`, e.Tenant)
	t.str(`,"node_id":`, e.Node)
	t.str(`,"software":`, e.Software)
	t.str(`,"policy_digest":`, e.PolicyDigest)
	t.str(`,"facts_digest":`, e.FactsDigest)
	t.count(`,"generation":`, e.Generation)
}

func (c *CallEnded) text(t *text) {
	t.str(`{"call_ref":`, c.CallRef)
	t.str(`,"trunk_id":`, c.Trunk)
	t.str(`,"edge_group_id":`, c.Group)
	t.str(`,"route":`, c.Route)
	t.num(`,"sip_final":`, c.SIPFinal)
	t.str(`,"ended_by":`, c.EndedBy)
	t.some(`,"cause":`, c.Cause)
	if c.Q850 != 0 {
		t.num(`,"q850":`, c.Q850)
	}
	t.some(`,"session_id":`, c.Session)
	t.num(`,"attempts":`, c.Attempts)
	t.float(`,"setup_ms":`, c.SetupMS)
	t.float(`,"talk_ms":`, c.TalkMS)
	if len(c.Quality) > 0 {
		list(t, `,"quality":`, c.Quality, qualityText)
	}
	c.Announced.text(t)
	t.raw("}")
}

// text writes the field with its name; nothing of none.
func (a *Announced) text(t *text) {
	if a == nil {
		return
	}
	t.str(`,"announced":{"sound":`, a.Sound)
	t.str(`,"codec":`, a.Codec)
	t.flag(`,"answered":`, a.Answered)
	t.float(`,"for_ms":`, a.ForMS)
	t.flag(`,"whole":`, a.Whole)
	t.raw("}")
}

func (r *Receipt) text(t *text) {
	t.str(`{"call_ref":`, r.CallRef)
	t.some(`,"session_id":`, r.Session)
	t.str(`,"direction":`, r.Direction)
	t.str(`,"purpose":`, r.Purpose)
	t.time(`,"t_invite":`, r.TInvite)
	t.once(`,"t_answer":`, r.TAnswer)
	t.time(`,"t_end":`, r.TEnd)
	r.PartyA.text(t, `,"party_a_ref":`)
	r.PartyB.text(t, `,"party_b_ref":`)
	t.str(`,"trunk_id":`, r.Trunk)
	t.str(`,"edge_group_id":`, r.EdgeGroup)
	t.str(`,"route_reason":`, r.RouteReason)
	t.some(`,"gate_decision_id":`, r.GateDecision)
	t.some(`,"incident_id":`, r.Incident)
	t.some(`,"drill":`, r.Drill)
	list(t, `,"hops":`, r.Hops, hopText)
	list(t, `,"attempts":`, r.Attempts, attemptText)
	t.counts(`,"packets_per_country":`, r.Packets)
	list(t, `,"mid_call_moves":`, r.Moves, moveText)
	if len(r.Transfers) > 0 {
		list(t, `,"transfers":`, r.Transfers, transferText)
	}
	if len(r.Struck) > 0 {
		list(t, `,"struck":`, r.Struck, struckText)
	}
	t.flag(`,"recording":{"required":`, r.Recording.Required)
	t.flag(`,"started":`, r.Recording.Started)
	t.some(`,"recorder_country":`, r.Recording.Country)
	t.some(`,"siprec_session":`, r.Recording.Session)
	t.num(`},"outcome":{"sip_final":`, r.Outcome.SIPFinal)
	t.str(`,"ended_by":`, r.Outcome.EndedBy)
	t.some(`,"cause":`, r.Outcome.Cause)
	if r.Outcome.Q850 != 0 {
		t.num(`,"q850":`, r.Outcome.Q850)
	}
	list(t, `,"quality":`, r.Outcome.Quality, qualityText)
	t.str(`},"overall":`, r.Overall)
	t.str(`,"policy_digest":`, r.PolicyDigest)
	t.count(`,"generation":`, r.Generation)
	r.Announced.text(t)
	t.raw("}")
}

func (p PartyRef) text(t *text, key string) {
	t.raw(key)
	t.str(`{"ref":`, p.Ref)
	t.some(`,"country":`, p.Country)
	t.raw("}")
}

func hopText(t *text, h *ReceiptHop) {
	t.str(`{"plane":`, h.Plane)
	t.str(`,"leg":`, h.Leg)
	t.str(`,"role":`, h.Role)
	t.str(`,"remote_addr":`, h.RemoteAddr)
	t.str(`,"remote_name":`, h.RemoteName)
	t.str(`,"declared_region":`, h.DeclaredRegion)
	t.str(`,"declared_country":`, h.DeclaredCountry)
	if h.Operator != nil {
		operatorText(t, h.Operator)
	}
	t.some(`,"contract_ref":`, h.Contract)
	t.str(`,"verdict":`, h.Verdict)
	t.str(`,"ground":`, h.Ground)
	t.some(`,"instrument":`, h.Instrument)
	t.str(`,"proof":`, h.Proof)
	if h.RTTMinMS != 0 {
		t.float(`,"rtt_min_ms":`, h.RTTMinMS)
	}
	if h.MaxDistanceKM != 0 {
		t.float(`,"max_distance_km":`, h.MaxDistanceKM)
	}
	if h.TLS != nil {
		t.str(`,"tls":{"version":`, h.TLS.Version)
		t.str(`,"suite":`, h.TLS.Suite)
		t.str(`,"peer_spki_sha256":`, h.TLS.PeerSPKI)
		t.raw("}")
	}
	if h.SRTP != nil {
		t.str(`,"srtp":{"suite":`, h.SRTP.Suite)
		t.str(`,"keying":`, h.SRTP.Keying)
		t.flag(`,"cleartext_leg":`, h.SRTP.Cleartext)
		t.raw("}")
	}
	list(t, `,"evidence":`, h.Evidence, evidenceText)
	t.once(`,"until":`, h.Until)
	t.raw("}")
}

// operatorText writes an object of which every member may be missing.
func operatorText(t *text, o *Operator) {
	t.raw(`,"operator":{`)
	at := len(t.b)
	t.some(`,"name":`, o.Name)
	t.some(`,"lei_or_euid":`, o.LEI)
	t.some(`,"hq_country":`, o.HQ)
	if len(t.b) > at { // no comma in front of the first
		t.b = slices.Delete(t.b, at, at+1)
	}
	t.raw("}")
}

func evidenceText(t *text, e *Evidence) {
	t.str(`{"kind":`, e.Kind)
	t.str(`,"value":`, e.Value)
	t.some(`,"source_digest":`, e.SourceDigest)
	t.once(`,"observed_at":`, e.ObservedAt)
	t.str(`,"result":`, e.Result)
	t.raw("}")
}

func attemptText(t *text, a *Attempt) {
	t.str(`{"party":`, a.Party)
	t.str(`,"target":`, a.Target)
	t.str(`,"region":`, a.Region)
	t.str(`,"country":`, a.Country)
	t.str(`,"verdict":`, a.Verdict)
	t.str(`,"ground":`, a.Ground)
	t.once(`,"at":`, a.At)
	if a.TookMS != 0 {
		t.float(`,"took_ms":`, a.TookMS)
	}
	t.str(`,"result":`, a.Result)
	t.some(`,"fallback":`, a.Fallback)
	t.some(`,"drill":`, a.Drill)
	t.raw("}")
}

func moveText(t *text, m *Move) {
	t.time(`{"t":`, m.T)
	t.str(`,"plane":`, m.Plane)
	t.str(`,"from":`, m.From)
	t.str(`,"to":`, m.To)
	t.str(`,"cause":`, m.Cause)
	t.flag(`,"allowed":`, m.Allowed)
	t.str(`,"ground":`, m.Ground)
	t.raw("}")
}

func transferText(t *text, x *Transfer) {
	t.time(`{"t":`, x.T)
	t.str(`,"by":`, x.By)
	t.str(`,"party":`, x.Party)
	t.str(`,"how":`, x.How)
	t.some(`,"from":`, x.From)
	t.some(`,"route":`, x.Route)
	list(t, `,"attempts":`, x.Attempts, attemptText)
	t.some(`,"gate_decision_id":`, x.GateDecision)
	t.str(`,"result":`, x.Result)
	t.num(`,"sip_final":`, x.SIPFinal)
	t.float(`,"took_ms":`, x.TookMS)
	t.some(`,"policy_digest":`, x.PolicyDigest)
	if x.Generation != 0 {
		t.count(`,"generation":`, x.Generation)
	}
	t.raw("}")
}

func struckText(t *text, x *Struck) {
	t.time(`{"t":`, x.T)
	t.str(`,"leg":`, x.Leg)
	t.str(`,"party":`, x.Party)
	t.str(`,"cause":`, x.Cause)
	t.str(`,"how":`, x.How)
	t.once(`,"until":`, x.Until)
	t.raw("}")
}

func qualityText(t *text, q *LegQuality) {
	t.str(`{"leg":`, q.Leg)
	t.count(`,"packets":`, q.Packets)
	t.raw(`,"lost":`)
	t.b = strconv.AppendInt(t.b, q.Lost, 10)
	t.float(`,"jitter_ms":`, q.JitterMS)
	t.float(`,"mos":`, q.MOS)
	t.more(`,"mos_min":`, q.MOSMin)
	t.more(`,"mos_mean":`, q.MOSMean)
	if q.Windows != 0 {
		t.num(`,"windows":`, q.Windows)
	}
	if q.Poor != 0 {
		t.num(`,"windows_poor":`, q.Poor)
	}
	t.more(`,"loss_pct":`, q.LossPct)
	t.more(`,"far_loss_pct":`, q.FarLossPct)
	t.more(`,"far_mos":`, q.FarMOS)
	t.more(`,"jitter_max_ms":`, q.JitterMaxMS)
	t.more(`,"rtt_ms":`, q.RTTMS)
	t.more(`,"silence_s":`, q.SilenceS)
	t.above(`,"fax_packets":`, q.FaxPackets)
	t.above(`,"fax_bytes":`, q.FaxBytes)
	t.above(`,"fax_sent":`, q.FaxSent)
	t.above(`,"digits_in":`, q.DigitsIn)
	t.above(`,"digits_out":`, q.DigitsOut)
	t.some(`,"liveness":`, q.Liveness)
	t.raw("}")
}
