package cordon

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

// views are what the door shows: every address that a target has now.
func (k *placeKeeper) views() []admin.Place {
	live := map[placeKey]bool{}
	for party, list := range k.node.checker.Table().ByParty {
		for _, s := range list {
			if s.Target.Addr.IsValid() {
				live[placeKey{party, plainAddr(s.Target.Addr.Addr())}] = true
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []admin.Place
	for key, p := range k.places {
		if !live[key] {
			continue
		}
		out = append(out, admin.Place{
			Party: key.party, Host: p.host, Addr: key.addr.String(), Region: p.claim.Region, Countries: append([]string{}, p.claim.Countries...), Contract: p.claim.Contract,
			Standing: string(p.found.Standing), Words: p.found.Words, Held: p.against != nil, Evidence: append([]evidence.Item{}, p.found.Items...),
		})
	}
	slices.SortFunc(out, func(a, b admin.Place) int { return strings.Compare(a.Party+" "+a.Addr, b.Party+" "+b.Addr) })
	return out
}

// statement is what this node measured, for another one to hold against declared places. Nobody's position, nothing to say.
func (k *placeKeeper) statement() evidence.Statement {
	s := evidence.Statement{Form: evidence.StatementForm, Node: k.node.opts.Config.File.Node.Name, Sights: []evidence.Seen{}}
	at := k.node.cfg.Load().Evidence.At
	if at == nil {
		return s
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for addr, one := range k.sights {
		if one.Samples > 0 && one.At == *at {
			s.Sights = append(s.Sights, evidence.Seen{Addr: addr, Sight: one.Sight})
		}
	}
	slices.SortFunc(s.Sights, func(a, b evidence.Seen) int { return netip.Addr.Compare(a.Addr, b.Addr) })
	return s
}
