package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/review"
)

type reviewCmd struct {
	List   reviewList   `cmd:"" help:"When each review is due, and those that were signed."`
	Show   reviewShow   `cmd:"" help:"What is in force, for a review: each rule or right, who accepted it, what last used it."`
	Sign   reviewSign   `cmd:"" help:"Sign a document that was reviewed, with what was found."`
	Submit reviewSubmit `cmd:"" help:"Hand in a review that somebody signed."`
}

type reviewList struct{ api }

// Run lists reviews.
func (c *reviewList) Run(ctx context.Context, s streams) error {
	var v admin.ReviewList
	if err := c.do(ctx, "GET", "/api/v1/reviews", nil, &v); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "REVIEW\tLAST\tDUE\tITEMS\tTO LOOK AT\tLAW")
	for _, x := range v.Reviews {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", x.Review, clock(x.Last), dueWord(x), x.Items, x.Flagged, x.Law)
	}
	fmt.Fprintln(w, "\nENTRY\tREVIEW\tAT\tBY\tROLE\tKEPT\tREMOVE\tCHANGE\tHOW\tCONCLUSION")
	for _, p := range v.Past {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", p.Entry, p.Review, clock(p.At), named(v.People, p.By), p.Role, p.Keep, p.Remove, p.Change, p.Auth, p.Reason)
	}
	return w.Flush()
}

// dueWord says when a review is due.
func dueWord(x review.Standing) string {
	switch {
	case x.Due.IsZero():
		return "nothing to review"
	case x.Late:
		return "LATE since " + x.Due.UTC().Format(time.DateOnly)
	}
	return x.Due.UTC().Format(time.DateOnly)
}

// named puts the name behind a pseudonym, where it is known.
func named(people map[string]string, who string) string {
	if name := people[who]; name != "" {
		return who + " (" + name + ")"
	}
	return dash(who)
}

type reviewShow struct {
	api
	Kind string `arg:"" enum:"filter,access" help:"filter or access."`
	Out  string `help:"Write the document into this file, which must not exist: for review sign." placeholder:"FILE" type:"path"`
}

// Run shows what is to be reviewed.
func (c *reviewShow) Run(ctx context.Context, s streams) error {
	var v admin.ReviewDocument
	if err := c.do(ctx, "GET", "/api/v1/reviews/"+c.Kind, nil, &v); err != nil {
		return err
	}
	if err := showReview(s.out, v.File, v.People); err != nil || c.Out == "" {
		return err
	}
	raw, err := sign.Indent(v.File)
	if err == nil {
		err = writeNew(c.Out, raw)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "written    %s: cordon review sign %s --role=ROLE --reason=TEXT\n", c.Out, c.Out)
	return nil
}

// showReview prints a document.
func showReview(out io.Writer, f review.File, people map[string]string) error {
	d := &f.Document
	fmt.Fprintf(out, "review     %s of %s, %s\nmade       %s from %d entries of the log\npolicy     entry %d, %s\ndigest     %s\n", d.Review, d.Node, d.Law, clock(d.Made), d.Entries, d.Accepted, dash(d.Charter), f.Digest)
	if p := d.Previous; p != nil {
		fmt.Fprintf(out, "before     %s by %s as %s (entry %d): %s\n", clock(p.At), named(people, p.By), p.Role, p.Entry, p.Reason)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\nITEM\tWHAT\tSINCE\tACCEPTED\tLAST USE\tLOOK AT")
	for _, i := range d.Items {
		row := i.Row()
		for k := range row {
			row[k] = dash(strings.Join(strings.Fields(row[k]), " "))
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	for _, g := range d.Gone {
		fmt.Fprintf(w, "%s\tgone since the last review\t%s\tentry %d\t%s\t-\n", g.ID, g.From.UTC().Format(time.DateOnly), g.Entry, g.To.UTC().Format(time.DateOnly))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for who, name := range people {
		fmt.Fprintf(out, "%s is %s\n", who, name)
	}
	return nil
}

type reviewSign struct {
	api
	File   string   `arg:"" help:"Document, as review show wrote it." type:"path"`
	Role   string   `required:"" help:"Role in which you review."`
	Reason string   `required:"" help:"Your conclusion; it stands in the log. Write no name of a person into it, here and below."`
	Keep   []string `sep:"none" placeholder:"ITEM=REASON" help:"This item is kept, though there is something to look at; may be given again."`
	Remove []string `sep:"none" placeholder:"ITEM=REASON" help:"This item should go; may be given again."`
	Change []string `sep:"none" placeholder:"ITEM=REASON" help:"This item should be another one; may be given again."`
	Key    string   `help:"Your private key; without one your session stands for you, and the log says so." placeholder:"FILE" type:"path"`
	Out    string   `help:"Write the signed review into this file, for review submit, in place of handing it in: needs --key and no node." placeholder:"FILE" type:"path"`
}

// Run signs a review, and hands it in where it is not written into a file.
func (c *reviewSign) Run(ctx context.Context, s streams) error {
	if c.Out != "" && c.Key == "" {
		return coded{withHint(fmt.Errorf("--out needs --key"), "without a key a session reviews, and that is of a node"), 2}
	}
	raw, err := readUpTo(c.File, review.MaxFile)
	if err != nil {
		return err
	}
	f, err := review.ReadFile(raw)
	if err != nil {
		return refusedReview(err)
	}
	x := review.Signed{Form: review.SignedForm, File: f, Findings: []review.Finding{}, Role: c.Role, Reason: c.Reason}
	for verdict, list := range map[review.Verdict][]string{review.Keep: c.Keep, review.Remove: c.Remove, review.Change: c.Change} {
		for _, word := range list {
			item, why, ok := strings.Cut(word, "=")
			if !ok {
				return coded{withHint(fmt.Errorf("--%s=%.100q names no reason", verdict, word), "--"+string(verdict)+`="place 192.0.2.0/24=the trunk ended"`), 2}
			}
			x.Findings = append(x.Findings, review.Finding{Item: item, Verdict: verdict, Reason: why})
		}
	}
	if err := x.Check(); err != nil {
		return refusedReview(err)
	}
	if c.Key != "" {
		key, err := ownKey(c.Key)
		if err != nil {
			return err
		}
		st, err := x.Statement(time.Now(), nonce())
		if err != nil {
			return err
		}
		signed, err := sign.SignReview(key, st)
		if err != nil {
			return err
		}
		x.Signature = &signed
	}
	raw, err = sign.Indent(x)
	if err != nil {
		return err
	}
	if c.Out == "" {
		return handInReview(ctx, s, c.api, raw)
	}
	if err := writeNew(c.Out, raw); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "written    %s: cordon review submit %s hands it in\n", c.Out, c.Out)
	return nil
}

// refusedReview gives the hint of a refusal to the terminal.
func refusedReview(err error) error {
	if no, ok := err.(*review.Refusal); ok {
		return withHint(err, no.Hint)
	}
	return err
}

type reviewSubmit struct {
	api
	File string `arg:"" help:"A signed review. Who brings it need not be who signed it." type:"path"`
}

// Run hands a review in.
func (c *reviewSubmit) Run(ctx context.Context, s streams) error {
	raw, err := readUpTo(c.File, review.MaxFile)
	if err != nil {
		return err
	}
	if _, err := review.ReadSigned(raw); err != nil {
		return refusedReview(err)
	}
	return handInReview(ctx, s, c.api, raw)
}

func handInReview(ctx context.Context, s streams, a api, raw []byte) error {
	var t admin.ReviewTaken
	if err := a.do(ctx, "POST", "/api/v1/reviews", json.RawMessage(raw), &t); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "counts     the %s review of %d items, by %s as %s, %s (log entry %d)\nfound      %d kept, %d to remove, %d to change\n", t.Review, t.Items, t.By, t.Role, t.Auth, t.Entry, t.Keep, t.Remove, t.Change)
	return nil
}
