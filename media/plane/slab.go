package plane

import (
	"errors"
	"net/netip"
	"time"
	"unsafe"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// Layout names the form of a slab. It grows when slot changes: processes of different layouts do not share one, they tell each other (export.go).
const Layout = 8

// flags of a slot.
const (
	flagLive     uint32 = 1 << iota // Set was given, and no Mute since
	flagWants                       // the far end wants to receive
	flagMux                         // RTCP comes on the lane of RTP
	flagOpens                       // what comes is SRTP
	flagSeals                       // what goes is SRTP
	flagWatched                     // somebody sees the headers
	flagRenames                     // payload types leave under other numbers
	flagOpaque                      // what comes and goes is no RTP
	flagAside                       // what comes may be STUN or DTLS
	flagReports                     // where nobody else reports to the far end, we do
	flagTaken                       // telephone events that come are told and go nowhere
	flagPresses                     // the far end is to hear digits
	flagImpaired                    // a drill takes packets away
)

// flagDigits is that a packet may be a digit, or make room for one.
const flagDigits = flagTaken | flagPresses

// slot is what the packets of one leg need, what each of them needs first. One worker writes it, under its lock.
type slot struct {
	serial  uint32 // of the leg that has it; 0 none
	flags   uint32
	other   uint32   // slot of the leg that it is joined to; 0 nobody
	fds     [2]int32 // of RTP and RTCP; below 0 where the worker does not write by descriptor
	rtp     lane
	current source // that is in use
	tallies
	in      stream  // of what comes: the one in use, of the key in use
	out     sending // of what goes: likewise
	rtcp    lane
	inRTCP  stream
	outRTCP uint32 // the next index
	inKey   uint64 // which key the streams of what comes are under
	outKey  uint64 // and that of what goes
	crossed Crossed
	before  dialledBefore // the telephone event that was told of last
	left    marks         // of what comes: streams of the key in use that are not in use
}

// lane is one socket of a leg with its far end: where packets go to, and the only source that is listened to.
type lane struct {
	peer   osnet.Name // what is used
	aimed  bool       // it points somewhere
	heard  bool
	fenced bool  // the pass died, and that was told
	left   int8  // how often it may still move before the next offer and answer; RFC 4961 needs once
	home   uint8 // the place of peer, in tallies
	clear  sovereign.Clearance
	last   int64      // unix ns of the last packet
	said   osnet.Name // what the far end said of itself
}

// stream is an SSRC that came, and which of its packets were seen.
type stream struct {
	ssrc uint32
	on   bool
	win  srtp.Window
}

// maxPlaces is how many countries are told apart in one leg; what comes from further ones counts for no country.
const maxPlaces = 6

// tallies are counted for one leg.
type tallies struct {
	packets, bytes, sent uint64
	last                 int64 // unix ns
	refused              uint64
	lostPast             int64 // of sources that were dropped or started anew, or are not in use
	gapsPast             uint32
	first                int64  // unix ns
	rtt                  int64  // ns
	lostThere            int64  // what the far end says it lost
	lastReport           int64  // unix ns
	reports, highest     uint32 // of the far end: how many, and the sequence numbers in the blocks of the last one, together
	from                 [maxPlaces + 1]uint64
	countries            [maxPlaces + 1][4]byte // the last one is none
	dialledIn            uint32                 // digits that were told
	dialledOut           uint32                 // that were pressed
	ignored              uint32                 // telephone events that are no digits, and digits that could not be pressed
	scored               uint8                  // MOS by the far end's own extended reports, in tenths; 0 none
	places               uint32                 // that are in use
}

// Counters are a copy of what was counted for a leg. What came is what its far end sent.
type Counters struct {
	Packets, Bytes, Refused, Sent uint64
	Lost                          int64 // RFC 3550 A.3
	Gaps                          uint32
	Jitter, RTT                   time.Duration
	LostThere                     int64  // what the far end says it lost of what was sent
	First, Last                   int64  // unix ns
	LastReport                    int64  // when it reported last, unix ns; 0 never
	Reports                       uint32 // sender and receiver reports of the far end
	Scored                        uint8  // MOS of what it hears, by its own extended reports, in tenths; 0 unknown
	Highest                       uint32 // highest sequence numbers in the blocks of the last one, together: as long as it hears, they change
	DialledIn, DialledOut         uint32 // digits that came as telephone events and were told, and that were pressed
	Ignored                       uint32 // telephone events that are no digits, and digits that could not be pressed
	Peer                          netip.AddrPort
	Places                        [maxPlaces + 1]PlaceCount
	Crossed                       Crossed // what is no RTP; of the others, only Refused and Places count it
}

// PlaceCount is how many packets came from a country; "" for what has none.
type PlaceCount struct {
	Country sovereign.Country
	Packets uint64
}

// Memory is how many bytes of memory n slots of so many workers need.
func Memory(n, workers int) int { return (n/workers + 1) * workers * int(unsafe.Sizeof(slot{})) }

// slots are those of one worker, with what lies beside them.
type slots struct {
	slots  []slot
	beside []beside // of the first slots, as many as were ever used
	fixed  bool     // there is no more memory for slots than what was given
}

// share gives each worker its part of the memory of slots.
func share(mem []byte, ws []*worker) error {
	each := len(mem) / int(unsafe.Sizeof(slot{})) / len(ws)
	if each == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%8 != 0 {
		return errors.New("plane: the memory of slots is too small or not aligned")
	}
	all := unsafe.Slice((*slot)(unsafe.Pointer(unsafe.SliceData(mem))), each*len(ws))
	for i, w := range ws {
		w.slots.slots, w.fixed = all[i*each:(i+1)*each:(i+1)*each], true
		used := 64 // at first; what is beside slots that nobody has yet is memory for nothing, of which the collector leaves as much again
		for n := range w.slots.slots {
			if w.slots.slots[n].serial != 0 { // of another plane
				used = max(used, n+1)
			}
		}
		w.beside = make([]beside, min(used, each))
	}
	return nil
}

// maxSlots bounds the slots of one worker: no machine has as many sockets.
const maxSlots = 1 << 17

// at gives a slot of the worker and what lies beside it; nil when there is none. n is counted among the worker's own. Both may move when another slot is made.
func (s *slots) at(n uint32) (*slot, *beside) {
	if int(n) >= len(s.beside) {
		return nil, nil
	}
	return &s.slots[n], &s.beside[n]
}

// make is at, with memory for the slot if there may be any.
func (s *slots) make(n uint32) (*slot, *beside) {
	if int(n) < len(s.beside) {
		return s.at(n)
	}
	size := int(n) + max(64, int(n)/4)
	switch {
	case s.fixed && int(n) >= len(s.slots) || n >= maxSlots:
		return nil, nil
	case s.fixed:
		size = min(size, len(s.slots))
	default:
		grown := make([]slot, size)
		copy(grown, s.slots)
		s.slots = grown
	}
	besides := make([]beside, size)
	copy(besides, s.beside)
	s.beside = besides
	return s.at(n)
}

// View reads a slab that another process writes.
type View struct {
	mem           []byte
	workers, each uint32
}

// NewView looks at the memory of a plane with so many workers.
func NewView(mem []byte, workers int) View {
	workers = max(workers, 1)
	return View{mem, uint32(workers), uint32(len(mem) / int(unsafe.Sizeof(slot{})) / workers)}
}

// slot gives a slot by its number; nil when the memory has none of it.
func (v View) slot(number uint32) *slot {
	if number == 0 || number/v.workers >= v.each {
		return nil
	}
	n := int(number%v.workers*v.each+number/v.workers) * int(unsafe.Sizeof(slot{}))
	return (*slot)(unsafe.Pointer(&v.mem[n]))
}

// Read copies what was counted for a leg; false when its slot has another leg. The writer does not wait: the words of the copy may be of different packets.
func (v View) Read(r Ref) (Counters, bool) {
	s := v.slot(r.Slot)
	if s == nil {
		return Counters{}, false
	}
	for range maxViews {
		c := s.counters()
		if again := s.rtp.peer; again.AddrPort() == c.Peer || !s.rtp.aimed {
			return c, s.serial == r.Serial
		}
	}
	return Counters{}, false
}

// maxViews is how often a copy is taken anew when the far end moved meanwhile.
const maxViews = 10

// counters copies what was counted.
func (s *slot) counters() Counters {
	c := Counters{
		Packets: s.packets, Bytes: s.bytes, Refused: s.refused, Sent: s.sent, Lost: s.lostPast, Gaps: s.gapsPast + s.current.gaps,
		Jitter: s.current.shake(), RTT: time.Duration(s.rtt), LostThere: s.lostThere, First: s.first, Last: s.tallies.last,
		LastReport: s.lastReport, Reports: s.reports, Highest: s.highest, Scored: s.scored, Crossed: s.crossed,
		DialledIn: s.dialledIn, DialledOut: s.dialledOut, Ignored: s.ignored,
	}
	if s.current.on { // else nothing came, and nothing is missing
		c.Lost += s.current.lost()
	}
	if s.rtp.aimed {
		c.Peer = s.rtp.peer.AddrPort()
	}
	for i := range c.Places {
		if s.from[i] > 0 {
			c.Places[i] = PlaceCount{sovereign.Country(text(s.countries[i])), s.from[i]}
		}
	}
	return c
}

// codes are all words of two letters, so that reading a slot needs no memory.
var codes = func() string {
	var b []byte
	for i := range byte(26) {
		for j := range byte(26) {
			b = append(b, 'A'+i, 'A'+j)
		}
	}
	return string(b)
}()

// text is what a name of fixed size holds, without the zeros behind it.
func text(b [4]byte) string {
	if b[2] == 0 && b[0] >= 'A' && b[0] <= 'Z' && b[1] >= 'A' && b[1] <= 'Z' {
		at := 2 * (26*int(b[0]-'A') + int(b[1]-'A'))
		return codes[at : at+2]
	}
	n := 0
	for n < len(b) && b[n] != 0 {
		n++
	}
	return string(b[:n])
}

// place finds or makes the tally of a country. One whose code is no code counts for none.
func (t *tallies) place(c sovereign.Country) uint8 {
	var code [4]byte
	if len(c) == 0 || len(c) > len(code) {
		return maxPlaces
	}
	copy(code[:], c)
	for i := range t.places {
		if t.countries[i] == code {
			return uint8(i)
		}
	}
	if t.places == maxPlaces {
		return maxPlaces
	}
	t.countries[t.places] = code
	t.places++
	return uint8(t.places - 1)
}
