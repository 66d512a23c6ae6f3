package audit

import "sync"

const (
	recentKept = 512      // entries: some seconds of a busy node
	recentMost = 16 << 10 // bytes of one; a longer one is read from the tree
)

// recent are the newest entries, so that whoever follows the log at its end reads no bundle and parses no entry. Empty places and what has
// been overtaken are read from the tree.
type recent struct {
	mu   sync.Mutex
	ring []Entry // entry seq stands at seq % recentKept, when its Seq says so and it has an ID
}

// keep takes in an entry that is durable. Its body belongs to the log from now on.
func (r *recent) keep(seq uint64, e *Entry, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring == nil {
		r.ring = make([]Entry, recentKept)
	}
	at := &r.ring[seq%recentKept]
	if at.ID != "" && at.Seq > seq {
		return
	}
	*at = Entry{Seq: seq}
	if size <= recentMost {
		*at = *e
		at.Seq = seq
	}
}

// list gives those of the n entries from index from on that are wanted, all for nil: nil unless every one of the n is kept.
func (r *recent) list(from, n uint64, wanted func(Kind) bool) []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring == nil || n > recentKept {
		return nil
	}
	for seq := from; seq < from+n; seq++ {
		if at := &r.ring[seq%recentKept]; at.ID == "" || at.Seq != seq {
			return nil
		}
	}
	out := []Entry{}
	if wanted == nil {
		out = make([]Entry, 0, n)
	}
	for seq := from; seq < from+n; seq++ {
		if at := &r.ring[seq%recentKept]; wanted == nil || wanted(at.Kind) {
			out = append(out, *at)
		}
	}
	return out
}
