package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/page"
)

type reportCmd struct {
	Residency  residencyCmd   `cmd:"" help:"Calls per country, refused, by the gate, and violations: none or named."`
	Register   registerCmd    `cmd:"" help:"Rows for the register of information (DORA), and the drift between declared and observed countries."`
	Breaches   breachesCmd    `cmd:"" help:"Register of breaches of personal data: facts, effects, remedial action, notified or not (GDPR Art. 33(5))."`
	Processing processingCmd  `cmd:"" help:"Record of processing activities (GDPR Art. 30): purposes, recipients, transfers, erasure, security."`
	Drill      reportDrillCmd `cmd:"" help:"One drill: what was exercised, what came of it, what is missing, and what shows it (DORA, RTS (EU) 2024/1774)."`
	Transfers  transfersCmd   `cmd:"" help:"Recipients in third countries with the safeguard of each (GDPR Art. 30)."`
}

// overLog is what every report from a log takes.
type overLog struct {
	Dir    string `arg:"" help:"Folder of the log, or the node's state folder." type:"existingdir"`
	Key    string `help:"File with the public key (note verifier form), or log.keys; default: log.keys or log.vkey beside the log." placeholder:"FILE" type:"path"`
	From   string `help:"First day (2026-11-01) or moment (RFC 3339) of the period; default: the first entry." placeholder:"WHEN"`
	To     string `help:"Last day of the period, included, or the moment at which it ends; default: the last entry." placeholder:"WHEN"`
	Format string `default:"text" enum:"text,json,html,pdf" help:"text, json, html (one file that needs nothing else) or pdf."`
	Out    string `short:"o" help:"Write it there; what is there already is not replaced." placeholder:"FILE" type:"path"`
}

type residencyCmd struct{ overLog }

type registerCmd struct {
	overLog
	Config string `short:"c" required:"" help:"Configuration file, which declares contracts and regions." placeholder:"FILE" type:"path"`
}

type transfersCmd struct {
	overLog
	Config string `short:"c" required:"" help:"Configuration file, which declares providers and legal bases." placeholder:"FILE" type:"path"`
}

// pages is a report in its forms.
type pages interface{ Page() page.Document }

// Run reports where calls were terminated.
func (c *residencyCmd) Run(ctx context.Context, s streams) error {
	p, err := c.period()
	if err != nil {
		return err
	}
	b := report.NewResidency(p)
	cover, err := c.read(ctx, b.Add)
	if err != nil {
		return err
	}
	r := b.Report(cover, time.Now())
	if err := c.write(s, r); err != nil {
		return err
	}
	if n := len(r.Summary.Violations); n > 0 {
		return coded{fmt.Errorf("%d calls were terminated where the policy does not permit it", n), notHeld}
	}
	return nil
}

// Run reports the register of information.
func (c *registerCmd) Run(ctx context.Context, s streams) error {
	conf, o, cover, err := c.observe(ctx, c.Config)
	if err != nil {
		return err
	}
	p, _ := c.period() // it was read above
	return c.write(s, report.NewRegister(conf.Arrangements(), o.Seen(), p, cover, time.Now()))
}

// Run reports the transfers to third countries.
func (c *transfersCmd) Run(ctx context.Context, s streams) error {
	conf, o, cover, err := c.observe(ctx, c.Config)
	if err != nil {
		return err
	}
	return c.write(s, report.NewTransfers(o, conf.Arrangements(), conf.Safeguards(), cover, time.Now()))
}

type breachesCmd struct{ overLog }

// Run reports the breaches of personal data. Exit code 3 when one is late.
func (c *breachesCmd) Run(ctx context.Context, s streams) error {
	p, err := c.period()
	if err != nil {
		return err
	}
	b := report.NewBreaches(p)
	cover, err := c.read(ctx, b.Add)
	if err != nil {
		return err
	}
	r := b.Report(cover, time.Now())
	if err := c.write(s, r); err != nil {
		return err
	}
	if r.Late() {
		return coded{errors.New("a breach of personal data is known for more than 72 hours and was not notified"), notHeld}
	}
	return nil
}

type processingCmd struct {
	overLog
	Config string `short:"c" required:"" help:"Configuration file, which declares the entity, purposes, providers and legal bases." placeholder:"FILE" type:"path"`
}

// Run reports the processing activities.
func (c *processingCmd) Run(ctx context.Context, s streams) error {
	p, err := c.period()
	if err != nil {
		return err
	}
	conf, err := configs.Load(c.Config)
	if err != nil {
		return err
	}
	b := report.NewProcessing(p)
	cover, err := c.read(ctx, b.Add)
	if err != nil {
		return err
	}
	return c.write(s, b.Report(conf.Declared(), conf.Arrangements(), conf.Safeguards(), cover, time.Now()))
}

// observe reads a configuration and what the log says of its parties.
func (c *overLog) observe(ctx context.Context, file string) (*configs.Config, *report.Observer, report.Cover, error) {
	p, err := c.period()
	if err != nil {
		return nil, nil, report.Cover{}, err
	}
	conf, err := configs.Load(file)
	if err != nil {
		return nil, nil, report.Cover{}, err
	}
	o := report.NewObserver(p)
	cover, err := c.read(ctx, o.Add)
	return conf, o, cover, err
}

// period reads the ends. A last day is included.
func (c *overLog) period() (report.Period, error) { return periodOf(c.From, c.To) }

// periodOf reads what --from and --to say.
func periodOf(from, to string) (p report.Period, err error) {
	read := func(flag, text string, last bool) time.Time {
		if text == "" || err != nil {
			return time.Time{}
		}
		if day, e := time.Parse(time.DateOnly, text); e == nil {
			if last {
				day = day.AddDate(0, 0, 1)
			}
			return day
		}
		at, e := time.Parse(time.RFC3339, text)
		if e != nil {
			err = coded{withHint(fmt.Errorf("--%s: %.60q is neither a day nor a moment", flag, text), "write 2026-11-21, or 2026-11-21T14:00:00Z"), 2}
		}
		return at
	}
	p = report.Period{From: read("from", from, false), To: read("to", to, true)}
	if err == nil && !p.From.IsZero() && !p.To.IsZero() && !p.From.Before(p.To) {
		err = coded{withHint(errors.New("the period ends before it begins"), "--from is the earlier one"), 2}
	}
	return p, err
}

// opened gives the folder of the log itself, and the keys that verify it.
func (c *overLog) opened() (dir string, k *proof.Keys, err error) {
	dir = c.Dir
	if sub := filepath.Join(dir, "log"); isDir(sub) {
		dir = sub
	}
	verify := verifyCmd{Path: []string{dir}, Key: c.Key}
	key, err := verify.logKey(filepath.Dir(filepath.Clean(dir)), false)
	if err != nil {
		return "", nil, withHint(err, "name the public key with --key; keep a copy of it away from the node")
	}
	k, err = proof.NewKeys(string(key), nil, 0)
	return dir, k, err
}

// read verifies the whole log and shows each entry to add: a report of a log that does not hold would prove nothing.
func (c *overLog) read(ctx context.Context, add func(audit.Entry) error) (report.Cover, error) {
	dir, k, err := c.opened()
	if err != nil {
		return report.Cover{}, err
	}
	var wrong error
	v, err := audit.VerifyEach(ctx, dir, k, func(e audit.Entry) {
		if wrong == nil {
			wrong = add(e)
		}
	})
	switch {
	case err != nil:
		return report.Cover{}, err
	case v.Bad != nil:
		return report.Cover{}, coded{withHint(fmt.Errorf("the log does not hold: %w", v.Bad), "cordon verify says more; there is no report of what somebody changed"), notHeld}
	}
	return report.CoverOf(v), wrong
}

// write writes a report in the form that was asked for.
func (c *overLog) write(s streams, r pages) (err error) {
	to := s.out
	if c.Format == "pdf" && c.Out == "" && isTerminal(s.out) {
		return errPDF("--out")
	}
	if c.Out != "" {
		f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return withHint(err, "name another file, or take that one away")
		} else if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		to = f
	}
	if c.Format == "json" {
		return asJSON(to, r)
	}
	d := r.Page()
	d.Maker = software()
	switch c.Format {
	case "html":
		return d.HTML(to)
	case "pdf":
		return d.PDF(to)
	}
	return d.Text(to)
}

// errPDF refuses to write a PDF onto a terminal.
func errPDF(flag string) error {
	return coded{withHint(errors.New("a PDF is nothing for a terminal"), "name a file with "+flag+", or send it on by a pipe"), 2}
}

func asJSON(to io.Writer, v any) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
