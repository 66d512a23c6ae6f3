package audit

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	journalName  = "journal"
	journalLeast = 1 << 20 // bytes of the file; it grows while it is full too soon
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

// openJournal gives the file as it is, the entries in it that a tree of size has not got, and what is missing among them. One that is damaged or cut
// short takes nothing until clear.
func openJournal(path string, size uint64) (*journal, [][]byte, hole, error) {
	j := &journal{path: path}
	sweepReplaced(path)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil, hole{}, nil
	}
	if err != nil {
		return nil, nil, hole{}, err
	}
	leaves, end := parseJournal(raw, size)
	rest, missing := behindHole(raw, size+uint64(len(leaves)))
	leaves = append(leaves, rest...)
	if len(rest) > 0 || len(raw) < journalLeast {
		j.end = journalLeast
		if len(leaves) == 0 {
			j.clear()
		}
		return j, leaves, missing, nil
	}
	f, err := openOverwritten(path)
	if err != nil {
		return nil, nil, hole{}, err
	}
	uncache(f.File)
	j.file, j.size = f, int64(len(raw))
	if len(leaves) > 0 {
		j.end = end
	}
	return j, leaves, hole{}, nil
}

// parseJournal gives the entries from index size on and the end of the group that holds the last of them. A group that begins below size and
// ends above it is of a write that failed: the tree has other entries there.
func parseJournal(raw []byte, size uint64) (leaves [][]byte, end int64) {
	for at := int64(0); ; {
		first, entries, n := readGroup(raw, at)
		if n == 0 {
			return leaves, end
		}
		at += n
		switch next := size + uint64(len(leaves)); {
		case first == next:
			leaves, end = append(leaves, entries...), at
		case first+uint64(len(entries)) > next:
			return leaves, end
		}
	}
}

// readGroup reads the group at the beginning of a block and gives how many bytes it takes up, 0 when there is none that is whole.
func readGroup(raw []byte, at int64) (first uint64, entries [][]byte, n int64) {
	if at+journalHead > int64(len(raw)) || string(raw[at:at+8]) != journalMagic {
		return 0, nil, 0
	}
	head := raw[at : at+journalHead]
	n = int64(binary.BigEndian.Uint32(head[20:]))
	if n > int64(len(raw))-at-journalHead {
		return 0, nil, 0
	}
	body := raw[at+journalHead : at+journalHead+n]
	entries, err := parseBundle(body)
	if err != nil || len(entries) != int(binary.BigEndian.Uint32(head[16:])) || journalSum(head, body) != binary.BigEndian.Uint32(head[24:]) {
		return 0, nil, 0
	}
	return binary.BigEndian.Uint64(head[8:]), entries, blocks(journalHead + n)
}

// hole is what is missing in a journal that was damaged: lost entries, of which the first had index at.
type hole struct{ at, lost uint64 }

// behindHole gives the entries of whole groups that stand behind index next, where the journal was read to. A group is on the disk before the next one
// is begun, so what is missing in front of one was promised, and is no write that a crash cut off.
func behindHole(raw []byte, next uint64) (leaves [][]byte, missing hole) {
	missing.at = next
	for at := int64(0); at < int64(len(raw)); {
		first, entries, n := readGroup(raw, at)
		if n > 0 && first >= next && first-next < uint64(len(raw)) { // there is no room for more to be missing
			missing.lost += first - next
			leaves, next = append(leaves, entries...), first+uint64(len(entries))
		}
		at += max(n, slotBlock)
	}
	return leaves, missing
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
	b := j.group(first, leaves)
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

// group puts leaves together as they stand in the file, in whole blocks.
func (j *journal) group(first uint64, leaves [][]byte) []byte {
	n := journalHead
	for _, leaf := range leaves {
		n += 2 + len(leaf)
	}
	b := append(roomFor(j.buf[:0], int(blocks(int64(n)))), journalMagic...)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, first), uint32(len(leaves)))
	b = binary.BigEndian.AppendUint32(b, uint32(n-journalHead))
	b = append(b, make([]byte, journalHead-len(b))...)
	for _, leaf := range leaves {
		b = appendLeaf(b, leaf)
	}
	binary.BigEndian.PutUint32(b[24:], journalSum(b[:journalHead], b[journalHead:]))
	b = b[:blocks(int64(n))]
	clear(b[n:])
	j.buf = b
	return b
}

// clear begins anew: the tree has what stands in the file. One that failed goes, so that nothing is ever read from it again.
func (j *journal) clear() {
	if j.file == nil && j.end > 0 && os.Remove(j.path) == nil {
		_ = syncDir(filepath.Dir(j.path)) // what a power cut brings back has an index that is taken
	}
	j.end = 0
}

// widen makes the file, of which nothing is needed, four times as long, where there is space for it: writing it costs more than what it holds. Where that fails the old one is let go of all the
// same: its name may stand for another already.
func (j *journal) widen() {
	if j.file != nil && j.end == 0 && j.size < journalMost {
		_ = j.file.Close()
		j.file = nil
		_ = j.make(min(4*j.size, journalMost)) // the next group tries again
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
