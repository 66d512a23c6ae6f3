package link

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/plane"
)

// standStill leaves packets in their sockets from now on, and tells all that is held, with what is known of each leg. When the control process says that it has it all,
// this process ends; when its connection ends without, the packets are carried on.
func (s *Server) standStill(l *line) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.runs || s.still != nil {
		return fmt.Errorf("%w: nothing is carried that could be told", errFrame)
	}
	s.still = s.plane.Pause()
	s.ears.hear(l) // the moves that nobody heard of come first
	var failed error
	l.put(func(q *batch) {
		q.b = s.book.tell(q.b, func(at int, h held) { q.files = append(q.files, file{at, h.rtp}, file{at, h.rtcp}) })
		var record []byte
		for _, slot := range slices.Sorted(maps.Keys(s.book.legs)) {
			ref, known := s.book.legs[slot].ref, false
			if record, known = s.still.Export(record[:0], ref); known && failed == nil {
				q.b, failed = putState(q.b, ref, record)
			}
		}
		q.b = bare(q.b, kindHeld)
	})
	return failed
}

// goOn ends a standstill after which nobody took over.
func (s *Server) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.still != nil {
		s.still.Resume()
		s.still = nil
		s.cfg.Logger.Warn("media: nobody took over: this process carries its calls on")
	}
}

// estate is what a media process of another build had.
type estate struct {
	book    *ledger
	records map[plane.Ref][]byte
	moves   []plane.Move
}

// relieve has a media process of this build take the place of another one, with its sockets, its legs and all that is known of them. gone: the other one is no more, so an
// error is final. Before that an error leaves it as it was.
func (c *Client) relieve(ctx context.Context, old *peer) (inv Inventory, gone bool, err error) {
	defer old.l.drop()
	defer old.l.c.Close()
	path := c.cfg.Socket + nextPath
	os.Remove(path) // of an attempt that did not come to its end
	next, err := c.fresh(ctx, path)
	if err != nil {
		return inv, false, err
	}
	begun := time.Now()
	had, err := hear(old)
	if err == nil {
		err = c.settle(had, int(old.hello.Workers))
	}
	if err != nil {
		had.book.abandon()
		next.l.c.Close()
		next.kill()
		return inv, false, err
	}
	dismiss(old)
	if err = c.begin(next, true); err != nil { // it ended already: as one that ends later, it is replaced
		next.kill()
		if next, err = c.fresh(ctx, path); err == nil {
			err = c.begin(next, true)
		}
	}
	if err != nil {
		return inv, true, err
	}
	inv = c.book.inventory()
	inv.Build, inv.PID, inv.Upgraded, inv.At, inv.Gap = old.hello.Build, int(old.hello.PID), true, begun, time.Since(begun)
	if err := os.Rename(path, c.cfg.Socket); err != nil {
		c.cfg.Logger.Error("media: the socket of the new media process keeps the name of the next one", "error", err)
	} else {
		next.path = c.cfg.Socket
	}
	c.cfg.Logger.Info("media: a media process of this build carries the legs on",
		"from", old.hello.who(), "from_layout", old.hello.Layout, "pid", next.p.Pid, "build", next.hello.Build, "legs", len(inv.Legs), "gap", inv.Gap)
	return inv, true, nil
}

// hear has a media process stand still and tell all that it has. What is given is never nil.
func hear(p *peer) (*estate, error) {
	had := &estate{book: newLedger(), records: map[plane.Ref][]byte{}}
	if err := p.l.c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return had, err
	}
	if err := p.l.say(func(q *batch) { q.b = bare(q.b, kindYield) }); err != nil {
		return had, err
	}
	for {
		k, r, files, err := p.l.next()
		switch {
		case err != nil:
		case k == kindHeld:
			return had, nil
		case commands(k):
			var o order
			if o, err = commanded(k, r, files); err == nil {
				o.book(had.book)
			}
		default:
			closeAll(files)
			err = had.add(k, r)
		}
		if err != nil {
			return had, fmt.Errorf("link: what process %d has: %w", p.p.Pid, err)
		}
	}
}

// add takes what is no command. A ruling that another build wrote, and this one cannot read, is left out with its move.
func (e *estate) add(k kind, r *body) error {
	switch k {
	case kindState:
		ref, record := r.state()
		e.records[ref] = slices.Clone(record)
		return r.end()
	case kindMoved:
		if m := r.moved(nil); r.end() == nil {
			e.moves = append(e.moves, m)
		}
	}
	return nil
}

// settle makes memory of this layout with all that is known in it, and the book one's own.
func (c *Client) settle(had *estate, workers int) error {
	legs := uint32(c.cfg.Legs)
	for slot := range had.book.legs {
		legs = max(legs, slot)
	}
	mem, err := osnet.NewShared("cordon-media", plane.Memory(int(legs), workers))
	if err != nil {
		return err
	}
	v := plane.NewView(mem.Bytes(), workers)
	for ref, record := range had.records {
		if had.book.at(ref) == nil {
			continue
		}
		if err := v.Import(ref.Slot, record); err != nil {
			mem.Close()
			return fmt.Errorf("link: %w", err)
		}
	}
	if mem, err = looking(mem); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range had.book.free() { // they rested, and whoever rests them now has other numbers
		h, _ := had.book.withdraw(id)
		h.rtp.Close()
		h.rtcp.Close()
	}
	c.memory, c.workers, c.book, c.missed = mem, workers, had.book, had.moves
	c.view = plane.NewView(mem.Bytes(), workers)
	for _, slot := range slices.Sorted(maps.Keys(c.book.legs)) {
		c.inherited = append(c.inherited, c.book.legs[slot].ref)
	}
	return nil
}

// dismiss has a media process end that stands still, and comes back when it has.
func dismiss(p *peer) {
	err := p.l.c.SetReadDeadline(time.Now().Add(patience))
	if err == nil {
		err = p.l.say(func(q *batch) { q.b = bare(q.b, kindStop) })
	}
	for err == nil {
		_, _, _, err = p.l.next()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.l.end(errStuck)
	}
	p.kill() // it has ended, or does nothing any more
}
