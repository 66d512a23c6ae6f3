package sip

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sip/transaction"
)

// recordWithin is how long a call waits for its intent to be on the disk.
const recordWithin = 2 * time.Second

// What happens to a receipt that cannot be written: it waits in memory, up to a bound, and the call's intent stays open, so that the gap record names it.
const (
	retryFirst = time.Second
	retryMost  = 30 * time.Second
	maxWaiting = 1000
)

// intend notes that a call is under way and goes on, on the loop, when that is on the disk, or with an error when it cannot be or takes longer than wait. No
// goroutine waits meanwhile; Run does.
func (e *Edge) intend(sh *shard, ref string, at time.Time, wait time.Duration, then func(error)) {
	i := &intention{}
	i.make(e, sh, then)
	i.begin(ref, at, wait)
}

// intention is the intent of a call on its way to the disk.
type intention struct {
	e       *Edge
	sh      *shard
	then    func(error)
	ref     string
	wait    time.Duration
	settled atomic.Bool
	late    bool              // it took too long; what became of it may still be told
	err     error             // why it could not be written
	alarm   transaction.Alarm // of the loop

	watched, told func() // watch, tell and written, made once
	wrote         func(error)
}

func (i *intention) make(e *Edge, sh *shard, then func(error)) {
	i.e, i.sh, i.then = e, sh, then
	i.watched, i.told, i.wrote = i.watch, i.tell, i.written
}

func (i *intention) begin(ref string, at time.Time, wait time.Duration) {
	i.ref, i.wait = ref, wait
	i.e.tasks.Add(1)
	i.sh.loop.Post(i.watched)
	i.e.c.Intents.BeginAsync(ref, at, i.wrote)
}

// watch sets the alarm, on the loop.
func (i *intention) watch() {
	if !i.settled.Load() {
		i.sh.loop.Arm(&i.alarm, i.wait, i)
	}
}

// Due implements transaction.Due: it took too long.
func (i *intention) Due(*transaction.Alarm) {
	if i.settled.CompareAndSwap(false, true) {
		i.late = true
		i.e.c.Intents.End(i.ref)
		i.then(fmt.Errorf("%w: the intent: %w", audit.ErrLogDown, context.DeadlineExceeded))
		i.e.tasks.Add(-1)
	}
}

// written takes what became of it.
func (i *intention) written(err error) {
	if i.settled.CompareAndSwap(false, true) {
		i.err = err
		i.sh.loop.Post(i.told)
		i.e.tasks.Add(-1)
	}
}

// tell lets the call go on, on the loop.
func (i *intention) tell() {
	i.alarm.Stop()
	i.then(i.err)
}

// record writes what is left of a call, then ends its intent, unless something could not be written, and in any case calls over.
func (e *Edge) record(ref, session string, over func(), events ...audit.Event) {
	r := &recording{}
	r.begin(e, ref, session, over, len(events))
	settled := r.settled
	for _, ev := range events {
		e.write(ev, settled)
	}
}

// recording is what is left of a call on its way into the log.
type recording struct {
	e            *Edge
	ref, session string
	over         func()
	left, failed atomic.Int64
}

func (r *recording) begin(e *Edge, ref, session string, over func(), entries int) {
	e.tasks.Add(1)
	r.e, r.ref, r.session, r.over = e, ref, session, over
	r.left.Store(int64(entries))
}

// settled takes the outcome of one entry; the last one ends the recording.
func (r *recording) settled(written bool) {
	if !written {
		r.failed.Add(1)
	}
	if r.left.Add(-1) > 0 {
		return
	}
	e := r.e
	if r.failed.Load() > 0 {
		e.log.Error("a receipt could not be written; its intent stays open", "call", r.ref, "session", r.session)
	} else {
		e.c.Intents.End(r.ref)
	}
	r.over() // nothing of r is looked at any more
	e.tasks.Add(-1)
}

// write appends one entry. One that finds the log down is tried again in a goroutine of its own.
func (e *Edge) write(ev audit.Event, then func(written bool)) {
	n := &filing{}
	n.make(ev, then)
	n.write(e)
}

// filing is one entry on its way into the log.
type filing struct {
	e    *Edge
	ev   audit.Event
	then func(written bool)
	told func(uint64, error) // tell, made once
}

func (n *filing) make(ev audit.Event, then func(written bool)) {
	n.ev, n.then, n.told = ev, then, n.tell
}

func (n *filing) write(e *Edge) {
	n.e = e
	e.c.Log.AppendAsync(n.ev, n.told)
}

// tell takes what became of it.
func (n *filing) tell(_ uint64, err error) {
	if err == nil || !n.e.logMayMend(n.ev, err) {
		n.then(err == nil)
		return
	}
	n.e.off(func() { n.then(n.e.writeAgain(n.ev)) })
}

// logMayMend says whether another try makes sense, and logs an error after which it does not.
func (e *Edge) logMayMend(ev audit.Event, err error) bool {
	if errors.Is(err, audit.ErrLogDown) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	e.log.Error("the log refused an entry", "kind", ev.Kind(), "error", err)
	return false
}

// writeAgain waits out a log that is down, within bounds. False means that the entry was given up.
func (e *Edge) writeAgain(ev audit.Event) bool {
	defer e.waiting.Add(-1)
	if e.waiting.Add(1) > maxWaiting {
		return false
	}
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		select {
		case <-e.base.Done():
			return false
		case <-time.After(pause):
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.base), finality)
		_, err := e.c.Log.Append(ctx, ev)
		cancel()
		if err == nil || !e.logMayMend(ev, err) {
			return err == nil
		}
	}
}
