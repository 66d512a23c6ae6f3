package media

import (
	"errors"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/dtls"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// Session is the media of one call. Offer and Answer may be called from one goroutine at a time.
type Session struct {
	id       string
	r        *Relay
	opened   time.Time
	slab     *slab          // guarded by mu; nil when the session has ended
	worker   uint32         // that carries the packets of both sides
	informs  [2]atomic.Bool // see Informs
	legs     [2]atomic.Pointer[leg]
	sink     plane.Sink   // gets what A sends when there is no B side: the session of an Endpoint
	up       atomic.Int64 // when it was answered, unix ns; 0: it was not
	answered atomic.Bool  // it is followed who falls silent
	look     sync.Mutex   // pulses, and that no leg is wiped while it is looked at; taken after mu
	// watch sees the headers of RTP packets while somebody asked for them; nil else.
	watch atomic.Pointer[func(Header)]

	mu     sync.Mutex // negotiation
	cfg    [2]*Leg
	open   *exchange
	seat   *Branch  // in force, of attempts that overlap; nil without such
	former []Former // far ends that were replaced
	beside bool     // a leg was made that may outlive the session
	end    *Report

	log   sync.Mutex // moves; taken last
	moves course
}

// exchange is one offer and what came of it.
type exchange struct {
	from     Side
	rem      *remote // the offerer's half
	to       *leg
	fresh    bool // the leg was made for this offer
	answered bool
}

// remote is what one side said of itself in one description.
type remote struct {
	line  line
	audio int // index of line: the audio, or the fax that has its place
	lines []line
	key   *crypto // the peer's, nil for plain and for keys by DTLS
	pass  *sovereign.Pass
	rtcp  *sovereign.Pass // nil with mux
	off   bool            // the stream is refused or was taken away
	iced  bool            // it checks by ICE, and nominates where media goes
	asks  bool            // with DTLS: it offered, and we say who begins
	role  dtls.Role       // with DTLS: ours
	told  direction       // of an answer: the direction that was offered to it; "" of an offer
}

var errClosed = errors.New("media: session is closed")

// Expect says who the B side is before it speaks first. A delayed offer (an INVITE without a description) needs it before Offer from B;
// otherwise the `to` of Offer says it.
func (s *Session) Expect(b Leg) error {
	if err := s.r.check(&b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		s.cfg[B] = s.r.shapes.of(&b)
		s.Informs(B, b.Informs)
	}
	return nil
}

// Abandon gives up the B side: its sockets and keys go, the A side stays, and the next Offer from A starts a new attempt. It is for a
// failover after an early answer; before any answer, Offer does the same by itself.
func (s *Session) Abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return
	}
	s.open = nil
	s.dismiss(B)
}

// dismiss closes the leg of a side and waits until nothing of it runs.
func (s *Session) dismiss(side Side) {
	l := s.legs[side].Swap(nil)
	if l == nil {
		return
	}
	l.close()
	s.r.mu.Lock()
	s.r.past.leg(int(side), l)
	s.r.mu.Unlock()
}

// Offer takes an SDP offer that arrived from side `from` and gives the offer to send to the other side, whose leg is `to`. Calling it again from A with another
// `to` before an answer starts a new attempt: fresh sockets and fresh SDES keys on B, the A side stays. In an established session it is a
// re-offer: ports, SSRC and ROC stay, and a new address is judged before it counts. The error is a *Refusal for whatever the peer must be told.
func (s *Session) Offer(from Side, sdp []byte, to Leg) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.offer(from, sdp, to, true)
	return b, s.refused(err)
}

// TryOffer is Offer for who must not wait. False means that it would have had to, for sockets to be opened or closed or for somebody else who negotiates:
// then nothing is decided, and Offer does it.
func (s *Session) TryOffer(from Side, sdp []byte, to Leg) (offer []byte, done bool, err error) {
	if !s.mu.TryLock() {
		return nil, false, nil
	}
	defer s.mu.Unlock()
	b, err := s.offer(from, sdp, to, false)
	if errors.Is(err, errWait) {
		return nil, false, nil
	}
	return b, true, s.refused(err)
}

// offer is Offer. Without wait it may end with errWait; what it did until then is done by the next one again, or was to be done anyway.
func (s *Session) offer(from Side, sdp []byte, to Leg, wait bool) ([]byte, error) {
	if s.end != nil {
		return nil, errClosed
	}
	if err := s.r.check(&to); err != nil {
		return nil, err
	}
	if s.cfg[from] == nil {
		return nil, errors.New("media: an offer from a side that nobody expects")
	}
	if s.open != nil && !s.open.answered {
		if s.open.from != from {
			return nil, &Refusal{Status: 491, Warning: 399, Text: "another offer is open"}
		}
		s.rollback()
	}
	d, ref := s.read(from, sdp)
	if ref != nil {
		return nil, ref
	}
	cause := "offer"
	if l := s.legs[from].Load(); l != nil && l.remote != nil {
		cause = "reinvite"
	}
	rem, ref := s.consider(from, &d, -1, cause)
	if ref != nil {
		return nil, ref
	}
	if s.legs[from].Load() == nil {
		if err := s.start(from, wait); err != nil {
			return nil, err
		}
	}
	l, fresh, err := s.target(1-from, to, wait)
	if err != nil {
		return nil, err
	}
	offered, ref := s.relayed(rem, l, fresh)
	if ref != nil {
		return nil, ref
	}
	s.slab.kept[from], s.slab.open = true, exchange{from: from, rem: rem, to: l, fresh: fresh}
	s.open = &s.slab.open
	return l.write(offered), nil
}

// start makes the leg of a side.
func (s *Session) start(side Side, wait bool) error {
	l, err := newLeg(s, side, s.cfg[side], wait)
	switch {
	case err == nil:
		s.seats(side, l)
		return nil
	case errors.Is(err, errWait):
		return err
	}
	s.r.cfg.Logger.Warn("media: no sockets for a leg", "session", s.id, "err", err)
	return &Refusal{Status: 503, Warning: 399, Text: errNoPort.Error()}
}

// seats puts a leg in the place of a side: what comes from the other side goes to it, and the other way round.
func (s *Session) seats(side Side, l *leg) {
	s.legs[side].Store(l)
	if s.watch.Load() != nil {
		s.r.plane.Watch(l.ref, true)
	}
	if other := s.legs[1-side].Load(); other != nil {
		s.r.plane.Join(l.ref, other.ref)
	}
}

// target is the leg that an offer goes to. Another party, or a leg that never answered, gets a new one.
func (s *Session) target(side Side, to Leg, wait bool) (l *leg, fresh bool, err error) {
	l = s.legs[side].Load()
	if l != nil && l.remote != nil && l.cfg.Party == to.Party {
		return l, false, nil
	}
	s.dismiss(side)
	s.cfg[side] = s.r.shapes.of(&to)
	s.Informs(side, to.Informs)
	if err := s.start(side, wait); err != nil {
		return nil, false, err
	}
	return s.legs[side].Load(), true, nil
}

// relayed is the offer that l gets for what rem offers.
func (s *Session) relayed(rem *remote, l *leg, fresh bool) ([]line, *Refusal) {
	lines := l.sheet(max(len(rem.lines), len(l.layout)))
	for i := range rem.lines {
		lines = append(lines, rem.lines[i].refused())
	}
	// RFC 3264 section 8: a later offer never has fewer m-lines.
	for i := len(lines); i < len(l.layout); i++ {
		lines = append(lines, l.layout[i].refused())
	}
	if rem.off {
		return lines, nil
	}
	if rem.line.fax() {
		out, ref := l.faxOffer(rem)
		if ref != nil {
			return nil, ref
		}
		lines[rem.audio] = out
		return lines, nil
	}
	out := line{
		kind: "audio", proto: l.proto, port: l.pair.port, formats: rem.line.formats,
		attrs: rem.line.attrs, dir: rem.toward(), mux: rem.line.mux || l.cfg.Mux,
	}
	// A new attempt after an early answer: the other side was already told which formats to use.
	if other := s.legs[1-l.side].Load(); fresh && other != nil && len(other.formats) > 0 && !out.only(other.formats) {
		return nil, refuse(305, "no format is left that was answered already")
	}
	if ref := l.cfg.codecs().outgoing(&out); ref != nil {
		return nil, ref
	}
	l.dials(&out)
	out = l.known(out)
	if out.proto == "" {
		out.proto = l.cfg.profile()
	}
	out.mux = out.mux || out.tls() || l.cfg.ICE // RFC 5764 section 5.1.2 has an association for each port: one is enough
	if was := l.audible(); was != nil {
		out.mux = was.line.mux
	}
	switch {
	case out.secure() && !l.cfg.keys():
		return nil, refuse(399, "SDES keys do not go over a hop without TLS")
	case out.secure() || l.tries():
		out.crypto = l.offerKeys()
	}
	if ref := l.offersWeb(&out); ref != nil {
		return nil, ref
	}
	lines[rem.audio] = out
	l.named(lines)
	return lines, nil
}

// toward is the direction that the other side is told. An unspecified address asks for silence as sendonly does.
func (r *remote) toward() direction {
	if !r.line.hold {
		return r.line.dir
	}
	switch r.line.dir {
	case sendrecv:
		return sendonly
	case recvonly:
		return inactive
	}
	return r.line.dir
}

// tries says whether an offer of RTP/AVP has keys, RFC 8643 section 3.1. A far end that went without them is not asked again.
func (l *leg) tries() bool {
	was := l.audible()
	return l.cfg.Security == SRTPBestEffort && l.cfg.keys() && (was == nil || was.key != nil)
}

// offerKeys are our crypto lines: one key per suite, made once per leg; after an agreement only the agreed one.
func (l *leg) offerKeys() []crypto {
	if was := l.audible(); was != nil && was.key != nil {
		c, _ := l.key(was.key.suite)
		return []crypto{c}
	}
	var out []crypto
	for _, suite := range l.cfg.suites() {
		c, ok := l.key(suite)
		if !ok {
			l.tags++
			c = newCrypto(strconv.Itoa(l.tags), suite)
			l.keep(c)
		}
		out = append(out, c)
	}
	return out
}

// write renders a description for the far end of l. The version grows by one when, and only when, something changed since the last one (RFC 3264 section 8).
func (l *leg) write(lines []line) []byte {
	l.layout = lines
	var room [1024]byte
	tail := l.tail(room[:0])
	if sum := maphash.Bytes(l.s.r.seed, tail); sum != l.sum || l.version == 0 {
		l.sum, l.draft = sum, 0
		l.version++
	}
	return l.versioned(l.version, tail)
}

// tail is the description for the far end of l behind its version.
func (l *leg) tail(b []byte) []byte {
	d := description{host: l.host, lines: l.layout}
	return d.tail(b)
}

// versioned puts id and version before the tail of a description.
func (l *leg) versioned(version uint64, tail []byte) []byte {
	d := description{id: l.id}
	var front [64]byte // more than the two numbers need
	head := strconv.AppendUint(d.head(front[:0]), version, 10)
	return append(append(make([]byte, 0, len(head)+len(tail)), head...), tail...)
}

// Answer takes the answer that side `from` gave to the last offer and gives the answer for the other side. For an early answer (183) and the final one (200)
// it is called for each; a later different one re-points the side (forking).
func (s *Session) Answer(from Side, sdp []byte) ([]byte, error) {
	b, err := s.answer(from, sdp)
	return b, s.refused(err)
}

func (s *Session) answer(from Side, sdp []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return nil, errClosed
	}
	x := s.open
	if x == nil || x.from == from {
		return nil, errors.New("media: an answer without an offer")
	}
	d, ref := s.read(from, sdp)
	if ref != nil {
		return nil, ref
	}
	cause := "answer"
	if x.to.remote != nil && !x.answered {
		cause = "reinvite"
	}
	rem, ref := s.consider(from, &d, x.rem.audio, cause)
	if ref != nil {
		return nil, ref
	}
	l := s.legs[x.from].Load()
	if l.remote != nil && !l.remote.off && len(l.layout) > l.remote.audio && !l.remote.line.fax() && !rem.line.fax() {
		l.stale = l.loses(&rem.line)
	}
	s.slab.kept[from] = true
	if err := s.agree(l, x, rem, cause); err != nil {
		return nil, err
	}
	x.answered = true
	lines := l.sheet(len(x.rem.lines))
	for i := range x.rem.lines {
		lines = append(lines, x.rem.lines[i].declined())
	}
	if !x.rem.off && !rem.off {
		lines[x.rem.audio] = l.reply(x.rem, rem)
		if !rem.line.fax() {
			l.formats = lines[x.rem.audio].formats
		}
	}
	return l.write(lines), nil
}

// reply is the line of an answer that crosses: the profile, tag, mux and numbers of the offer, everything else as the other side answered.
func (l *leg) reply(offer, answer *remote) line {
	if answer.line.fax() {
		return l.faxReply(offer, answer)
	}
	said := answer.line.as(&offer.line)
	l.replies(&said, &offer.line)
	out := line{
		kind: "audio", proto: offer.line.proto, port: l.pair.port, formats: said.formats,
		attrs: said.attrs, dir: answer.toward(), mux: offer.line.mux,
	}
	if offer.key != nil {
		c, _ := l.key(offer.key.suite)
		c.tag = offer.key.tag
		out.crypto = []crypto{c}
	}
	out.web = l.answersWeb(offer)
	return out
}

// agree puts both halves in force.
func (s *Session) agree(l *leg, x *exchange, answer *remote, cause string) error {
	offerCause := "offer"
	if l.remote != nil {
		offerCause = "reinvite"
	}
	if x.rem.off || answer.off {
		l.silence(x.rem)
		x.to.silence(answer)
		return nil
	}
	if answer.line.fax() {
		x.to.facsimile(answer, cause)
		l.facsimile(x.rem, offerCause)
		return nil
	}
	var rooms [3][usualTimings]timing
	ours := across(rooms[0][:0], &x.rem.line, &x.rem.line, &answer.line) // the answer is in numbers of the offer
	told := &x.to.layout[x.rem.audio]
	if answer.told == "" { // it is an offer of its own, and gets an answer in its numbers
		told = &answer.line
	}
	theirs := across(rooms[1][:0], told, &answer.line, &x.rem.line)
	codec := answer.line.codec(answer.line.clocks(rooms[2][:0]).fill(theirs))
	converts(l, x.to, &x.rem.line, &answer.line)
	if err := x.to.commit(answer, theirs, codec, cause); err != nil {
		return err
	}
	return l.commit(x.rem, ours, codec, offerCause)
}

// Rollback forgets an offer that was refused: the session stays as it was (RFC 6141).
func (s *Session) Rollback() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil && s.open != nil && !s.open.answered {
		s.rollback()
	}
}

func (s *Session) rollback() {
	if s.open.fresh {
		s.dismiss(s.open.to.side)
	}
	s.open = nil
}

// refused counts a refusal on its way out.
func (s *Session) refused(err error) error {
	if err == nil {
		return nil
	}
	var ref *Refusal
	if errors.As(err, &ref) {
		s.r.refusals.WithLabelValues(strconv.Itoa(ref.Status)).Inc()
	}
	return err
}

// moved notes a move, unless nothing but the first far end of a port is told, and tells of it.
func (s *Session) moved(m Move) {
	if m.From.IsValid() || !m.Allowed {
		s.log.Lock()
		s.moves.add(m)
		s.log.Unlock()
	}
	i := 0
	if m.Allowed {
		i = 1
	}
	s.r.moves[i].Add(1)
	if s.r.cfg.Moved != nil {
		s.r.cfg.Moved(s.id, m)
	}
}

// Report is what was counted so far.
func (s *Session) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report()
}

func (s *Session) report() Report {
	if s.end != nil {
		return *s.end
	}
	r := Report{Opened: s.opened}
	for side := range s.legs {
		if l := s.legs[side].Load(); l != nil {
			r.Sides[side] = l.report()
		}
	}
	r.Former = slices.Clone(s.former)
	s.log.Lock()
	r.Moves = s.moves.list()
	s.log.Unlock()
	return r
}

// Close frees every port and gives the final report. Closing twice gives the same report.
func (s *Session) Close() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}

// TryClose is Close for who must not wait. False means that it would have had to, and that nothing was done.
func (s *Session) TryClose() (r Report, done bool) {
	if !s.mu.TryLock() {
		return Report{}, false
	}
	defer s.mu.Unlock()
	return s.close(), true
}

func (s *Session) close() Report {
	if s.end != nil {
		return *s.end
	}
	for side := range s.legs {
		if l := s.legs[side].Load(); l != nil {
			l.close()
		}
	}
	r := s.report()
	r.Closed = time.Now()
	s.log.Lock()
	s.moves = course{} // nobody adds to them any more
	s.log.Unlock()
	s.end = &r
	s.r.leave(s)
	// A call is remembered for a while after its end, in case its peers repeat themselves: what it keeps of its media should be small.
	s.look.Lock()
	for side := range s.legs {
		s.legs[side].Store(nil)
	}
	s.look.Unlock()
	s.open, s.seat = nil, nil
	s.shed()
	return r
}
