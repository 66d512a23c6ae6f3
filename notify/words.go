package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Bounds of what an operator writes, and of what comes of it, in bytes.
const (
	maxTemplate = 4 << 10
	maxWords    = 1 << 10
)

// Template is how an operator wants notices of some kinds put into words: their summary, the line that people read first.
type Template struct {
	Kinds   []string // as a channel names them; none: all that the channel carries
	Summary string   // in the language of text/template, over Words
}

// Words are what a template may say of a notice. They are all that leaves of it: nothing about a person is among them.
type Words struct {
	Kind, Severity, Node, Tenant, Subject, Ticket string
	Entry                                         uint64    // index in the log
	Time                                          time.Time // UTC
	Summary                                       string    // as it is without the template
	Data                                          map[string]string
}

// wording is a template that was read.
type wording struct {
	kinds map[audit.Kind]bool
	text  *template.Template
}

// Worded is a channel whose notices are put into words by the first template that is for their kind. A notice that a template cannot put into words keeps
// its own: nothing is lost for a mistake in a text. Errors name the template by its place.
func Worded(c Channel, list []Template) (Channel, error) {
	if len(list) == 0 {
		return c, nil
	}
	w := &worded{Channel: c}
	for i, t := range list {
		read, err := t.read()
		if err != nil {
			return nil, fmt.Errorf("notify: %s: template %d: %w", c.Name(), i, err)
		}
		w.list = append(w.list, read)
	}
	return w, nil
}

// Check says what is wrong with a template; nil when nothing is.
func (t Template) Check() error {
	_, err := t.read()
	return err
}

func (t Template) read() (wording, error) {
	w := wording{kinds: map[audit.Kind]bool{}}
	if len(t.Kinds) == 0 {
		for kind := range fields {
			w.kinds[kind] = true
		}
	} else if set, err := kindSet(t.Kinds); err != nil {
		return w, err
	} else {
		w.kinds = set
	}
	if strings.TrimSpace(t.Summary) == "" || len(t.Summary) > maxTemplate {
		return w, fmt.Errorf("a summary of 1 to %d bytes is needed", maxTemplate)
	}
	text, err := template.New("summary").Option("missingkey=zero").Parse(t.Summary)
	if err != nil {
		return w, errors.New(strings.TrimPrefix(err.Error(), "template: summary:"))
	}
	if len(text.Templates()) > 1 {
		return w, errors.New("leave define and block out: a summary is one line")
	}
	if err := w.walk(text.Root); err != nil {
		return w, err
	}
	w.text = text
	if _, err := w.of(Notice{Data: map[string]any{}}); err != nil {
		return w, err
	}
	return w, nil
}

// walk refuses what may take long, and fields that no notice of these kinds has.
func (w *wording) walk(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return w.all(n.Nodes)
	case *parse.ActionNode:
		return w.walk(n.Pipe)
	case *parse.IfNode:
		return w.branch(&n.BranchNode)
	case *parse.WithNode:
		return w.branch(&n.BranchNode)
	case *parse.PipeNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Cmds {
			if err := w.all(c.Args); err != nil {
				return err
			}
		}
	case *parse.FieldNode:
		return w.field(n.Ident)
	case *parse.RangeNode, *parse.TemplateNode:
		return errors.New("leave range and template out: a summary is one line")
	}
	return nil
}

func (w *wording) branch(n *parse.BranchNode) error {
	return errors.Join(w.walk(n.Pipe), w.walk(n.List), w.walk(n.ElseList))
}

func (w *wording) all(nodes []parse.Node) error {
	for _, n := range nodes {
		if err := w.walk(n); err != nil {
			return err
		}
	}
	return nil
}

// field checks what stands behind .Data.
func (w *wording) field(path []string) error {
	if len(path) < 2 || path[0] != "Data" {
		return nil // text/template finds out about the others
	}
	var known []string
	for kind := range w.kinds {
		for _, leaves := range fields[kind].leave {
			known = append(known, leaves[strings.LastIndexByte(leaves, '.')+1:])
		}
	}
	if slices.Contains(known, path[1]) {
		return nil
	}
	slices.Sort(known)
	return fmt.Errorf(".Data.%s is no field of these kinds, which have: %s", path[1], strings.Join(slices.Compact(known), ", "))
}

// of puts n into words.
func (w *wording) of(n Notice) (string, error) {
	said := Words{
		Kind: string(n.Kind), Severity: string(SeverityOf(n)), Node: n.Node, Tenant: n.Tenant, Subject: n.Subject, Ticket: n.Ticket, Entry: n.Seq, Time: n.Time.UTC(),
		Summary: n.Summary, Data: map[string]string{},
	}
	for _, p := range dataOf(n, "") {
		if had := said.Data[p.name]; had != "" {
			p.value = had + "; " + p.value
		}
		said.Data[p.name] = p.value
	}
	var line room
	if err := w.text.Execute(&line, said); err != nil && !errors.Is(err, errRoom) {
		return "", errors.New(strings.TrimPrefix(err.Error(), "template: summary:"))
	}
	return strings.Join(strings.Fields(shown(strings.ToValidUTF8(line.String(), ""))), " "), nil
}

var errRoom = errors.New("the summary is full")

// room takes what a summary may have, and ends the template then.
type room struct{ strings.Builder }

func (r *room) Write(b []byte) (int, error) {
	if r.Len()+len(b) > maxWords {
		r.Builder.Write(b[:maxWords-r.Len()])
		return 0, errRoom
	}
	return r.Builder.Write(b)
}

// worded is a channel with templates.
type worded struct {
	Channel
	list []wording
}

// Send implements Channel.
func (w *worded) Send(ctx context.Context, n Notice) (bool, error) {
	return w.Channel.Send(ctx, w.put(n))
}

// Ask implements Asker.
func (w *worded) Ask(ctx context.Context, n Notice) (string, bool, error) {
	return ask(ctx, w.Channel, w.put(n))
}

// put gives n with its summary in the operator's words. One that stands for several says so, whatever the template does.
func (w *worded) put(n Notice) Notice {
	for _, t := range w.list {
		if !t.kinds[n.Kind] {
			continue
		}
		line, err := t.of(n)
		if err != nil || line == "" {
			return n
		}
		if n.Count > 1 {
			line = fmt.Sprintf("%d x %s; first: %s", n.Count, line, cut(shown(strings.Join(n.Subjects, ", ")), maxWords))
		}
		n.Summary = line
		return n
	}
	return n
}
