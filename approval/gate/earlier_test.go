package gate

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
)

// The changes of a ticket's whole life as the first version wrote them: they read, write the same again byte for byte, keep their plan's hash, and count as words by session.
func TestEntriesOfTheFirstVersion(t *testing.T) {
	raw, err := os.ReadFile("testdata/gate-changed-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var bodies []json.RawMessage
	if err := json.Unmarshal(raw, &bodies); err != nil || len(bodies) < 6 {
		t.Fatalf("%d entries, %v", len(bodies), err)
	}
	c := keyring.NewChecker()
	for i, body := range bodies {
		var ev approval.GateChanged
		if err := json.Unmarshal(body, &ev); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(ev)
		if err != nil || !bytes.Equal(again, body) {
			t.Errorf("entry %d, %v:\n%s\nis written as\n%s", i, err, body, again)
		}
		if hash, err := keyring.PlanHash(body); err != nil || hash != ev.PlanHash || ev.Record.Ticket.Plan.Hash() != ev.PlanHash {
			t.Errorf("entry %d has the plan %s, and its hash is %s, %v", i, ev.PlanHash, hash, err)
		}
		c.Take(audit.Entry{Kind: audit.KindGateChanged, Seq: uint64(i), Time: time.Now(), Body: body})
	}
	if tally := c.Tally(); len(c.Bad) > 0 || tally != (keyring.Tally{BySession: 3}) {
		t.Errorf("%+v, %v", tally, c.Bad)
	}
}

// What a start after a crash must read again is bounded: the store hears of it as the log grows.
func TestHowFarTheLogWasReadIsKept(t *testing.T) {
	w := newSigning(t, "ic")
	g := w.gate()
	if _, err := g.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	upto := func() uint64 {
		item, err := w.kv.KV.Get(t.Context(), g.keysKey())
		var s savedKeys
		if err != nil || json.Unmarshal(item.Data, &s) != nil {
			t.Fatal(err)
		}
		return s.Upto
	}
	before := upto()
	for range 3 {
		if _, err := w.log.Append(t.Context(), audit.NodeStopped{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ grown, want uint64 }{{4, before}, {3, before + 3}, {1, before + 3}} {
		if err := g.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.keepSince(t.Context(), c.grown)
		g.leave()
		if got := upto(); got != c.want {
			t.Errorf("asked whether the log grew by %d, the store says %d, want %d", c.grown, got, c.want)
		}
	}
}
