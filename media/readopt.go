package media

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/media/dtls"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// A session outlives the process that negotiated it when its packets are carried in another one: what was said of it is written down (Save), and found again
// (Readopt). No key is written down: the plane has them, and gives those in use back.

const savedVersion = 1

// saved is a session as it is written down.
type saved struct {
	Version int
	Opened  time.Time
	Worker  uint32
	From    Side // of the last offer
	Legs    [2]savedLeg
	Former  []Former `json:",omitempty"`
	Moves   []Move   `json:",omitempty"`
}

type savedLeg struct {
	Ref         plane.Ref
	Pair        uint32
	At          netip.AddrPort // of the pair, as it was asked for
	Port        uint16
	Host        netip.Addr
	Bind        netip.AddrPort
	Config      Leg
	ID, Version uint64
	Sum         []byte `json:",omitempty"` // of what was sent last, without its version
	Tags        int
	Proto       string `json:",omitempty"`
	Codec       string
	Suite       Suite `json:",omitempty"`
	Remote      savedRemote
	Voice       *savedRemote `json:",omitempty"`
	Layout      []savedLine
	Formats     []string
	Stale       bool              `json:",omitempty"`
	Association *savedAssociation `json:",omitempty"`
	Digits      savedDigits       `json:",omitzero"`
}

// savedAssociation is what was made beyond descriptions, without a key or a password.
type savedAssociation struct {
	Print dtls.Fingerprint `json:",omitempty"`
	Role  dtls.Role        `json:",omitempty"`
	Peer  dtls.Params
}

// savedDigits is how a leg has digits.
type savedDigits struct {
	Agreed, Taken bool         `json:",omitempty"`
	Informs       bool         `json:",omitempty"` // its dialog is known to take INFO
	Heard         []plane.Tone `json:",omitempty"`
}

type savedRemote struct {
	Audio int
	Lines []savedLine
	Line  savedLine
	Key   *savedKey `json:",omitempty"`
	Off   bool      `json:",omitempty"`
	Told  direction `json:",omitempty"`
	Iced  bool      `json:",omitempty"`
	Role  dtls.Role `json:",omitempty"`
}

type savedLine struct {
	Kind, Proto string
	Port        uint16
	Control     uint32 `json:",omitempty"`
	Formats     []string
	Addr, RTCP  netip.AddrPort
	Dir         direction
	Hold, Mux   bool        `json:",omitempty"`
	Attrs       [][2]string `json:",omitempty"`
	Keys        []savedKey  `json:",omitempty"`
	Web         *savedWeb   `json:",omitempty"`
}

// savedWeb is a web without its password.
type savedWeb struct {
	Mid, Bundle string           `json:",omitempty"`
	DTLS        dtls.Params      `json:",omitzero"`
	Ufrag       string           `json:",omitempty"`
	Hosts       []netip.AddrPort `json:",omitempty"` // ours
	Trickle     bool             `json:",omitempty"`
}

// savedKey is a crypto attribute without its key.
type savedKey struct {
	Tag   string
	Suite Suite
}

// Save gives what Readopt needs in another process to go on with the session; nil when nothing is agreed yet, or it has ended. No key is in it.
func (s *Session) Save() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := saved{Version: savedVersion, Opened: s.opened, Worker: s.worker, Former: s.former}
	if s.end != nil {
		return nil
	}
	if s.open != nil { // else an offer was refused, and all is as it was
		out.From = s.open.from
	}
	for side := range s.legs {
		l := s.legs[side].Load()
		if l == nil || l.remote == nil {
			return nil
		}
		out.Legs[side] = l.saved()
	}
	s.log.Lock()
	out.Moves = s.moves.list()
	b, err := json.Marshal(out)
	s.log.Unlock()
	if err != nil {
		s.r.cfg.Logger.Error("media: a session cannot be written down", "session", s.id, "err", err)
		return nil
	}
	return b
}

func (l *leg) saved() savedLeg {
	out := savedLeg{
		Ref: l.ref, Pair: l.pair.id, At: l.pair.at, Port: l.pair.port, Host: l.host, Bind: l.bind, Config: *l.cfg, ID: l.id, Version: l.version, Tags: l.tags,
		Proto: l.proto, Formats: l.formats, Stale: l.stale, Layout: savedLines(l.layout),
		Remote: l.remote.saved(),
	}
	d := &l.dialling
	out.Digits = savedDigits{d.agreed, d.taken, l.s.informs[l.side].Load(), d.heard}
	out.Sum = l.digest()
	if l.voice != nil {
		voice := l.voice.saved()
		out.Voice = &voice
	}
	if a := l.assoc.Load(); a != nil {
		out.Association = &savedAssociation{Print: a.print, Role: a.role, Peer: a.peer}
	}
	if said := l.spoken.Load(); said != nil {
		out.Codec, out.Suite = said.codec, said.suite
	}
	return out
}

func (r *remote) saved() savedRemote {
	out := savedRemote{Audio: r.audio, Lines: savedLines(r.lines), Line: savedLines([]line{r.line})[0], Off: r.off, Told: r.told, Iced: r.iced, Role: r.role}
	if r.key != nil {
		out.Key = &savedKey{r.key.tag, r.key.suite}
	}
	return out
}

// again makes what a far end said of what was written down, with its key if the plane has it.
func (in *savedRemote) again(h *plane.Held) *remote {
	theirs := func(k savedKey) crypto { return crypto{tag: k.Tag, suite: k.Suite} }
	r := &remote{audio: in.Audio, lines: again(in.Lines, theirs), line: again([]savedLine{in.Line}, theirs)[0], off: in.Off, told: in.Told, iced: in.Iced, role: in.Role}
	if k := in.Key; k != nil && k.plane() == h.Out.Suite {
		r.key = &crypto{tag: k.Tag, suite: k.Suite, key: h.In.Master, mki: h.In.MKI}
	}
	return r
}

// plane is the suite as the plane has it.
func (k *savedKey) plane() srtp.Suite { return (&crypto{suite: k.Suite}).forPlane().Suite }

// key is the one whose streams the plane has: that of the audio before a fax, too.
func (in *savedLeg) key() *savedKey {
	if in.Voice != nil {
		return in.Voice.Key
	}
	return in.Remote.Key
}

func savedLines(lines []line) []savedLine {
	out := make([]savedLine, len(lines))
	for i, l := range lines {
		out[i] = savedLine{Kind: l.kind, Proto: l.proto, Port: l.port, Control: l.control, Formats: l.formats, Addr: l.addr, RTCP: l.rtcp, Dir: l.dir, Hold: l.hold, Mux: l.mux}
		for _, a := range l.attrs {
			out[i].Attrs = append(out[i].Attrs, [2]string{a.key, a.value})
		}
		for _, c := range l.crypto {
			out[i].Keys = append(out[i].Keys, savedKey{c.tag, c.suite})
		}
		out[i].Web = l.web.saved()
	}
	return out
}

// again makes the lines of what was written down. key gives the keys that are known.
func again(lines []savedLine, key func(savedKey) crypto) []line {
	out := make([]line, len(lines))
	for i, l := range lines {
		out[i] = line{kind: l.Kind, proto: l.Proto, port: l.Port, control: l.Control, formats: l.Formats, addr: l.Addr, rtcp: l.RTCP, dir: l.Dir, hold: l.Hold, mux: l.Mux}
		for _, a := range l.Attrs {
			out[i].attrs = append(out[i].attrs, attr{a[0], a[1]})
		}
		for _, k := range l.Keys {
			out[i].crypto = append(out[i].crypto, key(k))
		}
		out[i].web = l.Web.again()
	}
	return out
}

// fax says whether the leg carried a fax.
func (in *savedLeg) fax() bool {
	l := line{kind: in.Remote.Line.Kind, proto: in.Remote.Line.Proto, formats: in.Remote.Line.Formats}
	return !in.Remote.Off && l.fax()
}

// errGone means that the plane has no such legs any more.
var errGone = errors.New("media: the session is gone")

// Readopt takes a session up that another process began, by what Save gave there. Its packets never stopped; what it is judged by is asked anew: packets go on to
// where they went only if the fence of today lets them. The error says that it cannot be taken up; what the plane still has of it then goes with Settle.
func (r *Relay) Readopt(id string, b []byte) (*Session, error) {
	var in saved
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("media: what was written down of a session cannot be read: %w", err)
	}
	if in.Version != savedVersion {
		return nil, fmt.Errorf("media: what was written down of a session has version %d, this program knows %d", in.Version, savedVersion)
	}
	if err := r.knows(&in); err != nil {
		return nil, err
	}
	s := &Session{id: id, r: r, opened: in.Opened, worker: in.Worker, slab: &slab{}, beside: true, former: in.Former}
	for _, m := range in.Moves {
		s.moves.add(m)
	}
	for side := range in.Legs {
		s.cfg[side] = &in.Legs[side].Config
		s.Informs(Side(side), in.Legs[side].Digits.Informs)
		s.legs[side].Store(r.takeUp(s, Side(side), &in.Legs[side]))
	}
	from, to := s.legs[in.From].Load(), s.legs[1-in.From].Load()
	s.open = &exchange{from: in.From, rem: from.remote, to: to, answered: true}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("media: relay is closed")
	}
	r.sessions[s] = struct{}{}
	return s, nil
}

// knows checks what was written down against what the plane has.
func (r *Relay) knows(in *saved) error {
	if in.Worker >= uint32(r.cfg.Workers) {
		return errGone
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range in.Legs {
		l := &in.Legs[i]
		h, ok := r.held[l.Ref]
		if !ok || h.Open.Pair != l.Pair || l.Remote.Audio < 0 || l.Remote.Audio >= max(len(l.Remote.Lines), 1) || !l.fax() && (l.Remote.Key == nil && l.Remote.Role == 0) != (h.Out.Suite == 0) { // without keys by DTLS: their handshake died with its process
			return errGone
		}
		if k := l.Remote.Key; k != nil {
			if k.plane() != h.Out.Suite {
				return errGone
			}
		}
		if err := r.check(&l.Config); err != nil {
			return err
		}
	}
	return nil
}

// takeUp makes a leg of what was written down and of what the plane has.
func (r *Relay) takeUp(s *Session, side Side, in *savedLeg) *leg {
	r.mu.Lock()
	h := r.held[in.Ref]
	delete(r.held, in.Ref)
	r.mu.Unlock()
	l := &leg{
		s: s, side: side, cfg: &in.Config, host: in.Host, bind: in.Bind, ref: in.Ref, id: in.ID, version: in.Version, tags: in.Tags,
		proto: in.Proto, formats: in.Formats, stale: in.Stale, pair: &pair{id: in.Pair, at: in.At, port: in.Port, work: s.worker},
	}
	l.renames = true // perhaps: the plane knows
	l.resumes(in.Association, h)
	if in.Remote.Role != 0 {
		in.Suite = suiteOf(h.Out.Suite) // keys may have come later than what was written down
	}
	l.spoken.Store(&spoken{in.Codec, in.Suite})
	l.fax.Store(in.fax())
	d := &l.dialling
	d.agreed, d.taken, d.heard = in.Digits.Agreed, in.Digits.Taken, in.Digits.Heard
	d.put = d.taken || len(d.heard) > 0
	d.opens.Store(len(d.heard) > 0)
	ours := func(k savedKey) crypto {
		c := crypto{tag: k.Tag, suite: k.Suite}
		if (&c).forPlane().Suite == h.Out.Suite {
			c.key = h.Out.Master
		}
		return c
	}
	l.layout = again(in.Layout, ours)
	for i := range l.layout {
		if w := l.layout[i].web; w != nil && w.ice.Ufrag == h.Checks.Own.Ufrag {
			w.ice.Pwd = h.Checks.Own.Pwd
		}
	}
	l.remote = in.Remote.again(&h)
	l.readmit()
	if c := l.counters(); c.Peer.IsValid() {
		l.reached(c.Peer)
	}
	if in.Voice != nil {
		l.voice = in.Voice.again(&h)
	}
	l.hears.Store(!l.remote.off && l.remote.wants())
	if k := in.key(); k != nil && k.plane() == h.Out.Suite {
		l.keep(crypto{tag: k.Tag, suite: k.Suite, key: h.Out.Master})
	}
	l.recall(in.Sum)
	r.ports.claim(l.pair)
	r.seats.claim(l.ref, l)
	return l
}

// readmit asks for the passes of a session that began earlier: in a place that was struck since it may be let finish, and say so again in a re-INVITE.
func (l *leg) readmit() {
	rem := l.remote
	if rem.line.hold || rem.iced {
		return
	}
	pass := func(to netip.AddrPort) *sovereign.Pass {
		if !to.IsValid() {
			return nil
		}
		p, _ := l.judge(to)
		return p
	}
	rem.pass = pass(rem.line.addr)
	if !rem.line.mux && !rem.line.fax() {
		rem.rtcp = pass(rem.line.rtcp)
	}
}

// Settle ends what the plane still has of calls that nobody took up. It is called once, after the last Readopt and before the first Open.
func (r *Relay) Settle() (ended int) {
	r.mu.Lock()
	rest := r.held
	r.held = nil
	r.mu.Unlock()
	for ref, h := range rest {
		r.plane.Close(ref)
		r.plane.Withdraw(h.Open.Pair)
		r.seats.vacate(ref)
		r.ports.vacate(h.Open.Pair)
	}
	return len(rest)
}

// remember asks the plane what it has from before.
func (r *Relay) remember() {
	r.held = map[plane.Ref]plane.Held{}
	for _, h := range r.plane.Held() {
		r.held[h.Open.Ref] = h
		r.ports.skip(h.Open.Pair)
		r.seats.skip(h.Open.Ref)
	}
}

// Told is the description that the far end of a side was sent last, in a process before this one; nil when nothing is agreed with it. Where it cannot be made again (a key that was
// offered and not taken is known to nobody any more) it is what stands now, under the next version: who sends that says so by Said.
func (s *Session) Told(side Side) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.legs[side].Load()
	if s.end != nil || l == nil || len(l.layout) == 0 {
		return nil
	}
	l.strip()
	tail := l.tail(nil)
	sum := maphash.Bytes(l.s.r.seed, tail)
	if sum == l.sum {
		return l.versioned(l.version, tail)
	}
	l.draft = sum
	return l.versioned(l.version+1, tail)
}

// Said says that what Told gave was sent: the next change has a version of its own.
func (s *Session) Said(side Side) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.legs[side].Load(); l != nil && l.draft != 0 {
		l.sum, l.draft = l.draft, 0
		l.version++
	}
}

// strip takes keys out of what the far end was told that are not known any more.
func (l *leg) strip() {
	for i := range l.layout {
		for j := range l.layout[i].crypto {
			if len(l.layout[i].crypto[j].key) == 0 {
				l.layout[i].crypto = l.layout[i].crypto[:j]
				break
			}
		}
	}
}

// digest tells whether the description that was sent last can be made again; nil when that one is not known. It says nothing of the keys in it: they are as long as it.
func (l *leg) digest() []byte {
	tail := l.tail(nil)
	if maphash.Bytes(l.s.r.seed, tail) != l.sum {
		return nil
	}
	sum := sha256.Sum256(tail)
	return sum[:8]
}

// recall finds out whether what was sent last is known whole.
func (l *leg) recall(digest []byte) {
	tail := l.tail(nil)
	if sum := sha256.Sum256(tail); bytes.Equal(sum[:8], digest) {
		l.sum = maphash.Bytes(l.s.r.seed, tail)
	}
}

// skip counts a pair that the plane has from before among the open ones.
func (p *ports) skip(id uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = max(p.next, id+1)
}

// vacate gives the number of a closed pair back.
func (p *ports) vacate(id uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	worker := id % uint32(len(p.ids))
	p.ids[worker] = append(p.ids[worker], id)
}

// claim takes a pair up that the plane has from before.
func (p *ports) claim(pr *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	if pr.at.Port() != 0 {
		p.used[pr.at] = time.Time{}
	}
}

// skip leaves a slot out that the plane has from before.
func (s *seats) skip(r plane.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.rows) <= int(r.Slot) {
		n := uint32(len(s.rows))
		s.rows = append(s.rows, seat{})
		s.free[n%s.workers] = append(s.free[n%s.workers], n)
	}
	free := s.free[r.Slot%s.workers]
	for i := range free {
		if free[i] == r.Slot {
			s.free[r.Slot%s.workers] = append(free[:i], free[i+1:]...)
			break
		}
	}
	s.serial = max(s.serial, r.Serial)
}

// vacate gives a slot back that nobody claimed.
func (s *seats) vacate(r plane.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free[r.Slot%s.workers] = append(s.free[r.Slot%s.workers], r.Slot)
}

// claim gives a leg the slot that it had before.
func (s *seats) claim(r plane.Ref, l *leg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[r.Slot] = seat{l, r.Serial}
}

// saved is what is written down of w.
func (w *web) saved() *savedWeb {
	if w == nil {
		return nil
	}
	out := &savedWeb{Mid: w.mid, Bundle: w.bundle, DTLS: w.dtls, Ufrag: w.ice.Ufrag, Trickle: w.ice.Trickle}
	for _, c := range w.ice.Candidates {
		out.Hosts = append(out.Hosts, c.Addr)
	}
	return out
}

// again is what was written down; nil of nothing.
func (w *savedWeb) again() *web {
	if w == nil {
		return nil
	}
	out := &web{mid: w.Mid, bundle: w.Bundle, dtls: w.DTLS, ice: ice.Params{Credentials: ice.Credentials{Ufrag: w.Ufrag}, Trickle: w.Trickle}}
	for _, host := range w.Hosts {
		out.ice.Candidates = append(out.ice.Candidates, ice.Candidate{Addr: host})
	}
	return out
}

// resumes takes an association up. The key of its certificate died with the process that made it: its fingerprint stays, and with it the SRTP keys, until the far end
// asks for another association.
func (l *leg) resumes(in *savedAssociation, h plane.Held) {
	if in == nil {
		return
	}
	a := l.associated()
	a.own, a.print, a.role, a.peer, a.in, a.out = h.Checks.Own, in.Print, in.Role, in.Peer, h.In, h.Out
	a.asked.Store(in.Role != 0)
	a.keyed.Store(in.Role != 0)
}
