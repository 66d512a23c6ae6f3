package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/jcs"
)

// DrillEnd is what a log says of the end of a drill: what the last words about it are over.
type DrillEnd struct {
	Plan    string    // SHA-256 of the text that was played
	Outcome string    //
	Sum     string    // SHA-256 of the body of drill.ended in RFC 8785 form
	At      time.Time // of the entry
}

// EndOf reads the end of a drill.
func EndOf(e audit.Entry) (drill string, end DrillEnd, err error) {
	var ev audit.DrillEnded
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return "", end, fmt.Errorf("approval: reading the end of a drill: %w", err)
	}
	sum, err := jcs.Sum(e.Body)
	return ev.Drill, DrillEnd{Plan: ev.Digest, Outcome: ev.Outcome, Sum: sum, At: e.Time}, err
}

// DrillWord is one of the last words about a drill, as an entry has it.
type DrillWord struct {
	Drill, Word, Verdict, Date, Minutes string
	Person, Role, Reason                string
	Signature                           json.RawMessage // absent: the session alone stands for the person
}

// DrillWordOf reads one; ok is false where an entry is none.
func DrillWordOf(e audit.Entry) (w DrillWord, ok bool, err error) {
	switch e.Kind {
	case audit.KindDrillCleaned, audit.KindDrillSignedOff, audit.KindDrillReported:
	default:
		return w, false, nil
	}
	ev, err := audit.Decode(e)
	if err != nil {
		return w, true, err
	}
	switch ev := ev.(type) {
	case audit.DrillCleaned:
		w = DrillWord{Drill: ev.Drill, Word: sign.DrillCleaned, Person: ev.By, Role: ev.Role, Reason: ev.Reason, Signature: ev.Signature}
	case audit.DrillSignedOff:
		w = DrillWord{Drill: ev.Drill, Word: sign.DrillSignedOff, Verdict: ev.Verdict, Person: ev.By, Role: ev.Role, Reason: ev.Reason, Signature: ev.Signature}
	case audit.DrillReported:
		w = DrillWord{Drill: ev.Drill, Word: sign.DrillReported, Date: ev.Date, Minutes: ev.Minutes, Person: ev.By, Role: ev.Role, Reason: ev.Reason, Signature: ev.Signature}
	}
	return w, true, nil
}

// Over says why a statement is not over this very word and this end.
func (w DrillWord) Over(end DrillEnd, st sign.DrillStatement) error {
	over := sign.DrillStatement{
		Drill: w.Drill, Plan: end.Plan, Outcome: end.Outcome, End: end.Sum, Word: w.Word, Verdict: w.Verdict, Date: w.Date, Minutes: w.Minutes, Role: w.Role, Reason: w.Reason,
		Key: st.Key, At: st.At, Nonce: st.Nonce,
	}
	switch {
	case st.Drill != w.Drill:
		return errors.New("what was signed is about another drill")
	case st.Plan != end.Plan || st.Outcome != end.Outcome || st.End != end.Sum:
		return errors.New("what was signed is about another plan, outcome or end of the drill")
	case st != over:
		return errors.New("what was signed is another word, verdict, date, role or reason")
	}
	return nil
}

// DrillWord says why the signature of a word about a drill does not hold in an entry, by the keys that counted then; st is what was signed. Who asks of a word without a
// signature is told that there is none.
func (k Ring) DrillWord(e audit.Entry, w DrillWord, end DrillEnd) (st sign.DrillStatement, err error) {
	s, err := sign.ParseDrill(w.Signature)
	if err != nil {
		return st, err
	}
	st = s.Statement
	key, ok := k[st.Key]
	switch {
	case !ok || key.Entry > e.Seq:
		return st, fmt.Errorf("signed by %s, a key that was not enrolled before", st.Key)
	case key.Person != w.Person:
		return st, fmt.Errorf("signed by %s, the key of %s", st.Key, key.Person)
	case !key.RevokedAt.IsZero() && !key.RevokedAt.After(e.Time):
		return st, fmt.Errorf("signed by %s, which was revoked before (entry %d)", st.Key, key.Revocation)
	case !e.Time.Add(-approval.SignedSkew).Before(key.Expires):
		return st, fmt.Errorf("signed by %s, which had ended at %s", st.Key, approval.When(key.Expires))
	case st.At.After(e.Time.Add(approval.SignedSkew)) || st.At.Before(end.At.Add(-approval.SignedSkew)):
		return st, fmt.Errorf("signed at %s, which is before the end of the drill or after the entry", approval.When(st.At))
	}
	pub, err := sign.ParsePublic(key.Public)
	if err == nil {
		err = s.Verify(pub)
	}
	if err != nil {
		return st, errors.New("the signature does not fit: the statement was changed after it was signed, or another key signed it")
	}
	return st, w.Over(end, st)
}

// drill takes an entry that is about the end of a drill or a word about it.
func (c *Checker) drill(e audit.Entry) error {
	if e.Kind == audit.KindDrillEnded {
		id, end, err := EndOf(e)
		if err == nil {
			c.ends[id] = end
		}
		return err
	}
	w, ok, err := DrillWordOf(e)
	switch {
	case err != nil || !ok:
		return err
	case len(w.Signature) == 0:
		c.drills.BySession++
		return nil
	}
	c.drills.Signed++
	end, ok := c.ends[w.Drill]
	if !ok {
		return fmt.Errorf("approval: drill %s: %s is signed, and the log has no end of it", w.Drill, w.Word)
	}
	st, err := c.ring.DrillWord(e, w, end)
	if err == nil && c.nonces[st.Nonce] {
		err = errors.New("the very statement stands in the log before")
	}
	c.nonces[st.Nonce] = true
	if err != nil {
		return fmt.Errorf("approval: drill %s: %s by %s: %w", w.Drill, w.Word, w.Person, err)
	}
	return nil
}
