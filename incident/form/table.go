package form

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed fields.json
var table []byte

// Field is one field of the report.
type Field struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	JSON   string `json:"json,omitempty"` // dotted path in IR-1.2.1
	Fill   string `json:"fill"`           // auto | config | draft | human: who fills it
	State  string `json:"state"`          // filled | drafted | withheld | missing
	Value  any    `json:"value,omitempty"`
	Source string `json:"source,omitempty"`
	Need   string `json:"need,omitempty"` // what people must write or check
}

// states of a field.
const (
	filled   = "filled"
	drafted  = "drafted"
	withheld = "withheld"
	missing  = "missing"
)

// row is one line of the table.
type row struct {
	ID    string `json:"id"`
	Type  string `json:"type"` // in IR-1.2.1: text, word (one of a list), words, time, span, bool, integer or number
	Name  string `json:"name"`
	JSON  string `json:"json"`
	Stage string `json:"stage"` // I, M, F: the submissions that have it
	Fill  string `json:"fill"`
	Need  string `json:"need"`
	Note  string `json:"note"`
}

// rows reads the table.
func rows() ([]row, error) {
	var t struct {
		Source string `json:"source"`
		Fields []row  `json:"fields"`
	}
	if err := json.Unmarshal(table, &t); err != nil {
		return nil, fmt.Errorf("form: the table of fields: %w", err)
	}
	return t.Fields, nil
}

// Stages of reporting, DORA Art. 19(4).
const (
	Initial      = "initial"
	Intermediate = "intermediate"
	Final        = "final"
)

// letters of the stages in the table.
var letters = map[string]string{Initial: "I", Intermediate: "M", Final: "F"}

// IsStage says whether s names one.
func IsStage(s string) bool { return letters[s] != "" }

func (r row) asked(stage string) bool { return strings.Contains(r.Stage, letters[stage]) }
