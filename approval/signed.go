package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval/sign"
)

// How a person was known who did not sign in, or did so and signed, too. A word by session alone says how the session was authenticated.
const (
	AuthSignature = "signature"
	AuthBoth      = "bearer+signature"
)

// MaxSignedFile is the size of the longest signed file that Submit reads, in bytes.
const MaxSignedFile = sign.MaxFile

// Submitted is what a signed file came to: a ticket, or a key that counts now.
type Submitted struct {
	Ticket *Ticket `json:"ticket,omitempty"`
	Key    *Key    `json:"key,omitempty"`
}

// Submit takes a signed file: a decision or an opinion over a ticket, or an enrolment. by is the person who hands it in, who need not be the one who signed it.
func (g *Gate) Submit(ctx context.Context, raw []byte, by string) (Submitted, error) {
	courier, err := g.settings.Load().person(by)
	if err != nil {
		return Submitted{}, err
	}
	form, err := sign.Form(raw)
	if err != nil {
		return Submitted{}, unread(err)
	}
	if form == sign.EnrolmentForm {
		f, err := sign.ParseEnrolment(raw)
		if err != nil {
			return Submitted{}, unread(err)
		}
		key, err := g.enrol(ctx, f, courier)
		return Submitted{Key: &key}, err
	}
	s, err := sign.ParseDecision(raw)
	if err != nil {
		return Submitted{}, unread(err)
	}
	t, err := g.signedWord(ctx, s, courier)
	return Submitted{Ticket: &t}, err
}

func unread(err error) *Refusal {
	return &Refusal{RuleSignedFile, err.Error(), "bring the file anew, or make it again"}
}

// signedWord records what somebody signed.
func (g *Gate) signedWord(ctx context.Context, s sign.Signed, courier string) (Ticket, error) {
	st := s.Statement
	said := func(now time.Time, r *Record) (Decision, error) {
		who, err := g.signer(now, st.Key, func(pub []byte) error { return s.Verify(pub) })
		if err == nil {
			err = r.fits(now, who, st)
		}
		d := Decision{
			Person: who, Role: st.Role, Approve: st.Word != sign.Deny, Reason: st.Reason, PlanHash: st.PlanHash, Auth: AuthSignature, At: now,
			Signature: &s, HandedIn: courier,
		}
		if who == courier {
			d.Auth, d.HandedIn = AuthBoth, ""
		}
		return d, err
	}
	if st.Word == sign.BreakGlass {
		return g.confirm(ctx, st.Ticket, said)
	}
	return g.word(ctx, st.Ticket, func(now time.Time, r *Record) (GateChanged, error) {
		d, err := said(now, r)
		if err != nil {
			return GateChanged{}, err
		}
		if st.Word.Decides() {
			return GateChanged{What: Decided, By: d.Person, Decision: &d, Why: st.Reason}, r.decide(now, d)
		}
		o := Opinion{Person: d.Person, Word: OpinionWord(st.Word), Text: st.Reason, At: now, Signature: &s, HandedIn: d.HandedIn}
		if st.Word == sign.ConditionsMet {
			o.Word, o.Met = Conditions, true
		}
		if err := r.opine(now, o); err != nil {
			return GateChanged{}, err
		}
		o = r.Ticket.Opinions[len(r.Ticket.Opinions)-1]
		return GateChanged{What: Opined, By: d.Person, Opinion: &o, Why: st.Reason}, nil
	})
}

// fits says why a statement is not one over this ticket as it stands.
func (r *Record) fits(now time.Time, who string, st sign.Statement) error {
	t := &r.Ticket
	for _, s := range t.signatures() {
		if s.Statement.Nonce == st.Nonce {
			return &Refusal{RuleReplayed, "this very statement was handed in before", "a word counts once"}
		}
	}
	first := t.RequestedAt.Add(-signedSkew)
	for _, o := range t.Opinions {
		given := o.At.Add(-signedSkew)
		if o.Signature != nil {
			given = o.Signature.Statement.At // by the same clock, most likely: no margin
		}
		if o.Person == who && given.After(first) {
			first = given
		}
	}
	switch {
	case st.PlanHash != t.PlanHash || st.PolicyDigest != t.Plan.PolicyDigest || st.FactsDigest != t.Plan.FactsDigest:
		return &Refusal{RulePlanChanged, "what was signed is over another plan, policy or law table than the ticket's", "export the ticket again and sign that; its plan is " + t.PlanHash}
	case st.At.After(now.Add(signedSkew)):
		return &Refusal{RuleSignedAt, "it was signed at " + clock(st.At) + ", which is still to come", "set the clock of the machine that signed, and sign again"}
	case st.At.Before(first):
		return &Refusal{RuleSignedAt, "it was signed at " + clock(st.At) + ", before the ticket or a later word of the same person", "set the clock of the machine that signed, and sign again"}
	case !st.Word.Decides() && st.Word != sign.NotReached && st.Role != r.Rules.OpinionRole:
		return &Refusal{RuleRoleNotHeld, "the opinion was signed in the role " + st.Role, "sign it in the role " + r.Rules.OpinionRole}
	}
	return nil
}

// signatures are those of all words on a ticket.
func (t *Ticket) signatures() []*sign.Signed {
	var out []*sign.Signed
	for _, d := range slices.Concat(t.Decisions, t.Glass) {
		out = append(out, d.Signature)
	}
	for _, o := range t.Opinions {
		out = append(out, o.Signature)
	}
	return slices.DeleteFunc(out, func(s *sign.Signed) bool { return s == nil })
}

// signedWell refuses a word by session where signatures are required, and one under a key that spoke for somebody else on this ticket.
func (r *Record) signedWell(person string, s *sign.Signed) error {
	if s == nil {
		if r.Rules.Signed {
			return &Refusal{RuleUnsigned, "this gate takes signed words alone, and a session is no signature", "cordon gate approve --key=FILE, or export, sign and submit"}
		}
		return nil
	}
	other := func(p string, o *sign.Signed) bool {
		return p != person && o != nil && o.Statement.Key == s.Statement.Key
	}
	if slices.ContainsFunc(slices.Concat(r.Ticket.Decisions, r.Ticket.Glass), func(d Decision) bool { return other(d.Person, d.Signature) }) ||
		slices.ContainsFunc(r.Ticket.Opinions, func(o Opinion) bool { return other(o.Person, o.Signature) }) {
		return sameKey()
	}
	return nil
}

// TicketForm is the member "cordon" of a ticket on its way to a machine without a wire.
const TicketForm = "gate ticket v1"

// MaxTicketFile is the size of the longest ticket file that is read, in bytes.
const MaxTicketFile = 256 << 10

// TicketFile is a ticket as it is carried to who signs. What is signed is made from the plan alone; the rest is to read.
type TicketFile struct {
	Form        string    `json:"cordon"`
	Ticket      string    `json:"ticket"`
	State       State     `json:"state"`
	RequestedBy string    `json:"requested_by"`
	RequestedAt time.Time `json:"requested_at"`
	ApproveBy   time.Time `json:"approve_by"`
	Missing     []string  `json:"missing"`
	Plan        Plan      `json:"plan"`
	PlanHash    string    `json:"plan_hash"`
	Checkpoint  string    `json:"checkpoint"` // of the node's log when the file was made, with its signatures; empty: none was to be had
}

// Export makes the file of a ticket.
func (t Ticket) Export(checkpoint string) ([]byte, error) {
	f := TicketFile{
		Form: TicketForm, Ticket: t.ID, State: t.State, RequestedBy: t.RequestedBy, RequestedAt: t.RequestedAt.UTC(), ApproveBy: t.ApproveBy.UTC(),
		Missing: filled(t.Missing), Plan: t.Plan.filled(), PlanHash: t.PlanHash, Checkpoint: checkpoint,
	}
	raw, err := sign.Indent(f)
	if err != nil {
		return nil, fmt.Errorf("approval: ticket file: %w", err)
	}
	return raw, nil
}

// ReadTicketFile reads the file of a ticket and makes the hash of its plan anew: a file whose plan is not the one that its hash names is refused.
func ReadTicketFile(raw []byte) (TicketFile, error) {
	var f TicketFile
	if err := sign.Strict(raw, MaxTicketFile, TicketForm, &f); err != nil {
		return TicketFile{}, fmt.Errorf("approval: ticket file: %w", err)
	}
	hash := f.Plan.Hash()
	switch {
	case !validID(f.Ticket):
		return TicketFile{}, errors.New("approval: ticket file: the ticket has no id")
	case hash == "" || hash != f.PlanHash:
		return TicketFile{}, fmt.Errorf("approval: ticket file: the plan was changed: its hash is %s, and the file says %.64q", hash, f.PlanHash)
	}
	return f, nil
}

// Statement is what a person signs over the ticket of f. The time is the signer's clock; the nonce is 16 bytes of chance in hex.
func (f TicketFile) Statement(w sign.Word, role, reason string, at time.Time, nonce string) sign.Statement {
	return sign.Statement{
		Ticket: f.Ticket, PlanHash: f.Plan.Hash(), PolicyDigest: f.Plan.PolicyDigest, FactsDigest: f.Plan.FactsDigest,
		Role: role, Word: w, Reason: reason, At: at, Nonce: nonce,
	}
}
