package cordon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/worm"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/notify/cosign"
	"github.com/cordonsip/cordon/sovereign"
)

// RestoreOptions of Restore. All but Dir, Endpoint, Seen, Check, Ended and AcceptLoss are required.
type RestoreOptions struct {
	Config   *configs.Config // of the node: its bucket, its witnesses, and the policy that both must pass
	Net      Net
	Key      string // public key of the log, as it was kept away from the node
	Recovery *worm.RecoveryKey
	Software string

	Dir        string   // state folder to make; default: that of the configuration
	Endpoint   string   // of the bucket; default: that of the configuration
	Seen       [][]byte // checkpoints of the log that others hold
	Check      bool     // everything is brought and checked, and removed again
	Ended      bool     // whoever restores knows that the node was not started again after the node.stopped that came back last
	AcceptLoss *uint64  // begins a new log, for so many entries that are known to be lost
}

// Restoration is what came back.
type Restoration struct {
	audit.Restored
	Dir       string
	NewOrigin string // of the log that goes on; that of the old one where it is the same
	NewKey    string
	Strange   []string // names under checkpoint/ that hold no checkpoint of this log
	Odd       []string // names of pieces with other versions in front of the one that counts
	Unfiled   []string // what the log says was suspended, and the suspensions file does not
	Salts     int      // days
	People    int
}

// Lost says that a log cannot go on under its name, because somebody saw more of it than came back, or nobody can tell.
type Lost struct {
	Missing uint64 // entries that are known to be missing; 0: nobody can tell
	Orderly bool   // the last entry that came back is node.stopped: it is enough to know that nothing ran behind it
	Why     string
}

func (l *Lost) Error() string { return "restore: the log cannot go on under its name: " + l.Why }

// restoring is one restore under way.
type restoring struct {
	o      RestoreOptions
	keys   *proof.Keys
	source *worm.Source
	way    way
	found  worm.Found
	node   nodeKeys
	work   string // folder that takes the name of the state folder in the end
	file   string // all keys of the log
	out    Restoration
}

// Restore brings a log back from its copy, with the node's keys and what its pseudonyms stand for, into a state folder that must not exist or be empty. Everything
// is checked before the folder gets its name. The log goes on under its name only where witnesses say that nobody has seen more of it, or where it ended in
// order and Ended says that nothing ran behind that: a run whose copy never left would make two histories of it; else the error is a *Lost, and AcceptLoss begins another log whose first entry holds the old one's checkpoint.
func Restore(ctx context.Context, o RestoreOptions) (Restoration, error) {
	r := &restoring{o: o}
	if err := r.prepare(); err != nil {
		return Restoration{}, err
	}
	err := r.run(ctx)
	if err != nil || o.Check {
		if e := os.RemoveAll(r.work); e != nil {
			err = errors.Join(err, fmt.Errorf("restore: %w", e))
		}
	}
	return r.out, err
}

func (r *restoring) run(ctx context.Context) error {
	steps := []func(context.Context) error{r.fetch, r.unseal, r.decide, r.forget, r.begin}
	if r.o.Check {
		steps = steps[:2]
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if r.o.Check {
		return nil
	}
	if err := os.Remove(r.out.Dir); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty one
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(r.work, r.out.Dir); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// prepare makes the way to the bucket, behind a fence of its own, and the folder.
func (r *restoring) prepare() error {
	c := r.o.Config
	if c.WORM.Endpoint == "" {
		return errors.New("restore: the configuration has no log.worm: nothing says where the copy is")
	}
	part := c.WORM
	if r.o.Endpoint != "" {
		part.Endpoint = r.o.Endpoint
	}
	var err error
	if r.keys, err = proof.NewKeys(r.o.Key, nil, 0); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if base := originOf(c); r.keys.Origin() != base && !isLater(r.keys.Origin(), base) {
		return fmt.Errorf("restore: the key is that of the log %s, and this configuration is that of %s", r.keys.Origin(), base)
	}
	if r.way, err = outside(c, r.o.Net); err != nil {
		return err
	}
	b, err := bucketOf(part, r.way)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.source = worm.NewSource(b, r.keys)
	return r.place()
}

// place takes the folder that the state will have.
func (r *restoring) place() error {
	r.out.Dir = r.o.Config.StateDir
	if r.o.Dir != "" {
		r.out.Dir = r.o.Dir
	}
	r.out.Dir = filepath.Clean(r.out.Dir)
	if files, err := os.ReadDir(r.out.Dir); err == nil && len(files) > 0 {
		return fmt.Errorf("restore: %s is not empty: nothing is ever restored over something", r.out.Dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(r.out.Dir), 0o755); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(r.out.Dir), "."+filepath.Base(r.out.Dir)+"-restoring-*")
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.work = work
	return nil
}

// outside is the way to what is no call, for a node that does not run: the same fence over the same policy.
func outside(c *configs.Config, net Net) (way, error) {
	overlay, err := c.Overlay()
	if err != nil {
		return way{}, fmt.Errorf("restore: %w", err)
	}
	snap, err := c.Snapshot(1, nil, overlay)
	if err != nil {
		return way{}, fmt.Errorf("restore: %w", err)
	}
	n := &Node{opts: Options{Config: c, Net: net}, fence: sovereign.NewFence(snap, nil)}
	n.resolver, err = resolve.New(resolve.Config{
		Servers: c.DNS.Servers, Timeout: c.DNS.Timeout, MinTTL: c.DNS.MinTTL, MaxTTL: c.DNS.MaxTTL, Judge: n.judge, Dial: n.dialDNS,
	})
	if err != nil {
		return way{}, fmt.Errorf("restore: %w", err)
	}
	return way{n.fence, n.resolver.Host, n.dialInfrastructure}, nil
}

// fetch brings the log, and checks it.
func (r *restoring) fetch(ctx context.Context) error {
	var err error
	if r.file, err = r.source.Chain(ctx, r.o.Key); err == nil {
		r.keys, err = proof.NewKeys(r.file, nil, 0)
	}
	if err == nil {
		r.found, err = r.source.Find(ctx)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	v, err := r.source.Fetch(ctx, r.found, r.logDir())
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.out.Strange, r.out.Odd = r.found.Strange, r.source.Odd()
	r.out.Origin, r.out.Key = r.keys.Origin(), proof.FirstKey(r.o.Key)
	r.out.Entries, r.out.Root, r.out.Checkpoint = v.Size, v.Root, string(r.found.Raw)
	return nil
}

func (r *restoring) logDir() string { return filepath.Join(r.work, "log") }

// unseal brings keys and names.
func (r *restoring) unseal(ctx context.Context) error {
	files, err := r.source.Keys(ctx, r.o.Recovery, r.fits)
	if err == nil {
		err = worm.WriteFiles(filepath.Join(r.work, "keys"), files)
	}
	if err == nil && len(r.keys.Handovers()) > 0 {
		err = worm.WriteFiles(r.work, map[string][]byte{"log.keys": []byte(r.file)})
	}
	if err == nil {
		err = logKeys(r.work).load(&r.node, nil)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.out.Keys, r.node.mac = true, files["mac.key"]
	r.out.Salts, r.out.People, err = r.source.Names(ctx, r.o.Recovery, r.node.derive("worm"), filepath.Join(r.work, "pseudonyms"))
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// fits says whether keys are those of the log: their public half is the one that was kept elsewhere, or the one that its hand-overs lead to.
func (r *restoring) fits(files map[string][]byte) bool {
	if len(files["mac.key"]) != 32 {
		return false
	}
	return slices.ContainsFunc([]string{"log.key", "log.key.next"}, func(name string) bool {
		seed := files[name]
		if len(seed) != ed25519.SeedSize {
			return false
		}
		vkey, err := audit.VerifierKeyOf(r.keys.Origin(), ed25519.NewKeyFromSeed(seed))
		return err == nil && r.keys.InForce(vkey)
	})
}

// decide says whether the log goes on under its name.
func (r *restoring) decide(ctx context.Context) error {
	l, err := r.open(ctx, r.keys.Origin())
	if err != nil {
		return err
	}
	last, err := lastOf(ctx, l)
	if err == nil {
		err = r.struck(ctx, l)
	}
	if err == nil {
		r.out.Last, r.out.Orderly = last.Time, last.Kind == audit.KindNodeStopped
	}
	vouched := false
	if err == nil {
		vouched, err = r.ask(ctx, l)
	}
	if err = errors.Join(err, l.Close(ctx)); err != nil {
		return err
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	why := ""
	switch {
	case r.out.Missing > 0:
		why = fmt.Sprintf("%d entries came back, and %s: %d acknowledged entries are missing, and going on would make a second history, which witnesses refuse",
			r.out.Entries, strings.Join(r.out.Seen, ", "), r.out.Missing)
	case !vouched && !r.out.Orderly:
		why = fmt.Sprintf("%d entries came back, the last of them is no node.stopped, and no quorum of witnesses says that nobody has seen more: how many acknowledged entries are missing is not known", r.out.Entries)
	case !vouched && !r.o.Ended:
		why = fmt.Sprintf("%d entries came back, the last of them is node.stopped, and neither a quorum of witnesses nor you say that the node was not started again behind it", r.out.Entries)
	case !vouched:
		r.out.Seen = append(r.out.Seen, "who restored it says that the node was not started again after its last node.stopped")
	}
	r.out.Mode = "same_log"
	switch loss := r.o.AcceptLoss; {
	case loss == nil && why != "":
		return &Lost{Missing: r.out.Missing, Orderly: r.out.Orderly && r.out.Missing == 0, Why: why}
	case loss != nil && *loss != r.out.Missing:
		return &Lost{Missing: r.out.Missing, Why: fmt.Sprintf("%d entries are known to be missing, and %d were accepted as lost", r.out.Missing, *loss)}
	case loss != nil:
		r.out.Mode = "new_log"
	}
	return nil
}

// struck notes what the log says was suspended, and the configuration's suspensions file does not: the copy has the log alone.
func (r *restoring) struck(ctx context.Context, l audit.Log) error {
	list, err := suspendedBy(ctx, l)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	have, err := r.o.Config.Overlay()
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	list = slices.DeleteFunc(list, func(s sovereign.Suspension) bool {
		return slices.ContainsFunc(have, func(h sovereign.Suspension) bool { return h.Instrument == s.Instrument && !h.Since.After(s.Since) })
	})
	r.out.Unfiled = words(list)
	return nil
}

// open opens the log under a name.
func (r *restoring) open(ctx context.Context, origin string) (audit.Log, error) {
	f := &r.o.Config.File
	l, _, err := audit.Open(ctx, audit.Config{
		Dir: r.logDir(), Signer: r.node.signer(), Outgoing: r.node.before(), Keys: r.node.chain, Origin: origin,
		Tenant: f.Tenant.OrgID, Node: f.Node.Name, Software: r.o.Software, Reserve: r.o.Config.Log.Reserve, AppendTimeout: appendTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return l, nil
}

func lastOf(ctx context.Context, l audit.Log) (audit.Entry, error) {
	if l.Size() == 0 {
		return audit.Entry{}, nil
	}
	list, err := l.Entries(ctx, l.Size()-1, 1)
	if err != nil {
		return audit.Entry{}, fmt.Errorf("restore: %w", err)
	}
	return list[0], nil
}

// ask lets the witnesses sign what came back. True: enough of them did, so none of these has seen more.
func (r *restoring) ask(ctx context.Context, l audit.Log) (bool, error) {
	c := r.o.Config
	if len(c.Witnesses.List) == 0 {
		return false, nil
	}
	m, err := cosign.NewMetrics(nil)
	if err != nil {
		return false, fmt.Errorf("restore: %w", err)
	}
	a, err := askerOf(c, l, r.way, func(raw []byte) error { return audit.KeepCosigned(r.logDir(), raw) }, m, nil)
	if err != nil {
		return false, fmt.Errorf("restore: %w", err)
	}
	signed := 0
	for _, w := range a.Ask(ctx) {
		if w.Fork {
			return false, fmt.Errorf("restore: the witness %s has signed another history of this log: %s", w.Name, w.Why)
		}
		if w.Signed {
			signed++
		}
		if w.Entries > 0 {
			r.saw(fmt.Sprintf("the witness %s", w.Name), w.Entries)
		}
	}
	return signed >= c.Witnesses.Quorum, nil
}

// saw notes that somebody has seen the log with so many entries.
func (r *restoring) saw(who string, entries uint64) {
	r.out.Seen = append(r.out.Seen, fmt.Sprintf("%s has seen %d", who, entries))
	if entries > r.out.Entries {
		r.out.Missing = max(r.out.Missing, entries-r.out.Entries)
	}
}

// look holds what came back against checkpoints that others hold.
func (r *restoring) look(ctx context.Context) error {
	if len(r.o.Seen) == 0 && r.found.Cosigned == nil {
		return nil
	}
	held, err := audit.OpenCopy(r.logDir(), r.keys)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for i, raw := range slices.Concat(r.o.Seen, [][]byte{r.found.Cosigned}) {
		if raw == nil {
			continue
		}
		cp, err := r.keys.Open(raw)
		if err != nil {
			return fmt.Errorf("restore: a checkpoint that others hold: %w", err)
		}
		if i < len(r.o.Seen) {
			r.saw("somebody with a checkpoint", cp.Size)
		} else {
			r.saw("a witness whose signature is in the copy", cp.Size)
		}
		if cp.Size > r.out.Entries {
			continue
		}
		if _, err := held.Consistent(ctx, raw, nil); err != nil {
			return fmt.Errorf("restore: what came back has another history than a checkpoint of %d entries that others hold: %w", cp.Size, err)
		}
	}
	if have, err := audit.Cosigned(r.logDir()); err != nil || have != nil || r.found.Cosigned == nil {
		return err
	}
	return audit.KeepCosigned(r.logDir(), r.found.Cosigned)
}

// forget destroys once more what the log says was forgotten: the copy may be older.
func (r *restoring) forget(ctx context.Context) error {
	l, err := r.open(ctx, r.keys.Origin())
	if err != nil {
		return err
	}
	names, err := audit.OpenPseudonyms(filepath.Join(r.work, "pseudonyms"), nil)
	if err != nil {
		return errors.Join(fmt.Errorf("restore: %w", err), l.Close(ctx))
	}
	for from := uint64(0); err == nil && from < l.Size(); {
		var picked []audit.Entry
		picked, from, err = audit.Pick(ctx, l, from, 1000, func(k audit.Kind) bool { return k == audit.KindForgotten })
		for _, e := range picked {
			err = errors.Join(err, r.forgotten(names, e))
		}
	}
	if err = errors.Join(err, names.Close(), l.Close(ctx)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func (r *restoring) forgotten(names audit.Pseudonyms, e audit.Entry) error {
	ev, err := audit.Decode(e)
	if err != nil {
		return err
	}
	f, ok := ev.(audit.Forgotten)
	if !ok {
		return nil
	}
	if f.What == "person" {
		err = names.Erase(f.Ref)
	} else {
		err = names.Destroy(f.Ref)
	}
	if err == nil {
		r.out.Forgotten++
	}
	if errors.Is(err, audit.ErrForgotten) {
		err = nil
	}
	return err
}

// begin writes what the log that goes on begins with: in the old one behind what came back, or in a new one, which has another name and another key.
func (r *restoring) begin(ctx context.Context) error {
	r.out.NewOrigin = r.keys.Origin()
	if r.out.Mode == "new_log" {
		if err := r.another(); err != nil {
			return err
		}
	}
	l, err := r.open(ctx, r.out.NewOrigin)
	if err != nil {
		return err
	}
	_, err = l.Commit(ctx, r.out.Restored)
	if err == nil && !r.out.Orderly {
		_, err = l.Commit(ctx, audit.Gap{From: r.out.Last, To: time.Now().UTC(), Cause: audit.CauseRestore, Lost: r.out.Missing})
	}
	r.out.NewKey = l.VerifierKey()
	if err = errors.Join(err, l.Close(ctx)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	files := map[string][]byte{"log.vkey": []byte(r.out.NewKey + "\n")}
	if r.out.NewOrigin != originOf(r.o.Config) {
		files[originFile] = []byte(r.out.NewOrigin + "\n")
	}
	if err := worm.WriteFiles(r.work, files); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return os.Chmod(filepath.Join(r.work, "log.vkey"), 0o644)
}

// another puts the old log aside, where it can be verified and nobody writes to it, and makes the key of the next one. The old key is not kept: nothing must be
// signed with it any more.
func (r *restoring) another() error {
	aside := filepath.Join(r.work, "before", strings.ReplaceAll(r.keys.Origin(), "/", "_"))
	if err := worm.WriteFiles(aside, map[string][]byte{"log.vkey": []byte(r.out.Key + "\n"), "log.keys": []byte(r.file)}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(r.logDir(), filepath.Join(aside, "log")); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	cosigned := filepath.Join(r.work, audit.CosignedFile)
	if err := os.Rename(cosigned, filepath.Join(aside, audit.CosignedFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	return r.newKey()
}

// newKey puts a new key in the place of those of the old log.
func (r *restoring) newKey() error {
	d := logKeys(r.work)
	for _, path := range []string{d.key(""), d.key(".old"), d.key(".next"), d.handover()} {
		if err := audit.Shred(path); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	if err := os.Remove(d.chain()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	fresh, err := newKeys()
	if err == nil {
		mac := r.node.mac
		r.node = nodeKeys{mac: mac}
		err = d.load(&r.node, fresh.log.Seed())
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.out.NewOrigin = next(r.keys.Origin(), originOf(r.o.Config))
	return nil
}

// originFile names the log in the state folder of a node whose first log was lost.
const originFile = "log.origin"

// originOf is the name of a node's first log.
func originOf(c *configs.Config) string {
	return "cordon/" + c.File.Tenant.OrgID + "/" + c.File.Node.Name
}

// isLater says whether origin is that of a later log of a node whose first one is base: a number behind it, from 2 on.
func isLater(origin, base string) bool {
	text, ok := strings.CutPrefix(origin, base+"/")
	n, err := strconv.ParseUint(text, 10, 32)
	return ok && err == nil && n >= 2 && strconv.FormatUint(n, 10) == text
}

// next names the log that goes on in the place of another.
func next(origin, base string) string {
	n := uint64(1)
	if isLater(origin, base) {
		n, _ = strconv.ParseUint(origin[len(base)+1:], 10, 32) // isLater has read it
	}
	return base + "/" + strconv.FormatUint(n+1, 10)
}

// origin is the name of the log in a state folder.
func origin(dir string, c *configs.Config) (string, error) {
	base := originOf(c)
	raw, err := os.ReadFile(filepath.Join(dir, originFile))
	if errors.Is(err, os.ErrNotExist) {
		return base, nil
	}
	if err != nil {
		return "", err
	}
	if name := strings.TrimSpace(string(raw)); isLater(name, base) {
		return name, nil
	}
	return "", fmt.Errorf("%s: expected %s and a number, as a restore writes it", originFile, base)
}
