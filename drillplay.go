package cordon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/sovereign"
)

// drillAsk is what is to be played.
type drillAsk struct {
	ID    string         // ULID, the drill's
	Play  *scenario.Play // bound to this node
	Mode  scenario.Mode
	Share strict.Percent // of real calls, in a canary
	Cap   int            // of them at once
	Start uint64         // size of the log when it was asked for
}

// drillPlayed is what came of it.
type drillPlayed struct {
	drill.Result
	Log         string // where the log of the play lies, if that is not the node's own
	Sealed      string // newest checkpoint of that log: what it held when the play was over
	First, Last uint64 // entries of the play: from First to before Last
}

// errDrilling: two drills at once would each see what the other does.
var errDrilling = errors.New("cordon: another drill is being played")

// expendable says whether this node is one that a play of that mode may take everything from: a sandbox has somebody at its wire, and a simulation is in memory. A node in
// production is neither, whatever it is asked.
func (n *Node) expendable(m scenario.Mode) bool {
	return m == scenario.Sandbox && n.drillSent != nil || m == scenario.Simulation && n.opts.Memory
}

// playDrill plays on this node itself: what is taken away is gone for all of its calls, and in a canary for those of its view. It returns when everything is as before, or after the time that the scenario
// gives for it; an error says that nothing was begun. stop ends the play with a reason, and so does ctx; told is told of its steps and must not block.
func (n *Node) playDrill(ctx context.Context, ask drillAsk, stop <-chan string, told func(drill.Step)) (drillPlayed, error) {
	switch {
	case ask.Play == nil || ask.ID == "":
		return drillPlayed{}, errors.New("cordon: a drill without an id or a play")
	case ask.Mode != scenario.Full && ask.Mode != scenario.Canary && !n.expendable(ask.Mode):
		return drillPlayed{}, fmt.Errorf("cordon: a %s on a node that is none: it would be played on production", ask.Mode)
	case !slices.Contains(ask.Play.Modes, ask.Mode):
		return drillPlayed{}, fmt.Errorf("cordon: the scenario %s may not run as %s", ask.Play.Name, ask.Mode)
	}
	if err := ask.Play.Allows(ask.Mode); err != nil {
		return drillPlayed{}, fmt.Errorf("cordon: the scenario %s: %w", ask.Play.Name, err)
	}
	if !n.playing.CompareAndSwap(false, true) {
		return drillPlayed{}, errDrilling
	}
	defer n.playing.Store(false)
	n.refusals.drill.Store(&ask.ID)
	caller := &drillCaller{edge: n.edge}
	w, err := n.watch(ctx, ask, caller)
	defer w.close()
	if err != nil {
		return drillPlayed{}, fmt.Errorf("cordon: the log of before the drill: %w", err)
	}
	beside, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	wg.Go(func() { w.follow(beside) })
	if ask.Mode == scenario.Canary {
		over, err := n.besideProduction(beside, ask, caller, w)
		if err != nil {
			return drillPlayed{}, err
		}
		defer over()
		defer end()
	}
	wg.Go(func() { n.aim(beside, ask.Play) })
	r := &drill.Run{Play: ask.Play, Hands: n.hands(ask), Caller: caller, Watch: w, Stop: stop, Told: told}
	res := r.Do(ctx)
	return drillPlayed{Result: res, First: w.first, Last: n.log.Size()}, nil
}

// besideProduction begins the second view in which a canary is played, until ctx ends. That it ends before is something real, and ends the play.
func (n *Node) besideProduction(ctx context.Context, ask drillAsk, caller *drillCaller, w *drillWatch) (over func(), err error) {
	c, err := n.newCanary(canaryWant{Drill: ask.ID, Route: ask.Play.On.Name, Share: ask.Share.Of(), Cap: ask.Cap})
	if err != nil {
		return nil, err
	}
	caller.planned = func() bool { return n.views.of(ask.ID) != nil }
	return c.beside(ctx, func(err error) {
		why := "the view of the canary ended: " + err.Error()
		w.ended.Store(&why)
	})
}

// aim asks the fence for a way to what the play wants to see refused, where no call of the play asks for it: a party that its route does not lead to, or an address that
// nobody declared. The refusal is on record as fence.refused, and nothing is sent: a pass that was given is dropped, and the expectation fails.
func (n *Node) aim(ctx context.Context, p *scenario.Play) {
	start := time.Now()
	var list []scenario.Expectation
	for _, e := range p.Expect {
		if e.Refused != nil {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b scenario.Expectation) int { return int(a.From - b.From) })
	for _, e := range list {
		party := e.Refused.Party
		if named, ok := p.Cast[party]; ok {
			party = named
		}
		if len(p.Placed) > 0 && slices.Contains(p.On.To, party) {
			continue // each call of the play asks for it
		}
		wait := time.NewTimer(time.Duration(e.From) - time.Since(start))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		if pass, _ := n.fence.Pass(sovereign.Ask{Party: party, Plane: sovereign.Signalling, Addr: n.forbiddenAddr(party), Purpose: sovereign.Drill}); pass != nil {
			n.logger.Error("what a drill wants to see refused is permitted", "party", party)
		}
	}
}

// nowhere are addresses that no one is: those of documentation (RFC 5737), and one that was never given out (RFC 1112 section 4).
var nowhere = [...]netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{198, 51, 100, 1}), netip.AddrFrom4([4]byte{203, 0, 113, 1}), netip.AddrFrom4([4]byte{240, 0, 0, 1})}

// forbiddenAddr is an address of a party, or one of nobody.
func (n *Node) forbiddenAddr(party string) netip.AddrPort {
	for _, st := range n.checker.Table().ByParty[party] {
		if st.Target.Addr.IsValid() {
			return st.Target.Addr
		}
	}
	for _, a := range nowhere {
		to := netip.AddrPortFrom(a, 5060)
		if !n.fence.Judge(sovereign.Ask{Party: party, Plane: sovereign.Signalling, Addr: to, At: time.Now()}).Permitted() {
			return to
		}
	}
	return netip.AddrPort{}
}
