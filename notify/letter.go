package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Letter is a notice that an outlet did not take: a dead letter.
type Letter struct {
	Entry   uint64     `json:"entry"`
	Last    uint64     `json:"last,omitempty"` // of a group
	Kind    audit.Kind `json:"kind"`
	Count   int        `json:"count"`
	At      time.Time  `json:"at"` // when it was given up
	Fenced  bool       `json:"fenced"`
	Failure string     `json:"failure"`
}

// maxLetters bounds the list of an outlet. Older ones stay in the log, as notice.undelivered, and can be sent again by their entry.
const maxLetters = 256

// note is what a place keeps beside the cursor, in the same write: its dead letters, and how far it is in a window that it had begun to tell of.
type note struct {
	Dead []Letter `json:"dead,omitempty"`
	Full int      `json:"full,omitempty"` // letters that the list had no room for
	End  uint64   `json:"end,omitempty"`  // of the window, which begins at the cursor; 0: none
	Sent int      `json:"sent,omitempty"` // messages of it that were passed
}

// box holds the note of one outlet. Its place writes it down; whoever sends a letter again takes it out.
type box struct {
	changed chan struct{} // a letter was taken out: the place writes the note

	mu    sync.Mutex
	note  note
	known bool // the note was read
	last  string
	good  time.Time // of the last delivery
}

func newBox() *box { return &box{changed: make(chan struct{}, 1)} }

// read takes a note over, once.
func (b *box) read(data json.RawMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known {
		return
	}
	b.known = true
	if len(data) > 0 && json.Unmarshal(data, &b.note) != nil {
		b.note = note{} // of another version; the log has every letter
	}
}

// edit changes the note and gives it as it is written.
func (b *box) edit(f func(*note)) (json.RawMessage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.note)
	if b.note.End == 0 && len(b.note.Dead) == 0 && b.note.Full == 0 {
		return nil, nil
	}
	data, err := json.Marshal(b.note)
	if err != nil {
		return nil, fmt.Errorf("notify: writing a note: %w", err)
	}
	return data, nil
}

// add puts a letter in, and drops the oldest one where there is no room.
func (n *note) add(l Letter) {
	if n.Dead = append(n.Dead, l); len(n.Dead) > maxLetters {
		n.Dead = slices.Delete(n.Dead, 0, 1)
		n.Full++
	}
}

// drop takes the letter of an entry out.
func (b *box) drop(entry uint64) {
	b.mu.Lock()
	b.note.Dead = slices.DeleteFunc(b.note.Dead, func(l Letter) bool { return l.Entry == entry })
	if len(b.note.Dead) == 0 {
		b.note.Full = 0
	}
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *box) letters() []Letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.note.Dead)
}

// heard notes how the last delivery went.
func (b *box) heard(failure string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last = failure; failure == "" {
		b.good = time.Now()
	}
}

// Standing is how an outlet does.
type Standing struct {
	Name      string
	Behind    uint64    // entries of the log that it has not passed
	Failure   string    // of the last notice; empty: it was delivered
	Delivered time.Time // the last one; zero: none since the start
	Dead      []Letter
	Older     int // dead letters that the list had no room for
}

// ErrNoOutlet says that no outlet has that name.
var ErrNoOutlet = errors.New("notify: no such outlet")

// ErrNotTold says that an entry is none that an outlet carries.
var ErrNotTold = errors.New("notify: that entry is none that the outlet carries")

// Standings lists the outlets, in the order of the configuration.
func (f *Follower) Standings() []Standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Standing{}
	for _, r := range f.routes {
		b := r.box
		b.mu.Lock()
		s := Standing{Name: r.channel.Name(), Failure: b.last, Delivered: b.good, Dead: slices.Clone(b.note.Dead), Older: b.note.Full}
		b.mu.Unlock()
		if next, size := r.next.Load(), f.c.Log.Size(); size > next {
			s.Behind = size - next
		}
		out = append(out, s)
	}
	return out
}

// find gives the outlets of a name; "" means all.
func (f *Follower) find(name string) ([]route, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name == "" {
		return slices.Clone(f.routes), nil
	}
	for _, r := range f.routes {
		if r.channel.Name() == name {
			return []route{r}, nil
		}
	}
	return nil, fmt.Errorf("%w: %.64q", ErrNoOutlet, name)
}

// Resent is what came of a letter that was sent again.
type Resent struct {
	Channel string
	Entry   uint64
	Answer  string // of the far side
	Failure string // empty: delivered
}

// Resend sends one entry, or with entry nil every dead letter, once more through an outlet ("": all). by is a pseudonym.
func (f *Follower) Resend(ctx context.Context, name string, entry *uint64, by string) ([]Resent, error) {
	routes, err := f.find(name)
	if err != nil {
		return nil, err
	}
	out := []Resent{}
	for _, r := range routes {
		letters := r.box.letters()
		if entry != nil {
			i := slices.IndexFunc(letters, func(l Letter) bool { return l.Entry == *entry })
			if i < 0 && name == "" {
				continue // of all outlets, those that have it
			}
			if i < 0 {
				letters = []Letter{{Entry: *entry}}
			} else {
				letters = letters[i : i+1]
			}
		}
		for _, l := range letters {
			done, err := f.resend(ctx, r, l, by)
			if err != nil {
				return out, err
			}
			out = append(out, done)
		}
	}
	return out, nil
}

func (f *Follower) resend(ctx context.Context, r route, l Letter, by string) (Resent, error) {
	n, err := f.again(ctx, r, l)
	if err != nil {
		return Resent{}, err
	}
	done := Resent{Channel: r.channel.Name(), Entry: l.Entry}
	once, cancel := context.WithTimeout(ctx, f.c.SendTimeout)
	defer cancel()
	f.attempts.WithLabelValues(done.Channel).Inc()
	if done.Answer, _, err = ask(once, r.channel, n); err != nil {
		done.Failure = err.Error()
	}
	r.box.heard(done.Failure)
	result := resultFailed
	if done.Failure == "" {
		r.box.drop(l.Entry)
		result = resultDelivered
	}
	f.deliveries.WithLabelValues(done.Channel, result).Inc()
	ev := audit.NoticeResent{Channel: done.Channel, Entry: l.Entry, By: by, Failure: done.Failure}
	if _, err := f.c.Log.Append(context.WithoutCancel(ctx), ev); err != nil {
		return done, fmt.Errorf("notify: recording what was sent again: %w", err)
	}
	return done, nil
}

// again makes the notice of a letter from the log: the same one, with the same id.
func (f *Follower) again(ctx context.Context, r route, l Letter) (Notice, error) {
	var same []Notice
	for next, end := l.Entry, max(l.Last, l.Entry)+1; next < end; {
		picked, to, err := audit.Pick(ctx, f.c.Log, next, int(min(batch, end-next)), r.carries)
		if err != nil {
			return Notice{}, fmt.Errorf("notify: reading the log from %d: %w", next, err)
		}
		if to == next {
			break
		}
		for _, e := range picked {
			if n, ok := noticeOf(e); ok && (len(same) == 0 && e.Seq == l.Entry || len(same) > 0 && groupKey(n) == groupKey(same[0])) {
				same = append(same, n)
			}
		}
		next = to
	}
	if len(same) == 0 {
		return Notice{}, fmt.Errorf("%w: %d", ErrNotTold, l.Entry)
	}
	return merged(same), nil
}

// state is how far a window was told, without the letters.
func (b *box) state() note {
	b.mu.Lock()
	defer b.mu.Unlock()
	return note{End: b.note.End, Sent: b.note.Sent}
}

// count counts the letters, those without room in the list as well.
func (b *box) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.note.Dead) + b.note.Full
}
