package incident

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/report"
)

// Measures is what the log says about the effect of one incident, and which part of the log that rests on. Everything is computed anew for each question.
type Measures struct {
	At       time.Time     `json:"at"`    // as of
	Ended    bool          `json:"ended"` // its cause is gone
	Duration time.Duration `json:"duration_ns"`
	// Downtime counts the time in which the service was fully or partially unavailable, RTS (EU) 2024/1772 Art. 3(2).
	Downtime  time.Duration   `json:"downtime_ns"`
	Available string          `json:"availability"` // full: no call failed | partial | none: no call was answered | unknown: no call came
	Estimated bool            `json:"downtime_estimated"`
	Outages   []report.Outage `json:"outages"`

	Attempts  int       `json:"attempts"` // production calls that began while its cause lasted
	Answered  int       `json:"answered"`
	Failed    int       `json:"failed"`
	Dropped   int       `json:"dropped"` // that were up, and that the edge ended
	Reference Reference `json:"reference"`

	Clients  int            `json:"clients_at_most"` // failed and dropped calls: the log names nobody, so nobody is counted twice on purpose
	Percent  *float64       `json:"clients_percent,omitempty"`
	States   []string       `json:"member_states"` // of the affected calls, or of the place where it happened
	ByPlace  bool           `json:"member_states_by_place"`
	Outside  map[string]int `json:"calls_of_other_countries,omitempty"` // by calling code
	Services []Service      `json:"services"`
	Critical string         `json:"critical"` // yes | no | unknown: no service is configured

	Lost       uint64    `json:"records_lost"`
	Violations int       `json:"violations"`
	Steps      []Step    `json:"steps"` // what was done about it
	Before     []Earlier `json:"same_cause_within_six_months"`
	Operators  []string  `json:"operators,omitempty"` // of the places where it happened

	First uint64  `json:"first_entry"` // of the log that was looked at
	Last  uint64  `json:"last_entry"`
	Log   Covered `json:"log"` // what it rests on: nothing behind it was looked at
}

// Covered is a signed checkpoint of the log (C2SP tlog-checkpoint).
type Covered struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root_hash"` // base64
	Note   string `json:"checkpoint"`
}

// coveredBy reads a checkpoint.
func coveredBy(note []byte) (Covered, error) {
	lines := strings.SplitN(string(note), "\n", 4)
	if len(lines) < 4 {
		return Covered{}, errors.New("incident: the log's checkpoint has too few lines")
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		return Covered{}, fmt.Errorf("incident: size of the log's checkpoint: %w", err)
	}
	return Covered{lines[0], size, lines[2], string(note)}, nil
}

// Reference is the period that the affected calls are compared with: the same hours a week before. RTS (EU) 2024/1772 Art. 1(5).
type Reference struct {
	Basis    string    `json:"basis"` // same_hours_a_week_before | none
	Why      string    `json:"why,omitempty"`
	From     time.Time `json:"from,omitzero"`
	To       time.Time `json:"to,omitzero"`
	Attempts int       `json:"attempts"`
}

// Step is an entry that shows what was done.
type Step struct {
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
	What  string    `json:"what"`
}

// Earlier is an incident of the same cause.
type Earlier struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
	Major bool      `json:"major"`
}

const (
	week     = 7 * 24 * time.Hour
	tail     = 4 * time.Hour // how long after a window receipts of its calls are looked for, a week before
	keptStep = 50
)

// Measure computes what the log says about i as of now.
func (f *Follower) Measure(ctx context.Context, i *Incident, now time.Time) (Measures, error) {
	m := Measures{At: now.UTC(), Ended: !i.Lasts(), Outside: map[string]int{}, Steps: []Step{}, Before: f.before(i), States: []string{}, Outages: []report.Outage{}}
	note, err := f.c.Log.Checkpoint(ctx)
	if err == nil {
		m.Log, err = coveredBy(note)
	}
	if err != nil {
		return m, err
	}
	end := now
	if m.Ended {
		end = i.Restored()
	}
	m.Duration = max(end.Sub(i.Since), 0)
	c := counter{i: i, windows: filled(i.Windows, now), m: &m}
	if m.First, m.Last, err = f.scan(ctx, m.Log.Size, i.Since, now, c.take); err != nil {
		return m, err
	}
	c.outages()
	m.Downtime = report.Downtime(m.Outages, now)
	if err := f.reference(ctx, &m, c.windows); err != nil {
		return m, err
	}
	m.Clients = m.Failed + m.Dropped
	if m.Reference.Attempts > 0 {
		pct := min(100*float64(m.Clients)/float64(max(m.Reference.Attempts, m.Attempts)), 100)
		m.Percent = &pct
	}
	c.places(f.c.World)
	m.Services, m.Critical = f.Rules().affected(i)
	return m, nil
}

// filled gives windows that all have an end.
func filled(list []Window, now time.Time) []Window {
	out := slices.Clone(list)
	for k := range out {
		if out[k].To.IsZero() {
			out[k].To = now
		}
	}
	return out
}

// before are the incidents of the same cause in the six months before i. RTS (EU) 2024/1772 Art. 8(2).
func (f *Follower) before(i *Incident) []Earlier {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Earlier{}
	for _, o := range f.book.Incidents {
		if o.ID != i.ID && o.Cause == i.Cause && o.Since.Before(i.Since) && o.Since.After(i.Since.AddDate(0, -6, 0)) {
			out = append(out, Earlier{o.ID, o.Since, o.Major()})
		}
	}
	return out
}

// affected are the services that an incident touches.
func (r Rulebook) affected(i *Incident) (list []Service, critical string) {
	critical = "unknown"
	for _, s := range r.Services {
		touched := len(s.Parties) == 0 || len(i.Parties) == 0
		for _, p := range i.Parties {
			touched = touched || slices.Contains(s.Parties, p)
		}
		if touched {
			list = append(list, s)
		}
	}
	if len(r.Services) > 0 {
		critical = "no"
	}
	if slices.ContainsFunc(list, func(s Service) bool { return s.Critical }) {
		critical = "yes"
	}
	return list, critical
}

// scan hands every entry of the first size ones that was written between two moments to take. It says which entries it read.
func (f *Follower) scan(ctx context.Context, size uint64, from, to time.Time, take func(audit.Entry) error) (first, last uint64, err error) {
	if first, err = f.firstAt(ctx, size, from); err != nil {
		return 0, 0, err
	}
	for seq := first; seq < size; {
		entries, next, err := audit.Pick(ctx, f.c.Log, seq, step, func(audit.Kind) bool { return true })
		if err != nil {
			return first, last, fmt.Errorf("incident: reading entry %d: %w", seq, err)
		}
		if next == seq {
			break
		}
		for _, e := range entries {
			if e.Time.After(to) || e.Seq >= size {
				return first, last, nil
			}
			if err := take(e); err != nil {
				return first, last, fmt.Errorf("incident: entry %d: %w", e.Seq, err)
			}
			last = e.Seq
		}
		seq = next
	}
	return first, last, nil
}

// firstAt finds the first entry that is not older than t. Entries stand in the order of their time.
func (f *Follower) firstAt(ctx context.Context, size uint64, t time.Time) (uint64, error) {
	low, high := uint64(0), size
	for low < high {
		mid := low + (high-low)/2
		entries, err := f.c.Log.Entries(ctx, mid, 1)
		if err != nil || len(entries) != 1 {
			return 0, fmt.Errorf("incident: reading entry %d: %w", mid, err)
		}
		if entries[0].Time.Before(t) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// counter takes the entries since an incident began.
type counter struct {
	i       *Incident
	windows []Window
	m       *Measures
	calls   []attempt // that began in a window
	states  map[string]bool
}

// attempt is a call as the counter keeps it.
type attempt struct {
	at, end  time.Time
	answered bool
	failed   bool
	dropped  bool
}

// brief is what the counter reads of a receipt.
type brief struct {
	Direction string         `json:"direction"`
	Purpose   string         `json:"purpose"`
	Drill     string         `json:"drill"`
	Invite    time.Time      `json:"t_invite"`
	Answer    time.Time      `json:"t_answer"`
	End       time.Time      `json:"t_end"`
	A         audit.PartyRef `json:"party_a_ref"`
	B         audit.PartyRef `json:"party_b_ref"`
	Overall   string         `json:"overall"`
	Attempts  []struct {
		Result string `json:"result"`
	} `json:"attempts"`
	Outcome struct {
		Final   int    `json:"sip_final"`
		EndedBy string `json:"ended_by"`
	} `json:"outcome"`
}

// failed says whether a call was not put through for a reason that is not the called one's: nobody answered us, a server failed, or the policy left no way. A caller
// who hangs up before the answer counts when an attempt had failed before. Who is busy, unknown or declines was reached.
func (b *brief) failed() bool {
	switch f := b.Outcome.Final; {
	case !b.Answer.IsZero():
		return false
	case b.Overall == "refused_by_policy" || f == 408 || f == 480 || f >= 500 && f < 600 || f == 0:
		return true
	case f == 487:
		return slices.ContainsFunc(b.Attempts, func(a struct {
			Result string `json:"result"`
		},
		) bool {
			return a.Result == "silent" || a.Result == "icmp" || len(a.Result) == 3 && a.Result[0] == '5'
		})
	}
	return false
}

// client is the country calling code of the far side that is no party of ours.
func (b *brief) client() string {
	if b.Direction == "outbound" {
		return b.B.Country
	}
	return b.A.Country
}

func within(list []Window, t time.Time) bool {
	return slices.ContainsFunc(list, func(w Window) bool { return !t.Before(w.From) && !t.After(w.To) })
}

func (c *counter) take(e audit.Entry) error {
	switch e.Kind {
	case audit.KindReceipt:
		return c.receipt(e)
	case audit.KindGap:
		var g audit.Gap
		if err := json.Unmarshal(e.Body, &g); err != nil {
			return err
		}
		if g.Cause != "restart" && slices.ContainsFunc(c.windows, func(w Window) bool { return !g.To.Before(w.From) && !g.From.After(w.To) }) {
			c.m.Lost += g.Lost
		}
		return nil
	}
	if what := stepOf(e); what != "" && len(c.m.Steps) < keptStep {
		c.m.Steps = append(c.m.Steps, Step{e.Time, e.Seq, what})
	}
	return nil
}

func (c *counter) receipt(e audit.Entry) error {
	var b brief
	if err := json.Unmarshal(e.Body, &b); err != nil {
		return err
	}
	if !unplanned(b.Purpose) {
		return nil
	}
	if b.Drill != "" { // what became of it was planned, but for where it went
		c.m.Violations += one(b.Overall == "violation" && (within(c.windows, b.Invite) || within(c.windows, b.End)))
		return nil
	}
	began := within(c.windows, b.Invite)
	a := attempt{at: b.Invite, end: b.End, answered: !b.Answer.IsZero(), failed: began && b.failed()}
	a.dropped = a.answered && b.Outcome.EndedBy == "edge" && within(c.windows, b.End)
	if began || a.dropped {
		c.calls = append(c.calls, a)
	}
	if b.Overall == "violation" && (began || within(c.windows, b.End)) {
		c.m.Violations++
	}
	if began {
		c.m.Attempts++
		c.m.Answered += one(a.answered)
		c.m.Failed += one(a.failed)
	}
	c.m.Dropped += one(a.dropped)
	if a.failed || a.dropped {
		c.from(b.client())
	}
	return nil
}

// from notes where an affected client is, by the calling code of its number.
func (c *counter) from(code string) {
	if s := memberStates[code]; s != "" {
		if c.states == nil {
			c.states = map[string]bool{}
		}
		c.states[s] = true
		return
	}
	if code == "" {
		code = "unknown"
	}
	c.m.Outside[code]++
}

// stepOf says in words what an entry shows of what was done, "" for nothing.
func stepOf(e audit.Entry) string {
	switch e.Kind {
	case audit.KindFailoverApplied, audit.KindFailback, audit.KindFailoverHeld, audit.KindFailoverRefused:
		var f audit.Failover
		if json.Unmarshal(e.Body, &f) != nil || f.Drill != "" {
			return ""
		}
		words := map[audit.Kind]string{
			audit.KindFailoverApplied: "failed over", audit.KindFailback: "went back", audit.KindFailoverHeld: "waits at the gate for people to fail over",
			audit.KindFailoverRefused: "was refused a failover",
		}
		to := f.To
		if f.Region != "" {
			to += " in " + f.Region + " (" + f.Country + ")"
		}
		return fmt.Sprintf("route %s %s to %s: %s", f.Route, words[e.Kind], to, f.Ground)
	case audit.KindServiceChanged:
		var s audit.ServiceChanged
		if json.Unmarshal(e.Body, &s) != nil {
			return ""
		}
		return fmt.Sprintf("%s %s was put %s", s.What, s.Name, s.To)
	case audit.KindRouteSwitched:
		var s audit.RouteSwitched
		if json.Unmarshal(e.Body, &s) != nil {
			return ""
		}
		return fmt.Sprintf("route %s was switched by hand to %s in %s (%s)", s.Route, s.To, s.Region, s.Country)
	case audit.KindGateChanged:
		var g struct {
			Ticket string `json:"ticket"`
			From   string `json:"from"`
			State  string `json:"state"`
		}
		if json.Unmarshal(e.Body, &g) != nil || g.From == g.State || !bytes.Contains([]byte("ACTIVE BREAK_GLASS_ACTIVE REVOKED EXPIRED"), []byte(g.State)) || g.State == "" {
			return ""
		}
		return fmt.Sprintf("ticket %s is %s", g.Ticket, g.State)
	}
	return ""
}

// outages finds when the service was not fully there, by the calls of each window. Calls that fail make it so from the beginning of the window until calls are
// answered again and none fails any more. Where no call came, nobody can tell: the whole window counts, and is called an estimate.
func (c *counter) outages() {
	slices.SortFunc(c.calls, func(a, b attempt) int { return a.at.Compare(b.at) })
	c.m.Available = "full"
	switch {
	case c.m.Attempts == 0 && c.m.Dropped == 0:
		c.m.Available = "unknown"
	case c.m.Failed > 0 && c.m.Answered == 0:
		c.m.Available = "none"
	case c.m.Failed+c.m.Dropped > 0:
		c.m.Available = "partial"
	}
	for _, w := range c.windows {
		if o, estimate, ok := c.outage(w); ok {
			c.m.Outages = append(c.m.Outages, o)
			c.m.Estimated = c.m.Estimated || estimate
		}
	}
}

func (c *counter) outage(w Window) (o report.Outage, estimate, ok bool) {
	o = report.Outage{From: w.From, To: w.To}
	calls, lastBad := 0, time.Time{}
	for _, a := range c.calls {
		if !a.at.Before(w.From) && !a.at.After(w.To) {
			calls++
			if a.failed {
				lastBad = a.at
			}
		}
		if a.dropped && !a.end.Before(w.From) && !a.end.After(w.To) {
			calls++
			lastBad = later(lastBad, a.end)
		}
	}
	if calls == 0 { // what takes calls away by its nature is believed to have
		o.Partial = true
		return o, true, c.i.Rule != LogGap && c.i.Rule != Violation && c.i.Rule != BreakGlass
	}
	if lastBad.IsZero() {
		return o, false, false
	}
	for _, a := range c.calls {
		if !a.answered || a.at.Before(w.From) || a.at.After(o.To) {
			continue
		}
		if a.at.After(lastBad) {
			o.To = a.at
			break
		}
		o.Partial = true
	}
	return o, false, true
}

// places names the Member States of affected clients. Where no call was affected, the place itself is all that is known.
func (c *counter) places(w World) {
	c.m.States = slices.Sorted(maps.Keys(c.states))
	if c.m.States == nil {
		c.m.States = []string{}
	}
	if c.m.Clients == 0 && isMemberState(c.i.Country) {
		c.m.States, c.m.ByPlace = []string{c.i.Country}, true
	}
	for _, name := range c.i.Parties {
		if p, ok := w.Party(name); ok && p.Operator != "" && !slices.Contains(c.m.Operators, p.Operator) {
			c.m.Operators = append(c.m.Operators, p.Operator)
		}
	}
}

// reference counts the calls of the same hours a week before, if the log is that old.
func (f *Follower) reference(ctx context.Context, m *Measures, windows []Window) error {
	m.Reference.Basis = "none"
	if len(windows) == 0 {
		return nil
	}
	shifted := make([]Window, len(windows))
	for k, w := range windows {
		shifted[k] = Window{w.From.Add(-week), w.To.Add(-week)}
	}
	from, to := shifted[0].From, shifted[len(shifted)-1].To
	oldest, err := f.c.Log.Entries(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("incident: reading the first entry: %w", err)
	}
	if len(oldest) == 0 || oldest[0].Time.After(from) {
		m.Reference.Why = "the log does not go back to the same hours a week before"
		return nil
	}
	n := 0
	_, _, err = f.scan(ctx, m.Log.Size, from, to.Add(tail), func(e audit.Entry) error {
		if e.Kind != audit.KindReceipt {
			return nil
		}
		var b brief
		if err := json.Unmarshal(e.Body, &b); err != nil {
			return err
		}
		n += one(unplanned(b.Purpose) && within(shifted, b.Invite))
		return nil
	})
	if err != nil {
		return err
	}
	m.Reference = Reference{Basis: "same_hours_a_week_before", From: from, To: to, Attempts: n}
	if n == 0 {
		m.Reference.Basis, m.Reference.Why = "none", "no call began in the same hours a week before"
	}
	return nil
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
