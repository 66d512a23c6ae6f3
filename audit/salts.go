package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrForgotten says that a salt or a person is not there, or not any more.
var ErrForgotten = errors.New("nothing is kept of it")

// A salts file is a header and records of one size, hash and salt of a call. Destroy overwrites a record in place with zeros.
const (
	saltsMagic = "cordon salts file, version 1\n\x00\x00\x00"
	saltRecord = 32
)

// fileSalts keeps one file per day. Records gather for saltsEvery and go by one plain write of the timer's goroutine, so that a call waits for no disk,
// not even one that hangs; the file is synced when the day ends, at Close, and by every Destroy. On a file system that copies on write, or on flash that
// remaps blocks, the old bytes may outlive the overwriting until the device reuses them: who needs more puts the folder on an encrypted volume.
type fileSalts struct {
	dir string

	disk sync.Mutex // whoever touches files; taken in front of mu
	day  string     // of the open file
	file *os.File   // nil when it could not be opened
	end  int64      // where the next record goes

	mu      sync.Mutex  // held for no longer than a look
	waiting []saltDay   // records that are not in a file yet
	spare   []byte      // of the last ones, to be used again; zeros
	held    int         // bytes of them
	timer   *time.Timer // writes them
	closed  bool
	first   error  // the first failure
	newest  error  // unless a salt was kept since
	lost    uint64 // salts that could not be written
}

// saltDay are records of one day.
type saltDay struct {
	day     string
	records []byte
}

const (
	saltsEvery = 200 * time.Millisecond
	saltsMost  = 128 * saltRecord // do not wait for the timer
	saltsHeld  = 1 << 20          // the most that waits for a disk that hangs
)

var errSaltsWait = errors.New("the disk does not take those that wait")

func openSalts(dir string) (*fileSalts, error) {
	s := &fileSalts{dir: filepath.Join(dir, "salts")}
	if err := makeDir(s.dir); err != nil {
		return nil, fmt.Errorf("audit: folder of salts: %w", err)
	}
	return s, nil
}

func (s *fileSalts) path(day string) string { return filepath.Join(s.dir, day+".salts") }

// put keeps a salt. One that cannot be written is lost, which health and Close report: a call does not fail for it.
func (s *fileSalts) put(k saltKey, v salt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		s.lose(1, fs.ErrClosed)
		return
	case s.held >= saltsHeld:
		s.lose(1, errSaltsWait)
		return
	case s.held == 0:
		s.wake()
	case s.held == saltsMost:
		s.timer.Reset(0)
	}
	if n := len(s.waiting); n == 0 || s.waiting[n-1].day != k.day {
		s.waiting = append(s.waiting, saltDay{k.day, s.spare})
		s.spare = nil
	}
	at := &s.waiting[len(s.waiting)-1].records
	*at = append(append(*at, k.hash[:]...), v[:]...)
	s.held += saltRecord
}

// wake sets the timer for what will wait from now on; s.mu is held.
func (s *fileSalts) wake() {
	if s.timer == nil {
		s.timer = time.AfterFunc(saltsEvery, s.flush)
		return
	}
	s.timer.Reset(saltsEvery)
}

// flush brings what waits into its file.
func (s *fileSalts) flush() {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.write()
}

// write brings what waits into its file; s.disk is held.
func (s *fileSalts) write() {
	s.mu.Lock()
	all := s.waiting
	s.waiting, s.held = nil, 0
	s.mu.Unlock()
	for _, d := range all {
		err := s.writeDay(d)
		s.mu.Lock()
		if s.newest = nil; err != nil {
			s.lose(len(d.records)/saltRecord, err)
		}
		if clear(d.records); cap(d.records) <= 2*saltsMost { // a burst must not hold its memory for ever
			s.spare = d.records[:0]
		}
		s.mu.Unlock()
	}
}

// writeDay writes records of one day. After a failure the next ones take the same place, so that a torn one is overwritten.
func (s *fileSalts) writeDay(d saltDay) error {
	if err := s.turn(d.day); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(d.records, s.end); err != nil {
		return err
	}
	s.end += int64(len(d.records))
	return nil
}

// lose counts salts; s.mu is held.
func (s *fileSalts) lose(n int, err error) {
	s.lost += uint64(n)
	s.newest = fmt.Errorf("audit: write a salt: %w", err)
	if s.first == nil {
		s.first = s.newest
	}
}

// turn makes day the open file; s.disk is held.
func (s *fileSalts) turn(day string) error {
	if s.file != nil && s.day == day {
		return nil
	}
	if err := s.shut(); err != nil {
		s.mu.Lock()
		if s.first == nil {
			s.first = fmt.Errorf("audit: salts of %s: %w", s.day, err)
		}
		s.mu.Unlock()
	}
	f, err := os.OpenFile(s.path(day), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	end, err := saltsEnd(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.day, s.file, s.end = day, f, end
	return nil
}

// saltsEnd checks the header, writing it into an empty file, and gives the end of the last whole record: a torn one is overwritten.
func saltsEnd(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Size() < saltRecord {
		_, err := f.WriteAt([]byte(saltsMagic), 0)
		return saltRecord, err
	}
	head := make([]byte, saltRecord)
	if _, err := f.ReadAt(head, 0); err != nil {
		return 0, err
	}
	if string(head) != saltsMagic {
		return 0, fmt.Errorf("%s: expected a salts file", f.Name())
	}
	return st.Size() / saltRecord * saltRecord, nil
}

func (s *fileSalts) shut() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return errors.Join(f.Sync(), f.Close())
}

func (s *fileSalts) get(k saltKey) (salt, bool) {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.write()
	f, err := os.Open(s.path(k.day))
	if err != nil {
		return salt{}, false
	}
	defer func() { _ = f.Close() }()
	_, v, err := findSalt(f, k.hash)
	return v, err == nil
}

// destroy overwrites the record with zeros and returns when that is on the disk.
func (s *fileSalts) destroy(k saltKey) error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("audit: salt of %s: %w", k, fs.ErrClosed)
	}
	s.write()
	f, err := os.OpenFile(s.path(k.day), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("audit: salt of %s: %w", k, ErrForgotten)
	}
	if err != nil {
		return fmt.Errorf("audit: salt of %s: %w", k, err)
	}
	at, _, err := findSalt(f, k.hash)
	if err == nil {
		_, err = f.WriteAt(make([]byte, saltRecord), at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("audit: salt of %s: %w", k, err)
	}
	return nil
}

func (s *fileSalts) close() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	s.closed = true // nothing waits from now on but what waits now
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.write()
	err := s.shut()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.first, err)
}

func (s *fileSalts) health() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost, s.newest
}

// findSalt reads a salts file to the record of hash and gives its offset. A record of zeros is a destroyed one and matches nothing.
func findSalt(r io.Reader, hash [16]byte) (int64, salt, error) {
	head := make([]byte, saltRecord)
	if _, err := io.ReadFull(r, head); err != nil || string(head) != saltsMagic {
		return 0, salt{}, errors.New("expected a salts file")
	}
	if hash == [16]byte{} {
		return 0, salt{}, ErrForgotten
	}
	buf := make([]byte, 2048*saltRecord)
	for at := int64(saltRecord); ; {
		n, err := io.ReadFull(r, buf)
		for i := 0; i+saltRecord <= n; i += saltRecord {
			if bytes.Equal(buf[i:i+16], hash[:]) {
				return at + int64(i), salt(buf[i+16 : i+saltRecord]), nil
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, salt{}, ErrForgotten
		}
		if err != nil {
			return 0, salt{}, err
		}
	}
}
