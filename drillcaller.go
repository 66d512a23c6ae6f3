package cordon

import (
	"context"
	"sync"
	"time"

	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

// drillCaller places the calls of a play through the edge: they are planned, judged, encrypted and receipted like any other, with purpose drill.
type drillCaller struct {
	edge    *sip.Edge
	planned func() bool // whether the view of a canary, which plans them, is there; nil: production plans them

	mu   sync.Mutex
	refs []string // of the calls that the edge took: each owes the log a receipt
}

// Call implements drill.Caller.
func (c *drillCaller) Call(ctx context.Context, l scenario.Load) measure.Call {
	out := measure.Call{Placed: time.Now()}
	if c.planned != nil && !c.planned() {
		out.Ended = out.Placed
		return out
	}
	r, err := c.edge.Place(ctx, sip.Synthetic{From: l.From, Called: l.Called, Purpose: sovereign.Drill, Hold: time.Duration(l.Hold)})
	if r.CallRef != "" {
		c.mu.Lock()
		c.refs = append(c.refs, r.CallRef)
		c.mu.Unlock()
	}
	out.Status, out.Ended = r.Status, r.Ended
	if err != nil && r.CallRef == "" {
		out.Ended = time.Now()
	}
	if r.Setup <= 0 {
		return out
	}
	out.Answered, out.Party = out.Placed.Add(r.Setup), r.Party
	out.MOS, out.Gap = r.Tone.Side.MOS, r.Tone.Gap
	if err != nil { // it was up when the play ended
		out.Ended = time.Time{}
		return out
	}
	out.Lost = r.EndedBy != "a"
	return out
}

// placed are the references of the calls so far.
func (c *drillCaller) placed() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.refs...)
}
