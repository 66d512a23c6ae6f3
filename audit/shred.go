package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit/retain"
)

// HoldPlaced says that something must be kept whatever its age.
type HoldPlaced struct{ retain.Hold }

// HoldLifted says that another person lifted a hold.
type HoldLifted struct {
	ID     string `json:"hold"`
	Reason string `json:"reason"`
	By     string `json:"by"` // pseudonym; never that of who placed it
}

// Shredded says that salts of calls were destroyed because no class keeps them any more: the entries stay, and their references name nobody. It is written
// before it is done; a run that was cut off is done again by the next one, and by one on a copy that was restored.
type Shredded struct {
	Days    []string `json:"days"`    // YYYYMMDD
	Classes []string `json:"classes"` // that ended, each as "NAME KEEP: REASON"
	Calls   int      `json:"calls"`   // salts that were to be destroyed
	Kept    int      `json:"kept"`    // salts of these days that a hold or another class keeps
	By      string   `json:"by"`      // pseudonym
}

func (HoldPlaced) Kind() Kind { return KindHoldPlaced }
func (HoldLifted) Kind() Kind { return KindHoldLifted }
func (Shredded) Kind() Kind   { return KindShredded }

// DayOf is the day of a call's reference, UTC.
func DayOf(callRef string) (time.Time, error) {
	k, err := parseSaltKey(callRef)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse("20060102", k.day)
}

// SaltDays gives the days of which salts are kept, the oldest first.
func (n *names) SaltDays() ([]string, error) { return n.salts.days() }

// SaltsOf gives the references of a day whose salts are kept.
func (n *names) SaltsOf(day string) ([]string, error) { return n.salts.list(day) }

// DestroySalts destroys the salts of these calls of one day, durably. Those that are gone already are no error.
func (n *names) DestroySalts(day string, refs []string) error {
	gone := map[[16]byte]bool{}
	for _, ref := range refs {
		k, err := parseSaltKey(ref)
		if err != nil {
			return err
		}
		if k.day != day {
			return fmt.Errorf("audit: %s is no call of %s", ref, day)
		}
		gone[k.hash] = true
	}
	return n.salts.shred(day, gone)
}

func (s *fileSalts) days() ([]string, error) {
	s.flush()
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("audit: salts: %w", err)
	}
	var out []string
	for _, f := range files {
		if day, ok := strings.CutSuffix(f.Name(), ".salts"); ok && len(day) == 8 {
			out = append(out, day)
		}
	}
	return out, nil // ReadDir sorts
}

func (s *fileSalts) list(day string) (out []string, err error) {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.write()
	raw, err := os.ReadFile(s.path(day))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || len(raw) < saltRecord || string(raw[:saltRecord]) != saltsMagic {
		return nil, fmt.Errorf("audit: salts of %s: expected a salts file: %w", day, err)
	}
	for at := saltRecord; at+saltRecord <= len(raw); at += saltRecord {
		if hash := [16]byte(raw[at : at+16]); hash != [16]byte{} {
			out = append(out, day+"-"+hex.EncodeToString(hash[:]))
		}
	}
	return out, nil
}

// shred overwrites records with zeros and returns when that is on the disk. A file of a day that is over and in which nothing is left goes.
func (s *fileSalts) shred(day string, gone map[[16]byte]bool) (err error) {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.write()
	f, err := os.OpenFile(s.path(day), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: salts of %s: %w", day, err)
	}
	raw, err := io.ReadAll(f)
	left := false
	zero := make([]byte, saltRecord)
	for at := saltRecord; err == nil && at+saltRecord <= len(raw); at += saltRecord {
		switch record := raw[at : at+saltRecord]; {
		case gone[[16]byte(record[:16])]:
			_, err = f.WriteAt(zero, int64(at))
		case !bytes.Equal(record, zero):
			left = true
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && !left && s.day != day {
		err = os.Remove(s.path(day))
		if err == nil {
			err = syncDir(filepath.Dir(s.path(day)))
		}
	}
	if err != nil {
		return fmt.Errorf("audit: salts of %s: %w", day, err)
	}
	return nil
}

func (m *memorySalts) days() (out []string, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.m {
		if !slices.Contains(out, k.day) {
			out = append(out, k.day)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (m *memorySalts) list(day string) (out []string, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.m {
		if k.day == day {
			out = append(out, k.String())
		}
	}
	slices.Sort(out)
	return out, nil
}

func (m *memorySalts) shred(day string, gone map[[16]byte]bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for hash := range gone {
		delete(m.m, saltKey{day, hash})
	}
	return nil
}
