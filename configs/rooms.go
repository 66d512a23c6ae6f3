package configs

import (
	"errors"
	"strings"

	"github.com/cordonsip/cordon/routing"
)

// rooms lets the rooms themselves look at what was built, so that what they would refuse at the start is refused here. The checks of this package come first, because
// they know the line; this catches what they have no words for.
func (b *builder) rooms(c *Config) {
	if err := routing.Check(c.Rules); err != nil {
		var p *routing.Problem
		hint := "see docs/reference/configuration.md"
		if errors.As(err, &p) {
			hint = p.Hint
		}
		b.fail("routes", hint, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	s, err := c.Snapshot(1, nil, nil)
	if err != nil {
		b.fail("policy", "policy, regions, places and parties together make no policy", "%v", err)
		return
	}
	b.collectorPlace(c, s)
	b.spansPlace(c, s)
	b.outletPlaces(c, s)
	b.witnessPlaces(c, s)
	b.wormPlace(c, s)
}
