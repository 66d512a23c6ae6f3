package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
)

type exportCmd struct {
	Checkpoint exportCheckpoint `cmd:"" help:"The log's newest signed checkpoint, for whoever keeps one."`
	Proofs     exportProofs     `cmd:"" help:"The proofs of many entries in one file, which anybody can check without the log."`
}

type exportCheckpoint struct {
	api
	State   string   `help:"State folder of the node, instead of its API; the checkpoint is checked against the keys beside it." placeholder:"DIR" type:"existingdir"`
	Witness []string `help:"With --state: file with the public key of a witness that must have signed it, once for each." placeholder:"FILE" type:"existingfile"`
	Out     string   `help:"Write it into this file; default: print it." placeholder:"FILE" type:"path"`
}

// Run gives the newest checkpoint.
func (c *exportCheckpoint) Run(ctx context.Context, s streams) error {
	raw, err := c.newest(ctx)
	if err != nil {
		return err
	}
	if c.Out != "" {
		return writeNew(c.Out, raw)
	}
	_, err = s.out.Write(raw)
	return err
}

func (c *exportCheckpoint) newest(ctx context.Context) ([]byte, error) {
	if c.State == "" {
		if len(c.Witness) > 0 {
			return nil, coded{withHint(errors.New("--witness needs --state"), "what witnesses signed lies in the state folder"), 2}
		}
		return c.fetch(ctx, "GET", "/api/v1/log/checkpoint", nil)
	}
	key, err := keyFile(c.State)
	if err != nil {
		return nil, err
	}
	var witnesses []string
	for _, f := range c.Witness {
		w, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		witnesses = append(witnesses, string(w))
	}
	k, err := proof.NewKeys(string(key), witnesses, len(witnesses))
	if err != nil {
		return nil, err
	}
	l, err := audit.OpenCopy(filepath.Join(c.State, "log"), k)
	if err != nil {
		return nil, judged(fmt.Errorf("export: %w", err))
	}
	return l.Checkpoint(), nil
}
