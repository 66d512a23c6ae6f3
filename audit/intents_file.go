package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// compactAt is the size from which the file is rewritten, or four times what was open when it was written anew, if that is more.
const compactAt = 1 << 20

// OpenIntents opens the file. What it finds unfinished is what Open gives until it is ended.
//
// The file holds one line per event, "B time ref crc" or "E ref crc". One fsync serves all callers of Begin that arrive while the one
// before it runs. End waits for nobody: its line is written with the next group, so after a crash a call may be called open although
// it had just ended.
func OpenIntents(path string) (Intents, error) {
	f := &fileIntents{path: path, live: newLive()}
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: intents: %w", err)
	}
	readIntents(raw, &f.live)
	if err := f.rewrite(); err != nil {
		return nil, fmt.Errorf("audit: intents: %w", err)
	}
	return f, nil
}

type fileIntents struct {
	path string

	mu       sync.Mutex
	live     live
	pending  []byte // lines that are not in the file yet
	group    *group // of the callers whose lines are in pending
	flushing sync.WaitGroup
	busy     bool // a flush runs
	closed   bool

	// Touched by the flush that runs, and by Open and Close when none does.
	file  *os.File
	size  int64
	limit int64 // beyond which the file is rewritten
}

// group is the callers of Begin whom one fsync serves.
type group struct {
	done chan struct{}
	err  error
}

// Begin returns when the call is on the disk. An error wraps ErrLogDown: the call is not on record.
func (f *fileIntents) Begin(ctx context.Context, callRef string, at time.Time) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return fmt.Errorf("%w: intents: %w", ErrLogDown, fs.ErrClosed)
	}
	f.live.begin(callRef, at)
	f.pending = appendIntent(f.pending, callRef, at)
	if f.group == nil {
		f.group = &group{done: make(chan struct{})}
	}
	g := f.group
	f.start()
	f.mu.Unlock()
	var err error
	select {
	case <-g.done:
		err = g.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		f.End(callRef)
		return fmt.Errorf("%w: intents: %w", ErrLogDown, err)
	}
	return nil
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
	if len(f.pending) >= 64<<10 {
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
	err := f.rewrite()
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
	}
	if err != nil {
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

// flush writes group after group until nothing is pending.
func (f *fileIntents) flush() {
	for {
		f.mu.Lock()
		lines, g := f.pending, f.group
		if len(lines) == 0 {
			f.busy = false
			f.mu.Unlock()
			return
		}
		f.pending, f.group = nil, nil
		f.mu.Unlock()
		err := f.write(lines, g != nil)
		if g != nil {
			g.err = err
			close(g.done)
		}
	}
}

// write appends lines and, when somebody waits, syncs. After a failure nobody knows what the file holds, and a second fsync would
// report success over lost pages: the file is written anew from what is open, now or by the next group.
func (f *fileIntents) write(lines []byte, sync bool) error {
	if f.file == nil || f.size > f.limit {
		return f.rewrite()
	}
	n, err := f.file.WriteAt(lines, f.size)
	f.size += int64(n)
	if err == nil && sync {
		err = f.file.Sync()
	}
	if err != nil {
		if f.rewrite() == nil {
			return nil
		}
	}
	return err
}

// rewrite makes the file say what is open now and nothing else. It takes in whatever is pending.
func (f *fileIntents) rewrite() error {
	f.mu.Lock()
	var b []byte
	for _, ref := range f.live.refs() {
		b = appendIntent(b, ref, f.live.at[ref].begun)
	}
	f.mu.Unlock()
	if f.file != nil {
		_ = f.file.Close() // nothing in it counts any more
		f.file = nil
	}
	if err := replaceFile(f.path, b); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	f.file, f.size = file, int64(len(b))
	f.limit = max(compactAt, 4*f.size)
	return nil
}

func appendIntent(b []byte, ref string, at time.Time) []byte {
	return appendLine(b, "B "+strconv.FormatInt(at.UnixNano(), 10)+" "+strconv.QuoteToASCII(ref))
}

func appendEnd(b []byte, ref string) []byte {
	return appendLine(b, "E "+strconv.QuoteToASCII(ref))
}

func appendLine(b []byte, text string) []byte {
	return fmt.Appendf(b, "%s %08x\n", text, crc32.ChecksumIEEE([]byte(text)))
}

// readIntents replays a file. A last line without its end is one that nobody was promised. Any other line that does not read is kept
// as an open call of its own name, so that the gap record shows a damage instead of hiding it.
func readIntents(raw []byte, l *live) {
	sc := bufio.NewReader(bytes.NewReader(raw))
	for n := 1; ; n++ {
		line, err := sc.ReadString('\n')
		if err != nil {
			return
		}
		if !replayIntent(strings.TrimSuffix(line, "\n"), l) {
			l.begin("unreadable intent "+strconv.Itoa(n), time.Time{})
		}
	}
}

func replayIntent(line string, l *live) bool {
	cut := strings.LastIndexByte(line, ' ')
	if cut < 0 {
		return false
	}
	text := line[:cut]
	sum, err := strconv.ParseUint(line[cut+1:], 16, 32)
	if err != nil || uint32(sum) != crc32.ChecksumIEEE([]byte(text)) {
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
