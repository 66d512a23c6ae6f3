package incident

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cordonsip/cordon/audit"
)

// Refusal says why something that a person asked for was not done, and what would be.
type Refusal struct{ What, Hint string }

func (r *Refusal) Error() string { return "incident: " + r.What }

func refuse(hint, format string, args ...any) error {
	return &Refusal{fmt.Sprintf(format, args...), hint}
}

// Unknown says that there is no such incident.
type Unknown struct{ ID string }

func (u *Unknown) Error() string { return fmt.Sprintf("incident: there is no incident %q", u.ID) }

// maxText bounds what a person writes.
const maxText = 2000

// Bounds of what a person names: it stands in the log for good.
const (
	maxNamed = 256
	maxName  = 128 // bytes
)

// skew is how far ahead of our clock a moment may be that a person names.
const skew = time.Minute

// Opening is an incident that a person opens.
type Opening struct {
	Title   string
	Since   time.Time // zero: now
	Region  string
	Country string
	Parties []string
}

// Open opens an incident by hand. by is a pseudonym.
func (f *Follower) Open(ctx context.Context, o Opening, by string) (Incident, error) {
	now := time.Now().UTC()
	if o.Since.IsZero() {
		o.Since = now
	}
	if err := text("a title", o.Title); err != nil {
		return Incident{}, err
	}
	if o.Since.After(now.Add(skew)) {
		return Incident{}, refuse("name a moment that has passed", "an incident cannot begin in the future")
	}
	if len(o.Parties) > maxNamed || slices.ContainsFunc(append([]string{o.Region, o.Country}, o.Parties...), func(s string) bool { return len(s) > maxName || !utf8.ValidString(s) }) {
		return Incident{}, refuse(fmt.Sprintf("at most %d parties, and %d bytes each", maxNamed, maxName), "a region, a country or a party is too long, or there are too many")
	}
	id := ""
	err := f.decide(ctx, func() (audit.Event, error) {
		id = f.book.name(f.c.Node, now, 0)
		return audit.IncidentOpened{
			Incident: id, Rule: string(ByHand), Cause: "by_hand " + id, Title: o.Title, Since: o.Since.UTC(), Region: o.Region, Country: o.Country, Parties: o.Parties, By: by,
		}, nil
	})
	return f.after(id, err)
}

// Update is a word of a person about an incident. What is one of Noted, Recovered and BreachOf.
type Update struct {
	What string
	At   time.Time // zero: now
	Text string
}

// Note writes down a word of a person.
func (f *Follower) Note(ctx context.Context, id string, u Update, by string) (Incident, error) {
	now := time.Now().UTC()
	if u.At.IsZero() {
		u.At = now
	}
	if u.What == Noted || u.Text != "" {
		if err := text("a text", u.Text); err != nil {
			return Incident{}, err
		}
	}
	return f.about(ctx, id, func(i *Incident) (audit.Event, error) {
		switch {
		case !slices.Contains([]string{Noted, Recovered, BreachOf}, u.What):
			return nil, refuse("note, recovered or breach_known", "%q is nothing that a person can say of an incident", u.What)
		case u.At.After(now.Add(skew)):
			return nil, refuse("name a moment that has passed", "that is still to come")
		case u.What == Recovered && !i.Lasts():
			return nil, refuse("cordon incident show "+i.ID, "it is over already")
		case u.What == Recovered && f.stands(i, now):
			return nil, refuse("its rule says when it is over", "what the rule looks at is still so")
		case u.What == Recovered && u.At.Before(i.Windows[len(i.Windows)-1].From):
			return nil, refuse("name a later moment", "it began after that")
		case u.What == BreachOf && !i.Breach.IsZero():
			return nil, refuse("add a note instead", "the clock of GDPR Art. 33 runs since %s", i.Breach.Format(time.RFC3339))
		}
		return audit.IncidentUpdated{Incident: i.ID, What: u.What, At: u.At.UTC(), Text: u.Text, By: by}, nil
	})
}

// Classification is the word of the entity.
type Classification struct {
	Major    bool
	At       time.Time // zero: now
	Criteria []string
	Reason   string
}

// Criteria are the words of ITS (EU) 2025/302 for what an incident met, field 2.5.
func Criteria() []string {
	return []string{
		"clients_financial_counterparts_and_transactions_affected", "reputational_impact", "duration_and_service_downtime", "geographical_spread", "data_losses",
		"critical_services_affected", "economic_impact",
	}
}

// Classify writes down how the entity classified an incident.
func (f *Follower) Classify(ctx context.Context, id string, c Classification, by string) (Incident, error) {
	now := time.Now().UTC()
	if c.At.IsZero() {
		c.At = now
	}
	if err := text("a reason", c.Reason); err != nil {
		return Incident{}, err
	}
	for _, word := range c.Criteria {
		if !slices.Contains(Criteria(), word) {
			return Incident{}, refuse(strings.Join(Criteria(), ", "), "%q is no criterion", word)
		}
	}
	return f.about(ctx, id, func(i *Incident) (audit.Event, error) {
		if c.At.After(now.Add(skew)) || c.At.Before(i.Aware.Truncate(time.Second)) {
			return nil, refuse("name a moment between awareness and now", "at that moment nobody could classify it: it is known since %s", i.Aware.Format(time.RFC3339))
		}
		return audit.IncidentClassified{Incident: i.ID, Major: c.Major, At: c.At.UTC(), Criteria: c.Criteria, Reason: c.Reason, By: by}, nil
	})
}

// Submission is something that people sent to an authority.
type Submission struct {
	Clock     string
	At        time.Time // zero: now
	Reference string
	Digest    string // SHA-256 of the document, hex
}

// Submitted writes down that something was submitted.
func (f *Follower) Submitted(ctx context.Context, id string, s Submission, by string) (Incident, error) {
	now := time.Now().UTC()
	if s.At.IsZero() {
		s.At = now
	}
	if len(s.Reference) > 200 || len(s.Digest) > 64 {
		return Incident{}, refuse("at most 200 characters, and 64 of a digest", "the reference or the digest is too long")
	}
	return f.about(ctx, id, func(i *Incident) (audit.Event, error) {
		switch {
		case !slices.Contains(f.clockNames(), s.Clock):
			return nil, refuse(strings.Join(f.clockNames(), ", "), "there is no clock %q", s.Clock)
		case s.Clock == GDPR33 && i.Breach.IsZero():
			return nil, refuse("cordon incident update "+i.ID+" --breach-known", "nobody said that a breach of personal data is known")
		case slices.Contains([]string{Initial, Intermediate, Final}, s.Clock) && i.Class == nil:
			return nil, refuse("cordon incident classify "+i.ID+" --major --reason ...", "it is not classified")
		case s.At.After(now.Add(skew)) || s.At.Before(i.Aware.Truncate(time.Second)):
			return nil, refuse("name a moment between awareness and now", "at that moment nothing could be submitted: it is known since %s", i.Aware.Format(time.RFC3339))
		}
		return audit.IncidentReported{Incident: i.ID, Clock: s.Clock, At: s.At.UTC(), Reference: s.Reference, Digest: s.Digest, By: by}, nil
	})
}

// Documentation is what a person documents of a breach of personal data: everything at once, or what is known so far. GDPR Art. 33(4).
type Documentation struct {
	Facts, Effects, Remedy string
	Subjects, Records      uint64
	Categories             []string
	Risk, RiskReason       string
	Delay                  string
	Told                   time.Time
}

const (
	maxCategories = 32
	maxCategory   = 100 // bytes of one
)

// Document writes down what is known of a breach of personal data.
func (f *Follower) Document(ctx context.Context, id string, d Documentation, by string) (Incident, error) {
	if err := d.check(time.Now()); err != nil {
		return Incident{}, err
	}
	return f.about(ctx, id, func(i *Incident) (audit.Event, error) {
		first, _ := i.sent(GDPR33)
		switch {
		case i.Breach.IsZero():
			return nil, refuse("cordon incident update "+i.ID+" --breach-known", "nobody said that a breach of personal data is known")
		case d.Risk == RiskUnlikely && !first.IsZero():
			return nil, refuse("cordon incident update "+i.ID+" --note ... says what came of it", "it was notified at %s", first.Format(time.RFC3339))
		case !d.Told.IsZero() && d.Told.Before(i.Since.Truncate(time.Second)):
			return nil, refuse("name a later moment", "data subjects cannot have been told before it began, %s", i.Since.Format(time.RFC3339))
		}
		return audit.BreachNoted{
			Incident: i.ID, Facts: d.Facts, Subjects: d.Subjects, Records: d.Records, Categories: d.Categories, Effects: d.Effects, Remedy: d.Remedy, Risk: d.Risk,
			RiskReason: d.RiskReason, Delay: d.Delay, Told: d.Told.UTC(), By: by,
		}, nil
	})
}

// check says what is wrong with the form of d.
func (d Documentation) check(now time.Time) error {
	words := 0
	for what, s := range map[string]string{"the facts": d.Facts, "the effects": d.Effects, "the remedial action": d.Remedy, "the reason of the risk": d.RiskReason, "the reasons for the delay": d.Delay} {
		if s == "" {
			continue
		}
		if words++; text(what, s) != nil {
			return text(what, s)
		}
	}
	if len(d.Categories) > maxCategories || slices.ContainsFunc(d.Categories, func(c string) bool { return c == "" || len(c) > maxCategory || !utf8.ValidString(c) }) {
		return refuse(fmt.Sprintf("at most %d, of at most %d bytes each", maxCategories, maxCategory), "a category is empty or too long, or there are too many")
	}
	switch {
	case words == 0 && d.Subjects == 0 && d.Records == 0 && len(d.Categories) == 0 && d.Risk == "" && d.Told.IsZero():
		return refuse("facts, effects, remedial action: GDPR Art. 33(5)", "there is nothing to write down")
	case d.Risk != "" && !slices.Contains([]string{RiskUnlikely, RiskLikely, RiskHigh}, d.Risk):
		return refuse("unlikely, likely or high", "%q is no word for the risk", d.Risk)
	case d.Risk == "" && d.RiskReason != "":
		return refuse("say unlikely, likely or high, too", "a reason for the risk needs the risk")
	case d.Risk == RiskUnlikely && d.RiskReason == "":
		return refuse("say why: the authority can ask for that, GDPR Art. 33(5)", "a breach that is not notified needs a reason")
	case d.Told.After(now.Add(skew)):
		return refuse("name a moment that has passed", "that is still to come")
	}
	return nil
}

// Close ends an incident.
func (f *Follower) Close(ctx context.Context, id, reason, by string) (Incident, error) {
	if err := text("a reason", reason); err != nil {
		return Incident{}, err
	}
	return f.about(ctx, id, func(i *Incident) (audit.Event, error) {
		switch {
		case !i.Open():
			return nil, refuse("cordon incident show "+i.ID, "it is closed since %s", i.Closed.Format(time.RFC3339))
		case i.Class == nil:
			return nil, refuse("cordon incident classify "+i.ID+" --major | --not-major", "it is not classified: the entity classifies every incident, DORA Art. 18(1)")
		case i.Lasts() && f.stands(i, time.Now()):
			return nil, refuse("it can be closed when its cause is gone", "its cause lasts")
		}
		return audit.IncidentClosed{Incident: i.ID, Reason: reason, By: by}, nil
	})
}

// text checks what a person wrote.
func text(what, s string) error {
	if strings.TrimSpace(s) == "" || len(s) > maxText || !utf8.ValidString(s) {
		return refuse(fmt.Sprintf("at most %d bytes, and no name of a person: it stands in the log", maxText), "%s is missing or too long", what)
	}
	return nil
}

// clockNames are what something can be submitted for. The lock is held.
func (f *Follower) clockNames() []string {
	out := []string{Initial, Intermediate, Final, GDPR33}
	for _, d := range f.rules.Reporting.Own {
		out = append(out, d.Name)
	}
	return out
}

// stands says whether the rule of i finds its cause as it is now. The lock is held.
func (f *Follower) stands(i *Incident, now time.Time) bool {
	for _, r := range ruleRows {
		if r.rule != i.Rule {
			continue
		}
		for _, x := range r.find(&f.book.Memory, f.c.World, f.rules.Settings.of(r.rule), now) {
			if x.cause == i.Cause && !x.bad.IsZero() && x.until.IsZero() {
				return true
			}
		}
	}
	return false
}

// about decides on an incident that there is.
func (f *Follower) about(ctx context.Context, id string, ask func(*Incident) (audit.Event, error)) (Incident, error) {
	err := f.decide(ctx, func() (audit.Event, error) {
		i := f.book.find(id)
		if i == nil {
			return nil, &Unknown{id}
		}
		return ask(i)
	})
	return f.after(id, err)
}

// decide asks what to write by a book that has everything of ours, writes it, and waits until the book has it. ask is called with the lock held.
func (f *Follower) decide(ctx context.Context, ask func() (audit.Event, error)) error {
	f.acts.Lock()
	defer f.acts.Unlock()
	if err := f.caughtUp(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	ev, err := ask()
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if err := f.write(ctx, ev); err != nil {
		return err
	}
	f.count(ev)
	return f.caughtUp(ctx)
}

// caughtUp waits until the book has everything that the log has now.
func (f *Follower) caughtUp(ctx context.Context) error {
	size := f.c.Log.Size()
	for {
		f.mu.Lock()
		ok, moved := f.next >= size, f.moved
		f.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("incident: waiting for the book: %w", context.Cause(ctx))
		}
	}
}

// after gives the incident as it is now.
func (f *Follower) after(id string, err error) (Incident, error) {
	if err != nil {
		return Incident{}, err
	}
	i, ok := f.Incident(id)
	if !ok {
		return i, &Unknown{id}
	}
	return i, nil
}
