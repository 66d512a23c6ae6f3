package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
)

const (
	maxWaiting = 128 << 20       // bytes that wait to be written: the largest policy, and all calls told anew
	patience   = 5 * time.Second // how long a media process may take nothing, and
	leniency   = time.Minute     // how long a control process may
	maxStored  = 4 * osnet.MaxFiles
	chunk      = 128 << 10
)

// errStuck is an other end that lives and takes nothing.
var errStuck = errors.New("link: the other end takes nothing any more")

// line is one connection. What is sent waits in a queue, and leaves in the order in which it came, as much at once as there is.
type line struct {
	c        *net.UnixConn
	patience time.Duration

	mu     sync.Mutex
	queue  batch
	behind int   // bytes that the writer has
	err    error // why it ended; nil while it lasts
	wake   chan struct{}
	done   chan struct{}

	in    []byte // what was read and not yet looked at
	from  int
	files []int // descriptors that came and that no frame has claimed
}

// batch is what waits to be written.
type batch struct {
	b       []byte
	files   []file
	closing []io.Closer // that are to be closed when b has gone: a descriptor that waits must stay what it is
}

// file is a descriptor, and the frame that it goes with.
type file struct {
	at int
	f  interface{ FD() int }
}

func newLine(c *net.UnixConn, patience time.Duration) *line {
	return &line{c: c, patience: patience, wake: make(chan struct{}, 1), done: make(chan struct{}), in: make([]byte, 0, chunk)}
}

// put has fill append frames to what waits. It does not block. False when the line has ended: then nothing of it is used.
func (l *line) put(fill func(*batch)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false
	}
	fill(&l.queue)
	if len(l.queue.b)+l.behind > maxWaiting {
		l.fail(errStuck)
		return true
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// offer is put for what may be lost: false when more than so many bytes wait already.
func (l *line) offer(most int, fill func(*batch)) bool {
	return l.waiting() <= most && l.put(fill)
}

// waiting is how many bytes have not left yet.
func (l *line) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue.b) + l.behind
}

// fail ends the line, with l.mu held. The first reason counts.
func (l *line) fail(err error) {
	if l.err == nil {
		l.err = err
		l.c.Close()
		close(l.done)
	}
}

// end ends the line.
func (l *line) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(err)
}

// reason is why the line ended.
func (l *line) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// run reads and writes until the line ends, and gives the reason.
func (l *line) run(handle func(k kind, r *body, files []int) error) error {
	var wg sync.WaitGroup
	wg.Go(l.write)
	for {
		k, r, files, err := l.next()
		if err == nil {
			err = handle(k, r, files)
		}
		if err != nil {
			l.end(err)
			break
		}
	}
	wg.Wait()
	l.drop()
	return l.reason()
}

// drop closes what nobody has any more.
func (l *line) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.finish()
	closeAll(l.files)
	l.files = nil
	clear(l.in[:cap(l.in)])
}

// finish wipes what has gone, or never will: keys were in it.
func (q *batch) finish() {
	clear(q.b)
	for _, c := range q.closing {
		c.Close()
	}
	clear(q.files)
	*q = batch{b: q.b[:0], files: q.files[:0]}
	if cap(q.b) > chunk {
		q.b = nil
	}
}

// write sends what waits until the line ends.
func (l *line) write() {
	var b batch
	for {
		select {
		case <-l.wake:
		case <-l.done:
			return
		}
		l.mu.Lock()
		b, l.queue = l.queue, b
		l.behind = len(b.b)
		l.mu.Unlock()
		err := l.send(&b)
		l.mu.Lock()
		b.finish()
		l.behind = 0
		if err != nil {
			l.fail(err)
		}
		l.mu.Unlock()
	}
}

// say writes frames before run does.
func (l *line) say(fill func(*batch)) error {
	var b batch
	fill(&b)
	defer b.finish()
	return l.send(&b)
}

// send writes a batch in chunks, each with the descriptors of the frames that begin in it: they may come before their frame, and stay in order.
func (l *line) send(q *batch) error {
	files := q.files
	for from := 0; from < len(q.b); {
		to := min(from+chunk, len(q.b))
		var fds []int
		for len(files) > 0 && files[0].at < to {
			if len(fds) == osnet.MaxFiles {
				to = files[0].at
				break
			}
			fds = append(fds, files[0].f.FD())
			files = files[1:]
		}
		if err := l.c.SetWriteDeadline(time.Now().Add(l.patience)); err != nil {
			return err
		}
		err := osnet.SendFiles(l.c, q.b[from:to], fds)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errStuck
		}
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

// next reads a frame. Its body and the list of its descriptors are valid until the next one; the descriptors are the caller's.
func (l *line) next() (k kind, r *body, files []int, err error) {
	for {
		if have := l.in[l.from:]; len(have) >= headerSize {
			k, nfiles, n, err := header(have)
			if err != nil {
				return 0, nil, nil, err
			}
			if len(have) >= headerSize+n && len(l.files) >= nfiles {
				l.from += headerSize + n
				files, l.files = l.files[:nfiles:nfiles], l.files[nfiles:]
				return k, &body{b: have[headerSize : headerSize+n]}, files, nil
			}
			if len(have) >= headerSize+n {
				return 0, nil, nil, fmt.Errorf("%w: %d descriptors of %d came", errFrame, len(l.files), nfiles)
			}
		}
		if err := l.fill(); err != nil {
			return 0, nil, nil, err
		}
	}
}

// fill reads more. What was looked at is wiped: keys were in it.
func (l *line) fill() error {
	clear(l.in[:l.from])
	n := copy(l.in, l.in[l.from:])
	if l.from > 0 {
		clear(l.in[n:])
	}
	l.in, l.from = l.in[:n], 0
	l.files = slices.Clone(l.files)
	var fds [osnet.MaxFiles]int
	got, nfds, err := osnet.ReceiveFiles(l.c, l.in[n:cap(l.in)], fds[:])
	l.files = append(l.files, fds[:nfds]...)
	if err != nil {
		return err
	}
	l.in = l.in[:n+got]
	if len(l.files) > maxStored {
		return fmt.Errorf("%w: %d descriptors that belong to no frame", errFrame, len(l.files))
	}
	return nil
}
