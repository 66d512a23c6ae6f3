package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
)

const (
	// occasionMonths is how far back the uses of a derogation are counted.
	occasionMonths = 12
	// usesSlice is how long one proposal counts before it gives up and lets the next one go on from there.
	usesSlice = 3 * time.Second
)

// use is one grant that went live on a derogation of GDPR Art. 49.
type use struct {
	basis string // its word
	at    time.Time
}

// countedUses is how far back the log was read for uses; it belongs to the holder of turn.
type countedUses struct {
	begun, done bool
	next        uint64 // entries below it were not read yet
}

// sawUse remembers that a ticket's grant went live on a derogation. The caller holds view.
func (g *Gate) sawUse(t *approval.Ticket) {
	if approval.IsDerogation(t.Plan.LegalBasis) && !t.ActivatedAt.IsZero() {
		g.view.uses[t.ID] = use{t.Plan.LegalBasis, t.ActivatedAt}
	}
}

// repetitions counts the grants that went live on a derogation within the last twelve months; 0 for any other basis. The log is what counts: the first time it is
// read backwards that far, in slices, so that one proposal does not hold up the gate. The caller holds turn.
func (g *Gate) repetitions(ctx context.Context, basis string, now time.Time) (int, error) {
	if !approval.IsDerogation(basis) {
		return 0, nil
	}
	since := now.AddDate(0, -occasionMonths, 0)
	if err := g.readUses(ctx, since); err != nil {
		return 0, err
	}
	g.view.Lock()
	defer g.view.Unlock()
	n := 0
	for id, u := range g.view.uses {
		switch {
		case u.at.Before(since):
			delete(g.view.uses, id)
		case u.basis == basis:
			n++
		}
	}
	return n, nil
}

// readUses reads what of the log was not read yet.
func (g *Gate) readUses(ctx context.Context, since time.Time) error {
	c, began := &g.own.uses, time.Now()
	if !c.begun {
		c.begun, c.next = true, g.c.Log.Size()
	}
	for !c.done && c.next > 0 {
		if time.Since(began) >= usesSlice {
			return fmt.Errorf("approval: the uses of a derogation are being counted in the log, %d entries are left: ask again", c.next)
		}
		from := c.next - min(c.next, replayBatch)
		entries, err := g.entries(ctx, from, c.next)
		if err != nil {
			return err
		}
		g.usesIn(entries)
		c.next, c.done = from, len(entries) > 0 && entries[0].Time.Before(since)
	}
	c.done = true
	return nil
}

// usesIn takes the grants that went live out of entries. One whose entry was voided afterwards counts, too: rather one too many.
func (g *Gate) usesIn(entries []audit.Entry) {
	g.view.Lock()
	defer g.view.Unlock()
	for _, e := range entries {
		var ev approval.GateChanged
		if e.Kind != audit.KindGateChanged || json.Unmarshal(e.Body, &ev) != nil || ev.Record == nil {
			continue
		}
		g.sawUse(&ev.Record.Ticket)
	}
}
