package notify

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cordonsip/cordon/audit"
)

// held is a notice of a failover that waits for people.
func heldNotice() Notice {
	return Notice{
		ID: "01JD", Kind: audit.KindFailoverHeld, Seq: 7, Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Tenant: "bank", Node: "edge-1", Subject: "in", Ticket: "T1",
		Summary: "failover.held route=\"in\"", Data: map[string]any{"route": "in", "region": "aws:us-east-1", "ticket": "T1", "why": []any{"a", "b"}},
	}
}

// listener keeps what it was sent.
type listener struct{ got []Notice }

func (l *listener) Name() string { return "ops" }

func (l *listener) Send(_ context.Context, n Notice) (bool, error) {
	l.got = append(l.got, n)
	return false, nil
}

// TestTemplates: the operator's words take the place of the summary, and nothing else of a notice changes.
func TestTemplates(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"fields":      {"{{.Severity}}: {{.Data.route}} waits for {{.Data.region}}, ticket {{.Ticket}} (entry {{.Entry}})", "critical: in waits for aws:us-east-1, ticket T1 (entry 7)"},
		"a list":      {"{{.Data.why}}", "a; b"},
		"missing":     {"[{{.Data.country}}]", "[]"},
		"a condition": {`{{if eq .Data.region "aws:us-east-1"}}überseeisch{{else}}near{{end}}`, "überseeisch"},
		"with":        {"{{with .Data.ticket}}decide on {{.}}{{end}}", "decide on T1"},
		"a time":      {`{{.Time.Format "15:04"}} {{.Node}}`, "12:00 edge-1"},
		"line breaks": {"one\r\ntwo\x07 {{.Summary}}", `one two failover.held route="in"`},
		"nothing":     {"{{with .Data.country}}{{.}}{{end}}", `failover.held route="in"`},
		"an error":    {`{{index .Data.route 99}}`, ""},
		"too long":    {strings.Repeat("x", maxWords-1) + "üüü", strings.Repeat("x", maxWords-1)},
	} {
		t.Run(name, func(t *testing.T) {
			var l listener
			ch, err := Worded(&l, []Template{{Summary: c.text}})
			if c.want == "" {
				if err == nil {
					t.Error("it is taken")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			n := heldNotice()
			if _, err := ch.Send(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if l.got[0].Summary != c.want {
				t.Errorf("%q, want %q", l.got[0].Summary, c.want)
			}
			if l.got[0].Summary = n.Summary; l.got[0].ID != n.ID || len(l.got[0].Data) != len(n.Data) || l.got[0].Kind != n.Kind {
				t.Errorf("something else changed: %+v", l.got[0])
			}
		})
	}
}

// TestWhichTemplate: the first one that is for the kind; what none is for, and the message of a test, keep their words. Several entries in one message say how many.
func TestWhichTemplate(t *testing.T) {
	var l listener
	ch, err := Worded(&l, []Template{{[]string{"failover.held"}, "one {{.Subject}}"}, {[]string{"failover.*", "log.gap"}, "two {{.Subject}}"}})
	if err != nil {
		t.Fatal(err)
	}
	many := heldNotice()
	many.Kind, many.Count, many.Subjects = audit.KindFailoverApplied, 3, []string{"in", "out"}
	notices := []Notice{heldNotice(), many, {Kind: audit.KindNodeStarted, Summary: "started"}, {Kind: KindTest, Summary: "TEST"}}
	for _, n := range notices {
		if _, _, err := ask(t.Context(), ch, n); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"one in", "3 x two in; first: in, out", "started", "TEST"} {
		if l.got[i].Summary != want {
			t.Errorf("%q, want %q", l.got[i].Summary, want)
		}
	}
	if ch.Name() != "ops" {
		t.Errorf("it is called %q", ch.Name())
	}
}

// TestBadTemplates: each mistake is found when the template is read, with what to do.
func TestBadTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "is needed",
		strings.Repeat("x", maxTemplate+1): "is needed",
		"{{.Data.route":                    "unclosed",
		"{{.Data.caller}}":                 ".Data.caller is no field of these kinds, which have: country, drill, from, ground",
		"{{if .Data.caller}}x{{end}}":      ".Data.caller",
		"{{with .Ticket}}{{else}}{{.Data.caller}}{{end}}": ".Data.caller",
		"{{printf \"%s\" (print .Data.caller)}}":          "",
		"{{.Caller}}":                                     "can't evaluate field Caller",
		"{{range 1000000000}}{{end}}":                     "range",
		"{{define \"x\"}}a{{end}}b":                       "define",
		"{{block \"x\" .}}a{{end}}":                       "define",
		"{{template \"summary\" .}}":                      "template",
		"{{call .Node}}":                                  "error calling call",
	} {
		err := Template{[]string{"failover.*"}, text}.Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	if err := (Template{[]string{"call.ended"}, "x"}).Check(); err == nil || !strings.Contains(err.Error(), "call.ended") {
		t.Errorf("a kind that is never told: %v", err)
	}
}

// FuzzTemplate: whatever an operator writes, a summary is one line of printable text within its bound.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"{{.Data.route}} {{.Time}}", `{{if .Ticket}}{{printf "%200d" .Entry}}{{end}}`, "{{with $x := .Subject}}{{len $x}}{{end}}", "{{/* a */}}\x00\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := Template{Summary: text}.read()
		if err != nil {
			return
		}
		line, err := w.of(heldNotice())
		if err != nil {
			return
		}
		if len(line) > maxWords || !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%q", line)
		}
	})
}
