package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	auditproof "github.com/cordonsip/cordon/audit/proof"
	flog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	d := open(t)
	for _, c := range []struct{ method, path, allow string }{
		{"DELETE", "/healthz", "GET, HEAD"},
		{"POST", "/api/v1/status", "GET, HEAD"},
		{"PUT", "/api/v1/calls", "GET, HEAD, POST"},
		{"GET", "/api/v1/tickets/t1/decisions", "POST"},
	} {
		if w := d.ask(c.method, c.path, "r", ""); w.Code != 405 || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, w.Code, w.Header().Get("Allow"))
		}
	}
	for _, path := range []string{"/", "/nothing", "/api/v1/status/x"} {
		if w := d.ask("GET", path, "r", ""); w.Code != 404 || w.Header().Get("Allow") != "" {
			t.Errorf("%s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestCallsOfUnknownPartiesAndFailuresThatKeepTheirCause(t *testing.T) {
	d := open(t)
	ask := func(from string) (int, Problem) {
		w := d.ask("POST", "/api/v1/calls", "o", `{"from":"`+from+`","called":"+49","hold_seconds":1}`)
		var p Problem
		if w.Code != 200 {
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
		}
		return w.Code, p
	}
	if code, p := ask("nobody"); code != 422 || !strings.Contains(p.Detail, `"nobody"`) {
		t.Errorf("%d %+v", code, p)
	}
	if code, p := ask("carrier"); code != 200 {
		t.Errorf("%d %+v", code, p)
	}
	d.place = errors.New("open /secret/place: no such file")
	code, p := ask("carrier")
	if code != 500 || p.ErrorID == "" || strings.Contains(fmt.Sprint(p), "secret") {
		t.Errorf("%d %+v", code, p)
	}
	if log := d.notes.String(); !strings.Contains(log, p.ErrorID) || !strings.Contains(log, "/secret/place") {
		t.Errorf("the node's own log: %s", log)
	}
	d.place = fmt.Errorf("write /secret/tile: %w", audit.ErrLogDown)
	if code, p := ask("carrier"); code != 503 || strings.Contains(fmt.Sprint(p), "secret") {
		t.Errorf("%d %+v", code, p)
	}
	d.drain = true
	if code, p := ask("carrier"); code != 503 || p.Title != "draining" {
		t.Errorf("%d %+v", code, p)
	}
}

func TestABodyIsOneValue(t *testing.T) {
	d := open(t)
	for body, want := range map[string]int{
		`{"reason":"x"}`: 200, `{"reason":"x"} ` + "\n": 200, `{"reason":"x"}{"reason":"y"}`: 400, `{"reason":"x"}]`: 400, `{"reason":"x"} true`: 400, ``: 400,
	} {
		if w := d.ask("POST", "/api/v1/tickets/t1/withdraw", "o", body); w.Code != want {
			t.Errorf("%q: %d", body, w.Code)
		}
	}
}

// A file of a token may change while the node runs: what is two people's says of neither who asks.
func TestATokenOfTwoPeopleAdmitsNobody(t *testing.T) {
	d := open(t)
	people, benHas := d.c.Credentials, "ben's"
	d.c.Credentials = func() []Credential {
		ben := Credential{Identity: Identity{Person: "ben", Scopes: []string{"org.read"}}, Token: func() (string, error) { return benHas, nil }}
		return append(people(), ben)
	}
	if w := d.ask("GET", "/api/v1/routes", "ben's", ""); w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
	benHas = "r"
	if w := d.ask("GET", "/api/v1/routes", "r", ""); w.Code != 401 {
		t.Errorf("%d", w.Code)
	}
	if said := d.notes.String(); !strings.Contains(said, "more than one person") || strings.Contains(said, "ben") || strings.Contains(said, "reader") {
		t.Errorf("the node's own log says %q", said)
	}
	benHas = "ben's"
	if w := d.ask("GET", "/api/v1/routes", "r", ""); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

func TestGuessesOfTokensAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		ask := func(from, token string, want int) {
			t.Helper()
			d.from = from + ":4711"
			if w := d.ask("GET", "/api/v1/routes", token, ""); w.Code != want || (want == 429) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("%q from %s: %d", token, from, w.Code)
			}
		}
		ask("192.0.2.1", "r", 200)
		for i := range guessBurst {
			ask("192.0.2.1", fmt.Sprint("guess ", i), 401)
		}
		ask("192.0.2.1", "guess", 429)
		ask("192.0.2.1", "b", 429)     // right, but a guess like any other
		ask("192.0.2.1", "r", 200)     // was right before
		ask("192.0.2.1", "", 401)      // none is no guess
		ask("192.0.2.2", "guess", 401) // somebody else
		time.Sleep(guessEvery)
		ask("192.0.2.1", "guess", 401)
		ask("192.0.2.1", "guess", 429)
		time.Sleep(guessEvery)
		for range 30 {
			ask("192.0.2.1", "b", 200) // costs nothing
		}
		for i := range guessBurst {
			ask("[2001:db8::1]", fmt.Sprint("guess ", i), 401)
		}
		ask("[2001:db8::2]", "guess", 429) // the same /64
		ask("[2001:db8:0:1::2]", "guess", 401)
	})
}

func TestGuessersCannotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		for i := range 3 * guessSources {
			g.may(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), [32]byte{1})
		}
		if len(g.by) > guessSources+1 {
			t.Errorf("%d accounts", len(g.by))
		}
		if g.may(netip.MustParseAddr("192.0.2.1"), [32]byte{1}) {
			t.Error("a stranger has an account of its own although there is no room")
		}
		for i := range 3 * tokensKnown {
			g.right(netip.Addr{}, [32]byte{byte(i >> 8), byte(i)})
		}
		if len(g.known) > tokensKnown {
			t.Errorf("%d tokens", len(g.known))
		}
	})
}

func TestOldGuessesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		for i := range guessSources {
			g.may(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), [32]byte{1})
		}
		time.Sleep(guessEvery)
		if g.may(netip.MustParseAddr("192.0.2.1"), [32]byte{1}); len(g.by) != 1 {
			t.Errorf("%d accounts", len(g.by))
		}
	})
}

func TestAnAnswerMayTakeAsLongAsATestCall(t *testing.T) {
	if d := open(t); d.http.WriteTimeout <= placeIn || d.http.ReadTimeout == 0 {
		t.Errorf("write within %s, read within %s", d.http.WriteTimeout, d.http.ReadTimeout)
	}
}

func TestSeveralRolesNeedAWord(t *testing.T) {
	d := open(t)
	w := d.ask("POST", "/api/v1/tickets/t1/decisions", "b", `{"approve":true,"reason":"r","plan_hash":"h"}`)
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 422 || !strings.Contains(p.Hint, "--role=ciso") || len(d.gate.asked) != 0 {
		t.Errorf("%d %+v %v, asked %v", w.Code, p, err, d.gate.asked)
	}
	if w := d.ask("POST", "/api/v1/tickets/t1/decisions", "b", `{"approve":true,"role":"crisis_manager","reason":"r","plan_hash":"h"}`); w.Code != 200 || d.gate.asked[0] != "decide as crisis_manager by bearer t1 both" {
		t.Errorf("%d, asked %v", w.Code, d.gate.asked)
	}
}

func TestNamesStandAtTheDoorAlone(t *testing.T) {
	d := open(t)
	d.gate.ticket = approval.Ticket{RequestedBy: "rule:in", Decisions: []approval.Decision{{Person: "p-1"}, {Person: "p-9"}}, Opinions: []approval.Opinion{{Person: "p-3"}}}
	see := func(token, method, path, body string) TicketView {
		t.Helper()
		w := d.ask(method, path, token, body)
		var v TicketView
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 || v.ID != "t1" || v.Decisions[0].Person != "p-1" {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		return v
	}
	if v := see("r", "GET", "/api/v1/tickets/t1", ""); !maps.Equal(v.People, map[string]string{"p-1": "anna", "p-3": "clara"}) {
		t.Errorf("%v", v.People)
	}
	if v := see("o", "POST", "/api/v1/tickets/t1/activate", ""); v.People != nil {
		t.Errorf("an operator without org.read sees %v", v.People)
	}
	d.c.People = nil
	if v := see("r", "GET", "/api/v1/tickets/t1", ""); v.People != nil {
		t.Errorf("%v", v.People)
	}
}

func (d *door) fill(t *testing.T, n int) {
	t.Helper()
	for range n {
		if _, err := d.log.Commit(t.Context(), audit.NodeStopped{Reason: "x"}); err != nil {
			t.Fatal(err)
		}
	}
}

// behind is a log whose newest checkpoint covers less than there is, as that of a log on disk does for a moment.
type behind struct {
	audit.Log
	note []byte
}

func (l behind) Checkpoint(context.Context) ([]byte, error) { return l.note, nil }

func TestProofsFitASignedCheckpoint(t *testing.T) {
	d := open(t)
	d.fill(t, 5)
	v, err := note.NewVerifier(d.log.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	hasher := rfc6962.DefaultHasher
	get := func(path string) (Proof, *flog.Checkpoint) {
		t.Helper()
		w := d.ask("GET", path, "r", "")
		var p Proof
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s %v", path, w.Code, w.Body, err)
		}
		if p.Checkpoint == "" {
			return p, nil
		}
		cp, _, _, err := flog.ParseCheckpoint([]byte(p.Checkpoint), v.Name(), v)
		if err != nil || cp.Size != p.Size {
			t.Fatalf("%s: size %d under a checkpoint of %d: %v", path, p.Size, cp.Size, err)
		}
		return p, cp
	}
	older, old := get("/api/v1/log/proof/2")
	bundle, err := audit.Export(t.Context(), d.log.(sickLog).Log, 2)
	if err != nil {
		t.Fatal(err)
	}
	file, err := auditproof.ParseEntry(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyInclusion(hasher, *older.Seq, old.Size, hasher.HashLeaf(file.Leaf), older.Proof, old.Hash); err != nil {
		t.Error(err)
	}
	d.fill(t, 4)
	grown, now := get("/api/v1/log/consistency?from=5")
	if now.Size != 9 || grown.From != 5 {
		t.Errorf("%+v", grown)
	}
	if err := proof.VerifyConsistency(hasher, old.Size, now.Size, grown.Proof, old.Hash, now.Hash); err != nil {
		t.Error(err)
	}
	if part, cp := get("/api/v1/log/consistency?from=5&to=7"); cp != nil || part.Size != 7 {
		t.Errorf("%+v", part)
	}
	if same, cp := get("/api/v1/log/consistency?from=9&to=9"); cp == nil || len(same.Proof) != 0 {
		t.Errorf("%+v", same)
	}
	for _, q := range []string{"", "?from=0", "?from=6&to=5", "?from=5&to=10", "?from=x"} {
		if w := d.ask("GET", "/api/v1/log/consistency"+q, "r", ""); w.Code != 400 {
			t.Errorf("%q: %d", q, w.Code)
		}
	}
}

func TestAnEntryThatNoCheckpointCoversHasNoProofYet(t *testing.T) {
	d := open(t)
	d.fill(t, 2)
	cp, err := d.log.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.fill(t, 1)
	d.c.Log = behind{d.log, cp}
	if w := d.ask("GET", "/api/v1/log/proof/2", "r", ""); w.Code != 409 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := d.ask("GET", "/api/v1/log/proof/1", "r", "")
	var p Proof
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 || p.Size != 2 || p.Checkpoint != string(cp) {
		t.Errorf("%d %s %v", w.Code, w.Body, err)
	}
}

func TestTheOverviewHasTheNewestFailovers(t *testing.T) {
	d := open(t)
	see := func() []FailoverView {
		t.Helper()
		w := d.ask("GET", "/api/v1/status", "r", "")
		var o Overview
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || w.Code != 200 {
			t.Fatalf("%d %v", w.Code, err)
		}
		return o.Recent
	}
	if got := see(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	for i := range 5 {
		d.fill(t, recentPage/4)
		if _, err := d.log.Append(t.Context(), audit.Failover{What: audit.KindFailoverHeld, Route: "in", To: fmt.Sprint("p", i), Why: "why"}); err != nil {
			t.Fatal(err)
		}
	}
	got := see()
	if len(got) != 3 || got[0].To != "p2" || got[2].To != "p4" || got[2].What != audit.KindFailoverHeld || got[2].Why != "why" || got[2].At.IsZero() || got[2].Seq != 5*recentPage/4+4 {
		t.Errorf("%+v", got)
	}
	if _, err := d.log.Append(t.Context(), audit.Failover{What: audit.KindFailback, Route: "in", To: "p5"}); err != nil {
		t.Fatal(err)
	}
	if got = see(); len(got) != 3 || got[2].To != "p5" || got[0].To != "p3" {
		t.Errorf("%+v", got)
	}
}

// long is a log of many entries that counts how many were read.
type long struct {
	audit.Log
	read int
}

func (l *long) Size() uint64 { return 100 * recentScan }

func (l *long) Entries(_ context.Context, from uint64, limit int) ([]audit.Entry, error) {
	out := make([]audit.Entry, min(uint64(limit), l.Size()-from))
	for i := range out {
		out[i] = audit.Entry{Kind: audit.KindReceipt, Seq: from + uint64(i)}
	}
	l.read += len(out)
	return out, nil
}

func TestTheOverviewReadsALongLogFromNearItsEnd(t *testing.T) {
	var n recent
	l := &long{}
	for range 3 {
		if _, err := n.last(t.Context(), l); err != nil || l.read != recentScan {
			t.Errorf("%d entries were read, %v", l.read, err)
		}
	}
}

// mixed is a log with failovers of production and of a canary drill.
type mixed struct {
	audit.Log
	list []audit.Entry
}

func (m *mixed) Size() uint64 { return uint64(len(m.list)) }

func (m *mixed) Entries(_ context.Context, from uint64, limit int) ([]audit.Entry, error) {
	return m.list[from:min(from+uint64(limit), m.Size())], nil
}

func TestADrillIsNoneOfTheNewestFailovers(t *testing.T) {
	l := &mixed{list: []audit.Entry{{Kind: audit.KindFailoverApplied, Body: []byte(`{"route":"in","to":"zrh"}`)}}}
	for range recentKept {
		l.list = append(l.list, audit.Entry{Kind: audit.KindFailoverApplied, Seq: l.Size(), Body: []byte(`{"route":"in","to":"par","drill":"d1"}`)})
	}
	var n recent
	if got, err := n.last(t.Context(), l); err != nil || len(got) != 1 || got[0].To != "zrh" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestProofsAreBase64(t *testing.T) {
	d := open(t)
	d.fill(t, 2)
	var raw struct{ Proof []string }
	if err := json.Unmarshal(d.ask("GET", "/api/v1/log/proof/0", "r", "").Body.Bytes(), &raw); err != nil || len(raw.Proof) != 1 {
		t.Fatal(raw, err)
	}
	if b, err := base64.StdEncoding.DecodeString(raw.Proof[0]); err != nil || len(b) != 32 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
