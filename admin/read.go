package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/review"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]string{"status": "alive"})
}

// readyz is what a load balancer asks: not ready while draining, nor while the log cannot be written, unless calls go on without it.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	switch {
	case s.c.Draining():
		return &Problem{Status: http.StatusServiceUnavailable, Title: "draining"}
	case !s.c.Log.Health().OK && !s.logMayFail():
		return &Problem{Status: http.StatusServiceUnavailable, Title: "the log cannot be written"}
	case s.c.Unready != nil && s.c.Unready() != "":
		return &Problem{Status: http.StatusServiceUnavailable, Title: "the log has no copy that is safe from deletion", Detail: s.c.Unready()}
	}
	return writeJSON(w, map[string]string{"status": "ready"})
}

func (s *Server) logMayFail() bool { return s.c.LogMayFail != nil && s.c.LogMayFail() }

// TargetView is one target as people see it.
type TargetView struct {
	ID      string    `json:"id"`
	Party   string    `json:"party"`
	Address string    `json:"address"`
	Region  string    `json:"region"`
	Country string    `json:"country"`
	Verdict string    `json:"verdict"`
	Ground  string    `json:"ground"`
	State   string    `json:"state"`
	Circuit string    `json:"circuit"` // closed | open | half-open | trying
	Service string    `json:"service"` // in_service | draining | out | test_only, by the strictest of target, party and region
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`
	RTTms   float64   `json:"rtt_ms"`
	P50ms   float64   `json:"rtt_p50_ms"`
	P95ms   float64   `json:"rtt_p95_ms"`
	P99ms   float64   `json:"rtt_p99_ms"`
	Calls   CallsView `json:"calls"`
}

// CallsView is what the calls of the last minutes met at one target.
type CallsView struct {
	Judged int     `json:"judged"`
	ASR    float64 `json:"asr"` // shares
	NER    float64 `json:"ner"`
	PDDms  float64 `json:"pdd_ms"` // mean
	Rated  int     `json:"rated"`
	MOS    float64 `json:"mos"` // mean; 0: none was rated
}

func (s *Server) targets(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]any{"targets": s.targetViews()})
}

func (s *Server) targetViews() []TargetView {
	out := []TargetView{}
	t := s.c.Table()
	for _, party := range sortedKeys(t.ByParty) {
		for _, st := range t.ByParty[party] {
			ru := st.Target.Ruling
			out = append(out, TargetView{
				ID: st.Target.ID(), Party: party, Address: st.Target.Addr.String(), Region: ru.Region.String(), Country: string(ru.Country),
				Verdict: ru.Verdict.String(), Ground: string(ru.Ground), State: st.State.String(), Since: st.Since, Why: st.Why,
				Circuit: st.Circuit.String(), Service: string(s.service(&st.Target)),
				RTTms: millis(st.RTT), P50ms: millis(st.RTTP50), P95ms: millis(st.RTTP95), P99ms: millis(st.RTTP99),
				Calls: CallsView{st.Calls.Calls, st.Calls.ASR, st.Calls.NER, millis(st.Calls.PDD), st.Calls.Rated, st.Calls.MOS},
			})
		}
	}
	return out
}

// service is the administrative state of a target: its own, its party's or its region's.
func (s *Server) service(t *healthcheck.Target) desk.State {
	region := ""
	if p, ok := s.c.Snapshot().Party(t.Party); ok {
		region = p.Region.String()
	}
	now, b := time.Now(), s.book()
	if o := b.Target(now, t.ID(), t.Party, t.Member, t.Ruling.Region.String()); o.State != "" {
		return o.State
	}
	return cmp.Or(b.Party(now, t.Party, region).State, desk.InService)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Overview is the one screen of `cordon status`.
type Overview struct {
	Node     string                `json:"node"`
	Software string                `json:"software"`
	Since    time.Time             `json:"since"`
	Document StatusDocument        `json:"document"`
	Routes   []routing.ActiveRoute `json:"routes"`
	Targets  []TargetView          `json:"targets"`
	// Registrations are those that the node keeps with others.
	Registrations []Registration    `json:"registrations"`
	Calls         int               `json:"calls"`
	Service       ServiceView       `json:"service"` // what people decided
	Tickets       []approval.Ticket `json:"open_tickets"`
	Idle          []KeyView         `json:"idle_keys"` // keys of people that do not count, and why
	Grants        []GrantView       `json:"grants"`
	Log           LogView           `json:"log"`
	Policy        PolicyView        `json:"policy"`
	Recent        []FailoverView    `json:"recent"`    // the newest failovers, oldest first
	Incidents     IncidentList      `json:"incidents"` // that are open
	Reviews       []review.Standing `json:"reviews"`
	Readiness     *Readiness        `json:"readiness"` // of the next failovers; null: nobody looks ahead
	// Inventory counts endpoints outside the call path by verdict.
	Inventory map[string]int `json:"inventory"`
}

// Registration is one that the node keeps with a target of a party. A target without one takes no call.
type Registration struct {
	Party  string     `json:"party"`
	Target string     `json:"target"`
	State  string     `json:"state"` // waiting | registered | failed | refused
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until"` // it ends then unless it is refreshed; null: there is none
	Why    string     `json:"why"`
}

func (s *Server) registrations() []Registration {
	if s.c.Registrations == nil {
		return []Registration{}
	}
	return append([]Registration{}, s.c.Registrations()...)
}

// LogView is the state of the log.
type LogView struct {
	OK          bool    `json:"ok"`
	Why         string  `json:"why,omitempty"`
	Entries     uint64  `json:"entries"`
	ReserveUsed float64 `json:"reserve_used"` // share, 0 to 1; alarm at 0.2
	VerifierKey string  `json:"verifier_key"`
}

// PolicyView is what is in force.
type PolicyView struct {
	Generation   uint64    `json:"generation"`
	PolicyDigest string    `json:"policy_digest"`
	FactsDigest  string    `json:"facts_digest"`
	Preset       string    `json:"preset"`
	Home         string    `json:"home"`
	Allow        []string  `json:"allow"`
	Suspended    []string  `json:"suspended"`
	Ending       []string  `json:"ending"`         // instruments that parties rest on and that end soon
	Held         *HeldNote `json:"held,omitempty"` // a wider policy that waits for people
}

// GrantView is a live grant.
type GrantView struct {
	ID    string         `json:"id"`
	Scope approval.Scope `json:"scope"`
	From  time.Time      `json:"from"`
	Until time.Time      `json:"until"`
	Left  int            `json:"calls_left_here"`
	Entry uint64         `json:"entry"`
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request, _ Identity) error {
	recent, err := s.recent.last(r.Context(), s.c.Log)
	if err != nil {
		s.c.Logger.Warn("the log could not be read for the overview", "error", err)
	}
	return writeJSON(w, Overview{
		Node: s.c.Node, Software: s.c.Software, Since: s.c.Started, Document: s.Document(), Routes: s.c.Router.Status(), Targets: s.targetViews(),
		Registrations: s.registrations(), Calls: len(s.c.Calls()), Service: s.serviceView(), Grants: s.grantViews(), Log: s.logView(), Policy: s.policyView(), Tickets: s.openTickets(), Idle: s.idleKeys(), Recent: recent,
		Incidents: s.list((*incident.Incident).Open), Reviews: s.standings(), Readiness: s.ahead(), Inventory: s.inventoryCounts(),
	})
}

// openTickets are those that have not ended.
func (s *Server) openTickets() []approval.Ticket {
	out := []approval.Ticket{}
	for _, t := range s.c.Gate.Tickets() {
		if t.EndedAt.IsZero() {
			out = append(out, t)
		}
	}
	return out
}

func (s *Server) logView() LogView {
	h := s.c.Log.Health()
	return LogView{OK: h.OK, Why: h.Why, Entries: s.c.Log.Size(), ReserveUsed: reserveUsed(h), VerifierKey: s.c.Log.VerifierKey()}
}

func reserveUsed(h audit.Health) float64 {
	if h.ReserveBytes == 0 {
		return 0
	}
	return float64(h.ReserveUsed) / float64(h.ReserveBytes)
}

func (s *Server) policyView() PolicyView {
	snap := s.c.Snapshot()
	p := snap.Policy()
	v := PolicyView{
		Generation: snap.Generation(), PolicyDigest: snap.PolicyDigest(), FactsDigest: snap.FactsDigest(), Preset: string(p.Preset), Home: p.Home.String(),
		Allow: []string{}, Suspended: []string{}, Ending: []string{}, Held: s.heldNote(),
	}
	for _, r := range p.Allow {
		v.Allow = append(v.Allow, r.String())
	}
	for _, x := range snap.Endings(time.Now()) {
		if x.Days > slices.Max(sovereign.EndingDays()) {
			break // the nearest come first
		}
		v.Ending = append(v.Ending, x.Instrument+" ends on "+x.Until.UTC().Format(time.DateOnly)+": "+strings.Join(x.Parties, ", "))
	}
	for _, x := range snap.Suspended() {
		v.Suspended = append(v.Suspended, x.Instrument+" since "+x.Since.UTC().Format(time.RFC3339)+": "+x.Reason)
	}
	return v
}

func (s *Server) policy(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, s.policyView())
}

func (s *Server) activeRoutes(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]any{"routes": s.c.Router.Status()})
}

func (s *Server) calls(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]any{"calls": s.c.Calls()})
}

func (s *Server) grantViews() []GrantView {
	out := []GrantView{}
	for _, g := range s.c.Gate.Grants() {
		out = append(out, GrantView{g.ID, g.Scope, g.From, g.Until, s.c.Gate.Left(g.ID), g.Entry})
	}
	return out
}

func (s *Server) grants(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]any{"grants": s.grantViews()})
}

// PlanRequest is a dry run: nothing is dialled, logged or proposed.
type PlanRequest struct {
	From   string    `json:"from"`
	Called string    `json:"called"`
	Caller string    `json:"caller,omitempty"`
	Domain string    `json:"domain,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// PlanView is the answer to a dry run.
type PlanView struct {
	Route   string    `json:"route"`
	Why     string    `json:"why"`
	Hops    []HopView `json:"hops"`
	Refused []HopView `json:"refused"`
	Held    bool      `json:"held"`
	OnHold  int       `json:"on_hold_status"`
	Closed  bool      `json:"closed"` // the caller's own party takes no new calls
	Policy  string    `json:"policy_digest"`
}

// HopView is one hop or refused party.
type HopView struct {
	Party   string `json:"party"`
	Target  string `json:"target,omitempty"`
	Region  string `json:"region"`
	Country string `json:"country"`
	Verdict string `json:"verdict"`
	Ground  string `json:"ground"`
	Why     string `json:"why"`
	Reason  string `json:"route_reason,omitempty"`
	Grant   string `json:"grant,omitempty"`
	Note    string `json:"note,omitempty"` // half-open, last resort
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request, _ Identity) error {
	var q PlanRequest
	if err := body(r, &q); err != nil {
		return err
	}
	if q.From == "" || q.Called == "" {
		return &Problem{Status: http.StatusBadRequest, Title: "from and called are needed", Hint: `{"from": "carrier", "called": "+4969123456"}`}
	}
	if q.At.IsZero() {
		q.At = time.Now()
	}
	return writeJSON(w, ViewPlan(s.c.Router.Explain(q.request())))
}

func (q PlanRequest) request() routing.Request {
	return routing.Request{From: q.From, Called: q.Called, Caller: q.Caller, Domain: q.Domain, At: q.At}
}

// ViewPlan writes a plan for people.
func ViewPlan(p routing.Plan) PlanView {
	v := PlanView{Route: p.Route, Why: p.Why, Hops: []HopView{}, Refused: []HopView{}, Held: p.Held, OnHold: p.OnHold.Status, Closed: p.Closed, Policy: p.Digest}
	for _, h := range p.Hops {
		hv := hopView(h.Party, h.Target.ID(), h.Ruling)
		hv.Reason, hv.Grant, hv.Note = string(h.Reason), h.Grant, h.Note
		v.Hops = append(v.Hops, hv)
	}
	for _, x := range p.Refused {
		hv := hopView(x.Party, x.Target, x.Ruling)
		hv.Ground, hv.Why = string(x.Ground), x.Why
		v.Refused = append(v.Refused, hv)
	}
	return v
}

func hopView(party, target string, ru sovereign.Ruling) HopView {
	return HopView{Party: party, Target: target, Region: ru.Region.String(), Country: string(ru.Country), Verdict: ru.Verdict.String(), Ground: string(ru.Ground), Why: ru.Why}
}
