package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

const (
	saveEvery    = 5 * time.Second // of a cursor that only passed what nobody is told of
	stateTimeout = 5 * time.Second
)

// Cursor is a follower's place in the log, kept in the state. One goroutine owns it. The fields up to Logger are required and do not change.
type Cursor struct {
	Log    audit.Log
	KV     state.KV
	Key    string
	MaxAge time.Duration // how old an entry is that a follower without a cursor begins with
	Logger *slog.Logger

	Next uint64          // the first entry that was not passed; set by Load, then by the follower
	Note json.RawMessage // what the follower keeps together with its place, in one write; nil: nothing

	known     bool // Next was read from the store
	rev       uint64
	saved     uint64
	savedNote json.RawMessage
	savedAt   time.Time
}

// kept is the value of a cursor's key.
type kept struct {
	Next uint64          `json:"next"`
	Note json.RawMessage `json:"note,omitempty"`
}

// LogID names a log in the keys of cursors: by its first key, so that it has one name whoever signs it.
func LogID(l audit.Log) string {
	first, _, _ := strings.Cut(l.Keys(), "\n")
	id := sha256.Sum256([]byte(first))
	return hex.EncodeToString(id[:8])
}

// Load reads the cursor unless it did before. Without one it begins with what is younger than MaxAge, so neither a lost store nor a new follower brings up
// old stories, and a ticket that still waits is told of.
func (c *Cursor) Load(ctx context.Context) error {
	if c.known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	item, err := c.KV.Get(ctx, c.Key)
	var k kept
	switch {
	case errors.Is(err, state.ErrNotFound):
	case err != nil:
		return fmt.Errorf("notify: reading the cursor: %w", err)
	default:
		c.rev = item.Rev
		if err := json.Unmarshal(item.Data, &k); err == nil && k.Next <= c.Log.Size() {
			c.Next, c.saved, c.savedAt, c.known = k.Next, k.Next, time.Now(), true
			c.Note, c.savedNote = k.Note, k.Note
			return nil
		}
		c.Logger.Error("a cursor does not fit the log and is set anew")
	}
	if c.Next, err = c.young(ctx); err != nil {
		return err
	}
	c.known, c.saved = true, ^uint64(0)
	return c.Save(ctx)
}

// young finds the first entry that is younger than MaxAge. Entries stand in the order of their time.
func (c *Cursor) young(ctx context.Context) (uint64, error) {
	since := time.Now().Add(-c.MaxAge)
	low, high := uint64(0), c.Log.Size()
	for low < high {
		mid := low + (high-low)/2
		entries, err := c.Log.Entries(ctx, mid, 1)
		if err != nil {
			return 0, fmt.Errorf("notify: reading entry %d: %w", mid, err)
		}
		if len(entries) == 1 && entries[0].Time.Before(since) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// Keep is Save for a cursor that passed only what nobody is told of: it writes now and then.
func (c *Cursor) Keep(ctx context.Context) error {
	if time.Since(c.savedAt) < saveEvery {
		return nil
	}
	return c.Save(ctx)
}

// Save writes the cursor, if it moved or its note changed.
func (c *Cursor) Save(ctx context.Context) error {
	if !c.known || c.saved == c.Next && bytes.Equal(c.Note, c.savedNote) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	data, err := json.Marshal(kept{c.Next, c.Note})
	if err != nil {
		return fmt.Errorf("notify: keeping the cursor: %w", err)
	}
	rev, err := c.KV.Swap(ctx, c.Key, c.rev, data)
	if errors.Is(err, state.ErrConflict) {
		// An earlier write of ours whose answer was lost: take the revision and write over it.
		if item, gerr := c.KV.Get(ctx, c.Key); gerr == nil {
			c.rev = item.Rev
			rev, err = c.KV.Swap(ctx, c.Key, c.rev, data)
		}
	}
	if err != nil {
		return fmt.Errorf("notify: keeping the cursor: %w", err)
	}
	c.rev, c.saved, c.savedNote, c.savedAt = rev, c.Next, c.Note, time.Now()
	return nil
}
