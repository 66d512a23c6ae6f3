package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/report"
)

type exportProofs struct {
	Dir     string   `arg:"" help:"Folder of the log, or the node's state folder." type:"existingdir"`
	Out     string   `required:"" help:"Write them into this file, which must not exist." placeholder:"FILE" type:"path"`
	Key     string   `help:"File with the public key (note verifier form), or log.keys; default: log.keys or log.vkey beside the log." placeholder:"FILE" type:"existingfile"`
	Witness []string `help:"File with the public key of a witness that must have signed the checkpoint, once for each." placeholder:"FILE" type:"existingfile"`
	From    string   `help:"First day (2026-11-01) or moment (RFC 3339) of the period; default: the first entry." placeholder:"WHEN"`
	To      string   `help:"Last day of the period, included, or the moment at which it ends; default: the last entry." placeholder:"WHEN"`
	Kind    []string `help:"Entries of this kind, once for each; default: residency_receipt." placeholder:"KIND" xor:"which"`
	Receipt []string `help:"The receipt of this call or message, or the entry with this record_id; once for each." placeholder:"ID" xor:"which"`
	List    string   `help:"File with such ids, one on a line." placeholder:"FILE" type:"path" xor:"which"`
}

// Run writes the proofs. A file that could not be written whole is removed again.
func (c *exportProofs) Run(ctx context.Context, s streams) error {
	p, err := periodOf(c.From, c.To)
	if err != nil {
		return err
	}
	left, err := c.ids()
	if err != nil {
		return err
	}
	dir := c.Dir
	if sub := filepath.Join(dir, "log"); isDir(sub) {
		dir = sub
	}
	k, err := (&verifyCmd{Key: c.Key, Witness: c.Witness}).keys(dir, false)
	if err != nil {
		return err
	}
	l, err := audit.OpenCopy(dir, k)
	if err != nil {
		return judged(err)
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return withHint(err, "name a file that does not exist yet")
	}
	n, err := c.write(ctx, l, f, p, left)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(judged(err), os.Remove(c.Out))
	}
	fmt.Fprintf(s.out, "written    %s, the proofs of %d entries: cordon verify --proofs %s --key=log.vkey checks them without the log\n", c.Out, n, c.Out)
	return nil
}

// ids gives what is asked for by id; nil: everything of a kind.
func (c *exportProofs) ids() (map[string]bool, error) {
	list := c.Receipt
	if c.List != "" {
		raw, err := os.ReadFile(c.List)
		if err != nil {
			return nil, err
		}
		if list = strings.Fields(string(raw)); len(list) == 0 {
			return nil, withHint(fmt.Errorf("%s names no entry", c.List), "one call_ref, message_ref or record_id on a line")
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	ids := map[string]bool{}
	for _, id := range list {
		ids[id] = true
	}
	return ids, nil
}

// write gives how many entries were wanted and proved.
func (c *exportProofs) write(ctx context.Context, l *audit.Copy, f *os.File, p report.Period, ids map[string]bool) (n uint64, err error) {
	kinds := c.Kind
	if len(kinds) == 0 {
		kinds = []string{string(audit.KindReceipt)}
	}
	found := map[string]bool{}
	wanted := func(e audit.Entry) bool {
		if !p.From.IsZero() && e.Time.Before(p.From) || !p.To.IsZero() && !e.Time.Before(p.To) {
			return false
		}
		if ids == nil {
			return slices.Contains(kinds, string(e.Kind))
		}
		i := slices.IndexFunc(e.IDs(), func(id string) bool { return ids[id] })
		if i >= 0 {
			found[e.IDs()[i]] = true
		}
		return i >= 0
	}
	w := bufio.NewWriterSize(f, 1<<20)
	b, err := proof.NewBundleWriter(w, l.Checkpoint())
	if err != nil {
		return 0, err
	}
	err = l.ProveEach(ctx, wanted, func(e proof.Entry) error {
		n++
		return b.Add(e)
	})
	if err != nil {
		return n, err
	}
	for id := range ids {
		if !found[id] {
			return n, withHint(fmt.Errorf("%q: %w", id, audit.ErrNoEntry), "an id is a call_ref, message_ref or record_id as it stands in the log; what was written in the last seconds may stand under no checkpoint yet")
		}
	}
	if n == 0 {
		return 0, withHint(errors.New("no entry of that kind and period is under the checkpoint"), "cordon verify DIR says which times the log covers")
	}
	return n, errors.Join(b.Close(), w.Flush())
}
