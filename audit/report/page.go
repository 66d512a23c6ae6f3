package report

import (
	"fmt"
	"html/template"
	"io"
	"strings"
	"text/tabwriter"
)

// Page is a report for people: the same rows as HTML and as text.
type Page struct {
	Title  string
	Lead   string // one sentence: what it says
	Facts  [][2]string
	Tables []Table
	Notes  []string
}

// Table is rows under a head. Without rows it says None.
type Table struct {
	Caption string
	Head    []string
	Rows    [][]string
	None    string
}

// Text writes the page for a terminal.
func (p Page) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n", p.Title, p.Lead)
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range p.Facts {
		fmt.Fprintf(out, "%s\t%s\n", f[0], f[1])
	}
	out.Flush()
	for _, t := range p.Tables {
		fmt.Fprintf(&b, "\n%s\n", strings.ToUpper(t.Caption))
		if len(t.Rows) == 0 {
			fmt.Fprintf(&b, "%s\n", t.None)
			continue
		}
		fmt.Fprintln(out, strings.Join(t.Head, "\t"))
		for _, row := range t.Rows {
			fmt.Fprintln(out, strings.Join(row, "\t"))
		}
		out.Flush()
	}
	for i, n := range p.Notes {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// HTML writes the page as one document that needs nothing else: no script, no font, no picture from anywhere.
func (p Page) HTML(w io.Writer) error { return page().Execute(w, p) }

func page() *template.Template { return template.Must(template.New("page").Parse(pageText)) }

const pageText = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #16202a; background: #fff; max-width: 72rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
.lead { font-size: 1.05rem; color: #44525f; margin: 0 0 1.5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; margin: 0; }
dt { color: #44525f; }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #d8dee4; overflow-wrap: anywhere; }
th { border-bottom: 2px solid #16202a; white-space: nowrap; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
.none, .notes { color: #44525f; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p class="lead">{{.Lead}}</p>
<dl>{{range .Facts}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>
{{end}}</dl>
{{range .Tables}}<h2>{{.Caption}}</h2>
{{if .Rows}}<table><thead><tr>{{range .Head}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table>
{{else}}<p class="none">{{.None}}</p>
{{end}}{{end}}{{if .Notes}}<h2>Notes</h2>
<ul class="notes">{{range .Notes}}<li>{{.}}</li>{{end}}</ul>
{{end}}</body>
</html>
`
