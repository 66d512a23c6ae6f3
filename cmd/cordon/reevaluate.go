package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cordonsip/cordon/audit/rejudge"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
)

type lawReevaluate struct {
	overLog
	KnownAt    string   `help:"Judge with the law as it was known on that day or moment; default: now." placeholder:"WHEN"`
	Facts      string   `help:"Law table to judge by, in the form of the shipped one; default: the shipped one." placeholder:"FILE" type:"existingfile"`
	Suspension []string `help:"Suspensions file whose lines count; needs --config. Default: those that the log says were known by then." placeholder:"FILE" type:"path"`
	Config     string   `short:"c" help:"Configuration, whose suspension_keys check --suspension." placeholder:"FILE" type:"existingfile"`
}

// Run judges past receipts anew. The log is read twice: what the law is may stand behind what it is asked of.
func (c *lawReevaluate) Run(ctx context.Context, s streams) error {
	law, err := c.law()
	if err != nil {
		return err
	}
	period, err := c.period()
	if err != nil {
		return err
	}
	ground := rejudge.NewGround(law)
	if _, err := c.read(ctx, ground.Add); err != nil {
		return err
	}
	b := ground.Builder(period)
	cover, err := c.read(ctx, b.Add)
	if err != nil {
		return err
	}
	r := b.Report(cover, time.Now())
	if err := c.write(s, r); err != nil {
		return err
	}
	if n := len(r.Changed); n > 0 {
		return coded{fmt.Errorf("of %d calls the law now says something else", n), notHeld}
	}
	return nil
}

// law is what is known.
func (c *lawReevaluate) law() (law rejudge.Law, err error) {
	law.Table = sovereign.Shipped()
	if law.KnownAt, err = moment(c.KnownAt); err != nil {
		return law, err
	}
	if c.Facts != "" {
		data, err := os.ReadFile(c.Facts)
		if err == nil {
			law.Table, err = sovereign.ParseLaw(data)
		}
		if err != nil {
			return law, withHint(err, "the shipped table is sovereign/facts/jurisdictions.json of the source")
		}
	}
	if len(c.Suspension) == 0 {
		return law, nil
	}
	if c.Config == "" {
		return law, withHint(errors.New("--suspension needs --config, whose suspension_keys say who may suspend"), "add -c FILE")
	}
	cfg, err := configs.Load(c.Config)
	if err != nil {
		return law, err
	}
	law.Suspended = []sovereign.Suspension{}
	for _, file := range c.Suspension {
		data, err := os.ReadFile(file)
		if err != nil {
			return law, err
		}
		list, err := sovereign.ParseSuspensions(data, cfg.Suspensions.Keys)
		if err != nil {
			return law, withHint(fmt.Errorf("%s: %w", file, err), "take the line out, or name its key in the configuration: a report does not rest on half of a file")
		}
		law.Suspended = append(law.Suspended, list...)
	}
	return law, nil
}
