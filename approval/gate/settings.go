package gate

import (
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
)

// settings are what a new ticket takes along. They are never changed, only replaced.
type settings struct {
	rules  approval.Rules
	people []approval.Holder
	bases  []approval.Basis      // the catalogue
	names  map[string]string     // person id to pseudonym
	keys   []keyring.EnrolledKey // of the configuration
	until  map[string]time.Time
}

// newSettings checks rules and people. The pseudonyms of earlier settings stay known, because open tickets keep their people.
func newSettings(r approval.Rules, people []approval.Person, bases []approval.Basis, pseudonym func(string) string, before *settings) (*settings, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	s := &settings{rules: r.Effective(), bases: bases, names: map[string]string{}, until: map[string]time.Time{}}
	if before != nil {
		for id, name := range before.names {
			s.names[id] = name
		}
	}
	// Errors end up in the log, and an id is personal data: people are named by their place in the list.
	ids, names := map[string]bool{}, map[string]int{}
	for i, p := range people {
		if approval.Reserved(p.ID) || ids[p.ID] {
			return nil, fmt.Errorf("approval: people[%d]: the id is empty, reserved or there twice", i)
		}
		ids[p.ID] = true
		name := pseudonym(p.ID)
		if other, taken := names[name]; name == "" {
			return nil, fmt.Errorf("approval: people[%d]: the pseudonym is empty", i)
		} else if taken {
			return nil, fmt.Errorf("approval: people[%d] and people[%d] have the same pseudonym", other, i)
		}
		names[name] = i
		s.names[p.ID] = name
		s.people = append(s.people, approval.Holder{Person: name, Roles: append([]string{}, p.Roles...), DeputyFor: slices.Clone(p.DeputyFor), Absent: slices.Clone(p.Absent)})
		s.until[name] = p.Until
	}
	keys, err := keyring.Configured(people, s.names)
	if err != nil {
		return nil, err
	}
	s.keys = keys
	return s, nil
}
