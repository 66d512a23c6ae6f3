package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
)

type policyCmd struct {
	Show    policyShow    `cmd:"" help:"The policy that people accepted: each part, its digest, when and by whom it was accepted."`
	Diff    policyDiff    `cmd:"" help:"What a configuration, or the one that waits, has otherwise than the accepted policy, and what of it is wider."`
	Pending policyPending `cmd:"" help:"What is wider and waits, its ticket, and who must still sign."`
}

const policyPath = "/api/v1/policy"

type policyShow struct {
	api
	JSON bool `help:"Print the answer of the interface, with the charter whole." name:"json"`
}

// Run shows the accepted policy.
func (c *policyShow) Run(ctx context.Context, s streams) error {
	var p admin.AcceptedPolicy
	if err := c.do(ctx, "GET", policyPath+"/accepted", nil, &p); err != nil {
		return err
	}
	if c.JSON {
		return asJSON(s.out, p)
	}
	text, err := charter.Parse(p.Charter)
	if err != nil {
		return err
	}
	who := func(word string) string {
		if name, ok := p.People[word]; ok {
			return word + " (" + name + ")"
		}
		return word
	}
	fmt.Fprintf(s.out, "policy     %s\naccepted   %s (log entry %d), %s: %s\n", p.Digest, clock(p.At), p.Entry, p.Cause, p.Why)
	if p.By != "" {
		fmt.Fprintf(s.out, "reloaded   by %s\n", who(p.By))
	}
	if p.Ticket != "" {
		fmt.Fprintf(s.out, "ticket     %s\n", p.Ticket)
	}
	for _, d := range p.Decisions {
		fmt.Fprintf(s.out, "signed     %s by %s as %s: %s\n", clock(d.At), who(d.Person), d.Role, d.Reason+signedBy(d.Signature, who(d.HandedIn)))
	}
	for _, w := range p.Widenings {
		fmt.Fprintf(s.out, "widened    %s\n", w)
	}
	parts := text.Parts()
	fmt.Fprintln(s.out)
	for _, path := range slices.Sorted(maps.Keys(parts)) {
		label := path
		if person, ok := strings.CutPrefix(path, "people "); ok {
			label = "people " + who(person)
		}
		fmt.Fprintf(s.out, "%s: %s\n", label, parts[path])
	}
	return nil
}

type policyDiff struct {
	api
	File string `arg:"" optional:"" help:"Configuration to hold against the accepted policy; default: the one that waits." type:"existingfile"`
	JSON bool   `help:"Print it as JSON." name:"json"`
}

// Run shows what differs. Nothing is put in force and nobody is asked.
func (c *policyDiff) Run(ctx context.Context, s streams) error {
	if c.File == "" {
		h, err := c.held(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return asJSON(s.out, append([]charter.Difference{}, h.Changes...))
		}
		if h.To == "" {
			fmt.Fprintln(s.out, "nothing waits: the configuration in force is what people accepted")
		}
		printDifferences(s.out, h.Changes)
		return nil
	}
	cfg, err := configs.Load(c.File)
	if err != nil {
		return err
	}
	d, err := compare(ctx, c.api, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return asJSON(s.out, d)
	}
	printDifferences(s.out, d.Changes)
	printVerdict(s.out, d)
	return nil
}

// held asks for what waits; nothing is an answer, too.
func (a api) held(ctx context.Context) (admin.HeldPolicy, error) {
	var p admin.PendingPolicy
	if err := a.do(ctx, "GET", policyPath+"/pending", nil, &p); err != nil || p.Held == nil {
		return admin.HeldPolicy{}, err
	}
	return *p.Held, nil
}

// compare asks a node what would become of a configuration.
func compare(ctx context.Context, a api, cfg *configs.Config) (out admin.PolicyComparison, err error) {
	plain, err := cfg.Charter()
	if err != nil {
		return out, err
	}
	return out, a.do(ctx, "POST", policyPath+"/compare", admin.PolicyProposal{Charter: plain}, &out)
}

// printDifferences writes a line for each, and behind it what was and is.
func printDifferences(w io.Writer, list []charter.Difference) {
	for _, d := range list {
		side := "narrower"
		if d.Wider {
			side = "WIDER"
		}
		fmt.Fprintf(w, "%-9s %s: %s\n", side, d.Path, strings.Join(d.Why, "; "))
		if d.Was != d.Is {
			fmt.Fprintf(w, "          was  %s\n          is   %s\n", cmp.Or(d.Was, "-"), cmp.Or(d.Is, "-"))
		}
	}
}

func printVerdict(w io.Writer, d admin.PolicyComparison) {
	switch {
	case d.From == "":
		fmt.Fprintln(w, "nothing was accepted there yet: it would be adopted")
	case d.Opens:
		fmt.Fprintln(w, "this file opens a ticket: what is wider waits for people, all else takes effect at once")
	case d.Wider:
		fmt.Fprintln(w, "this file opens no ticket although it is wider: nobody is enrolled who could sign")
	case len(d.Changes) == 0:
		fmt.Fprintln(w, "this file opens no ticket: it says what people accepted")
	default:
		fmt.Fprintln(w, "this file opens no ticket: nothing in it is wider")
	}
}

type policyPending struct {
	api
	JSON bool `help:"Print the answer of the interface." name:"json"`
}

// Run shows what waits and for whom.
func (c *policyPending) Run(ctx context.Context, s streams) error {
	h, err := c.held(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return asJSON(s.out, h)
	}
	if h.To == "" {
		fmt.Fprintln(s.out, "nothing waits: the configuration in force is what people accepted")
		return nil
	}
	fmt.Fprintf(s.out, "held       since %s\naccepted   %s\nproposed   %s\n", clock(h.Since), h.From, h.To)
	for _, d := range h.Changes {
		for _, why := range d.Why {
			if d.Wider {
				fmt.Fprintf(s.out, "wider      %s: %s\n", d.Path, why)
			}
		}
	}
	if h.Ticket != nil {
		fmt.Fprintf(s.out, "ticket     %s  %s, approve by %s, plan hash %s\n", h.Ticket.ID, h.Ticket.State, clock(h.Ticket.ApproveBy), h.Ticket.PlanHash)
	}
	fmt.Fprintf(s.out, "waits for  %s\n", cmp.Or(h.WaitsFor(), "nobody"))
	return nil
}

// against says what would become of a configuration at a node, or by a log in a folder. Exit code 3 when it would open a ticket.
func (c *checkCmd) against(ctx context.Context, s streams, cfg *configs.Config) error {
	var d admin.PolicyComparison
	var err error
	if u, e := url.Parse(c.Against); e == nil && (u.Scheme == "http" || u.Scheme == "https") {
		d, err = compare(ctx, api{API: c.Against, Token: c.Token, Roots: c.Roots}, cfg)
	} else if !isDir(c.Against) {
		return withHint(fmt.Errorf("%s is no folder and no address", c.Against), "--against=http://127.0.0.1:8480, or the state folder of a node")
	} else if d, err = againstLog(ctx, c.Against, cfg); err == nil {
		fmt.Fprintln(s.out, "\nnot compared: people, and how destinations are reached. The log has keyed hashes of them; ask the node with --against=URL")
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	printDifferences(s.out, d.Changes)
	printVerdict(s.out, d)
	if d.Opens {
		return coded{withHint(errors.New("this file opens a ticket"), "two people sign it after the reload: cordon policy pending shows whom it waits for"), notHeld}
	}
	return nil
}

// againstLog verifies the log in a folder and takes the newest accepted policy out of it.
func againstLog(ctx context.Context, dir string, cfg *configs.Config) (out admin.PolicyComparison, err error) {
	next, err := cfg.Charter()
	if err != nil {
		return out, err
	}
	var digest, text string
	pieces := map[uint64]string{}
	log := overLog{Dir: dir}
	_, err = log.read(ctx, func(e audit.Entry) error {
		switch e.Kind {
		case audit.KindPolicyCharter:
			var p audit.PolicyCharter
			if err := json.Unmarshal(e.Body, &p); err != nil {
				return err
			}
			pieces[e.Seq] = p.Text
		case audit.KindPolicyAccepted:
			var a audit.PolicyAccepted
			if err := json.Unmarshal(e.Body, &a); err != nil {
				return err
			}
			digest, text = a.Charter, ""
			for _, seq := range a.Pieces {
				text += pieces[seq]
			}
			clear(pieces)
		}
		return nil
	})
	if err != nil || digest == "" {
		return out, err
	}
	if charter.Digest([]byte(text)) != digest {
		return out, fmt.Errorf("the log has not the whole text of the policy %s", digest)
	}
	was, err := charter.Parse([]byte(text))
	if err != nil {
		return out, err
	}
	out = admin.PolicyComparison{From: digest, Changes: charter.Compare(was, was.Blind(next))}
	out.Wider = charter.Wider(out.Changes)
	out.Opens = out.Wider && was.CanSign()
	return out, nil
}
