package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/sovereign"
)

func callOptions(dest netip.AddrPort) carrier.CallOptions {
	return carrier.CallOptions{From: "+4930111222", To: "+4969900100", Dest: dest, SRTP: true, Talk: talk}
}

func scenes() []scene {
	return []scene{
		{"cordon is up: five edge groups are placed and judged, the permitted ones are probed", sceneUp},
		{"a call goes to Frankfurt, the first choice", sceneFirst},
		{"Frankfurt dies: the very next call lands in Zurich by itself", sceneFailover},
		{"Zurich and Stockholm die too: nothing lawful is left, so Virginia is held at the gate", sceneHeld},
		{"two people approve and the data protection officer's opinion is on record", sceneApprove},
		{"the grant lets exactly that scope through", sceneGranted},
		{"the grant ends by itself, and so does the way to Virginia", sceneExpired},
		{"Zurich is back; then the Swiss decision is suspended, and Zurich is out within a second", sceneSuspended},
		{"Frankfurt is back: the next call is a failback, and with Stockholm all is well again", sceneFailback},
	}
}

func sceneUp(ctx context.Context, s *story) error {
	err := until(ctx, "probes of the permitted groups", 5*time.Second, func() bool {
		return s.isState("fra", healthcheck.Up) && s.isState("zrh", healthcheck.Up) && s.isState("sto", healthcheck.Up) && s.isState("carrier", healthcheck.Up)
	})
	if err != nil {
		return err
	}
	for _, site := range s.sites {
		ru := s.permitted(site.Name)
		s.say("    %-4s %-18s %s  %s  %s", site.Name, site.Region, site.Country, s.verdict(ru.Verdict), ru.Why)
	}
	for _, name := range []string{"iad", "dme"} {
		if n := s.wire.to(s.site(name).Prefix); n != 0 {
			return fmt.Errorf("%d datagrams left for %s", n, s.site(name).City)
		}
		if got := s.site(name).Peer.Stats(); got.Options != 0 {
			return fmt.Errorf("%s was probed", name)
		}
	}
	return s.expectStatus(ctx, "HEALTHY", "aws:eu-central-1")
}

// expectStatus waits until the status interface says a word, with the region that calls go to now ("" when there is none).
func (s *story) expectStatus(ctx context.Context, word, region string) error {
	var d admin.StatusDocument
	var failed error
	err := until(ctx, "the status document says "+word, 3*time.Second, func() bool {
		d = admin.StatusDocument{}
		failed = s.api(ctx, "ops", "GET", "/api/v2/orgs/demo-bank/healthcheck/status", nil, &d)
		return failed == nil && d.Status == word && (d.RegionPrimary == nil) == (region == "") && (region == "" || *d.RegionPrimary == region)
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%w; it says %s: %s", err, d.Status, d.Why), failed)
	}
	s.say("    status interface: %s, region_primary %s: %s", word, cmp.Or(region, "null"), d.Why)
	return nil
}

func (s *story) verdict(v sovereign.Verdict) string {
	switch v {
	case sovereign.Permit:
		return s.green("permit")
	case sovereign.Hold:
		return s.amber("hold  ")
	}
	return s.red("deny  ")
}

func sceneFirst(ctx context.Context, s *story) error {
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	return s.expectAnswer(h, "fra", "primary")
}

func sceneFailover(ctx context.Context, s *story) error {
	if err := s.site("fra").Peer.SetBehaviour(carrier.Behaviour{Silent: true}); err != nil {
		return err
	}
	s.say("    Frankfurt now swallows everything; nobody has noticed yet")
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	if err := s.expectAnswer(h, "zrh", "auto_failover"); err != nil {
		return err
	}
	if h.rang > 2500*time.Millisecond {
		return fmt.Errorf("it rang in Zurich only after %s", h.rang)
	}
	s.say("        time to fail over inside the call: %d ms", h.rang.Milliseconds())
	if err := until(ctx, "Frankfurt seen down", 5*time.Second, func() bool { return s.isState("fra", healthcheck.Down) }); err != nil {
		return err
	}
	st := s.node.Checker().Table().ByParty["fra"][0]
	s.say("    probes: fra is down: %s", st.Why)
	if err := until(ctx, "the active group is zrh", 2*time.Second, func() bool { return s.active() == "zrh" }); err != nil {
		return err
	}
	if h, err = s.call(ctx); err != nil {
		return err
	}
	if err := s.expectAnswer(h, "zrh", "auto_failover"); err != nil {
		return err
	}
	if h.rang > 250*time.Millisecond {
		return fmt.Errorf("the next call still waited %s", h.rang)
	}
	return nil
}

func (s *story) active() string {
	for _, a := range s.node.Router().Status() {
		if a.Route == "service-line" {
			return a.Active
		}
	}
	return ""
}

func sceneHeld(ctx context.Context, s *story) error {
	for _, name := range []string{"zrh", "sto"} {
		if err := s.site(name).Peer.SetBehaviour(carrier.Behaviour{Dead: true}); err != nil {
			return err
		}
	}
	if err := until(ctx, "Zurich and Stockholm seen down", 6*time.Second, func() bool {
		return s.isState("zrh", healthcheck.Down) && s.isState("sto", healthcheck.Down)
	}); err != nil {
		return err
	}
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	if err := s.expectHeld(h); err != nil {
		return err
	}
	err = until(ctx, "a ticket that people were told of", 5*time.Second, func() bool {
		for _, t := range s.node.Gate().Tickets() {
			if t.State == approval.Pending && !t.NotifiedAt.IsZero() {
				s.grant = t
				return true
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	t := s.grant
	s.say("    ticket %s: %s", t.ID, t.Plan.Reason)
	s.say("        lets %v reach %v in %v (%s), at most %d calls, for %s; plan %.16s", t.Plan.Scope.Trunks, t.Plan.Scope.Groups, t.Plan.Scope.Regions,
		t.Plan.Scope.Country, t.Plan.Scope.MaxCalls, t.Plan.GrantFor, t.PlanHash)
	if n := s.wire.to(s.site("iad").Prefix); n != 0 {
		return fmt.Errorf("%d datagrams left for Virginia before anybody approved", n)
	}
	return s.expectStatus(ctx, "HELD", "")
}

// api sends one request as a person, and reads the answer into out.
func (s *story) api(ctx context.Context, who, method, path string, in, out any) error {
	data, err := s.fetch(ctx, who, method, path, in)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}

// fetch sends one request as a person, and gives the answer as it is.
func (s *story) fetch(ctx context.Context, who, method, path string, in any) ([]byte, error) {
	var token string
	for _, p := range s.people {
		if p.ID == who {
			token = p.Token
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.node.APIAddr().String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		var p admin.Problem
		if json.Unmarshal(data, &p) == nil && p.Title != "" {
			return nil, fmt.Errorf("%d %s: %s", res.StatusCode, p.Title, p.Detail)
		}
		return nil, fmt.Errorf("%d %s", res.StatusCode, data)
	}
	return data, nil
}

func sceneApprove(ctx context.Context, s *story) error {
	path := "/api/v1/tickets/" + s.grant.ID
	word := admin.Word{Approve: true, Reason: "all lawful regions are down; emergency clause 7", PlanHash: s.grant.PlanHash}
	var t approval.Ticket
	if err := s.api(ctx, "anna", "POST", path+"/decisions", word, &t); err != nil {
		return err
	}
	s.say("    anna (incident commander) approves; missing: %s", strings.Join(t.Missing, "; "))
	if err := s.api(ctx, "anna", "POST", path+"/decisions", word, &t); err == nil {
		return errors.New("the same person could approve twice")
	} else {
		s.say("    anna tries again: %v", err)
	}
	if err := s.api(ctx, "clara", "POST", path+"/decisions", word, &t); err == nil {
		return errors.New("the data protection officer could approve")
	}
	if err := s.api(ctx, "ben", "POST", path+"/decisions", word, &t); err != nil {
		return err
	}
	s.say("    ben (business owner) approves; %s, missing: %s", t.State, strings.Join(t.Missing, "; "))
	if t.State != approval.Pending {
		return fmt.Errorf("without the opinion the ticket is %s", t.State)
	}
	if n := s.wire.to(s.site("iad").Prefix); n != 0 {
		return fmt.Errorf("%d datagrams left for Virginia before the opinion", n)
	}
	opinion := admin.Advice{Opinion: approval.NoObjection, Text: "SCC and transfer impact assessment 2026-03 cover it for hours"}
	if err := s.api(ctx, "clara", "POST", path+"/opinions", opinion, &t); err != nil {
		return err
	}
	s.say("    clara (data protection officer): no objection; the ticket is %s until %s", t.State, t.GrantUntil.UTC().Format("15:04:05Z"))
	if t.State != approval.Active {
		return fmt.Errorf("the ticket is %s", t.State)
	}
	s.grant = t
	return nil
}

func sceneGranted(ctx context.Context, s *story) error {
	if err := until(ctx, "Virginia probed under the grant", 3*time.Second, func() bool { return s.isState("iad", healthcheck.Up) }); err != nil {
		return err
	}
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	if err := s.expectAnswer(h, "iad", "gated_failover"); err != nil {
		return err
	}
	if h.receipt.GateDecision != s.grant.ID || h.receipt.Overall != "compliant_by_gate" {
		return fmt.Errorf("the receipt names grant %q and says %q", h.receipt.GateDecision, h.receipt.Overall)
	}
	if n := s.wire.to(s.site("dme").Prefix); n != 0 {
		return fmt.Errorf("%d datagrams left for Moscow", n)
	}
	return nil
}

func sceneExpired(ctx context.Context, s *story) error {
	wait := time.Until(s.grant.GrantUntil)
	s.say("    waiting %.1f s for the grant to run out", wait.Seconds())
	if err := until(ctx, "the end of the grant", wait+2*time.Second, func() bool { return len(s.node.Gate().Grants()) == 0 }); err != nil {
		return err
	}
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	if err := s.expectHeld(h); err != nil {
		return err
	}
	if n := s.wire.outside(s.site("iad").Prefix, s.grant.ActivatedAt, s.grant.GrantUntil); n != 0 {
		return fmt.Errorf("%d datagrams left for Virginia outside the grant", n)
	}
	return nil
}

func sceneSuspended(ctx context.Context, s *story) error {
	if err := s.site("zrh").Peer.SetBehaviour(carrier.Behaviour{RingFor: 20 * time.Millisecond}); err != nil {
		return err
	}
	if err := until(ctx, "Zurich seen up again", 6*time.Second, func() bool { return s.isState("zrh", healthcheck.Up) }); err != nil {
		return err
	}
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	if err := s.expectAnswer(h, "zrh", "auto_failover"); err != nil {
		return err
	}
	struck := time.Now()
	if err := s.o.Suspend(Strike{
		Instrument: "2000/518/EC", Reason: "rehearsal: what if the decision on Switzerland fell",
		File: filepath.Join(s.dir, "suspended.jsonl"), Key: filepath.Join(s.dir, "law.key"), KeyID: "law-1",
	}); err != nil {
		return err
	}
	if err := until(ctx, "Zurich out of force", time.Second, func() bool { return s.permitted("zrh").Verdict != sovereign.Permit }); err != nil {
		return err
	}
	took, sent := time.Since(struck), s.wire.to(s.site("zrh").Prefix)
	s.say("    suspended 2000/518/EC; Zurich is %s after %d ms: %s", s.permitted("zrh").Verdict, took.Milliseconds(), s.permitted("zrh").Why)
	if h, err = s.call(ctx); err != nil {
		return err
	}
	if err := s.expectHeld(h); err != nil {
		return err
	}
	if n := s.wire.to(s.site("zrh").Prefix) - sent; n != 0 {
		return fmt.Errorf("%d datagrams left for Zurich after the suspension was in force", n)
	}
	return nil
}

func sceneFailback(ctx context.Context, s *story) error {
	if err := s.site("fra").Peer.SetBehaviour(carrier.Behaviour{RingFor: 20 * time.Millisecond}); err != nil {
		return err
	}
	if err := until(ctx, "Frankfurt seen up again", 8*time.Second, func() bool { return s.isState("fra", healthcheck.Up) && s.active() == "fra" }); err != nil {
		return err
	}
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	reason := h.receipt.RouteReason
	if reason != "primary" && reason != "failback" {
		return fmt.Errorf("the receipt says %q", reason)
	}
	if err := s.expectAnswer(h, "fra", reason); err != nil {
		return err
	}
	if err := s.site("sto").Peer.SetBehaviour(carrier.Behaviour{RingFor: 20 * time.Millisecond}); err != nil {
		return err
	}
	if err := until(ctx, "Stockholm seen up again", 8*time.Second, func() bool { return s.isState("sto", healthcheck.Up) }); err != nil {
		return err
	}
	return s.expectStatus(ctx, "HEALTHY", "aws:eu-central-1")
}

// epilogue stops the node and proves the log offline.
func (s *story) epilogue(ctx context.Context) error {
	s.step++
	s.say("\n%s %s", s.mark(fmt.Sprintf("[%d]", s.step)), s.mark("the log proves it, offline"))
	iad, dme := s.site("iad"), s.site("dme")
	held, denied := s.wire.outside(iad.Prefix, s.grant.ActivatedAt, s.grant.GrantUntil), s.wire.to(dme.Prefix)
	faults := 0
	for _, site := range s.sites {
		faults += site.Peer.Stats().FaultCount
	}
	s.stop()
	v, err := verify(ctx, filepath.Join(s.dir, "state"))
	if err != nil {
		return fmt.Errorf("the log: %w", err)
	}
	s.say("    %s %d entries, %d residency receipts, %d gaps, under one signed checkpoint of %s", s.green("verified"), v.Entries, v.Receipts, v.Gaps, v.Origin)
	s.say("    datagrams and dials to denied places (Moscow): %d; to held places without a live grant (Virginia): %d", denied, held)
	if held != 0 || denied != 0 {
		return errors.New("something left for a place that was not permitted")
	}
	if faults != 0 {
		for _, site := range s.sites {
			for _, f := range site.Peer.Stats().Faults {
				s.say("    %s saw: %s", site.Name, f)
			}
		}
		return fmt.Errorf("the far ends saw %d breaches of protocol", faults)
	}
	if err := s.witness(); err != nil {
		return err
	}
	s.say("\n%s in %.1f s", s.green("every step was observed"), time.Since(s.began).Seconds())
	return nil
}

// Observed is what a capture of the same run is held against: where the node sent from, and when the only grant was live.
type Observed struct {
	Node       netip.Addr   `json:"node"`
	Held       netip.Prefix `json:"held_prefix"`
	Denied     netip.Prefix `json:"denied_prefix"`
	GrantFrom  time.Time    `json:"grant_from"`
	GrantUntil time.Time    `json:"grant_until"`
}

// witness leaves observed.json in the folder of the demo.
func (s *story) witness() error {
	data, err := json.MarshalIndent(Observed{edgeAddr, s.site("iad").Prefix, s.site("dme").Prefix, s.grant.ActivatedAt, s.grant.GrantUntil}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "observed.json"), append(data, '\n'), 0o644)
}

// serve leaves node and world running until ctx ends.
func (s *story) serve(ctx context.Context) error {
	s.say("\n%s", s.mark("left running; Ctrl-C ends it"))
	s.say("    export CORDON_API=http://%s CORDON_TOKEN=%s", s.node.APIAddr(), s.people[len(s.people)-1].Token)
	s.say("    cordon status; cordon plan carrier +4969900100; cordon call carrier +4969900100; cordon gate list")
	s.say("    tokens of anna, ben, clara and the configuration: %s", s.dir)
	<-ctx.Done()
	return nil
}
