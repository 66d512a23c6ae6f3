package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/page"
)

// Office is an entity of the record, with where it can be reached: an office and no person.
type Office struct {
	Name    string `json:"name"`
	LEI     string `json:"lei,omitempty"`
	Contact string `json:"contact,omitempty"`
}

// Term is how long data is kept, and why: GDPR Art. 30(1)(f).
type Term struct {
	Class  string   `json:"class"`
	Trunks []string `json:"trunks,omitempty"` // none: all
	Keep   string   `json:"keep"`
	Reason string   `json:"reason"`
}

// Declared is what the operator says of the processing.
type Declared struct {
	Processor   bool     // for others; else it is the controller
	Entity      Office   // the controller, or the processor
	DPO         string   // where the data protection officer is reached
	Controllers []Office // on whose behalf a processor acts, Art. 30(2)(a)
	Purposes    []string
	Subjects    []string // categories of data subjects
	Terms       []Term
	Measures    []string // technical and organisational, Art. 32(1)
}

// Purpose is one for which calls were processed, as receipts say.
type Purpose struct {
	Purpose string `json:"purpose"`
	Calls   uint64 `json:"calls"`
}

// Recipient is one party to which data was disclosed: Art. 30(1)(d).
type Recipient struct {
	Recipient  string   `json:"recipient"`
	Provider   string   `json:"provider,omitempty"`
	Identifier string   `json:"identifier,omitempty"`
	Countries  []string `json:"countries"`
	Categories []string `json:"data_categories"`
	Calls      uint64   `json:"calls"`
}

// Processing is the record of processing activities of an edge: GDPR Art. 30(1), or 30(2) where it processes for others.
type Processing struct {
	Report      string      `json:"report"` // "gdpr_art30_record"
	MadeAt      time.Time   `json:"made_at"`
	Period      Period      `json:"period"`
	Cover       Cover       `json:"log"`
	Role        string      `json:"role"` // controller | processor
	Entity      Office      `json:"entity"`
	DPO         string      `json:"dpo_contact,omitempty"`
	Controllers []Office    `json:"controllers,omitempty"`
	Purposes    []string    `json:"purposes"`
	Observed    []Purpose   `json:"observed_purposes"`
	Subjects    []string    `json:"data_subjects"`
	Categories  []string    `json:"data_categories"`
	Recipients  []Recipient `json:"recipients"`
	Transfers   []Transfer  `json:"transfers"`
	Terms       []Term      `json:"erasure"`
	Measures    []string    `json:"security_measures"`
	Open        []string    `json:"open"` // what the record still lacks
}

// ProcessingBuilder takes entries one by one.
type ProcessingBuilder struct {
	o        *Observer
	purposes map[string]uint64
	parties  map[string]uint64
}

// NewProcessing gives an empty one, for what lies in p.
func NewProcessing(p Period) *ProcessingBuilder {
	return &ProcessingBuilder{o: NewObserver(p), purposes: map[string]uint64{}, parties: map[string]uint64{}}
}

// Add takes one entry. A receipt that does not read is an error: left out, it would make the record a lie.
func (b *ProcessingBuilder) Add(e audit.Entry) error {
	if err := b.o.Add(e); err != nil || e.Kind != audit.KindReceipt || !b.o.period.Has(e.Time) {
		return err
	}
	var r audit.Receipt
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return fmt.Errorf("report: entry %d: %w", e.Seq, err)
	}
	b.purposes[cmp.Or(r.Purpose, "unknown")]++
	met := map[string]bool{}
	for _, h := range r.Hops {
		if p := partyOf(r, h.Leg); !met[p] {
			met[p] = true
			b.parties[p]++
		}
	}
	return nil
}

// Report makes the record.
func (b *ProcessingBuilder) Report(d Declared, list []Arrangement, safeguards map[string]Safeguard, c Cover, at time.Time) Processing {
	t := NewTransfers(b.o, list, safeguards, c, at)
	r := Processing{
		Report: "gdpr_art30_record", MadeAt: at.UTC(), Period: b.o.period, Cover: c, Role: "controller", Entity: d.Entity, DPO: d.DPO, Controllers: d.Controllers, Purposes: filled(d.Purposes),
		Observed: []Purpose{}, Subjects: filled(d.Subjects), Categories: []string{}, Recipients: []Recipient{}, Transfers: t.Transfers, Terms: append([]Term{}, d.Terms...),
		Measures: filled(d.Measures),
	}
	if d.Processor {
		r.Role = "processor"
	}
	for _, word := range slices.Sorted(maps.Keys(b.purposes)) {
		r.Observed = append(r.Observed, Purpose{word, b.purposes[word]})
	}
	by := map[string]*Recipient{}
	for _, s := range b.o.Seen() {
		x := by[s.Party]
		if x == nil {
			x = &Recipient{Recipient: s.Party, Calls: b.parties[s.Party]}
			for _, a := range list {
				if a.Party == s.Party {
					x.Provider, x.Identifier = a.Provider, a.Identifier
				}
			}
			by[s.Party] = x
		}
		x.Countries, x.Categories = union(x.Countries, []string{s.Country}), union(x.Categories, categories(s.Plane))
		r.Categories = union(r.Categories, x.Categories)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		r.Recipients = append(r.Recipients, *by[name])
	}
	r.Open = r.lacks()
	return r
}

func filled(list []string) []string { return append([]string{}, list...) }

// lacks names what Art. 30 wants and the record does not have.
func (r *Processing) lacks() []string {
	out := []string{}
	for _, w := range []struct {
		lacks bool
		what  string
	}{
		{r.Entity.Name == "", "the name of the " + r.Role},
		{r.Entity.Contact == "", "contact details of the " + r.Role},
		{r.DPO == "", "contact details of the data protection officer, where one is designated"},
		{r.Role == "processor" && len(r.Controllers) == 0, "the controllers on whose behalf it processes, Art. 30(2)(a)"},
		{r.Role == "controller" && len(r.Purposes) == 0, "the purposes, Art. 30(1)(b)"},
		{r.Role == "controller" && len(r.Subjects) == 0, "the categories of data subjects, Art. 30(1)(c)"},
		{r.Role == "controller" && len(r.Terms) == 0, "the time limits for erasure, Art. 30(1)(f)"},
		{len(r.Measures) == 0, "the security measures"},
	} {
		if w.lacks {
			out = append(out, w.what)
		}
	}
	for _, x := range r.Recipients {
		if x.Provider == "" {
			out = append(out, "who "+x.Recipient+" is: provider of the trunk or edge group")
		}
	}
	for _, x := range r.Transfers {
		if x.Open != "" {
			out = append(out, x.Recipient+" in "+x.Country+": "+x.Open)
		}
	}
	return out
}

// letters are those of Art. 30(1), or of Art. 30(2), which asks a processor for less.
func (r Processing) letters() (paragraph string, of map[string]string) {
	if r.Role == "processor" {
		return "30(2)", map[string]string{"purposes": "(b)", "transfers": "(c)", "measures": "(d)"}
	}
	return "30(1)", map[string]string{"purposes": "(b)", "subjects": "(c)", "recipients": "(d)", "transfers": "(e)", "erasure": "(f)", "measures": "(g)"}
}

func (o Office) String() string {
	return strings.Join(slices.DeleteFunc([]string{o.Name, o.LEI, o.Contact}, func(s string) bool { return s == "" }), ", ")
}

// Page is the record for people.
func (r Processing) Page() page.Document {
	paragraph, letters := r.letters()
	head := func(word, key string) string {
		if letters[key] == "" {
			return word
		}
		return word + ", Art. " + paragraph + letters[key]
	}
	rows := func(col, none string, list []string) page.Table {
		t := page.Table{Columns: page.Columns(col), None: none}
		for _, word := range list {
			t.Rows = append(t.Rows, page.Row(word))
		}
		return t
	}
	lead := page.Callout{Tone: page.Good, Text: "Nothing is missing that Art. 30 wants and an edge can know."}
	if n := len(r.Open); n > 0 {
		lead = page.Callout{Tone: page.Warn, Text: counted(n, "thing is", "things are") + " still to be written."}
	}
	d := paper("Calls through this edge", "record of processing activities, GDPR Art. "+paragraph, r.Period, r.Cover, r.MadeAt, lead)
	facts := page.Facts{{r.Role, r.Entity.String()}, {"data protection officer", r.DPO}}
	for _, c := range r.Controllers {
		facts = append(facts, [2]string{"on behalf of, Art. 30(2)(a)", c.String()})
	}
	d.Blocks = append(append(d.Blocks, append(facts, r.Cover.facts()...)), table("To be written", rows("what", "Nothing.", r.Open))...)
	purposes := rows("purpose", "None is declared.", r.Purposes)
	for _, o := range r.Observed {
		purposes.Rows = append(purposes.Rows, page.Row("observed: "+o.Purpose+", calls: "+number(o.Calls)))
	}
	for _, part := range [][]page.Block{
		table(head("Purposes", "purposes"), purposes), table(head("Data subjects", "subjects"), rows("category", "None is declared.", r.Subjects)),
		table(head("Personal data", "subjects"), rows("category", "None was seen.", r.Categories)), table(head("Recipients", "recipients"), r.recipients()),
		table(head("Transfers to third countries", "transfers"), r.transfers()), table(head("Erasure", "erasure"), r.erasure()),
		table(head("Security measures", "measures"), rows("measure", "None is declared.", r.Measures)),
	} {
		d.Blocks = append(d.Blocks, part...)
	}
	d.Blocks = append(d.Blocks, r.Cover.end(
		"Recipients, countries and transfers are what receipts prove; names, purposes and measures are what the configuration says.",
		"What applications behind this edge do with calls (recordings, customer records) is not in it.")...)
	return d
}

func (r Processing) recipients() page.Table {
	t := page.Table{Columns: page.Columns("recipient", "provider", "countries", "data", "calls"), None: "None was seen."}
	t.Columns[4].Right = true
	for _, x := range r.Recipients {
		t.Rows = append(t.Rows, page.Row(x.Recipient, strings.TrimSpace(x.Provider+" "+x.Identifier), strings.Join(x.Countries, ", "), strings.Join(x.Categories, ", "), number(x.Calls)))
	}
	return t
}

func (r Processing) transfers() page.Table {
	t := page.Table{Columns: page.Columns("country", "recipient", "safeguard", "calls", "first", "last"), None: "None was seen."}
	t.Columns[3].Right, t.Columns[4].Whole, t.Columns[5].Whole = true, true, true
	for _, x := range r.Transfers {
		t.Rows = append(t.Rows, page.Row(x.Country, x.Recipient, x.Basis, number(x.Calls), moment(x.First), moment(x.Last)))
	}
	return t
}

func (r Processing) erasure() page.Table {
	t := page.Table{Columns: page.Columns("class", "trunks", "kept for", "why"), None: "None is declared."}
	for _, x := range r.Terms {
		t.Rows = append(t.Rows, page.Row(x.Class, cmp.Or(strings.Join(x.Trunks, ", "), "all"), x.Keep, x.Reason))
	}
	return t
}
