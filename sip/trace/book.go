// Package trace is the memory of what calls looked like on the wire: the last messages of live and recently ended calls, bounded in number and bytes; their
// ladder for a terminal, their capture file, and their copy for a HEP collector.
//
// What leaves it is masked: numbers, names, users, keys and digest answers by stars of the same length. Messages with keys of media or answers of digest are
// masked before they are kept, the others when somebody looks: most calls nobody ever looks at. The loops of calls hand messages and notes over by a bounded
// queue and never wait; one goroutine owns the storing and the copying. It imports nothing of ours: sip and the hall feed it.
package trace

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config of a Book. Zero fields take their defaults.
type Config struct {
	Calls    int                 // calls that are remembered, live and ended; 1000
	Messages int                 // messages and notes of one call; 64. A quarter is of its beginning, the rest are the last
	Bytes    int                 // text of all messages; 32 MiB
	Keep     time.Duration       // how long an ended call is remembered; 15 min
	Open     bool                // numbers, names and users are not masked; secrets and content always are
	Export   func(Event, string) // given each message once its call has a reference; must not block. nil: nobody wants it
	Metrics  *Metrics
}

// Columns of a ladder beside the edge.
const (
	Left  = "left"  // the trunk, or the caller when both are of a kind
	Right = "right" // the edge group
)

// Event is one message or one note.
type Event struct {
	Seq    int            `json:"seq"` // counts from 1 within the call
	At     time.Time      `json:"at"`
	Kind   string         `json:"kind"`           // message | note
	Side   string         `json:"side,omitempty"` // left | right
	Party  string         `json:"party,omitempty"`
	Out    bool           `json:"out"` // the edge sent it
	Proto  string         `json:"transport,omitempty"`
	Local  netip.AddrPort `json:"local,omitzero"`
	Remote netip.AddrPort `json:"remote,omitzero"`
	Line   string         `json:"line"` // method, status with its phrase, or the note
	CSeq   string         `json:"cseq,omitempty"`
	SDP    bool           `json:"sdp,omitempty"`
	Text   string         `json:"text,omitempty"` // the whole message, masked

	raw    []byte // the message as it is kept
	masked bool   // it is masked already
}

// Trace is what is remembered of one call.
type Trace struct {
	ID      string    `json:"-"` // of its media session
	Ref     string    `json:"call_ref"`
	Session string    `json:"session_id"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
	Left    []string  `json:"left"` // the parties of each column, in the order in which they came
	Right   []string  `json:"right"`
	Masked  bool      `json:"masked"`
	Lost    int       `json:"lost"` // events that found no room
	Seen    int       `json:"seen"` // seq of the newest event
	Events  []Event   `json:"events"`
}

// Leg is one dialog of a call.
type Leg struct {
	CallID string
	Party  string
	Group  bool // an edge group; else a trunk
	Caller bool // it is the caller's
}

// Packet is a message as it crossed the wire.
type Packet struct {
	At            time.Time
	Out           bool
	Proto         string
	Local, Remote netip.AddrPort
	Text          []byte // copied by Tap
}

// Book remembers. A nil Book remembers nothing. Methods may be called from anywhere and never block.
type Book struct {
	c     Config
	queue chan item

	mu     sync.Mutex
	byCall map[string]dialog // by Call-ID
	byID   map[string]*record
	order  []*record // oldest first
	stray  []item    // first messages whose call does not exist yet
	bytes  int
}

type dialog struct {
	r     *record
	side  string
	party string
}

type record struct {
	Trace
	dialogs []string // Call-IDs
	caller  string   // column of the caller
	size    int
	unsent  []Event
}

// item is what the loops hand over.
type item struct {
	what         word
	id           string
	leg          Leg
	ref, session string
	note         string
	packet       Packet
}

type word uint8

const (
	packetItem word = iota
	joinItem
	nameItem
	noteItem
	endItem
)

const (
	queued    = 4096
	maxStrays = 256
	maxLegs   = 64 // dialogs of one call
	sweepEach = 10 * time.Second
)

// New makes an empty book and starts nothing.
func New(c Config) *Book {
	c.Calls, c.Messages, c.Bytes = orElse(c.Calls, 1000), max(orElse(c.Messages, 64), 8), orElse(c.Bytes, 32<<20)
	if c.Keep <= 0 {
		c.Keep = 15 * time.Minute
	}
	return &Book{c: c, queue: make(chan item, queued), byCall: map[string]dialog{}, byID: map[string]*record{}}
}

func orElse(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// Run owns the book until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.sweep(time.Now())
		case i := <-b.queue:
			b.take(i)
		}
	}
}

func (b *Book) put(i item) {
	select {
	case b.queue <- i:
	default:
		b.c.Metrics.lost("queue")
	}
}

// Tap takes a copy of a message. Keep-alives, and probes and registrations, which are of no call, are left out at once.
func (b *Book) Tap(p Packet) {
	if b == nil || len(p.Text) < 16 || bytes.HasPrefix(p.Text, []byte("OPTIONS ")) || bytes.HasPrefix(p.Text, []byte("REGISTER ")) {
		return
	}
	p.Text = bytes.Clone(p.Text)
	b.put(item{what: packetItem, packet: p})
}

// Join says that a dialog belongs to the call id, which is made when it is new.
func (b *Book) Join(id string, l Leg) {
	if b != nil {
		b.put(item{what: joinItem, id: id, leg: l, packet: Packet{At: time.Now()}})
	}
}

// Name gives the call its audit reference and what its Session-ID is so far.
func (b *Book) Name(id, ref, session string) {
	if b != nil {
		b.put(item{what: nameItem, id: id, ref: ref, session: session})
	}
}

// Note writes a line between the messages: a verdict, what came of an attempt. It must hold nothing of a person.
func (b *Book) Note(id, text string) {
	if b != nil {
		b.put(item{what: noteItem, id: id, note: text, packet: Packet{At: time.Now()}})
	}
}

// End says that the call is over. What still comes of its dialogs is taken.
func (b *Book) End(id, session, text string) {
	if b != nil {
		b.put(item{what: endItem, id: id, session: session, note: text, packet: Packet{At: time.Now()}})
	}
}

func (b *Book) take(i item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i.what == packetItem {
		b.message(i)
		return
	}
	r := b.byID[i.id]
	if r == nil && i.what == joinItem {
		r = b.open(i)
	}
	if r == nil {
		return
	}
	switch i.what {
	case joinItem:
		b.join(r, i.leg)
	case nameItem:
		r.Ref, r.Session = i.ref, i.session
		b.export(r)
	case noteItem:
		b.add(r, Event{At: i.packet.At, Kind: "note", Line: i.note})
	case endItem:
		r.Session, r.Ended = i.session, i.packet.At
		b.add(r, Event{At: i.packet.At, Kind: "note", Line: i.note})
	case packetItem:
	}
}

func (b *Book) open(i item) *record {
	for len(b.order) >= b.c.Calls {
		b.forget(b.oldest(nil))
	}
	r := &record{Trace: Trace{ID: i.id, Began: i.packet.At, Masked: !b.c.Open, Left: []string{}, Right: []string{}}}
	b.byID[i.id] = r
	b.order = append(b.order, r)
	b.c.Metrics.remembered(len(b.order))
	return r
}

// join places the leg: trunks stand left and groups right, but whoever is called stands across from the caller.
func (b *Book) join(r *record, l Leg) {
	if len(r.dialogs) >= maxLegs {
		return
	}
	side := Left
	if l.Group {
		side = Right
	}
	switch {
	case l.Caller && r.caller == "":
		r.caller = side
	case r.caller == Left:
		side = Right
	case r.caller == Right:
		side = Left
	}
	list := &r.Left
	if side == Right {
		list = &r.Right
	}
	if !slices.Contains(*list, l.Party) {
		*list = append(*list, l.Party)
	}
	r.dialogs = append(r.dialogs, l.CallID)
	b.byCall[l.CallID] = dialog{r, side, l.Party}
	rest := b.stray[:0]
	for _, s := range b.stray {
		if s.leg.CallID == l.CallID {
			b.add(r, b.event(s.packet, b.byCall[l.CallID]))
			continue
		}
		rest = append(rest, s)
	}
	clear(b.stray[len(rest):])
	b.stray = rest
}

// message finds the call of a message. The first of a call comes before its call is there, and waits among the strays.
func (b *Book) message(i item) {
	id := callID(i.packet.Text)
	if id == "" {
		return
	}
	d, ok := b.byCall[id]
	if ok {
		b.add(d.r, b.event(i.packet, d))
		return
	}
	waits := slices.ContainsFunc(b.stray, func(s item) bool { return s.leg.CallID == id }) // our 100 leaves before the call is there
	if !waits && (i.packet.Out || !bytes.HasPrefix(i.packet.Text, []byte("INVITE "))) {
		return
	}
	if len(b.stray) >= maxStrays {
		b.stray = slices.Delete(b.stray, 0, 1)
	}
	i.leg.CallID = id
	b.stray = append(b.stray, i)
}

// event keeps a message. What is secret beyond the call is masked at once.
func (b *Book) event(p Packet, d dialog) Event {
	e := Event{At: p.At, Kind: "message", Side: d.side, Party: d.party, Out: p.Out, Proto: p.Proto, Local: p.Local, Remote: p.Remote, raw: p.Text}
	if bytes.Contains(p.Text, []byte("inline:")) || bytes.Contains(p.Text, []byte("uthorization:")) {
		Mask(e.raw, b.c.Open)
		e.masked = true
	}
	return e
}

// shown masks a message that somebody looks at and reads what a ladder shows of it.
func (e Event) shown(open bool) Event {
	if e.raw == nil {
		return e
	}
	text := e.raw
	if !e.masked {
		text = bytes.Clone(text)
		Mask(text, open)
	}
	e.CSeq = string(headerOf(text, "cseq", ""))
	kind := strings.ToLower(string(headerOf(text, "content-type", "c")))
	_, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	e.SDP = len(body) > 0 && (strings.HasPrefix(kind, "application/sdp") || strings.Contains(strings.ToLower(string(body)), "application/sdp"))
	e.Text, e.raw = string(text), nil
	line, _, _ := strings.Cut(e.Text, "\r\n")
	if rest, ok := strings.CutPrefix(line, "SIP/2.0 "); ok {
		e.Line = rest
	} else {
		e.Line, _, _ = strings.Cut(line, " ")
	}
	return e
}

func (b *Book) add(r *record, e Event) {
	r.Seen++
	e.Seq = r.Seen
	if len(r.Events) >= b.c.Messages {
		at := b.c.Messages / 4
		b.grow(r, -len(r.Events[at].raw))
		r.Events = slices.Delete(r.Events, at, at+1)
		r.Lost++
	}
	r.Events = append(r.Events, e)
	b.grow(r, len(e.raw))
	if e.Kind == "message" && b.c.Export != nil {
		r.unsent = append(r.unsent, e)
		b.export(r)
		if len(r.unsent) > b.c.Messages { // it never gets a reference
			r.unsent = slices.Delete(r.unsent, 0, 1)
		}
	}
	for b.bytes > b.c.Bytes && len(b.order) > 1 {
		b.forget(b.oldest(r))
	}
}

func (b *Book) grow(r *record, n int) {
	r.size += n
	b.bytes += n
}

// export hands on what waited for the reference.
func (b *Book) export(r *record) {
	if r.Ref == "" || b.c.Export == nil {
		return
	}
	for _, e := range r.unsent {
		b.c.Export(e.shown(b.c.Open), r.Ref)
	}
	r.unsent = nil
}

// oldest is the call that goes first: of those that ended, else of all.
func (b *Book) oldest(but *record) *record {
	var first *record
	for _, r := range b.order {
		if r == but {
			continue
		}
		if !r.Ended.IsZero() {
			return r
		}
		if first == nil {
			first = r
		}
	}
	return first
}

func (b *Book) forget(r *record) {
	for _, id := range r.dialogs {
		if b.byCall[id].r == r {
			delete(b.byCall, id)
		}
	}
	delete(b.byID, r.ID)
	if i := slices.Index(b.order, r); i >= 0 {
		b.order = slices.Delete(b.order, i, i+1)
	}
	b.bytes -= r.size
	b.c.Metrics.remembered(len(b.order))
}

func (b *Book) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var gone []*record
	for _, r := range b.order {
		if !r.Ended.IsZero() && now.Sub(r.Ended) > b.c.Keep {
			gone = append(gone, r)
		}
	}
	for _, r := range gone {
		b.forget(r)
	}
	for len(b.stray) > 0 && now.Sub(b.stray[0].packet.At) > time.Minute {
		b.stray = slices.Delete(b.stray, 0, 1)
	}
}

// Find gives the call with this audit reference, or with this UUID on either end of its Session-ID. Events begin behind the one numbered since.
func (b *Book) Find(key string, since int) (Trace, bool) {
	if b == nil || key == "" {
		return Trace{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.order) - 1; i >= 0; i-- {
		r := b.order[i]
		if r.Ref == "" || r.Ref != key && (len(key) != 32 || !strings.Contains(r.Session, strings.ToLower(key))) {
			continue
		}
		t := r.Trace
		t.Left, t.Right = slices.Clone(t.Left), slices.Clone(t.Right)
		at, _ := slices.BinarySearchFunc(r.Events, since+1, func(e Event, n int) int { return e.Seq - n })
		t.Events = make([]Event, 0, len(r.Events)-at)
		for _, e := range r.Events[at:] {
			t.Events = append(t.Events, e.shown(b.c.Open))
		}
		return t, true
	}
	return Trace{}, false
}

// callID finds the Call-ID of a message.
func callID(b []byte) string { return string(headerOf(b, "call-id", "i")) }

// headerOf gives the value of the first header with this name or its short form.
func headerOf(b []byte, name, short string) []byte {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil
		}
		b = b[i+1:]
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			end = len(b)
		}
		line := b[:end]
		if len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		if c := bytes.IndexByte(line, ':'); c > 0 {
			if key := bytes.TrimSpace(line[:c]); bytes.EqualFold(key, []byte(name)) || short != "" && bytes.EqualFold(key, []byte(short)) {
				return bytes.TrimSpace(line[c+1:])
			}
		}
	}
}

// Verdict words a verdict as ladders show it: "held: region_not_allow_listed".
func Verdict(verdict, ground string) string {
	switch verdict {
	case "hold":
		verdict = "held"
	case "deny":
		verdict = "denied"
	case "permit":
		verdict = "permitted"
	}
	if ground == "" {
		return verdict
	}
	return verdict + ": " + ground
}

// Millis writes a duration as an offset of a ladder.
func Millis(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
