package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// The newest entries are read in such steps, and no more of them than that: a process that was down does not read its whole log to start.
const (
	receiptedStep = 1000
	receiptedMost = 50_000
)

// Receipted gives the references of the calls whose receipts came into the log at or after since.
func Receipted(ctx context.Context, l Log, since time.Time) (map[string]bool, error) {
	out, size := map[string]bool{}, l.Size()
	for end := size; end > 0 && size-end < receiptedMost; {
		from := end - min(end, receiptedStep)
		list, err := l.Entries(ctx, from, int(end-from))
		if err != nil {
			return nil, fmt.Errorf("audit: reading back receipts: %w", err)
		}
		for _, e := range list {
			var ref struct {
				Call string `json:"call_ref"`
			}
			if e.Kind == KindReceipt && !e.Time.Before(since) && json.Unmarshal(e.Body, &ref) == nil {
				out[ref.Call] = true
			}
		}
		if len(list) == 0 || list[0].Time.Before(since) {
			return out, nil
		}
		end = from
	}
	return out, nil
}
