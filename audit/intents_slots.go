package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"strconv"
	"strings"
)

const (
	// leastSlot is enough for the lines of some 7,000 calls between two rewrites.
	leastSlot = 1 << 20
	slotHead  = 128
	slotMagic = "cordon intents, version 1, "
)

// slotFile is an overwritten. What WriteAt was given is on the disk when it returns nil.
type slotFile interface {
	io.WriterAt
	Stat() (fs.FileInfo, error)
	Close() error
}

// slots is a file of two halves of one size. One is in force and takes lines; what is open is written anew into the other, which then
// takes over with a greater number. Every byte of the file is written when it is made, so on a file system that overwrites in place a
// disk that fills up later takes nothing away from it. One that copies on write, or a snapshot of the volume, gives no such promise.
type slots struct {
	file   slotFile
	size   int64 // of one half
	now    int64 // the half in force, 0 or 1
	number uint64
	end    int64  // in that half: where the next line goes
	block  []byte // what stands from the last boundary of a block to end
	doubt  bool   // the other half may have come into force
}

// slotSize is a size of which n bytes leave at least half free.
func slotSize(n int64) int64 { return max(leastSlot, int64(1)<<bits.Len64(uint64(2*(slotHead+n)-1))) }

// makeSlots makes a new file that holds body, in the place of the one there is.
func makeSlots(path string, body []byte) (*slots, error) {
	s := &slots{size: slotSize(int64(len(body))), number: 1, end: slotHead + int64(len(body))}
	raw := make([]byte, 2*s.size)
	copy(raw, s.head(s.number))
	copy(raw[slotHead:], body)
	if err := replaceFile(path, raw); err != nil {
		return nil, err
	}
	f, err := openOverwritten(path)
	if err != nil {
		return nil, err
	}
	uncache(f.File)
	s.file = f
	s.stand(raw[:s.end])
	return s, nil
}

// openSlots gives the file as it is and the lines to replay: no slots when there is no file, or none of this kind.
func openSlots(path string) (s *slots, lines []byte, shown bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, err
	}
	s, lines, shown = parseSlots(raw)
	if s == nil {
		return nil, lines, shown, nil
	}
	f, err := openOverwritten(path)
	if err != nil {
		return nil, nil, false, err
	}
	s.file = f
	return s, lines, shown, nil
}

// parseSlots finds the half in force and its lines. Without any, all that is there counts as lines. shown says that there is a damage
// to be shown which no line bears.
func parseSlots(raw []byte) (s *slots, lines []byte, shown bool) {
	s = &slots{size: int64(len(raw) / 2)}
	if s.size < slotHead {
		return nil, raw, false
	}
	for half := range int64(2) {
		head := bytes.TrimRight(raw[half*s.size:half*s.size+slotHead], "\x00")
		number, ok := readHead(string(head), s.size)
		switch {
		case ok && number > s.number:
			s.now, s.number = half, number
		case !ok && len(head) > 0:
			shown = true
		}
	}
	if s.number == 0 {
		return nil, raw, false
	}
	s.end = s.size // the rest is taken as used until it is written anew
	return s, raw[s.now*s.size+slotHead : (s.now+1)*s.size], shown
}

func (s *slots) head(number uint64) []byte {
	return appendLine(nil, slotMagic+strconv.FormatUint(number, 10)+" "+strconv.FormatInt(s.size, 10))
}

// readHead gives the number of a half, when its head is one of a half of that size.
func readHead(line string, size int64) (number uint64, ok bool) {
	text, whole := strings.CutSuffix(line, "\n")
	text, sound := checked(text)
	text, ours := strings.CutPrefix(text, slotMagic)
	num, length, _ := strings.Cut(text, " ")
	number, err := strconv.ParseUint(num, 10, 64)
	return number, whole && sound && ours && err == nil && number > 0 && length == strconv.FormatInt(size, 10)
}

// add appends lines to the half in force, which has room for them, and returns when they are on the disk. It writes the block again in which they
// begin, and zeros behind them to the end of the one in which they end.
func (s *slots) add(lines []byte) error {
	begun := len(s.block)
	s.block = append(roomFor(s.block, len(lines)+slotBlock), lines...)
	end := len(s.block)
	s.block = s.block[:blocks(int64(end))]
	clear(s.block[end:])
	if _, err := s.file.WriteAt(s.block, s.now*s.size+s.end-int64(begun)); err != nil {
		return err
	}
	s.end += int64(len(lines))
	s.stand(s.block[:end])
	return nil
}

// stand keeps of what was written up to end what add must write again: the block that is not full.
func (s *slots) stand(written []byte) {
	s.block = append(s.block[:0], written[len(written)&^(slotBlock-1):]...)
}

// turn writes body into the other half and puts that in force. The head goes last and alone: until it is on the disk the half in force
// is the old one. After an error nobody knows which one it is, and only another turn may follow.
func (s *slots) turn(body []byte) error {
	other, number := 1-s.now, s.number+1
	if slotHead+int64(len(body)) > s.size {
		return fmt.Errorf("%d bytes do not fit into %d", len(body), s.size)
	}
	raw := make([]byte, s.size)
	if s.doubt { // a head that stood over a body half written would be believed
		if err := s.put(raw[:slotHead], other); err != nil {
			return err
		}
	}
	copy(raw[slotHead:], body)
	if err := s.put(raw, other); err != nil {
		return err
	}
	s.doubt = true
	if err := s.put(s.head(number), other); err != nil {
		return err
	}
	s.now, s.number, s.end, s.doubt = other, number, slotHead+int64(len(body)), false
	copy(raw, s.head(number))
	s.stand(raw[:s.end])
	return nil
}

// put writes the beginning of a half and returns when that is on the disk.
func (s *slots) put(raw []byte, half int64) error {
	_, err := s.file.WriteAt(raw, half*s.size)
	return err
}

func (s *slots) fits(n int) bool { return s.end+int64(n) <= s.size }

// stands says whether path still names the file: one that was removed or replaced keeps nothing for the next run.
func (s *slots) stands(path string) bool {
	ours, err := s.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}
