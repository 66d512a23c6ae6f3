package worm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/worm/s3"
)

// Keep is how long an object is locked.
type Keep struct{ Years, Days int }

// From gives the end of a lock that begins at t.
func (k Keep) From(t time.Time) time.Time { return t.AddDate(k.Years, 0, k.Days) }

// Config of a Copier. All but Every and Logger are required.
type Config struct {
	Log     audit.Log
	Dir     string // the node's state folder: log, keys and pseudonyms lie in it
	Bucket  *s3.Bucket
	Keep    Keep
	To      *Recipient
	MAC     func([]byte) []byte // names what is sealed; of a key that the node keeps
	Metrics *Metrics
	Logger  *slog.Logger

	Every time.Duration // between two rounds, default 1 min
}

const (
	backoffs    = 4 // doublings of Every
	leastAlarm  = 5 * time.Minute
	alarmAfter  = 5 // times Every: how long the copy may be behind before the log says so
	secretEvery = 10 * time.Minute
	appendTime  = 5 * time.Second
	closingTime = 5 * time.Second
	edgeDays    = 400 // that a piece at the edge is locked: full ones take its place
	probeDays   = 2
	probeAgain  = 24 * time.Hour
	maxWhy      = 200 // bytes of a reason in the log
)

// Copier follows a log. Run and Finish are for one goroutine at a time.
type Copier struct {
	c     Config
	keys  *proof.Keys
	names names

	unproved atomic.Pointer[string] // why the bucket is not known to refuse deletions; empty: it is

	proved  time.Time // when the bucket was seen to refuse a deletion, zero: not yet
	unfree  bool      // the bucket locks by itself, so that nothing erasable may go there
	refused [2]string // what the log has of refusals: of all, of what is erasable
	known   bool      // where the copy stands is known
	copied  uint64
	newest  [2]string // names of the newest checkpoint and the newest cosigned one in the copy
	file    string    // the log's keys, as it gives them
	vkey    string    // those that are in the copy
	sealed  map[string]string
	marks   map[string]mark // of files of salts, as they were sealed last
	secrets time.Time       // when what is sealed was looked at last
	differs map[string]bool // objects whose difference the log has

	good   time.Time // when the copy was level, or the run began
	behind time.Time // good, as the log has it that the copy is behind; zero: it has not
	failed int       // rounds, one after the other
	why    string    // of the newest failure
}

// New checks c and asks nobody.
func New(c Config) (*Copier, error) {
	if c.Log == nil || c.Dir == "" || c.Bucket == nil || c.Keep == (Keep{}) || c.To == nil || c.MAC == nil || c.Metrics == nil {
		return nil, errors.New("worm: a log, its folder, a bucket, a time to keep, a recovery key, a keyed digest and metrics are needed")
	}
	if c.Every <= 0 {
		c.Every = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	out := &Copier{c: c, sealed: map[string]string{}, marks: map[string]mark{}, differs: map[string]bool{}}
	if err := out.rekey(); err != nil {
		return nil, err
	}
	out.names = namesOf(out.keys.Origin())
	return out, nil
}

// rekey takes the keys of the log: they change when it is handed over from one to the next.
func (c *Copier) rekey() error {
	file := c.c.Log.Keys()
	if file == c.file {
		return nil
	}
	k, err := proof.NewKeys(file, nil, 0)
	if err != nil {
		return fmt.Errorf("worm: %w", err)
	}
	c.file, c.keys = file, k
	return nil
}

// Run copies until ctx ends.
func (c *Copier) Run(ctx context.Context) error {
	c.good = time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		begun := time.Now()
		c.turn(ctx, begun)
		wait := c.c.Every << min(max(0, c.failed-1), backoffs) // a first failure is tried again at the usual time
		timer.Reset(max(0, wait-time.Since(begun)))
	}
}

// Finish copies once what ends the log. It is called after Run, takes five seconds at most, and adds no entry.
func (c *Copier) Finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closingTime)
	defer cancel()
	if err := c.round(ctx, time.Now(), true); err != nil {
		c.c.Logger.Warn("the end of the log is not in the copy", "error", err)
	}
}

// turn is one round and what is said of it.
func (c *Copier) turn(ctx context.Context, now time.Time) {
	err := c.round(ctx, now, false)
	if ctx.Err() != nil {
		return // we are being stopped: that says nothing of the copy
	}
	if err != nil {
		if c.failed == 0 {
			c.c.Logger.Warn("the copy of the log does not go on", "error", err)
		}
		c.failed, c.why = c.failed+1, short(err.Error())
	} else {
		c.failed, c.good, c.why = 0, now, ""
	}
	c.tell(ctx, time.Now())
	c.measure(time.Now())
}

// measure shows where the copy stands.
func (c *Copier) measure(now time.Time) {
	m, lag := c.c.Metrics, time.Duration(0)
	if c.failed > 0 {
		lag = now.Sub(c.good)
	}
	m.lag.Set(lag.Seconds())
	m.copied.Set(float64(c.copied))
	m.behind.Set(float64(c.c.Log.Size() - min(c.copied, c.c.Log.Size())))
}

// round brings the copy to where the log's newest checkpoint is. What is sealed comes last: nothing must keep evidence waiting.
func (c *Copier) round(ctx context.Context, now time.Time, last bool) error {
	if err := c.prove(ctx, now); err != nil {
		return err
	}
	if _, err := c.c.Log.Checkpoint(ctx); err != nil { // entries that wait for others go into the tree
		return err
	}
	if err := c.rekey(); err != nil {
		return err
	}
	l, err := audit.OpenCopy(c.logDir(), c.keys)
	if err != nil {
		return err
	}
	if !c.known {
		if err := c.resume(ctx, l); err != nil {
			return err
		}
	}
	if err := c.advance(ctx, l, now); err != nil {
		return err
	}
	if err := c.cosigned(ctx, now); err != nil {
		return err
	}
	if last || c.secrets.IsZero() || now.Sub(c.secrets) >= secretEvery {
		if err := c.seal(ctx, now); err != nil {
			return err
		}
		c.secrets = now
	}
	return nil
}

// advance copies what the newest checkpoint has and the copy has not: pieces first, then the checkpoint that stands for them.
func (c *Copier) advance(ctx context.Context, l *audit.Copy, now time.Time) error {
	cp := l.Signed()
	name := c.names.checkpoint(atCheckpoint, cp.Size, l.Checkpoint())
	if name == c.newest[0] {
		return nil
	}
	if err := l.Edge(); err != nil {
		return err
	}
	whole, edge := c.c.Keep.From(now), c.edgeUntil(now)
	for p := range audit.Pieces(c.copied, cp.Size) {
		raw, err := l.Piece(p)
		if err != nil {
			return err
		}
		until := whole
		if !p.Full() {
			until = edge
		}
		if err := c.store(ctx, c.names.piece(p), raw, until); err != nil {
			return err
		}
	}
	if c.vkey != c.file {
		if err := c.store(ctx, c.names.vkey(c.file), []byte(c.file), whole); err != nil {
			return err
		}
		c.vkey = c.file
	}
	if err := c.store(ctx, name, l.Checkpoint(), whole); err != nil {
		return err
	}
	c.copied, c.newest[0] = cp.Size, name
	return nil
}

// edgeUntil is the end of the lock of a piece at the edge.
func (c *Copier) edgeUntil(now time.Time) time.Time {
	until, edge := c.c.Keep.From(now), now.AddDate(0, 0, edgeDays)
	if edge.Before(until) {
		return edge
	}
	return until
}

// cosigned copies the newest checkpoint that enough witnesses signed, if there is one.
func (c *Copier) cosigned(ctx context.Context, now time.Time) error {
	raw, err := audit.Cosigned(c.logDir())
	if err != nil || raw == nil {
		return err
	}
	cp, err := c.keys.Past().Open(raw)
	if err != nil {
		return fmt.Errorf("worm: %s: %w", audit.CosignedFile, err)
	}
	name := c.names.checkpoint(atCosigned, cp.Size, raw)
	if name == c.newest[1] {
		return nil
	}
	if err := c.store(ctx, name, raw, c.c.Keep.From(now)); err != nil {
		return err
	}
	c.newest[1] = name
	return nil
}

// store puts an object where nothing stands under its name, and sees to it that what stands there is the same.
func (c *Copier) store(ctx context.Context, name string, raw []byte, until time.Time) error {
	o, err := c.c.Bucket.Head(ctx, name, "")
	if errors.Is(err, s3.ErrNone) {
		if _, err = c.c.Bucket.Put(ctx, name, raw, until); err == nil {
			c.c.Metrics.objects.WithLabelValues("stored").Inc()
			return nil
		}
		if errors.Is(err, s3.ErrThere) { // since we looked
			o, err = c.c.Bucket.Head(ctx, name, "")
		}
	}
	if err == nil && !o.Digested {
		var have []byte
		if have, err = c.c.Bucket.Get(ctx, name, ""); err == nil {
			o.Digest = sha256.Sum256(have)
		}
	}
	if err != nil {
		c.c.Metrics.objects.WithLabelValues("failed").Inc()
		return err
	}
	if want := sha256.Sum256(raw); o.Digest != want {
		c.c.Metrics.objects.WithLabelValues("differs").Inc()
		return c.differ(ctx, name, "SHA-256 "+s3.Hex(want), "SHA-256 "+s3.Hex(o.Digest))
	}
	c.c.Metrics.objects.WithLabelValues("present").Inc()
	return nil
}

// differ is the error of an object that holds something else, and has the log say so once.
func (c *Copier) differ(ctx context.Context, object, expected, found string) error {
	object = strings.TrimPrefix(object, string(c.names))
	if !c.differs[object] {
		c.c.Logger.Error("the copy of the log differs from it", "object", object, "expected", expected, "found", found)
		c.differs[object] = c.append(ctx, audit.CopyDiffers{Object: object, Expected: expected, Found: found})
	}
	return fmt.Errorf("worm: the copy differs: %s: expected %s, found %s", object, expected, found)
}

// append says whether the log took an entry.
func (c *Copier) append(ctx context.Context, ev audit.Event) bool {
	ctx, cancel := context.WithTimeout(ctx, appendTime)
	defer cancel()
	_, err := c.c.Log.Append(ctx, ev)
	if err != nil {
		c.c.Logger.Error("what became of the copy could not be logged", "kind", ev.Kind(), "error", err)
	}
	return err == nil
}

// resume finds out where the copy stands. A copy that is ahead of the log, or has another history, is an alarm: then the log was rolled back.
func (c *Copier) resume(ctx context.Context, l *audit.Copy) error {
	for i, at := range []string{atCheckpoint, atCosigned} {
		first, err := c.c.Bucket.First(ctx, string(c.names)+at, 1)
		if err != nil {
			return err
		}
		if len(first) > 0 {
			c.newest[i] = first[0]
		}
	}
	if c.newest[0] == "" {
		c.known = true
		return nil
	}
	size, err := sizeOf(c.newest[0])
	if err != nil {
		return err
	}
	if size > l.Signed().Size {
		return c.differ(ctx, c.newest[0], fmt.Sprintf("%d entries at most, as the log has them", l.Signed().Size), fmt.Sprintf("%d: the log was rolled back", size))
	}
	raw, err := c.c.Bucket.Get(ctx, c.newest[0], "")
	if err != nil {
		return err
	}
	if _, err := l.Consistent(ctx, raw, nil); errors.Is(err, audit.ErrNotHeld) {
		return c.differ(ctx, c.newest[0], "a checkpoint that the log goes on from", short(err.Error()))
	} else if err != nil {
		return err
	}
	whole, err := c.whole(ctx, size)
	if err != nil {
		return err
	}
	if c.known = true; whole {
		c.copied = size
	} else {
		c.newest[0] = "" // every piece is looked at once more
		c.c.Logger.Warn("pieces are missing in the copy of the log; they are put there again", "entries", size)
	}
	return nil
}

// whole says whether the copy has as many full pieces as a tree of size has. What is not full may have gone: others took its place.
func (c *Copier) whole(ctx context.Context, size uint64) (bool, error) {
	want := map[string]uint64{"entries": size >> 8}
	for level := uint(0); size>>(8*level) > 0; level++ {
		want[fmt.Sprint(level)] = size >> (8 * (level + 1))
	}
	for folder, n := range want {
		have, prefix := uint64(0), string(c.names)+"tile/"+folder+"/"
		err := c.c.Bucket.List(ctx, prefix, func(string) bool {
			have++
			return have < math.MaxInt64
		})
		if err != nil || have < n {
			return false, err
		}
	}
	return true, nil
}

// tell says in the log that the copy is behind, or level again: once each, and again only if the log did not take it.
func (c *Copier) tell(ctx context.Context, now time.Time) {
	switch missing := !c.behind.IsZero(); {
	case c.failed == 0 && missing:
		if c.append(ctx, audit.CopyLevel{Copied: c.copied, Since: c.behind.UTC()}) {
			c.behind = time.Time{}
			c.c.Logger.Info("the copy of the log is level again", "entries", c.copied)
		}
	case c.failed > 0 && !missing && now.Sub(c.good) >= max(leastAlarm, alarmAfter*c.c.Every):
		if c.append(ctx, audit.CopyBehind{Entries: c.c.Log.Size(), Copied: c.copied, Since: c.good.UTC(), Why: c.why}) {
			c.behind = c.good
			c.c.Logger.Error("the copy of the log is behind", "since", c.good, "why", c.why)
		}
	}
}

// short bounds a reason, at the end of a letter.
func short(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxWhy)], "") }
