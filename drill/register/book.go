package register

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/jcs"
)

// State is how far a drill came.
type State string

// The states.
const (
	Waiting State = "waiting" // for the word of a second person
	Ready   State = "ready"   // everybody who must agree did; it begins at its time, or when its tester says so
	Running State = "running" // something may be gone
	Ended   State = "ended"   // it has an outcome, and nobody signed yet that nothing is left of it
	Cleaned State = "cleaned"
	Void    State = "void" // it never began: it was refused, withdrawn, or nobody agreed in time
)

// Over says that nothing happens any more unless people do something.
func (s State) Over() bool { return s == Ended || s == Cleaned || s == Void }

// bounds of what a book keeps. Whoever wants older drills reads the log.
const (
	keptDrills  = 1000
	keptSteps   = 200 // the newest ones of a drill
	keptReports = 20  // to the management body: as many
	keptAcks    = 200
)

// Word is a person's agreement.
type Word struct {
	audit.DrillApproved
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
}

// Drill is one drill. What it does not have did not happen yet.
type Drill struct {
	Request   audit.DrillRequested  `json:"request"`
	State     State                 `json:"state"`
	Asked     time.Time             `json:"asked"`
	Entry     uint64                `json:"entry"` // of the request
	Last      uint64                `json:"last"`  // newest entry that is about it
	Words     []Word                `json:"words,omitempty"`
	Announced *audit.DrillAnnounced `json:"announced,omitempty"`
	Told      time.Time             `json:"told,omitzero"` // when it was announced
	Started   *audit.DrillStarted   `json:"started,omitempty"`
	Begun     time.Time             `json:"begun,omitzero"`
	Played    time.Time             `json:"played,omitzero"` // when its play began, which its steps count from: in a sandbox that has to be up before
	Steps     []audit.DrillStep     `json:"steps,omitempty"`
	Ended     *audit.DrillEnded     `json:"ended,omitempty"`
	Over      time.Time             `json:"over,omitzero"`          // of Ended
	Sum       string                `json:"ended_sha256,omitempty"` // of Ended as the log has it, in RFC 8785 form: what the last words are over
	Cleaned   *audit.DrillCleaned   `json:"cleaned,omitempty"`
	Signed    time.Time             `json:"signed,omitzero"` // of Cleaned
	SignedOff []SignedOff           `json:"signed_off,omitempty"`
	Reported  []Reported            `json:"reported,omitempty"` // the newest ones
	Acked     []Acked               `json:"acked,omitempty"`
	Nonces    []string              `json:"nonces,omitempty"`  // of what was signed about it
	Refused   *audit.DrillRefused   `json:"refused,omitempty"` // the newest refusal
}

// ID is the drill's ULID.
func (d *Drill) ID() string { return d.Request.Drill }

// Agreed says whether as many different people as it wants, and not its tester, agreed to the very text that is to be played.
func (d *Drill) Agreed() bool {
	var people []string
	for _, w := range d.Words {
		if w.By != d.Request.Tester && w.Digest == d.Request.Digest && !slices.Contains(people, w.By) {
			people = append(people, w.By)
		}
	}
	return len(people) >= d.Request.Wanted
}

// SignedOff is what a person holds of the result.
type SignedOff struct {
	audit.DrillSignedOff
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
}

// Reported is a report to the management body.
type Reported struct {
	audit.DrillReported
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
}

// Acked is that a person took note.
type Acked struct {
	audit.DrillAcked
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
}

// Defect is a deficiency as its newest entry has it.
type Defect struct {
	audit.DrillDeficiency
	Found time.Time `json:"found"`
	Entry uint64    `json:"entry"`
}

// Lever says whether drills are allowed at all.
type Lever struct {
	audit.DrillLever
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
}

// Book is what the log says of drills. Its fields are kept between runs as a shortcut to the log; one goroutine owns it.
type Book struct {
	Form    int             `json:"form"`    // bookForm
	Drills  []*Drill        `json:"drills"`  // in the order in which they were asked for
	Defects []*Defect       `json:"defects"` // in the order in which they were found
	Lever   *Lever          `json:"lever"`   // nil: nobody ever moved it
	Told    map[string]bool `json:"told"`    // reminders
	Texts   map[string]bool `json:"texts"`   // digests of scenarios whose text the log has whole
	Reload  string          `json:"reload"`  // pseudonym of who put the configuration in force; "": nobody's name is known
	Accept  string          `json:"accept"`  // and of who had its policy accepted
	Since   time.Time       `json:"since"`   // of the first start of the node: what the calendar counts from where nothing was ever drilled
}

// bookForm is what this version keeps of a drill: a book of an earlier one is read from the log anew.
const bookForm = 2

// NewBook knows nothing.
func NewBook() *Book {
	return &Book{Form: bookForm, Told: map[string]bool{}, Texts: map[string]bool{}}
}

// Whole says whether a book that was read from the state can be used.
func (b *Book) Whole() bool { return b.Form == bookForm && b.Told != nil && b.Texts != nil }

// Wanted says which entries a book reads.
func Wanted(k audit.Kind) bool {
	return k.OfDrills() || k == audit.KindNodeStarted || k == audit.KindPolicyApplied || k == audit.KindPolicyAccepted
}

// Configurers are the people by whose acts the configuration is as it is, as far as the log knows: none of them tests by it.
func (b *Book) Configurers() (out []string) {
	for _, who := range []string{b.Reload, b.Accept} {
		if who != "" && !slices.Contains(out, who) {
			out = append(out, who)
		}
	}
	return out
}

// Get finds a drill; nil: the book has none of that id.
func (b *Book) Get(id string) *Drill {
	for _, d := range slices.Backward(b.Drills) {
		if d.ID() == id {
			return d
		}
	}
	return nil
}

// Defect finds a deficiency; nil: there is none of that id.
func (b *Book) Defect(id string) *Defect {
	i := slices.IndexFunc(b.Defects, func(d *Defect) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return b.Defects[i]
}

// Open is the drill that is running, by the log: in a node that has just started, the one in whose middle the last run ended. nil: none is.
func (b *Book) Open() *Drill {
	for _, d := range slices.Backward(b.Drills) {
		if d.State == Running {
			return d
		}
	}
	return nil
}

// Pending are the drills that may still begin, in the order in which they were asked for.
func (b *Book) Pending() (out []*Drill) {
	for _, d := range b.Drills {
		if d.State == Waiting || d.State == Ready {
			out = append(out, d)
		}
	}
	return out
}

// Forbidden says that the lever forbids drills, and why.
func (b *Book) Forbidden() (why string, is bool) {
	if b.Lever == nil || b.Lever.Allowed {
		return "", false
	}
	return b.Lever.Reason, true
}

// Take reads the next entry. One that does not read, or that says what cannot have happened, is an error and changes nothing.
func (b *Book) Take(e audit.Entry) error {
	if !Wanted(e.Kind) {
		return nil
	}
	ev, err := audit.Decode(e)
	if err == nil {
		err = b.take(e, ev)
	}
	if err != nil {
		return fmt.Errorf("register: entry %d: %w", e.Seq, err)
	}
	return nil
}

func (b *Book) take(e audit.Entry, ev audit.Event) error {
	switch ev := ev.(type) {
	case audit.NodeStarted:
		if b.Since.IsZero() {
			b.Since = e.Time
		}
		return nil
	case audit.PolicyApplied:
		if ev.Cause == "reload" {
			b.Reload = ev.By
		}
		return nil
	case audit.PolicyAccepted:
		b.Accept = ev.By
		return nil
	case audit.DrillScenario:
		if ev.Piece == ev.Of { // pieces of one text stand in order
			b.Texts[ev.Digest] = true
		}
		return nil
	case audit.DrillRequested:
		return b.requested(e, ev)
	case audit.DrillLever:
		b.Lever = &Lever{ev, e.Time, e.Seq}
		return nil
	case audit.DrillReminder:
		b.Told[mark(ev.Scenario, ev.Mode, ev.Due, ev.Days)] = true
		return nil
	case audit.DrillDeficiency:
		return b.deficient(e, ev)
	case audit.DrillRefused:
		if ev.Drill == "" {
			return nil
		}
	}
	return b.about(e, ev)
}

func (b *Book) requested(e audit.Entry, ev audit.DrillRequested) error {
	if ev.Drill == "" || b.Get(ev.Drill) != nil {
		return fmt.Errorf("%q is asked for twice, or has no name", ev.Drill)
	}
	d := &Drill{Request: ev, State: Waiting, Asked: e.Time, Entry: e.Seq, Last: e.Seq}
	if d.Agreed() {
		d.State = Ready
	}
	b.Drills = append(b.Drills, d)
	if over := len(b.Drills) - keptDrills; over > 0 {
		b.Drills = slices.Clone(b.Drills[over:])
	}
	return nil
}

// about takes an entry about a drill that was asked for.
func (b *Book) about(e audit.Entry, ev audit.Event) error {
	var head struct {
		Drill string `json:"drill"`
	}
	if err := json.Unmarshal(e.Body, &head); err != nil {
		return err
	}
	d := b.Get(head.Drill)
	if d == nil {
		return fmt.Errorf("%s: %q was never asked for", e.Kind, head.Drill)
	}
	if err := d.take(e, ev); err != nil {
		return fmt.Errorf("%s: %s is %s: %w", e.Kind, d.ID(), d.State, err)
	}
	d.Last = e.Seq
	return nil
}

// errOrder is what an entry is that does not follow from those before.
var errOrder = errors.New("that does not follow")

func (d *Drill) take(e audit.Entry, ev audit.Event) error {
	begins := d.State == Waiting || d.State == Ready
	switch ev := ev.(type) {
	case audit.DrillApproved:
		if !begins {
			return errOrder
		}
		d.Words = append(d.Words, Word{ev, e.Time, e.Seq})
		if d.Agreed() {
			d.State = Ready
		}
	case audit.DrillAnnounced:
		if !begins {
			return errOrder
		}
		d.Announced, d.Told = &ev, e.Time
	case audit.DrillRefused:
		d.Refused = &ev
		if begins && ev.What != "approval" && ev.What != "start" { // a start that is refused may be tried again
			d.State = Void
		}
	case audit.DrillStarted:
		if d.State != Ready {
			return errOrder
		}
		d.Started, d.Begun, d.State = &ev, e.Time, Running
	case audit.DrillStep:
		if ev.Word == "began" {
			d.Played = ev.At
		}
		if len(d.Steps) >= keptSteps {
			d.Steps = d.Steps[1:]
		}
		d.Steps = append(d.Steps, ev)
	case audit.DrillEnded:
		if d.State != Running {
			return errOrder
		}
		sum, err := jcs.Sum(e.Body)
		if err != nil {
			sum = "" // it ended all the same; nobody can sign over it
		}
		d.Ended, d.Over, d.Sum, d.State = &ev, e.Time, sum, Ended
	case audit.DrillCleaned:
		if d.State != Ended {
			return errOrder
		}
		d.Cleaned, d.Signed, d.State = &ev, e.Time, Cleaned
		d.signed(ev.Signature)
	default:
		return d.last(e, ev)
	}
	return nil
}

// last takes what people say of a drill beside that nothing of it is left.
func (d *Drill) last(e audit.Entry, ev audit.Event) error {
	switch ev := ev.(type) {
	case audit.DrillSignedOff:
		if d.Ended == nil || slices.ContainsFunc(d.SignedOff, func(s SignedOff) bool { return s.By == ev.By }) {
			return errOrder
		}
		d.SignedOff = append(d.SignedOff, SignedOff{ev, e.Time, e.Seq})
		d.signed(ev.Signature)
	case audit.DrillReported:
		if d.Ended == nil {
			return errOrder
		}
		if len(d.Reported) >= keptReports {
			d.Reported = d.Reported[1:]
		}
		d.Reported = append(d.Reported, Reported{ev, e.Time, e.Seq})
		d.signed(ev.Signature)
	case audit.DrillAcked:
		if len(d.Acked) < keptAcks {
			d.Acked = append(d.Acked, Acked{ev, e.Time, e.Seq})
		}
	}
	return nil
}

// signed keeps the nonce of what was signed: nothing counts twice.
func (d *Drill) signed(raw json.RawMessage) {
	var s struct {
		Statement struct {
			Nonce string `json:"nonce"`
		} `json:"statement"`
	}
	if len(raw) > 0 && json.Unmarshal(raw, &s) == nil {
		d.Nonces = append(d.Nonces, s.Statement.Nonce)
	}
}

// HasAcked says whether a person took note already, at that stage of the drill.
func (d *Drill) HasAcked(who, when string) bool {
	return slices.ContainsFunc(d.Acked, func(a Acked) bool { return a.By == who && a.When == when })
}

func (b *Book) deficient(e audit.Entry, ev audit.DrillDeficiency) error {
	d := b.Defect(ev.ID)
	switch {
	case ev.ID == "" || b.Get(ev.Drill) == nil && d == nil:
		return fmt.Errorf("%s: %q of %q is of no drill", e.Kind, ev.ID, ev.Drill)
	case d == nil:
		b.Defects = append(b.Defects, &Defect{ev, e.Time, e.Seq})
	default:
		d.DrillDeficiency, d.Entry = ev, e.Seq
	}
	return nil
}

// Test is a drill that ran to its end, of a mode.
type Test struct {
	Drill    string    `json:"drill"`
	Scenario string    `json:"scenario"`
	Outcome  string    `json:"outcome"`
	End      time.Time `json:"end"`
}

// completed says whether a drill counts as a test: it ran to its end and everything was given back. One that was stopped showed nothing but that it can be stopped.
func (d *Drill) completed() bool {
	return d.Ended != nil && (d.Ended.Outcome == "passed" || d.Ended.Outcome == "failed")
}

// Newest is the last test of a mode, in the register's words; ok is false when there was none.
func (b *Book) Newest(mode string) (t Test, ok bool) { return b.newest(mode, "") }

func (b *Book) newest(mode, scenario string) (t Test, ok bool) {
	for _, d := range b.Drills {
		if d.completed() && d.Request.Mode == mode && (scenario == "" || d.Request.Scenario == scenario) && d.Ended.End.After(t.End) {
			t, ok = Test{d.ID(), d.Request.Scenario, d.Ended.Outcome, d.Ended.End}, true
		}
	}
	return t, ok
}

// Defective are the deficiencies of a drill, those that are due first before the others. "": of all drills.
func (b *Book) Defective(drill string) (out []*Defect) {
	for _, d := range b.Defects {
		if drill == "" || d.Drill == drill {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(x, y *Defect) int { return cmp.Or(x.Due.Compare(y.Due), cmp.Compare(x.ID, y.ID)) })
	return out
}
