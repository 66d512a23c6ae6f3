package routing

import (
	"slices"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// trial finds out what a grant must name: it tries grants on a copy of the snapshot until nothing is held any more. It opens nothing.
type trial struct {
	snap    *sovereign.Snapshot
	table   *healthcheck.Table
	rules   *rules
	at      time.Time
	grant   sovereign.Grant
	country string // of the first region
	// held is the first ruling that a grant can open, and denied the first one that none can; nil: there was none.
	held, denied *sovereign.Ruling
}

func newTrial(snap *sovereign.Snapshot, table *healthcheck.Table, c *rules, at time.Time, parties ...string) *trial {
	return &trial{
		snap: snap, table: table, rules: c, at: at,
		grant: sovereign.Grant{ID: "trial", NotBefore: at, Until: at.Add(time.Hour), Groups: parties, Trunks: parties},
	}
}

// open adds regions to the grant until a is permitted, or gives up.
func (t *trial) open(a sovereign.Ask) bool {
	for range 16 {
		r := t.snap.WithGrants([]sovereign.Grant{t.grant}).Judge(a)
		if r.Permitted() {
			return true
		}
		if r.Verdict == sovereign.Deny || r.Region.IsZero() || slices.Contains(t.grant.Regions, r.Region) {
			if t.denied == nil {
				t.denied = &r
			}
			return false
		}
		if t.held == nil {
			t.held = &r
		}
		t.grant.Regions = append(t.grant.Regions, r.Region)
		if t.country == "" {
			t.country = string(r.Country)
		}
	}
	return false
}

// party opens a party, its media and at least one of its addresses. False with nothing denied means that no address of it is known.
func (t *trial) party(name string) bool {
	for _, plane := range [...]sovereign.Plane{sovereign.Signalling, sovereign.Media} {
		if !t.open(sovereign.Ask{Party: name, Plane: plane, At: t.at}) {
			return false
		}
	}
	before, reachable := t.denied, len(t.table.ByParty[name]) == 0
	for _, st := range t.table.ByParty[name] {
		if st.Target.Addr.IsValid() {
			reachable = t.open(sovereign.Ask{Party: name, Plane: sovereign.Signalling, Addr: st.Target.Addr, Keys: t.rules.Trunks[name].Keys, At: t.at}) || reachable
		}
	}
	if reachable {
		t.denied = before // another address of it will do
	}
	return reachable
}

// regions are what the grant must name, as "provider:code".
func (t *trial) regions() []string {
	var out []string
	for _, r := range t.grant.Regions {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}
