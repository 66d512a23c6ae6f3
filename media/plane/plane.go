// Package plane is the data plane of media: it carries the packets of calls, and knows nothing of session descriptions.
//
// A leg is one side of a call in one attempt. What is needed of it for each packet lies in a slot: fixed in size, without pointers, so that the slots of all
// calls are a slab that two processes can map, that the collector never looks into, and that outlives the process that writes it. What is needed seldom, and
// what has pointers, lies beside it.
//
// Commands come in one way, events go out one way: nobody waits for an answer. The order of commands is kept. Who gives them owns the numbers of slots and
// of pairs.
//
// Nothing is sent to an address that the fence of the plane did not pass: a lane has a clearance of its pass, which is good for one epoch of the fence, and
// asks again in the next one.
//
// What is neither RTP nor RTCP (RFC 7983) is aside from that: it answers checks of ICE itself, because the far end's consent must not wait for anybody, and gives
// DTLS to who hears of events.
//
// It imports sovereign, media/srtp, media/quality, media/ice, internal/osnet and internal/tlv, and parses RTCP with pion.
package plane

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// Ref names a leg: its slot, counted from 1, and which of the legs that the slot had one after the other. The zero Ref is no leg.
type Ref struct{ Slot, Serial uint32 }

// Pair is two open sockets, RTP and RTCP, under a number that its giver chose. From Give on they are the plane's; what comes in while no leg has them is dropped.
type Pair struct {
	ID        uint32
	RTP, RTCP sovereign.UDPConn
}

// Open begins a leg on a pair. It takes nothing and sends nothing before Set. A leg that its slot holds already, of the same serial, goes on with what it
// counted, where it was latched and which packets it saw: that is how a plane takes over from one that died. A leg that the slot or the pair has otherwise is closed.
type Open struct {
	Ref
	Pair     uint32
	Session  string // for Watch, and for who looks
	Side     uint8
	Party    string // the fence judges for it
	Purpose  sovereign.Purpose
	Prefixes []netip.Prefix // extra sources that a leg without SRTP may latch to
	Shown    netip.AddrPort // our address as the session description says it
	Sink     Sink           // gets what comes in when nobody is joined; in the same process only
}

// Sink listens to a leg that is joined to nobody. b is its until it returns. It runs while the leg is locked: it may call Turn's methods and no command.
type Sink func(t Turn, b []byte, h Header)

// Key is a master key with its salt, and the key identifier that its maker appends. The zero Key is no SRTP.
type Key struct {
	Suite  srtp.Suite
	Master []byte // key and salt, one after the other
	MKI    []byte
}

// Same says whether two keys mean the same.
func (k Key) Same(o Key) bool {
	return k.Suite == o.Suite && string(k.Master) == string(o.Master) && string(k.MKI) == string(o.MKI)
}

// Set puts what was negotiated in force, whole. Streams live on while their key stays, and so does their rollover counter; a new key starts at 0.
type Set struct {
	Ref
	In, Out   Key // of what the far end sends, and of what we send it
	Mux       bool
	Wants     bool // the far end wants to receive
	Opaque    bool // it speaks no RTP at present (T.38 over UDPTL): its datagrams cross as they are. Not with keys: there is no SRTP for them
	Clocks    []Clock
	RTP, RTCP Aim
	Aside     bool   // what comes of DTLS is given to Events.Aside, and Say is heard
	Wait      bool   // keys are to come: no media is taken or sent before another Set
	Checks    Checks // the far end checks by ICE, and nominates where its packets go; RTP is Stay then
	Reports   Reports
	Taken     bool   // telephone events that come are told by Events.Pressed, and go nowhere
	Tones     []Tone // how the far end takes telephone events that are pressed, the one of the agreed codec's clock first; none: it takes none
}

// Reports are those that the plane makes itself to a far end, about what goes to it and what comes from it, while the far end of the leg that its own is joined to makes
// none: RFC 3550 section 6.4. The zero Reports are none.
type Reports struct {
	After  time.Duration // how long the other far end must have been silent; 0: none are made
	Octets uint32        // that the session may spend on reports, per second; 0: as much as a call of 64 kbit/s
}

// Clock is how the time stamps of a payload type run.
type Clock struct {
	PT    uint8
	To    uint8 // with Moves: the number under which it leaves to the leg that this one is joined to
	Moves bool  // it leaves under another number
	Event bool  // RFC 4733: they do not advance
	Rate  uint32
}

// Aim is where a lane is pointed.
type Aim struct {
	To    netip.AddrPort // what the session description said; zero: nowhere
	Stay  bool           // where it was
	Cause string
	Pass  *sovereign.Pass // of the plane's own fence, when it was judged already; nil: the plane asks
	Began int64           // since when the session has been sending there, as sovereign.Ask.Began, for a plane that asks; 0: from now on
}

// Commands are what a plane is told. They do not block for longer than the packets that are being carried take, and do not fail: what does not fit the state
// (a leg that is gone) is left undone.
type Commands interface {
	Give(Pair)
	Withdraw(pair uint32) // closes the sockets, and the leg that has them
	Open(Open)
	Set(Set)
	Mute(Ref)    // the leg takes nothing and sends nothing until Set
	Silence(Ref) // Mute, and both lanes point nowhere
	Join(a, b Ref)
	Close(Ref)
	Stock([]Clip) // takes the place of all clips there are; who plays one of those goes on
	Play(Play)
	Stop(Ref)
	Watch(Ref, bool)
	// Say sends a datagram that is no media from the RTP socket of a leg with Aside, if the fence permits it: to where its packets go, or, without Checks, to
	// another address.
	Say(r Ref, to netip.AddrPort, datagram []byte)
	Press(Press)
	Impair(Impair)
	// Read copies what was counted; false when the slot has another leg.
	Read(Ref) (Counters, bool)
	Totals() Totals
	// Workers is how many there are: slots and pairs are numbered by it.
	Workers() int
	// Held gives the legs that were opened before whoever asks began.
	Held() []Held
}

// Held is a leg as a plane has it, for a control that begins anew: it knows where packets go, and that control knows why.
type Held struct {
	Open    Open
	In, Out Key
	Checks  Checks
	Joined  Ref
}

// Totals are counted for all legs together.
type Totals struct {
	Control  uint64 // RTCP packets that were taken
	Dropped  uint64 // packets that could not be passed on
	Impaired uint64 // packets that a drill took away; nothing else counts them
}

// Move is a far end that was latched, moved or refused.
type Move struct {
	Leg      Ref
	RTCP     bool
	At       time.Time
	From, To netip.AddrPort
	Cause    string
	Allowed  bool
	Ruling   *sovereign.Ruling // never nil, shared
	Pass     *sovereign.Pass   // of To, where it was newly latched; in the same process only
}

// Events is who hears of what happened. Its methods run while a worker is locked: they must not block, and must not give commands.
type Events interface {
	Moved(Move)
	// Passed tells of a packet of a watched leg. in: it came; else it went. header is valid during the call.
	Passed(leg Ref, in bool, at time.Time, peer netip.AddrPort, header []byte, size int)
	// Aside gives a datagram of DTLS that came for a leg. b is valid during the call.
	Aside(leg Ref, from netip.AddrPort, b []byte)
	Played(Played)
	Pressed(Digit)
}

// Config of a Plane.
type Config struct {
	Fence   *sovereign.Fence
	Workers int           // 0 means 1. Leg and pair n belong to worker n modulo Workers
	Memory  []byte        // of the slots, all of it zero or from a plane of the same layout; nil: the plane allocates as it needs
	Tick    time.Duration // how long packets wait for each other at most when there are many; 0 means 1 ms, less than 0 never
	Alone   bool          // the process does nothing else: a worker that sleeps for a tick keeps its processor
	Events  Events
	Logger  *slog.Logger
}

// Plane carries packets. Safe for concurrent use.
type Plane struct {
	cfg      Config
	workers  []*worker
	control  atomic.Uint64 // RTCP packets taken
	dropped  atomic.Uint64 // packets that could not be passed on
	impaired atomic.Uint64 // packets that a drill took away
}

var _ Commands = (*Plane)(nil)

// New checks c and starts nothing.
func New(c Config) (*Plane, error) {
	if c.Fence == nil || c.Events == nil {
		return nil, errors.New("plane: want a fence and somebody who hears of events")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Workers = max(c.Workers, 1)
	p := &Plane{cfg: c}
	for range c.Workers {
		p.workers = append(p.workers, newWorker(p))
	}
	if c.Memory != nil {
		if err := share(c.Memory, p.workers); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Run carries the packets of sockets that the plane reads itself, until ctx ends. Other sockets are read from Give on.
func (p *Plane) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, w := range p.workers {
		wg.Go(func() { w.run(ctx) })
	}
	<-ctx.Done()
	for _, w := range p.workers {
		w.wake()
	}
	wg.Wait()
	return nil
}

// Totals implements Commands.
func (p *Plane) Totals() Totals {
	return Totals{Control: p.control.Load(), Dropped: p.dropped.Load(), Impaired: p.impaired.Load()}
}

// Workers implements Commands.
func (p *Plane) Workers() int { return len(p.workers) }

// worker of a slot or a pair.
func (p *Plane) worker(n uint32) *worker { return p.workers[n%uint32(len(p.workers))] }
