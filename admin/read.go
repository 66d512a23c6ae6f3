package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]string{"status": "alive"})
}

// readyz is what a load balancer asks: not ready while draining or while the log cannot be written.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	switch {
	case s.c.Draining():
		return &Problem{Status: http.StatusServiceUnavailable, Title: "draining"}
	case !s.c.Log.Health().OK:
		return &Problem{Status: http.StatusServiceUnavailable, Title: "the log cannot be written"}
	}
	return writeJSON(w, map[string]string{"status": "ready"})
}

// StatusDocument is the answer of the status interface. latency_ms and the regions are null when unknown.
type StatusDocument struct {
	OrgID            string   `json:"org_id"`
	Status           string   `json:"status"` // HEALTHY | DEGRADED | HELD | DOWN
	RegionPrimary    *string  `json:"region_primary"`
	RegionSecondary  *string  `json:"region_secondary"`
	LatencyMS        *float64 `json:"latency_ms"`
	LastFailoverTest *string  `json:"last_failover_test"`
	Why              string   `json:"why"`
}

func (s *Server) status(w http.ResponseWriter, r *http.Request, _ Identity) error {
	if r.PathValue("orgId") != s.c.OrgID {
		return &Problem{Status: http.StatusNotFound, Title: "unknown organisation"}
	}
	return writeJSON(w, s.Document())
}

// Document computes the status document from the snapshots: HELD when a route waits at the gate and has nothing else, DOWN when a route has
// nothing at all, DEGRADED when a route is not on its first choice, a target is not up, or the log cannot be written.
func (s *Server) Document() StatusDocument {
	d := StatusDocument{OrgID: s.c.OrgID, Status: "HEALTHY", Why: "every route is on its first choice"}
	worse := func(status, why string) {
		rank := map[string]int{"HEALTHY": 0, "DEGRADED": 1, "HELD": 2, "DOWN": 3}
		if rank[status] > rank[d.Status] {
			d.Status, d.Why = status, why
		}
	}
	table := s.c.Table()
	for i, a := range s.c.Router.Status() {
		switch {
		case a.Active == "" && a.Held != "":
			worse("HELD", a.Route+": "+a.Why)
		case a.Active == "":
			worse("DOWN", a.Route+": "+a.Why)
		}
		if i == 0 {
			d.RegionPrimary, d.RegionSecondary = s.regionOf(a.Active), s.regionOf(a.Next)
			d.LatencyMS = latency(table, a.Active)
		}
	}
	for party, list := range table.ByParty {
		if state, _, why := table.Party(party); len(list) > 0 && (state == healthcheck.Down || state == healthcheck.Degraded) {
			worse("DEGRADED", party+": "+why)
		}
	}
	if h := s.c.Log.Health(); !h.OK {
		worse("DEGRADED", "the log cannot be written: "+h.Why)
	} else if used := reserveUsed(h); used >= 0.2 {
		worse("DEGRADED", fmt.Sprintf("the log lives on its disk reserve, %.0f %% of it used", 100*used))
	}
	if t, ok := s.c.LastTest(); ok {
		text := t.UTC().Format(time.RFC3339)
		d.LastFailoverTest = &text
	}
	return d
}

func (s *Server) regionOf(party string) *string {
	if party == "" {
		return nil
	}
	p, ok := s.c.Snapshot().Party(party)
	if !ok {
		return nil
	}
	text := p.Region.String()
	return &text
}

// latency is the smallest mean round trip of a party's usable targets.
func latency(t *healthcheck.Table, party string) *float64 {
	var best time.Duration
	for _, st := range t.ByParty[party] {
		if st.RTT > 0 && st.State != healthcheck.Down && (best == 0 || st.RTT < best) {
			best = st.RTT
		}
	}
	if best == 0 {
		return nil
	}
	ms := float64(best) / float64(time.Millisecond)
	return &ms
}

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
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`
	RTTms   float64   `json:"rtt_ms"`
	P95ms   float64   `json:"rtt_p95_ms"`
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
				RTTms: millis(st.RTT), P95ms: millis(st.RTTP95),
			})
		}
	}
	return out
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
	Calls    int                   `json:"calls"`
	Tickets  []approval.Ticket     `json:"open_tickets"`
	Grants   []GrantView           `json:"grants"`
	Log      LogView               `json:"log"`
	Policy   PolicyView            `json:"policy"`
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
	Generation   uint64   `json:"generation"`
	PolicyDigest string   `json:"policy_digest"`
	FactsDigest  string   `json:"facts_digest"`
	Preset       string   `json:"preset"`
	Home         string   `json:"home"`
	Allow        []string `json:"allow"`
	Suspended    []string `json:"suspended"`
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

func (s *Server) overview(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	o := Overview{
		Node: s.c.Node, Software: s.c.Software, Since: s.c.Started, Document: s.Document(), Routes: s.c.Router.Status(), Targets: s.targetViews(),
		Calls: len(s.c.Calls()), Grants: s.grantViews(), Log: s.logView(), Policy: s.policyView(), Tickets: []approval.Ticket{},
	}
	for _, t := range s.c.Gate.Tickets() {
		if t.EndedAt.IsZero() {
			o.Tickets = append(o.Tickets, t)
		}
	}
	return writeJSON(w, o)
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
		Allow: []string{}, Suspended: []string{},
	}
	for _, r := range p.Allow {
		v.Allow = append(v.Allow, r.String())
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
	p := s.c.Router.Plan(routing.Request{From: q.From, Called: q.Called, Caller: q.Caller, Domain: q.Domain, At: q.At})
	v := PlanView{Route: p.Route, Why: p.Why, Hops: []HopView{}, Refused: []HopView{}, Held: p.Held, OnHold: p.OnHold.Status, Policy: p.Digest}
	for _, h := range p.Hops {
		hv := hopView(h.Party, h.Target.ID(), h.Ruling)
		hv.Reason, hv.Grant = string(h.Reason), h.Grant
		v.Hops = append(v.Hops, hv)
	}
	for _, x := range p.Refused {
		hv := hopView(x.Party, x.Target, x.Ruling)
		hv.Ground, hv.Why = string(x.Ground), x.Why
		v.Refused = append(v.Refused, hv)
	}
	return writeJSON(w, v)
}

func hopView(party, target string, ru sovereign.Ruling) HopView {
	return HopView{Party: party, Target: target, Region: ru.Region.String(), Country: string(ru.Country), Verdict: ru.Verdict.String(), Ground: string(ru.Ground), Why: ru.Why}
}

// entries pages through the log: ?from=INDEX&max=N&kind=PREFIX.
func (s *Server) entries(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := r.URL.Query()
	from, err := number(q.Get("from"), 0)
	if err != nil {
		return err
	}
	limit, err := number(q.Get("max"), 100)
	if err != nil {
		return err
	}
	list, err := s.c.Log.Entries(r.Context(), from, int(min(limit, 1000)))
	if err != nil {
		return err
	}
	type row struct {
		Seq uint64 `json:"seq"`
		audit.Entry
	}
	out := []row{}
	for _, e := range list {
		if strings.HasPrefix(string(e.Kind), q.Get("kind")) {
			out = append(out, row{e.Seq, e})
		}
	}
	return writeJSON(w, map[string]any{"entries": out, "next": from + uint64(len(list)), "size": s.c.Log.Size()})
}

func number(s string, def uint64) (uint64, error) {
	if s == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, &Problem{Status: http.StatusBadRequest, Title: "not a number", Detail: s}
	}
	return n, nil
}

func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request, _ Identity) error {
	cp, err := s.c.Log.Checkpoint(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = w.Write(cp)
	return err
}

// proof gives an entry's inclusion proof in the tree of the present size.
func (s *Server) proof(w http.ResponseWriter, r *http.Request, _ Identity) error {
	seq, err := number(r.PathValue("seq"), 0)
	if err != nil {
		return err
	}
	size := s.c.Log.Size()
	if seq >= size {
		return &Problem{Status: http.StatusNotFound, Title: "no such entry", Detail: "the log has " + strconv.FormatUint(size, 10) + " entries"}
	}
	p, err := s.c.Log.Inclusion(r.Context(), seq, size)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"seq": seq, "size": size, "proof": p})
}
