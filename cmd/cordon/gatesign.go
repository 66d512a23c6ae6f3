package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
)

// nonce is 16 bytes of chance in hex.
func nonce() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

// ownKey reads a person's private key, which nobody else may be able to read.
func ownKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, withHint(fmt.Errorf("%s can be read by others (%o)", path, info.Mode().Perm()), "chmod 600 it; if somebody may have read it: cordon gate revoke-key")
	}
	return readKey(path)
}

// readUpTo reads a file that a stranger may have written, and of a longer one just enough to be refused.
func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

type gateExport struct {
	api
	ticketArg
	Out string `required:"" help:"File to write, for who signs without a wire." placeholder:"FILE" type:"path"`
}

// Run writes a ticket into a file.
func (g *gateExport) Run(ctx context.Context, s streams) error {
	var t admin.TicketView
	if err := g.do(ctx, "GET", g.path(""), nil, &t); err != nil {
		return err
	}
	checkpoint, err := g.fetch(ctx, "GET", "/api/v1/log/checkpoint", nil)
	if err != nil {
		fmt.Fprintf(s.out, "note       without the log's checkpoint: %v\n", err)
		checkpoint = nil
	}
	raw, err := t.Export(string(checkpoint))
	if err != nil {
		return err
	}
	if err := writeNew(g.Out, raw); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "written    %s, plan %s: cordon gate sign %s --key=FILE signs it\n", g.Out, t.PlanHash, g.Out)
	return nil
}

type gateSign struct {
	File    string `arg:"" help:"Ticket, as gate export wrote it." type:"path"`
	Key     string `required:"" help:"Your private key." type:"path"`
	Role    string `help:"Role in which you speak; needed for a decision, dpo for an opinion."`
	Approve bool   `help:"Approve what the ticket asks." xor:"word" required:""`
	Deny    bool   `help:"Deny it; one denial closes the ticket." xor:"word" required:""`
	Glass   bool   `name:"break-glass" help:"Confirm an emergency change." xor:"word" required:""`
	Opinion string `help:"Advise: no_objection, objection, conditions, conditions_met or not_reached." xor:"word" required:""`
	Reason  string `required:"" help:"Why; it stands in the log."`
	Out     string `required:"" help:"File to write, for gate submit." placeholder:"FILE" type:"path"`
}

// Run signs a ticket, on a machine that needs no wire.
func (g *gateSign) Run(s streams) error {
	raw, err := readUpTo(g.File, approval.MaxTicketFile)
	if err != nil {
		return err
	}
	f, err := approval.ReadTicketFile(raw)
	if err != nil {
		return withHint(err, "export the ticket again; a plan that a newer version made is signed with that version")
	}
	word := sign.Word(g.Opinion)
	switch {
	case g.Approve:
		word = sign.Approve
	case g.Deny:
		word = sign.Deny
	case g.Glass:
		word = sign.BreakGlass
	}
	signed, err := signWord(g.Key, f, word, g.Role, g.Reason)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "ticket     %s, %s when it was exported\nasked      %s by %s\n", f.Ticket, f.State, clock(f.RequestedAt), f.RequestedBy)
	printPlan(s.out, f.Plan, f.PlanHash)
	if time.Now().After(f.ApproveBy) {
		fmt.Fprintf(s.out, "note       by this machine's clock the ticket ended at %s\n", clock(f.ApproveBy))
	}
	out, err := signed.File()
	if err == nil {
		err = writeNew(g.Out, out)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "signed     %s as %s with %s: %s\nwritten    %s: cordon gate submit %s hands it in\n", signed.Statement.Word, signed.Statement.Role, signed.Statement.Key,
		signed.Statement.Reason, g.Out, g.Out)
	return nil
}

// signWord signs a word over the plan of f.
func signWord(path string, f approval.TicketFile, word sign.Word, role, reason string) (sign.Signed, error) {
	if role == "" && word.Decides() {
		return sign.Signed{}, coded{withHint(errors.New("--role is missing"), "a signed decision names the role in which it is given, e.g. --role=ciso"), 2}
	}
	if role == "" {
		role = "dpo"
	}
	key, err := ownKey(path)
	if err != nil {
		return sign.Signed{}, err
	}
	return sign.Sign(key, f.Statement(word, role, reason, time.Now(), nonce()))
}

// sendSigned signs a word over a ticket of a running node and hands it in. hash is the plan that was read; empty: the present one.
func sendSigned(ctx context.Context, s streams, a api, arg ticketArg, key string, word sign.Word, role, reason, hash string) error {
	var t admin.TicketView
	if err := a.do(ctx, "GET", arg.path(""), nil, &t); err != nil {
		return err
	}
	raw, err := t.Export("")
	if err != nil {
		return err
	}
	f, err := approval.ReadTicketFile(raw) // makes the hash anew: what is signed is what is shown
	if err != nil {
		return err
	}
	if hash != "" && hash != f.PlanHash {
		return withHint(fmt.Errorf("the ticket has another plan by now: %s", f.PlanHash), "cordon gate show, and decide on that")
	}
	printPlan(s.out, f.Plan, f.PlanHash)
	signed, err := signWord(key, f, word, role, reason)
	if err != nil {
		return err
	}
	file, err := signed.File()
	if err != nil {
		return err
	}
	return handIn(ctx, s, a, file)
}

type gateSubmit struct {
	api
	File string `arg:"" help:"A signed decision or opinion, or an enrolment that two people signed." type:"path"`
}

// Run hands a signed file in. Who brings it need not be who signed it.
func (g *gateSubmit) Run(ctx context.Context, s streams) error {
	raw, err := readUpTo(g.File, sign.MaxFile)
	if err != nil {
		return err
	}
	if _, err := sign.Form(raw); err != nil {
		return withHint(fmt.Errorf("%s: %w", g.File, err), "bring the file anew")
	}
	return handIn(ctx, s, g.api, raw)
}

func handIn(ctx context.Context, s streams, a api, raw []byte) error {
	var out admin.Handed
	if err := a.do(ctx, "POST", "/api/v1/signed", json.RawMessage(raw), &out); err != nil {
		return err
	}
	if out.Key != nil {
		fmt.Fprintf(s.out, "counts     %s (%s) of %s, until %s (log entry %d)\n", out.Key.ID, sign.Fingerprint(out.Key.ID), out.Key.Person, clock(out.Key.Expires), out.Key.Entry)
	}
	if out.Ticket != nil {
		printTicket(s.out, *out.Ticket)
	}
	return nil
}

// printPlan says in words what a plan lets through.
func printPlan(w io.Writer, p approval.Plan, hash string) {
	fmt.Fprintf(w, "because    %s\n", p.Reason)
	if len(p.Failed) > 0 {
		fmt.Fprintf(w, "down       %s\n", strings.Join(p.Failed, ", "))
	}
	printAsk(w, p)
	fmt.Fprintf(w, "digests    policy %s, law table %s\n", p.PolicyDigest, p.FactsDigest)
	fmt.Fprintf(w, "plan hash  %s\n", hash)
}

// signedBy says behind a word that it was signed, and who brought it.
func signedBy(s *sign.Signed, courier string) string {
	switch {
	case s == nil:
		return ""
	case courier == "":
		return " [signed, " + s.Statement.Key + "]"
	}
	return " [signed, " + s.Statement.Key + ", handed in by " + courier + "]"
}
