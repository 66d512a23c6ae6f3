package ice

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/netip"
	"time"
)

const (
	// ReplyLen is the most octets that a response has: what Handle is given as room for it.
	ReplyLen = 128
	// Consent is how long the peer's word that it wants what is sent to it holds, RFC 7675 section 5.1.
	Consent = 30 * time.Second
	// yields is how long a nominated address goes without a new nomination before one of lower priority takes its place. A peer that nominates every pair
	// (RFC 5245 section 8.1.1.2) names the better one again within that time; one that lost its better path does not.
	yields = 5 * time.Second

	ownMax   = 32 // octets of a ufrag or password of our own; more than the 64 of a block of SHA-1 would have to be hashed first
	peerMax  = 256
	refusals = 8
)

// Credentials are the two texts of one side that its peer's checks are made with, RFC 8445 section 5.3. The password is as secret as the signalling that carries it.
type Credentials struct {
	Ufrag string // 4 to 256 ice-chars
	Pwd   string // 22 to 256 ice-chars
}

// String shows no password.
func (c Credentials) String() string { return c.Ufrag + ":***" }

// NewCredentials makes fresh ones for one leg: 48 bits of chance in the ufrag and 144 in the password, where RFC 8445 section 5.3 asks for 24 and 128.
func NewCredentials() Credentials {
	var b [24]byte
	rand.Read(b[:]) // never fails, by its contract
	return Credentials{Ufrag: base64.RawStdEncoding.EncodeToString(b[:6]), Pwd: base64.RawStdEncoding.EncodeToString(b[6:])}
}

// What a datagram was to an agent.
type What uint8

// The outcomes. With those up to Forged and with Shunned there is no response.
const (
	Ignored   What = iota // no Binding request: an indication, a response, no STUN at all
	Forged                // its fingerprint, user name or integrity is not right: it may be from anybody
	Shunned               // from an address that the caller refused
	Failed                // answered with an error: an attribute that must be understood and is not
	Conflict              // answered with an error: the peer thinks that we lead
	Checked               // answered
	Nominated             // answered, and the peer wants media sent there: Agree or Refuse it
)

// Event is what became of a datagram.
type Event struct {
	What     What
	From     netip.AddrPort
	Priority uint32 // of the peer's candidate, with Nominated
}

// Agent is the lite side of one component, RFC 8445 section 2.5: it answers checks and sends none. It has no pointers, so that it may lie in shared memory, and no
// lock: one goroutine at a time. Times are readings of one clock that never goes back, the caller's.
type Agent struct {
	own, former keys // former: those before a restart, until the peer nominates with the new ones
	nominated   seat
	priority    uint32
	named       time.Duration // last nomination of the nominated address
	checked     time.Duration // last check from it
	renewed     bool          // there was a check from it some time after its nomination
	refused     [refusals]seat
	next        uint8 // of refused, the one to be overwritten
}

// keys are what a check must have been made with.
type keys struct {
	ufrag, pwd [ownMax]byte
	peer       [peerMax]byte
	ufragLen   uint8
	pwdLen     uint8
	peerLen    uint16
}

// seat is an address without a pointer in it; the zero seat is nobody's.
type seat struct {
	ip   [16]byte
	port uint16
	set  bool
}

func seatOf(a netip.AddrPort) seat { return seat{a.Addr().As16(), a.Port(), true} }

func (s seat) addr() netip.AddrPort {
	if !s.set {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(s.ip).Unmap(), s.port)
}

// New makes an agent. peer is the peer's ufrag; "" while no description of the peer's has come: its checks may be faster (RFC 8445 section 7.3).
func New(own Credentials, peer string) (Agent, error) {
	k, err := newKeys(own, peer)
	return Agent{own: k}, err
}

func newKeys(own Credentials, peer string) (k keys, err error) {
	if len(own.Ufrag) < 4 || len(own.Ufrag) > ownMax || len(own.Pwd) < 22 || len(own.Pwd) > ownMax || !iceChars(own.Ufrag) || !iceChars(own.Pwd) {
		return k, errors.New("ice: own credentials are malformed")
	}
	k.ufragLen, k.pwdLen = uint8(copy(k.ufrag[:], own.Ufrag)), uint8(copy(k.pwd[:], own.Pwd))
	return k, k.meet(peer)
}

// meet sets the peer's ufrag.
func (k *keys) meet(peer string) error {
	if peer != "" && (len(peer) < 4 || len(peer) > peerMax || !iceChars(peer)) {
		return errors.New("ice: the peer's ufrag is malformed")
	}
	k.peerLen = uint16(copy(k.peer[:], peer))
	return nil
}

// Meet tells the agent the peer's ufrag once its description has come. After a restart it belongs to the new credentials.
func (a *Agent) Meet(peer string) error { return a.own.meet(peer) }

// Restart gives the agent fresh credentials, RFC 8445 section 9. What was nominated stays, and checks with the former credentials are answered, until the peer
// nominates with the new ones.
func (a *Agent) Restart(own Credentials, peer string) error {
	k, err := newKeys(own, peer)
	if err != nil {
		return err
	}
	a.former, a.own = a.own, k
	return nil
}

// Handle takes a datagram that KindOf calls STUN. out is the response, written into reply, which has room for ReplyLen octets and no octet in common with the
// datagram; empty: there is none. The caller asks the fence about from before it sends out, for Checked and the errors as well.
//
// A response is made only for a request that knows our password, and it is about as long as that request: whoever forges a source gets no octet sent there. What
// is forged costs a checksum and, when it has our ufrag as well, two blocks of SHA-1 more; how many datagrams per second are worth that is the caller's to limit.
func (a *Agent) Handle(now time.Duration, datagram []byte, from netip.AddrPort, reply []byte) (out []byte, e Event) {
	e = Event{From: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	m, ok := parse(datagram)
	if !ok || m.class != bindingRequest {
		return nil, e
	}
	s := seatOf(e.From)
	if a.shuns(s) {
		e.What = Shunned
		return nil, e
	}
	k := a.signer(&m)
	if k == nil {
		// RFC 8489 section 9.1.3 would have 400 or 401 here. That is a response to somebody unknown, at an address that he chose: none is better.
		e.What = Forged
		return nil, e
	}
	pwd := k.pwd[:k.pwdLen]
	switch {
	case m.unknowns > 0:
		e.What = Failed
		return m.failure(reply, 420, "Unknown Attribute", pwd), e
	case m.controlled:
		// RFC 8445 section 7.3.1.1. A lite agent can't lead, whatever the tie-breakers say: the peer has to change its role.
		e.What = Conflict
		return m.failure(reply, 487, "Role Conflict", pwd), e
	}
	e.What = Checked
	if m.useCandidate && k == &a.own {
		e.Priority = m.priority
		if a.proposes(now, s, m.priority) {
			e.What = Nominated
		}
	}
	if s == a.nominated {
		a.renew(now, e.What == Checked && m.useCandidate && k == &a.own, m.priority)
	}
	return m.success(reply, e.From, pwd), e
}

// signer gives the keys that the request was made with; nil: with none of ours.
func (a *Agent) signer(m *message) *keys {
	if !m.verified() {
		return nil
	}
	for _, k := range [...]*keys{&a.own, &a.former} {
		if k.ufragLen > 0 && k.addresses(m.username) && m.authentic(k.pwd[:k.pwdLen]) {
			return k
		}
	}
	return nil
}

// addresses checks a user name, "ours:theirs": RFC 8445 section 7.2.2.
func (k *keys) addresses(name []byte) bool {
	n := int(k.ufragLen)
	if len(name) <= n || string(name[:n]) != string(k.ufrag[:n]) || name[n] != ':' {
		return false
	}
	return k.peerLen == 0 || string(name[n+1:]) == string(k.peer[:k.peerLen])
}

// proposes says whether a nomination changes anything. Of several that are nominated the one with the higher priority is meant, RFC 5245 section 8.1.1.2; among
// equals it is the latest, which is a peer whose NAT has moved it.
func (a *Agent) proposes(now time.Duration, s seat, priority uint32) bool {
	if s == a.nominated {
		return a.former.ufragLen > 0 // of the new generation: to be agreed, although the address is the same
	}
	return !a.nominated.set || a.former.ufragLen > 0 || priority >= a.priority || now-a.named >= yields
}

// renew notes a check from the nominated address.
func (a *Agent) renew(now time.Duration, named bool, priority uint32) {
	if now-a.named >= yields {
		a.renewed = true
	}
	a.checked = now
	if named {
		a.named, a.priority = now, priority
	}
}

// Agree takes the nomination of e: the fence permitted it.
func (a *Agent) Agree(now time.Duration, e Event) {
	if s := seatOf(e.From); s != a.nominated {
		a.nominated, a.renewed = s, false
	}
	a.priority, a.named, a.checked = e.Priority, now, now
	a.former = keys{}
}

// Refuse shuns an address: nothing that comes from there is answered until Forgive. If it was the nominated one nobody is nominated now. The last few addresses
// are kept; one that was forgotten is asked about again.
func (a *Agent) Refuse(addr netip.AddrPort) {
	s := seatOf(addr)
	if s == a.nominated {
		a.nominated = seat{}
	}
	if a.shuns(s) {
		return
	}
	a.refused[a.next] = s
	a.next = (a.next + 1) % refusals
}

// Forgive forgets every refusal: the law or the policy changed.
func (a *Agent) Forgive() { a.refused = [refusals]seat{} }

func (a *Agent) shuns(s seat) bool {
	for i := range a.refused {
		if a.refused[i] == s {
			return true
		}
	}
	return false
}

// Nominated is where media is sent; the zero AddrPort: nowhere yet.
func (a *Agent) Nominated() netip.AddrPort { return a.nominated.addr() }

// Lapsed says whether the peer's consent has run out: for Consent no check has come from the nominated address. Nothing may be sent there then, RFC 7675 section
// 5.1, until it is checked from there again. A peer of RFC 5245 alone doesn't renew its consent: see Renews.
func (a *Agent) Lapsed(now time.Duration) bool { return a.nominated.set && now-a.checked >= Consent }

// Renews says whether the peer has shown that it goes on with checks after its nomination.
func (a *Agent) Renews() bool { return a.renewed }
