package plane

import (
	"errors"
	"fmt"
	"math"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/internal/tlv"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// The fields of a slot's record, the form in which what a leg counted, heard and sent goes to the plane of another build, whose slots may be laid out in another way. A tag
// is never given twice: what a reader does not know it passes over, and what the writer did not know stays zero. Flags, partners, descriptors and clearances are not in it:
// whoever takes over is told the former anew, and asks a fence of its own.
const (
	slotSerial  = 1
	slotPlace   = 2 // a record for each country
	slotNowhere = 3 // packets that count for no country
	slotRTP     = 4
	slotRTCP    = 5
	slotCurrent = 6
	slotIn      = 7
	slotInRTCP  = 8
	slotOut     = 9
	slotOutRTCP = 10
	slotInKey   = 11
	slotOutKey  = 12
	slotCrossed = 13
	slotBefore  = 14
	slotMark    = 15 // a record for each SSRC, the one that left last first

	slotPackets    = 20
	slotBytes      = 21
	slotSent       = 22
	slotLast       = 23
	slotRefused    = 24
	slotLostPast   = 25
	slotGapsPast   = 26
	slotFirst      = 27
	slotRTT        = 28
	slotLostThere  = 29
	slotLastReport = 30
	slotReports    = 31
	slotHighest    = 32
	slotScored     = 33
	slotDialledIn  = 34
	slotDialledOut = 35
	slotIgnored    = 36

	// Of the records within.
	placeCountry = 1
	placePackets = 2

	lanePeer   = 1 // as the kernel has it: struct sockaddr_in or sockaddr_in6
	laneSaid   = 2 // likewise
	laneAimed  = 3
	laneHeard  = 4
	laneFenced = 5
	laneLeft   = 6
	laneHome   = 7 // a country
	laneLast   = 8

	sourceOn       = 1
	sourceTimed    = 2
	sourcePT       = 3
	sourceRate     = 4
	sourceSSRC     = 5
	sourceFirst    = 6
	sourceExt      = 7
	sourceBad      = 8
	sourceReceived = 9
	sourceGaps     = 10
	sourceTransit  = 11
	sourceJitter   = 12
	sourcePassed   = 13
	sourceOctets   = 14

	streamSSRC = 1
	streamOn   = 2
	streamNext = 3 // of its window
	streamSeen = 4 // likewise, the newest packets first
	streamMore = 5

	sendingIn      = 1
	sendingOut     = 2
	sendingOn      = 3
	sendingFirst   = 4
	sendingHighest = 5
	sendingSeen    = 6
	sendingMore    = 7

	crossedPackets = 1
	crossedBytes   = 2
	crossedSent    = 3
	crossedLast    = 4

	markSSRC = 1
	markRTP  = 2 // the next index
	markRTCP = 3

	beforeOn   = 1
	beforeSSRC = 2
	beforeTS   = 3
)

// errRecord is a record of a slot that does not read, or that says what cannot be.
var errRecord = errors.New("plane: a record of a leg that does not read")

// Pause is a plane that does nothing, for as long as it lasts: packets wait in their sockets, and commands for its end.
type Pause struct{ p *Plane }

// Pause begins one. Who began it ends it, by Resume or End, before the plane may be stopped.
func (p *Plane) Pause() *Pause {
	for _, w := range p.workers {
		w.mu.Lock()
	}
	return &Pause{p}
}

// Resume has the plane go on.
func (x *Pause) Resume() {
	for _, w := range x.p.workers {
		w.mu.Unlock()
	}
}

// End has the plane never carry a packet again: another one does. Its sockets stay open.
func (x *Pause) End() {
	for _, w := range x.p.workers {
		w.pairs, w.owns = nil, nil
	}
	x.Resume()
}

// Export appends the record of a leg to b; false when there is none.
func (x *Pause) Export(b []byte, r Ref) ([]byte, bool) {
	l, ok := x.p.worker(r.Slot).of(r)
	if !ok {
		return b, false
	}
	return l.slot.export(b), true
}

// Import puts a record into the slot of its leg, from where a plane with this memory goes on when the leg is opened there. The memory is one that may be written, and no
// plane has it yet.
func (v View) Import(number uint32, record []byte) error {
	s := v.slot(number)
	if s == nil {
		return fmt.Errorf("plane: slot %d is beyond the memory", number)
	}
	var next slot
	if err := next.read(record); err != nil {
		return fmt.Errorf("slot %d: %w", number, err)
	}
	*s = next
	return nil
}

// within writes a record within a record.
func within(b []byte, tag byte, fields func(b []byte) []byte) []byte {
	b, mark := tlv.Open(b, tag)
	return tlv.Close(fields(b), mark)
}

// export writes places before lanes: whoever reads finds them in the same order.
func (s *slot) export(b []byte) []byte {
	b = tlv.Uint(b, slotSerial, uint64(s.serial))
	b = s.tallies.export(b)
	b = within(b, slotRTP, func(b []byte) []byte { return s.rtp.export(b, text(s.countries[s.rtp.home])) })
	b = within(b, slotRTCP, func(b []byte) []byte { return s.rtcp.export(b, text(s.countries[s.rtcp.home])) })
	b = within(b, slotCurrent, s.current.export)
	b = within(b, slotIn, s.in.export)
	b = within(b, slotInRTCP, s.inRTCP.export)
	b = within(b, slotOut, s.out.export)
	b = tlv.Uint(b, slotOutRTCP, uint64(s.outRTCP))
	b = tlv.Uint(b, slotInKey, s.inKey)
	b = tlv.Uint(b, slotOutKey, s.outKey)
	b = within(b, slotCrossed, s.crossed.export)
	b = within(b, slotBefore, s.before.export)
	return s.left.export(b)
}

func (t *tallies) export(b []byte) []byte {
	for i := range t.places {
		b = within(b, slotPlace, func(b []byte) []byte {
			return tlv.Uint(tlv.String(b, placeCountry, text(t.countries[i])), placePackets, t.from[i])
		})
	}
	b = tlv.Uint(b, slotNowhere, t.from[maxPlaces])
	b = tlv.Uint(b, slotPackets, t.packets)
	b = tlv.Uint(b, slotBytes, t.bytes)
	b = tlv.Uint(b, slotSent, t.sent)
	b = tlv.Uint(b, slotLast, uint64(t.last))
	b = tlv.Uint(b, slotRefused, t.refused)
	b = tlv.Uint(b, slotLostPast, uint64(t.lostPast))
	b = tlv.Uint(b, slotGapsPast, uint64(t.gapsPast))
	b = tlv.Uint(b, slotFirst, uint64(t.first))
	b = tlv.Uint(b, slotRTT, uint64(t.rtt))
	b = tlv.Uint(b, slotLostThere, uint64(t.lostThere))
	b = tlv.Uint(b, slotLastReport, uint64(t.lastReport))
	b = tlv.Uint(b, slotReports, uint64(t.reports))
	b = tlv.Uint(b, slotHighest, uint64(t.highest))
	b = tlv.Uint(b, slotScored, uint64(t.scored))
	b = tlv.Uint(b, slotDialledIn, uint64(t.dialledIn))
	b = tlv.Uint(b, slotDialledOut, uint64(t.dialledOut))
	return tlv.Uint(b, slotIgnored, uint64(t.ignored))
}

func (ln *lane) export(b []byte, home string) []byte {
	if ln.aimed {
		b = tlv.Bytes(b, lanePeer, ln.peer[:])
		b = tlv.Bytes(b, laneSaid, ln.said[:])
	}
	b = tlv.Bool(b, laneAimed, ln.aimed)
	b = tlv.Bool(b, laneHeard, ln.heard)
	b = tlv.Bool(b, laneFenced, ln.fenced)
	b = tlv.Uint(b, laneLeft, uint64(max(ln.left, 0)))
	b = tlv.String(b, laneHome, home)
	return tlv.Uint(b, laneLast, uint64(ln.last))
}

func (s *source) export(b []byte) []byte {
	b = tlv.Bool(b, sourceOn, s.on)
	b = tlv.Bool(b, sourceTimed, s.timed)
	b = tlv.Uint(b, sourcePT, uint64(s.pt))
	b = tlv.Uint(b, sourceRate, uint64(s.rate))
	b = tlv.Uint(b, sourceSSRC, uint64(s.ssrc))
	b = tlv.Uint(b, sourceFirst, uint64(s.first))
	b = tlv.Uint(b, sourceExt, uint64(s.ext))
	b = tlv.Uint(b, sourceBad, uint64(s.bad))
	b = tlv.Uint(b, sourceReceived, uint64(s.received))
	b = tlv.Uint(b, sourceGaps, uint64(s.gaps))
	b = tlv.Uint(b, sourceTransit, uint64(s.transit))
	b = tlv.Uint(b, sourceJitter, math.Float64bits(s.jitter))
	return tlv.Uint(tlv.Uint(b, sourcePassed, uint64(s.passed)), sourceOctets, uint64(s.octets))
}

func (s *stream) export(b []byte) []byte {
	next, seen := s.win.State()
	b = tlv.Uint(b, streamSSRC, uint64(s.ssrc))
	b = tlv.Bool(b, streamOn, s.on)
	b = tlv.Uint(b, streamNext, next)
	b = tlv.Uint(b, streamSeen, seen[0])
	return tlv.Uint(b, streamMore, seen[1])
}

func (s *sending) export(b []byte) []byte {
	b = tlv.Uint(b, sendingIn, uint64(s.in))
	b = tlv.Uint(b, sendingOut, uint64(s.out))
	b = tlv.Bool(b, sendingOn, s.on)
	b = tlv.Uint(b, sendingFirst, uint64(s.first))
	b = tlv.Uint(b, sendingHighest, uint64(s.highest))
	b = tlv.Uint(b, sendingSeen, s.seen[0])
	return tlv.Uint(b, sendingMore, s.seen[1])
}

func (c *Crossed) export(b []byte) []byte {
	b = tlv.Uint(b, crossedPackets, c.Packets)
	b = tlv.Uint(b, crossedBytes, c.Bytes)
	b = tlv.Uint(b, crossedSent, c.Sent)
	return tlv.Uint(b, crossedLast, uint64(c.Last))
}

// read reads a record into a slot that holds nothing.
func (s *slot) read(record []byte) error {
	r := tlv.Read(record)
	for r.Next() {
		switch r.Tag {
		case slotSerial:
			s.serial = r.Uint32()
		case slotRTP:
			s.rtp.read(&r, &s.tallies)
		case slotRTCP:
			s.rtcp.read(&r, &s.tallies)
		case slotCurrent:
			s.current.read(&r)
		case slotIn:
			s.in.read(&r)
		case slotInRTCP:
			s.inRTCP.read(&r)
		case slotOut:
			s.out.read(&r)
		case slotOutRTCP:
			s.outRTCP = r.Uint32()
		case slotInKey:
			s.inKey = r.Uint()
		case slotOutKey:
			s.outKey = r.Uint()
		case slotCrossed:
			s.crossed.read(&r)
		case slotMark:
			s.left.read(&r)
		case slotBefore:
			s.before.read(&r)
		default:
			s.tallies.read(&r)
		}
	}
	if r.Bad() || s.serial == 0 {
		return errRecord
	}
	return nil
}

func (t *tallies) read(r *tlv.Reader) {
	switch r.Tag {
	case slotPlace:
		t.count(r)
	case slotNowhere:
		t.from[maxPlaces] += r.Uint() // there may be some of countries that had no room here
	case slotPackets:
		t.packets = r.Uint()
	case slotBytes:
		t.bytes = r.Uint()
	case slotSent:
		t.sent = r.Uint()
	case slotLast:
		t.last = int64(r.Uint())
	case slotRefused:
		t.refused = r.Uint()
	case slotLostPast:
		t.lostPast = int64(r.Uint())
	case slotGapsPast:
		t.gapsPast = r.Uint32()
	case slotFirst:
		t.first = int64(r.Uint())
	case slotRTT:
		t.rtt = int64(r.Uint())
	case slotLostThere:
		t.lostThere = int64(r.Uint())
	case slotLastReport:
		t.lastReport = int64(r.Uint())
	case slotReports:
		t.reports = r.Uint32()
	case slotHighest:
		t.highest = r.Uint32()
	case slotScored:
		t.scored = uint8(r.Uint())
	case slotDialledIn:
		t.dialledIn = r.Uint32()
	case slotDialledOut:
		t.dialledOut = r.Uint32()
	case slotIgnored:
		t.ignored = r.Uint32()
	}
}

// inner reads the fields of a record within a record.
func inner(r *tlv.Reader, field func(in *tlv.Reader)) {
	in := tlv.Read(r.Value)
	for in.Next() {
		field(&in)
	}
	if in.Bad() {
		r.Fail()
	}
}

// count reads what came from a country.
func (t *tallies) count(r *tlv.Reader) {
	var country string
	var packets uint64
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case placeCountry:
			country = in.String()
		case placePackets:
			packets = in.Uint()
		}
	})
	t.from[t.place(sovereign.Country(country))] += packets
}

func (ln *lane) read(r *tlv.Reader, t *tallies) {
	home := ""
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case lanePeer:
			named(in, &ln.peer)
		case laneSaid:
			named(in, &ln.said)
		case laneAimed:
			ln.aimed = in.Bool()
		case laneHeard:
			ln.heard = in.Bool()
		case laneFenced:
			ln.fenced = in.Bool()
		case laneLeft:
			ln.left = int8(min(in.Uint(), math.MaxInt8))
		case laneHome:
			home = in.String()
		case laneLast:
			ln.last = int64(in.Uint())
		}
	})
	ln.home = t.place(sovereign.Country(home))
	if ln.aimed && (!ln.peer.AddrPort().IsValid() || !ln.said.AddrPort().IsValid()) {
		r.Fail()
	}
}

// named reads an address as the kernel has it.
func named(r *tlv.Reader, n *osnet.Name) {
	if len(r.Value) != len(n) {
		r.Fail()
		return
	}
	copy(n[:], r.Value)
}

func (s *source) read(r *tlv.Reader) {
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case sourceOn:
			s.on = in.Bool()
		case sourceTimed:
			s.timed = in.Bool()
		case sourcePT:
			s.pt = uint8(in.Uint())
		case sourceRate:
			s.rate = in.Uint32()
		case sourceSSRC:
			s.ssrc = in.Uint32()
		case sourceFirst:
			s.first = in.Uint32()
		case sourceExt:
			s.ext = in.Uint32()
		case sourceBad:
			s.bad = in.Uint32()
		case sourceReceived:
			s.received = in.Uint32()
		case sourceGaps:
			s.gaps = in.Uint32()
		case sourceTransit:
			s.transit = in.Uint32()
		case sourceJitter:
			s.jitter = math.Float64frombits(in.Uint())
		case sourcePassed:
			s.passed = in.Uint32()
		case sourceOctets:
			s.octets = in.Uint32()
		}
	})
}

func (s *stream) read(r *tlv.Reader) {
	var next uint64
	var seen [2]uint64
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case streamSSRC:
			s.ssrc = in.Uint32()
		case streamOn:
			s.on = in.Bool()
		case streamNext:
			next = in.Uint()
		case streamSeen:
			seen[0] = in.Uint()
		case streamMore:
			seen[1] = in.Uint()
		}
	})
	s.win = srtp.WindowOf(next, seen)
}

func (s *sending) read(r *tlv.Reader) {
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case sendingIn:
			s.in = in.Uint32()
		case sendingOut:
			s.out = in.Uint32()
		case sendingOn:
			s.on = in.Bool()
		case sendingFirst:
			s.first = in.Uint32()
		case sendingHighest:
			s.highest = in.Uint32()
		case sendingSeen:
			s.seen[0] = in.Uint()
		case sendingMore:
			s.seen[1] = in.Uint()
		}
	})
}

func (c *Crossed) read(r *tlv.Reader) {
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case crossedPackets:
			c.Packets = in.Uint()
		case crossedBytes:
			c.Bytes = in.Uint()
		case crossedSent:
			c.Sent = in.Uint()
		case crossedLast:
			c.Last = int64(in.Uint())
		}
	})
}

func (d *dialledBefore) export(b []byte) []byte {
	b = tlv.Bool(b, beforeOn, d.on)
	b = tlv.Uint(b, beforeSSRC, uint64(d.ssrc))
	return tlv.Uint(b, beforeTS, uint64(d.ts))
}

func (d *dialledBefore) read(r *tlv.Reader) {
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case beforeOn:
			d.on = in.Bool()
		case beforeSSRC:
			d.ssrc = in.Uint32()
		case beforeTS:
			d.ts = in.Uint32()
		}
	})
}
