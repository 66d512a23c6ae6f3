package cordon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
)

// tablesEvery is how often the number tables are looked at.
const tablesEvery = 2 * time.Second

// tableWatch takes changed number tables of routes into force, without a reload of anything else. What is wrong leaves the old one in force.
type tableWatch struct {
	node *Node
	of   *configs.Config
	seen map[string]*tableSeen // by route
}

// tableSeen is what was looked at last.
type tableSeen struct {
	sum  [sha256.Size]byte
	mark fileMark // zero: the file is read at the next look
}

// Run looks until ctx ends.
func (w *tableWatch) Run(ctx context.Context) error {
	tick := time.NewTicker(tablesEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look reads the files that changed since they were read. A new configuration brought its tables along.
func (w *tableWatch) look(ctx context.Context) {
	c := w.node.cfg.Load()
	if c != w.of {
		w.of, w.seen = c, map[string]*tableSeen{}
		for _, t := range c.Tables {
			w.seen[t.Route] = &tableSeen{sum: t.Sum}
		}
	}
	for _, t := range c.Tables {
		seen, mark := w.seen[t.Route], markOf(t.File)
		if mark == seen.mark || mark == (fileMark{}) {
			continue // a file that is being replaced may be away for a moment: the table in force stays
		}
		data, err := configs.ReadTable(t.File)
		if err == nil || errors.Is(err, configs.ErrTableSize) {
			seen.mark = mark
		}
		switch {
		case errors.Is(err, configs.ErrTableSize):
			w.node.reloadRefused(ctx, "", fmt.Errorf("cordon: %s: %w", t.File, err))
			continue
		case err != nil:
			continue
		case time.Since(mark.mod).Abs() < 2*tablesEvery:
			seen.mark = fileMark{} // who writes twice in one tick of the disk's clock is read once more
		}
		if t.Sum = sha256.Sum256(data); t.Sum != seen.sum {
			seen.sum = t.Sum
			w.take(ctx, t, data)
		}
	}
}

// take logs a new table and puts it in force.
func (w *tableWatch) take(ctx context.Context, t configs.Table, data []byte) {
	_, rows, err := t.Put(w.node.router.Rules(), data)
	if err != nil {
		w.node.reloadRefused(ctx, "", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // a stop waits for it
	defer cancel()
	if _, err := w.node.log.Commit(ctx, audit.TableChanged{Route: t.Route, Rows: rows, Digest: hex.EncodeToString(t.Sum[:])}); err != nil {
		w.node.logger.Error("a number table changed and it could not be logged: the old one stays in force", "route", t.Route, "error", err)
		*w.seen[t.Route] = tableSeen{} // so that it is tried again
		return
	}
	w.node.ruling.Lock() // a reload may have brought other rules meanwhile: the table goes into those in force
	defer w.node.ruling.Unlock()
	w.node.views.changed()
	rules, _, err := t.Put(w.node.router.Rules(), data)
	if err == nil {
		err = w.node.router.Reload(rules)
	}
	if err != nil {
		w.node.logger.Error("a number table was not taken", "route", t.Route, "error", err)
	}
}
