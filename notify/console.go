package notify

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Console is a channel that writes one line per notice.
func Console(name string, w io.Writer) Channel { return &console{name: name, w: w} }

type console struct {
	name string
	mu   sync.Mutex // keeps lines whole
	w    io.Writer
}

func (c *console) Name() string { return c.name }

func (c *console) Send(ctx context.Context, n Notice) (bool, error) {
	if err := ctx.Err(); err != nil {
		return true, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := fmt.Fprintf(c.w, "%s %s entry=%d %s\n", n.Time.UTC().Format(time.RFC3339), n.Node, n.Seq, n.Summary); err != nil {
		return true, fmt.Errorf("notify: writing to the console: %w", err)
	}
	return false, nil
}
