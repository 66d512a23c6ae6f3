package audit

import (
	"fmt"
	"time"
)

// uncoveredMost is how long an entry may stand under no checkpoint before the log counts as one that cannot be written: ten times what a busy disk takes.
// What is recorded meanwhile is durable, but nothing can be proved of it, and the journal has little room.
const uncoveredMost = 30 * time.Second

// uncovered is since when entries stand under no checkpoint, zero where there are none: those in the journal only, those in the tree, and those of a tree
// for which the checkpoint is being written.
type uncovered struct {
	tail, tree, signing time.Time
	why                 error // of the newest failure since the last checkpoint
}

// kept is told that the journal took entries.
func (u *uncovered) kept(now time.Time) {
	if u.tail.IsZero() {
		u.tail = now
	}
}

// settled is told that the tree took the tail, and perhaps more behind it.
func (u *uncovered) settled(more bool, now time.Time) {
	if u.tree = earlier(u.tree, u.tail); u.tree.IsZero() && more {
		u.tree = now
	}
	u.tail = time.Time{}
}

// signs is told that a checkpoint over the tree is being written, signed that it is in place.
func (u *uncovered) signs() {
	u.signing, u.tree = earlier(u.signing, u.tree), time.Time{}
}

func (u *uncovered) signed() { u.signing, u.why = time.Time{}, nil }

// since is the time of the oldest of all.
func (u *uncovered) since() time.Time { return earlier(u.signing, earlier(u.tree, u.tail)) }

// earlier gives the earlier of two times; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// uncovered says since when there are entries under no checkpoint, and what failed since the last one.
func (p *posix) uncovered() (since time.Time, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bare.since(), p.bare.why
}

// standstill says why checkpoints stand still, "" where they do not, and how old the oldest entry is that stands under none. s.state is locked.
func (s *spine) standstill() (why string, age time.Duration) {
	since, cause := s.drv.uncovered()
	if since.IsZero() {
		return "", 0
	}
	if age = time.Since(since); age < uncoveredMost {
		return "", age
	}
	why = fmt.Sprintf("no checkpoint covers what was recorded in the last %d s", int(age.Seconds()))
	if cause != nil {
		why += ": " + cause.Error()
	}
	return why, age
}
