package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// lease is the value behind a lease. Its end is absolute, so nodes that share a store must keep their clocks closer together than the
// shortest lease they use.
type lease struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// takeLease is Lease for every engine: the write decides who has it, never the read. A ttl of zero gives the lease back.
func takeLease(ctx context.Context, kv KV, key, holder string, ttl time.Duration) (bool, error) {
	if holder == "" || ttl < 0 {
		return false, fmt.Errorf("state: a lease of %q needs a holder and a length", key)
	}
	now := time.Now()
	item, err := kv.Get(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound):
		if ttl == 0 {
			return true, nil
		}
	case err != nil:
		return false, err
	default:
		var l lease
		if err := json.Unmarshal(item.Data, &l); err != nil {
			return false, fmt.Errorf("state: %q holds no lease: %w", key, err)
		}
		if l.Holder != holder && l.Until.After(now) {
			return false, nil
		}
	}
	data, err := json.Marshal(lease{Holder: holder, Until: now.Add(ttl).UTC()})
	if err != nil {
		return false, fmt.Errorf("state: writing the lease of %q: %w", key, err)
	}
	_, err = kv.Swap(ctx, key, item.Rev, data)
	if errors.Is(err, ErrConflict) {
		return false, nil // somebody else was faster
	}
	return err == nil, err
}
