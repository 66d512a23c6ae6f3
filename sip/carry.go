package sip

import (
	"bytes"
	"cmp"
	"net"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Crossing is what may go on to a party beside the call itself. The zero value lets nothing more cross.
type Crossing struct {
	Rules     []header.Rule // after Party.Headers
	Diversion string        // "" (as Party.Headers says) | none | diversion | history-info | both; between trusted parties alone
	Identity  string        // PASSporTs, RFC 8224: "" (drop) | drop | pass while they stay right
	Preferred bool          // P-Preferred-Identity of this party, which is not trusted, is believed
	UserData  int           // User-to-User of at most so many octets, RFC 7433; 0: none
	Bodies    []string      // types of body parts beside the session description
	Q850      bool          // it gets a Q.850 cause even where the other side gave only a SIP status
}

// check says what is wrong with it.
func (x Crossing) check() error {
	for _, r := range x.Rules {
		if err := r.Check(); err != nil {
			return err
		}
	}
	return nil
}

// wanted is what some party lets cross: nothing else is kept of a message.
type wanted struct {
	names  map[string]bool // in lower case
	bodies []string
}

func (w *wanted) add(p *Party) {
	for _, h := range p.Headers {
		w.names[strings.ToLower(h)] = true
	}
	for _, r := range p.Cross.Rules {
		if r.Rename != "" {
			w.names[strings.ToLower(r.Rename)] = true
		}
	}
	w.bodies = append(w.bodies, p.Cross.Bodies...)
}

// carried is what one message says that the other side may hear, taken out of it once. What a party really gets is filtered again by carry.
type carried struct {
	trusted   bool // it came from inside the trust domain
	ids       []header.Identity
	privacy   header.Privacy
	fields    []header.Field
	diverted  []string // Diversion
	history   []string // History-Info
	data      []string // User-to-User
	early     string   // P-Early-Media
	passports []string // Identity
	date      string
	place     []string // Geolocation
	placing   string   // Geolocation-Routing
	priority  []string // Resource-Priority
	parts     []header.Part
}

// hear takes out of a message of party p what may cross. Most have nothing of it, and all of those say the same.
func hear(m msg.Message, p *Party, n *profiles) *carried {
	h := &nothing
	if p.Trusted {
		h = &trusted
	}
	if len(n.wanted.names) > 0 || mentionsOf(m).any(mentionsCrossing) {
		h = &carried{trusted: p.Trusted}
		h.read(m, p, n)
	}
	types := n.wanted.bodies
	if len(h.place) > 0 {
		types = append(types[:len(types):len(types)], header.TypePIDF)
	}
	if len(m.Body()) == 0 || len(types) == 0 {
		return h
	}
	if parts := header.Beside(value(m, "content-type"), m.Body(), types); len(parts) > 0 {
		own := *h
		own.parts = parts
		return &own
	}
	return h
}

// read takes what stands in headers.
func (h *carried) read(m msg.Message, p *Party, n *profiles) {
	req, _ := m.(*msg.Request)
	opens := req != nil && req.Method == msg.INVITE
	var private, ids []string
	for _, f := range headersOf(m) {
		switch {
		case called(f, "privacy"):
			private = append(private, f.Value())
		case called(f, "p-asserted-identity") && p.Trusted, called(f, "p-preferred-identity") && !p.Trusted && p.Cross.Preferred:
			ids = append(ids, f.Value()) // RFC 3325 section 5: from elsewhere it asserts nothing
		case called(f, "diversion"):
			h.diverted = append(h.diverted, f.Value())
		case called(f, "history-info"):
			h.history = append(h.history, f.Value())
		case called(f, "user-to-user"):
			h.data = append(h.data, f.Value())
		case called(f, "p-early-media"):
			h.early = header.EarlyMedia(f.Value())
		case opens:
			h.opening(f)
		}
		if len(n.wanted.names) > 0 && n.wanted.names[strings.ToLower(f.Name())] && len(h.fields) < 64 {
			h.fields = append(h.fields, header.Field{Name: f.Name(), Value: f.Value()})
		}
	}
	h.privacy, h.ids = header.Privacies(private), header.Identities(ids)
}

// opening takes what only the INVITE that begins a call tells.
func (h *carried) opening(f msg.Header) {
	switch {
	case called(f, "identity"):
		h.passports = append(h.passports, f.Value())
	case called(f, "date"):
		h.date = f.Value()
	case called(f, "geolocation"):
		h.place = append(h.place, f.Value())
	case called(f, "geolocation-routing"):
		h.placing = f.Value()
	case called(f, "resource-priority"):
		h.priority = append(h.priority, f.Value())
	}
}

// veil is what the far end of this leg is called, and what it called this leg.
func (l *leg) veil() *header.Veil {
	v := &header.Veil{}
	v.Hide(l.flow.Remote().Addr().Unmap().String(), l.callID, l.tag)
	if _, host, ok := strings.Cut(l.callID, "@"); ok {
		v.Hide(host)
	}
	if l.dlg != nil {
		v.Hide(l.dlg.Remote.Tag, l.dlg.Target.Host(), l.dlg.Remote.URI.Host())
		for i := range l.dlg.Routes {
			v.Hide(l.dlg.Routes[i].Host())
		}
	}
	for _, d := range l.early {
		v.Hide(d.Remote.Tag, d.Target.Host())
	}
	if l.target != "" { // of an attempt: its name
		v.Hide(l.name)
	}
	if v.Hide(strings.Fields(l.ways)...); l.invite != nil {
		v.Hide(waysOf(nil, l.invite)...)
	}
	for line := range bytes.Lines(l.taken) {
		if a, ok := placeOf(line); ok {
			v.Hide(strings.TrimSpace(string(a[1:])))
		}
	}
	return v
}

type message interface {
	AppendHeader(msg.Header)
}

// carry writes what a message of one leg says into a message to the other. host stands in place of every host of theirs.
func (h *carried) carry(out message, from, to *leg, host string) {
	p := to.party
	// RFC 3325 sections 5 and 7, RFC 3323: who calls is told inside the trust domain, and nothing outside it.
	if p.Trusted {
		for _, id := range h.ids {
			out.AppendHeader(msg.NewHeader("P-Asserted-Identity", id.Value(host)))
		}
		if v := h.privacy.String(); v != "" && (h.trusted || len(h.ids) > 0) {
			out.AppendHeader(msg.NewHeader("Privacy", v))
		}
		if h.early != "" && h.trusted { // RFC 5009 section 2: inside a trust domain
			out.AppendHeader(msg.NewHeader("P-Early-Media", h.early))
		}
	}
	if p.Cross.UserData > 0 {
		for _, v := range header.UserToUser(h.data, p.Cross.UserData) {
			out.AppendHeader(msg.NewHeader("User-to-User", v))
		}
	}
	if len(h.fields) == 0 && len(p.Cross.Rules) == 0 {
		return
	}
	for _, f := range from.veil().Clean(header.Apply(p.Cross.Rules, further(p.Headers), h.fields)) {
		out.AppendHeader(msg.NewHeader(f.Name, f.Value))
	}
}

// further leaves out those named headers that have a treatment of their own.
func further(names []string) []string {
	for i, n := range names {
		if strings.EqualFold(n, "diversion") || strings.EqualFold(n, "history-info") {
			return append(append([]string{}, names[:i]...), further(names[i+1:])...)
		}
	}
	return names
}

func named(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// redirect writes where the call was before it came here, to a trusted party by a trusted one, in the words that it understands. RFC 5806, RFC 7044, RFC 7544.
func (h *carried) redirect(out message, to *Party, called, host string) {
	if !h.trusted || !to.Trusted {
		return
	}
	mode := to.Cross.Diversion
	diversion, history := mode == "diversion" || mode == "both", mode == "history-info" || mode == "both"
	mapped := diversion || history
	if mode == "" {
		diversion, history = named(to.Headers, "diversion"), named(to.Headers, "history-info")
	}
	if diversion {
		rs := header.FromDiversion(h.diverted)
		if len(rs) == 0 && mapped {
			rs = header.FromHistory(h.history)
		}
		for _, v := range header.ToDiversion(rs, host) {
			out.AppendHeader(msg.NewHeader("Diversion", v))
		}
	}
	if history {
		vs := header.Rehost(h.history, host)
		if len(vs) == 0 && mapped {
			vs = header.ToHistory(header.FromDiversion(h.diverted), called, host)
		}
		for _, v := range vs {
			out.AppendHeader(msg.NewHeader("History-Info", v))
		}
	}
}

// open writes into the INVITE of an attempt what belongs to the beginning of a call, and gives the body parts that go with it.
func (t *attempt) open(out *msg.Request, host string) []header.Part {
	c, a, l := t.c, t.c.ask.as(t.hop.Caller), t.leg
	if c.a == nil {
		return nil // a synthetic caller says nothing of its own
	}
	said := a.said
	said.carry(out, c.a, l, host)
	said.redirect(out, l.party, out.Recipient.User, host)
	if a.breadth > 0 { // RFC 5393 section 5.3.3: hops are tried one after another, so each may have all of it
		out.AppendHeader(msg.NewHeader("Max-Breadth", strconv.Itoa(int(a.breadth))))
	}
	t.attest(out)
	parts := said.beside(c.a, l.party)
	if c.emergency() && l.party.Kind == sovereign.KindTrunk {
		parts = append(parts, said.help(out, host)...)
	}
	return parts
}

// beside gives the body parts that may go to a party beside the session description. RFC 3204, RFC 5621.
func (h *carried) beside(from *leg, to *Party) (out []header.Part) {
	for _, p := range h.parts {
		if named(to.Cross.Bodies, p.Kind()) && !from.veil().Shows(string(p.Body)) {
			p.ID = "" // it names a host, and nothing that crosses refers to it
			out = append(out, p)
		}
	}
	return out
}

// help writes what who answers a call for help needs: where the caller is, and how urgent it is. RFC 6442, RFC 4412, RFC 6881.
func (h *carried) help(out *msg.Request, host string) (parts []header.Part) {
	ids := map[string]string{}
	for _, p := range h.parts {
		if p.Kind() != header.TypePIDF {
			continue
		}
		id := "place" + strconv.Itoa(len(parts)) + "@" + host
		ids[p.ID], p.ID = id, id
		p.Disposition = "render;handling=optional" // RFC 5621: who cannot read it goes on
		parts = append(parts, p)
	}
	for _, v := range header.Locations(h.place, ids) {
		out.AppendHeader(msg.NewHeader("Geolocation", v))
	}
	if v := strings.ToLower(strings.TrimSpace(h.placing)); v == "yes" || v == "no" {
		out.AppendHeader(msg.NewHeader("Geolocation-Routing", v))
	}
	for _, v := range h.priority {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); header.IsToken(one) && strings.Contains(one, ".") { // RFC 4412 section 3.1: namespace "." priority
				out.AppendHeader(msg.NewHeader("Resource-Priority", one))
			}
		}
	}
	return parts
}

// attest passes PASSporTs on that stay right, with the Date that they are checked against, and drops the others knowingly. RFC 8224 sections 4 and 6.
func (t *attempt) attest(out *msg.Request) {
	c, a, p := t.c, t.c.ask, t.leg.party
	caller, passed := "", false
	if from := out.From(); from.Address.Host != anonymousHost {
		caller = from.Address.User
	}
	for _, v := range a.said.passports {
		why := header.PassOption
		if p.Cross.Identity == "pass" {
			pass, ok := header.ReadPassport(v)
			if why = header.PassMalformed; ok {
				why = pass.Broken(caller, out.To().Address.User, [2]string{a.user, a.dialled}, a.said.date)
			}
			if why == "" && c.a.veil().Shows(v) { // its certificate is to be fetched from the very host that is hidden
				why = header.PassHost
			}
		}
		if why != "" {
			c.sh.e.metrics.passports.WithLabelValues(p.Name, why).Inc()
			c.sh.e.log.Info("a PASSporT was not passed on", "call", c.reference(), "session", c.session(), "party", p.Name, "why", why)
			continue
		}
		out.AppendHeader(msg.NewHeader("Identity", v))
		passed = true
	}
	if passed && a.said.date != "" {
		out.AppendHeader(msg.NewHeader("Date", a.said.date))
	}
}

// sessionOf is the Session-ID of the sender; "" without one.
func sessionOf(m msg.Message, seen mentions) string {
	if !seen.any(mentionsSession) {
		return ""
	}
	id, _ := header.Session(value(m, "session-id"))
	return id
}

// heard notes what any message of the far end tells of itself: its Session-ID, which may change at any time (RFC 7989 section 6), and where a cause was raised.
// It gives what the message mentions.
func (l *leg) heard(m msg.Message) mentions {
	c, seen := l.c, mentionsOf(m)
	if l.zombie() {
		return seen
	}
	if id := sessionOf(m, seen); id != "" {
		end := &c.ids.b
		if l == c.a {
			end = &c.ids.a
		}
		if *end != id {
			*end = strings.Clone(id) // it must not hold the message
		}
	}
	if seen.any(mentionsAllow) {
		l.knows(m)
	}
	if seen.any(mentionsPackages) {
		l.takes = tokens(m, "recv-info")
	}
	if !seen.any(mentionsReason) {
		return seen
	}
	for _, r := range header.Reasons(values(m, "reason")) {
		if r.Location != "" && len(c.raised) < 8 {
			if c.raised == nil {
				c.raised = map[int]string{}
			}
			c.raised[r.Cause] = strings.Clone(r.Location)
		}
	}
	return seen
}

// clearing is how nearly every call ends.
var (
	clearing = header.Reason{Protocol: header.Q850, Cause: 16}
	clears   = msg.NewHeader("Reason", clearing.String())
)

// why writes reasons toward this leg. status is what ends the call there: of a refusal its status, else 0. A party may ask for a Q.850 cause in any case; one that
// was given keeps the place where it was raised. RFC 3326, RFC 3398 section 8.2.6.1, RFC 8606.
func (l *leg) why(rs []reason, status int) []msg.Header {
	out := make([]msg.Header, 0, len(rs)+1)
	given := false
	for _, r := range rs {
		h := header.Reason{Protocol: r.protocol, Cause: r.cause, Text: r.text}
		if r.protocol == header.Q850 {
			given = true
			h.Location = l.c.raised[r.cause]
		}
		if h == clearing {
			out = append(out, clears)
			continue
		}
		out = append(out, msg.NewHeader("Reason", h.String()))
	}
	if !given && l.party.Cross.Q850 {
		var room [4]header.Reason
		if cause := endCause(asHeaders(room[:0], rs), status); cause > 0 {
			out = append(out, msg.NewHeader("Reason", header.Reason{Protocol: header.Q850, Cause: cause}.String()))
		}
	}
	return out
}

// endCause is the Q.850 cause of an end: the one that was given, or mapped, or that of normal clearing for a BYE or CANCEL without any.
func endCause(rs []header.Reason, status int) int {
	if c := header.Cause(rs, status); c > 0 || status > 0 {
		return c
	}
	return 16
}

// session is the Session-ID of the call, the caller's end first, for records and logs.
func (c *call) session() string {
	if c.said.holds(c) {
		return c.said.to[media.B].Value()
	}
	return header.SessionValue(c.ids.a, c.ids.b)
}

// reference is the audit reference of the call; "" until it is prepared.
func (c *call) reference() string {
	if ref := c.ref.Load(); ref != nil {
		return *ref
	}
	return ""
}

// sessionSaid is the Session-IDs of a call as they were last written, toward A and toward B, and of what.
type sessionSaid struct {
	a, b string
	to   [2]msg.Header
}

// holds says that they are those of the call as it is now.
func (s *sessionSaid) holds(c *call) bool {
	return s.to[media.B] != nil && s.a == c.ids.a && s.b == c.ids.b
}

// sessionHeader is the Session-ID toward one side: the other end's UUID first. RFC 7989 section 7.
func (c *call) sessionHeader(to *leg) msg.Header {
	if to.parted { // the call has another end in its place
		local, remote := to.session[0], to.session[1]
		if to.side == media.A {
			local, remote = remote, local
		}
		return msg.NewHeader(sessionHeader, header.SessionValue(local, remote))
	}
	if s := &c.said; !s.holds(c) { // it changes once or never
		// Both are parts of one text: A, B, and A again.
		a, b := cmp.Or(c.ids.a, header.Nil), cmp.Or(c.ids.b, header.Nil)
		text, n := a+";remote="+b+";remote="+a, len(header.Nil)
		toB, toA := text[:len(text)-len(";remote=")-n], text[n+len(";remote="):]
		if c.ids.a != "" {
			c.ids.a = toB[:n]
		}
		if c.ids.b != "" {
			c.ids.b = toA[:n]
		}
		*s = sessionSaid{c.ids.a, c.ids.b, [2]msg.Header{msg.NewHeader(sessionHeader, toA), msg.NewHeader(sessionHeader, toB)}}
	}
	return c.said.to[to.side]
}

// onward counts a request that goes on to the other side down, as a proxy would. RFC 7332 section 4.
func onward(out, in *msg.Request) {
	hops := uint32(70)
	if mf := in.MaxForwards(); mf != nil {
		hops = min(mf.Val(), hops)
	}
	h := msg.MaxForwardsHeader(max(hops, 1) - 1)
	out.ReplaceHeader(&h)
}

// spent says whether a request may go no further.
func spent(in *msg.Request) bool {
	mf := in.MaxForwards()
	return mf != nil && mf.Val() == 0
}

// carriesInfo names the bodies of INFO that say something of the call alone. Others name hosts by their nature, and cross where a party lists them.
func carriesInfo(kind string, to *Party) bool {
	switch kind {
	case "", "application/dtmf-relay", "application/dtmf", "application/vnd.nortelnetworks.digits", "audio/telephone-event", "application/hook-flash",
		"application/broadsoft", "application/media_control+xml", "application/kpml-response+xml", "application/csta+xml", "text/plain", "application/octet-stream":
		return true
	}
	return named(to.Cross.Bodies, kind)
}

// inform copies the body of an INFO with the headers that describe it. False means that it may not cross.
func (l *leg) inform(out, in *msg.Request, to *leg) bool {
	parts, ok := header.Parts(value(in, "content-type"), in.Body())
	if !ok || len(parts) > 1 {
		return false
	}
	if v := header.Word(value(in, "info-package")); v != "" {
		out.AppendHeader(msg.NewHeader("Info-Package", v))
	}
	if len(parts) == 0 {
		fill(out, nil)
		return true
	}
	p := parts[0]
	if !carriesInfo(p.Kind(), to.party) || l.veil().Shows(string(p.Body)) {
		return false
	}
	out.AppendHeader(msg.NewHeader("Content-Type", p.Type))
	if v := header.Word(value(in, "content-disposition")); v != "" {
		out.AppendHeader(msg.NewHeader("Content-Disposition", v))
	}
	out.SetBody(p.Body)
	return true
}

// hostText writes an address or name as the host of a URI.
func hostText(h string) string {
	if strings.IndexByte(h, ':') < 0 {
		return h
	}
	if ip := net.ParseIP(h); ip != nil && ip.To4() == nil {
		return "[" + h + "]"
	}
	return h
}
