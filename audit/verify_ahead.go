package audit

import (
	"runtime"

	"github.com/transparency-dev/tessera/api/layout"
)

// readEntry is a leaf as it reads.
type readEntry struct {
	entry Entry
	event Event
	err   error // it is no entry
}

func read(leaf []byte) (r readEntry) {
	if r.entry, r.err = parseEntry(leaf); r.err == nil {
		r.event, r.err = Decode(r.entry)
	}
	return r
}

// opened is a bundle that was read ahead of its turn: what can be said of it without the bundles in front of it.
type opened struct {
	index   uint64
	n       uint
	entries [][]byte
	path    string
	err     error    // of reading it
	hashes  [][]byte // of the leaves; nothing of this where it did not read
	read    []readEntry
}

func (w *walk) open(index uint64, n uint) opened {
	o := opened{index: index, n: n}
	if o.entries, o.path, o.err = w.readBundle(index, n); o.err != nil {
		return o
	}
	o.hashes, o.read = make([][]byte, len(o.entries)), make([]readEntry, len(o.entries))
	for i, leaf := range o.entries {
		o.hashes[i], o.read[i] = hasher.HashLeaf(leaf), read(leaf)
	}
	return o
}

// ahead opens the bundles of the tree on all cores, a few ahead of whoever takes them, and gives them in order. It ends when stop is closed.
func (w *walk) ahead(size uint64, stop <-chan struct{}) <-chan chan opened {
	line := make(chan chan opened, runtime.GOMAXPROCS(0))
	go func() {
		defer close(line)
		for ri := range layout.Range(0, size, size) {
			one := make(chan opened, 1)
			select {
			case line <- one:
			case <-stop:
				return
			}
			go func() { one <- w.open(ri.Index, ri.N) }()
		}
	}()
	return line
}
