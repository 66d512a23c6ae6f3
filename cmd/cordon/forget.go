package main

import (
	"context"
	"fmt"

	"github.com/cordonsip/cordon/admin"
)

type forgetCmd struct {
	api
	What   string `arg:"" enum:"call,person" help:"call or person."`
	Ref    string `arg:"" help:"The call's reference, as receipts carry it; the person's id or pseudonym."`
	Reason string `required:"" help:"Why; it stands in the log. Write no name into it."`
}

// Run makes a reference of the log name nobody any more.
func (f *forgetCmd) Run(ctx context.Context, s streams) error {
	if err := f.do(ctx, "POST", "/api/v1/forget", admin.Forget{What: f.What, Ref: f.Ref, Reason: f.Reason}, nil); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "forgotten: the entries stay, and %s names nobody any more\n", f.Ref)
	return nil
}
