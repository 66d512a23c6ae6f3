package link

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/plane"
)

// Inventory is what a media process held when the control process before this one had gone. Keys in it are for whoever goes on with the legs.
type Inventory struct {
	Build string // of the media process that held it
	PID   int
	// It was replaced by one of this build, at that moment, which went on with the legs after so long: what came meanwhile waited.
	Upgraded bool
	At       time.Time
	Gap      time.Duration

	Pairs []plane.Pair
	Legs  []Leg
}

// Leg is one leg as it was commanded last.
type Leg struct {
	Open     plane.Open
	Set      plane.Set // zero where Known is false
	Known    bool      // there was a Set
	Muted    bool
	Silenced bool
	Joined   [2]plane.Ref // the last Join in which it was; zero for none
	Watched  bool
}

// adopt has a media process tell all that it holds. The policy of this process goes before everything else.
func (c *Client) adopt(p *peer) (inv Inventory, err error) {
	c.law.mu.Lock()
	defer c.law.mu.Unlock()
	if _, err := c.law.newest(); err != nil {
		return inv, err
	}
	if err := p.l.c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return inv, err
	}
	if err := p.l.say(func(q *batch) { q.b = bare(putPolicy(q.b, c.law.push, c.law.bytes), kindAdopt) }); err != nil {
		return inv, err
	}
	c.workers = int(p.hello.Workers)
	book, err := c.inherit(p)
	if err != nil {
		book.abandon()
		return inv, fmt.Errorf("link: inventory: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book, c.peer, c.line = book, p, p.l
	for _, id := range book.free() { // they rested, and whoever rests them now has other numbers
		c.withdraw(id)
	}
	inv = book.inventory()
	for _, l := range inv.Legs {
		c.inherited = append(c.inherited, l.Open.Ref)
	}
	inv.Build, inv.PID = p.hello.Build, int(p.hello.PID)
	return inv, p.l.c.SetReadDeadline(time.Time{})
}

// inherit reads an inventory.
func (c *Client) inherit(p *peer) (*ledger, error) {
	book := newLedger()
	for {
		k, r, files, err := p.l.next()
		switch {
		case err != nil:
			return book, err
		case k == kindHeld && c.memory == nil:
			return book, fmt.Errorf("%w: an inventory without memory", errFrame)
		case k == kindHeld:
			return book, nil
		case k == kindMemory && len(files) == 1 && c.memory == nil:
			if c.memory, err = osnet.OpenShared(files[0], false); err == nil {
				c.view = plane.NewView(c.memory.Bytes(), c.workers)
			}
		case commands(k):
			var o order
			if o, err = commanded(k, r, files); err == nil {
				o.book(book)
			}
		default:
			err = c.heard(p, k, r, files)
		}
		if err != nil {
			return book, err
		}
	}
}

// abandon closes the sockets of a book that nobody goes on with.
func (l *ledger) abandon() {
	for _, h := range l.pairs {
		h.rtp.Close()
		h.rtcp.Close()
	}
}

// inventory is the book for somebody who has none.
func (l *ledger) inventory() Inventory {
	inv := Inventory{}
	for _, id := range slices.Sorted(maps.Keys(l.pairs)) {
		h := l.pairs[id]
		rtp, _ := h.rtp.(*osnet.Socket)
		rtcp, _ := h.rtcp.(*osnet.Socket)
		inv.Pairs = append(inv.Pairs, plane.Pair{ID: id, RTP: rtp, RTCP: rtcp})
	}
	for _, slot := range slices.Sorted(maps.Keys(l.legs)) {
		inv.Legs = append(inv.Legs, l.legs[slot].leg())
	}
	return inv
}

func (c *record) leg() Leg {
	r := body{b: c.open[headerSize:]}
	out := Leg{Open: r.open(), Muted: c.rest != 0, Silenced: c.rest == kindSilence, Watched: c.watched}
	if c.set != nil {
		out.Set, out.Known = setIn(c.set), true
	}
	if c.join != nil {
		r = body{b: c.join[headerSize:]}
		out.Joined = [2]plane.Ref{r.ref(), r.ref()}
	}
	return out
}

// Held implements plane.Commands: the legs of the inventory, as long as nobody closed them.
func (c *Client) Held() []plane.Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []plane.Held
	for _, r := range c.inherited {
		l := c.book.at(r)
		if l == nil {
			continue
		}
		k := l.leg()
		out = append(out, plane.Held{Open: k.Open, In: k.Set.In, Out: k.Set.Out, Checks: k.Set.Checks, Joined: c.book.partner(l)})
	}
	return out
}

// partner is the leg that a leg is joined to: the last Join of both was the same. The zero Ref is nobody.
func (l *ledger) partner(c *record) plane.Ref {
	if c.join == nil {
		return plane.Ref{}
	}
	r := body{b: c.join[headerSize:]}
	x, y := r.ref(), r.ref()
	if x == c.ref {
		x = y
	}
	if o := l.at(x); o == nil || o.turn != c.turn {
		return plane.Ref{}
	}
	return x
}
