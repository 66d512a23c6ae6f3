package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
)

type logCmd struct {
	RotateKey rotateKeyCmd `cmd:"" help:"Hand the log over to a new key; proofs under the old one go on to hold."`
	Keys      logKeysCmd   `cmd:"" help:"Print the public keys of the log: the first, and each hand-over since. Witnesses and auditors need them."`
}

type rotateKeyCmd struct {
	api
	Reason      string        `required:"" help:"Why; it stands in the log. Write no name into it."`
	Overlap     time.Duration `default:"168h" help:"For how long the old key signs as well, in whole hours, at most 2160h."`
	Compromised string        `help:"Since when somebody else may have the old key, RFC 3339: then it signs no more, and what it signed proves nothing without a witness from before." placeholder:"TIME"`
	State       string        `help:"State folder of a node that does not run, in place of the API." placeholder:"DIR" type:"path"`
	By          string        `help:"With --state: id of the person who does it; the log gets a pseudonym."`
}

// Run hands the log over.
func (c *rotateKeyCmd) Run(ctx context.Context, s streams) error {
	r := admin.KeyRotation{Reason: c.Reason}
	hours := int(c.Overlap / time.Hour)
	r.OverlapHours = &hours
	if c.Overlap%time.Hour != 0 || hours < 0 || hours > 2160 {
		return coded{withHint(fmt.Errorf("--overlap: %v", c.Overlap), "whole hours from 0h to 2160h"), 2}
	}
	if c.Compromised != "" {
		since, err := time.Parse(time.RFC3339, c.Compromised)
		if err != nil || since.After(time.Now()) {
			return coded{withHint(fmt.Errorf("--compromised: %q", c.Compromised), "a time that has been, e.g. 2026-11-20T08:00:00Z"), 2}
		}
		r.Compromised = since
	}
	if c.State != "" {
		return c.offline(ctx, r, s)
	}
	var done admin.KeyRotated
	if err := c.do(ctx, "POST", "/api/v1/log/rotate-key", r, &done); err != nil {
		return err
	}
	rotated(s, done)
	return nil
}

// offline hands over the log of a node that does not run.
func (c *rotateKeyCmd) offline(ctx context.Context, r admin.KeyRotation, s streams) error {
	if c.By == "" {
		return coded{withHint(errors.New("--state needs --by"), "--by=alice: the log gets a pseudonym"), 2}
	}
	h, keys, err := cordon.RotateLogKey(ctx, c.State, software(), audit.Rotation{By: c.By, Reason: r.Reason, Overlap: r.Overlap(), Compromised: r.Compromised})
	if err != nil {
		return withHint(err, "the node must not run; with a running one, leave --state away")
	}
	rotated(s, admin.KeyRotated{Entry: h.Entry, Old: h.Old, New: h.New, Overlap: h.Overlap, Keys: keys})
	return nil
}

func rotated(s streams, r admin.KeyRotated) {
	fmt.Fprintf(s.out, "rotated    entry %d of the log says so\nold key    %s\nnew key    %s\noverlap    both sign until %s\nnext       give log.keys of the state folder to every witness and auditor (cordon log keys)\n", r.Entry, r.Old, r.New, clock(r.Overlap))
}

type logKeysCmd struct {
	api
	State string `help:"State folder, in place of the API." placeholder:"DIR" type:"path"`
}

// Run prints the file of keys.
func (c *logKeysCmd) Run(ctx context.Context, s streams) error {
	if c.State != "" {
		raw, err := keyFile(c.State)
		if err == nil {
			_, err = s.out.Write(raw)
		}
		return err
	}
	var got struct {
		Keys string `json:"keys"`
	}
	if err := c.do(ctx, "GET", "/api/v1/log/keys", nil, &got); err != nil {
		return err
	}
	_, err := fmt.Fprint(s.out, got.Keys)
	return err
}

// keyFile reads the public keys beside a log: with their hand-overs where there were any.
func keyFile(stateDir string) ([]byte, error) {
	raw, err := os.ReadFile(stateDir + "/log.keys")
	if errors.Is(err, os.ErrNotExist) {
		return os.ReadFile(stateDir + "/log.vkey")
	}
	return raw, err
}
