package sip

import (
	"slices"

	"github.com/cordonsip/cordon/sip/header"
)

// as gives the question with another number for its caller: a carrier takes only those of its customers, and each writes them in its way. An asserted identity
// that is the caller's changes with it; whatever else was asserted would contradict it and is left out.
func (a *ask) as(caller string) *ask {
	if caller == "" {
		return a
	}
	b := *a
	said := *a.said
	b.said = &said
	was := a.user
	if len(a.said.ids) > 0 {
		was = a.said.ids[0].User
	}
	b.user = caller
	b.said.ids = slices.Clone(a.said.ids)
	b.said.ids = slices.DeleteFunc(b.said.ids, func(id header.Identity) bool { return id.User != was })
	for i := range b.said.ids {
		b.said.ids[i].User = caller
	}
	return &b
}
