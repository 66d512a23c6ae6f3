package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/page"
)

// Safeguard is what a transfer to a party rests on once people opened the gate: an entry of the catalogue of legal bases.
type Safeguard struct {
	Kind, Document, SHA256, SignedOn, Expires string
	TIA                                       string // document and date of the transfer impact assessment
}

// Transfer is what was transferred to one recipient in a third country: GDPR Art. 30(1)(d) and (e).
type Transfer struct {
	Recipient  string    `json:"recipient"` // party
	Provider   string    `json:"provider,omitempty"`
	Identifier string    `json:"identifier,omitempty"`
	Country    string    `json:"third_country"`
	Planes     []string  `json:"planes"`
	Categories []string  `json:"data_categories"`
	Basis      string    `json:"basis"` // adequacy decision, or the safeguard with its document
	Gated      bool      `json:"by_gate"`
	Calls      uint64    `json:"calls"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Open       string    `json:"open,omitempty"` // what is not documented, and should be
}

// Transfers is the part of the record of processing activities that an edge can prove.
type Transfers struct {
	Report    string     `json:"report"` // "gdpr_art30_transfers"
	MadeAt    time.Time  `json:"made_at"`
	Period    Period     `json:"period"`
	Cover     Cover      `json:"log"`
	Calls     uint64     `json:"calls"`
	Transfers []Transfer `json:"transfers"`
}

// NewTransfers makes the record of what was seen outside the EEA. safeguards are those of parties.
func NewTransfers(o *Observer, list []Arrangement, safeguards map[string]Safeguard, c Cover, at time.Time) Transfers {
	t := Transfers{Report: "gdpr_art30_transfers", MadeAt: at.UTC(), Period: o.period, Cover: c, Calls: o.calls, Transfers: []Transfer{}}
	by := map[seenKey]*Transfer{}
	for _, s := range o.Seen() {
		if s.Standing == "in_eea" {
			continue
		}
		k := seenKey{party: s.Party, country: s.Country, instrument: s.Instrument, gated: s.Gated}
		row := by[k]
		if row == nil {
			row = &Transfer{Recipient: s.Party, Country: s.Country, Gated: s.Gated, Calls: o.whole[k], First: s.First, Last: s.Last}
			row.Basis, row.Open = basisOf(s, safeguards[s.Party])
			for _, a := range list {
				if a.Party == s.Party {
					row.Provider, row.Identifier = a.Provider, a.Identifier
				}
			}
			by[k] = row
		}
		row.Planes = union(row.Planes, []string{s.Plane})
		row.Categories = union(row.Categories, categories(s.Plane))
		if s.First.Before(row.First) {
			row.First = s.First
		}
		if s.Last.After(row.Last) {
			row.Last = s.Last
		}
	}
	for _, row := range by {
		t.Transfers = append(t.Transfers, *row)
	}
	slices.SortFunc(t.Transfers, func(a, b Transfer) int {
		return cmp.Or(cmp.Compare(a.Country, b.Country), cmp.Compare(a.Recipient, b.Recipient), cmp.Compare(a.Basis, b.Basis))
	})
	return t
}

// basisOf says what a transfer rests on, and what is missing of it.
func basisOf(s Seen, g Safeguard) (basis, open string) {
	switch {
	case s.Gated && g.Kind != "":
		basis = g.Kind + ": " + g.Document
		if g.SignedOn != "" {
			basis += ", signed " + g.SignedOn
		}
		if strings.HasPrefix(g.Kind, "Art46") && g.TIA == "" {
			open = "no transfer impact assessment is registered"
		} else if g.TIA != "" {
			basis += "; assessment " + g.TIA
		}
		return basis, open
	case s.Gated:
		return "decision of the gate", "no legal basis is registered for the party: legal_bases"
	case s.Instrument != "":
		return "GDPR Art. 45: " + s.Instrument, ""
	case s.Country == "unknown":
		return "", "the place is not known"
	}
	return "", "no instrument is on record: see the receipts"
}

// categories are the data of a plane, in the words of gate decisions.
func categories(plane string) []string {
	if plane == "signalling" {
		return []string{"CLI", "metadata"}
	}
	return []string{"DTMF", "voice"}
}

// Page is the record for people.
func (t Transfers) Page() page.Document {
	recipients := page.Table{Columns: page.Columns("country", "recipient", "data", "basis", "calls", "first and last"), None: "None."}
	recipients.Columns[4].Right, recipients.Columns[5].Whole = true, true
	open := 0
	for _, r := range t.Transfers {
		basis := page.Cell{Text: r.Basis}
		if r.Open != "" {
			open++
			basis = page.Cell{Text: r.Basis, Notes: []string{"Open: " + r.Open}, Tone: page.Bad}
		}
		recipients.Rows = append(recipients.Rows, []page.Cell{
			{Text: r.Country},
			{Text: r.Recipient, Notes: []string{r.Provider, r.Identifier}},
			{Text: strings.Join(r.Categories, ", "), Notes: []string{strings.Join(r.Planes, ", ")}},
			basis,
			{Text: number(r.Calls)},
			{Text: moment(r.First), Notes: []string{moment(r.Last)}},
		})
	}
	lead := page.Callout{Tone: page.Good, Text: "Nothing was transferred to a third country."}
	if n := len(t.Transfers); n > 0 {
		lead = page.Callout{Tone: page.Good, Text: counted(n, "recipient in a third country", "recipients in third countries") + "; " + counted(open, "lacks documentation", "lack documentation") + "."}
	}
	if open > 0 {
		lead.Tone = page.Bad
	}
	d := paper("Transfers to third countries", "record of processing activities, GDPR Art. 30(1)(d) and (e)", t.Period, t.Cover, t.MadeAt, lead)
	d.Blocks = append(append(d.Blocks, append(page.Facts{{"calls", number(t.Calls)}}, t.Cover.facts()...)), table("Recipients", recipients)...)
	d.Blocks = append(d.Blocks, t.Cover.end(
		"For the record of processing activities: GDPR Art. 30(1)(d) recipients, (e) third countries and the documentation of suitable safeguards.",
		"A call that only rang is counted: its signalling was there. Purposes, erasure periods and the controller are not known to an edge.")...)
	return d
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(uint64(n)) + " " + many
}
