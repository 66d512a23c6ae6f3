package audit

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
)

const (
	journalName  = "journal"
	journalLeast = 1 << 20 // bytes of the file; it doubles while it is full too soon
	journalMost  = 8 << 20
	journalMagic = "cordonJ1"
	journalHead  = 32
)

// journal is a file of its own for entries that are durable and not in the tree yet, so that those of some seconds go into the tree together. It is
// written over again from its beginning whenever the tree has taken in what stands in it; that costs no file system anything but the data.
//
// It holds groups, each at the beginning of a block: the magic, the index of the first entry, the number of entries, the length of what follows
// and a CRC-32 over all of that, big-endian; then the entries, each behind its length in two bytes. What follows the last group in force does not
// read, or stands for entries that the tree has.
type journal struct {
	path string
	file slotFile // nil before the first group, and after a failure
	size int64
	end  int64 // where the next group goes
	buf  []byte
}

// openJournal gives the file as it is, and the entries in it that a tree of size has not got.
func openJournal(path string, size uint64) (*journal, [][]byte, error) {
	j := &journal{path: path}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	leaves, end := parseJournal(raw, size)
	f, err := openOverwritten(path)
	if err != nil {
		return nil, nil, err
	}
	uncache(f.File)
	j.file, j.size = f, int64(len(raw))
	if len(leaves) > 0 {
		j.end = end
	}
	return j, leaves, nil
}

// parseJournal gives the entries from index size on and the end of the group that holds the last of them. A group that begins below size and
// ends above it is of a write that failed: the tree has other entries there.
func parseJournal(raw []byte, size uint64) (leaves [][]byte, end int64) {
	for at := int64(0); at+journalHead <= int64(len(raw)); {
		head := raw[at : at+journalHead]
		first, count := binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint32(head[16:])
		n := int64(binary.BigEndian.Uint32(head[20:]))
		if string(head[:8]) != journalMagic || n > int64(len(raw))-at-journalHead {
			return leaves, end
		}
		body := raw[at+journalHead : at+journalHead+n]
		entries, err := parseBundle(body)
		if err != nil || uint64(len(entries)) != uint64(count) || journalSum(head, body) != binary.BigEndian.Uint32(head[24:]) {
			return leaves, end
		}
		at += blocks(journalHead + n)
		switch next := size + uint64(len(leaves)); {
		case first == next:
			leaves, end = append(leaves, entries...), at
		case first+uint64(count) > next:
			return leaves, end
		}
	}
	return leaves, end
}

func journalSum(head, body []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(head[:24]), crc32.IEEETable, body)
}

// blocks rounds up to whole ones.
func blocks(n int64) int64 { return (n + slotBlock - 1) &^ (slotBlock - 1) }

// keep writes one group and returns when it is on the disk; errNoRoom when the file is too short for it. After another error the journal takes nothing
// until clear.
func (j *journal) keep(first uint64, leaves [][]byte) error {
	if j.file == nil && j.end == 0 {
		if err := j.make(max(j.size, journalLeast)); err != nil {
			return err
		}
	}
	if j.file == nil {
		return fs.ErrClosed
	}
	b := append(j.buf[:0], journalMagic...)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, first), uint32(len(leaves)))
	b = append(b, make([]byte, journalHead-len(b))...)
	for _, leaf := range leaves {
		b = appendLeaf(b, leaf)
	}
	n := len(b)
	binary.BigEndian.PutUint32(b[20:], uint32(n-journalHead))
	binary.BigEndian.PutUint32(b[24:], journalSum(b[:journalHead], b[journalHead:]))
	b = append(b, make([]byte, blocks(int64(n))-int64(n))...)
	j.buf = b
	if j.end+int64(len(b)) > j.size {
		return errNoRoom
	}
	if _, err := j.file.WriteAt(b, j.end); err != nil {
		_ = j.file.Close()
		j.file = nil
		j.end += int64(len(b)) // not 0: nothing takes the place of the file before clear
		return err
	}
	j.end += int64(len(b))
	return nil
}

// clear begins anew: the tree has what stands in the file.
func (j *journal) clear() { j.end = 0 }

// widen makes the file, of which nothing is needed, twice as long, where there is space for it.
func (j *journal) widen() {
	if j.file != nil && j.end == 0 && j.size < journalMost {
		old := j.file
		if j.make(2*j.size) == nil {
			_ = old.Close()
		}
	}
}

// make puts an empty file of size in the place of the one there is.
func (j *journal) make(size int64) error {
	if err := replaceFile(j.path, make([]byte, size)); err != nil {
		return err
	}
	f, err := openOverwritten(j.path)
	if err != nil {
		return err
	}
	uncache(f.File)
	j.file, j.size, j.end = f, size, 0
	return nil
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// appendLeaf writes an entry as a bundle holds it, C2SP tlog-tiles.
func appendLeaf(b, leaf []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
}
