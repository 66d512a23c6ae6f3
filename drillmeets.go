package cordon

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sovereign"
)

// Where the rooms of a node meet what its board says. What is asked anew each time, as signalling and name servers are, meets it by itself; what goes on without asking is told.

// met has what goes on by itself meet what the board says now, until its lease ends: the packets of calls that are up, and the names that point elsewhere. Whoever sets the board
// calls it. The error says what does not meet it.
func (n *Node) met(until time.Time) error {
	for _, party := range n.renamed.change(n) {
		n.checker.Relocate(party)
	}
	return n.relay.Impair(until)
}

// mediaImpaired is what a drill takes away of the media of a leg.
func (n *Node) mediaImpaired(l *media.Leg) impair.Effect {
	return n.board.Target(l.Party, l.Member, l.Drilled || l.Purpose == sovereign.Drill)
}

// namesImpaired is what the questions for the names of a party meet.
func (n *Node) namesImpaired(party string) impair.Effect {
	e, _ := n.board.Names(party)
	return e
}

// renamed are the parties whose names point elsewhere, and where.
type renamed struct {
	mu sync.Mutex
	to map[string]string
}

// change gives the parties whose names point elsewhere than they did.
func (r *renamed) change(n *Node) (parties []string) {
	now := map[string]string{}
	for _, w := range n.cfg.Load().Watched {
		if _, to := n.board.Names(w.Party); to != "" {
			now[w.Party] = to
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for party := range maps.Keys(now) {
		if r.to[party] != now[party] {
			parties = append(parties, party)
		}
	}
	for party := range r.to {
		if now[party] == "" {
			parties = append(parties, party)
		}
	}
	r.to = now
	return parties
}

// movedFor is how long an answer counts that a drill gave: names point home soon after the lease has ended, whoever forgot it.
const movedFor = time.Second

// movedTo is the party to whose addresses a name points while a drill moves it; "" for its own. An address that was configured is no name.
func (n *Node) movedTo(q resolve.Query) string {
	if _, err := netip.ParseAddr(q.Host); err == nil {
		return ""
	}
	_, to := n.board.Names(q.Party)
	return to
}

// movedAnswer is what a name of one party gives that points to another one: its addresses, judged as those of the party that was asked for. Nothing of it is remembered
// as evidence: nobody has moved.
func (n *Node) movedAnswer(ctx context.Context, q resolve.Query, to string) (resolve.Answer, error) {
	out := resolve.Answer{Expires: time.Now().Add(movedFor)}
	var problems []error
	for _, w := range n.cfg.Load().Watched {
		if w.Party != to {
			continue
		}
		for _, m := range w.Members {
			a, err := n.resolver.Locate(ctx, resolve.Query{Party: q.Party, Host: m.Host, Port: m.Port, Transport: string(m.Transport)})
			problems = append(problems, err)
			out.Located = append(out.Located, a.Located...)
		}
	}
	if to == scenario.Nowhere {
		out.Located = append(out.Located, n.nowhere(q))
	}
	if len(out.Located) == 0 {
		return out, errors.Join(append(problems, resolve.ErrNoAnswer)...)
	}
	return out, nil
}

// nowhere is an address of documentation (RFC 5737), which nothing declares: it is refused as such.
func (n *Node) nowhere(q resolve.Query) resolve.Located {
	at := netip.MustParseAddrPort("192.0.2.1:5060")
	r := n.judge(sovereign.Ask{Party: q.Party, Plane: sovereign.Signalling, Addr: at})
	transport := q.Transport
	if transport == "" {
		transport = "udp"
	}
	return resolve.Located{Host: q.Host, Transport: transport, Addr: at, Ruling: r}
}
