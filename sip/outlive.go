package sip

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
)

// Calls that are up outlive this process. docs/life/of-a-restart.md tells the way of one.
//
// What a call needs for that is written into a book when its caller has acknowledged it, and again when something of it changed: a re-INVITE, an UPDATE, a
// refresh, a transfer, another connection. The loop writes some hundred bytes into memory; the book sees to the rest. A later process reads them in Restore,
// before anything arrives, and goes on where the peers are. Calls in set-up are not kept: their INVITE finds nobody, and is sent again or given up.
//
// What is not kept is what may be lost: the transactions (requests that were open are taken up or refused, see interrupted), who asked for a transfer that was under way, and
// the number of the last request in a dialog (ours goes up by skipped, theirs may come again).

// Book keeps records of calls that are up. Neither blocks, and value may be used again after the return. state/book is one.
type Book interface {
	Put(key string, value []byte)
	Delete(key string)
}

// Outlive is what calls need to outlive this process. The zero value has none: they end with it.
type Outlive struct {
	Book Book
	// Save gives what media needs to find a session again; no key is in it. It does not block.
	Save func(*media.Session) []byte
	// Readopt finds a session again. An error says that it is gone.
	Readopt func(id string, saved []byte) (*media.Session, error)
	// Told gives the description that the far end of a side was sent last, or one that takes its place; nil when neither is known. A nil Told knows none. Said hears that it was sent,
	// and may be nil.
	Told func(s *media.Session, side media.Side) []byte
	Said func(s *media.Session, side media.Side)
}

// endOf is the key of the records of a call that has ended, until the log has them: who is killed in between writes them with its next breath.
func endOf(id string) string { return id + "/end" }

// lasts says that a call is one that may outlive us: up on both sides, and not our own.
func (c *call) lasts() bool {
	return c.confirmed && c.prepared && !c.ended && c.a != nil && c.b != nil && c.a.dlg != nil && c.b.dlg != nil && c.synth == nil && c.media.Load() != nil
}

// establish writes down that the call is up: its caller has acknowledged it.
func (c *call) establish() {
	if c.sh.e.c.Outlive.Book != nil && c.lasts() {
		c.kept = true
		c.save()
	}
}

// save writes down what changed of a call that was written down before.
func (c *call) save() {
	if !c.kept || !c.lasts() {
		return
	}
	s := c.sh
	s.page = c.append(append(s.page[:0], savedVersion))
	s.e.c.Outlive.Book.Put(c.id, s.page)
}

// keep writes down what the log will get of a call that ended, off the loop.
func (s *sheet) keep() {
	c := s.call
	if !c.kept {
		return
	}
	raw, err := json.Marshal(epitaph{Ended: s.ended, Receipt: s.rec})
	if err != nil {
		c.sh.e.log.Error("the records of a call could not be kept", "call", s.rec.CallRef, "error", err)
		return
	}
	c.sh.e.c.Outlive.Book.Put(endOf(c.id), append([]byte{savedVersion}, raw...))
	c.sh.e.c.Outlive.Book.Delete(c.id)
}

// forget lets the records go that the log has. What it would not take stays for the next start.
func (s *sheet) forget() {
	if c := s.call; c.kept && s.records.failed.Load() == 0 {
		c.sh.e.c.Outlive.Book.Delete(endOf(c.id))
	}
}

// epitaph is what the log gets of a call.
type epitaph struct {
	Ended   audit.CallEnded `json:"ended"`
	Receipt audit.Receipt   `json:"receipt"`
}

// Leave refuses new calls as Drain does, and waits until none is in set-up and nothing is open on those that are up, or ctx ends, which is an error. Then the end of
// Run leaves the calls that are up to a later process; without Outlive they end.
func (e *Edge) Leave(ctx context.Context) error {
	e.draining.Store(true)
	if e.c.Outlive.Book == nil {
		return nil
	}
	e.leaving.Store(true)
	for {
		busy := e.busy()
		if busy == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sip: %d calls are still changing: %w", busy, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// busy counts the calls that a restart would tear out of something.
func (e *Edge) busy() (n int) {
	counts := make(chan int, len(e.shards))
	for _, s := range e.shards {
		s.loop.Post(func() {
			n := s.pending
			for c := range s.calls {
				if !c.kept || c.moving != nil || c.a.open() || c.b.open() {
					n++
				}
			}
			counts <- n
		})
	}
	for range e.shards {
		n += <-counts
	}
	return n
}

// open says whether a request that changes the session is under way on this leg.
func (l *leg) open() bool { return l.in != nil || l.out != nil || l.waiting != nil || l.owed != 0 }

// leave ends the calls that cannot be left to a later process, and no other.
func (s *shard) leave() {
	s.settleOwed()
	for c := range s.calls {
		if !c.kept {
			c.hangup(byEdge, reason{"SIP", 503, "the edge stops"})
		}
	}
	for l := range s.parted {
		l.part([]reason{{"SIP", 503, "the edge stops"}})
	}
}

// ending counts what an ending edge waits for.
func (s *shard) ending() int {
	n := len(s.parted) + s.pending
	for c := range s.calls {
		if !s.e.leaving.Load() || !c.kept {
			n++
		}
	}
	return n
}
