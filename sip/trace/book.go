// Package trace is the memory of what calls looked like on the wire: the last messages of live and recently ended calls, bounded in number and bytes; their
// ladder for a terminal, their capture file, and their copy for a HEP collector.
//
// What leaves it is masked: numbers, names, users, keys and digest answers by stars of the same length. Messages with keys of media or answers of digest are
// masked before they are kept, the others when somebody looks: most calls nobody ever looks at. Who hands a message over copies it into memory that calls
// before it used, under a lock that nobody holds for longer than that takes; one goroutine sends copies on and forgets. It imports nothing of ours: sip and the
// hall feed it.
package trace

import (
	"bytes"
	"context"
	"hash/maphash"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	CallID        string // empty: Tap looks for it
	Text          []byte // copied by Tap
}

// Book remembers. A nil Book remembers nothing. Methods may be called from anywhere and wait for nothing but each other.
type Book struct {
	c       Config
	queue   chan copied  // for Export
	waiting atomic.Int64 // bytes of text in it
	seed    maphash.Seed

	mu     sync.Mutex
	recent [2048]seating // those of byCall that were asked for last, by the low bits of their key: one line of memory for three
	byCall map[callKey]seat
	byID   map[string]*record
	live   chain // in the order in which they began
	ended  chain // in the order in which they ended
	opened uint64
	bytes  int
	spare  []*record // whose memory the next calls take
	strays strays
}

// callKey is a Call-ID as a keyed hash of 64 bits: it needs no memory, and two calls of a book have the same one never in the life of this machine.
type callKey uint64

// copied is a message for Export.
type copied struct {
	Event
	ref string
}

const (
	queued    = 4096
	queuePart = 4        // the text in the queue is at most one part in so many of Config.Bytes
	leastText = 64 << 10 // and there is always room for one message
	maxLegs   = 64       // dialogs of one call
	maxSpare  = 16
	roomy     = 32 << 10 // text of one call whose memory is not kept for another, which will hardly need as much
	sweepEach = 10 * time.Second
)

// New makes an empty book and starts nothing.
func New(c Config) *Book {
	c.Calls, c.Messages, c.Bytes = orElse(c.Calls, 1000), max(orElse(c.Messages, 64), 8), orElse(c.Bytes, 32<<20)
	if c.Keep <= 0 {
		c.Keep = 15 * time.Minute
	}
	b := &Book{c: c, seed: maphash.MakeSeed(), byCall: map[callKey]seat{}, byID: map[string]*record{}, strays: strays{most: max(c.Bytes/strayShare, leastText)}}
	if c.Export != nil {
		b.queue = make(chan copied, queued)
	}
	return b
}

func orElse(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// Run hands copies to Export and forgets what is too old until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.sweep(time.Now())
		case e := <-b.queue:
			b.waiting.Add(-int64(len(e.raw)))
			b.c.Export(e.shown(b.c.Open), e.ref)
		}
	}
}

// Tap takes a copy of a message. Keep-alives, and probes and registrations, which are of no call, are left out at once.
func (b *Book) Tap(p Packet) {
	if b == nil || len(p.Text) < 16 || bytes.HasPrefix(p.Text, []byte("OPTIONS ")) || bytes.HasPrefix(p.Text, []byte("REGISTER ")) {
		return
	}
	k, ok := b.keyOf(&p)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.seatOf(k); ok {
		b.message(s, &p)
		return
	}
	b.strays.take(k, &p)
}

// keyOf names the dialog of a message; it has none without a Call-ID.
func (b *Book) keyOf(p *Packet) (callKey, bool) {
	if p.CallID != "" {
		return callKey(maphash.String(b.seed, p.CallID)), true
	}
	id := callID(p.Text)
	return callKey(maphash.Bytes(b.seed, id)), len(id) > 0
}

// seatOf finds the leg of a dialog.
func (b *Book) seatOf(k callKey) (seat, bool) {
	last := &b.recent[k%callKey(len(b.recent))]
	if last.key == k && last.r != nil {
		return last.seat, true
	}
	s, ok := b.byCall[k]
	if ok {
		*last = seating{k, s}
	}
	return s, ok
}

// Join says that a dialog belongs to the call id, which is made when it is new.
func (b *Book) Join(id string, l Leg) {
	if b == nil {
		return
	}
	now, k := time.Now(), callKey(maphash.String(b.seed, l.CallID))
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.byID[id]
	if r == nil {
		r = b.open(id, now)
	}
	if len(r.legs) >= maxLegs {
		return
	}
	r.legs = append(r.legs, r.place(l, k))
	s := seat{r, uint8(len(r.legs) - 1)}
	b.byCall[k] = s
	b.recent[k%callKey(len(b.recent))] = seating{k, s}
	b.strays.leave(k, func(p *Packet) { b.message(s, p) })
}

// Name gives the call its audit reference and what its Session-ID is so far.
func (b *Book) Name(id, ref, session string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.byID[id]; r != nil {
		r.ref, r.session = ref, session
		b.export(r)
	}
}

// Note writes a line, of these parts, between the messages: a verdict, what came of an attempt. It must hold nothing of a person.
func (b *Book) Note(id string, parts ...string) {
	if b == nil {
		return
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.byID[id]; r != nil {
		b.note(r, now, parts)
	}
}

// End says that the call is over. What still comes of its dialogs is taken.
func (b *Book) End(id, session string, parts ...string) {
	if b == nil {
		return
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.byID[id]
	if r == nil {
		return
	}
	if !r.over.IsZero() {
		b.ended.remove(r)
	} else {
		b.live.remove(r)
	}
	r.session, r.over = session, now
	b.ended.add(r)
	b.note(r, now, parts)
}

// open makes the record of a call in the memory of one that is forgotten, if there is any.
func (b *Book) open(id string, at time.Time) *record {
	for len(b.byID) >= b.c.Calls {
		b.forget(b.oldest(nil))
	}
	var r *record
	if n := len(b.spare); n > 0 {
		r, b.spare = b.spare[n-1], b.spare[:n-1]
	} else {
		r = &record{}
	}
	b.opened++
	r.id, r.number, r.began = id, b.opened, at
	b.byID[id] = r
	b.live.add(r)
	b.c.Metrics.remembered(len(b.byID))
	return r
}

// message keeps a message. What is secret beyond the call is masked at once.
func (b *Book) message(s seat, p *Packet) {
	if p.At.Before(s.r.began) { // the first message comes before its call
		s.r.began = p.At
	}
	m := mark{at: p.At, leg: s.leg, out: p.Out, path: s.r.pathOf(p)}
	at := len(s.r.text)
	s.r.text = append(s.r.text, p.Text...)
	if secret(p.Text) { // they are still at hand, while the copy is on its way
		Mask(s.r.text[at:], b.c.Open)
		m.masked = true
	}
	b.add(s.r, m)
	b.export(s.r)
}

// secret says whether a message holds keys of media, an answer of digest, or what may be the digits of a PIN: an INFO with a body. Keys stand in a body: most messages end with the length of theirs, which is none.
// Both words are case-blind: RFC 3261 section 7.3.1 (space may stand before the colon, too), RFC 4568 section 9.2.
func secret(text []byte) bool {
	const answer, key = "uthorization", "inline:"
	return holds(text, answer, 6, 'z') || holds(text, answer, 6, 'Z') ||
		!bytes.HasSuffix(text, []byte("\r\nContent-Length: 0\r\n\r\n")) && (bytes.HasPrefix(text, []byte("INFO ")) || holds(text, key, 2, 'l') || holds(text, key, 2, 'L'))
}

// holds says whether a word stands in a text with this letter at a place, the others as they like. The letter is one that is rare in messages: hardly any byte of
// them is a z, and few are an l.
func holds(text []byte, word string, place int, letter byte) bool {
	for at := place; at < len(text); at++ {
		i := bytes.IndexByte(text[at:], letter)
		if i < 0 {
			return false
		}
		if at += i; at-place+len(word) <= len(text) && bytes.EqualFold(text[at-place:at-place+len(word)], []byte(word)) {
			return true
		}
	}
	return false
}

func (b *Book) note(r *record, at time.Time, parts []string) {
	for _, p := range parts {
		r.text = append(r.text, p...)
	}
	b.add(r, mark{at: at, note: true})
}

// add makes what was written behind the text of r an event.
func (b *Book) add(r *record, m mark) {
	if len(r.marks) >= b.c.Messages {
		b.bytes -= r.drop(b.c.Messages / 4)
		r.lost++
		b.c.Metrics.lost("full")
	}
	r.seen++
	m.seq, m.end = r.seen, len(r.text)
	b.bytes += m.end - r.start(len(r.marks))
	r.marks = append(r.marks, m)
	for b.bytes > b.c.Bytes && len(b.byID) > 1 {
		b.forget(b.oldest(r))
	}
}

// export hands on what waited for the reference.
func (b *Book) export(r *record) {
	if r.ref == "" || b.c.Export == nil {
		return
	}
	for i := r.behind(r.told); i < len(r.marks); i++ {
		b.tell(r, i)
	}
	r.told = r.seen
}

// tell queues the copy of a message.
func (b *Book) tell(r *record, i int) {
	if r.marks[i].note {
		return
	}
	n := int64(r.marks[i].end - r.start(i))
	if b.waiting.Add(n) <= int64(max(b.c.Bytes/queuePart, leastText)) {
		select {
		case b.queue <- copied{r.event(i), r.ref}:
			return
		default:
		}
	}
	b.waiting.Add(-n)
	b.c.Metrics.drop("queue")
}

// oldest is the call that goes first: of those that ended the first, else the first of all.
func (b *Book) oldest(but *record) *record {
	for _, r := range [...]*record{b.ended.first, b.live.first} {
		if r == but && r != nil {
			r = r.next
		}
		if r != nil {
			return r
		}
	}
	return nil
}

func (b *Book) forget(r *record) {
	for i := range r.legs {
		k := r.legs[i].key
		if b.byCall[k].r == r {
			delete(b.byCall, k)
		}
		if last := &b.recent[k%callKey(len(b.recent))]; last.r == r {
			*last = seating{}
		}
	}
	delete(b.byID, r.id)
	if r.over.IsZero() {
		b.live.remove(r)
	} else {
		b.ended.remove(r)
	}
	b.bytes -= len(r.text)
	b.c.Metrics.remembered(len(b.byID))
	if len(b.spare) < maxSpare && cap(r.text) <= roomy {
		b.spare = append(b.spare, r.blank())
	}
}

func (b *Book) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := b.ended.first; r != nil && now.Sub(r.over) > b.c.Keep; r = b.ended.first {
		b.forget(r)
	}
	b.strays.sweep(now)
}

// Find gives the call with this audit reference, or with this UUID on either end of its Session-ID. Events begin behind the one numbered since.
func (b *Book) Find(key string, since int) (Trace, bool) {
	if b == nil || key == "" {
		return Trace{}, false
	}
	t, ok := b.look(key, since)
	for i := range t.Events {
		t.Events[i] = t.Events[i].shown(b.c.Open)
	}
	return t, ok
}

// look copies what is remembered of a call, of several the newest, as it is kept.
func (b *Book) look(key string, since int) (Trace, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var r *record
	for _, x := range b.byID {
		if (r == nil || x.number > r.number) && x.ref != "" && (x.ref == key || len(key) == 32 && strings.Contains(x.session, strings.ToLower(key))) {
			r = x
		}
	}
	if r == nil {
		return Trace{}, false
	}
	return r.trace(since, !b.c.Open), true
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

// callID finds the Call-ID of a message.
func callID(b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 || i+1 == len(b) {
			return nil
		}
		switch b = b[i+1:]; b[0] {
		case '\r', '\n':
			return nil
		case 'C', 'c', 'I', 'i': // most lines begin otherwise
			if id, ok := bytes.CutPrefix(b, []byte("Call-ID:")); ok { // as nearly everybody writes it
				id, _, _ = bytes.Cut(id, []byte("\n"))
				return bytes.TrimSpace(id)
			}
			if line, _, _ := bytes.Cut(b, []byte("\n")); isCallID(line) {
				_, id, _ := bytes.Cut(line, []byte(":"))
				return bytes.TrimSpace(id)
			}
		}
	}
}

func isCallID(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimSpace(name)
	return ok && (bytes.EqualFold(name, []byte("call-id")) || bytes.EqualFold(name, []byte("i")))
}

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
