package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/review"
)

// notHeld is the exit code for what was checked and does not hold; what could not be checked has 1.
const notHeld = 3

// gcOfChecks is GOGC while things are checked: little is held at once and much is read, so that collecting at every few megabytes would take a fifth of the time.
const gcOfChecks = 800

type verifyCmd struct {
	Path      []string `arg:"" help:"Folder of the log, the node's state folder, or a file: a proof or a checkpoint. With --proofs: files, and folders of them." type:"existingpath"`
	Key       string   `help:"File with the public key (note verifier form), or log.keys; default: log.keys or log.vkey beside the log." type:"existingfile"`
	Chain     string   `help:"File with the hand-overs of the log's key (log.keys), which lead from --key to those that signed; default: the one beside the log." placeholder:"FILE" type:"existingfile"`
	Witness   []string `help:"File with the public key of a witness, once for each." type:"existingfile"`
	Witnesses *int     `help:"How many of them must have signed the checkpoint; default: all that are named."`
	Proofs    bool     `help:"Every PATH is a file of proofs, or a folder of such files: check them all, and name each that does not hold." xor:"what"`
	JSON      bool     `name:"json" help:"With --proofs: print what does not hold, and the sums in the end, as JSON, an object on a line."`
	Receipt   string   `help:"Prove the receipt of this call or message, or the entry with this record_id." placeholder:"ID" xor:"what"`
	From      string   `help:"Prove that nothing was removed or changed since this checkpoint." placeholder:"CHECKPOINT" type:"path" xor:"what"`
	To        string   `help:"Up to this checkpoint, of --from; default: the newest in the folder." placeholder:"CHECKPOINT" type:"path"`
	Export    string   `help:"Write the proof into this file, which anybody can check without the log." placeholder:"FILE" type:"path"`
}

// Run verifies a log, a part of it, or a file, offline. Exit code 3 when it does not hold.
func (c *verifyCmd) Run(ctx context.Context, s streams) error {
	defer debug.SetGCPercent(debug.SetGCPercent(gcOfChecks))
	switch {
	case c.Proofs:
		return c.bulk(ctx, s)
	case c.JSON:
		return coded{withHint(errors.New("--json needs --proofs"), "cordon verify --proofs --json FOLDER --key=log.vkey"), 2}
	case len(c.Path) > 1:
		return coded{withHint(errors.New("one PATH is checked at a time"), "many files of proofs are checked by cordon verify --proofs FILES"), 2}
	}
	dir, file := c.Path[0], !isDir(c.Path[0])
	if sub := filepath.Join(dir, "log"); !file && isDir(sub) {
		dir = sub
	}
	if err := c.fits(file); err != nil {
		return err
	}
	k, err := c.keys(dir, file)
	if err != nil {
		return err
	}
	switch {
	case file:
		return c.file(k, s)
	case c.Receipt != "":
		return c.receipt(ctx, dir, k, s)
	case c.From != "":
		return c.between(ctx, dir, k, s)
	}
	return c.whole(ctx, dir, k, s)
}

// fits refuses flags that say nothing here: nobody must take a proof for another one than it is.
func (c *verifyCmd) fits(file bool) error {
	switch {
	case file && c.Receipt+c.From+c.To+c.Export != "":
		return coded{withHint(errors.New("a file is checked as it is: --receipt, --from, --to and --export need the folder of a log"), "cordon verify FILE --key=log.vkey"), 2}
	case c.To != "" && c.From == "":
		return coded{withHint(errors.New("--to needs --from"), "cordon verify DIR --from=OLD --to=NEW"), 2}
	case c.Export != "" && c.From+c.Receipt == "":
		return coded{withHint(errors.New("--export needs what it shall prove"), "--receipt=ID, or --from=CHECKPOINT"), 2}
	}
	return nil
}

// keys reads the public keys that are trusted.
func (c *verifyCmd) keys(dir string, file bool) (*proof.Keys, error) {
	const away = "name the public key with --key; keep a copy of it away from the node"
	if c.Key == "" && file {
		return nil, withHint(errors.New("no public key is named"), away)
	}
	key, err := c.logKey(filepath.Dir(filepath.Clean(dir)), file)
	if err != nil {
		return nil, withHint(err, away)
	}
	var witnesses []string
	for _, f := range c.Witness {
		w, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		witnesses = append(witnesses, string(w))
	}
	quorum := len(witnesses)
	if c.Witnesses != nil {
		quorum = *c.Witnesses
	}
	return proof.NewKeys(string(key), witnesses, quorum)
}

// logKey gives the key of the log that is trusted, with the hand-overs behind it that are to be had.
func (c *verifyCmd) logKey(beside string, file bool) ([]byte, error) {
	if c.Key == "" && c.Chain == "" {
		return keyFile(beside)
	}
	path := c.Key
	if path == "" {
		path = filepath.Join(beside, "log.vkey")
	}
	key, err := os.ReadFile(path)
	if err != nil || bytes.Contains(key, []byte(proof.HandoverHeader)) {
		return key, err
	}
	path = c.Chain
	if path == "" && !file {
		path = filepath.Join(beside, "log.keys")
	}
	if path == "" {
		return key, nil
	}
	chain, err := os.ReadFile(path)
	if c.Chain == "" && errors.Is(err, fs.ErrNotExist) {
		return key, nil
	} else if err != nil {
		return nil, err
	}
	_, list, _ := bytes.Cut(chain, []byte("\n")) // behind the first key
	return append(append(bytes.TrimSpace(key), '\n'), list...), nil
}

// whole checks a whole log.
func (c *verifyCmd) whole(ctx context.Context, dir string, k *proof.Keys, s streams) error {
	words := keyring.NewChecker()
	reviews := review.NewChecker()
	v, err := audit.VerifyEach(ctx, dir, k.Alone(), func(e audit.Entry) { words.Take(e); reviews.Take(e) })
	if err == nil && v.Bad == nil && k.Witnessed() { // what witnesses signed may be an older checkpoint: the newest one must hold, too
		v, err = audit.VerifyWith(ctx, dir, k)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "log        %s\nentries    %d, %d of them receipts, %d gaps\nfrom       %s\nto         %s\n", v.Origin, v.Entries, v.Receipts, v.Gaps, clock(v.From), clock(v.To))
	if v.Bad != nil {
		fmt.Fprintf(s.out, "BAD        entry %d: %s\n", v.Bad.Seq, v.Bad.What)
		return coded{errors.New("the log does not hold"), notHeld}
	}
	if err := errors.Join(showWords(s, words), showReviews(s, reviews)); err != nil {
		return err
	}
	for _, n := range []struct {
		count uint64
		what  string
	}{
		{v.Unsigned, "entries are younger than the checkpoint and not signed yet"},
		{v.ClockSteps, "times the clock went back by more than a second"},
		{v.Unknown, "entries are of kinds that this version does not know"},
	} {
		if n.count > 0 {
			fmt.Fprintf(s.out, "note       %d %s\n", n.count, n.what)
		}
	}
	silences(s, v.Silences)
	for _, h := range v.Rotations {
		fmt.Fprintf(s.out, "key        entry %d: %s handed over to %s\n", h.Entry, proof.KeyID(h.Old), proof.KeyID(h.New))
		if !h.Compromised.IsZero() {
			fmt.Fprintf(s.out, "note       others may have had the former key since %s: what it signed proves nothing without a witness from before\n", clock(h.Compromised))
		}
	}
	witnessed(s, v.Witnesses)
	fmt.Fprintf(s.out, "holds      %d entries are under the signed checkpoint:\n%s", v.Entries-v.Unsigned, indent(v.Checkpoint))
	return nil
}

// showWords says how many words at the gate were signed, and names those whose keys or signatures do not hold.
func showWords(s streams, words *keyring.Checker) error {
	for _, b := range words.Bad {
		fmt.Fprintf(s.out, "BAD        entry %d: %s\n", b.Seq, b.What)
	}
	if len(words.Bad) > 0 {
		return coded{errors.New("the entries are those that were written, and what people signed in them does not hold"), notHeld}
	}
	t := words.Tally()
	if t.Signed+t.BySession+t.Keys > 0 {
		fmt.Fprintf(s.out, "words      %d decisions and opinions signed by people's keys, %d by session alone; %d keys, %d of them the first ones, %d revoked\n", t.Signed, t.BySession, t.Keys, t.Bootstrap, t.Revoked)
	}
	if d := words.Drills(); d.Signed+d.BySession > 0 {
		fmt.Fprintf(s.out, "drills     %d last words about drills signed by people's keys, %d by session alone\n", d.Signed, d.BySession)
	}
	return nil
}

// showReviews says how many periodic reviews were signed, and names those that do not hold.
func showReviews(s streams, reviews *review.Checker) error {
	for _, b := range reviews.Bad {
		fmt.Fprintf(s.out, "BAD        entry %d: %s\n", b.Seq, b.What)
	}
	if len(reviews.Bad) > 0 {
		return coded{errors.New("the entries are those that were written, and a review in them does not hold"), notHeld}
	}
	if reviews.Signed+reviews.BySession > 0 {
		fmt.Fprintf(s.out, "reviews    %d signed by people's keys, %d by session alone\n", reviews.Signed, reviews.BySession)
	}
	return nil
}

// shownSilences is how many times without entries are named one by one.
const shownSilences = 50

// silences names the times of which there is no entry.
func silences(s streams, list []audit.Silence) {
	words := map[string]string{
		audit.SilenceStopped: "the node was stopped, in order", audit.SilenceCrash: "the node ended without saying so", audit.SilenceQuiet: "the node ran, and its hourly entry is missing",
	}
	for _, q := range list[:min(len(list), shownSilences)] {
		fmt.Fprintf(s.out, "silence    %s from %s (entry %d) to %s (entry %d): %s\n", q.To.Sub(q.From).Round(time.Millisecond), clock(q.From), q.After, clock(q.To), q.Before, words[q.Cause])
	}
	if more := len(list) - shownSilences; more > 0 {
		fmt.Fprintf(s.out, "silence    %d more\n", more)
	}
}

// receipt proves one entry from the folder.
func (c *verifyCmd) receipt(ctx context.Context, dir string, k *proof.Keys, s streams) error {
	l, err := audit.OpenCopy(dir, k)
	if err != nil {
		return judged(err)
	}
	seq, err := l.Find(ctx, c.Receipt)
	if errors.Is(err, audit.ErrNoEntry) {
		return withHint(err, "an id is a call_ref, message_ref or record_id as it stands in the log; what was written in the last seconds may stand under no checkpoint yet")
	} else if err != nil {
		return judged(err)
	}
	raw, err := l.Prove(ctx, seq)
	if err != nil {
		return judged(err)
	}
	if err := showEntry(raw, k, s); err != nil {
		return err
	}
	return c.export(raw, s)
}

// between proves that nothing was removed or changed between two checkpoints.
func (c *verifyCmd) between(ctx context.Context, dir string, k *proof.Keys, s streams) error {
	l, err := audit.OpenCopy(dir, k)
	if err != nil {
		return judged(err)
	}
	from, err := os.ReadFile(c.From)
	if err != nil {
		return err
	}
	to := l.Checkpoint()
	if c.To != "" {
		if to, err = os.ReadFile(c.To); err != nil {
			return err
		}
	}
	raw, err := l.Consistent(ctx, from, to)
	if err != nil {
		return judged(err)
	}
	if err := showConsistency(raw, k, s); err != nil {
		return err
	}
	return c.export(raw, s)
}

// writeNew writes a file where nothing stands yet: a proof of somebody else's must not get lost.
func writeNew(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return withHint(err, "name a file that does not exist yet")
	} else if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Sync(), f.Close())
}

// readProof reads a file of a stranger's, and of a longer one than any may be just enough to be refused.
func readProof(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, proof.MaxFile+1))
}

// export writes a proof, if a file is named.
func (c *verifyCmd) export(raw []byte, s streams) error {
	if c.Export == "" {
		return nil
	}
	if err := writeNew(c.Export, raw); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "written    %s, %d bytes: cordon verify %s --key=log.vkey checks it without the log\n", c.Export, len(raw), c.Export)
	return nil
}

// file checks a proof or a checkpoint that somebody was given.
func (c *verifyCmd) file(k *proof.Keys, s streams) error {
	raw, err := readProof(c.Path[0])
	if err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(raw, []byte(proof.EntryHeader)):
		return showEntry(raw, k, s)
	case bytes.HasPrefix(raw, []byte(proof.ConsistencyHeader)):
		return showConsistency(raw, k, s)
	}
	cp, err := k.Open(raw)
	if err != nil {
		return withHint(coded{fmt.Errorf("neither a proof, nor a checkpoint that holds: %w", err), notHeld}, "whole logs are checked by their folder")
	}
	witnessed(s, cp.Witnesses)
	fmt.Fprintf(s.out, "holds      a checkpoint, and nothing that stands under it was looked at:\n%s", indent(string(raw)))
	return nil
}

// showEntry checks a proof of an entry and shows both.
func showEntry(raw []byte, k *proof.Keys, s streams) error {
	e, cp, err := audit.ReadProof(raw, k)
	if err != nil {
		return coded{err, notHeld}
	}
	body := &bytes.Buffer{}
	if err := json.Indent(body, e.Body, "           ", "  "); err != nil {
		return coded{err, notHeld}
	}
	fmt.Fprintf(s.out, "log        %s\nentry      %d, %s %s of %s\nnode       %s of %s, %s\n           %s\n", cp.Origin, e.Seq, e.Kind, e.ID, clock(e.Time), e.Node, e.Tenant, e.Software, body)
	witnessed(s, cp.Witnesses)
	fmt.Fprintf(s.out, "holds      the entry is one of the %d under the checkpoint signed by %s\n", cp.Size, cp.Signer)
	return nil
}

// showConsistency checks a proof of two checkpoints and shows them.
func showConsistency(raw []byte, k *proof.Keys, s streams) error {
	c, err := proof.ParseConsistency(raw)
	if err != nil {
		return coded{err, notHeld}
	}
	from, to, err := c.Verify(k)
	if err != nil {
		return coded{err, notHeld}
	}
	fmt.Fprintf(s.out, "log        %s\nfrom       %d entries, root %s\nto         %d entries, root %s\n", to.Origin, from.Size, from.Root, to.Size, to.Root)
	witnessed(s, to.Witnesses)
	fmt.Fprintf(s.out, "holds      nothing was removed or changed between them; %d entries were added\n", to.Size-from.Size)
	return nil
}

// witnessed shows what witnesses said of a checkpoint.
func witnessed(s streams, list []proof.Cosignature) {
	for _, w := range list {
		fmt.Fprintf(s.out, "witness    %s at %s\n", w.Name, clock(w.Time))
	}
}

// judged gives the exit code to what was checked and does not hold.
func judged(err error) error {
	if errors.Is(err, audit.ErrNotHeld) {
		return withHint(coded{err, notHeld}, "cordon verify of the whole folder names the first entry or file that is wrong")
	}
	return err
}

func isDir(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}

func indent(s string) string {
	return "           " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n           ") + "\n"
}
