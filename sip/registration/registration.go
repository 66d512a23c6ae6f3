// Package registration is RFC 3261 section 10 in both roles, without a message or a socket: the bindings that others keep with us, and the state of a
// registration that we keep with others.
//
// Both are plain memory over (event, time), so that every rule is tested by table. Bindings live in memory: they expire by themselves, survive a reload, and
// after a restart the peers register again. It imports nothing of ours and no foreign module.
package registration

import (
	"slices"
	"strings"
	"time"
)

// Bounds of what parties may bind, and of the time that a binding lives.
const (
	MaxContacts = 8   // of one address of record
	MaxRecords  = 256 // addresses of record of one party
	MinExpires  = 60 * time.Second
	MaxExpires  = 2 * time.Hour
	preset      = time.Hour // RFC 3261 section 10.2: of a contact that names no time
)

// Contact is one value of Contact in a REGISTER.
type Contact struct {
	URI     string // as written, which is what answers repeat
	Key     string // equal for equal URIs
	User    string
	Host    string
	Port    uint16
	Q       float64       // preference, 0 to 1; who names none means 1
	Expires time.Duration // negative: not named
}

// Update is one REGISTER of a party. W is the way back to who sent it.
type Update[W any] struct {
	Party, AOR string
	CallID     string
	Seq        uint32
	Contacts   []Contact
	All        bool          // Contact: *
	Expires    time.Duration // of the header; negative: none
	Way        W
}

// Binding is one contact that a party may be reached at, by the way that it registered on.
type Binding[W any] struct {
	Party, AOR string
	Contact    Contact
	CallID     string
	Seq        uint32
	Until      time.Time
	Way        W
}

// Refusal is a REGISTER that changed nothing.
type Refusal struct {
	Status int
	Why    string
	Min    time.Duration // for 423
}

// Records is the memory of a registrar. It is for one goroutine, or under one lock.
type Records[W any] struct {
	byParty map[string]map[string][]Binding[W]
}

// Apply takes one REGISTER whole or not at all (RFC 3261 section 10.3 step 7) and gives the bindings of its address of record.
func (r *Records[W]) Apply(now time.Time, u Update[W]) ([]Binding[W], *Refusal) {
	if r.byParty == nil {
		r.byParty = map[string]map[string][]Binding[W]{}
	}
	have := slices.DeleteFunc(slices.Clone(r.byParty[u.Party][u.AOR]), func(b Binding[W]) bool { return !b.Until.After(now) })
	next, refusal := u.change(now, have)
	if refusal != nil {
		return nil, refusal
	}
	records := r.byParty[u.Party]
	switch {
	case len(next) == 0:
		delete(records, u.AOR)
		return nil, nil
	case len(next) > MaxContacts:
		return nil, &Refusal{Status: 403, Why: "too many contacts"}
	case records == nil:
		records = map[string][]Binding[W]{}
		r.byParty[u.Party] = records
	}
	if _, known := records[u.AOR]; !known && len(records) >= MaxRecords {
		return nil, &Refusal{Status: 403, Why: "too many addresses of record"}
	}
	slices.SortStableFunc(next, func(a, b Binding[W]) int {
		switch {
		case a.Contact.Q > b.Contact.Q:
			return -1
		case a.Contact.Q < b.Contact.Q:
			return 1
		}
		return strings.Compare(a.Contact.Key, b.Contact.Key)
	})
	records[u.AOR] = next
	return slices.Clone(next), nil
}

// change gives what is bound after the update.
func (u *Update[W]) change(now time.Time, have []Binding[W]) ([]Binding[W], *Refusal) {
	old := func(b Binding[W]) bool { return b.CallID == u.CallID && u.Seq <= b.Seq } // section 10.3 steps 6 and 7
	if u.All {
		switch {
		case len(u.Contacts) > 0 || u.Expires != 0:
			return nil, &Refusal{Status: 400, Why: "a star stands alone and with Expires: 0"}
		case slices.ContainsFunc(have, old):
			return nil, &Refusal{Status: 500, Why: "out of order"}
		}
		return nil, nil
	}
	for _, c := range u.Contacts {
		life := u.life(c)
		if life > 0 && life < MinExpires {
			return nil, &Refusal{Status: 423, Min: MinExpires, Why: "interval too brief"}
		}
		at := slices.IndexFunc(have, func(b Binding[W]) bool { return b.Contact.Key == c.Key })
		if at >= 0 && old(have[at]) {
			return nil, &Refusal{Status: 500, Why: "out of order"}
		}
		if at >= 0 {
			have = slices.Delete(have, at, at+1)
		}
		if life > 0 {
			have = append(have, Binding[W]{Party: u.Party, AOR: u.AOR, Contact: c, CallID: u.CallID, Seq: u.Seq, Until: now.Add(life), Way: u.Way})
		}
	}
	return have, nil
}

// life is how long a contact is to live: its own parameter, the header, an hour; at most MaxExpires.
func (u *Update[W]) life(c Contact) time.Duration {
	d := c.Expires
	if d < 0 {
		d = u.Expires
	}
	if d < 0 {
		d = preset
	}
	return min(d, MaxExpires)
}

// Of gives the bindings of a party that live, those with the highest q first.
func (r *Records[W]) Of(now time.Time, party string) []Binding[W] {
	var out []Binding[W]
	for _, list := range r.byParty[party] {
		for _, b := range list {
			if b.Until.After(now) {
				out = append(out, b)
			}
		}
	}
	slices.SortFunc(out, func(a, b Binding[W]) int {
		switch {
		case a.Contact.Q > b.Contact.Q:
			return -1
		case a.Contact.Q < b.Contact.Q:
			return 1
		}
		return strings.Compare(a.AOR+"\n"+a.Contact.Key, b.AOR+"\n"+b.Contact.Key)
	})
	return out
}

// Drop removes the bindings that gone names and gives the parties that lost one.
func (r *Records[W]) Drop(gone func(Binding[W]) bool) []string {
	var parties []string
	for party, records := range r.byParty {
		lost := false
		for aor, list := range records {
			left := slices.DeleteFunc(slices.Clone(list), gone)
			lost = lost || len(left) < len(list)
			if len(left) == 0 {
				delete(records, aor)
			} else {
				records[aor] = left
			}
		}
		if lost {
			parties = append(parties, party)
		}
		if len(records) == 0 {
			delete(r.byParty, party)
		}
	}
	slices.Sort(parties)
	return parties
}

// Next is when the first binding ends; zero when there is none.
func (r *Records[W]) Next() time.Time {
	var first time.Time
	for _, records := range r.byParty {
		for _, list := range records {
			for _, b := range list {
				if first.IsZero() || b.Until.Before(first) {
					first = b.Until
				}
			}
		}
	}
	return first
}
