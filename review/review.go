// Package review is the periodic review of what is in force: the filter rules and the access rights as one document each, what a person found of them and signed, and
// the clocks of both.
//
// A Book is a pure function of the log: who accepted each rule and when, what last used it, who acted, who reviewed. Nothing here reads a clock, a file or a socket.
// RTS (EU) 2024/1774 Art. 13(1)(h) and last subparagraph (firewall rules and connection filters), Art. 21(e)(iv) (access rights).
// It imports approval/charter (the policy that counts), approval/sign, audit and internal/jcs.
package review

import (
	"fmt"
	"slices"
	"time"
)

// Kind says what is reviewed.
type Kind string

// The kinds.
const (
	Filter Kind = "filter"
	Access Kind = "access"
)

// Kinds are both.
func Kinds() []Kind { return []Kind{Filter, Access} }

// Law is where a review of this kind comes from.
func (k Kind) Law() string {
	if k == Access {
		return "RTS (EU) 2024/1774 Art. 21(e)(iv)"
	}
	return "RTS (EU) 2024/1774 Art. 13(1)(h) and last subparagraph"
}

// Months is how often both regulations want a review for systems that support critical or important functions.
const Months = 6

// Settings are what a configuration says of reviews. The zero value has the defaults.
type Settings struct {
	Every map[Kind]int // months; default Months
	Warn  []int        // days before a review is due; default 30 and 7
	Roles []string     // in which a review counts; default DefaultRoles
	// Signed refuses a review by session alone.
	Signed bool
}

// DefaultRoles review and run nothing of what they review.
func DefaultRoles() []string {
	return []string{"auditor", "ciso", "business_owner", "management_body_delegate"}
}

// DefaultWarnings are days before a review is due.
func DefaultWarnings() []int { return []int{30, 7} }

func (s Settings) months(k Kind) int {
	if m := s.Every[k]; m > 0 {
		return m
	}
	return Months
}

// MayReview says whether a role is one in which a review counts.
func (s Settings) MayReview(role string) bool {
	if len(s.Roles) == 0 {
		return slices.Contains(DefaultRoles(), role)
	}
	return slices.Contains(s.Roles, role)
}

func (s Settings) warnings() []int {
	w := slices.Clone(s.Warn)
	if s.Warn == nil {
		w = DefaultWarnings()
	}
	slices.Sort(w)
	return w
}

// Standing is where one review stands.
type Standing struct {
	Review  Kind      `json:"review"`
	Law     string    `json:"law"`
	Months  int       `json:"every_months"`
	Last    time.Time `json:"last,omitzero"`        // the last one that was signed
	Entry   uint64    `json:"last_entry,omitempty"` // of the log
	From    time.Time `json:"from,omitzero"`        // what the clock runs from: the last review, or the oldest right that nobody else reviewed
	Due     time.Time `json:"due,omitzero"`         // zero: there is nothing to review
	Late    bool      `json:"late"`
	Items   int       `json:"items"`
	Flagged int       `json:"flagged"`             // of them with something to look at
	Waits   []string  `json:"waits_for,omitempty"` // of access: pseudonyms whose rights are the next to be reviewed by somebody else
}

// Warning is one that is to be told now.
type Warning struct {
	Review Kind
	Late   bool
	Due    time.Time
	Days   int // its threshold; 0: it is late
}

func (w Warning) mark() string {
	return fmt.Sprintf("%s %s %d", w.Review, w.Due.UTC().Format(time.RFC3339), w.Days)
}

// Standings are those of all kinds as of now.
func (b *Book) Standings(s Settings, now time.Time) []Standing {
	out := make([]Standing, 0, 2)
	for _, k := range Kinds() {
		x := Standing{Review: k, Law: k.Law(), Months: s.months(k)}
		for _, p := range slices.Backward(b.Past) {
			if p.Review == k {
				x.Last, x.Entry = p.At, p.Entry
				break
			}
		}
		for _, i := range b.items(k, nil, now) {
			x.Items++
			if len(i.Points) > 0 {
				x.Flagged++
			}
		}
		if x.From, x.Waits = b.from(k); !x.From.IsZero() {
			x.Due = x.From.AddDate(0, x.Months, 0)
			x.Late = !now.Before(x.Due)
		}
		out = append(out, x)
	}
	return out
}

// from is what the clock of a kind runs from. Rights count as reviewed when two people signed them, or when somebody else than their holder reviewed them.
func (b *Book) from(k Kind) (from time.Time, waits []string) {
	if k == Filter {
		if b.Accepted == 0 && b.Digest == "" {
			return from, nil
		}
		from = b.Since
		if r := b.Reviewed[string(Filter)]; r.After(from) {
			from = r
		}
		return from, nil
	}
	for _, p := range b.Charter.People {
		m := b.Marks["person "+p.Person]
		at := m.First
		if m.Cause == signed && m.At.After(at) {
			at = m.At
		}
		if r := b.Reviewed[p.Person]; r.After(at) {
			at = r
		}
		switch {
		case from.IsZero() || at.Before(from):
			from, waits = at, []string{p.Person}
		case at.Equal(from):
			waits = append(waits, p.Person)
		}
	}
	slices.Sort(waits)
	return from, waits
}

// Warnings are those that are due to be told and that the log does not have: of several thresholds that passed while nobody looked, the nearest alone.
func (b *Book) Warnings(s Settings, now time.Time) []Warning {
	var out []Warning
	for _, x := range b.Standings(s, now) {
		if x.Due.IsZero() {
			continue
		}
		w := Warning{Review: x.Review, Late: x.Late, Due: x.Due}
		if !x.Late {
			for _, days := range s.warnings() { // the nearest first
				if !now.Before(x.Due.AddDate(0, 0, -days)) {
					w.Days = days
					break
				}
			}
			if w.Days == 0 {
				continue
			}
		}
		if !b.Told[w.mark()] {
			out = append(out, w)
		}
	}
	return out
}
