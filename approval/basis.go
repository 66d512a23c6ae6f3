package approval

import (
	"slices"
	"strings"
	"time"
)

// Basis is one entry of the catalogue of legal bases of GDPR Chapter V: what was signed and assessed before anybody needed it. It is frozen in the plan that rests
// on it, so people approve this very entry.
type Basis struct {
	ID         string      `json:"id"`
	Kind       string      `json:"kind"` // Art46(2)(c)_SCC, Art49(1)(b)_contract_with_data_subject, ...: words of gate decision records
	Document   string      `json:"document"`
	SHA256     string      `json:"sha256,omitempty"` // of the document, lower-case hex
	SignedOn   time.Time   `json:"signed_on,omitzero"`
	Until      time.Time   `json:"until,omitzero"` // from then on it is over; zero: open
	TIA        *TIA        `json:"tia,omitempty"`
	Derogation *Derogation `json:"art49_extra,omitempty"`
}

// TIA is a transfer impact assessment: CJEU C-311/18, clause 14 of the standard contractual clauses.
type TIA struct {
	Document string    `json:"document"`
	Date     time.Time `json:"date"`
	Outcome  string    `json:"outcome"`
	Measures []string  `json:"supplementary_measures,omitempty"`
}

// Derogation is what a basis of GDPR Art. 49 must say besides (Art. 49(1), (4), (6); EDPB Guidelines 2/2018).
type Derogation struct {
	Necessity  string `json:"necessity_text"`
	Occasional bool   `json:"occasional"`
	Norm       string `json:"public_interest_norm,omitempty"`   // of Union or Member State law, Art. 49(4)
	Authority  string `json:"notified_SA,omitempty"`            // how the supervisory authority is informed, Art. 49(1) second subparagraph
	Subjects   string `json:"informed_data_subjects,omitempty"` // how the data subjects are
}

// Word is how plans name the basis: the instrument first, because it bounds the grant.
func (b *Basis) Word() string { return b.Kind + ":" + b.ID }

// occasion lists the derogations that are for occasional transfers alone: GDPR recital 111.
func occasion() []string { return []string{"Art49(1)(b)", "Art49(1)(c)", "Art49(1)(e)"} }

// IsDerogation says whether a basis, as plans name it, is one of GDPR Art. 49.
func IsDerogation(word string) bool { return strings.HasPrefix(word, "Art49") }

// Lacks says in words why no grant may rest on b at a time; nothing when one may.
func (b *Basis) Lacks(at time.Time) []string {
	var out []string
	lacks := func(missing bool, what string) {
		if missing {
			out = append(out, "the legal basis "+b.ID+" "+what)
		}
	}
	lacks(b.Document == "", "names no document")
	lacks(at.Before(b.SignedOn), "is not signed yet")
	lacks(b.over(at), "ended at "+When(b.Until))
	if !IsDerogation(b.Kind) {
		lacks(b.SignedOn.IsZero(), "has no day of signature")
		t := b.TIA
		lacks(t == nil, "has no transfer impact assessment")
		lacks(t != nil && (t.Document == "" || t.Date.IsZero() || t.Outcome == ""), "has a transfer impact assessment without document, date or outcome")
		return out
	}
	d := b.Derogation
	if d == nil {
		d = &Derogation{}
	}
	has := func(kind string) bool { return strings.HasPrefix(b.Kind, kind) }
	lacks(strings.TrimSpace(d.Necessity) == "", "does not say why the transfer is necessary")
	lacks(!d.Occasional && slices.ContainsFunc(occasion(), has), "is for occasional transfers alone and is not registered as occasional")
	lacks(d.Norm == "" && has("Art49(1)(d)"), "does not name the norm of public interest")
	lacks(d.Authority == "" && has("Art49(1)sub2"), "does not say how the supervisory authority is informed")
	lacks(d.Subjects == "" && has("Art49(1)sub2"), "does not say how the data subjects are informed")
	return out
}

// over says whether b ended before at.
func (b *Basis) over(at time.Time) bool { return !b.Until.IsZero() && !at.Before(b.Until) }

// basisEnd is when the basis of r's plan is over; zero when it names no end, or there is none.
func (r *Record) basisEnd() time.Time {
	if b := r.Ticket.Plan.Basis; b != nil {
		return b.Until
	}
	return time.Time{}
}

// missingBasis says what keeps the ticket from resting on its basis, where the rules want one. A ticket whose rules do not is judged without. The end of a basis is
// the clock's matter.
func (r *Record) missingBasis() []string {
	if !r.Rules.NeedBasis || !r.Ticket.Grants() {
		return nil
	}
	if r.Ticket.Plan.Basis == nil {
		return []string{"a legal basis of the catalogue: this ticket names none, so ask anew with one"}
	}
	return r.Ticket.Plan.Basis.Lacks(r.Ticket.RequestedAt)
}

// occasionMax is how many grants may rest on one derogation within twelve months without the management body's delegate: EDPB Guidelines 2/2018 on "occasional".
const occasionMax = 2

// repeated says whether the ticket's derogation is not occasional any more.
func (r *Record) repeated() bool {
	return IsDerogation(r.Ticket.Plan.LegalBasis) && r.Ticket.Repetitions >= occasionMax
}
