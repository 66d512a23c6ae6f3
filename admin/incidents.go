package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/incident/form"
)

// Incidents is what the door needs of the book of incidents. by is the id of a person; the log gets a pseudonym.
type Incidents interface {
	List() []incident.Incident
	Incident(id string) (incident.Incident, bool)
	Clocks(i *incident.Incident, now time.Time) []incident.Clock
	Next(now time.Time) (id string, first incident.Clock, ok bool)
	Measure(ctx context.Context, i *incident.Incident, now time.Time) (incident.Measures, error)
	Draft(ctx context.Context, i *incident.Incident, stage string, contacts bool) (*form.Draft, error)
	Open(ctx context.Context, o incident.Opening, by string) (incident.Incident, error)
	Note(ctx context.Context, id string, u incident.Update, by string) (incident.Incident, error)
	Classify(ctx context.Context, id string, c incident.Classification, by string) (incident.Incident, error)
	Submitted(ctx context.Context, id string, s incident.Submission, by string) (incident.Incident, error)
	Document(ctx context.Context, id string, d incident.Documentation, by string) (incident.Incident, error)
	Close(ctx context.Context, id, reason, by string) (incident.Incident, error)
}

// incidentWriters are the roles in which a person opens, classifies and closes incidents.
func incidentWriters() []string { return []string{"operator", "incident_commander"} }

func (s *Server) incidentRoutes() []route {
	writers := incidentWriters()
	return []route{
		{"GET /api/v1/incidents", "org.read", nil, s.incidents},
		{"POST /api/v1/incidents", "", writers, s.openIncident},
		{"GET /api/v1/incidents/{id}", "org.read", nil, s.incident},
		{"POST /api/v1/incidents/{id}/updates", "", writers, s.updateIncident},
		{"POST /api/v1/incidents/{id}/classification", "", writers, s.classifyIncident},
		{"POST /api/v1/incidents/{id}/submissions", "", writers, s.submitIncident},
		{"POST /api/v1/incidents/{id}/breach", "", append([]string{"dpo"}, writers...), s.breachIncident},
		{"POST /api/v1/incidents/{id}/close", "", writers, s.closeIncident},
		{"GET /api/v1/incidents/{id}/report", "org.read", nil, s.reportIncident},
	}
}

// IncidentView is one incident with its clocks as of now.
type IncidentView struct {
	incident.Incident
	Clocks []incident.Clock `json:"clocks"`
}

// IncidentDetail is one incident with everything that is computed of it.
type IncidentDetail struct {
	IncidentView
	Measures   incident.Measures   `json:"measures"`
	Assessment incident.Assessment `json:"assessment"`
}

// NextLimit is the limit of reporting that comes first.
type NextLimit struct {
	Incident string `json:"incident"`
	incident.Clock
}

// IncidentList is every incident that the book has, the newest first.
type IncidentList struct {
	Incidents []IncidentView `json:"incidents"`
	Next      *NextLimit     `json:"next_limit"` // null: no clock runs
}

// list gives those that keep wants.
func (s *Server) list(keep func(*incident.Incident) bool) IncidentList {
	v := IncidentList{Incidents: []IncidentView{}}
	if s.c.Incidents == nil {
		return v
	}
	now := time.Now()
	for _, i := range s.c.Incidents.List() {
		if keep(&i) {
			v.Incidents = append(v.Incidents, IncidentView{i, s.c.Incidents.Clocks(&i, now)})
		}
	}
	if id, c, ok := s.c.Incidents.Next(now); ok {
		v.Next = &NextLimit{id, c}
	}
	return v
}

func (s *Server) incidents(w http.ResponseWriter, r *http.Request, _ Identity) error {
	all := r.URL.Query().Get("all") == "true"
	return writeJSON(w, s.list(func(i *incident.Incident) bool { return all || i.Open() }))
}

// named gives the incident of the path.
func (s *Server) named(r *http.Request) (incident.Incident, error) {
	if s.c.Incidents == nil {
		return incident.Incident{}, &Problem{Status: http.StatusNotImplemented, Title: "this node keeps no incidents"}
	}
	i, ok := s.c.Incidents.Incident(r.PathValue("id"))
	if !ok {
		return i, &Problem{Status: http.StatusNotFound, Title: "unknown incident", Hint: "cordon incident list --all shows them; of old ones that are closed the log alone tells"}
	}
	return i, nil
}

// measureIn is how long an answer may take that reads the log of a long outage.
const measureIn = 10 * time.Minute

// patient lets an answer take as long as that, where the server can.
func patient(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(measureIn)) // a recorder of a test has no deadline
}

func (s *Server) incident(w http.ResponseWriter, r *http.Request, _ Identity) error {
	i, err := s.named(r)
	if err != nil {
		return err
	}
	patient(w)
	now := time.Now()
	m, err := s.c.Incidents.Measure(r.Context(), &i, now)
	if err != nil {
		return err
	}
	return writeJSON(w, IncidentDetail{IncidentView{i, s.c.Incidents.Clocks(&i, now)}, m, incident.Assess(&i, &m)})
}

// did answers with the incident as it is after an order, or with why it was not carried out.
func (s *Server) did(w http.ResponseWriter, i incident.Incident, err error) error {
	var no *incident.Refusal
	var who *incident.Unknown
	switch {
	case errors.As(err, &no):
		return &Problem{Status: http.StatusConflict, Title: "it was not done", Detail: no.What, Hint: no.Hint}
	case errors.As(err, &who):
		return &Problem{Status: http.StatusNotFound, Title: "unknown incident", Hint: "cordon incident list --all shows them"}
	case err != nil:
		return err
	}
	return writeJSON(w, IncidentView{i, s.c.Incidents.Clocks(&i, time.Now())})
}

// IncidentOrder opens an incident by hand.
type IncidentOrder struct {
	Title   string    `json:"title"`
	Since   time.Time `json:"since,omitzero"` // default: now
	Region  string    `json:"region,omitempty"`
	Country string    `json:"country,omitempty"`
	Parties []string  `json:"parties,omitempty"`
}

// reads takes the body of an order, on a node that has incidents.
func (s *Server) reads(r *http.Request, into any) error {
	if s.c.Incidents == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node keeps no incidents"}
	}
	return body(r, into)
}

func (s *Server) openIncident(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o IncidentOrder
	if err := s.reads(r, &o); err != nil {
		return err
	}
	i, err := s.c.Incidents.Open(r.Context(), incident.Opening{Title: o.Title, Since: o.Since, Region: o.Region, Country: o.Country, Parties: o.Parties}, id.Person)
	return s.did(w, i, err)
}

// IncidentWord is a word of a person about an incident.
type IncidentWord struct {
	What string    `json:"what"` // note | recovered | breach_known
	At   time.Time `json:"at,omitzero"`
	Text string    `json:"text,omitempty"`
}

func (s *Server) updateIncident(w http.ResponseWriter, r *http.Request, id Identity) error {
	var u IncidentWord
	if err := s.reads(r, &u); err != nil {
		return err
	}
	i, err := s.c.Incidents.Note(r.Context(), r.PathValue("id"), incident.Update{What: u.What, At: u.At, Text: u.Text}, id.Person)
	return s.did(w, i, err)
}

// IncidentClass is how the entity classifies an incident.
type IncidentClass struct {
	Major    bool      `json:"major"`
	At       time.Time `json:"at,omitzero"`
	Criteria []string  `json:"criteria,omitempty"`
	Reason   string    `json:"reason"`
}

func (s *Server) classifyIncident(w http.ResponseWriter, r *http.Request, id Identity) error {
	var c IncidentClass
	if err := s.reads(r, &c); err != nil {
		return err
	}
	i, err := s.c.Incidents.Classify(r.Context(), r.PathValue("id"), incident.Classification{Major: c.Major, At: c.At, Criteria: c.Criteria, Reason: c.Reason}, id.Person)
	return s.did(w, i, err)
}

// IncidentSubmission is something that people submitted to an authority.
type IncidentSubmission struct {
	Clock     string    `json:"clock"`
	At        time.Time `json:"at,omitzero"`
	Reference string    `json:"reference,omitempty"`
	Digest    string    `json:"document_sha256,omitempty"`
}

func (s *Server) submitIncident(w http.ResponseWriter, r *http.Request, id Identity) error {
	var x IncidentSubmission
	if err := s.reads(r, &x); err != nil {
		return err
	}
	i, err := s.c.Incidents.Submitted(r.Context(), r.PathValue("id"), incident.Submission{Clock: x.Clock, At: x.At, Reference: x.Reference, Digest: x.Digest}, id.Person)
	return s.did(w, i, err)
}

// BreachWord is what a person documents of a breach of personal data; each of it may be left out and follow later. GDPR Art. 33(3) to (5), 34.
type BreachWord struct {
	Facts      string    `json:"facts,omitempty"`
	Effects    string    `json:"effects,omitempty"`
	Remedy     string    `json:"remedial_action,omitempty"`
	Subjects   uint64    `json:"data_subjects_approx,omitempty"`
	Records    uint64    `json:"records_approx,omitempty"`
	Categories []string  `json:"categories,omitempty"`
	Risk       string    `json:"risk,omitempty"` // unlikely | likely | high
	RiskReason string    `json:"risk_reason,omitempty"`
	Delay      string    `json:"reasons_for_delay,omitempty"`
	Told       time.Time `json:"data_subjects_told,omitzero"`
}

func (s *Server) breachIncident(w http.ResponseWriter, r *http.Request, id Identity) error {
	var b BreachWord
	if err := s.reads(r, &b); err != nil {
		return err
	}
	i, err := s.c.Incidents.Document(r.Context(), r.PathValue("id"), incident.Documentation{
		Facts: b.Facts, Effects: b.Effects, Remedy: b.Remedy, Subjects: b.Subjects, Records: b.Records, Categories: b.Categories, Risk: b.Risk, RiskReason: b.RiskReason,
		Delay: b.Delay, Told: b.Told,
	}, id.Person)
	return s.did(w, i, err)
}

func (s *Server) closeIncident(w http.ResponseWriter, r *http.Request, id Identity) error {
	var b because
	if err := s.reads(r, &b); err != nil {
		return err
	}
	i, err := s.c.Incidents.Close(r.Context(), r.PathValue("id"), b.Reason, id.Person)
	return s.did(w, i, err)
}

// reportIncident gives a drafted report: ?stage=initial&format=json|ir|html|pdf&contacts=true. People stand in it for those alone who may write.
func (s *Server) reportIncident(w http.ResponseWriter, r *http.Request, id Identity) error {
	i, err := s.named(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	contacts := q.Get("contacts") == "true"
	if contacts && !slices.ContainsFunc(incidentWriters(), func(role string) bool { return slices.Contains(id.Roles, role) }) {
		return &Problem{Status: http.StatusForbidden, Title: "the token does not carry the right", Detail: "contacts are people: they are shown to operators and incident commanders"}
	}
	if !form.IsStage(q.Get("stage")) {
		return &Problem{Status: http.StatusBadRequest, Title: "no such stage", Hint: "initial, intermediate or final"}
	}
	patient(w)
	d, err := s.c.Incidents.Draft(r.Context(), &i, q.Get("stage"), contacts)
	if err != nil {
		return err
	}
	write, kind := d.JSON, "application/json"
	switch q.Get("format") {
	case "", "json":
	case "ir":
		write = d.IR
	case "html":
		write, kind = d.HTML, "text/html; charset=utf-8"
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	case "pdf":
		write, kind = d.PDF, "application/pdf"
	default:
		return &Problem{Status: http.StatusBadRequest, Title: "no such format", Hint: "json, ir, html or pdf"}
	}
	doc, err := write()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(doc) // the client is gone if this fails
	return nil
}
