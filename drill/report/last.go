package report

import (
	"fmt"
	"time"

	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

// lastWord is one of the last words about the drill, and where it stands in the report.
type lastWord struct {
	e    audit.Entry
	w    keyring.DrillWord
	hand func(*Report) []*Hand
}

// bySession and bySignature are how a word was given.
const (
	bySession   = "session"
	bySignature = "signature"
)

// key takes an entry about keys. An enrolment that does not hold lets nothing count, and is what cordon verify finds.
func (b *Builder) key(e audit.Entry) error {
	_ = b.keys.Take(e)
	return nil
}

// said takes one of the last words.
func (b *Builder) said(e audit.Entry) error {
	w, _, err := keyring.DrillWordOf(e)
	if err != nil {
		return fmt.Errorf("drill/report: entry %d: %w", e.Seq, err)
	}
	r := &b.r
	if w.Word == sign.DrillReported {
		date, err := time.Parse(time.DateOnly, w.Date)
		if err != nil {
			return fmt.Errorf("drill/report: entry %d: %w", e.Seq, err)
		}
		r.Reported = Reported{Date: At(date), Minutes: Text(w.Minutes), By: Text(w.Person), At: At(e.Time)}
		b.last = append(b.last, lastWord{e, w, func(r *Report) []*Hand { return []*Hand{&r.Reported.Hand} }})
		return nil
	}
	word, at := Text(w.Word), len(r.SignOff)
	if w.Word == sign.DrillCleaned {
		word = "cleaned_up"
	}
	role := Text(w.Role)
	if role == "" {
		role = word
	}
	r.SignOff = append(r.SignOff, Signature{Person: Text(w.Person), Role: role, At: At(e.Time), Word: word, Verdict: Text(w.Verdict), Reason: Text(w.Reason)})
	b.last = append(b.last, lastWord{e, w, func(r *Report) []*Hand {
		if w.Word == sign.DrillCleaned {
			return []*Hand{&r.SignOff[at].Hand, &r.Cleanup.Hand}
		}
		return []*Hand{&r.SignOff[at].Hand}
	}})
	return nil
}

// hands says of each of the last words how it was given, and whether what was signed holds by the keys that counted then.
func (b *Builder) hands(keys keyring.Ring) {
	if keys == nil {
		keys = b.keys
	}
	seen := map[string]bool{}
	for _, x := range b.last {
		h := Hand{How: bySession}
		if len(x.w.Signature) > 0 {
			st, err := keys.DrillWord(x.e, x.w, b.over)
			if err == nil && seen[st.Nonce] {
				err = fmt.Errorf("the very statement stands in the log before")
			}
			seen[st.Nonce] = true
			h = Hand{How: bySignature, Key: Text(st.Key), Holds: ptr(err == nil)}
			if err != nil {
				h.Why = Text(err.Error())
			}
		}
		for _, into := range x.hand(&b.r) {
			*into = h
		}
	}
	if n := len(b.r.Governance.Acks); n > 0 {
		b.r.Governance.Acked = ptr(n)
	}
}

// Unsound are the signatures that do not hold, in words.
func (r *Report) Unsound() (out []string) {
	say := func(h Hand, what string, by Text) {
		if h.Holds != nil && !*h.Holds {
			out = append(out, fmt.Sprintf("what %s signed (%s) does not hold: %s", by, what, h.Why))
		}
	}
	for _, s := range r.SignOff {
		say(s.Hand, human(string(s.Word)), s.Person)
	}
	say(r.Reported.Hand, "reported", r.Reported.By)
	return out
}

// judged says whether anybody judged the result.
func (r *Report) judged() bool {
	for _, s := range r.SignOff {
		if s.Word == sign.DrillSignedOff {
			return true
		}
	}
	return false
}

// said is how a word was given, in words.
func (h Hand) said() string {
	switch {
	case h.How == bySession:
		return "by session alone, without a key"
	case h.Holds == nil:
		return ""
	case *h.Holds:
		return "signed with " + string(h.Key) + ", which holds"
	}
	return "THE SIGNATURE DOES NOT HOLD: " + string(h.Why)
}
