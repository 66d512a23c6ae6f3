package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/jcs"
)

// Checker reads a log from its first entry on and checks what people signed in it: no node is needed, and no key but those that the log itself enrolled.
type Checker struct {
	ring  Ring
	words map[string]bool // change that took effect: was it signed?
	seen  map[string]bool // signatures that were checked

	ends   map[string]DrillEnd // of drills, by id
	nonces map[string]bool     // of statements about them
	drills DrillTally

	Bad []BadWord // what does not hold, in the order of the log
}

// BadWord is an entry whose keys or signatures do not hold.
type BadWord struct {
	Seq  uint64
	What string
}

// Tally counts what a Checker found.
type Tally struct {
	Signed    int // decisions and opinions that carry a signature
	BySession int // and those that do not
	Keys      int // that were enrolled
	Bootstrap int // of them those that stood in the first configuration, which nobody vouched for
	Revoked   int
}

// DrillTally counts the last words about drills.
type DrillTally struct{ Signed, BySession int }

// Drills gives those counts so far.
func (c *Checker) Drills() DrillTally { return c.drills }

// NewChecker starts before the first entry.
func NewChecker() *Checker {
	return &Checker{ring: Ring{}, words: map[string]bool{}, seen: map[string]bool{}, ends: map[string]DrillEnd{}, nonces: map[string]bool{}}
}

// Tally gives the counts so far. Words of changes that did not take effect are left out.
func (c *Checker) Tally() Tally {
	var t Tally
	for _, signed := range c.words {
		if signed {
			t.Signed++
		} else {
			t.BySession++
		}
	}
	for _, k := range c.ring {
		t.Keys++
		if k.How == HowBootstrap {
			t.Bootstrap++
		}
		if !k.RevokedAt.IsZero() {
			t.Revoked++
		}
	}
	return t
}

// Take reads the next entry.
func (c *Checker) Take(e audit.Entry) {
	var err error
	switch e.Kind {
	case audit.KindKeyEnrolled, audit.KindKeyRevoked:
		err = c.ring.Take(e)
	case audit.KindGateChanged:
		err = c.change(e)
	case audit.KindDrillEnded, audit.KindDrillCleaned, audit.KindDrillSignedOff, audit.KindDrillReported:
		err = c.drill(e)
	}
	if err != nil {
		c.Bad = append(c.Bad, BadWord{e.Seq, err.Error()})
	}
}

// change checks one change of a ticket: the word that it adds, and every signature that its record shows.
func (c *Checker) change(e audit.Entry) error {
	var ev approval.GateChanged
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return fmt.Errorf("approval: reading a change of a ticket: %w", err)
	}
	if ev.What == approval.NotApplied {
		delete(c.words, ev.Voids)
		return nil
	}
	if ev.Decision != nil || ev.Opinion != nil {
		signed := ev.Decision != nil && ev.Decision.Signature != nil || ev.Opinion != nil && ev.Opinion.Signature != nil
		c.words[ev.Change] = signed
		exempt := ev.Opinion != nil && ev.Opinion.Word == approval.NotReached
		if !signed && !exempt && ev.Record != nil && ev.Record.Rules.Signed {
			return fmt.Errorf("approval: ticket %s: a word without a signature, where signatures were required", ev.Ticket)
		}
	}
	if ev.Record == nil {
		return nil
	}
	shown := false
	t := &ev.Record.Ticket
	for i, d := range slices.Concat(t.Decisions, t.Glass) {
		shown = shown || ev.Decision != nil && ev.Decision.Person == d.Person
		word := sign.BreakGlass
		if i < len(t.Decisions) {
			word = decisionWord(d)
		}
		if err := c.word(e, ev.Record, d.Signature, d.Person, d.Role, word, d.Reason); err != nil {
			return err
		}
	}
	if ev.Decision != nil && !shown {
		return fmt.Errorf("approval: ticket %s: the ticket does not have the decision that the entry tells of", ev.Ticket)
	}
	for _, o := range t.Opinions {
		role := ""
		if o.Signature != nil {
			role = o.Signature.Statement.Role
		}
		if err := c.word(e, ev.Record, o.Signature, o.Person, role, opinionWord(o), o.Text); err != nil {
			return err
		}
	}
	return nil
}

func decisionWord(d approval.Decision) sign.Word {
	if d.Approve {
		return sign.Approve
	}
	return sign.Deny
}

func opinionWord(o approval.Opinion) sign.Word {
	if o.Word == approval.Conditions && o.Met {
		return sign.ConditionsMet
	}
	return sign.Word(o.Word)
}

// word checks one signature against the ticket that it stands in and the keys that counted then.
func (c *Checker) word(e audit.Entry, r *approval.Record, s *sign.Signed, person, role string, w sign.Word, reason string) error {
	if s == nil || c.seen[s.Signature] {
		return nil
	}
	c.seen[s.Signature] = true
	st, t := s.Statement, &r.Ticket
	bad := func(format string, a ...any) error {
		return fmt.Errorf("approval: ticket %s: the word of %s: %s", t.ID, person, fmt.Sprintf(format, a...))
	}
	k, ok := c.ring[st.Key]
	switch {
	case !ok:
		return bad("signed by %s, a key that was not enrolled before", st.Key)
	case k.Person != person:
		return bad("signed by %s, the key of %s", st.Key, k.Person)
	case !k.RevokedAt.IsZero():
		return bad("signed by %s, which was revoked before (entry %d)", st.Key, k.Revocation)
	case !e.Time.Add(-approval.SignedSkew).Before(k.Expires):
		return bad("signed by %s, which had ended at %s", st.Key, approval.When(k.Expires))
	case st.Ticket != t.ID || st.PlanHash != t.PlanHash || st.PolicyDigest != t.Plan.PolicyDigest || st.FactsDigest != t.Plan.FactsDigest:
		return bad("what was signed is another ticket, plan, policy or law table")
	case st.Role != role || st.Word != w || st.Reason != reason:
		return bad("what was signed is another word, role or reason than the entry has")
	case !r.Holds(person, st.Role) && w != sign.NotReached:
		return bad("signed in the role %s, which was not held", st.Role)
	}
	if hash, err := PlanHash(e.Body); err != nil || hash != st.PlanHash {
		return bad("the plan in the entry does not have the hash that was signed")
	}
	pub, err := sign.ParsePublic(k.Public)
	if err == nil {
		err = s.Verify(pub)
	}
	if err != nil {
		return bad("the signature does not fit: the statement was changed after it was signed, or another key signed it")
	}
	return nil
}

// PlanHash is the hash of the plan as it stands in an entry, whatever this version knows of its members.
func PlanHash(body []byte) (string, error) {
	var ev struct {
		Record struct {
			Ticket struct {
				Plan json.RawMessage `json:"plan"`
			} `json:"ticket"`
		} `json:"record"`
	}
	if err := json.Unmarshal(body, &ev); err != nil {
		return "", err
	}
	text, err := jcs.Canonical(bytes.TrimSpace(ev.Record.Ticket.Plan))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
