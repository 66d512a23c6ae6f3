package form

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cordonsip/cordon/incident"
)

// Draft is a report that people complete and submit.
type Draft struct {
	About      About               `json:"about"`
	Report     map[string]any      `json:"report"` // IR-1.2.1: what is filled and drafted, and nothing else
	Fields     []Field             `json:"fields"`
	Assessment incident.Assessment `json:"assessment"`
	Measures   incident.Measures   `json:"measures"`
	Clocks     []incident.Clock    `json:"clocks"`
	Incident   incident.Incident   `json:"-"`
}

// About says what the document is.
type About struct {
	Schema   string    `json:"schema"`
	Form     string    `json:"form"`
	Incident string    `json:"incident"`
	Title    string    `json:"title"`
	Stage    string    `json:"stage"`
	Entity   string    `json:"entity,omitempty"`
	LEI      string    `json:"lei,omitempty"`
	Made     time.Time `json:"made"`
	Node     string    `json:"node"`
	Software string    `json:"software"`
	Status   string    `json:"status"`
	Missing  []string  `json:"missing_fields"` // that people must write
	Drafted  []string  `json:"drafted_fields"` // that people must check
	Withheld []string  `json:"withheld_fields,omitempty"`
}

const status = "A draft. cordon computes and sends nothing; the financial entity classifies, completes and submits."

// New drafts a report.
func New(in Input) (*Draft, error) {
	if !IsStage(in.Stage) {
		return nil, fmt.Errorf("form: %q is no stage of reporting", in.Stage)
	}
	fields, err := fill(&in)
	if err != nil {
		return nil, err
	}
	d := &Draft{
		About: About{
			Schema: "IR-1.2.1", Form: "ITS (EU) 2025/302", Incident: in.Incident.ID, Title: in.Incident.Title, Stage: in.Stage, Entity: in.Entity.Name, LEI: in.Entity.LEI, Made: in.Made.UTC(), Node: in.Node,
			Software: in.Software, Status: status, Missing: []string{}, Drafted: []string{},
		},
		Fields: fields, Report: map[string]any{}, Assessment: in.Assessment, Measures: in.Measures, Clocks: in.Clocks, Incident: in.Incident,
	}
	var criteria []string
	for _, f := range fields {
		switch f.State {
		case missing:
			d.About.Missing = append(d.About.Missing, f.ID)
		case withheld:
			d.About.Withheld = append(d.About.Withheld, f.ID)
		case drafted:
			d.About.Drafted = append(d.About.Drafted, f.ID)
		}
		if f.ID == "2.5" {
			criteria, _ = f.Value.([]string)
		}
	}
	for _, f := range fields {
		if f.Value != nil && f.JSON != "" && !strings.HasPrefix(f.JSON, classification) {
			put(d.Report, f.JSON, f.Value)
		}
	}
	if list := classified(fields, criteria); len(list) > 0 {
		put(d.Report, strings.TrimSuffix(classification, "."), list)
	}
	return d, nil
}

const classification = "incident.classificationTypes."

// parts says to which criterion what stands beside it belongs, by the beginning of the name.
var parts = []struct{ prefix, criterion string }{
	{"countryCode", "geographical_spread"}, {"memberStates", "geographical_spread"}, {"dataLosse", "data_losses"}, {"reputational", "reputational_impact"}, {"economic", "economic_impact"},
}

// classified is one element for each criterion, with what belongs to it. What belongs to a criterion that is not met stays out, as the form wants it.
func classified(fields []Field, criteria []string) []any {
	var out []any
	for _, c := range criteria {
		one := map[string]any{"classificationCriterion": c}
		for _, f := range fields {
			name, ok := strings.CutPrefix(f.JSON, classification)
			if !ok || f.Value == nil {
				continue
			}
			for _, p := range parts {
				if p.criterion == c && strings.HasPrefix(name, p.prefix) {
					one[name] = f.Value
				}
			}
		}
		out = append(out, one)
	}
	return out
}

// put sets a value at a dotted path. The affected entities are a list in the form; here there is one.
func put(in map[string]any, path string, value any) {
	word, rest, nested := strings.Cut(path, ".")
	if !nested {
		in[word] = value
		return
	}
	if word == "affectedEntity" {
		list, _ := in[word].([]any)
		if list == nil {
			list = []any{map[string]any{}}
			in[word] = list
		}
		if one, ok := list[0].(map[string]any); ok {
			put(one, rest, value)
		}
		return
	}
	inner, _ := in[word].(map[string]any)
	if inner == nil {
		inner = map[string]any{}
		in[word] = inner
	}
	put(inner, rest, value)
}

// JSON is the whole draft: the report with the names of IR-1.2.1, every field with its state, and what it rests on.
func (d *Draft) JSON() ([]byte, error) { return document(d) }

// IR is the report alone, as the schema has it, for a portal or a tool to take over.
func (d *Draft) IR() ([]byte, error) { return document(d.Report) }

func document(v any) ([]byte, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("form: %w", err)
	}
	return append(raw, '\n'), nil
}
