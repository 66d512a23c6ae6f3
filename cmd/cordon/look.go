package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
)

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type planCmd struct {
	api
	From   string `arg:"" optional:"" help:"Trunk or edge group that the call would come from."`
	Called string `arg:"" optional:"" help:"Called number, e.g. +4969123456."`
	Caller string `help:"The caller's number, where a route or a migration depends on it."`
	Replay replay `embed:""`
}

// Run asks for a plan, or for the plans of many calls.
func (c *planCmd) Run(ctx context.Context, s streams) error {
	if c.Replay.Replay != "" {
		return c.replayed(ctx, s)
	}
	if c.From == "" || c.Called == "" {
		return withHint(errors.New("a trunk or group and a called number are needed"), "cordon plan carrier +4969123456, or cordon plan --replay=calls.csv")
	}
	var v admin.PlanView
	if err := c.do(ctx, "POST", "/api/v1/plan", admin.PlanRequest{From: c.From, Called: c.Called, Caller: c.Caller}, &v); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "route %s: %s\n", dash(v.Route), v.Why)
	for i, h := range v.Hops {
		fmt.Fprintf(s.out, "  %d. %s  %s %s  %s: %s\n", i+1, h.Target, h.Region, h.Country, h.Reason, h.Why)
		if h.Note != "" {
			fmt.Fprintf(s.out, "     %s\n", h.Note)
		}
	}
	for _, h := range v.Refused {
		fmt.Fprintf(s.out, "  not %s %s: %s (%s): %s\n", h.Party, h.Target, h.Verdict, h.Ground, h.Why)
	}
	switch {
	case v.Closed:
		fmt.Fprintln(s.out, "  the caller would hear 503 with Retry-After, and may ask another node")
	case len(v.Hops) == 0 && v.Held:
		fmt.Fprintf(s.out, "  the caller would hear %d\n", v.OnHold)
	case len(v.Hops) == 0:
		fmt.Fprintln(s.out, "  the caller would hear 480, or 404 where no route matches")
	}
	return nil
}

type callCmd struct {
	api
	From   string        `arg:"" help:"Trunk or edge group in whose name it is placed."`
	Called string        `arg:"" help:"Called number."`
	Hold   time.Duration `default:"2s" help:"How long it stays up, at most 20s."`
}

// Run places a synthetic call.
func (c *callCmd) Run(ctx context.Context, s streams) error {
	var r admin.TestResult
	if err := c.do(ctx, "POST", "/api/v1/calls", admin.TestCall{From: c.From, Called: c.Called, HoldSeconds: c.Hold.Seconds()}, &r); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d over %s in %.0f ms; %d packets came back, %d lost, jitter %.1f ms, MOS %.2f; receipt %s\n",
		r.Status, strings.Join(r.Hops, ", "), r.SetupMS, r.Packets, r.Lost, r.JitterMS, r.MOS, r.CallRef)
	if r.Status < 200 || r.Status > 299 {
		return coded{fmt.Errorf("the call ended with %d", r.Status), 1}
	}
	return nil
}

type lawCmd struct {
	List    lawList    `cmd:"" help:"Instruments of the shipped law table, with their dates."`
	Key     lawKey     `cmd:"" help:"Make a key that signs suspensions, or print its public half."`
	Suspend lawSuspend `cmd:"" help:"Write a signed suspension of an instrument; running nodes follow within a second."`
	WhatIf  lawWhatIf  `cmd:"" name:"what-if" help:"What a suspension would do: parties, routes, calls, grants, destinations, entries. Nothing is changed."`

	Reevaluate lawReevaluate `cmd:"" help:"Judge the receipts of a verified log anew, under the law as it is known on another day."`
}

type lawList struct{}

// Run lists instruments.
func (lawList) Run(s streams) error {
	law := sovereign.Shipped()
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "law table as of %s\nINSTRUMENT\tFOR\tFIRST DAY\tLAST DAY\tSTATUS\n", law.AsOf().Format(time.DateOnly))
	for _, i := range law.Instruments() {
		until := "open"
		if !i.ValidUntil.IsZero() {
			until = i.ValidUntil.AddDate(0, 0, -1).Format(time.DateOnly) // it ends at 00:00 UTC of that moment
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.ID, i.Jurisdiction, i.ValidFrom.Format(time.DateOnly), until, i.Status)
	}
	return w.Flush()
}

type lawKey struct {
	File string `arg:"" help:"Key file (PKCS #8 PEM); made with mode 0600 when it does not exist."`
}

// Run makes or shows a key.
func (c *lawKey) Run(s streams) error {
	key, err := readKey(c.File)
	if errors.Is(err, os.ErrNotExist) {
		key, err = makeKey(c.File)
	}
	if err != nil {
		return err
	}
	pub := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	fmt.Fprintf(s.out, "put this into the configuration, under a key id of yours:\n\npolicy:\n  suspension_keys:\n    law-1: %s\n", pub)
	return nil
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func readKey(path string) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM key", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", path)
	}
	return key, nil
}

type lawSuspend struct {
	Instrument string `arg:"" help:"Instrument, e.g. '(EU) 2023/1795'; cordon law list shows them."`
	Since      string `help:"Day or moment (RFC 3339); default: now."`
	Reason     string `required:"" help:"Why; it stands in the log."`
	File       string `required:"" help:"The suspensions_file of the configuration; the line is appended."`
	Key        string `required:"" help:"Private key that signs it." type:"existingfile"`
	KeyID      string `required:"" help:"Its id under suspension_keys." name:"key-id"`
}

// Run writes one suspension.
func (c *lawSuspend) Run(s streams) error {
	key, err := readKey(c.Key)
	if err != nil {
		return err
	}
	since, err := moment(c.Since)
	if err != nil {
		return err
	}
	line, err := sovereign.SignSuspension(sovereign.Suspension{Instrument: c.Instrument, Since: since, Reason: c.Reason, KeyID: c.KeyID}, key)
	if err != nil {
		return withHint(err, "cordon law list shows the instruments")
	}
	if err := appendLine(c.File, line); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "suspended %s since %s in %s\n", c.Instrument, clock(since), c.File)
	return nil
}

func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Now().UTC().Truncate(time.Second), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, withHint(fmt.Errorf("%q is no moment", s), "write 2026-11-21 or 2026-11-21T14:00:00Z")
}

// appendLine adds one line in one write: whoever reads meanwhile sees all of it or nothing. A last line without an end, as an editor may leave it, gets one.
func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	line = append(bytes.TrimRight(line, "\n"), '\n')
	last := make([]byte, 1)
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	_, werr := f.Write(line)
	return errors.Join(werr, f.Sync(), f.Close())
}

type checkCmd struct {
	File      string `arg:"" optional:"" help:"Configuration file."`
	Guardrail string `name:"import-guardrail" help:"Turn a guardrail (JSON) into a route of this file, and print it." type:"existingfile"`
	At        string `help:"Judge as of this day (YYYY-MM-DD); default: now."`
	Against   string `help:"Say, too, whether it opens a ticket: at the node with this address, or by the log in this folder. Exit code 3 when it does." placeholder:"URL|DIR"`
	Token     string `help:"File with the bearer token for --against=URL; else the variable CORDON_TOKEN." type:"existingfile"`
	Roots     string `help:"PEM roots of that interface's certificate." type:"existingfile"`
}

// Run explains a configuration. Exit code 1 when it has errors, 3 when it opens a ticket where it is held against a policy.
func (c *checkCmd) Run(ctx context.Context, s streams) error {
	if c.Guardrail != "" {
		data, err := os.ReadFile(c.Guardrail)
		if err != nil {
			return err
		}
		text, err := configs.ImportGuardrail(data)
		if err != nil {
			return err
		}
		fmt.Fprint(s.out, text)
		if c.File == "" {
			return nil
		}
	}
	if c.File == "" {
		return withHint(errors.New("no configuration is named"), "cordon check FILE")
	}
	at, err := moment(c.At)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	cfg, problems := configs.Examine(c.File, data)
	if cfg != nil {
		if text, err := cfg.Explain(at); err == nil {
			fmt.Fprint(s.out, text)
		} else if len(problems) == 0 {
			return err
		}
	}
	if len(problems) > 0 {
		return coded{problems, 1}
	}
	if c.Against != "" {
		return c.against(ctx, s, cfg)
	}
	return nil
}

type schemaCmd struct{}

// Run prints the schema.
func (schemaCmd) Run(s streams) error {
	_, err := s.out.Write(configs.Schema())
	return err
}
