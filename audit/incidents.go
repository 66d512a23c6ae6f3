package audit

import "time"

// IncidentOpened says that an incident began, by a rule or by a person. What an incident is, is what the entries about it say: nothing else holds it.
// DORA Art. 17(2).
type IncidentOpened struct {
	Incident string    `json:"incident"`
	Rule     string    `json:"rule"`           // region_down | trunk_loss | media_dead | log_gap | residency_violation | break_glass_unreviewed | by_hand
	Cause    string    `json:"cause"`          // what has the same cause while it runs is the same incident: "region aws:eu-central-1"
	Title    string    `json:"title"`          // one line, no name of a person
	Since    time.Time `json:"since"`          // of the occurrence; the entry's own time is when we became aware
	Until    time.Time `json:"until,omitzero"` // it was over already
	Region   string    `json:"region,omitempty"`
	Country  string    `json:"country,omitempty"`
	Parties  []string  `json:"parties,omitempty"`
	Found    Found     `json:"found,omitzero"`
	By       string    `json:"by,omitempty"` // pseudonym; empty: the rule
}

// Found is what a rule saw.
type Found struct {
	Entries []uint64 `json:"entries,omitempty"` // indices of the first of those that it rests on
	Last    uint64   `json:"last,omitempty"`    // index of the newest one
	Count   int      `json:"count,omitempty"`   // of them, or of what they say
	Of      int      `json:"of,omitempty"`      // how many there are in all: calls up, targets
}

// IncidentUpdated says that something about an incident changed.
type IncidentUpdated struct {
	Incident string    `json:"incident"`
	What     string    `json:"what"` // recovered | recurred | more | note | breach_known | clock_warning | clock_late
	At       time.Time `json:"at,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Found    Found     `json:"found,omitzero"`
	Clock    string    `json:"clock,omitempty"` // of a warning: the name of the clock
	Due      time.Time `json:"due,omitzero"`    // and its limit
	Before   string    `json:"before,omitempty"`
	Text     string    `json:"text,omitempty"`
	By       string    `json:"by,omitempty"`
}

// IncidentClassified says how people classified an incident. The node computes; the financial entity classifies. DORA Art. 18.
type IncidentClassified struct {
	Incident string    `json:"incident"`
	Major    bool      `json:"major"`
	At       time.Time `json:"at"`
	Criteria []string  `json:"criteria,omitempty"` // words of ITS (EU) 2025/302 field 2.5
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
}

// IncidentReported says that something was submitted to an authority: a person says so, the node sends nothing.
type IncidentReported struct {
	Incident  string    `json:"incident"`
	Clock     string    `json:"clock"` // initial | intermediate | final | gdpr_33, or one of the entity's own
	At        time.Time `json:"at"`
	Reference string    `json:"reference,omitempty"`       // the code that the authority gave
	Digest    string    `json:"document_sha256,omitempty"` // of the document that went out, hex
	By        string    `json:"by"`
}

// BreachNoted is what people document of a breach of personal data that an incident came with, whole or in phases. GDPR Art. 33(3) to (5).
type BreachNoted struct {
	Incident   string    `json:"incident"`
	Facts      string    `json:"facts,omitempty"`                // its nature, Art. 33(3)(a), (5)
	Subjects   uint64    `json:"data_subjects_approx,omitempty"` // Art. 33(3)(a)
	Records    uint64    `json:"records_approx,omitempty"`       // Art. 33(3)(a)
	Categories []string  `json:"categories,omitempty"`           // of data subjects and of records
	Effects    string    `json:"effects,omitempty"`              // likely consequences, Art. 33(3)(c), (5)
	Remedy     string    `json:"remedial_action,omitempty"`      // taken or proposed, Art. 33(3)(d), (5)
	Risk       string    `json:"risk,omitempty"`                 // unlikely | likely | high: unlikely owes no notification, Art. 33(1); high owes word to data subjects, Art. 34(1)
	RiskReason string    `json:"risk_reason,omitempty"`          // why it is what it is
	Delay      string    `json:"reasons_for_delay,omitempty"`    // of a notification later than 72 hours, Art. 33(1)
	Told       time.Time `json:"data_subjects_told,omitzero"`    // when it was communicated to them, Art. 34
	By         string    `json:"by"`                             // pseudonym
}

// IncidentClosed says that people are done with an incident. Clocks of a major one go on until its final report.
type IncidentClosed struct {
	Incident string `json:"incident"`
	Reason   string `json:"reason"`
	By       string `json:"by"`
}

func (IncidentOpened) Kind() Kind     { return KindIncidentOpened }
func (IncidentUpdated) Kind() Kind    { return KindIncidentUpdated }
func (IncidentClassified) Kind() Kind { return KindIncidentClassified }
func (IncidentReported) Kind() Kind   { return KindIncidentReported }
func (BreachNoted) Kind() Kind        { return KindBreachNoted }
func (IncidentClosed) Kind() Kind     { return KindIncidentClosed }

// decodeIncident is Decode for what is about incidents, and goes on with that of reviews.
func decodeIncident(e Entry) (Event, error) {
	switch e.Kind {
	case KindIncidentOpened:
		return decodeAs[IncidentOpened](e)
	case KindIncidentUpdated:
		return decodeAs[IncidentUpdated](e)
	case KindIncidentClassified:
		return decodeAs[IncidentClassified](e)
	case KindIncidentReported:
		return decodeAs[IncidentReported](e)
	case KindBreachNoted:
		return decodeAs[BreachNoted](e)
	case KindIncidentClosed:
		return decodeAs[IncidentClosed](e)
	}
	return decodeReview(e)
}
