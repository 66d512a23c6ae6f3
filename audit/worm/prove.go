package worm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/worm/s3"
)

// What a refusal is of.
const (
	refusedAll = iota
	refusedErasable
)

var refusedWhat = [...]string{refusedAll: "all", refusedErasable: "erasable"}

// Proved says why the bucket is not known to refuse deletions; empty: it is, or nothing was asked yet. It may be called from any goroutine.
func (c *Copier) Proved() string {
	if why := c.unproved.Load(); why != nil {
		return *why
	}
	return ""
}

// prove sees once a day that the bucket has object lock: what is locked for two days there says so, and its deletion is refused.
func (c *Copier) prove(ctx context.Context, now time.Time) error {
	if !c.proved.IsZero() && now.Sub(c.proved) < probeAgain {
		return nil
	}
	why, err := c.probe(ctx, now)
	if err != nil {
		return err // nothing is known: it is asked again
	}
	if why == "" {
		c.proved = now
		c.unproved.Store(&why)
		c.refused[refusedAll] = ""
		c.c.Metrics.locked.Set(1)
		return nil
	}
	c.proved = time.Time{}
	c.c.Metrics.locked.Set(0)
	c.refuse(ctx, refusedAll, why)
	c.unproved.Store(&why)
	return fmt.Errorf("worm: nothing is copied: %s", why)
}

// refuse has the log say once why nothing, or nothing erasable, is copied.
func (c *Copier) refuse(ctx context.Context, what int, why string) {
	if c.refused[what] == why {
		return
	}
	c.c.Logger.Error("the bucket does not do what is asked of it", "not_copied", refusedWhat[what], "why", why)
	if c.append(ctx, audit.CopyRefused{What: refusedWhat[what], Why: why}) {
		c.refused[what] = why
	}
}

// probe says why the bucket does not lock. An error says that this is not known.
func (c *Copier) probe(ctx context.Context, now time.Time) (why string, err error) {
	own, err := c.c.Bucket.Locking(ctx)
	var refused *s3.Error
	if err != nil && !errors.As(err, &refused) { // who may not ask this sees it by the probe
		return "", err
	}
	if err == nil && !own.Enabled {
		return "the bucket was made without object lock", nil
	}
	c.unfree = own.Default
	name := c.names.probe(now)
	o, err := c.c.Bucket.Head(ctx, name, "")
	if errors.Is(err, s3.ErrNone) {
		if _, err = c.c.Bucket.Put(ctx, name, []byte("whether this can be deleted\n"), now.AddDate(0, 0, probeDays)); err == nil || errors.Is(err, s3.ErrThere) {
			o, err = c.c.Bucket.Head(ctx, name, "")
		}
	}
	switch {
	case err != nil:
		return "", err
	case o.Version == "":
		return "the bucket keeps no versions", nil
	case o.Mode != "COMPLIANCE" || !o.Until.After(now):
		return fmt.Sprintf("an object that was to be locked in compliance mode says mode %q until %s", o.Mode, o.Until.UTC().Format(time.RFC3339)), nil
	}
	err = c.c.Bucket.DeleteVersion(ctx, name, o.Version)
	switch {
	case err == nil || errors.Is(err, s3.ErrNone):
		return "the bucket deleted a version that was locked in compliance mode", nil
	case errors.As(err, &refused) && refused.Status >= 400 && refused.Status < 500:
		return "", nil
	}
	return "", err
}
