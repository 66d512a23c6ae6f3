package cordon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
)

// How a last word about a drill was given.
const (
	drillBySession = "bearer"
	drillByKey     = approval.AuthBoth
)

// minutesMost is of the reference of minutes, in bytes.
const minutesMost = 200

// wordOf is what a person says of a drill, as the log is to have it.
func wordOf(id, word, who string, s admin.DrillSaid) keyring.DrillWord {
	return keyring.DrillWord{Drill: id, Word: word, Verdict: s.Verdict, Date: s.Date, Minutes: s.Minutes, Person: who, Role: s.Role, Reason: s.Reason, Signature: s.Signature}
}

// signed judges by whom and how a last word about a drill was given. k.mu is held.
func (k *drillKeeper) signed(d *register.Drill, w keyring.DrillWord) (auth string, _ *admin.DrillRefusal) {
	live := d.Request.Mode == scenario.Canary.Evidence() || d.Request.Mode == scenario.Full.Evidence()
	switch {
	case d.Ended == nil:
		return "", refuse("wait for its end", "%s is %s: nothing can be said of it yet", d.ID(), d.State)
	case w.Role != "" && !slices.Contains(k.node.reviews.rolesOf(w.Person), w.Role):
		return "", refuse("name a role that you hold", "the person does not hold the role %.40q", w.Role)
	case len(w.Signature) > 0:
		return drillByKey, k.fits(d, w)
	case !live || w.Word == sign.DrillReported:
		return drillBySession, nil // that the management body was told is taken from anybody who says so
	case k.node.cfg.Load().Drills.Signed:
		return "", refuse("add --role and --key; cordon gate key makes one, and two people vouch for it", "drills.signed wants a signature of everybody, and a session is none")
	case k.holdsKey(w.Person):
		return "", refuse("add --role=ROLE and --key=FILE", "who has a key signs what is said of a %s drill: the session alone is no signature", d.Request.Mode)
	}
	return drillBySession, nil
}

// holdsKey says whether a key of a person's counts now.
func (k *drillKeeper) holdsKey(who string) bool {
	return slices.ContainsFunc(k.node.gate.Keys(), func(x keyring.Standing) bool { return x.Person == who && x.Counts })
}

// fits says why a signature is not one of this person, over this very word, that counts now for the first time.
func (k *drillKeeper) fits(d *register.Drill, w keyring.DrillWord) *admin.DrillRefusal {
	s, err := sign.ParseDrill(w.Signature)
	if err != nil {
		return refuse("sign it with cordon drill", "the signed statement does not read: %v", err)
	}
	st, now := s.Statement, time.Now()
	who, err := k.node.gate.Signer(st.Key, func(pub []byte) error { return s.Verify(pub) })
	var no *approval.Refusal
	switch {
	case errors.As(err, &no) && no.Rule == approval.RuleSignature:
		return refuse("sign it again", "%s", no.Detail)
	case errors.As(err, &no):
		return refuse(no.Hint, "%s", no.Detail)
	case err != nil:
		return refuse("sign it again", "%v", err)
	case who != w.Person:
		return refuse("sign with a key of your own", "the key is of somebody else than the session")
	case slices.ContainsFunc(k.kept.Book.Drills, func(x *register.Drill) bool { return slices.Contains(x.Nonces, st.Nonce) }):
		return refuse("sign it again", "this very statement was handed in before, and counts once")
	case st.At.After(now.Add(approval.SignedSkew)) || st.At.Before(d.Over.Add(-approval.SignedSkew)):
		return refuse("set the clock of the machine that signed, and sign again", "it was signed at %s, which is before the end of the drill or still to come", approval.When(st.At))
	}
	if err := w.Over(keyring.DrillEnd{Plan: d.Ended.Digest, Outcome: d.Ended.Outcome, Sum: d.Sum, At: d.Over}, st); err != nil {
		return refuse("cordon drill signs what the node shows now", "%v", err)
	}
	return nil
}

// SignOff implements admin.Drills: DORA Art. 24(4) wants who judges a test to be independent of who ran it.
func (k *drillKeeper) SignOff(ctx context.Context, id string, s admin.DrillSaid, by string) (register.Drill, error) {
	return k.change(ctx, id, by, func(d *register.Drill, who string) (audit.Event, *admin.DrillRefusal) {
		no := k.judges(d, who, s)
		if no != nil {
			return nil, no
		}
		auth, no := k.signed(d, wordOf(id, sign.DrillSignedOff, who, s))
		if no != nil {
			return nil, no
		}
		return audit.DrillSignedOff{Drill: id, Verdict: s.Verdict, By: who, Reason: s.Reason, Role: s.Role, Auth: auth, Signature: s.Signature}, nil
	})
}

// judges says why a person's judgement of the result does not count.
func (k *drillKeeper) judges(d *register.Drill, who string, s admin.DrillSaid) *admin.DrillRefusal {
	known := k.kept.Book.Defective(d.ID())
	open := slices.ContainsFunc(known, func(x *register.Defect) bool { return x.Fixed.IsZero() })
	if no := reasoned(s.Reason); no != nil {
		return no
	}
	switch {
	case s.Date+s.Minutes != "":
		return refuse("cordon drill reported notes that", "a date and minutes are of a report to the management body")
	case s.Role == "":
		return refuse("add --role=ROLE, one that you hold", "a sign-off names the role in which it is given")
	case d.Ended == nil:
		return refuse("wait for its end", "%s is %s: it has no result yet", d.ID(), d.State)
	case who == d.Request.Tester:
		return refuse("somebody who did not run it signs its result off: DORA Art. 24(4)", "who asked for the drill does not judge its result")
	case slices.ContainsFunc(d.Words, func(w register.Word) bool { return w.By == who }):
		return refuse("somebody who did not approve it signs its result off: DORA Art. 24(4)", "who approved the start of the drill does not judge its result")
	case slices.ContainsFunc(d.SignedOff, func(x register.SignedOff) bool { return x.By == who }):
		return refuse("what was said stands; a new deficiency says what was found since", "the person signed the result off before")
	case !slices.Contains([]string{sign.DrillAccept, sign.DrillAcceptWithDeficiency, sign.DrillReject}, s.Verdict):
		return refuse("accept, accept_with_deficiencies or reject", "%.40q is no verdict", s.Verdict)
	case s.Verdict == sign.DrillAccept && d.Ended.Outcome != "passed":
		return refuse("note what was wanting (cordon drill finding) and accept it with deficiencies, or reject it", "a drill that %s is not accepted as it is", strings.ReplaceAll(d.Ended.Outcome, "_", " "))
	case s.Verdict == sign.DrillAccept && open:
		return refuse("accept it with deficiencies, or wait until they are fixed", "a deficiency of the drill is open")
	case s.Verdict == sign.DrillAcceptWithDeficiency && len(known) == 0:
		return refuse("note them first: cordon drill finding", "no deficiency of the drill is on record")
	}
	return nil
}

// Reported implements admin.Drills. Anybody may say so, also who ran the drill: RTS (EU) 2024/1774 Art. 25(5) wants it told, and does not say by whom.
func (k *drillKeeper) Reported(ctx context.Context, id string, s admin.DrillSaid, by string) (register.Drill, error) {
	return k.change(ctx, id, by, func(d *register.Drill, who string) (audit.Event, *admin.DrillRefusal) {
		auth, no := k.signed(d, wordOf(id, sign.DrillReported, who, s))
		if no != nil {
			return nil, no
		}
		day, err := time.Parse(time.DateOnly, s.Date)
		switch {
		case len(s.Reason) > drillReasonMost:
			no = reasoned(s.Reason)
		case s.Verdict != "":
			no = refuse("cordon drill signoff gives one", "a verdict is of a sign-off")
		case err != nil:
			no = refuse("write it as 2026-12-31", "%.20q is no day", s.Date)
		case day.After(time.Now().Add(24 * time.Hour)): // it may be tomorrow there
			no = refuse("note it when it has been told", "%s is still to come", s.Date)
		case day.Before(d.Ended.End.Add(-24 * time.Hour)):
			no = refuse("give the date of the meeting", "%s is before the end of the drill", s.Date)
		case strings.TrimSpace(s.Minutes) == "" || len(s.Minutes) > minutesMost:
			no = refuse("such as MB-2026-12/4", "the reference of the minutes is missing, or longer than %d characters", minutesMost)
		}
		if no != nil {
			return nil, no
		}
		return audit.DrillReported{Drill: id, Date: s.Date, Minutes: s.Minutes, By: who, Reason: s.Reason, Role: s.Role, Auth: auth, Signature: s.Signature}, nil
	})
}

// Ack implements admin.Drills.
func (k *drillKeeper) Ack(ctx context.Context, id, by string) (register.Drill, error) {
	return k.change(ctx, id, by, func(d *register.Drill, who string) (audit.Event, *admin.DrillRefusal) {
		when := "after"
		switch {
		case d.State == register.Void:
			return nil, refuse("there is nothing to take note of", "%s never began", id)
		case d.Announced == nil && d.Started == nil:
			return nil, refuse("wait until it is announced", "nobody was told of %s yet", id)
		case d.Started == nil:
			when = "before"
		case d.Ended == nil:
			when = "during"
		}
		if d.HasAcked(who, when) {
			return nil, refuse("once is enough", "the person has said so already, %s the drill", when)
		}
		return audit.DrillAcked{Drill: id, When: when, By: who}, nil
	})
}

// unit is that of a person in the organisation; "": the configuration does not say.
func (k *drillKeeper) unit(who string) string {
	for _, p := range k.node.cfg.Load().People {
		if k.node.pseudonym(p.ID) == who {
			return p.Unit
		}
	}
	return ""
}
