package digest

import (
	"net/netip"
	"sync"
	"time"
)

// Brake slows down who guesses passwords: the answer to a wrong one comes later each time, and in the end there is none. It counts by source and user, and
// by source alone for who tries many users. The zero Brake is ready; it is safe for concurrent use.
type Brake struct {
	mu    sync.Mutex
	tries map[try]*tally
}

type try struct {
	source netip.Addr
	user   string // "" counts the source alone
}

type tally struct {
	wrong int
	last  time.Time
}

// The steps of the brake.
const (
	maxTries    = 16384
	freeTries   = 3                // answered at once: people mistype
	userLimit   = 8                // wrong answers for one user from one source until silence
	sourceLimit = 40               // and for all users of a source together
	forgetAfter = 15 * time.Minute // since the last wrong one
	maxUserName = 128
)

// Wrong counts one wrong answer and says how long to wait before it is refused, or that it is not answered at all.
func (b *Brake) Wrong(now time.Time, source netip.Addr, user string) (wait time.Duration, silent bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine, all := b.count(now, try{source, clip(user)}), b.count(now, try{source: source})
	if mine >= userLimit || all >= sourceLimit {
		return 0, true
	}
	n := max(mine-freeTries, all/4-freeTries)
	if n <= 0 {
		return 0, false
	}
	return min(time.Second<<(n-1), 16*time.Second), false
}

// Silent says whether nothing from this source for this user is looked at. user is "" when none was named.
func (b *Brake) Silent(now time.Time, source netip.Addr, user string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	over := func(k try, limit int) bool {
		t := b.tries[k]
		return t != nil && now.Sub(t.last) <= forgetAfter && t.wrong >= limit
	}
	return over(try{source: source}, sourceLimit) || user != "" && over(try{source, clip(user)}, userLimit)
}

// Good forgets what one user did wrong before. The source's own count stays: who knows one password may still guess others.
func (b *Brake) Good(source netip.Addr, user string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tries, try{source, clip(user)})
}

func clip(user string) string {
	if user == "" {
		return "?"
	}
	return user[:min(len(user), maxUserName)]
}

func (b *Brake) count(now time.Time, k try) int {
	if b.tries == nil {
		b.tries = map[try]*tally{}
	}
	t := b.tries[k]
	if t == nil || now.Sub(t.last) > forgetAfter {
		if len(b.tries) >= maxTries {
			b.sweep(now)
		}
		t = &tally{}
		b.tries[k] = t
	}
	t.wrong++
	t.last = now
	return t.wrong
}

// sweep makes room: what is old goes, and when nothing is, the counts of users go and those of sources stay.
func (b *Brake) sweep(now time.Time) {
	for k, t := range b.tries {
		if now.Sub(t.last) > forgetAfter {
			delete(b.tries, k)
		}
	}
	for k := range b.tries {
		if len(b.tries) < maxTries*3/4 {
			return
		}
		if k.user != "" {
			delete(b.tries, k)
		}
	}
	if len(b.tries) >= maxTries {
		clear(b.tries)
	}
}
