package audit

import (
	"crypto/rand"
	"fmt"
	"sync"
)

type memorySalts struct {
	mu sync.Mutex
	m  map[saltKey]salt
}

func newMemorySalts() *memorySalts { return &memorySalts{m: map[saltKey]salt{}} }

func (m *memorySalts) put(k saltKey, s salt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[k] = s
}

func (m *memorySalts) get(k saltKey) (salt, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.m[k]
	return s, ok
}

func (m *memorySalts) destroy(k saltKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.m[k]; !ok {
		return fmt.Errorf("audit: salt of %s: %w", k, ErrForgotten)
	}
	delete(m.m, k)
	return nil
}

func (m *memorySalts) health() (uint64, error) { return 0, nil }
func (m *memorySalts) close() error            { return nil }

type memoryPeople struct {
	mu sync.Mutex
	m  map[string]string // id to pseudonym
}

func newMemoryPeople() *memoryPeople { return &memoryPeople{m: map[string]string{}} }

func (p *memoryPeople) pseudonym(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.m[id]; !ok {
		p.m[id] = newPseudonym()
	}
	return p.m[id]
}

func (p *memoryPeople) find(person string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ps := findPerson(p.m, person)
	return ps, ps != ""
}

func (p *memoryPeople) erase(person string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ps := findPerson(p.m, person)
	if ps == "" {
		return fmt.Errorf("audit: person: %w", ErrForgotten)
	}
	delete(p.m, id)
	return nil
}

// findPerson looks for somebody by id or pseudonym; the pseudonym is "" when there is none.
func findPerson(ids map[string]string, person string) (id, pseudonym string) {
	if ps := ids[person]; ps != "" {
		return person, ps
	}
	for id, ps := range ids {
		if ps == person {
			return id, ps
		}
	}
	return "", ""
}

func (p *memoryPeople) health() (int, error) { return 0, nil }
func (p *memoryPeople) close() error         { return nil }

// newPseudonym is random and not a hash: after Erase not even the node's key leads back to the person.
func newPseudonym() string { return "p-" + rand.Text()[:16] }
