package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
	logreport "github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

// ErrNone says that there is nothing to report: no such drill, or it never began, or it has no end yet.
var ErrNone = errors.New("no report")

// Builder makes the report of one drill from the entries of a log that was verified and holds.
type Builder struct {
	r       Report
	asked   bool
	began   bool
	ended   *audit.DrillEnded
	refused string                      // why it never began
	known   []string                    // drills of the log, the newest last
	text    map[string]string           // of scenarios, by digest
	place   *logreport.ResidencyBuilder // of the play, where it stands in this log
	apart   *logreport.ResidencyBuilder // of a log of its own
	played  uint64                      // entries of the play that were read there
	told    map[uint64]int              // entry -> its notices in Window.Alerts
	keys    keyring.Ring                // of the entries that were read
	last    []lastWord
	over    keyring.DrillEnd
}

// New begins the report of a drill, by its id.
func New(drill string) *Builder {
	return &Builder{r: Report{ID: drill}, text: map[string]string{}, told: map[uint64]int{}, keys: keyring.Ring{}}
}

// Add takes the next entry of the node's log. One that does not read is an error: left out, it would make the report a lie.
func (b *Builder) Add(e audit.Entry) error {
	if b.place != nil && b.ended == nil {
		if err := b.play(b.place, e); err != nil {
			return err
		}
	}
	switch {
	case e.Kind == audit.KindKeyEnrolled, e.Kind == audit.KindKeyRevoked:
		return b.key(e)
	case e.Kind.OfDrills(), e.Kind == audit.KindNodeStarted && !b.began, e.Kind == audit.KindNoticeUndelivered && b.asked:
	default:
		return nil
	}
	ev, err := audit.Decode(e)
	if err != nil {
		return fmt.Errorf("drill/report: entry %d: %w", e.Seq, err)
	}
	switch ev := ev.(type) {
	case audit.NodeStarted:
		b.r.Entity, b.r.LEI = Text(ev.Name), Text(ev.LEI)
		return nil
	case audit.DrillScenario:
		b.text[ev.Digest] += ev.Text
		return nil
	case audit.NoticeUndelivered:
		b.undelivered(ev)
		return nil
	case audit.DrillRequested:
		b.known = append(b.known, ev.Drill)
	}
	return b.about(e, ev)
}

// Play takes an entry of the log that the play has of its own, in order, once Add has had all of the node's.
func (b *Builder) Play(e audit.Entry) error {
	if b.ended == nil || e.Seq < b.ended.First || e.Seq > b.ended.Last {
		return nil
	}
	if b.apart == nil {
		b.apart, b.r.Receipts = logreport.NewResidency(logreport.Period{}), nil
	}
	b.played++
	return b.play(b.apart, e)
}

// Apart names the log that the play has of its own; "": it stands in the node's.
func (b *Builder) Apart() string {
	if b.ended == nil {
		return ""
	}
	return b.ended.Log
}

// Sealed is the checkpoint with which the log of Apart must begin, for whoever opens that log; nil where the node's log names none.
func (b *Builder) Sealed() []byte {
	if b.ended == nil || b.ended.Checkpoint == "" {
		return nil
	}
	return []byte(b.ended.Checkpoint)
}

func (b *Builder) play(to *logreport.ResidencyBuilder, e audit.Entry) error {
	if e.Kind == audit.KindReceipt {
		b.r.Receipts = append(b.r.Receipts, e.ID)
	}
	return to.Add(e)
}

// about takes an entry about a drill, if it is this one.
func (b *Builder) about(e audit.Entry, ev audit.Event) error {
	var head struct {
		Drill string `json:"drill"`
	}
	if err := json.Unmarshal(e.Body, &head); err != nil {
		return fmt.Errorf("drill/report: entry %d: %w", e.Seq, err)
	}
	if head.Drill != b.r.ID {
		return nil
	}
	r := &b.r
	r.Records = append(r.Records, RecordRef{e.Seq, string(e.Kind), e.ID, At(e.Time)})
	sign := func(by, word string) {
		r.SignOff = append(r.SignOff, Signature{Person: Text(by), Role: Text(word), Word: Text(word), At: At(e.Time)})
	}
	switch ev := ev.(type) {
	case audit.DrillRequested:
		b.asked = true
		b.plan(ev.DrillPlan)
		sign(ev.Tester, "requested")
	case audit.DrillApproved:
		r.Plan.ApprovedBy, r.Plan.ApprovedAt = append(r.Plan.ApprovedBy, Text(ev.By)), At(e.Time)
		sign(ev.By, "approved")
	case audit.DrillRefused:
		b.refused = ev.What + ": " + ev.Why
	case audit.DrillAnnounced:
		r.Window.Announced = At(e.Time)
		b.told[e.Seq] = len(r.Window.Alerts)
		for _, channel := range ev.Channels {
			r.Window.Alerts = append(r.Window.Alerts, Notice{Channel: Text(channel), When: "before", Sent: At(e.Time)})
		}
	case audit.DrillStarted:
		b.started(e, ev)
	case audit.DrillStep:
		if ev.Word == "alerted" {
			r.Governance.Delivered++
		}
		r.Steps = append(r.Steps, Step{At(ev.At), Text(ev.Word), Text(ev.What)})
	case audit.DrillEnded:
		if ev.Stopped != "" {
			sign(ev.Stopped, "stopped")
		}
		return b.end(e, ev)
	case audit.DrillCleaned:
		b.cleaned(e.Time, ev)
		return b.said(e)
	case audit.DrillSignedOff, audit.DrillReported:
		return b.said(e)
	case audit.DrillAcked:
		r.Governance.Acks = append(r.Governance.Acks, Ack{Text(ev.By), Text(ev.When), At(e.Time)})
	case audit.DrillDeficiency:
		b.deficiency(ev)
	}
	return nil
}

func (b *Builder) plan(p audit.DrillPlan) {
	r := &b.r
	r.Plan.ID, r.Plan.Version, r.Plan.SHA256 = Text(p.Scenario), ptr(p.Version), Text(p.Digest)
	r.Title, r.Scenario, r.Mode, r.Parts = Text(p.Title), Text(p.Class), Text(p.Mode), nil
	for _, part := range []string{scenario.Carrier, scenario.Primary, scenario.Secondary, scenario.Forbidden} {
		if party := p.Cast[part]; party != "" {
			r.Parts = append(r.Parts, Part{Text(part), Text(party)})
		}
	}
	if f := p.Function; f != nil {
		r.Function = Function{ID: Text(f.ID), Name: Text(f.Name), Critical: ptr(f.Critical)}
		if f.RTO > 0 { // the file says none
			r.Function.RTO, r.Function.RPO = ptr(f.RTO), ptr(f.RPO)
		}
	}
}

func (b *Builder) started(e audit.Entry, ev audit.DrillStarted) {
	r := &b.r
	b.began = true
	b.plan(ev.DrillPlan)
	r.Tenant, r.Node, r.Software, r.Policy, r.Facts = Text(e.Tenant), Text(e.Node), Text(e.Software), Text(e.PolicyDigest), Text(e.FactsDigest)
	r.Window.Start, r.Log.First = At(e.Time), e.Seq
	if w := ev.Window; w != nil {
		r.Window.Basis = Text(w.Volume)
	}
	if r.Window.Announced.IsZero() && !ev.Announced.IsZero() {
		r.Window.Announced = At(ev.Announced)
	}
	r.Guardrails.Throttle = ptr(ev.Bounds.Throttle)
	if r.live() && !r.full() {
		r.Guardrails.MaxCanary = ptr(ev.Bounds.Canary)
	}
	for _, c := range ev.Bounds.Aborts {
		r.Guardrails.Conditions = append(r.Guardrails.Conditions, Text(c))
	}
	for _, g := range ev.Guards {
		r.Guards = append(r.Guards, Guard{Text(g.Name), g.Holds, Text(g.Why)})
	}
	for _, p := range ev.Parties {
		name := Text(p.Name)
		if name == "" {
			name = Text(p.Party)
		}
		r.ThirdParties = append(r.ThirdParties, ThirdParty{name, Text(p.LEI), Text(p.Role)})
	}
	r.Testers = []Tester{b.tester(ev)}
	b.place = logreport.NewResidency(logreport.Period{})
}

// tester says of what a person is independent, as the guards found at the start, and the list of authors.
func (b *Builder) tester(ev audit.DrillStarted) Tester {
	t := Tester{Name: Text(ev.Tester), Unit: Text(ev.Unit)}
	var why []string
	for _, g := range ev.Guards {
		of := map[string]Text{"independent_of_scenario": "design", "independent_of_configuration": "operation"}[g.Name]
		if of == "" {
			continue
		}
		if t.Independent == nil {
			t.Independent = []Text{}
		}
		if g.Holds {
			t.Independent = append(t.Independent, of)
		}
		why = append(why, g.Why)
	}
	t.Why = Text(strings.Join(why, "; "))
	return t
}

func (b *Builder) end(e audit.Entry, ev audit.DrillEnded) error {
	r := &b.r
	b.ended = &ev
	_, b.over, _ = keyring.EndOf(e) // it reads; without a digest nothing that is signed holds
	r.Outcome, r.Cause = Outcome(ev.Outcome), Text(ev.Cause)
	r.Window.Start, r.Window.End, r.Log.Last = At(ev.Start), At(ev.End), e.Seq
	r.Guardrails.Aborted = ptr(r.Outcome == Aborted)
	if r.Outcome == Aborted {
		r.Guardrails.Cause = r.Cause
	}
	r.Datagrams, r.Restored = ev.Datagrams, At(ev.Restored)
	if len(ev.Measured) == 0 { // the node ended in the middle
		return nil
	}
	var list []measure.Judgement
	var t measure.Timeline
	var f measure.Figures
	for _, part := range []struct {
		raw  json.RawMessage
		into any
	}{{ev.Judgements, &list}, {ev.Timeline, &t}, {ev.Measured, &f}} {
		if len(part.raw) == 0 {
			continue
		}
		if err := json.Unmarshal(part.raw, part.into); err != nil {
			return fmt.Errorf("drill/report: entry %d: %w", e.Seq, err)
		}
	}
	r.From(list, t, f)
	if !ev.Records.Verified {
		r.Measured.RecordsLost = nil
	}
	r.Sufficient = sufficient(list, r)
	if rec := ev.Records; rec.Verified {
		r.Integrity = append(r.Integrity, Check{
			"What was acknowledged to whoever wrote it stands in the verified log.", rec.Found >= rec.Acknowledged, Text(fmt.Sprintf("%d acknowledged, %d found", rec.Acknowledged, rec.Found)),
		})
	}
	return nil
}

// sufficient is how long the secondary carried calls, by the expectation about it, or by the moments.
func sufficient(list []measure.Judgement, r *Report) *Sufficient {
	party := Text(r.played(scenario.Secondary))
	for _, j := range list {
		if j.Word != "carries" {
			continue
		}
		s := &Sufficient{Party: party, Wanted: Text(j.Wanted), Kept: ptr(j.Holds)}
		if name, _, ok := strings.Cut(j.Wanted, " for "); ok {
			s.Party = Text(name)
		}
		if d, err := time.ParseDuration(j.Measured); err == nil {
			s.Carried = ptr(d.Seconds())
		}
		return s
	}
	t := r.Timeline
	if t.FirstCall.IsZero() || t.FailbackDone.IsZero() {
		return nil
	}
	return &Sufficient{Party: party, Carried: ptr(t.FailbackDone.Sub(t.FirstCall.Time).Seconds())}
}

func (b *Builder) cleaned(at time.Time, ev audit.DrillCleaned) {
	c := Cleanup{At: At(at), By: Text(ev.By)}
	for _, what := range ev.Removed {
		c.Done = append(c.Done, Text(what))
	}
	for _, g := range ev.Checks {
		word := "holds"
		if !g.Holds {
			word = "does not hold"
		}
		c.Done = append(c.Done, Text(fmt.Sprintf("checked: %s %s, %s", human(g.Name), word, g.Why)))
	}
	b.r.Cleanup = c
}

// deficiency takes the newest entry of each.
func (b *Builder) deficiency(ev audit.DrillDeficiency) {
	d := Deficiency{
		ID: Text(ev.ID), Severity: Text(ev.Severity), What: Text(ev.Title), Owner: Text(ev.Owner), Due: At(ev.Due), Fixed: At(ev.Fixed), Retest: At(ev.RetestBy), RetestID: Text(ev.Retest),
	}
	if i := slices.IndexFunc(b.r.Deficiencies, func(x Deficiency) bool { return x.ID == d.ID }); i >= 0 {
		b.r.Deficiencies[i] = d
		return
	}
	b.r.Deficiencies = append(b.r.Deficiencies, d)
}

// undelivered counts what was to be told of this drill and did not arrive, and finds the announcement among it.
func (b *Builder) undelivered(ev audit.NoticeUndelivered) {
	if slices.ContainsFunc(b.r.Records, func(e RecordRef) bool { return e.Seq == ev.Entry }) {
		b.r.Governance.Failed++
	}
	from, ok := b.told[ev.Entry]
	if !ok {
		return
	}
	for k := from; k < len(b.r.Window.Alerts); k++ {
		if n := &b.r.Window.Alerts[k]; n.Channel == Text(ev.Channel) {
			n.Failure = Text(ev.Failure)
		}
	}
}

// Input is what the entries do not say.
type Input struct {
	Cover  logreport.Cover  // of the node's log
	Played *logreport.Cover // of the play's own
	Made   time.Time
	Name   func(pseudonym string) string // who is behind one; nil, or "": the pseudonym stays

	// Keys that the log enrolled, of who reads a part of it alone; nil: those of the entries that were read.
	Keys keyring.Ring

	Entity, LEI string   // of the financial entity, where the entries that were read do not say
	Scenarios   [][]byte // texts that may be the one that was played, where the entries that were read do not have it
}

// Report ends the reading. ErrNone, wrapped, with what is there instead, where there is nothing to report.
func (b *Builder) Report(in Input) (*Report, error) {
	switch {
	case !b.asked && len(b.known) == 0:
		return nil, fmt.Errorf("%w: this log has no drill", ErrNone)
	case !b.asked:
		return nil, fmt.Errorf("%w: this log has no drill %.40q; its newest is %s", ErrNone, b.r.ID, b.known[len(b.known)-1])
	case !b.began && b.refused != "":
		return nil, fmt.Errorf("%w: drill %s never began (%s)", ErrNone, b.r.ID, b.refused)
	case !b.began:
		return nil, fmt.Errorf("%w: drill %s has not begun", ErrNone, b.r.ID)
	case b.ended == nil:
		return nil, fmt.Errorf("%w: drill %s has not ended", ErrNone, b.r.ID)
	}
	r := &b.r
	r.Made, r.Log.Cover = At(in.Made), in.Cover
	r.Entity, r.LEI = cmp.Or(r.Entity, Text(in.Entity)), cmp.Or(r.LEI, Text(in.LEI))
	place := b.place
	switch where := b.Apart(); {
	case where != "":
		b.beside(where, in.Played)
		place = b.apart
	case r.Mode == Text(scenario.Sandbox.Evidence()):
		place = nil // it never came to a log: the calls in the node's are production's
	}
	if place == nil {
		r.Receipts = nil
	}
	if place != nil {
		b.resident(place.Summary())
	}
	b.read(in.Scenarios)
	b.digests()
	b.hands(in.Keys)
	if in.Name != nil {
		r.name(in.Name)
	}
	r.Complete()
	return r, nil
}

// beside says what of the play was read in the log that it has of its own; nil: nobody had that.
func (b *Builder) beside(where string, read *logreport.Cover) {
	r := &b.r
	r.Played = &Cover{Where: Text(where), First: b.ended.First, Last: b.ended.Last}
	if read == nil {
		return
	}
	r.Played.Cover = *read
	of := max(b.ended.Last+1, b.ended.First) - b.ended.First
	r.Integrity = append(r.Integrity, Check{"Every entry of the play stands in the log of the play.", b.played == of, Text(fmt.Sprintf("%d of %s", b.played, counted(int(of), "entry", "entries")))})
}

func (b *Builder) resident(s logreport.Summary) {
	r := &b.r
	res := &Residency{
		Total: s.Receipts, ByCountry: map[string]uint64{}, Violations: uint64(len(s.Violations)), Refused: s.Refused, Indeterminate: s.Indeterminate, Purposes: s.Purposes, Countries: s.Countries, Calls: []string{},
	}
	for _, c := range s.Countries {
		if c.Calls > 0 {
			res.ByCountry[c.Country] = c.Calls
		}
	}
	for _, v := range s.Violations {
		res.Calls = append(res.Calls, v.CallRef)
	}
	r.Residency = res
	r.Integrity = append(r.Integrity, Check{"The log was written without a gap while the drill ran.", s.Gaps == 0, Text(fmt.Sprintf("%s, %d entries lost", counted(int(s.Gaps), "gap", "gaps"), s.Lost))})
	if placed := r.Measured.Placed; placed != nil && *placed > 0 {
		n := s.Purposes["drill"]
		r.Integrity = append(r.Integrity, Check{"Each call of the drill has a receipt.", n >= uint64(*placed), Text(fmt.Sprintf("%d receipts of %d calls", n, *placed))})
	}
}

// read takes from the text of the scenario, which the log has, what the entries about the drill do not repeat.
func (b *Builder) read(others [][]byte) {
	for _, text := range append([][]byte{[]byte(b.text[string(b.r.Plan.SHA256)])}, others...) {
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != string(b.r.Plan.SHA256) {
			continue
		}
		if s, _ := scenario.Read("scenario", text); s != nil {
			b.r.About, b.r.Plan.BIA = Text(s.About), Text(s.Function.BIA)
			return
		}
	}
}

// digests names what the report rests on.
func (b *Builder) digests() {
	r := &b.r
	add := func(what, name string, sum Text) {
		if sum != "" {
			r.Artefacts = append(r.Artefacts, Artefact{Text(what), Text(name), sum})
		}
	}
	add("scenario", string(r.Plan.ID), r.Plan.SHA256)
	add("policy", "in force at the start", r.Policy)
	add("facts of the law", "in force at the start", r.Facts)
	if n := len(r.Receipts); n > 0 {
		sum := sha256.Sum256([]byte(strings.Join(r.Receipts, "\n") + "\n"))
		add("receipts", counted(n, "id, on a line", "ids, one on a line"), Text(hex.EncodeToString(sum[:])))
	}
}

// name puts people for pseudonyms.
func (r *Report) name(who func(string) string) {
	put := func(t *Text) {
		if name := who(string(*t)); *t != "" && name != "" {
			*t = Text(name)
		}
	}
	for k := range r.Plan.ApprovedBy {
		put(&r.Plan.ApprovedBy[k])
	}
	for k := range r.Testers {
		put(&r.Testers[k].Name)
	}
	for k := range r.SignOff {
		put(&r.SignOff[k].Person)
	}
	for k := range r.Deficiencies {
		put(&r.Deficiencies[k].Owner)
	}
	for k := range r.Governance.Acks {
		put(&r.Governance.Acks[k].Person)
	}
	put(&r.Cleanup.By)
	put(&r.Reported.By)
}
