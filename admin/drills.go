package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/register"
)

// Drills is what the door needs of the keeper of drills. by is the id of a person; the log gets a pseudonym. What is refused is a *DrillRefusal, an unknown id ErrNoDrill.
type Drills interface {
	// Scenarios are those that ship and the node's own, by name.
	Scenarios() []DrillScenario
	// List gives every drill that the book has, the newest first.
	List() []register.Drill
	// Drill gives one.
	Drill(id string) (register.Drill, bool)
	// Defects are what drills found wanting, those that are due first; "": of all drills.
	Defects(id string) []register.Defect
	// Standing is what holds for all drills now.
	Standing() DrillStanding
	// Plan says what a drill would do, and whether it might begin now. Nothing happens.
	Plan(ctx context.Context, o DrillOrder, by string) (DrillPlan, error)
	// Request asks for a drill. One in the sandbox begins at once; one that meets callers waits for the word of another person.
	Request(ctx context.Context, o DrillOrder, by string) (register.Drill, error)
	// Approve is that word.
	Approve(ctx context.Context, id, reason, by string) (register.Drill, error)
	// Stop ends a drill that runs, or withdraws one that waits.
	Stop(ctx context.Context, id, reason, by string) (register.Drill, error)
	// Clean signs that nothing of an ended drill is left, once the node has looked.
	Clean(ctx context.Context, id string, s DrillSaid, by string) (register.Drill, error)
	// SignOff says what a person who neither asked for it nor approved its start holds of the result.
	SignOff(ctx context.Context, id string, s DrillSaid, by string) (register.Drill, error)
	// Reported notes that the management body was told.
	Reported(ctx context.Context, id string, s DrillSaid, by string) (register.Drill, error)
	// Ack notes that a person has taken note of what was told of a drill.
	Ack(ctx context.Context, id, by string) (register.Drill, error)
	// Find notes what a drill found wanting, or what became of that.
	Find(ctx context.Context, id string, f DrillFinding, by string) (register.Defect, error)
	// Lever forbids every drill at once and ends the one that runs, or allows them again.
	Lever(ctx context.Context, allowed bool, reason, by string) error
	// Report draws up the report of a drill that has ended: json, html or pdf; with the ids of people for their pseudonyms, where that is asked for.
	Report(ctx context.Context, id, format string, names bool) (data []byte, err error)
}

// DrillRefusal is why a drill was not planned, asked for, begun or signed off.
type DrillRefusal struct {
	What, Hint string
	Guards     []audit.DrillGuard // those that do not hold
}

// Error implements error.
func (r *DrillRefusal) Error() string {
	text := r.What
	for _, g := range r.Guards {
		text += "; " + g.Why
	}
	return text
}

// ErrNoDrill says that there is none of that id.
var ErrNoDrill = errors.New("admin: unknown drill")

// DrillScenario is one that may be played.
type DrillScenario struct {
	Name    string   `json:"name"`
	Version int      `json:"version"`
	Title   string   `json:"title"`
	Class   string   `json:"class"`
	Modes   []string `json:"modes"`
	Needs   []string `json:"needs,omitempty"` // rooms that the node must have
	Digest  string   `json:"scenario_sha256"`
	Ships   bool     `json:"ships"` // with the program; else it is the node's own
}

// DrillOrder asks for a drill.
type DrillOrder struct {
	Scenario string    `json:"scenario"`
	Mode     string    `json:"mode"` // sandbox | canary | full
	Route    string    `json:"route,omitempty"`
	Share    string    `json:"share,omitempty"`     // canary: of the calls of the route, such as 2.5%
	Cap      int       `json:"calls_cap,omitempty"` // canary: calls at once at most
	Begins   time.Time `json:"begins,omitzero"`     // default: as soon as it may
	Reason   string    `json:"reason"`
}

// DrillPlan is a dry run: what would happen on this node, and whether it might begin now.
type DrillPlan struct {
	audit.DrillPlan
	Moments  []DrillMoment      `json:"moments"`
	Expect   []string           `json:"expect"`
	Lasts    float64            `json:"lasts_s"`
	Restore  float64            `json:"restore_s"`
	Calls    float64            `json:"calls_cps"` // that the drill places, at most
	Would    []string           `json:"would"`     // what routing would do, in words
	Guards   []audit.DrillGuard `json:"guards"`
	Allowed  bool               `json:"allowed_now"`
	Approves int                `json:"approvals_wanted"`
	Opens    time.Time          `json:"window_opens,omitzero"` // when it might begin
}

// DrillMoment is what is gone from a moment of the drill on.
type DrillMoment struct {
	At   float64  `json:"at_s"`
	Gone []string `json:"gone"`
}

// DrillFinding is what a drill found wanting. With an id it changes one that is known.
type DrillFinding struct {
	ID       string    `json:"deficiency,omitempty"`
	Title    string    `json:"title,omitempty"`
	Severity string    `json:"severity,omitempty"` // low | medium | high | critical
	Owner    string    `json:"owner,omitempty"`    // id of a person
	Due      time.Time `json:"due,omitzero"`
	RetestBy time.Time `json:"retest_by,omitzero"`
	Fixed    bool      `json:"fixed,omitempty"`
	Retest   string    `json:"retest_drill_id,omitempty"`
}

// DrillStanding is what holds for all drills.
type DrillStanding struct {
	Allowed  bool                `json:"drills_allowed"` // the lever
	Why      string              `json:"why,omitempty"`  // it is pulled
	Running  string              `json:"running,omitempty"`
	Calendar []register.Standing `json:"calendar"`
}

// DrillList is every drill of the book, and what holds for all.
type DrillList struct {
	DrillStanding
	Drills []register.Drill  `json:"drills"`
	People map[string]string `json:"people,omitempty"`
}

// DrillView is one drill with what it found wanting.
type DrillView struct {
	register.Drill
	Defects []register.Defect `json:"deficiencies,omitempty"`
	People  map[string]string `json:"people,omitempty"`
}

// drillers are the roles in which a person asks for drills, agrees to them and signs them off. Who counts is the configuration's to say.
func drillers() []string { return append([]string{"operator"}, deciders()...) }

func (s *Server) drillRoutes() []route {
	people := drillers()
	readers := append([]string{approval.RoleAuditor, "dpo"}, people...)
	return []route{
		{"GET /api/v1/drills", "org.read", nil, s.drills},
		{"GET /api/v1/drills/scenarios", "org.read", nil, s.drillScenarios},
		{"GET /api/v1/drills/deficiencies", "org.read", nil, s.drillDefects},
		{"POST /api/v1/drills/plan", "org.read", nil, s.drillPlan},
		{"POST /api/v1/drills/lever", "", people, s.drillLever},
		{"POST /api/v1/drills", "", people, s.drillRequest},
		{"GET /api/v1/drills/{id}", "org.read", nil, s.drill},
		{"POST /api/v1/drills/{id}/approve", "", people, s.drillApprove},
		{"POST /api/v1/drills/{id}/stop", "", readers, s.drillStop},
		{"POST /api/v1/drills/{id}/cleanup", "", people, s.drillClean},
		{"POST /api/v1/drills/{id}/signoff", "", readers, s.drillSignOff},
		{"POST /api/v1/drills/{id}/reported", "", readers, s.drillReported},
		{"POST /api/v1/drills/{id}/ack", "", readers, s.drillAck},
		{"POST /api/v1/drills/{id}/deficiencies", "", readers, s.drillFind},
		{"GET /api/v1/drills/{id}/report", "org.read", nil, s.drillReport},
	}
}

func (s *Server) noDrills() error {
	if s.c.Drills == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node keeps no drills"}
	}
	return nil
}

// drillErr makes an answer of what the keeper says.
func drillErr(err error) error {
	var no *DrillRefusal
	switch {
	case errors.As(err, &no):
		return &Problem{Status: http.StatusConflict, Title: "it was not done", Detail: no.Error(), Hint: no.Hint}
	case errors.Is(err, ErrNoDrill):
		return &Problem{Status: http.StatusNotFound, Title: "unknown drill", Hint: "cordon drill runs shows them; of old ones the log alone tells"}
	}
	return err
}

// drillPeople are the pseudonyms that drills name.
func drillPeople(list ...register.Drill) (out []string) {
	for i := range list {
		d := &list[i]
		out = append(out, d.Request.Tester)
		for _, w := range d.Words {
			out = append(out, w.By)
		}
		if d.Ended != nil {
			out = append(out, d.Ended.Stopped)
		}
		if d.Cleaned != nil {
			out = append(out, d.Cleaned.By)
		}
		out = append(out, lastPeople(d)...)
		if d.Refused != nil {
			out = append(out, d.Refused.By)
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

func (s *Server) drillStanding() DrillStanding {
	v := s.c.Drills.Standing()
	v.Calendar = append([]register.Standing{}, v.Calendar...)
	return v
}

func (s *Server) drills(w http.ResponseWriter, _ *http.Request, id Identity) error {
	if err := s.noDrills(); err != nil {
		return err
	}
	v := DrillList{DrillStanding: s.drillStanding(), Drills: append([]register.Drill{}, s.c.Drills.List()...)}
	v.People = s.names(id, drillPeople(v.Drills...))
	return writeJSON(w, v)
}

func (s *Server) drillScenarios(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	if err := s.noDrills(); err != nil {
		return err
	}
	return writeJSON(w, struct {
		Scenarios []DrillScenario `json:"scenarios"`
	}{append([]DrillScenario{}, s.c.Drills.Scenarios()...)})
}

// DrillDefects is what drills found wanting.
type DrillDefects struct {
	Deficiencies []register.Defect `json:"deficiencies"`
	People       map[string]string `json:"people,omitempty"`
}

func (s *Server) drillDefects(w http.ResponseWriter, _ *http.Request, id Identity) error {
	if err := s.noDrills(); err != nil {
		return err
	}
	v := DrillDefects{Deficiencies: append([]register.Defect{}, s.c.Drills.Defects("")...)}
	v.People = s.names(id, owners(v.Deficiencies))
	return writeJSON(w, v)
}

func owners(list []register.Defect) (out []string) {
	for _, d := range list {
		out = append(out, d.Owner)
	}
	return out
}

func (s *Server) viewDrill(w http.ResponseWriter, d register.Drill, id Identity) error {
	v := DrillView{Drill: d, Defects: s.c.Drills.Defects(d.ID())}
	v.People = s.names(id, append(drillPeople(d), owners(v.Defects)...))
	return writeJSON(w, v)
}

func (s *Server) drill(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.noDrills(); err != nil {
		return err
	}
	d, ok := s.c.Drills.Drill(r.PathValue("id"))
	if !ok {
		return drillErr(ErrNoDrill)
	}
	return s.viewDrill(w, d, id)
}

func (s *Server) drillPlan(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o DrillOrder
	if err := s.drillOrder(r, &o); err != nil {
		return err
	}
	p, err := s.c.Drills.Plan(r.Context(), o, id.Person)
	if err != nil {
		return drillErr(err)
	}
	return writeJSON(w, p)
}

func (s *Server) drillRequest(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o DrillOrder
	if err := s.drillOrder(r, &o); err != nil {
		return err
	}
	if o.Reason == "" {
		return noReason()
	}
	d, err := s.c.Drills.Request(r.Context(), o, id.Person)
	if err != nil {
		return drillErr(err)
	}
	return s.viewDrill(w, d, id)
}

func noReason() error {
	return &Problem{Status: http.StatusBadRequest, Title: "no reason was given", Hint: `say why: "reason": "..."; it stands in the log`}
}

// drillOrder reads the body of an order, on a node that has drills.
func (s *Server) drillOrder(r *http.Request, into any) error {
	if err := s.noDrills(); err != nil {
		return err
	}
	return body(r, into)
}

// DrillWord is a person's word about a drill.
type DrillWord struct {
	Reason string `json:"reason"`
}

// drillWord carries out what takes a reason.
func (s *Server) drillWord(w http.ResponseWriter, r *http.Request, id Identity, do func(ctx context.Context, drill, reason, by string) (register.Drill, error)) error {
	var o DrillWord
	if err := s.drillOrder(r, &o); err != nil {
		return err
	}
	if o.Reason == "" {
		return noReason()
	}
	d, err := do(r.Context(), r.PathValue("id"), o.Reason, id.Person)
	if err != nil {
		return drillErr(err)
	}
	return s.viewDrill(w, d, id)
}

func (s *Server) drillApprove(w http.ResponseWriter, r *http.Request, id Identity) error {
	return s.drillWord(w, r, id, func(ctx context.Context, drill, reason, by string) (register.Drill, error) {
		return s.c.Drills.Approve(ctx, drill, reason, by)
	})
}

func (s *Server) drillStop(w http.ResponseWriter, r *http.Request, id Identity) error {
	return s.drillWord(w, r, id, func(ctx context.Context, drill, reason, by string) (register.Drill, error) {
		return s.c.Drills.Stop(ctx, drill, reason, by)
	})
}

func (s *Server) drillClean(w http.ResponseWriter, r *http.Request, id Identity) error {
	return s.drillSaid(w, r, id, func(ctx context.Context, drill string, x DrillSaid, by string) (register.Drill, error) {
		return s.c.Drills.Clean(ctx, drill, x, by)
	})
}

func (s *Server) drillFind(w http.ResponseWriter, r *http.Request, id Identity) error {
	var f DrillFinding
	if err := s.drillOrder(r, &f); err != nil {
		return err
	}
	d, err := s.c.Drills.Find(r.Context(), r.PathValue("id"), f, id.Person)
	if err != nil {
		return drillErr(err)
	}
	return writeJSON(w, DrillDefects{[]register.Defect{d}, s.names(id, []string{d.Owner})})
}

// DrillLeverOrder pulls the lever, or lets it go.
type DrillLeverOrder struct {
	Allowed *bool  `json:"drills_allowed"`
	Reason  string `json:"reason"`
}

func (s *Server) drillLever(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o DrillLeverOrder
	if err := s.drillOrder(r, &o); err != nil {
		return err
	}
	switch {
	case o.Allowed == nil:
		return &Problem{Status: http.StatusBadRequest, Title: "the order says neither forbid nor allow", Hint: `"drills_allowed": false forbids every drill, true allows them again`}
	case o.Reason == "":
		return noReason()
	}
	if err := s.c.Drills.Lever(r.Context(), *o.Allowed, o.Reason, id.Person); err != nil {
		return drillErr(err)
	}
	return writeJSON(w, s.drillStanding())
}

// drillFormats are how a report may be had.
func drillFormats() map[string]string {
	return map[string]string{"json": "application/json", "html": "text/html; charset=utf-8", "pdf": "application/pdf"}
}

func (s *Server) drillReport(w http.ResponseWriter, r *http.Request, _ Identity) error {
	if err := s.noDrills(); err != nil {
		return err
	}
	format := r.URL.Query().Get("format")
	if format == "" {
		format = "json"
	}
	media, ok := drillFormats()[format]
	if !ok {
		return &Problem{Status: http.StatusBadRequest, Title: fmt.Sprintf("a report is had as json, html or pdf, not as %q", format)}
	}
	named := r.URL.Query().Get("names")
	if named != "" && named != "true" && named != "false" {
		return &Problem{Status: http.StatusBadRequest, Title: fmt.Sprintf("names is true or false, not %.20q", named)}
	}
	patient(w)
	data, err := s.c.Drills.Report(r.Context(), r.PathValue("id"), format, named == "true")
	if err != nil {
		return drillErr(err)
	}
	if format == "html" {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox")
	}
	w.Header().Set("Content-Type", media)
	_, err = w.Write(data)
	return err
}
