package routing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// Want is what a person asks the gate for.
type Want struct {
	Trunks, Groups []string
	Regions        []string // provider:code; none: those in which the parties stand and that are held
	Reason         string
	Alternatives   []approval.Alternative
	Basis          string        // id in the catalogue of legal bases; "": the one that the held party names
	MaxCalls       int           // 0: as the gate's rules say
	GrantFor       time.Duration // 0: as the gate's rules say
}

// Asked is the plan of a Want and what the policy says of it: Hold is the gate's matter, Deny is nobody's.
type Asked struct {
	Plan   approval.Plan
	Ruling sovereign.Ruling
}

// Asked judges what a person asks for and writes the plan. It opens nothing. What the policy permits by itself, and what names nothing that is there, is a *NotDone.
func (r *Router) Asked(w Want) (Asked, error) {
	c, snap, table := r.rules.Load(), r.cfg.Snapshot(), r.cfg.Table()
	if err := c.known(w); err != nil {
		return Asked{}, err
	}
	parties := slices.Concat(w.Groups, w.Trunks)
	t := newTrial(snap, table, c, time.Now(), parties...)
	var held []string // parties that only people can open
	for _, party := range parties {
		before := len(t.grant.Regions)
		if !t.party(party) && t.denied == nil {
			return Asked{}, &NotDone{What: "no address of " + party + " is known", Hint: "look at its health: what has no address cannot be judged"}
		}
		if len(t.grant.Regions) > before || t.denied != nil {
			held = append(held, party)
		}
		if t.denied != nil {
			break
		}
	}
	beyond, err := c.beyond(w.Regions, t)
	if err != nil {
		return Asked{}, err
	}
	if t.denied == nil && t.held == nil {
		return Asked{}, &NotDone{What: "the policy permits that by itself", Hint: "nobody needs to approve it: cordon plan shows the way of a call, cordon switch changes it"}
	}
	if t.denied == nil && len(beyond) > 0 {
		return Asked{}, &NotDone{What: "no party that is named is held in " + strings.Join(beyond, ", "), Hint: "ask for no more than is needed: " + strings.Join(t.regions(), ", ")}
	}
	a := Asked{Plan: c.wanted(w, t, held)}
	if t.denied == nil {
		a.Ruling = *t.held
	} else {
		a.Ruling = *t.denied
		a.Ruling.Verdict = sovereign.Deny // also what is held for a reason that no grant covers
	}
	a.Plan.Grounds = []string{string(a.Ruling.Ground) + ": " + a.Ruling.Why}
	a.Plan.PolicyDigest, a.Plan.FactsDigest = snap.PolicyDigest(), snap.FactsDigest()
	return a, nil
}

// known says what a Want names that is not there.
func (c *rules) known(w Want) error {
	if len(w.Trunks) == 0 || len(w.Groups) == 0 {
		return &NotDone{What: "a trunk and an edge group are needed", Hint: "an empty list means nothing, never everything"}
	}
	for _, name := range w.Trunks {
		if _, ok := c.Trunks[name]; !ok {
			return &NotDone{What: fmt.Sprintf("%.80q is no trunk", name), Hint: "name one of the configuration"}
		}
	}
	for _, name := range w.Groups {
		if _, ok := c.Groups[name]; !ok {
			return &NotDone{What: fmt.Sprintf("%.80q is no edge group", name), Hint: "name one of the configuration"}
		}
	}
	return nil
}

// beyond gives the regions that were asked for and that no held party needs, and puts a denied one among them into the trial. What is needed and was not asked for
// is a *NotDone.
func (c *rules) beyond(asked []string, t *trial) (list []string, err error) {
	if len(asked) == 0 {
		return nil, nil
	}
	needed := t.regions()
	for _, text := range asked {
		region, err := sovereign.ParseRegion(text)
		if err != nil {
			return nil, &NotDone{What: fmt.Sprintf("%.80q is no region", text), Hint: "write provider:code, e.g. aws:eu-central-2"}
		}
		if slices.Contains(needed, region.String()) {
			continue
		}
		if r := t.snap.JudgeRegion(region, t.at); r.Verdict == sovereign.Deny && t.denied == nil {
			t.denied = &r
		}
		list = append(list, region.String())
	}
	for _, region := range needed {
		if !slices.Contains(asked, region) && t.denied == nil {
			return nil, &NotDone{What: "the parties that are named need " + region + ", too", Hint: "name every region, or none: then the needed ones are asked for"}
		}
	}
	return list, nil
}

// wanted writes the plan.
func (c *rules) wanted(w Want, t *trial, held []string) approval.Plan {
	p := approval.Plan{
		Scope:  approval.Scope{Trunks: w.Trunks, Groups: w.Groups, Regions: t.regions(), Country: t.country, MaxCalls: w.MaxCalls},
		Reason: w.Reason, Alternatives: w.Alternatives, LegalBasis: w.Basis, GrantFor: w.GrantFor,
	}
	if t.denied != nil { // what was asked for is what is on record
		for _, text := range append(slices.Clone(w.Regions), t.denied.Region.String()) {
			if text != "" && !slices.Contains(p.Scope.Regions, text) {
				p.Scope.Regions = append(p.Scope.Regions, text)
			}
		}
		if len(p.Scope.Regions) == 0 { // nothing says where it is
			p.Scope.Regions = []string{c.Groups[w.Groups[0]].Region.String()}
		}
		p.Scope.Country = string(t.denied.Country)
	}
	for _, party := range held {
		if b := c.Basis[party]; w.Basis == "" && (b.Until.IsZero() || t.at.Before(b.Until)) {
			p.LegalBasis = b.Word
		}
	}
	p.Failed = c.down(slices.Concat(w.Groups, w.Trunks), t.table)
	return p
}

// down are the parties that the routes of some parties lead to, too, and that are down.
func (c *rules) down(parties []string, table *healthcheck.Table) []string {
	var out []string
	for _, party := range parties {
		for _, rt := range c.byParty[party] {
			for _, ch := range rt.To {
				if state, _, _ := table.Party(ch.Party); state == healthcheck.Down && !slices.Contains(out, ch.Party) && !slices.Contains(parties, ch.Party) {
					out = append(out, ch.Party)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}
