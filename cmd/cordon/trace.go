package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/sip/trace"
)

type traceCmd struct {
	api
	Call    string        `arg:"" help:"Reference of the call, or a UUID of its Session-ID."`
	JSON    bool          `name:"json" help:"Print the events as JSON, messages included."`
	Follow  bool          `short:"f" help:"Go on until the call has ended."`
	PCAP    string        `name:"pcap" help:"Write a capture file instead: signalling, and headers of media with --media." type:"path"`
	Media   time.Duration `default:"0s" help:"Take the headers of the media for that long, 1s to 45s, into the capture file."`
	Content bool          `help:"Ask for what is said. It is always refused: content belongs to a recorder."`
}

// followEach is how often a followed call is asked for.
const followEach = time.Second

// Run shows one call.
func (c *traceCmd) Run(ctx context.Context, s streams) error {
	if c.Media > 0 && c.PCAP == "" {
		return withHint(errors.New("--media needs a file"), "cordon trace CALL --pcap=call.pcap --media=30s")
	}
	if c.PCAP != "" {
		return c.capture(ctx, s)
	}
	t, err := c.read(ctx, 0)
	if err != nil {
		return err
	}
	if !c.JSON {
		if err := trace.Head(s.out, t); err != nil {
			return err
		}
	}
	for ended := false; ; {
		if err := c.print(s, t); err != nil {
			return err
		}
		if !c.Follow || ended {
			return nil
		}
		if t, err = c.wait(ctx, t.Seen); err != nil {
			return err
		}
		ended = !t.Ended.IsZero() && time.Since(t.Ended) > followEach // its last answers have come, too
	}
}

func (c *traceCmd) print(s streams, t trace.Trace) error {
	if !c.JSON {
		return trace.Rungs(s.out, t)
	}
	e := json.NewEncoder(s.out)
	if !c.Follow {
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	for _, x := range t.Events { // one object a line
		if err := e.Encode(x); err != nil {
			return err
		}
	}
	return nil
}

func (c *traceCmd) wait(ctx context.Context, since int) (trace.Trace, error) {
	timer := time.NewTimer(followEach)
	defer timer.Stop()
	select {
	case <-timer.C:
		return c.read(ctx, since)
	case <-ctx.Done():
		return trace.Trace{}, ctx.Err()
	}
}

func (c *traceCmd) path(q url.Values) string {
	if c.Content {
		q.Set("content", "true")
	}
	return "/api/v1/calls/" + url.PathEscape(c.Call) + "/trace?" + q.Encode()
}

func (c *traceCmd) read(ctx context.Context, since int) (trace.Trace, error) {
	var t trace.Trace
	err := c.do(ctx, "GET", c.path(url.Values{"since": {strconv.Itoa(since)}}), nil, &t)
	return t, err
}

// capture writes the file; nobody but its owner may read it.
func (c *traceCmd) capture(ctx context.Context, s streams) error {
	q := url.Values{"format": {"pcap"}}
	if c.Media > 0 {
		q.Set("media", c.Media.String())
	}
	data, err := c.fetch(ctx, "GET", c.path(q), nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.PCAP, data, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "wrote %s, %d bytes\n", c.PCAP, len(data))
	return nil
}
