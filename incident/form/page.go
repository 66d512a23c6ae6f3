package form

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/cordonsip/cordon/incident"
)

//go:embed page.html
var page string

// chapter is a part of the form as the page shows it.
type chapter struct {
	Title  string
	Fields []Field
}

// HTML is the draft as a page to read and print: one file, with no script and nothing from outside.
func (d *Draft) HTML() ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"stamp": stamp, "span": incident.Span, "show": show, "human": human, "title": title,
		"join": func(list []string) string {
			if len(list) == 0 {
				return "none known"
			}
			return strings.Join(list, ", ")
		},
	}).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("form: page: %w", err)
	}
	view := struct {
		*Draft
		Chapters []chapter
	}{Draft: d}
	for k, name := range []string{"General", "Initial notification", "Intermediate report", "Final report"} {
		if fields := d.of(k + 1); len(fields) > 0 {
			view.Chapters = append(view.Chapters, chapter{fmt.Sprintf("%d. %s", k+1, name), fields})
		}
	}
	var out bytes.Buffer
	if err := t.Execute(&out, view); err != nil {
		return nil, fmt.Errorf("form: page: %w", err)
	}
	return out.Bytes(), nil
}

// of gives the fields of a chapter.
func (d *Draft) of(chapter int) (out []Field) {
	for _, f := range d.Fields {
		if strings.HasPrefix(f.ID, fmt.Sprintf("%d.", chapter)) {
			out = append(out, f)
		}
	}
	return out
}

// show writes a value for people.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []string:
		return strings.Join(v, ", ")
	case bool:
		if v {
			return "yes"
		}
		return "no"
	}
	return fmt.Sprint(v)
}

// human writes a word of the log without its underlines.
func human(word string) string { return strings.ReplaceAll(word, "_", " ") }

func title(stage string) string {
	return map[string]string{Initial: "Initial notification", Intermediate: "Intermediate report", Final: "Final report"}[stage]
}
