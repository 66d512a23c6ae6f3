package media

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/dtls"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
)

const (
	// shakeIn is how long keys may be on their way once the call was answered, or they were asked for.
	shakeIn = 15 * time.Second
	// shakeEnds bounds a handshake of a call that nobody answers.
	shakeEnds = 5 * time.Minute
)

// Unkeyed is a side whose keys could not be made.
type Unkeyed struct {
	Side Side
	At   time.Time
	// Reason is fingerprint (its certificate is not the one that its description named), profile (no SRTP suite in common), alert (it gave up), timeout, unreachable
	// (by ICE it named no address that is permitted) or protocol.
	Reason string
	Bare   bool // there are no keys from before either: nothing is heard of this side, and nothing said to it
}

const reasonUnreachable = "unreachable"

// association is what a leg makes with its far end beyond descriptions: the checks of ICE, and the keys of DTLS-SRTP. Guarded by s.mu, but for what is atomic.
type association struct {
	own   ice.Credentials // zero: no ICE yet
	cert  dtls.Certificate
	print dtls.Fingerprint // of cert, or of one whose key died with another process
	known bool             // cert has its key
	role  dtls.Role        // 0: no keys were asked for
	peer  dtls.Params      // that they are, or were, made with
	in    plane.Key
	out   plane.Key
	last  plane.Set // what was given last: with keys it is given again
	turn  uint64    // counts handshakes: what an earlier one says late is not heard

	asked   atomic.Bool   // the far end is one of DTLS
	pending atomic.Bool   // keys are to be made
	keyed   atomic.Bool   // there are keys
	since   atomic.Int64  // when they were asked for, unix ns; 0: there is nowhere to make them with yet
	heard   atomic.Bool   // the far end said something in the handshake
	before  atomic.Uint64 // packets that were opened under keys before
	hands   atomic.Pointer[dtls.Handshake]
	from    atomic.Pointer[netip.AddrPort] // where the far end is: what it nominated, or where its last datagram came from
}

// associated gives the association of a leg, which is made with the first need of it.
func (l *leg) associated() *association {
	a := l.assoc.Load()
	if a == nil {
		a = &association{}
		l.assoc.Store(a)
	}
	return a
}

// certify makes a certificate, once for the leg and its first association.
func (a *association) certify() error {
	if a.print != "" {
		return nil
	}
	c, err := dtls.NewCertificate()
	if err != nil {
		return err
	}
	a.cert, a.print, a.known = c, c.Fingerprint(), true
	return nil
}

// associate takes what rem says of ICE and DTLS into what the plane is told.
func (l *leg) associate(rem *remote, next *plane.Set) error {
	a := l.associated()
	if rem.iced {
		if offered := rem.told == ""; l.remote != nil && l.remote.iced && offered && rem.line.web.restarts(l.remote.line.web) {
			a.own = ice.Credentials{} // RFC 8839 section 4.4.1.1.1: an answerer restarts with who offered it
		}
		next.Checks = plane.Checks{Own: l.paths(false).Credentials, Peer: rem.line.web.ice.Ufrag}
		next.RTP, next.RTCP = plane.Aim{Stay: true, Began: l.s.opened.UnixNano()}, plane.Aim{}
	}
	if rem.line.tls() {
		if err := l.renew(a, rem); err != nil {
			return err
		}
		next.Aside, next.Wait = true, !a.keyed.Load()
		next.In, next.Out = a.in, a.out
	}
	a.last = *next
	a.last.Clocks = slices.Clone(next.Clocks) // theirs is memory for the time of a command
	a.last.RTP.Stay, a.last.RTCP.Stay = true, true
	return nil
}

// renew decides whether keys are to be made: RFC 8842 section 3.1. As long as they are, the ones before stay in use.
func (l *leg) renew(a *association, rem *remote) error {
	said := &rem.line.web.dtls
	if a.role != 0 && !dtls.Renews(&a.peer, said, a.role, rem.role) {
		a.peer = *said
		return nil
	}
	answering := rem.asks
	switch {
	case answering && a.role != 0:
		a.print = "" // another association has another certificate
	case !answering && a.role != 0 && !a.known:
		return refuse(399, "keys were to stay, and the answer wants others")
	}
	if err := a.certify(); err != nil {
		return err
	}
	a.role, a.peer = rem.role, *said
	a.heard.Store(false)
	a.asked.Store(true)
	a.pending.Store(true)
	l.s.r.part(a.hands.Swap(nil))
	a.turn++
	return nil
}

// shake begins a handshake when there are keys to be made and somewhere to make them with. It comes after the plane was told.
func (l *leg) shake(rem *remote) error {
	a := l.associated()
	if !a.pending.Load() {
		return nil
	}
	a.since.Store(0)
	if rem.line.hold {
		return nil // until it says where it is
	}
	a.since.Store(time.Now().UnixNano())
	switch {
	case a.hands.Load() != nil && (a.role == dtls.Server || a.heard.Load()):
		return nil
	case rem.iced && a.role == dtls.Client && a.from.Load() == nil:
		return nil // until it nominates
	}
	l.s.r.part(a.hands.Swap(nil)) // a client whom nobody could hear yet: its pauses have grown
	a.turn++
	s, turn, to := l.s, a.turn, rem.line.addr // the memory of l is another session's one day, when this one has ended
	ref := l.ref
	h, err := dtls.Start(dtls.Config{
		Role: a.role, Certificate: a.cert, Peer: a.peer.Fingerprints, Suites: l.cfg.handSuites(), Proven: rem.iced, Timeout: shakeEnds,
		Send: func(b []byte) {
			at := to
			if from := a.from.Load(); from != nil {
				at = *from
			}
			if at.IsValid() {
				s.r.plane.Say(ref, at, b)
			}
		},
		Done: func(k dtls.Keys, err error) { s.r.later(func() { s.shaken(l, turn, k, err) }) },
	})
	if err != nil {
		return err
	}
	a.hands.Store(h)
	return nil
}

// aside takes a datagram of a handshake. It runs while the plane is locked.
func (l *leg) aside(from netip.AddrPort, b []byte) {
	a := l.assoc.Load()
	if a == nil {
		return
	}
	if h := a.hands.Load(); h != nil && h.Feed(b) {
		if was := a.from.Load(); was == nil || *was != from {
			a.from.Store(&from)
		}
		a.heard.Store(true)
	}
}

// nominated lets a client begin, who must know where to. It runs while the plane is locked.
func (l *leg) nominated(to netip.AddrPort) {
	a, s := l.assoc.Load(), l.s
	if a == nil {
		return
	}
	a.from.Store(&to)
	if !a.pending.Load() || a.hands.Load() != nil {
		return
	}
	s.r.later(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.end != nil || l.end.Load() != nil || l.remote == nil || l.remote.off {
			return
		}
		if err := l.shake(l.remote); err != nil {
			l.fails(string(dtls.Protocol))
		}
	})
}

// shaken takes the end of a handshake.
func (s *Session) shaken(l *leg, turn uint64, k dtls.Keys, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil || l.end.Load() != nil {
		return
	}
	a := l.assoc.Load()
	if a == nil || a.turn != turn || !a.pending.Load() {
		return
	}
	var failed *dtls.Error
	if errors.As(err, &failed) {
		s.r.cfg.Logger.Warn("media: no keys could be made", "session", s.id, "err", err)
		l.fails(string(failed.Reason))
		return
	}
	c := l.counters()
	a.before.Store(c.Packets)
	a.in = plane.Key{Suite: k.Suite, Master: slices.Concat(k.Theirs.Key, k.Theirs.Salt)}
	a.out = plane.Key{Suite: k.Suite, Master: slices.Concat(k.Ours.Key, k.Ours.Salt)}
	a.pending.Store(false)
	a.keyed.Store(true)
	if said := l.spoken.Load(); said != nil {
		l.spoken.Store(&spoken{codec: said.codec, suite: suiteOf(k.Suite)})
	}
	a.last.In, a.last.Out, a.last.Wait = a.in, a.out, false
	if s.legs[l.side].Load() == l { // else it is silent, and has them when it is put in force again
		s.r.plane.Set(a.last)
	}
	s.r.follower.handshakes.WithLabelValues("done").Inc()
}

// fails tells that there are no keys. What was made before stays.
func (l *leg) fails(reason string) {
	a := l.assoc.Load()
	a.pending.Store(false)
	a.turn++
	l.s.r.part(a.hands.Swap(nil))
	l.s.r.follower.handshakes.WithLabelValues(reason).Inc()
	if f := l.s.r.cfg.Unkeyed; f != nil {
		f(l.s.id, Unkeyed{Side: l.side, At: time.Now(), Reason: reason, Bare: !a.keyed.Load()})
	}
}

// lags looks once a second after keys that are late, and after a handshake whose end the far end has seen: it has opened what we sent, and sends under its keys.
func (l *leg) lags(now time.Time, packets uint64) {
	a := l.assoc.Load()
	if a == nil {
		return
	}
	if h := a.hands.Load(); h != nil && !a.pending.Load() && packets > a.before.Load() {
		if a.hands.CompareAndSwap(h, nil) {
			l.s.r.part(h)
		}
		return
	}
	since, up := a.since.Load(), l.s.up.Load()
	if !a.pending.Load() || since == 0 || up == 0 || now.UnixNano()-max(since, up) < int64(shakeIn) {
		return
	}
	s := l.s
	s.r.later(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.end != nil || l.end.Load() != nil || !a.pending.Load() || a.since.Load() > since {
			return
		}
		reason := string(dtls.Timeout)
		if l.remote != nil && l.remote.iced && a.from.Load() == nil {
			reason = reasonUnreachable
		}
		l.fails(reason)
	})
}

// unkeyed says whether media waits for keys.
func (l *leg) unkeyed() bool {
	a := l.assoc.Load()
	return a != nil && a.asked.Load() && !a.keyed.Load()
}

// forget overwrites the keys of an association that is over.
func (a *association) forget() {
	clear(a.in.Master)
	clear(a.out.Master)
}

// handSuites are the suites of the leg as a handshake offers them; nil is all.
func (l *Leg) handSuites() []srtp.Suite {
	var out []srtp.Suite
	for _, s := range l.Suites {
		out = append(out, (&crypto{suite: s}).forPlane().Suite)
	}
	return out
}

// suiteOf is the name of a suite that a handshake made keys for.
func suiteOf(s srtp.Suite) Suite {
	switch s {
	case srtp.AES256GCM:
		return AEAD_AES_256_GCM
	case srtp.AES128GCM:
		return AEAD_AES_128_GCM
	case srtp.AES128CM80:
		return AES_CM_128_HMAC_SHA1_80
	case srtp.AES128CM32:
		return AES_CM_128_HMAC_SHA1_32
	}
	return ""
}

// errands are what is to be done for a session when nobody negotiates: by one goroutine, which Run owns, in order. Who gives one does not wait.
type errands struct {
	mu   sync.Mutex
	on   bool
	list []func()
	wake chan struct{} // holds one when there are some
}

// later has f done. Before Run, and after it, there is nobody to do it, and nothing to be done.
func (r *Relay) later(f func()) {
	e := &r.errands
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.on {
		return
	}
	e.list = append(e.list, f)
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// part ends a handshake; nil is none. It waits for nothing while Run runs.
func (r *Relay) part(h *dtls.Handshake) {
	if h == nil {
		return
	}
	r.errands.mu.Lock()
	on := r.errands.on
	r.errands.mu.Unlock()
	if !on {
		h.Close()
		return
	}
	r.later(h.Close)
}

// runErrands does what comes until the function that it gives is called, which waits for the last of it.
func (r *Relay) runErrands() (stop func()) {
	e := &r.errands
	e.mu.Lock()
	e.on = true
	e.mu.Unlock()
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-e.wake:
				e.do(false)
			case <-over:
				e.do(true)
				return
			}
		}
	}()
	return func() { close(over); <-ended }
}

// do does what is there; with last nothing is taken any more.
func (e *errands) do(last bool) {
	for {
		e.mu.Lock()
		list := e.list
		e.list = nil
		if len(list) == 0 {
			e.on = e.on && !last
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		for _, f := range list {
			f()
		}
	}
}
