package cordon

import (
	"context"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/incident/form"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// buildIncidents makes what follows the log for incidents.
func (n *Node) buildIncidents(c *configs.Config) (err error) {
	n.incidents, err = incident.New(incident.Config{
		Log: n.log, KV: n.kv, World: field{n}, Node: c.File.Node.Name, Rules: c.Incidents, Logger: n.logger.With("room", "incident"), Metrics: n.opts.Metrics,
	})
	return err
}

// field is the node as the rules of incidents see it.
type field struct{ n *Node }

var _ incident.World = field{}

// Targets implements incident.World: those that calls may go to now. What the law, people or a drill keep calls from is not missing.
func (f field) Targets() []incident.Target {
	now, book, snap, drill := time.Now(), f.n.desk.Book(), f.n.fence.Snapshot(), f.n.noticed.Load()
	var out []incident.Target
	for name, list := range f.n.checker.Table().ByParty {
		if drill != nil && drill.Touches(name, now) {
			continue
		}
		region := ""
		if p, ok := snap.Party(name); ok {
			region = p.Region.String()
		}
		if s := book.Party(now, name, region).State; s != "" && s != desk.InService {
			continue
		}
		for _, st := range list {
			t := st.Target
			if s := book.Target(now, t.ID(), t.Party, t.Member, t.Ruling.Region.String()).State; s != "" && s != desk.InService {
				continue
			}
			if t.Addr.IsValid() && t.Ruling.Permitted() {
				out = append(out, incident.Target{ID: t.ID(), Party: name})
			}
		}
	}
	return out
}

// Party implements incident.World.
func (f field) Party(name string) (incident.Party, bool) {
	snap := f.n.fence.Snapshot()
	p, ok := snap.Party(name)
	if !ok {
		return incident.Party{}, false
	}
	out := incident.Party{Trunk: p.Kind == sovereign.KindTrunk, Region: p.Region.String()}
	cfg := f.n.cfg.Load()
	if fact, known := cfg.Catalogue.Lookup(p.Region); known {
		out.Country = string(fact.Country)
	}
	for _, d := range cfg.Declarations {
		if d.Region == p.Region && d.Operator != "" {
			out.Operator = d.Operator
			break
		}
	}
	return out, true
}

// Live implements incident.World. A drill is planned, and so is a test call of ours: DORA Art. 3(8).
func (f field) Live() []string {
	var out []string
	for _, c := range f.n.edge.Calls() {
		if c.Drill == "" && c.Purpose != sovereign.Drill.String() && c.Purpose != sovereign.SyntheticProbe.String() {
			out = append(out, c.Ref)
		}
	}
	return out
}

// Silenced implements incident.World.
func (f field) Silenced(party, member string) bool {
	return !f.n.board.Silent(party, member, false).IsZero()
}

// incidents is the book of incidents at the door, with pseudonyms in the place of people.
type incidents struct {
	*incident.Follower
	n *Node
}

var _ admin.Incidents = incidents{}

// Open implements admin.Incidents.
func (b incidents) Open(ctx context.Context, o incident.Opening, by string) (incident.Incident, error) {
	return b.Follower.Open(ctx, o, b.n.pseudonym(by))
}

// Note implements admin.Incidents.
func (b incidents) Note(ctx context.Context, id string, u incident.Update, by string) (incident.Incident, error) {
	return b.Follower.Note(ctx, id, u, b.n.pseudonym(by))
}

// Classify implements admin.Incidents.
func (b incidents) Classify(ctx context.Context, id string, c incident.Classification, by string) (incident.Incident, error) {
	return b.Follower.Classify(ctx, id, c, b.n.pseudonym(by))
}

// Submitted implements admin.Incidents.
func (b incidents) Submitted(ctx context.Context, id string, s incident.Submission, by string) (incident.Incident, error) {
	return b.Follower.Submitted(ctx, id, s, b.n.pseudonym(by))
}

// Document implements admin.Incidents.
func (b incidents) Document(ctx context.Context, id string, d incident.Documentation, by string) (incident.Incident, error) {
	return b.Follower.Document(ctx, id, d, b.n.pseudonym(by))
}

// Close implements admin.Incidents.
func (b incidents) Close(ctx context.Context, id, reason, by string) (incident.Incident, error) {
	return b.Follower.Close(ctx, id, reason, b.n.pseudonym(by))
}

// Draft implements admin.Incidents.
func (b incidents) Draft(ctx context.Context, i *incident.Incident, stage string, contacts bool) (*form.Draft, error) {
	now := time.Now()
	m, err := b.Measure(ctx, i, now)
	if err != nil {
		return nil, err
	}
	cfg := b.n.cfg.Load()
	return form.New(form.Input{
		Stage: stage, Incident: *i, Measures: m, Assessment: incident.Assess(i, &m), Clocks: b.Clocks(i, now), Entity: cfg.Entity, Contacts: contacts, Made: now,
		Node: cfg.File.Node.Name, Software: b.n.opts.Software,
	})
}
