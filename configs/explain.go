package configs

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

// Explain prints the effective policy as of a time: for each trunk and edge group each of its regions, and each literal address, with verdict and ground.
func (c *Config) Explain(at time.Time) (string, error) {
	overlay, overlayErr := c.Overlay()
	snap, err := c.Snapshot(1, nil, overlay)
	if err != nil {
		return "", err
	}
	apart, err := c.snapshot(split(c.Parties), 1, nil, overlay)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	p := snap.Policy()
	fmt.Fprintf(&b, "%s: tenant %s, node %s\n", c.Name, c.File.Tenant.words(), c.File.Node.Name)
	fmt.Fprintf(&b, "policy  %s; home %s; fails over by itself to: %s\n", p.Preset, p.Home, allowed(p))
	fmt.Fprintf(&b, "judged  as of %s, law table of %s, %d instruments suspended here; policy digest %.16s\n",
		at.UTC().Format(time.DateOnly), sovereign.Shipped().AsOf().Format(time.DateOnly), len(overlay), snap.PolicyDigest())
	fmt.Fprintf(&b, "media   %s\n\n", c.carrying())
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "PARTY\tWHAT\tPLACE\tCOUNTRY\tVERDICT\tGROUND\tWHY")
	for _, party := range snap.Parties() {
		c.explainParty(w, snap, apart, party, at)
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	c.explainBases(&b, at)
	c.explainRoutes(&b, snap, at)
	c.explainKeys(&b)
	if err := c.explainInventory(&b, snap, at); err != nil {
		return "", err
	}
	for _, x := range snap.Endings(at) {
		if x.Days <= slices.Max(sovereign.EndingDays()) {
			fmt.Fprintf(&b, "\nwarning: %s ends on %s, in %d days: %s would be held from then on\n", x.Instrument, x.Until.UTC().Format(time.DateOnly), x.Days, strings.Join(x.Parties, ", "))
		}
	}
	for _, x := range c.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s\n", x.Error())
	}
	if overlayErr != nil {
		fmt.Fprintf(&b, "\nwarning: %v\n", overlayErr)
	}
	return b.String(), nil
}

// carrying says who carries packets, and what becomes of calls when this process is told to end.
func (c *Config) carrying() string {
	if c.Media.InProcess {
		return "carried by this process; calls end with it, after the drain"
	}
	who := "carried by a process of its own where the system can have one (run/media.sock in the state folder)"
	if c.Media.Apart {
		who = "carried by a process of its own (run/media.sock in the state folder)"
	}
	if c.Restart.End {
		return who + "; SIGTERM ends calls after the drain"
	}
	return who + "; SIGTERM leaves calls up for the next start: the supervisor must let the media process live"
}

// words names the tenant with whatever is known of it.
func (t Tenant) words() string {
	var more []string
	if t.Name != "" {
		more = append(more, t.Name)
	}
	if t.LEI != "" {
		more = append(more, "LEI "+t.LEI)
	}
	if len(more) == 0 {
		return t.OrgID
	}
	return fmt.Sprintf("%s (%s)", t.OrgID, strings.Join(more, ", "))
}

// explainBases shows what tickets for each party will say they rest on.
func (c *Config) explainBases(b *strings.Builder, at time.Time) {
	first := "\n"
	for _, p := range slices.Sorted(maps.Keys(c.LegalBasis)) {
		until, ends := c.BasisUntil[p]
		switch {
		case !ends:
			fmt.Fprintf(b, "%slegal basis of %s: %s\n", first, p, c.LegalBasis[p])
		case at.Before(until):
			fmt.Fprintf(b, "%slegal basis of %s: %s, until the end of %s\n", first, p, c.LegalBasis[p], until.AddDate(0, 0, -1).Format(time.DateOnly))
		default:
			fmt.Fprintf(b, "%slegal basis of %s: none, %s has expired by then\n", first, p, c.LegalBasis[p])
		}
		first = ""
	}
}

func allowed(p sovereign.Policy) string {
	if len(p.Allow) == 0 {
		return p.Home.String() + " alone (the allow-list is empty)"
	}
	words := make([]string, len(p.Allow))
	for i, r := range p.Allow {
		words[i] = r.String()
	}
	return strings.Join(words, ", ")
}

// split makes a party of each region that a party names, with its attributes, so that each place can be judged apart.
func split(parties []sovereign.Party) []sovereign.Party {
	var out []sovereign.Party
	for _, p := range parties {
		seen := map[sovereign.Region]bool{}
		for _, r := range append([]sovereign.Region{p.Region, p.OrgHomeRegion}, p.MediaRegions...) {
			if !seen[r] && !r.IsZero() {
				seen[r] = true
				out = append(out, sovereign.Party{Name: apartName(p.Name, r), Kind: sovereign.KindTrunk, Region: r, Contract: p.Contract, Attributes: p.Attributes})
			}
		}
	}
	return out
}

func apartName(party string, r sovereign.Region) string { return party + " in " + r.String() }

func (c *Config) explainParty(w *tabwriter.Writer, snap, apart *sovereign.Snapshot, party sovereign.Party, at time.Time) {
	row := func(what string, ru sovereign.Ruling) {
		place := ru.Region.String()
		if ru.Place.Addr.IsValid() {
			place = ru.Place.Addr.String() + " " + place
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", party.Name, what, strings.TrimSpace(place), ru.Country, ru.Verdict, ru.Ground, ru.Why)
	}
	one := func(r sovereign.Region) sovereign.Ruling {
		return apart.JudgeParty(apartName(party.Name, r), sovereign.Signalling, sovereign.Production, at)
	}
	row("signalling", one(party.Region))
	if party.OrgHomeRegion != (sovereign.Region{}) {
		row("org home", one(party.OrgHomeRegion))
	}
	media := party.MediaRegions
	if len(media) == 0 {
		media = []sovereign.Region{party.Region}
	}
	for _, r := range media {
		row("media", one(r))
	}
	for _, m := range c.members(party.Name) {
		if a, err := netip.ParseAddr(m.Host); err == nil {
			row("member "+m.Name, snap.Judge(sovereign.Ask{Party: party.Name, Plane: sovereign.Signalling, Addr: netip.AddrPortFrom(a, m.Port), Keys: c.keys(party.Name), At: at}))
		} else {
			fmt.Fprintf(w, "%s\tmember %s\t%s\t\t\t\t%s\n", party.Name, m.Name, m.Host, "a name: each address is placed and judged when it is resolved")
		}
	}
	sig := snap.JudgeParty(party.Name, sovereign.Signalling, sovereign.Production, at)
	med := snap.JudgeParty(party.Name, sovereign.Media, sovereign.Production, at)
	if med.Verdict < sig.Verdict {
		sig = med
	}
	row("= as a whole", sig)
}

type memberView struct {
	Name, Host string
	Port       uint16
}

func (c *Config) members(party string) []memberView {
	for _, w := range c.Watched {
		if w.Party == party {
			out := make([]memberView, len(w.Members))
			for i, m := range w.Members {
				out[i] = memberView{m.Name, m.Host, m.Port}
			}
			return out
		}
	}
	return nil
}

func (c *Config) keys(party string) bool {
	for _, p := range c.Profiles {
		if p.Name == party {
			return p.Keys
		}
	}
	return false
}

// explainRoutes shows in which order each route would try its parties, and which of them only people can open.
func (c *Config) explainRoutes(b *strings.Builder, snap *sovereign.Snapshot, at time.Time) {
	for _, r := range c.Rules.Routes {
		fmt.Fprintf(b, "\nroute %s (%s, fallback %s)\n", r.Name, r.Direction, r.Fallback)
		for i, ch := range r.To {
			sig := snap.JudgeParty(ch.Party, sovereign.Signalling, sovereign.Production, at)
			if med := snap.JudgeParty(ch.Party, sovereign.Media, sovereign.Production, at); med.Verdict < sig.Verdict {
				sig = med
			}
			word := map[sovereign.Verdict]string{sovereign.Permit: "by itself", sovereign.Hold: "only through the gate", sovereign.Deny: "never"}[sig.Verdict]
			fmt.Fprintf(b, "  %d. %s: %s (%s)\n", i+1, ch.Party, word, sig.Ground)
		}
		if r.Recording {
			b.WriteString("  recording is required: a party without a reachable permitted recorder is refused\n")
		}
	}
}

// ImportGuardrail turns a guardrail document into the lines of a route, to be pasted and completed. What the guardrail wants to permit is a comment: the law has
// the last word on it, and an allow-list is not widened by pasting.
func ImportGuardrail(data []byte) (string, error) {
	g, err := routing.ImportGuardrail(data)
	if err != nil {
		return "", fmt.Errorf("configs: %w", err)
	}
	ruling, err := listed(g.Region, time.Now())
	if err != nil {
		return "", fmt.Errorf("configs: guardrail: %w", err)
	}
	word := map[sovereign.Verdict]string{
		sovereign.Permit: "calls may reach it by itself", sovereign.Hold: "calls reach it only through the gate, listed or not", sovereign.Deny: "no call reaches it, listed or not",
	}[ruling.Verdict]
	var b strings.Builder
	fmt.Fprintf(&b, "# from the guardrail of flow %q: calls stay in %s, everything else as the fallback says\n", g.Flow, g.Region)
	fmt.Fprintf(&b, "# once listed, under the default preset (%s): %s (%s): %s\n", sovereign.EEAPlusAdequacy, ruling.Verdict, ruling.Ground, word)
	fmt.Fprintf(&b, "# merge it into the policy section that you have, if that is what you want; it widens the policy:\n#   allow: [%s]\n", g.Region)
	fmt.Fprintf(&b, "routes:\n  - name: %s\n    direction: inbound\n    to: [{party: %s}]\n", slug(g.Flow), slug(g.Queue))
	fmt.Fprintf(&b, "    on_hold: {queue: %s}\n    fallback_policy: %s\n", slug(g.Queue), g.Fallback)
	return b.String(), nil
}

// listed judges a region as if it stood in the allow-list of a policy with the default preset, with the attributes of nobody.
func listed(r sovereign.Region, at time.Time) (sovereign.Ruling, error) {
	known := sovereign.ShippedRegions()
	atlas, err := sovereign.NewAtlas(known, nil)
	if err != nil {
		return sovereign.Ruling{}, err
	}
	snap, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Catalogue: known, Policy: sovereign.Policy{Preset: sovereign.EEAPlusAdequacy, Home: r, Allow: []sovereign.Region{r}}, Atlas: atlas, Generation: 1,
	})
	if err != nil {
		return sovereign.Ruling{}, err
	}
	return snap.JudgeRegion(r, at), nil
}

// slug makes a name that a configuration takes.
func slug(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '-'
	}, s)
}
