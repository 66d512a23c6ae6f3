package link

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	pingEvery  = time.Second
	maxUnheard = 5 // pings in a row that are not answered, until a media process counts as stuck
	backoffLo  = 100 * time.Millisecond
	backoffHi  = 5 * time.Second
	steady     = 30 * time.Second // a media process that lived so long is started again at once
)

// errEnded is a media process that ended by itself.
var errEnded = errors.New("link: the media process ended")

// Run follows the media process, and starts another one when it dies, until ctx ends. Then it is told to end, unless Leave was called.
func (c *Client) Run(ctx context.Context) error {
	defer c.end()
	c.mu.Lock()
	c.ran = true
	c.mu.Unlock()
	for _, m := range c.missed {
		c.cfg.Events.Moved(m)
	}
	c.missed = nil
	var wait time.Duration
	for began := time.Now(); ; began = time.Now() {
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > steady {
			wait = 0
		}
		if !c.replace(ctx, err, wait) {
			return nil
		}
		wait = min(max(2*wait, backoffLo), backoffHi)
	}
}

// Disconnect gives back what Connect took, when Run was never called: the media process goes on as if this process had died.
func (c *Client) Disconnect() {
	c.mu.Lock()
	ran := c.ran
	c.ran = true
	c.mu.Unlock()
	if !ran {
		c.peer.l.end(context.Canceled)
		c.peer.l.drop()
		c.end()
	}
}

// end gives back what Connect took.
func (c *Client) end() {
	c.unhook()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = nil
	c.memory.Close()
	c.memory = nil
	c.book.abandon()
}

// replace starts another media process, at first after wait; false when ctx ended before there was one.
func (c *Client) replace(ctx context.Context, why error, wait time.Duration) bool {
	d := Death{At: time.Now(), Why: why}
	c.mu.Lock()
	c.line = nil
	d.Legs = len(c.book.legs)
	c.mu.Unlock()
	c.deaths.Add(1)
	c.cfg.Logger.Error("media: the media process is gone", "pid", c.peer.p.Pid, "legs", d.Legs, "why", why)
	c.peer.kill()
	for ; ; wait = min(max(2*wait, backoffLo), backoffHi) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
		_, err := c.attach(ctx, false)
		if err == nil {
			break
		}
		c.cfg.Logger.Error("media: no media process could be started", "error", err)
	}
	d.Gap = time.Since(d.At)
	c.cfg.Logger.Info("media: another media process carries the legs on", "pid", c.peer.p.Pid, "legs", d.Legs, "gap", d.Gap)
	if c.cfg.Died != nil {
		c.cfg.Died(d)
	}
	return true
}

// follow looks after the media process until it dies or ctx ends.
func (c *Client) follow(ctx context.Context) error {
	p, ended := c.peer, make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		ended <- p.l.run(func(k kind, r *body, files []int) error { return c.heard(p, k, r, files) })
	})
	tick := time.NewTicker(c.beat)
	defer tick.Stop()
	for seq := uint64(1); ; {
		select {
		case err := <-ended:
			return errors.Join(errEnded, err)
		case <-ctx.Done():
			c.part(p, ended)
			return ctx.Err()
		case <-tick.C:
			c.mu.Lock()
			answered := c.said.seq
			c.mu.Unlock()
			if seq-answered > maxUnheard { // by ticks, not by the clock: this process may have been stopped itself
				p.l.end(errStuck)
				continue
			}
			p.l.put(func(q *batch) { q.b = putPing(q.b, seq, p.moves.Load()) })
			seq++
		}
	}
}

// part ends the connection: the media process is told to end, or left alone with its legs.
func (c *Client) part(p *peer, ended <-chan error) {
	c.mu.Lock()
	c.line = nil
	stay := c.leaving
	c.mu.Unlock()
	if !stay {
		p.l.put(func(q *batch) { q.b = bare(q.b, kindStop) })
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for stay && p.l.waiting() > 0 {
		select {
		case <-ended:
			return
		case <-limit.C:
			stay = false
		case <-time.After(time.Millisecond):
		}
	}
	if stay {
		p.l.end(context.Canceled)
		<-ended
		return
	}
	select {
	case <-ended:
	case <-limit.C:
		p.l.end(errStuck)
		<-ended
	}
	p.kill() // it is gone, or stuck
	os.Remove(p.path)
}

// Leave has Run end without ending the media process: its calls go on until a control process connects to it again.
func (c *Client) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
}

// heard takes a frame of the media process.
func (c *Client) heard(p *peer, k kind, r *body, files []int) error {
	switch k {
	case kindMoved:
		if m := r.moved(&p.rulings); r.end() == nil {
			c.cfg.Events.Moved(m)
			p.moves.Add(1)
		}
	case kindPassed:
		if s := r.passed(); r.end() == nil {
			c.cfg.Events.Passed(s.leg, s.in, time.Unix(0, s.at), s.peer, s.header, s.size)
		}
	case kindAside:
		if s := r.said(); r.end() == nil {
			c.cfg.Events.Aside(s.leg, s.at, s.bytes)
		}
	case kindPlayed:
		if played := r.played(); r.end() == nil {
			c.over(played)
		}
	case kindPressed:
		if d := r.pressed(); r.end() == nil {
			c.cfg.Events.Pressed(d)
		}
	case kindInForce:
		c.mu.Lock()
		c.inForce = r.u64()
		c.mu.Unlock()
	case kindPong:
		if said := r.pong(); r.end() == nil {
			c.mu.Lock()
			c.said = said
			c.mu.Unlock()
		}
	default: // of a later version
		closeAll(files)
	}
	return r.end()
}
