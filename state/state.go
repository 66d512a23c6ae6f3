// Package state is a small key-value store with compare-and-swap, watch and lease: approvals, grants, quotas. It is a cache of the audit log,
// never its rival: on a difference the log wins.
//
// It imports the embedded engine's module (NATS JetStream) and no room of ours. Memory is the other engine, for virtual time; both pass one contract test.
package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Item is one key at one revision. Rev 0 means that the key does not exist; Data is nil then.
type Item struct {
	Key  string
	Data []byte
	Rev  uint64
}

// KV is the store. Keys are dotted words ([A-Za-z0-9_-] and dots), values at most 1 MiB. Every call honours its context.
type KV interface {
	// Get gives the item. ErrNotFound when there is none. The answer may be stale in a cluster: decide by Swap, never by Get.
	Get(ctx context.Context, key string) (Item, error)
	// Swap writes data if the key is still at rev (0: must not exist) and gives the new revision. ErrConflict otherwise.
	Swap(ctx context.Context, key string, rev uint64, data []byte) (uint64, error)
	// Delete removes the key if it is still at rev. ErrConflict otherwise.
	Delete(ctx context.Context, key string, rev uint64) error
	// List gives all items below a prefix ("ticket." gives "ticket.a"), sorted by key.
	List(ctx context.Context, prefix string) ([]Item, error)
	// Watch first sends every present item below prefix, then one Item with an empty Key (the mark "you are up to date"), then each change
	// (a deletion has nil Data and a Rev). The channel closes when ctx ends or the store closes.
	Watch(ctx context.Context, prefix string) (<-chan Item, error)
	// Lease takes key for holder until ttl after now unless another holder's lease is live. It reports whether holder has it; calling again renews.
	Lease(ctx context.Context, key, holder string, ttl time.Duration) (bool, error)
	Close() error
}

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("state: no such key")
	ErrConflict = errors.New("state: the key was changed by somebody else")
	ErrClosed   = errors.New("state: closed")
)

// MaxValue is the largest value, in bytes.
const MaxValue = 1 << 20

// checkKey refuses keys that an engine could take for a pattern or for two keys.
func checkKey(key string) error {
	word := 0
	for i := range len(key) {
		c := key[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			word++
		case c == '.' && word > 0:
			word = 0
		default:
			return fmt.Errorf("state: the key %q is not made of dotted words", key)
		}
	}
	if word == 0 || len(key) > 255 {
		return fmt.Errorf("state: the key %q is not made of dotted words", key)
	}
	return nil
}

// checkPrefix allows what checkKey allows, an empty prefix, and a dot at the end.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return checkKey(strings.TrimSuffix(prefix, "."))
}

func checkValue(data []byte) error {
	if len(data) > MaxValue {
		return fmt.Errorf("state: a value of %d bytes is over the limit of %d", len(data), MaxValue)
	}
	return nil
}
