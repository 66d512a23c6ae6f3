package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/page"
)

// Arrangement is what the operator declares of one trunk, edge group or endpoint outside the call path: what the register of information (DORA Art. 28(3), ITS (EU) 2024/2956) asks of a contract.
type Arrangement struct {
	Party       string
	Kind        string // trunk | edge_group | endpoint
	Contract    string
	Provider    string
	Identifier  string // LEI or EUID
	HQ          string
	Parent      string
	Service     string // type of ICT service of Annex III, S10 for a carrier
	Function    string // identifier of the function
	Start, End  string // YYYY-MM-DD
	Law         string // country of the governing law
	Sensitive   string
	Reliance    string
	Rank        int
	Signalling  []string // countries that are declared
	Media       []string
	Alternative []string // parties that routes name beside it

	ParentCountry string   // of the ultimate parent
	Support       []string // countries from which it is supported
	Purpose       string   // of an endpoint: crm, bucket, ...
	Places        []string // countries in which an endpoint stands
	Critical      string   // Yes | No: of the function that an endpoint supports
	Unwatched     bool     // nobody looks where the endpoint is
	// Law of today on the countries above, by their codes.
	Legal map[string]Legal
}

// Legal is what the law says of a country.
type Legal struct {
	Standing   string // in_eea | adequate | ...
	Instrument string // of the adequacy
}

// Cell is one column of the register for an arrangement.
type Cell struct {
	Column string `json:"column"` // as ITS (EU) 2024/2956 numbers it
	Name   string `json:"name"`
	Value  string `json:"value"`
	Human  bool   `json:"human,omitempty"` // nothing is known here: somebody must write it
}

// Row is what the register says of one arrangement and one country of processing: Art. 4(2) wants a row for each.
type Row struct {
	Party string `json:"party"`
	Cells []Cell `json:"cells"`
}

// Drift is a country that was observed and not declared, or declared and not observed.
type Drift struct {
	Party    string `json:"party"`
	Plane    string `json:"plane"`
	Country  string `json:"country"`
	What     string `json:"what"` // observed_not_declared | declared_not_observed | unprovable: found in no one place
	Calls    uint64 `json:"calls"`
	FirstSeq uint64 `json:"first_seq,omitempty"`
	LastSeq  uint64 `json:"last_seq,omitempty"`
}

// Register is the part of the register of information that an edge knows, and where it differs from what was observed.
type Register struct {
	Report string    `json:"report"` // "register_of_information"
	MadeAt time.Time `json:"made_at"`
	Period Period    `json:"period"`
	Cover  Cover     `json:"log"`
	Rows   []Row     `json:"rows"`
	Drift  []Drift   `json:"drift"`
	Seen   []Seen    `json:"observed"`
}

// NewRegister makes the rows of list and holds them against seen.
func NewRegister(list []Arrangement, seen []Seen, p Period, c Cover, at time.Time) Register {
	r := Register{Report: "register_of_information", MadeAt: at.UTC(), Period: p, Cover: c, Rows: []Row{}, Drift: []Drift{}, Seen: seen}
	for _, a := range list {
		countries := union(union(a.Signalling, a.Media), a.Places)
		if len(countries) == 0 {
			countries = []string{""}
		}
		for _, country := range countries {
			r.Rows = append(r.Rows, a.row(country))
		}
		r.Drift = append(r.Drift, a.drift(seen)...)
	}
	return r
}

// row has the columns in the words of ITS (EU) 2024/2956, Annex I, as published (OJ L, 2.12.2024); long names are shortened and never changed.
func (a Arrangement) row(country string) Row {
	rank := ""
	if a.Rank > 0 {
		rank = fmt.Sprint(a.Rank)
	}
	end := a.End
	if end == "" && a.Start != "" {
		end = "9999-12-31" // ITS (EU) 2024/2956: no end
	}
	identified := "" // without one in the routes, people know whether they looked for one
	if len(a.Alternative) > 0 {
		identified = "Yes"
	}
	row := Row{Party: a.Party}
	for _, c := range []Cell{
		{"B_02.01.0010", "Contractual arrangement reference number", a.Contract, false},
		{"B_02.02.0030", "Identification code of the ICT third-party service provider", a.Identifier, false},
		{"B_05.01.0050", "Legal name of the ICT third-party service provider", a.Provider, false},
		{"B_05.01.0080", "Country of the provider's headquarters", a.HQ, false},
		{"B_05.01.0110", "Identification code of the provider's ultimate parent undertaking", a.Parent, false},
		{"B_05.02.0050", "Rank", rank, false},
		{"B_02.02.0050", "Function identifier", a.Function, false},
		{"B_02.02.0060", "Type of ICT services", a.Service, false},
		{"B_02.02.0070", "Start date of the contractual arrangement", a.Start, false},
		{"B_02.02.0080", "End date of the contractual arrangement", end, false},
		{"B_02.02.0120", "Country of the governing law of the arrangement", a.Law, false},
		{columnProvision, "Country of provision of the ICT services", country, false},
		{"B_02.02.0160", "Location of management of the data (processing)", country, false},
		{"B_02.02.0170", "Sensitiveness of the data stored by the provider", a.Sensitive, false},
		{"B_02.02.0180", "Level of reliance on the ICT service", a.Reliance, false},
		{"B_07.01.0110", "Alternative providers identified?", identified, false},
		{"B_07.01.0120", "Identification of alternative providers", strings.Join(a.Alternative, ", "), false},
	} {
		c.Human = c.Value == ""
		row.Cells = append(row.Cells, c)
	}
	row.Cells = append(row.Cells, a.beside()...)
	return row
}

// beside are what stands beside the place: the criticality of what an endpoint supports, and who else can reach through the provider. Without a column number the register has none for it.
func (a Arrangement) beside() (out []Cell) {
	if a.Kind == KindEndpoint {
		out = append(out, Cell{"B_06.01.0050", "Criticality or importance assessment", a.Critical, a.Critical == ""})
	}
	if a.Kind == KindEndpoint || a.ParentCountry != "" || len(a.Support) > 0 {
		out = append(
			out, Cell{"-", "Country of the ultimate parent", a.legal(a.ParentCountry), a.ParentCountry == ""},
			Cell{"-", "Countries of support", a.legal(a.Support...), len(a.Support) == 0},
		)
	}
	return out
}

// legal are countries with what the law says of each.
func (a Arrangement) legal(countries ...string) string {
	var out []string
	for _, c := range countries {
		if c != "" {
			out = append(out, strings.TrimSpace(c+" "+strings.ReplaceAll(a.Legal[c].Standing, "_", " ")))
		}
	}
	return strings.Join(out, ", ")
}

// KindEndpoint is Arrangement.Kind of what is outside the call path.
const KindEndpoint = "endpoint"

// drift holds what is declared against what was seen, on each plane.
func (a Arrangement) drift(seen []Seen) (out []Drift) {
	for _, plane := range []struct {
		name     string
		declared []string
	}{{"signalling", a.Signalling}, {"media", a.Media}, {planeEndpoint, a.Places}} {
		met := map[string]*Drift{}
		var order []string
		for _, s := range seen {
			if s.Party != a.Party || s.Plane != plane.name {
				continue
			}
			d := met[s.Country]
			if d == nil {
				d = &Drift{Party: a.Party, Plane: plane.name, Country: s.Country, What: "observed_not_declared", FirstSeq: s.FirstSeq}
				met[s.Country] = d
				order = append(order, s.Country)
			}
			d.Calls, d.FirstSeq, d.LastSeq = d.Calls+s.Calls, min(d.FirstSeq, s.FirstSeq), max(d.LastSeq, s.LastSeq)
		}
		for _, country := range order {
			if country == unprovable {
				met[country].What = unprovable
			}
			if !slices.Contains(plane.declared, country) {
				out = append(out, *met[country])
			}
		}
		for _, country := range plane.declared {
			if met[country] == nil && met[unprovable] == nil && !a.Unwatched {
				out = append(out, Drift{Party: a.Party, Plane: plane.name, Country: country, What: "declared_not_observed"})
			}
		}
	}
	return out
}

// Page is the register for people.
func (r Register) Page() page.Document {
	drift := page.Table{Columns: page.Columns("party", "plane", "country", "what", "calls", "entries"), None: "None."}
	drift.Columns[4].Right = true
	var wrong []string
	for _, d := range r.Drift {
		what, entries := page.Cell{Text: strings.ReplaceAll(d.What, "_", " ")}, ""
		if d.What == "observed_not_declared" {
			wrong = union(wrong, []string{d.Country + " (" + d.Party + ")"})
			what.Tone = page.Bad
		}
		if d.What != "declared_not_observed" {
			entries = fmt.Sprintf("%d to %d", d.FirstSeq, d.LastSeq)
		}
		row := page.Row(d.Party, d.Plane, d.Country, "", number(d.Calls), entries)
		row[3] = what
		drift.Rows = append(drift.Rows, row)
	}
	lead := page.Callout{Tone: page.Good, Text: "No country was observed that is not declared."}
	if len(wrong) > 0 {
		lead = page.Callout{Tone: page.Bad, Text: "Observed and not declared: " + strings.Join(wrong, ", ") + "."}
	}
	d := paper("Register of information: what this edge knows", "DORA Art. 28(3); ITS (EU) 2024/2956", r.Period, r.Cover, r.MadeAt, lead)
	d.Blocks = append(append(d.Blocks, r.Cover.facts()), table("Drift between declared and observed countries", drift)...)
	d.Blocks = append(d.Blocks, page.Heading{Text: "Arrangements"})
	for _, row := range r.Rows {
		t := page.Table{Columns: []page.Column{{Name: "column", Whole: true}, {Name: "name", Share: 52}, {Name: "value", Share: 34}}}
		for _, c := range row.Cells {
			cell := page.Cell{Text: c.Value}
			if c.Human {
				cell = page.Cell{Text: "(to be written)", Tone: page.Warn}
			}
			t.Rows = append(t.Rows, []page.Cell{{Text: c.Column, Tone: page.Soft}, {Text: c.Name}, cell})
		}
		d.Blocks = append(d.Blocks, page.Heading{Text: row.title(), Level: 3}, t)
	}
	d.Blocks = append(d.Blocks, r.Cover.end(
		"Columns are those of Commission Implementing Regulation (EU) 2024/2956; DORA Art. 28(3). One row for each arrangement and country.",
		"\"(to be written)\" marks what nobody declared here: write it into provider of the party, or into the register by hand.",
		"Endpoints outside the call path are rows, too; where they were observed is what the node's looks at them found. Cells without a column number stand beside the register.",
		"What is observed of parties is what receipts say of places that were declared for addresses: an address outside every declaration was refused, and is no row here.")...)
	return d
}

// title names the arrangement and the country of a row.
func (r Row) title() string {
	for _, c := range r.Cells {
		if c.Column == columnProvision && c.Value != "" {
			return r.Party + ", " + c.Value
		}
	}
	return r.Party
}

// columnProvision is the country of provision, for which there is a row each.
const columnProvision = "B_02.02.0130"

// union gives the words of both lists once, in order.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
