package audit

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// slotBlock is what is written at once: whole pages, so that the kernel need not read one from the disk to change a part of it.
const slotBlock = 4 << 10

// overwritten is a file of which every byte has been written before and that is open with O_DSYNC: an overwriting needs its data on the disk and
// nothing of the file system's own, so it takes no part in a journal's commit, and one system call is all it takes.
type overwritten struct {
	*os.File
	past writerAtCloser // the same file past the page cache, open with O_DSYNC as well; nil where that cannot be had
}

type writerAtCloser interface {
	io.WriterAt
	io.Closer
}

// openOverwritten opens a file that is there.
func openOverwritten(path string) (*overwritten, error) {
	file, err := os.OpenFile(path, os.O_RDWR|dataSync, 0)
	if err != nil {
		return nil, err
	}
	f := &overwritten{File: file}
	if past, err := openPast(file, path); err == nil {
		f.past = past
	}
	return f, nil
}

// errOther says that a name stands for another file than a moment ago.
var errOther = errors.New("another file has the name")

// openPast opens file, which stands at path, for writing past the page cache.
func openPast(file *os.File, path string) (*os.File, error) {
	if direct == 0 {
		return nil, errors.ErrUnsupported
	}
	past, err := os.OpenFile(path, os.O_WRONLY|dataSync|direct, 0)
	if err != nil {
		return nil, err // tmpfs and what stands above other file systems may refuse
	}
	ours, err := file.Stat()
	there, err2 := past.Stat()
	if err = errors.Join(err, err2); err == nil && !os.SameFile(ours, there) {
		err = errOther
	}
	if err != nil {
		return nil, errors.Join(err, past.Close())
	}
	return past, nil
}

// WriteAt returns when b is on the disk. Whole blocks in memory that begins with one go past the page cache, which costs the kernel a fifth less. What a
// long write leaves in the page cache is one large folio, and every short write into that would walk through all of its blocks: so it goes from there.
func (f *overwritten) WriteAt(b []byte, at int64) (int, error) {
	if f.past != nil && at%slotBlock == 0 && len(b)%slotBlock == 0 && atBlock(b) {
		n, err := f.past.WriteAt(b, at)
		if !errors.Is(err, syscall.EINVAL) {
			return n, err
		}
		_ = f.past.Close() // the file system opens files so and does not write them, or its blocks are larger: all of b goes the other way
		f.past = nil
	}
	n, err := f.File.WriteAt(b, at)
	if len(b) > 16*slotBlock {
		uncache(f.File)
	}
	return n, err
}

func (f *overwritten) Close() error {
	err := f.File.Close()
	if f.past != nil {
		err = errors.Join(err, f.past.Close())
	}
	return err
}

// atBlock says whether b begins where a block of memory does.
func atBlock(b []byte) bool { return offBlock(b) == 0 }

func offBlock(b []byte) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (slotBlock - 1))
}

// roomFor gives b with room for n bytes more, at the beginning of a block of memory.
func roomFor(b []byte, n int) []byte {
	if cap(b)-len(b) >= n && atBlock(b) {
		return b
	}
	most := int(blocks(int64(max(len(b)+n, 2*len(b)))))
	raw := make([]byte, most+slotBlock)
	at := -offBlock(raw) & (slotBlock - 1)
	return append(raw[at:at:at+most], b...)
}
