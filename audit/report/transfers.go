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

// Outside is a third country that an endpoint outside the call path stands in, or from which it or a party is supported. What goes there is not seen here.
type Outside struct {
	Entry         string    `json:"entry"`
	Kind          string    `json:"kind"` // trunk | edge_group | what an endpoint is for
	Provider      string    `json:"provider,omitempty"`
	Identifier    string    `json:"identifier,omitempty"`
	Parent        string    `json:"ultimate_parent,omitempty"`
	ParentCountry string    `json:"parent_country,omitempty"`
	Country       string    `json:"third_country"`
	How           string    `json:"how"` // declared: it stands there | found: a look found it there | support: access from there
	Basis         string    `json:"basis"`
	First         time.Time `json:"first,omitzero"` // of what was found
	Last          time.Time `json:"last,omitzero"`
	Open          string    `json:"open,omitempty"` // what is not documented, and should be
}

// Transfers is the part of the record of processing activities that an edge can prove.
type Transfers struct {
	Report    string     `json:"report"` // "gdpr_art30_transfers"
	MadeAt    time.Time  `json:"made_at"`
	Period    Period     `json:"period"`
	Cover     Cover      `json:"log"`
	Calls     uint64     `json:"calls"`
	Transfers []Transfer `json:"transfers"`
	Outside   []Outside  `json:"outside_the_call_path"`
}

// NewTransfers makes the record of what was seen outside the EEA. safeguards are those of parties.
func NewTransfers(o *Observer, list []Arrangement, safeguards map[string]Safeguard, c Cover, at time.Time) Transfers {
	t := Transfers{Report: "gdpr_art30_transfers", MadeAt: at.UTC(), Period: o.period, Cover: c, Calls: o.calls, Transfers: []Transfer{}}
	by := map[seenKey]*Transfer{}
	for _, s := range o.Seen() {
		if s.Standing == "in_eea" || s.Plane == planeEndpoint {
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
	t.Outside = outside(o.Seen(), list, safeguards)
	return t
}

// outside makes the rows of what is outside the call path: declared places and support of each arrangement, then what was found and is not declared.
func outside(seen []Seen, list []Arrangement, safeguards map[string]Safeguard) []Outside {
	out := []Outside{}
	for _, a := range list {
		row := func(how, country, standing, instrument string, first, last time.Time) {
			if country == "" || standing == "in_eea" && country != unprovable {
				return
			}
			r := Outside{
				Entry: a.Party, Kind: cmp.Or(a.Purpose, a.Kind), Provider: a.Provider, Identifier: a.Identifier, Parent: a.Parent, ParentCountry: a.ParentCountry, Country: country, How: how, First: first, Last: last,
			}
			r.Basis, r.Open = basisOf(Seen{Country: country, Instrument: instrument, Gated: instrument == "" && country != "unknown" && country != unprovable}, safeguards[a.Party])
			if country == unprovable {
				r.Open = "no place of it can be proven"
			} else if r.Basis == noBasis {
				r.Basis = ""
			}
			out = append(out, r)
		}
		for _, c := range a.Places {
			row("declared", c, a.Legal[c].Standing, a.Legal[c].Instrument, time.Time{}, time.Time{})
		}
		for _, c := range a.Support {
			row("support", c, a.Legal[c].Standing, a.Legal[c].Instrument, time.Time{}, time.Time{})
		}
		for _, s := range seen {
			if s.Plane == planeEndpoint && s.Party == a.Party && !slices.Contains(a.Places, s.Country) {
				row("found", s.Country, s.Standing, s.Instrument, s.First, s.Last)
			}
		}
	}
	return out
}

// noBasis is what a transfer that people opened rests on where nothing is registered.
const noBasis = "decision of the gate"

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
		return noBasis, "no legal basis is registered for the party: legal_bases"
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
	d.Blocks = append(d.Blocks, t.beyond()...)
	d.Blocks = append(d.Blocks, t.Cover.end(
		"For the record of processing activities: GDPR Art. 30(1)(d) recipients, (e) third countries and the documentation of suitable safeguards.",
		"A call that only rang is counted: its signalling was there. Purposes, erasure periods and the controller are not known to an edge.")...)
	return d
}

// beyond is the table of what is outside the call path.
func (t Transfers) beyond() []page.Block {
	rows := page.Table{Columns: page.Columns("country", "entry", "how", "parent", "basis", "first and last"), None: "None."}
	for _, r := range t.Outside {
		basis, seen := page.Cell{Text: r.Basis}, page.Cell{}
		if r.Open != "" {
			basis = page.Cell{Text: r.Basis, Notes: []string{"Open: " + r.Open}, Tone: page.Bad}
		}
		if !r.First.IsZero() {
			seen = page.Cell{Text: moment(r.First), Notes: []string{moment(r.Last)}}
		}
		rows.Rows = append(rows.Rows, []page.Cell{
			{Text: r.Country},
			{Text: r.Entry, Notes: []string{r.Kind, r.Provider, r.Identifier}},
			{Text: r.How},
			{Text: r.ParentCountry, Notes: []string{r.Parent}},
			basis,
			seen,
		})
	}
	return append(table("Outside the call path", rows), page.List{
		"Outside the call path nobody here sees what is transferred: declared is a place by contract, found is where a look at the endpoint found it, support is access from there (GDPR Chapter V), wherever the data lies.",
	})
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(uint64(n)) + " " + many
}
