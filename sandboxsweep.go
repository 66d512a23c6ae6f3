package cordon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
)

// What stays of the folder of a sandbox. Its log is evidence: the report of the drill is read from it again and again, and nobody can add to it, because the key that signed
// it goes when the play is over, as do passwords, certificates, pseudonyms and state.
var (
	sandboxEvidence = []string{"state/log", "state/log.vkey", "state/log.keys"}
	sandboxPlayed   = append([]string{"sandbox.yaml", "node.log"}, sandboxEvidence...) // until the clean-up: what was played, and what its node had to say
)

// sandboxReserve is space that a log holds for a full disk. One that is over needs none.
const sandboxReserve = "state/log/reserve"

// sandboxesDir has a folder for each drill that was played in a sandbox.
func (n *Node) sandboxesDir() string { return filepath.Join(n.opts.Config.StateDir, "sandboxes") }

// sandboxKept is what a sweep left.
type sandboxKept struct {
	Files int
	Bytes int64
}

// sweepSandbox removes everything of a sandbox that is not named, and the folder itself where nothing is left in it. A folder that is not there is swept. It follows no
// link out of the folder, and does nothing the second time.
func sweepSandbox(dir string, stays []string) (kept sandboxKept, err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	} else if err != nil {
		return kept, fmt.Errorf("cordon: the folder of a sandbox: %w", err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != sandboxReserve && slices.ContainsFunc(stays, func(s string) bool { return path == s || strings.HasPrefix(path, s+"/") }):
			if i, err := d.Info(); err == nil && i.Mode().IsRegular() {
				kept.Files, kept.Bytes = kept.Files+1, kept.Bytes+i.Size()
			}
			return nil
		case d.IsDir() && (path == "." || slices.ContainsFunc(stays, func(s string) bool { return strings.HasPrefix(s, path+"/") })):
			return nil // something in it stays
		}
		if err := root.RemoveAll(path); err != nil || !d.IsDir() {
			return err
		}
		return fs.SkipDir
	})
	if err == nil && kept.Files == 0 {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return kept, fmt.Errorf("cordon: the folder of a sandbox: %w", err)
	}
	return kept, nil
}

// sandboxesTake is how much of the disk the folders of sandboxes have, in bytes: each file as whole blocks of 4 KiB.
func (n *Node) sandboxesTake() (sum int64) {
	const block = 4096
	if n.opts.Memory {
		return 0
	}
	_ = filepath.WalkDir(n.sandboxesDir(), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went meanwhile, or there never was a sandbox
		}
		if i, err := d.Info(); err == nil && i.Mode().IsRegular() {
			sum += (i.Size() + block - 1) / block * block
		}
		return nil
	})
	return sum
}

// sweepOld does at the start what the last run could not: whatever sandboxes are there, none runs now.
func (k *drillKeeper) sweepOld() {
	if k.node.opts.Memory {
		return
	}
	list, err := os.ReadDir(k.node.sandboxesDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.node.logger.Warn("the folders of sandboxes could not be read", "error", err)
	}
	for _, e := range list {
		stays := sandboxPlayed
		if d := k.kept.Book.Get(e.Name()); d != nil && d.State == register.Cleaned {
			stays = sandboxEvidence
		}
		if _, err := sweepSandbox(filepath.Join(k.node.sandboxesDir(), e.Name()), stays); err != nil {
			k.node.logger.Warn("something of a sandbox could not be removed; the next start tries again", "drill", e.Name(), "error", err)
		}
	}
}

// cleanSandbox removes what the clean-up of a drill removes, and says what stays; of a drill that was in none it says nothing. One that does not hold: something could not
// be removed.
func (k *drillKeeper) cleanSandbox(d *register.Drill) []audit.DrillGuard {
	if d.Request.Mode != scenario.Sandbox.Evidence() || k.node.opts.Memory {
		return nil
	}
	kept, err := sweepSandbox(filepath.Join(k.node.sandboxesDir(), d.ID()), sandboxEvidence)
	out := audit.DrillGuard{Name: "sandbox", Holds: err == nil, Why: fmt.Sprintf("its log and the keys that verify it stay as evidence: %d files, %d bytes; nothing else", kept.Files, kept.Bytes)}
	if err != nil {
		out.Why = err.Error()
	} else if kept.Files == 0 {
		out.Why = "nothing of its folder is there"
	}
	return []audit.DrillGuard{out}
}

// crashedSandbox finds the log of a sandbox that ended with the node. ok is false where there is none, or one that does not hold.
func (n *Node) crashedSandbox(ctx context.Context, d *register.Drill) (p drillPlayed, ok bool) {
	if d.Request.Mode != scenario.Sandbox.Evidence() || n.opts.Memory {
		return p, false
	}
	dir := filepath.Join(n.sandboxesDir(), d.ID(), "state")
	v, there, err := verifyApart(ctx, dir, nil, nil)
	if err != nil {
		n.logger.Warn("the log of a sandbox that ended with this node", "drill", d.ID(), "error", err)
	}
	return drillPlayed{Log: dir, Sealed: v.Checkpoint, Last: v.Entries}, err == nil && there && v.Entries > 0
}

// verifyApart verifies the log below the state folder of a sandbox, and shows its entries to each. there is false where it has no key: that folder is gone. A log that does
// not hold is an error, and so is one that holds and is not the one that was sealed.
func verifyApart(ctx context.Context, dir string, sealed []byte, each func(audit.Entry)) (v audit.Verification, there bool, err error) {
	var key []byte
	for _, name := range []string{"log.keys", "log.vkey"} {
		if key, err = os.ReadFile(filepath.Join(dir, name)); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return v, false, fmt.Errorf("cordon: the key of the log of a play: %w", err)
		}
	}
	if key == nil {
		return v, false, nil
	}
	keys, err := proof.NewKeys(string(key), nil, 0)
	if err != nil {
		return v, true, fmt.Errorf("cordon: the key of the log of a play: %w", err)
	}
	switch v, err = audit.VerifyEach(ctx, filepath.Join(dir, "log"), keys, each); {
	case err != nil:
		return v, true, fmt.Errorf("cordon: the log of a play: %w", err)
	case v.Bad != nil:
		return v, true, fmt.Errorf("cordon: the log of a play does not hold: %w", v.Bad)
	}
	if sealed != nil {
		if err := audit.Extends(ctx, filepath.Join(dir, "log"), keys, sealed); err != nil {
			return v, true, fmt.Errorf("cordon: the log of a play is not the one that was played in: %w", err)
		}
	}
	return v, true, nil
}
