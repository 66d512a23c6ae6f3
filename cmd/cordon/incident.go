package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/incident"
)

type incidentCmd struct {
	List      incidentList     `cmd:"" help:"Open incidents and the limit that comes first."`
	Show      incidentShow     `cmd:"" help:"One incident: what it did to clients, the thresholds, the clocks."`
	Open      incidentOpen     `cmd:"" help:"Open an incident by hand."`
	Update    incidentUpdate   `cmd:"" help:"Note something; say that it is over, or that a breach of personal data is known."`
	Classify  incidentClassify `cmd:"" help:"Write down how the entity classified it. The node computes; people classify."`
	Report    incidentReport   `cmd:"" help:"Draft the report of a stage: 76 fields, as JSON, as a page or as PDF."`
	Submitted incidentSent     `cmd:"" help:"Write down that something was submitted to an authority; nothing is sent."`
	Breach    incidentBreach   `cmd:"" help:"Document a breach of personal data: facts, effects, remedial action, risk, delay (GDPR Art. 33)."`
	Close     incidentClose    `cmd:"" help:"End an incident."`
}

const incidentsPath = "/api/v1/incidents"

func incidentPath(id string, more ...string) string {
	return strings.Join(append([]string{incidentsPath, url.PathEscape(id)}, more...), "/")
}

type incidentList struct {
	api
	All bool `help:"Those that are closed, too."`
}

// Run lists incidents.
func (c *incidentList) Run(ctx context.Context, s streams) error {
	path := incidentsPath
	if c.All {
		path += "?all=true"
	}
	var v admin.IncidentList
	if err := c.do(ctx, "GET", path, nil, &v); err != nil {
		return err
	}
	if len(v.Incidents) == 0 {
		fmt.Fprintln(s.out, "no incident is open")
	} else {
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "INCIDENT\tRULE\tSINCE\tSTANDING\tTITLE")
		for _, i := range v.Incidents {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.ID, i.Rule, clock(i.Since), standing(&i), i.Title)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if v.Next != nil {
		fmt.Fprintf(s.out, "next limit: %s of %s: %s\n", v.Next.Name, v.Next.Incident, limit(v.Next.Clock))
	}
	return nil
}

// standing is where an incident stands in a few words.
func standing(i *admin.IncidentView) string {
	words := []string{"over"}
	switch {
	case !i.Open():
		words[0] = "closed"
	case i.Lasts():
		words[0] = "lasts"
	}
	switch {
	case i.Class == nil:
		words = append(words, "not classified")
	case i.Class.Major:
		words = append(words, "MAJOR")
	default:
		words = append(words, "not major")
	}
	return strings.Join(words, ", ")
}

// limit says when a clock ends, in words.
func limit(c incident.Clock) string {
	left := time.Until(c.Due).Round(time.Minute)
	if left < 0 {
		return fmt.Sprintf("LATE since %s (%s)", c.Due.UTC().Format(time.RFC3339), -left)
	}
	return fmt.Sprintf("%s (in %s)", c.Due.UTC().Format(time.RFC3339), left)
}

type incidentShow struct {
	api
	ID string `arg:"" help:"Id of the incident."`
}

// Run shows one incident.
func (c *incidentShow) Run(ctx context.Context, s streams) error {
	var v admin.IncidentDetail
	if err := c.do(ctx, "GET", incidentPath(c.ID), nil, &v); err != nil {
		return err
	}
	showIncident(s.out, &v.IncidentView)
	m := &v.Measures
	fmt.Fprintf(s.out, "duration %s, downtime %s (DD:HH:MM); %d calls: %d answered, %d failed; %d dropped\n", incident.Span(m.Duration), incident.Span(m.Downtime), m.Attempts, m.Answered, m.Failed, m.Dropped)
	fmt.Fprintf(s.out, "Member States: %s; log entries %d to %d\n", dash(strings.Join(m.States, ", ")), m.First, m.Last)
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\nCLOCK\tSTATE\tLIMIT\tSUBMITTED")
	for _, k := range v.Clocks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Name, k.State, at(k.Due), at(k.Met))
	}
	fmt.Fprintln(w, "\nTHRESHOLD\tLIMIT\tSTATE\tWHAT THE LOG SAYS")
	for _, x := range v.Assessment.Thresholds {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.What, x.Limit, strings.ReplaceAll(x.State, "_", " "), x.Found)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\nindication: %s: %s\n", strings.ReplaceAll(v.Assessment.Indication, "_", " "), v.Assessment.Why)
	return nil
}

func at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// showIncident prints the head of an incident.
func showIncident(out io.Writer, v *admin.IncidentView) {
	fmt.Fprintf(out, "%s  %s\n%s; rule %s, cause %s\nsince %s, aware %s, restored %s\n", v.ID, standing(v), v.Title, v.Rule, v.Cause, at(v.Since), at(v.Aware), at(v.Restored()))
	if v.Class != nil {
		fmt.Fprintf(out, "classified %s by %s: %s\n", at(v.Class.At), v.Class.By, v.Class.Reason)
	}
	for _, n := range v.Notes {
		fmt.Fprintf(out, "note %s by %s: %s\n", at(n.At), n.By, n.Text)
	}
	if p := v.Personal; p != nil && p.Risk != "" {
		fmt.Fprintf(out, "breach of personal data: risk %s: %s\n", p.Risk, dash(p.RiskReason))
	}
	for _, r := range v.Reports {
		fmt.Fprintf(out, "submitted %s %s by %s, reference %s\n", r.Clock, at(r.At), r.By, cmp.Or(r.Reference, "-"))
	}
	if !v.Closed.IsZero() {
		fmt.Fprintf(out, "closed %s by %s: %s\n", at(v.Closed), v.ClosedBy, v.Outcome)
	}
}

// ask sends an order about incidents and prints the incident as it is then.
func (a api) ask(ctx context.Context, out io.Writer, path string, order any) error {
	var v admin.IncidentView
	if err := a.do(ctx, "POST", path, order, &v); err != nil {
		return err
	}
	showIncident(out, &v)
	for _, k := range v.Clocks {
		if k.Runs() {
			fmt.Fprintf(out, "clock %s: %s\n", k.Name, limit(k))
		}
	}
	return nil
}

// past reads a moment, nothing for now.
func past(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, withHint(fmt.Errorf("%q is no moment", s), "write 2026-11-21T14:00:00Z")
	}
	return t.UTC(), nil
}

type incidentOpen struct {
	api
	Title   string   `required:"" help:"One line; it stands in the log. Write no name of a person into it."`
	Since   string   `help:"Moment (RFC 3339) at which it began; default: now."`
	Region  string   `help:"Region, provider:code."`
	Country string   `help:"Its country, ISO 3166-1 alpha-2."`
	Party   []string `help:"Trunk or edge group that is affected; may be given again."`
}

// Run opens an incident.
func (c *incidentOpen) Run(ctx context.Context, s streams) error {
	since, err := past(c.Since)
	if err != nil {
		return err
	}
	return c.ask(ctx, s.out, incidentsPath, admin.IncidentOrder{Title: c.Title, Since: since, Region: c.Region, Country: c.Country, Parties: c.Party})
}

type incidentUpdate struct {
	api
	ID          string `arg:"" help:"Id of the incident."`
	Note        string `help:"What there is to say; it stands in the log. Write no name of a person into it."`
	Recovered   bool   `help:"It is over: of an incident that was opened by hand, or whose rule finds nothing any more." xor:"what"`
	BreachKnown bool   `help:"A breach of personal data is known: the clock of GDPR Art. 33 runs." xor:"what"`
	At          string `help:"Moment (RFC 3339) since which that is so; default: now."`
}

// Run writes a word about an incident.
func (c *incidentUpdate) Run(ctx context.Context, s streams) error {
	at, err := past(c.At)
	if err != nil {
		return err
	}
	u := admin.IncidentWord{What: incident.Noted, At: at, Text: c.Note}
	switch {
	case c.Recovered:
		u.What = incident.Recovered
	case c.BreachKnown:
		u.What = incident.BreachOf
	case c.Note == "":
		return withHint(errors.New("there is nothing to write down"), "--note, --recovered or --breach-known")
	}
	return c.ask(ctx, s.out, incidentPath(c.ID, "updates"), u)
}

type incidentClassify struct {
	api
	ID        string   `arg:"" help:"Id of the incident."`
	Major     bool     `help:"It is a major incident." xor:"class" required:""`
	NotMajor  bool     `help:"It is not." xor:"class" required:""`
	Reason    string   `required:"" help:"Why; it stands in the log. Write no name of a person into it."`
	Criterion []string `help:"Criterion that is met, in the words of ITS (EU) 2025/302 field 2.5; may be given again."`
	At        string   `help:"Moment (RFC 3339) of the classification; default: now."`
}

// Run classifies an incident.
func (c *incidentClassify) Run(ctx context.Context, s streams) error {
	at, err := past(c.At)
	if err != nil {
		return err
	}
	return c.ask(ctx, s.out, incidentPath(c.ID, "classification"), admin.IncidentClass{Major: c.Major, At: at, Criteria: c.Criterion, Reason: c.Reason})
}

type incidentReport struct {
	api
	ID           string `arg:"" help:"Id of the incident."`
	Stage        string `enum:"initial,intermediate,final" default:"initial" help:"initial, intermediate or final."`
	Format       string `enum:"json,ir,html,pdf" default:"json" help:"json: everything; ir: the report alone, with the names of IR-1.2.1; html: a page to read; pdf: the same to send and to keep."`
	Out          string `help:"Write into this file, which must not exist, in place of printing it."`
	WithContacts bool   `help:"Name the contacts of the configuration: people."`
}

// Run drafts a report.
func (c *incidentReport) Run(ctx context.Context, s streams) error {
	if c.Format == "pdf" && c.Out == "" && isTerminal(s.out) {
		return errPDF("--out")
	}
	q := url.Values{"stage": {c.Stage}, "format": {c.Format}}
	if c.WithContacts {
		q.Set("contacts", "true")
	}
	doc, err := c.fetch(ctx, "GET", incidentPath(c.ID, "report")+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = s.out.Write(doc)
		return err
	}
	if err := writeNew(c.Out, doc); err != nil {
		return err
	}
	sum := sha256.Sum256(doc)
	fmt.Fprintf(s.out, "%s: %s report of %s, a draft, SHA-256 %s\n", c.Out, c.Stage, c.ID, hex.EncodeToString(sum[:]))
	return nil
}

type incidentSent struct {
	api
	ID        string `arg:"" help:"Id of the incident."`
	Clock     string `required:"" help:"initial, intermediate, final, gdpr_33, or a clock of incidents.clocks."`
	At        string `help:"Moment (RFC 3339) of the submission; default: now."`
	Reference string `help:"The code that the authority gave."`
	Document  string `type:"existingfile" help:"The document that went out: its SHA-256 goes into the log."`
}

// Run writes down a submission.
func (c *incidentSent) Run(ctx context.Context, s streams) error {
	at, err := past(c.At)
	if err != nil {
		return err
	}
	x := admin.IncidentSubmission{Clock: c.Clock, At: at, Reference: c.Reference}
	if c.Document != "" {
		doc, err := os.ReadFile(c.Document)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(doc)
		x.Digest = hex.EncodeToString(sum[:])
	}
	return c.ask(ctx, s.out, incidentPath(c.ID, "submissions"), x)
}

type incidentBreach struct {
	api
	ID       string   `arg:"" help:"Id of the incident."`
	Facts    string   `help:"What happened to which data. Write no name of a person into it, here and below."`
	Effects  string   `help:"What it means or may mean for data subjects."`
	Remedy   string   `help:"What was done about it, or will be."`
	Subjects uint64   `help:"About how many data subjects."`
	Records  uint64   `help:"About how many records."`
	Category []string `help:"Category of data subjects or of records; may be given again."`
	Risk     string   `help:"Risk to their rights and freedoms: unlikely (then no notification is owed), likely or high (then data subjects are told)."`
	Because  string   `help:"Why the risk is that; needed for unlikely."`
	Delay    string   `help:"Why the notification comes later than 72 hours."`
	Told     string   `help:"Moment (RFC 3339) at which data subjects were told."`
}

// Run documents a breach of personal data.
func (c *incidentBreach) Run(ctx context.Context, s streams) error {
	told, err := past(c.Told)
	if err != nil {
		return err
	}
	return c.ask(ctx, s.out, incidentPath(c.ID, "breach"), admin.BreachWord{
		Facts: c.Facts, Effects: c.Effects, Remedy: c.Remedy, Subjects: c.Subjects, Records: c.Records, Categories: c.Category, Risk: c.Risk, RiskReason: c.Because, Delay: c.Delay, Told: told,
	})
}

type incidentClose struct {
	api
	ID     string `arg:"" help:"Id of the incident."`
	Reason string `required:"" help:"How it ended; it stands in the log. Write no name of a person into it."`
}

// Run closes an incident.
func (c *incidentClose) Run(ctx context.Context, s streams) error {
	return c.ask(ctx, s.out, incidentPath(c.ID, "close"), struct {
		Reason string `json:"reason"`
	}{c.Reason})
}
