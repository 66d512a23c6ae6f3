package cordon

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

// DrillWorld describes a node of this configuration to scenarios of drills, with the law as of a moment. It opens nothing: the node need not run.
func DrillWorld(c *configs.Config, at time.Time) (scenario.World, error) {
	overlay, err := c.Overlay()
	if err != nil {
		return scenario.World{}, fmt.Errorf("cordon: the suspensions: %w", err)
	}
	snap, err := c.Snapshot(1, nil, overlay)
	if err != nil {
		return scenario.World{}, err
	}
	w := scenario.World{People: map[string][]string{}}
	var trunks []string
	for _, p := range c.Parties {
		party := drillParty(snap, p, at)
		party.Help = slices.ContainsFunc(c.Rules.Emergency, func(e routing.EmergencyRule) bool { return e.Trunk == p.Name })
		for _, watched := range c.Watched {
			if watched.Party != p.Name {
				continue
			}
			party.Bare = len(watched.Members) > 0
			for _, m := range watched.Members {
				party.Members = append(party.Members, m.Name)
				party.Bare = party.Bare && m.Transport != "" && m.Transport != "tls"
			}
		}
		if party.Trunk {
			trunks = append(trunks, p.Name)
		}
		if i := party.Instrument; i != "" && !slices.Contains(w.Instruments, i) {
			w.Instruments = append(w.Instruments, i)
		}
		w.Parties = append(w.Parties, party)
	}
	slices.Sort(w.Instruments)
	for _, r := range c.Rules.Routes {
		w.Routes = append(w.Routes, drillRoute(r, trunks))
	}
	for _, p := range c.People {
		w.People[p.ID] = p.Roles
	}
	for _, ch := range c.Channels {
		w.Channels = append(w.Channels, ch.Name)
	}
	return w, nil
}

// drillParty is a party as the law sees it by itself, the stricter of its planes.
func drillParty(snap *sovereign.Snapshot, p sovereign.Party, at time.Time) scenario.Party {
	signalling := snap.JudgeParty(p.Name, sovereign.Signalling, sovereign.Drill, at)
	media := snap.JudgeParty(p.Name, sovereign.Media, sovereign.Drill, at)
	ruling := signalling
	if media.Verdict < ruling.Verdict {
		ruling = media
	}
	standing := map[sovereign.Verdict]scenario.Standing{sovereign.Permit: scenario.Permitted, sovereign.Hold: scenario.HeldBack}[ruling.Verdict]
	return scenario.Party{
		Name: p.Name, Trunk: p.Kind == sovereign.KindTrunk, Region: p.Region.String(), Standing: standing,
		Instrument: cmp.Or(signalling.Instrument, media.Instrument),
	}
}

// drillRoute is a route with its parties in the order in which they are tried. A route that names nobody who may call takes calls of every trunk.
func drillRoute(r routing.Route, trunks []string) scenario.Route {
	out := scenario.Route{Name: r.Name, From: r.From}
	if len(r.From) == 0 && r.Direction == routing.Inbound {
		out.From = trunks
	}
	choices := slices.Clone(r.To)
	slices.SortStableFunc(choices, func(a, b routing.Choice) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, ch := range choices {
		out.To = append(out.To, ch.Party)
	}
	return out
}
