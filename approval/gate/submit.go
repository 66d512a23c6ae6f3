package gate

import (
	"context"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
)

// Submit takes a signed file: a decision or an opinion over a ticket, or an enrolment. by is the person who hands it in, who need not be the one who signed it.
func (g *Gate) Submit(ctx context.Context, raw []byte, by string) (keyring.Submitted, error) {
	courier, err := g.settings.Load().person(by)
	if err != nil {
		return keyring.Submitted{}, err
	}
	form, err := sign.Form(raw)
	if err != nil {
		return keyring.Submitted{}, unread(err)
	}
	if form == sign.EnrolmentForm {
		f, err := sign.ParseEnrolment(raw)
		if err != nil {
			return keyring.Submitted{}, unread(err)
		}
		key, err := g.enrol(ctx, f, courier)
		return keyring.Submitted{Key: &key}, err
	}
	s, err := sign.ParseDecision(raw)
	if err != nil {
		return keyring.Submitted{}, unread(err)
	}
	t, err := g.signedWord(ctx, s, courier)
	return keyring.Submitted{Ticket: &t}, err
}

func unread(err error) *approval.Refusal {
	return approval.Refuse(approval.RuleSignedFile, err.Error(), "bring the file anew, or make it again")
}

// signedWord records what somebody signed.
func (g *Gate) signedWord(ctx context.Context, s sign.Signed, courier string) (approval.Ticket, error) {
	st := s.Statement
	said := func(now time.Time, r *approval.Record) (approval.Decision, error) {
		who, err := g.signer(now, st.Key, func(pub []byte) error { return s.Verify(pub) })
		if err == nil {
			err = r.Fits(now, who, st)
		}
		d := approval.Decision{
			Person: who, Role: st.Role, Approve: st.Word != sign.Deny, Reason: st.Reason, PlanHash: st.PlanHash, Auth: approval.AuthSignature, At: now,
			Signature: &s, HandedIn: courier,
		}
		if who == courier {
			d.Auth, d.HandedIn = approval.AuthBoth, ""
		}
		return d, err
	}
	if st.Word == sign.BreakGlass {
		return g.confirm(ctx, st.Ticket, said)
	}
	return g.word(ctx, st.Ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		d, err := said(now, r)
		if err != nil {
			return approval.GateChanged{}, err
		}
		if st.Word.Decides() {
			return approval.GateChanged{What: approval.Decided, By: d.Person, Decision: &d, Why: st.Reason}, r.Decide(now, d)
		}
		o := approval.Opinion{Person: d.Person, Word: approval.OpinionWord(st.Word), Text: st.Reason, At: now, Signature: &s, HandedIn: d.HandedIn}
		if st.Word == sign.ConditionsMet {
			o.Word, o.Met = approval.Conditions, true
		}
		if err := r.Opine(now, o); err != nil {
			return approval.GateChanged{}, err
		}
		o = r.Ticket.Opinions[len(r.Ticket.Opinions)-1]
		return approval.GateChanged{What: approval.Opined, By: d.Person, Opinion: &o, Why: st.Reason}, nil
	})
}
