package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// place is where a channel stands in the log. One goroutine owns it; its box is shared.
type place struct {
	*Cursor
	f      *Follower
	r      route
	bucket bucket
}

// advance waits for entries and passes some of them.
func (p *place) advance(ctx context.Context) error {
	if err := p.Load(ctx); err != nil {
		return err
	}
	p.r.box.read(p.Note)
	p.stand()
	if err := p.wait(ctx); err != nil {
		return err
	}
	if p.r.rate.limits() {
		return p.window(ctx)
	}
	if p.r.box.state().End != 0 { // of a rate that is no longer
		if err := p.keep(ctx, func(n *note) { n.End, n.Sent = 0, 0 }); err != nil {
			return err
		}
	}
	return p.each(ctx)
}

// wait is for entries, or a letter that was taken out and must be written down, and then for the rate.
func (p *place) wait(ctx context.Context) error {
	log := p.f.c.Log
	for p.Next >= log.Size() {
		select {
		case <-log.Grown(p.Next):
		case <-p.r.box.changed:
			if err := p.keep(ctx, func(*note) {}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.r.rate.limits() {
		Pause(ctx, p.bucket.wait(time.Now()))
	}
	return ctx.Err()
}

// each passes entries one by one.
func (p *place) each(ctx context.Context) error {
	picked, next, err := audit.Pick(ctx, p.f.c.Log, p.Next, batch, p.r.carries)
	if err != nil {
		return fmt.Errorf("notify: reading the log from %d: %w", p.Next, err)
	}
	for _, e := range picked {
		p.Next = e.Seq
		p.stand()
		n, ok := p.noticeOf(e)
		if !ok {
			continue
		}
		if err := p.pass(ctx, n, func(*note) { p.Next++ }); err != nil {
			return err
		}
	}
	p.Next = next
	p.stand()
	return p.Keep(ctx)
}

// window passes all that there is at once: each notice alone while the rate has room, else together. A window that was begun is finished as it was begun, so that what
// was told together before a crash is not told in other company after it.
func (p *place) window(ctx context.Context) error {
	begun := p.r.box.state()
	list, end, err := p.read(ctx, begun.End)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		p.Next = end
		p.stand()
		if begun.End != 0 {
			return p.keep(ctx, func(n *note) { n.End, n.Sent = 0, 0 })
		}
		return p.Keep(ctx)
	}
	if now := time.Now(); begun.End == 0 && p.bucket.left(now) >= len(list) {
		p.bucket.take(now, len(list))
		for _, n := range list {
			if err := p.pass(ctx, n, func(*note) { p.Next = n.Seq + 1 }); err != nil {
				return err
			}
		}
		p.Next = end
		p.stand()
		return p.Keep(ctx)
	}
	p.bucket.take(time.Now(), 1)
	if err := p.keep(ctx, func(n *note) { n.End = end }); err != nil {
		return err
	}
	messages := grouped(list)
	for i := min(begun.Sent, len(messages)); i < len(messages); i++ {
		if err := p.pass(ctx, messages[i], func(n *note) { n.Sent = i + 1 }); err != nil {
			return err
		}
	}
	return p.keep(ctx, func(n *note) { n.End, n.Sent, p.Next = 0, 0, end })
}

// read gives the notices up to end; end 0 means what there is, and a bound. next is behind what was read.
func (p *place) read(ctx context.Context, end uint64) (list []Notice, next uint64, err error) {
	next = p.Next
	if end == 0 {
		end = min(p.f.c.Log.Size(), next+maxWindow)
	}
	for next < end {
		picked, to, err := audit.Pick(ctx, p.f.c.Log, next, int(min(batch, end-next)), p.r.carries)
		if err != nil {
			return nil, 0, fmt.Errorf("notify: reading the log from %d: %w", next, err)
		}
		for _, e := range picked {
			if n, ok := p.noticeOf(e); ok {
				list = append(list, n)
			}
		}
		if to == next {
			break
		}
		next = to
	}
	return list, next, nil
}

// noticeOf leaves out what an outlet would hear of its own failures.
func (p *place) noticeOf(e audit.Entry) (Notice, bool) {
	n, ok := noticeOf(e)
	if !ok || n.Kind == audit.KindNoticeUndelivered && n.Subject == p.r.channel.Name() {
		return n, false
	}
	return n, true
}

// pass tells of n and writes down that it did, together with its letter if nobody took it.
func (p *place) pass(ctx context.Context, n Notice, passed func(*note)) error {
	dead, err := p.f.tell(ctx, p.r, n)
	if err != nil {
		return err
	}
	return p.keep(ctx, func(n *note) {
		if dead != nil {
			n.add(*dead)
		}
		passed(n)
	})
}

// keep changes the note and writes it with the cursor.
func (p *place) keep(ctx context.Context, f func(*note)) error {
	data, err := p.r.box.edit(f)
	if err != nil {
		return err
	}
	p.Note = data
	p.stand()
	return p.Save(ctx)
}

// stand shows where the channel is.
func (p *place) stand() {
	p.r.next.Store(p.Next)
	name, behind := p.r.channel.Name(), uint64(0)
	if size := p.f.c.Log.Size(); size > p.Next {
		behind = size - p.Next
	}
	p.f.behind.WithLabelValues(name).Set(float64(behind))
	p.f.dead.WithLabelValues(name).Set(float64(p.r.box.count()))
}
