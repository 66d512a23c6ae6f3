package proof

import "sync"

// Opener checks a checkpoint: Keys do, and Once.
type Opener interface {
	Open(raw []byte) (Checkpoint, error)
}

// onceKept bounds what a Once remembers, in bytes of checkpoints.
const onceKept = 4 << 20

// Once opens checkpoints with the same keys and remembers, byte for byte, those that held: of many proofs under one checkpoint its signatures are checked for the first.
// What does not hold is checked each time. It may be used by several goroutines.
type Once struct {
	keys   *Keys
	mu     sync.RWMutex
	opened map[string]Checkpoint // by the whole of what was opened, signatures included
	bytes  int
}

// NewOnce gives one that has opened nothing yet.
func NewOnce(k *Keys) *Once { return &Once{keys: k, opened: map[string]Checkpoint{}} }

// Open is that of the keys. What it gives is shared and must not be changed.
func (o *Once) Open(raw []byte) (Checkpoint, error) {
	o.mu.RLock()
	cp, ok := o.opened[string(raw)]
	o.mu.RUnlock()
	if ok {
		return cp, nil
	}
	cp, err := o.keys.Open(raw)
	if err != nil {
		return Checkpoint{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bytes += len(raw); o.bytes > onceKept {
		clear(o.opened)
		o.bytes = len(raw)
	}
	o.opened[string(raw)] = cp
	return cp, nil
}

// Remembered is how many bytes of checkpoints it holds in memory.
func (o *Once) Remembered() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.bytes
}
