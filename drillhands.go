package cordon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
)

// drillHands take things away in the node's own view: the board for what is met on the wire, the policy for the law. Both are leases.
type drillHands struct {
	n      *Node
	mode   scenario.Mode
	reason string // in entries of what is put back

	reaches []string                  // parties that something of the play touches
	active  map[string]routing.Active // as the play began
	desk    *desk.Book                // what people had decided by then
	table   *healthcheck.Table
	called  bool              // the health of before was asked back
	why     map[string]string // why a route could not go back, the last time it was tried
}

// hands remembers the node as it is.
func (n *Node) hands(ask drillAsk) *drillHands {
	h := &drillHands{n: n, mode: ask.Mode, reason: "the end of the drill " + ask.ID, active: n.router.Active(), desk: n.router.Desk(), table: n.checker.Table(), why: map[string]string{}}
	if ask.Play == nil {
		return h
	}
	for i := range ask.Play.Taken {
		h.reaches = append(h.reaches, ask.Play.Touched(&ask.Play.Taken[i])...)
	}
	slices.Sort(h.reaches)
	h.reaches = slices.Compact(h.reaches)
	return h
}

// errRealPeople: a word that somebody gave on a real ticket counts, drill or not, and what the log of production must hold it holds.
var errRealPeople = errors.New("people and the log are taken away in a simulation and in a sandbox alone")

// Take implements drill.Hands.
func (h *drillHands) Take(_ context.Context, gone []scenario.Taken, until time.Time) error {
	if !h.n.expendable(h.mode) && slices.ContainsFunc(gone, func(t scenario.Taken) bool { return t.Kind == scenario.Approver || t.Kind == scenario.Log }) {
		return errRealPeople
	}
	if h.mode == scenario.Canary { // the law and the names are production's
		h.n.board.Set(gone, until, board.Own)
		return h.n.relay.Impair(until)
	}
	h.n.board.Set(gone, until, board.All)
	h.n.policy.drill(h.n.board.Struck(), until)
	return h.n.met(until)
}

// Stands implements drill.Hands: by the board, the routes, and the health of what the play reaches.
func (h *drillHands) Stands() (bool, string) {
	n := h.n
	if gone := n.board.Gone(); len(gone) > 0 || n.policy.struckByDrill() {
		return false, fmt.Sprintf("%d things are still taken away", max(1, len(gone)))
	}
	if h.mode == scenario.Canary {
		return true, "" // its view goes; production's health and routes are not its own
	}
	var not []string
	for route, is := range h.astray() {
		why := fmt.Sprintf("route %s uses %s, and used %s", route, orNobody(is.Party), h.active[route].Party)
		if is.Party == h.active[route].Party {
			why = fmt.Sprintf("route %s waits for people", route)
		} else if h.why[route] != "" {
			why += ": " + h.why[route]
		}
		not = append(not, why)
	}
	slices.Sort(not)
	not = append(not, h.unwell()...)
	return len(not) == 0, strings.Join(not, "; ")
}

// AsBefore implements drill.Hands. It is asked when everything was given back, and helps: the health that the drill took is asked back at once, and routes go back to
// where they were as soon as that is up, also where they would not do so by themselves.
func (h *drillHands) AsBefore(ctx context.Context) (bool, string) {
	n := h.n
	if len(n.board.Gone()) == 0 && !n.policy.struckByDrill() && h.mode != scenario.Canary {
		if !h.called {
			h.called = true
			n.checker.Recall(h.table)
		}
		for route, is := range h.astray() {
			if was := h.active[route].Party; is.Party != was {
				h.back(ctx, route, was)
			}
		}
	}
	return h.Stands()
}

// astray are the routes that are not as they were, but for those that people decided about.
func (h *drillHands) astray() map[string]routing.Active {
	out := map[string]routing.Active{}
	for route, is := range h.n.router.Active() {
		was, known := h.active[route]
		if known && was.Party != "" && !h.decided(route) && (is.Party != was.Party || is.Held != was.Held) {
			out[route] = is
		}
	}
	return out
}

// unwell are the parties of the play that calls could go to before it, and cannot now.
func (h *drillHands) unwell() (not []string) {
	table := h.n.checker.Table()
	for _, party := range h.reaches {
		if was, _, _ := h.table.Party(party); !was.Usable() {
			continue
		}
		if is, _, why := table.Party(party); !is.Usable() {
			not = append(not, fmt.Sprintf("%s is %s: %s", party, is, why))
		}
	}
	return not
}

// decided says whether people switched a route, or let it back, since the play began: that counts, and is not taken back.
func (h *drillHands) decided(route string) bool {
	was, pinned := h.desk.Pin(route)
	is, pins := h.n.router.Desk().Pin(route)
	return pins != pinned || is != was
}

// back tries to send a route back to where it was.
func (h *drillHands) back(ctx context.Context, route, party string) {
	if err := h.n.router.Restore(ctx, route, party, h.reason); err != nil && ctx.Err() == nil { // that the time is over is no reason
		h.why[route] = strings.TrimPrefix(err.Error(), "routing: ")
	}
}

func orNobody(party string) string {
	if party == "" {
		return "nobody"
	}
	return party
}

// logRefuses plays a log that takes nothing, where a drill says so.
func (n *Node) logRefuses() error {
	if n.board.Log() {
		return errors.New("a drill has taken the log away")
	}
	return nil
}
