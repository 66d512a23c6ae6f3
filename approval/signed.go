package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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

// Fits says why a statement is not one over this ticket as it stands.
func (r *Record) Fits(now time.Time, who string, st sign.Statement) error {
	t := &r.Ticket
	for _, s := range t.signatures() {
		if s.Statement.Nonce == st.Nonce {
			return &Refusal{RuleReplayed, "this very statement was handed in before", "a word counts once"}
		}
	}
	first := t.RequestedAt.Add(-SignedSkew)
	for _, o := range t.Opinions {
		given := o.At.Add(-SignedSkew)
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
	case st.At.After(now.Add(SignedSkew)):
		return &Refusal{RuleSignedAt, "it was signed at " + When(st.At) + ", which is still to come", "set the clock of the machine that signed, and sign again"}
	case st.At.Before(first):
		return &Refusal{RuleSignedAt, "it was signed at " + When(st.At) + ", before the ticket or a later word of the same person", "set the clock of the machine that signed, and sign again"}
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
		return SharedKey()
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
	case !ValidID(f.Ticket):
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

// ValidID says whether id has the form of a ticket's: a ULID.
func ValidID(id string) bool {
	return len(id) == 26 && strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

// SignedSkew is how far the clock of who signs may stand off the node's.
const SignedSkew = 2 * time.Minute

// SharedKey refuses a key that stands for two people.
func SharedKey() *Refusal {
	return &Refusal{RuleKeyShared, "the same key stands under two names", "everybody has a key of their own: nobody may count as two"}
}
