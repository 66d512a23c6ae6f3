// Package retain is the rules by which what the log's references stand for is kept, held and destroyed: classes with a reason each, and legal holds.
//
// It is pure: calls and the time are given to it. It imports nothing of ours.
package retain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keep is a period of whole years and days, as laws give them.
type Keep struct{ Years, Days int }

// ParseKeep reads "5y", "400d" or "1y30d".
func ParseKeep(s string) (k Keep, err error) {
	rest := s
	if n, r, ok := strings.Cut(rest, "y"); ok {
		if k.Years, err = strconv.Atoi(n); err != nil {
			return Keep{}, fmt.Errorf("retain: %q: expected years and days, e.g. 5y or 400d", s)
		}
		rest = r
	}
	if n, r, ok := strings.Cut(rest, "d"); ok {
		if k.Days, err = strconv.Atoi(n); err != nil {
			return Keep{}, fmt.Errorf("retain: %q: expected years and days, e.g. 5y or 400d", s)
		}
		rest = r
	}
	if rest != "" || k == (Keep{}) || k.Years < 0 || k.Days < 0 || k.Years > 30 || k.Days > 10000 {
		return Keep{}, fmt.Errorf("retain: %q: expected years and days, e.g. 5y or 400d, at most 30y", s)
	}
	return k, nil
}

func (k Keep) String() string {
	s := ""
	if k.Years > 0 {
		s = strconv.Itoa(k.Years) + "y"
	}
	if k.Days > 0 {
		s += strconv.Itoa(k.Days) + "d"
	}
	return s
}

// After is the end of a period that begins at the end of a day.
func (k Keep) After(day time.Time) time.Time { return day.AddDate(k.Years, 0, k.Days+1) }

// Class is calls that are kept for one reason.
type Class struct {
	Name    string
	Trunks  []string // of the calls; empty: all of them
	Keep    Keep
	Reason  string
	Binding bool // a duty to keep, which stands above the wish of a person to be forgotten (GDPR Art. 17(3)(b))
}

// Hold keeps what it covers, however old it is, until somebody else than who placed it lifts it.
type Hold struct {
	ID     string    `json:"hold"`
	From   time.Time `json:"from,omitzero"` // first day, zero: from the beginning
	To     time.Time `json:"to,omitzero"`   // last day, zero: without end
	Trunk  string    `json:"trunk,omitempty"`
	Ref    string    `json:"ref,omitempty"` // a call's reference or a person's pseudonym
	Reason string    `json:"reason"`
	By     string    `json:"by"` // pseudonym
	At     time.Time `json:"at"`
}

// Call is what the rules ask of one. A trunk that is not known is every trunk: nothing is destroyed by mistake.
type Call struct {
	Ref   string
	Day   time.Time // UTC, at midnight
	Trunk string    // empty: not known
}

// Covers says whether the hold keeps a call.
func (h Hold) Covers(c Call) bool {
	return (h.Ref == "" || h.Ref == c.Ref) && (h.Trunk == "" || c.Trunk == "" || h.Trunk == c.Trunk) &&
		(h.From.IsZero() || !c.Day.Before(h.From)) && (h.To.IsZero() || !c.Day.After(h.To))
}

// Check says what a hold lacks.
func (h Hold) Check() error {
	switch {
	case h.Reason == "" || h.By == "":
		return errors.New("retain: a hold needs a reason and a person")
	case h.Ref == "" && h.Trunk == "" && h.From.IsZero() && h.To.IsZero():
		return errors.New("retain: a hold needs a scope: a period, a trunk or a reference")
	case !h.To.IsZero() && h.To.Before(h.From):
		return errors.New("retain: a hold ends before it begins")
	}
	return nil
}

// Rules are the classes in force and the holds.
type Rules struct {
	Classes []Class
	Holds   []Hold
}

// ErrKept is wrapped where something may not be destroyed.
var ErrKept = errors.New("it must be kept")

// Held gives the hold that covers a call.
func (r Rules) Held(c Call) (Hold, bool) {
	i := slices.IndexFunc(r.Holds, func(h Hold) bool { return h.Covers(c) })
	if i < 0 {
		return Hold{}, false
	}
	return r.Holds[i], true
}

// Due is when a call is not kept any more, and the class that keeps it so long.
func (r Rules) Due(c Call) (due time.Time, by Class) { return r.latest(c, false) }

// latest is the end of the longest class that a call falls under.
func (r Rules) latest(c Call, binding bool) (due time.Time, by Class) {
	for _, class := range r.Classes {
		if binding && !class.Binding || len(class.Trunks) > 0 && c.Trunk != "" && !slices.Contains(class.Trunks, c.Trunk) {
			continue
		}
		if end := class.Keep.After(c.Day); end.After(due) {
			due, by = end, class
		}
	}
	return due, by
}

// Forget says whether a call may be forgotten at somebody's request: nil, or an error that wraps ErrKept and names the reason.
func (r Rules) Forget(c Call, now time.Time) error {
	if h, ok := r.Held(c); ok {
		return fmt.Errorf("retain: legal hold %s (%s): %w", h.ID, h.Reason, ErrKept)
	}
	if due, class := r.latest(c, true); due.After(now) {
		return fmt.Errorf("retain: class %s until %s (%s): %w", class.Name, due.Format(time.DateOnly), class.Reason, ErrKept)
	}
	return nil
}

// Person says the same of a person: only a hold that names the pseudonym keeps one.
func (r Rules) Person(pseudonym string) error {
	for _, h := range r.Holds {
		if h.Ref == pseudonym {
			return fmt.Errorf("retain: legal hold %s (%s): %w", h.ID, h.Reason, ErrKept)
		}
	}
	return nil
}

// Age says whether a call has outlived its classes and no hold covers it.
func (r Rules) Age(c Call, now time.Time) bool {
	due, _ := r.Due(c)
	_, held := r.Held(c)
	return !held && !due.After(now)
}

// ByTrunk says whether it matters over which trunk a call of a day came.
func (r Rules) ByTrunk(day time.Time) bool {
	return slices.ContainsFunc(r.Classes, func(c Class) bool { return len(c.Trunks) > 0 }) ||
		slices.ContainsFunc(r.Holds, func(h Hold) bool { return h.Trunk != "" && (Hold{From: h.From, To: h.To}).Covers(Call{Day: day}) })
}
