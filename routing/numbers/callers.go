package numbers

import (
	"fmt"
	"strings"
)

// Callers are the identities that a party takes from us: carriers reject a number that is not their customer's.
type Callers struct {
	Permit     []string // "+4969100" is one number, "+4969100*" every number that begins so; empty permits all
	Substitute string   // sent in place of a number that is not permitted; "" then leaves the party out
}

// Check says what is wrong with them.
func (c Callers) Check() error {
	for i, s := range c.Permit {
		if !dialled(strings.TrimSuffix(s, "*")) {
			return fmt.Errorf("permit[%d] %q: want a number, or the beginning of numbers with a * behind it", i, s)
		}
	}
	switch {
	case c.Substitute == "":
		return nil
	case !dialled(c.Substitute):
		return fmt.Errorf("substitute %q: want a number", c.Substitute)
	case len(c.Permit) == 0:
		return fmt.Errorf("substitute %q: nothing is ever substituted while permit is empty", c.Substitute)
	case !c.permits(c.Substitute):
		return fmt.Errorf("substitute %q: it is not permitted itself", c.Substitute)
	}
	return nil
}

func (c Callers) permits(n string) bool {
	for _, p := range c.Permit {
		if begin, open := strings.CutSuffix(p, "*"); n == p || open && strings.HasPrefix(n, begin) {
			return true
		}
	}
	return len(c.Permit) == 0
}

// Take gives the number to send for a caller, and whether the party can be used at all for this call.
func (c Callers) Take(caller string) (send string, ok bool) {
	switch {
	case c.permits(caller):
		return caller, true
	case c.Substitute != "":
		return c.Substitute, true
	}
	return "", false
}
