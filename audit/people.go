package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// person is one file of the erasable directory.
type person struct {
	ID        string `json:"id"`
	Pseudonym string `json:"pseudonym"`
}

// filePeople keeps one file per person, named by the pseudonym, so that erasing one touches no other.
type filePeople struct {
	dir string

	mu      sync.Mutex
	ids     map[string]string // id to pseudonym
	unsaved map[string]bool   // ids whose file could not be written yet
	closed  bool
	why     error // of the newest failure, while there are such
}

func openPeople(dir string) (*filePeople, error) {
	p := &filePeople{dir: filepath.Join(dir, "people"), ids: map[string]string{}, unsaved: map[string]bool{}}
	if err := makeDir(p.dir); err != nil {
		return nil, fmt.Errorf("audit: folder of people: %w", err)
	}
	files, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("audit: folder of people: %w", err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") { // was being written as the last run ended, and may name somebody all the same
			if err := shred(filepath.Join(p.dir, f.Name())); err != nil {
				return nil, fmt.Errorf("audit: folder of people: %w", err)
			}
			continue
		}
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(p.dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("audit: folder of people: %w", err)
		}
		var who person
		if err := json.Unmarshal(raw, &who); err != nil || who.Pseudonym+".json" != f.Name() {
			return nil, fmt.Errorf("audit: folder of people: %s: expected the id and the pseudonym of one person", f.Name())
		}
		p.ids[who.ID] = who.Pseudonym
	}
	return p, nil
}

// pseudonym gives the one of id. What could not be written for whomever is tried again.
func (p *filePeople) pseudonym(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ps, ok := p.ids[id]
	if !ok {
		ps = newPseudonym()
		p.ids[id], p.unsaved[id] = ps, true
	}
	p.saveAll()
	return ps
}

// saveAll stops at the first file that cannot be written; p.mu is held.
func (p *filePeople) saveAll() {
	p.why = nil
	for id := range p.unsaved {
		if err := p.save(person{id, p.ids[id]}); err != nil {
			p.why = fmt.Errorf("audit: keep a person: %w", err)
			return
		}
		delete(p.unsaved, id)
	}
}

func (p *filePeople) health() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.unsaved), p.why
}

func (p *filePeople) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.saveAll()
		p.closed = true
	}
	return p.why
}

func (p *filePeople) save(who person) error {
	if p.closed {
		return fs.ErrClosed
	}
	raw, err := json.Marshal(who)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(p.dir, who.Pseudonym+".json"), raw)
}

func (p *filePeople) find(person string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ps := findPerson(p.ids, person)
	return ps, ps != ""
}

// erase overwrites and removes the file of one person, named by id or pseudonym.
func (p *filePeople) erase(who string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("audit: erase a person: %w", fs.ErrClosed)
	}
	id, ps := findPerson(p.ids, who)
	if ps == "" {
		return fmt.Errorf("audit: person: %w", ErrForgotten)
	}
	if err := shred(filepath.Join(p.dir, ps+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("audit: erase a person: %w", err)
	}
	delete(p.ids, id)
	delete(p.unsaved, id)
	if len(p.unsaved) == 0 {
		p.why = nil
	}
	return nil
}
