package cordon_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing/desk"
)

// outage is a time in which people kept a group from taking calls, according to the log alone.
type outage struct{ from, until time.Time }

// people take groups out of service in the simulated world, and note what the log says of it.
type people struct {
	rng  *rand.Rand
	outs map[string][]outage
}

func newPeople(seed uint64) people {
	return people{rng: rand.New(rand.NewPCG(seed, 4711)), outs: map[string][]outage{}}
}

// takeOut is somebody who drains a group, takes it out, keeps it for tests or puts it back.
func (s *sim) takeOut(ctx context.Context) {
	p := &s.people
	if p.rng.IntN(3) > 0 {
		return
	}
	o := desk.Service{
		Kind: desk.Group, Name: []string{"fra", "zrh", "sto"}[p.rng.IntN(3)], Reason: "change", By: "p-sim",
		State: []desk.State{desk.Draining, desk.Out, desk.TestOnly, desk.InService}[p.rng.IntN(4)],
	}
	if o.State != desk.InService {
		o.Until = time.Now().Add(time.Duration(5+p.rng.IntN(60)) * time.Second)
	}
	if err := s.node.Router().SetService(ctx, o); err != nil {
		s.fault("an administrative state was not taken: %v", err)
	}
}

// effect is how long after its entry a decision may take to count: the entry waits for a signed checkpoint.
const effect = 2 * time.Second

// served is the invariant of administrative states: a call that began while a group was kept out is never sent there, and its absence is no failure.
func (s *sim) served(e audit.Entry) {
	p := &s.people
	switch e.Kind {
	case audit.KindServiceChanged:
		var c audit.ServiceChanged
		if err := json.Unmarshal(e.Body, &c); err != nil {
			s.fault("entry %d: %v", e.Seq, err)
			return
		}
		list := p.outs[c.Name]
		if n := len(list); n > 0 && list[n-1].until.After(e.Time) {
			list[n-1].until = e.Time
		}
		if c.To != string(desk.InService) {
			list = append(list, outage{e.Time.Add(effect), c.Until})
		}
		p.outs[c.Name] = list
	case audit.KindReceipt:
		var r audit.Receipt
		if json.Unmarshal(e.Body, &r) != nil || r.Purpose == "emergency_call" {
			return
		}
		for _, a := range r.Attempts {
			for _, o := range p.outs[a.Party] {
				if !r.TInvite.After(o.from) || !r.TInvite.Before(o.until) {
					continue
				}
				s.sos.kept.Add(1)
				if !a.At.IsZero() {
					s.fault("receipt %d: a call of %s was sent to %s, which people kept out from %s to %s", e.Seq, r.TInvite.Format(time.TimeOnly), a.Party,
						o.from.Format(time.TimeOnly), o.until.Format(time.TimeOnly))
				}
			}
		}
	}
}
