package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// maxLeaf is the longest entry that a bundle can hold: C2SP tlog-tiles writes its length in two bytes.
const maxLeaf = 1<<16 - 1

var (
	errClosed   = errors.New("the log is closed")
	errHangs    = errors.New("the disk did not answer in time")
	errStuck    = errors.New("an earlier append still hangs")
	errUnsigned = errors.New("no signed checkpoint covers the entry in time")
)

// spine is what an entry means: envelope, stamp, outages and gaps. Below it stands a driver that keeps leaves.
type spine struct {
	cfg   Config
	drv   driver
	put   appendFunc
	by    atomic.Pointer[signing]
	turns sync.Mutex // of those who change the key
	ids   ulids
	stamp atomic.Pointer[stamped]

	healing  chan struct{} // a token: one gap is written at a time
	pace     pace
	line     line         // of entries that nobody waits for
	recent   recent       // the newest entries, for those who follow
	abandons atomic.Int64 // appends that ran out of time and have not come back

	life struct {
		sync.Mutex
		closing chan struct{} // closed by Close
		shut    bool
		running sync.WaitGroup
	}

	grown struct {
		sync.Mutex
		size    uint64
		waiters map[uint64]chan struct{}
	}
	state struct {
		sync.Mutex
		down     *outage
		unsigned error // why the last Commit was not covered in time
		behind   bool  // checkpoints stand still, as Health saw it last
		wanted   uint64
		since    time.Time
		tried    time.Time // the last attempt to heal
	}
}

func newSpine(ctx context.Context, c Config, d driver, by *signing) (*spine, error) {
	if c.Refuse != nil {
		d = refusing{d, c.Refuse}
	}
	s := &spine{cfg: c, drv: d, put: d.append, healing: make(chan struct{}, 1)}
	s.life.closing = make(chan struct{})
	s.by.Store(by)
	if c.wrap != nil {
		s.put = c.wrap(d.append)
	}
	s.SetStamp(Stamp{})
	s.state.since = c.Now().UTC()
	s.grown.waiters = map[uint64]chan struct{}{}
	n, err := d.durable(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit: size of the log: %w", err)
	}
	s.grown.size = n
	return s, nil
}

// Append makes e durable. A wrapped ErrLogDown says that it was not durable in time; after a hang it may still turn up in the log.
func (s *spine) Append(ctx context.Context, e Event) (uint64, error) {
	p, err := s.wrap(e)
	if err != nil {
		return 0, err
	}
	return s.take(ctx, p)
}

// take brings one parcel into the log, behind the gap that is due.
func (s *spine) take(ctx context.Context, p parcel) (uint64, error) {
	if err := s.heal(ctx); err != nil {
		s.lose(p, err)
		return 0, down(p.entry.Kind, err)
	}
	seq, err := s.store(ctx, p)
	if err != nil {
		return 0, down(p.entry.Kind, err)
	}
	return seq, nil
}

// Commit is Append and then a wait for the checkpoint, at most AppendTimeout and ten checkpoint intervals more.
func (s *spine) Commit(ctx context.Context, e Event) (uint64, error) {
	seq, err := s.Append(ctx, e)
	if err != nil {
		return 0, err
	}
	wait, cancel := context.WithTimeoutCause(ctx, s.cfg.AppendTimeout+10*s.cfg.Checkpoint, errUnsigned)
	defer cancel()
	if err := s.drv.covered(wait, seq+1); err != nil {
		if cause := context.Cause(wait); cause != nil {
			err = cause
		}
		if ctx.Err() == nil {
			s.signing(err, seq+1)
		}
		return seq, down(e.Kind(), err)
	}
	s.signing(nil, 0)
	return seq, nil
}

func down(k Kind, err error) error {
	return fmt.Errorf("%w: append %s: %w", ErrLogDown, k, err)
}

// scratch are buffers in which entries are written; each goes into the log as a copy of just its length.
var scratch = sync.Pool{New: func() any { return &text{b: make([]byte, 0, 4096)} }}

// wrap gives the entry as it stands in the tree.
func (s *spine) wrap(e Event) (p parcel, _ error) {
	now := s.cfg.Now().UTC().Round(0)
	st := s.stamp.Load()
	p = parcel{call: callRefOf(e), patient: patient(e.Kind()), entry: Entry{
		ID: s.ids.make(now), Kind: e.Kind(), Tenant: s.cfg.Tenant, Node: s.cfg.Node, Software: s.cfg.Software,
		PolicyDigest: st.PolicyDigest, FactsDigest: st.FactsDigest, Generation: st.Generation,
		Time: now, Clock: s.cfg.Clock(), Gap: e.Kind() == KindGap,
	}}
	t := scratch.Get().(*text)
	defer scratch.Put(t)
	t.b, t.err = t.b[:0], nil
	p.entry.text(t, st.text)
	head := len(t.b)
	if w, ok := e.(texter); ok {
		w.text(t)
	} else if body, err := json.Marshal(e); err != nil {
		t.err = err
	} else {
		t.b = append(t.b, body...)
	}
	if t.err != nil {
		return parcel{}, fmt.Errorf("audit: entry %s: %w", e.Kind(), t.err)
	}
	if len(t.b) == head || t.b[head] != '{' {
		return parcel{}, fmt.Errorf("audit: body of %s: expected a JSON object", e.Kind())
	}
	t.raw("}")
	if len(t.b) > maxLeaf {
		return parcel{}, fmt.Errorf("audit: entry %s of %d bytes: the most is %d", e.Kind(), len(t.b), maxLeaf)
	}
	p.leaf = bytes.Clone(t.b)
	p.entry.Body = json.RawMessage(p.leaf[head : len(p.leaf)-1 : len(p.leaf)-1])
	return p, nil
}

// parcel is one entry on its way into the log.
type parcel struct {
	entry Entry  // without its index
	leaf  []byte // the entry as it stands in the tree
	call  string // reference of the call it belongs to, if any
	gap   bool   // it reports a loss and is none itself

	patient bool // it may wait for others to share a batch with
	done    func(seq uint64, err error)
}

// store puts one leaf and waits for it no longer than AppendTimeout. What it gives up on is counted as lost until it turns up.
func (s *spine) store(ctx context.Context, p parcel) (uint64, error) {
	if !s.enter() {
		return 0, errClosed
	}
	if !s.drv.blocks() && s.cfg.wrap == nil {
		defer s.life.running.Done()
		seq, err := s.put(p.leaf)
		return seq, s.settle(seq, &p, err)
	}
	if s.abandons.Load() > 0 { // the driver works in order: nobody overtakes the one that hangs
		s.life.running.Done()
		s.lose(p, errStuck)
		return 0, errStuck
	}
	w := &wait{res: make(chan result, 1)}
	go s.carry(p, w)
	timer := time.NewTimer(s.cfg.AppendTimeout)
	defer timer.Stop()
	var why error
	select {
	case r := <-w.res:
		return r.seq, r.err
	case <-timer.C:
		why = errHangs
	case <-ctx.Done():
		why = context.Cause(ctx)
	}
	if r, ok := s.leave(w, why == errHangs); ok {
		return r.seq, r.err
	}
	if why == errHangs {
		s.lose(p, why)
	}
	return 0, why
}

// wait is where a caller and the append it asked for meet, or miss each other.
type wait struct {
	mu   sync.Mutex
	left bool // the caller has gone
	hung bool // because time was up
	res  chan result
}

type result struct {
	seq uint64
	err error
}

// carry appends and hands the result over, or accounts for it when nobody waits any more.
func (s *spine) carry(p parcel, w *wait) {
	defer s.life.running.Done()
	if p.patient {
		s.pace.wait(s.life.closing)
	}
	seq, err := s.tryHard(p.leaf)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.left {
		w.res <- result{seq, s.settle(seq, &p, err)}
		return
	}
	if err == nil {
		s.recent.keep(seq, &p.entry, len(p.leaf))
		s.grow(seq + 1)
	}
	switch {
	case w.hung && err == nil:
		s.found(p)
	case !w.hung && err != nil:
		s.lose(p, err)
	}
	if w.hung {
		s.abandons.Add(-1)
	}
}

// leave turns away from an append, unless its result came just now.
func (s *spine) leave(w *wait, hung bool) (result, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case r := <-w.res:
		return r, true
	default:
	}
	w.left, w.hung = true, hung
	if hung {
		s.abandons.Add(1)
	}
	return result{}, false
}

// enter says whether the log is still open, and if so holds Close back until life.running.Done.
func (s *spine) enter() bool {
	s.life.Lock()
	defer s.life.Unlock()
	if s.life.shut {
		return false
	}
	s.life.running.Add(1)
	return true
}

// tryHard appends, and while the disk is full gives up reserve for another try.
func (s *spine) tryHard(leaf []byte) (uint64, error) {
	for {
		_, used := s.drv.reserve()
		seq, err := s.put(leaf)
		if err == nil || !isFull(err) || !s.drv.room(used) {
			return seq, err
		}
	}
}

// settle takes the outcome of a put that its caller still waits for.
func (s *spine) settle(seq uint64, p *parcel, err error) error {
	if err != nil {
		s.lose(*p, err)
		return err
	}
	s.recent.keep(seq, &p.entry, len(p.leaf))
	s.grow(seq + 1)
	return nil
}

func (s *spine) grow(n uint64) {
	s.grown.Lock()
	defer s.grown.Unlock()
	if n <= s.grown.size {
		return
	}
	s.grown.size = n
	for at, ch := range s.grown.waiters {
		if at < n {
			close(ch)
			delete(s.grown.waiters, at)
		}
	}
}

// Size is the number of entries that are known to be durable.
func (s *spine) Size() uint64 {
	s.grown.Lock()
	defer s.grown.Unlock()
	return s.grown.size
}

// Grown gives one channel to all who wait for the same size.
func (s *spine) Grown(n uint64) <-chan struct{} {
	s.grown.Lock()
	defer s.grown.Unlock()
	ch, ok := s.grown.waiters[n]
	if !ok {
		ch = make(chan struct{})
		if s.grown.size > n {
			close(ch)
			return ch
		}
		s.grown.waiters[n] = ch
	}
	return ch
}

func (s *spine) Entries(ctx context.Context, from uint64, max int) ([]Entry, error) {
	size := s.Size()
	if from >= size || max <= 0 {
		return nil, nil
	}
	n := min(uint64(max), size-from)
	if out := s.recent.list(from, n, nil); out != nil {
		return out, nil
	}
	leaves, err := s.drv.leaves(ctx, from, n)
	if err != nil {
		return nil, fmt.Errorf("audit: entries from %d: %w", from, err)
	}
	out := make([]Entry, len(leaves))
	for i, leaf := range leaves {
		if out[i], err = parseEntry(leaf); err != nil {
			return nil, fmt.Errorf("audit: entry %d: %w", from+uint64(i), err)
		}
		out[i].Seq = from + uint64(i)
	}
	return out, nil
}

// leaf gives the very bytes of an entry.
func (s *spine) leaf(ctx context.Context, seq uint64) ([]byte, error) {
	if n := s.Size(); seq >= n {
		return nil, fmt.Errorf("the log holds %d entries", n)
	}
	leaves, err := s.drv.leaves(ctx, seq, 1)
	if err != nil {
		return nil, err
	}
	return leaves[0], nil
}

func (s *spine) Checkpoint(ctx context.Context) ([]byte, error) {
	cp, err := s.drv.checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit: checkpoint: %w", err)
	}
	return cp, nil
}

func (s *spine) Inclusion(ctx context.Context, seq, size uint64) ([][]byte, error) {
	if n := s.Size(); seq >= size || size > n {
		return nil, fmt.Errorf("audit: inclusion of %d in a tree of %d: the log holds %d", seq, size, n)
	}
	p, err := s.drv.inclusion(ctx, seq, size)
	if err != nil {
		return nil, fmt.Errorf("audit: inclusion of %d in a tree of %d: %w", seq, size, err)
	}
	return p, nil
}

func (s *spine) Consistency(ctx context.Context, a, b uint64) ([][]byte, error) {
	if n := s.Size(); a > b || b > n {
		return nil, fmt.Errorf("audit: consistency of %d and %d: the log holds %d", a, b, n)
	}
	p, err := s.drv.consistency(ctx, a, b)
	if err != nil {
		return nil, fmt.Errorf("audit: consistency of %d and %d: %w", a, b, err)
	}
	return p, nil
}

func (s *spine) VerifierKey() string { return s.by.Load().signer.vkey }
func (s *spine) Keys() string        { return s.by.Load().file }

// stamped is a stamp and what entries under it have in common, as it stands in them.
type stamped struct {
	Stamp
	text string
}

func (s *spine) SetStamp(st Stamp) {
	e := Entry{Tenant: s.cfg.Tenant, Node: s.cfg.Node, Software: s.cfg.Software, PolicyDigest: st.PolicyDigest, FactsDigest: st.FactsDigest, Generation: st.Generation}
	var t text
	e.stampText(&t)
	s.stamp.Store(&stamped{st, string(t.b)})
}

// Close takes no more entries, waits for those that are under way and for the checkpoint that covers them, as long as ctx allows.
func (s *spine) Close(ctx context.Context) error {
	s.life.Lock()
	if s.life.shut {
		s.life.Unlock()
		return nil
	}
	s.life.shut = true
	close(s.life.closing)
	s.life.Unlock()
	done := make(chan struct{})
	go func() { s.life.running.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if e := s.drv.close(ctx); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("audit: close the log: %w", err)
	}
	return nil
}

// parseEntry reads one leaf. An entry has an id, a kind, a time and an object as its body.
func parseEntry(leaf []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(leaf, &e); err != nil {
		return Entry{}, fmt.Errorf("expected a JSON entry: %w", err)
	}
	switch {
	case e.Kind == "":
		return Entry{}, errors.New("expected a record_type, found none")
	case e.Time.IsZero():
		return Entry{}, errors.New("expected a time_utc, found none")
	case len(e.Body) == 0 || e.Body[0] != '{':
		return Entry{}, errors.New("expected an object as body")
	}
	at, err := ulidTime(e.ID)
	if err != nil {
		return Entry{}, fmt.Errorf("record_id %q: %w", e.ID, err)
	}
	if got := e.Time.UnixMilli(); got != at.UnixMilli() {
		return Entry{}, fmt.Errorf("record_id says %s, time_utc says %s", at.Format(time.RFC3339Nano), e.Time.Format(time.RFC3339Nano))
	}
	return e, nil
}
