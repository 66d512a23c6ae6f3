package incident

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

// frankfurt is a world of one trunk and two groups, one of them in Frankfurt.
type frankfurt struct {
	mu      sync.Mutex
	targets []Target
	live    []string
	gone    map[string]bool // party/member that a drill silences
}

func newWorld() *frankfurt {
	return &frankfurt{targets: []Target{{"fra/a", "fra"}, {"fra/b", "fra"}, {"zrh/a", "zrh"}, {"carrier/a", "carrier"}, {"carrier/b", "carrier"}}}
}

func (w *frankfurt) Targets() []Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.targets)
}

func (w *frankfurt) Live() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.live)
}

func (w *frankfurt) Silenced(party, member string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone[party+"/"+member]
}

func (w *frankfurt) Party(name string) (Party, bool) {
	p, ok := map[string]Party{
		"fra":     {Region: "aws:eu-central-1", Country: "DE", Operator: "Genesys Telecommunications"},
		"zrh":     {Region: "aws:eu-central-2", Country: "CH"},
		"carrier": {Trunk: true, Region: "carrier:fra", Country: "DE", Operator: "Carrier AG"},
	}[name]
	return p, ok
}

// stage is a follower on a log in memory, in virtual time.
type stage struct {
	t     *testing.T
	log   audit.Log
	kv    state.KV
	world *frankfurt
	f     *Follower
	end   func()
}

func newStage(t *testing.T, r Rulebook) *stage {
	t.Helper()
	l, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "test", Tenant: "bank", Node: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, log: l, kv: state.Memory(), world: newWorld()}
	s.start(r)
	return s
}

// start begins a run of the follower; a second one begins with what the state has.
func (s *stage) start(r Rulebook) {
	s.t.Helper()
	var err error
	if s.f, err = New(Config{Log: s.log, KV: s.kv, World: s.world, Node: "edge", Rules: r}); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.f.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	s.end = func() {
		cancel()
		<-done
	}
}

func (s *stage) stop() {
	s.end()
	if err := s.log.Close(context.Background()); err != nil {
		s.t.Error(err)
	}
	s.kv.Close()
}

func (s *stage) append(events ...audit.Event) {
	s.t.Helper()
	for _, ev := range events {
		if _, err := s.log.Append(s.t.Context(), ev); err != nil {
			s.t.Fatal(err)
		}
	}
}

// pass lets d go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// written are the entries of ours, as "opened region aws:eu-central-1" and "updated recovered".
func (s *stage) written() []string {
	s.t.Helper()
	entries, err := s.log.Entries(s.t.Context(), 0, 10000)
	if err != nil {
		s.t.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		ev, err := audit.Decode(e)
		if err != nil {
			s.t.Fatal(err)
		}
		switch ev := ev.(type) {
		case audit.IncidentOpened:
			out = append(out, "opened "+ev.Cause)
		case audit.IncidentUpdated:
			word := "updated " + ev.What
			if ev.Clock != "" {
				word = strings.TrimSpace(word + " " + ev.Clock + " " + ev.Before)
			}
			out = append(out, word)
		case audit.IncidentClassified, audit.IncidentReported, audit.IncidentClosed:
			out = append(out, string(e.Kind))
		}
	}
	return out
}

func (s *stage) wants(want ...string) {
	s.t.Helper()
	if got := s.written(); !slices.Equal(got, want) {
		s.t.Errorf("the log has %q, want %q", got, want)
	}
}

func down(target, party string) audit.Event {
	return audit.HealthChanged{Target: target, Party: party, From: "up", To: "down", Why: "silent"}
}

func up(target, party string) audit.Event {
	return audit.HealthChanged{Target: target, Party: party, From: "down", To: "up", Why: "answers"}
}

func dead(ref string) audit.Event {
	return audit.MediaSilent{CallRef: ref, State: "dead", Was: "silent", Ends: true}
}

func ticket(id, state string) audit.Event {
	body, err := json.Marshal(map[string]string{"ticket": id, "state": state})
	if err != nil {
		panic(err)
	}
	return audit.Raw{What: audit.KindGateChanged, Body: body}
}
