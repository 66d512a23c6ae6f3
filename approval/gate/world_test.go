package gate

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/background"
	"github.com/cordonsip/cordon/state"
)

// world is one log, one store and any number of gates on them, in virtual time.
type world struct {
	t     *testing.T
	log   *faultyLog
	kv    *faultyKV
	rules approval.Rules
	bases []approval.Basis
}

// bases of the tests: the first two bear a grant.
func catalogue() []approval.Basis {
	day := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	return []approval.Basis{
		{ID: "scc-1", Kind: "Art46(2)(c)_SCC", Document: "SCC 2021/914 module 2", SignedOn: day, TIA: &approval.TIA{Document: "tia-1", Date: day, Outcome: "acceptable", Measures: []string{"SRTP"}}},
		{ID: "consent-1", Kind: "Art49(1)(a)_explicit_consent", Document: "letter 7", Derogation: &approval.Derogation{Necessity: "the client asked"}},
		{ID: "bare", Kind: "Art46(2)(c)_SCC", Document: "SCC 2021/914 module 2", SignedOn: day},
	}
}

// people of the tests: "ic" is the incident commander, and so on.
var people = []approval.Person{
	{ID: "ic", Name: "Ida C", Roles: []string{"incident_commander"}},
	{ID: "bo", Name: "Bo O", Roles: []string{"business_owner"}},
	{ID: "bo2", Name: "Bea O", Roles: []string{"business_owner"}},
	{ID: "ciso", Name: "Cy So", Roles: []string{"ciso"}},
	{ID: "md", Name: "Mo D", Roles: []string{approval.RoleDelegate}},
	{ID: "two", Name: "Two Hats", Roles: []string{"crisis_manager", "ciso"}},
	{ID: "dpo", Name: "Di Po", Roles: []string{"dpo"}},
	{ID: "dpo2", Name: "Deputy Po", Roles: []string{"dpo"}},
	{ID: "both", Name: "Dual Po", Roles: []string{"dpo", "crisis_manager"}},
	{ID: "op", Name: "Op Erator", Roles: []string{approval.RoleOperator}},
	{ID: "aud", Name: "Au Ditor", Roles: []string{"auditor"}},
}

func pseudonym(id string) string { return "p-" + id + "-x" }

func newWorld(t *testing.T) *world {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	log, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(seed), Origin: "test/gate", Tenant: "bank", Node: "n1", Software: "test"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, log: &faultyLog{Log: log}, kv: &faultyKV{KV: state.Memory()}, rules: approval.DefaultRules(), bases: catalogue()}
	t.Cleanup(func() {
		w.kv.Close()
		log.Close(context.Background())
	})
	return w
}

func (w *world) config(node string) Config {
	return Config{Rules: w.rules, People: people, Catalogue: w.bases, Log: w.log, KV: w.kv, Node: node, Pseudonym: pseudonym}
}

// gate makes a gate that does not run.
func (w *world) gate(node string) *Gate {
	w.t.Helper()
	g, err := New(w.config(node))
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// run runs g until stop, which also waits.
func (w *world) run(g *Gate) (stop func()) {
	return background.Run(w.t, g.Run)
}

func plan() approval.Plan {
	return approval.Plan{
		Scope:  approval.Scope{Trunks: []string{"de-1"}, Groups: []string{"iad"}, Regions: []string{"aws:us-east-1"}, Country: "US"},
		Reason: "every permitted region is down", Failed: []string{"fra", "zrh"}, Grounds: []string{"no adequacy decision covers it"},
		Alternatives: []approval.Alternative{{Option: "announcement", WhyNot: "emergencies wait"}}, PolicyDigest: "p1", FactsDigest: "f1",
	}
}

// propose opens a ticket and tells people.
func (w *world) propose(g *Gate, p approval.Plan) approval.Ticket {
	w.t.Helper()
	t, err := g.Propose(w.t.Context(), "rule:routing", p)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := g.Notified(w.t.Context(), t.ID, "console", ""); err != nil {
		w.t.Fatal(err)
	}
	t, _ = g.Ticket(t.ID)
	return t
}

var roleOf = map[string]string{"ic": "incident_commander", "bo": "business_owner", "bo2": "business_owner", "ciso": "ciso", "md": approval.RoleDelegate, "two": "crisis_manager"}

func (w *world) decide(g *Gate, t approval.Ticket, person string, approve bool) approval.Ticket {
	w.t.Helper()
	out, err := g.Decide(w.t.Context(), t.ID, person, roleOf[person], approve, "because of "+person, t.PlanHash, "bearer")
	if err != nil {
		w.t.Fatalf("%s deciding %v: %v", person, approve, err)
	}
	return out
}

func (w *world) opine(g *Gate, t approval.Ticket, person string, word approval.OpinionWord, met bool) approval.Ticket {
	w.t.Helper()
	out, err := g.Opine(w.t.Context(), t.ID, person, word, "advice", met)
	if err != nil {
		w.t.Fatalf("%s giving %s: %v", person, word, err)
	}
	return out
}

// live takes a ticket all the way to ACTIVE.
func (w *world) live(g *Gate, p approval.Plan) approval.Ticket {
	w.t.Helper()
	t := w.propose(g, p)
	w.decide(g, t, "ic", true)
	w.decide(g, t, "bo", true)
	t = w.opine(g, t, "dpo", approval.NoObjection, false)
	if t.State != approval.Active {
		w.t.Fatalf("the ticket is %s: %v", t.State, t.Missing)
	}
	return t
}

func (w *world) state(g *Gate, id string) approval.State {
	t, _ := g.Ticket(id)
	return t.State
}

// changes gives the gate.changed entries of the log.
func (w *world) changes() []approval.GateChanged {
	w.t.Helper()
	entries, err := w.log.Log.Entries(w.t.Context(), 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []approval.GateChanged
	for _, e := range entries {
		if e.Kind != audit.KindGateChanged {
			continue
		}
		var ev approval.GateChanged
		if err := json.Unmarshal(e.Body, &ev); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, ev)
	}
	return out
}

// stored reads a record as it stands in the store.
func (w *world) stored(id string) *approval.Record {
	w.t.Helper()
	item, err := w.kv.KV.Get(w.t.Context(), ticketPrefix+id)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := approval.DecodeRecord(id, item.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func wantRefusal(t *testing.T, err error, rule string) {
	t.Helper()
	var r *approval.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want the refusal %s", err, rule)
	}
	if r.Rule != rule || r.Detail == "" || r.Hint == "" {
		t.Fatalf("got %+v, want rule %s with detail and hint", r, rule)
	}
}

// faultyLog is a log that can be down, or take an entry and say that it did not.
type faultyLog struct {
	audit.Log
	down atomic.Bool
	lies atomic.Bool
	hook atomic.Value // func(audit.Event), before each entry
}

func (l *faultyLog) on(hook func(audit.Event)) { l.hook.Store(hook) }

func (l *faultyLog) fault(e audit.Event) error {
	if hook, _ := l.hook.Load().(func(audit.Event)); hook != nil {
		hook(e)
	}
	if l.down.Load() {
		return fmt.Errorf("disk gone: %w", audit.ErrLogDown)
	}
	return nil
}

func (l *faultyLog) Append(ctx context.Context, e audit.Event) (uint64, error) {
	if err := l.fault(e); err != nil {
		return 0, err
	}
	return l.Log.Append(ctx, e)
}

func (l *faultyLog) Commit(ctx context.Context, e audit.Event) (uint64, error) {
	if err := l.fault(e); err != nil {
		return 0, err
	}
	seq, err := l.Log.Commit(ctx, e)
	if l.lies.Load() {
		return 0, fmt.Errorf("no checkpoint: %w", audit.ErrLogDown)
	}
	return seq, err
}

// faultyKV is a store that can be down for writing, or take a write and say that it did not.
type faultyKV struct {
	state.KV
	down   atomic.Bool // Swap fails
	blind  atomic.Bool // Get fails
	forget atomic.Bool // Swap works and fails
}

var errFault = errors.New("the store does not answer")

func (k *faultyKV) Get(ctx context.Context, key string) (state.Item, error) {
	if k.blind.Load() {
		return state.Item{}, errFault
	}
	return k.KV.Get(ctx, key)
}

func (k *faultyKV) Swap(ctx context.Context, key string, rev uint64, data []byte) (uint64, error) {
	if k.down.Load() {
		return 0, errFault
	}
	now, err := k.KV.Swap(ctx, key, rev, data)
	if k.forget.Load() && err == nil {
		return 0, errFault
	}
	return now, err
}

// spendAll spends until the gate says hold, giving renewal a chance in between.
func spendAll(g *Gate, id string) int {
	n := 0
	for range 5 {
		for g.Spend(id) {
			n++
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}
