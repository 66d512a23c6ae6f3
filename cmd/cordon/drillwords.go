package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/internal/jcs"
)

// drillHand is how a last word about a drill is given.
type drillHand struct {
	Role string `help:"Role in which you say it, one that you hold."`
	Key  string `help:"Your private key; without one your session stands for you, and the log says so." placeholder:"FILE" type:"path"`
}

type drillCleanupCmd struct {
	api
	ID     string `arg:"" help:"Id of the drill."`
	Reason string `required:"" help:"What you looked at; it stands in the log."`
	drillHand
}

// Run signs that nothing of a drill is left.
func (c *drillCleanupCmd) Run(ctx context.Context, s streams) error {
	v, err := c.hand(ctx, s, c.drillHand, c.ID, "cleanup", sign.DrillCleaned, admin.DrillSaid{Reason: c.Reason})
	if err != nil {
		return err
	}
	if x := v.Cleaned; x != nil {
		showGuards(s.out, x.Checks)
		for _, r := range x.Removed {
			fmt.Fprintln(s.out, "    removed   ", r)
		}
	}
	return nil
}

type drillSignoffCmd struct {
	api
	ID        string `arg:"" help:"Id of the drill."`
	Accept    bool   `help:"The result is accepted." xor:"verdict" required:""`
	Deficient bool   `name:"accept-with-deficiencies" help:"It is accepted with the deficiencies that are on record." xor:"verdict" required:""`
	Reject    bool   `help:"It is rejected." xor:"verdict" required:""`
	Reason    string `required:"" help:"Why; it stands in the log."`
	drillHand
}

// Run judges the result of a drill.
func (c *drillSignoffCmd) Run(ctx context.Context, s streams) error {
	if c.Role == "" {
		return coded{withHint(errors.New("--role is missing"), "a sign-off names the role in which it is given, e.g. --role=ciso"), 2}
	}
	said := admin.DrillSaid{Reason: c.Reason, Verdict: sign.DrillReject}
	switch {
	case c.Accept:
		said.Verdict = sign.DrillAccept
	case c.Deficient:
		said.Verdict = sign.DrillAcceptWithDeficiency
	}
	_, err := c.hand(ctx, s, c.drillHand, c.ID, "signoff", sign.DrillSignedOff, said)
	return err
}

type drillReportedCmd struct {
	api
	ID      string `arg:"" help:"Id of the drill."`
	Date    string `required:"" help:"Day (YYYY-MM-DD) on which the management body was told."`
	Minutes string `required:"" help:"Where that stands."`
	Reason  string `help:"A remark; it stands in the log."`
	drillHand
}

// Run notes a report to the management body.
func (c *drillReportedCmd) Run(ctx context.Context, s streams) error {
	_, err := c.hand(ctx, s, c.drillHand, c.ID, "reported", sign.DrillReported, admin.DrillSaid{Reason: c.Reason, Date: c.Date, Minutes: c.Minutes})
	return err
}

type drillAckCmd struct {
	api
	ID string `arg:"" help:"Id of the drill."`
}

// Run takes note of a notice.
func (c *drillAckCmd) Run(ctx context.Context, s streams) error {
	var v admin.DrillView
	if err := c.do(ctx, "POST", drillPath(c.ID, "ack"), nil, &v); err != nil {
		return err
	}
	showDrill(s.out, &v)
	return nil
}

// hand says one of the last words about a drill, signed where a key is named, and shows how the drill stands then.
func (a api) hand(ctx context.Context, s streams, h drillHand, id, path, word string, said admin.DrillSaid) (v admin.DrillView, err error) {
	said.Role = h.Role
	if h.Key != "" {
		if said.Signature, err = a.signDrill(ctx, s, h, id, word, said); err != nil {
			return v, err
		}
	}
	if err = a.do(ctx, "POST", drillPath(id, path), said, &v); err == nil {
		showDrill(s.out, &v)
	}
	return v, err
}

// signDrill signs what the node shows of a drill. The digest of its end is made anew from what is shown: nobody signs over anything else.
func (a api) signDrill(ctx context.Context, s streams, h drillHand, id, word string, said admin.DrillSaid) (json.RawMessage, error) {
	if h.Role == "" {
		return nil, coded{withHint(errors.New("--role is missing"), "what is signed names the role in which it is given, e.g. --role=ciso"), 2}
	}
	raw, err := a.fetch(ctx, "GET", drillPath(id), nil)
	if err != nil {
		return nil, err
	}
	var v admin.DrillView
	var shown struct {
		Ended json.RawMessage `json:"ended"`
	}
	if err := errors.Join(json.Unmarshal(raw, &v), json.Unmarshal(raw, &shown)); err != nil {
		return nil, err
	}
	if v.Ended == nil {
		return nil, withHint(fmt.Errorf("%s is %s: nothing can be signed of it yet", id, v.State), "wait for its end")
	}
	sum, err := jcs.Sum(shown.Ended)
	if err != nil || sum != v.Sum {
		return nil, withHint(errors.New("what the node shows of the end is not what its log has"), "use the version of cordon that the node runs")
	}
	key, err := ownKey(h.Key)
	if err != nil {
		return nil, err
	}
	e := v.Ended
	fmt.Fprintf(s.out, "signs      %s of %s version %d, %s: %s, ended %s\nend        %s\n", strings.ReplaceAll(word, "_", " "), e.Scenario, e.Version, e.Mode, strings.ToUpper(strings.ReplaceAll(e.Outcome, "_", " ")), clock(e.End), sum)
	signed, err := sign.SignDrill(key, sign.DrillStatement{
		Drill: id, Plan: e.Digest, Outcome: e.Outcome, End: sum, Word: word, Verdict: said.Verdict, Date: said.Date, Minutes: said.Minutes, Role: said.Role, Reason: said.Reason,
		At: time.Now(), Nonce: nonce(),
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(signed)
}

// showDrillWords prints what people said of a drill after its end, and who took note.
func showDrillWords(out io.Writer, v *admin.DrillView) {
	if x := v.Cleaned; x != nil {
		fmt.Fprintf(out, "cleaned up %s by %s%s: %s\n", clock(v.Signed), named(v.People, x.By), drillHow(x.Role, x.Signature), x.Reason)
	}
	for _, x := range v.SignedOff {
		fmt.Fprintf(out, "sign-off   %s by %s%s: %s, %s\n", clock(x.At), named(v.People, x.By), drillHow(x.Role, x.Signature), strings.ToUpper(strings.ReplaceAll(x.Verdict, "_", " ")), x.Reason)
	}
	for _, x := range v.Reported {
		fmt.Fprintf(out, "reported   to the management body on %s, minutes %s; noted %s by %s%s\n", x.Date, x.Minutes, clock(x.At), named(v.People, x.By), drillHow(x.Role, x.Signature))
	}
	for _, x := range v.Acked {
		fmt.Fprintf(out, "noted      %s by %s, %s it\n", clock(x.At), named(v.People, x.By), x.When)
	}
}

// drillHow says in which role something was said, and whether with a key.
func drillHow(role string, signature json.RawMessage) (how string) {
	if role != "" {
		how = " as " + role
	}
	if len(signature) > 0 {
		return how + " [signed]"
	}
	return how + " [session alone]"
}
