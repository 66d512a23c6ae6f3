package sip

import (
	"sync"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sovereign"
)

// sheet is the room that the records of one call take, in one piece: what an ordinary call leaves behind, two legs and their media, finds its place in
// it, and more of anything a place of its own. A nil sheet has no room.
type sheet struct {
	rec                      audit.Receipt
	ended                    audit.CallEnded
	hops                     [4]audit.ReceiptHop
	attempts                 [2]audit.Attempt
	quality                  [2]audit.LegQuality
	srtp                     [2]audit.SRTPSeen
	operated                 [4]audit.Operator
	proven                   [4][3]audit.Evidence
	srtps, operators, proofs int // how many are taken

	// What still has to be done with it, away from the loop.
	call    *call
	session *media.Session // nil: none was opened
	report  media.Report
	closed  bool // the session is, and the report is its last
	target  string
	drill   string // that is told how the target sounded; "": production is
	names   [2]string
	result  *SyntheticResult // nil: nobody waits for it
	records recording

	kept sheetKept
}

// sheetKept is what stays when a sheet is used again, and tells nothing of a call.
type sheetKept struct {
	packets           map[string]uint64
	complete, written func()    // close and over, made once
	entries           [2]filing // of its records
	regions           [2]placed // that calls were in lately
	older             int       // of regions, the one that makes room
}

// placed is a region in the words of receipts.
type placed struct {
	region     sovereign.Region
	name       string
	seat       string // of its operator
	generation uint64 // of the snapshot that told of the seat; 0: none did
}

func newSheet() *sheet {
	s := &sheet{}
	k := &s.kept
	k.packets, k.complete, k.written = make(map[string]uint64), s.close, s.over
	settled := s.records.settled
	k.entries[0].make(&s.ended, settled)
	k.entries[1].make(&s.rec, settled)
	return s
}

// blank wipes everything off, so that nothing of one call is in the records of another.
func (s *sheet) blank() {
	kept := s.kept
	clear(kept.packets)
	*s = sheet{}
	s.kept = kept
}

// record writes the records.
func (s *sheet) record(e *Edge) {
	s.records.begin(e, s.rec.CallRef, s.rec.Session, s.kept.written, len(s.kept.entries))
	for i := range s.kept.entries {
		s.kept.entries[i].write(e)
	}
}

// sheets are blank ones that wait for the next call: a sheet is large, and those of all calls that ended within 0.2 s come back at once, when the log has them.
type sheets struct {
	mu   sync.Mutex
	free []*sheet
}

// maxSheets bounds them.
const maxSheets = 256

func (p *sheets) take() *sheet {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return newSheet()
	}
	s := p.free[n-1]
	p.free = p.free[:n-1]
	return s
}

// give takes a sheet back that nobody looks at any more.
func (p *sheets) give(s *sheet) {
	s.blank()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxSheets {
		p.free = append(p.free, s)
	}
}

// hop is a blank one more in the receipt.
func (s *sheet) hop() *audit.ReceiptHop {
	r := &s.rec
	r.Hops = append(r.Hops, audit.ReceiptHop{})
	return &r.Hops[len(r.Hops)-1]
}

// evidence is an empty list of what speaks for the place of a hop.
func (s *sheet) evidence() []audit.Evidence {
	if s == nil || s.proofs == len(s.proven) {
		return []audit.Evidence{}
	}
	s.proofs++
	return s.proven[s.proofs-1][:0]
}

func (s *sheet) operator(o audit.Operator) *audit.Operator {
	if s == nil || s.operators == len(s.operated) {
		other := o
		return &other
	}
	s.operators++
	at := &s.operated[s.operators-1]
	*at = o
	return at
}

func (s *sheet) protection(p audit.SRTPSeen) *audit.SRTPSeen {
	if s.srtps == len(s.srtp) {
		other := p
		return &other
	}
	s.srtps++
	at := &s.srtp[s.srtps-1]
	*at = p
	return at
}

// seat is the country in which the operator of a region has its seat, by a snapshot that may be nil; "" when nobody said.
func (s *sheet) seat(snap *sovereign.Snapshot, r sovereign.Region) string {
	if s == nil || r.IsZero() || snap == nil {
		return seatOf(snap, r)
	}
	at := s.place(r)
	if g := snap.Generation(); g == 0 || at.generation != g {
		at.seat, at.generation = seatOf(snap, r), g
	}
	return at.seat
}

// region writes a region.
func (s *sheet) region(r sovereign.Region) string {
	if s == nil || r.IsZero() {
		return r.String()
	}
	return s.place(r).name
}

// place gives what is known of a region: most calls are in those of the call before.
func (s *sheet) place(r sovereign.Region) *placed {
	k := &s.kept
	for i := range k.regions {
		if k.regions[i].region == r {
			return &k.regions[i]
		}
	}
	at := &k.regions[k.older]
	k.older = (k.older + 1) % len(k.regions)
	*at = placed{region: r, name: r.String()}
	return at
}
