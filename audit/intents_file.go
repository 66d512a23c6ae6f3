package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"
)

// errNoRoom leads from a file that is crowded, or not there, to a larger one.
var errNoRoom = errors.New("no room in the file")

// OpenIntents opens the file, or makes it with all the space that it will need. What it finds unfinished is what Open gives until it is
// ended. On a disk that is full a file that is there opens and takes calls; one that is not there cannot be made.
//
// The file holds one line per event, "B time ref crc" or "E ref crc". One durable write serves all callers of Begin that arrive within
// restAfter the one before it. End waits for nobody: its line is written with the next group, so after a crash a call may be called open although
// it had just ended.
func OpenIntents(path string) (Intents, error) {
	f := &fileIntents{path: path, live: newLive()}
	sweepReplaced(path)
	s, lines, shown, err := openSlots(path)
	if err != nil {
		return nil, fmt.Errorf("audit: intents: %w", err)
	}
	if shown {
		f.live.begin("unreadable intent 0", time.Time{})
	}
	readIntents(lines, &f.live)
	f.slots = s
	if err := f.rewrite(); err != nil {
		return nil, errors.Join(fmt.Errorf("audit: intents: %w", err), f.shut())
	}
	return f, nil
}

type fileIntents struct {
	path string

	mu       sync.Mutex
	live     live
	pending  []byte     // lines that are not in the file yet
	spare    []byte     // the last pending, to be used again
	group    []beginner // whose lines are in pending
	flushing sync.WaitGroup
	busy     bool // a flush runs
	closed   bool

	// Touched by the flush that runs, and by Open and Close when none does.
	slots *slots
	torn  bool      // nobody knows what the file holds
	next  time.Time // before it no group begins
}

const (
	groupQuiet = 10 * time.Millisecond // from a group of few to the next one
	groupBusy  = 20 * time.Millisecond // from a fuller one
	groupFew   = 4                     // calls: fewer are few
)

// restAfter is how long after the beginning of a group of n calls the next one may begin. A durable write, and waking up for it, costs the same whether it
// serves one call or ten: where many come, twice as many share it, and where few do, nobody waits long for company that does not come. After a pause
// the first group begins at once.
func restAfter(n int) time.Duration {
	if n < groupFew {
		return groupQuiet
	}
	return groupBusy
}

// groupMost is how many wait for a group. A disk that hangs must not gather calls without bound.
const groupMost = 10_000

// endsMost is how many bytes of ends wait for a group to go with.
const endsMost = 64 << 10

// Begin returns when the call is on the disk. An error wraps ErrLogDown: the call is not on record.
func (f *fileIntents) Begin(ctx context.Context, callRef string, at time.Time) error {
	got := make(chan error, 1)
	f.BeginAsync(callRef, at, func(err error) { got <- err })
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		f.End(callRef)
		return fmt.Errorf("%w: intents: %w", ErrLogDown, context.Cause(ctx))
	}
}

// BeginAsync tells done when the call is on the disk, or that it is not on record, with an error that wraps ErrLogDown.
func (f *fileIntents) BeginAsync(callRef string, at time.Time, done func(error)) {
	f.mu.Lock()
	var why error
	switch {
	case f.closed:
		why = fs.ErrClosed
	case len(f.group) >= groupMost:
		why = errHangs
	}
	if why != nil {
		f.mu.Unlock()
		done(fmt.Errorf("%w: intents: %w", ErrLogDown, why))
		return
	}
	f.live.begin(callRef, at)
	f.pending = appendIntent(f.pending, callRef, at)
	f.group = append(f.group, beginner{callRef, done})
	f.start()
	f.mu.Unlock()
}

// beginner is one who waits for the next group.
type beginner struct {
	ref  string
	done func(error)
}

// End is written with the next group.
func (f *fileIntents) End(callRef string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.live.at[callRef]; !ok || f.closed {
		return
	}
	delete(f.live.at, callRef)
	f.pending = appendEnd(f.pending, callRef)
	if len(f.pending) >= endsMost {
		f.start()
	}
}

func (f *fileIntents) Open() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live.refs()
}

// Close writes what is pending.
func (f *fileIntents) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.mu.Unlock()
	f.flushing.Wait()
	if err := errors.Join(f.rewrite(), f.shut()); err != nil {
		return fmt.Errorf("audit: intents: %w", err)
	}
	return nil
}

// start sets a flush going unless one runs; f.mu is held.
func (f *fileIntents) start() {
	if f.busy {
		return
	}
	f.busy = true
	f.flushing.Go(f.flush)
}

// flush writes group after group until nobody waits.
func (f *fileIntents) flush() {
	for {
		time.Sleep(time.Until(f.next))
		f.mu.Lock()
		lines, group := f.pending, f.group
		if len(group) == 0 && len(lines) < endsMost {
			f.busy = false
			f.mu.Unlock()
			return
		}
		f.pending, f.spare, f.group = f.spare[:0], nil, nil
		f.mu.Unlock()
		f.next = time.Now().Add(restAfter(len(group)))
		err := f.write(lines)
		f.mu.Lock()
		f.spare = lines
		f.mu.Unlock()
		f.tell(group, err)
	}
}

// tell tells a group what became of it. Who is not on record is not open either.
func (f *fileIntents) tell(group []beginner, err error) {
	if err != nil {
		err = fmt.Errorf("%w: intents: %w", ErrLogDown, err)
	}
	for _, b := range group {
		if err != nil {
			f.End(b.ref)
		}
		b.done(err)
	}
}

// write appends lines durably. After a failure nobody knows what the file holds, and a second try would report success over lost pages: what
// is open is written anew, now or by the next group.
func (f *fileIntents) write(lines []byte) error {
	if f.torn || !f.slots.fits(len(lines)) {
		return f.rewrite()
	}
	err := f.slots.add(lines)
	if err != nil && f.rewrite() == nil {
		return nil
	}
	return err
}

// rewrite makes the file say what is open now and nothing else. It takes in whatever is pending. It stays within the space of the file
// there is, unless that is crowded or broken; when a larger one cannot be had, crowded has to do.
func (f *fileIntents) rewrite() error {
	f.mu.Lock()
	var b []byte
	for _, ref := range f.live.refs() {
		b = appendIntent(b, ref, f.live.at[ref].begun)
	}
	f.mu.Unlock()
	f.torn = true
	err := errNoRoom
	if f.stands() && slotHead+int64(len(b)) <= f.slots.size/2 {
		err = f.slots.turn(b)
	}
	if err != nil {
		var s *slots
		if s, err = makeSlots(f.path, b); err == nil {
			_ = f.shut() // nothing in the old one counts any more
			f.slots = s
		} else if f.stands() && f.slots.turn(b) == nil {
			err = nil
		}
	}
	f.torn = err != nil
	return err
}

// stands says whether there is a file to write in, and lets go of one that is there no more.
func (f *fileIntents) stands() bool {
	if f.slots != nil && !f.slots.stands(f.path) {
		_ = f.shut()
		f.slots = nil
	}
	return f.slots != nil
}

func (f *fileIntents) shut() error {
	if f.slots == nil {
		return nil
	}
	return f.slots.file.Close()
}

func appendIntent(b []byte, ref string, at time.Time) []byte {
	from := len(b)
	b = append(strconv.AppendInt(append(b, "B "...), at.UnixNano(), 10), ' ')
	return appendSum(strconv.AppendQuoteToASCII(b, ref), from)
}

func appendEnd(b []byte, ref string) []byte {
	from := len(b)
	return appendSum(strconv.AppendQuoteToASCII(append(b, "E "...), ref), from)
}

// checked takes the sum off a line and says whether it holds.
func checked(line string) (text string, ok bool) {
	cut := strings.LastIndexByte(line, ' ')
	if cut < 0 {
		return "", false
	}
	sum, err := strconv.ParseUint(line[cut+1:], 16, 32)
	return line[:cut], err == nil && uint32(sum) == crc32.ChecksumIEEE([]byte(line[:cut]))
}

func appendLine(b []byte, text string) []byte {
	from := len(b)
	return appendSum(append(b, text...), from)
}

// appendSum ends the line that begins at from with its sum.
func appendSum(b []byte, from int) []byte {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE(b[from:]))
	return append(hex.AppendEncode(append(b, ' '), sum[:]), '\n')
}

// readIntents replays lines and the zeros in front of, between and behind them, where nothing was written yet. A last line without its
// end is one that nobody was promised. Any other line that does not read is kept as an open call of its own name, so that the gap
// record shows a damage instead of hiding it.
func readIntents(raw []byte, l *live) {
	sc := bufio.NewReader(bytes.NewReader(raw))
	for n := 1; ; n++ {
		line, err := sc.ReadString('\n')
		if err != nil {
			return
		}
		if !replayIntent(strings.TrimLeft(strings.TrimSuffix(line, "\n"), "\x00"), l) {
			l.begin("unreadable intent "+strconv.Itoa(n), time.Time{})
		}
	}
}

func replayIntent(line string, l *live) bool {
	text, ok := checked(line)
	if !ok {
		return false
	}
	kind, rest, _ := strings.Cut(text, " ")
	var at time.Time
	if kind == "B" {
		num, quoted, ok := strings.Cut(rest, " ")
		ns, err := strconv.ParseInt(num, 10, 64)
		if !ok || err != nil {
			return false
		}
		at, rest = time.Unix(0, ns).UTC(), quoted
	}
	ref, err := strconv.Unquote(rest)
	if err != nil {
		return false
	}
	switch kind {
	case "B":
		l.begin(ref, at)
	case "E":
		delete(l.at, ref)
	default:
		return false
	}
	return true
}
