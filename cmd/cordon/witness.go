package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/witness"
)

type witnessCmd struct {
	Key   witnessKey   `cmd:"" help:"Make the key of a witness, or print its public half."`
	Sign  witnessSign  `cmd:"" help:"Sign a checkpoint of somebody's log, if it goes on from the last one that was signed."`
	Serve witnessServe `cmd:"" help:"Sign the checkpoints that logs post over HTTP (C2SP tlog-witness)."`
}

type witnessKey struct {
	Name string `arg:"" help:"Name of the witness, e.g. witness.bank.example/1."`
	File string `arg:"" help:"Key file (PKCS #8 PEM); made with mode 0600 when it does not exist."`
}

// Run makes or shows a key.
func (c *witnessKey) Run(s streams) error {
	key, err := readKey(c.File)
	if errors.Is(err, os.ErrNotExist) {
		key, err = makeKey(c.File)
	}
	if err != nil {
		return err
	}
	by, err := proof.NewCosigner(c.Name, key)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, by.VerifierKey())
	return nil
}

type witnessSign struct {
	File  string `arg:"" help:"A checkpoint, or a proof from the last one that was signed to a newer one." type:"path"`
	Log   string `required:"" help:"File with the public key of the log (note verifier form)." type:"path"`
	Name  string `required:"" help:"Name of the witness, as its key was made."`
	Key   string `required:"" help:"Its private key." type:"path"`
	State string `required:"" help:"Folder of what it has signed; it must exist, and must never be put back." type:"path"`
	Out   string `help:"Write the signed checkpoint into this file; default: print it." placeholder:"FILE" type:"path"`
}

// Run signs one checkpoint. Exit code 3 when it is not the log whose last checkpoint was signed.
func (c *witnessSign) Run(s streams) (err error) {
	key, err := readKey(c.Key)
	if err != nil {
		return err
	}
	by, err := proof.NewCosigner(c.Name, key)
	if err != nil {
		return err
	}
	vkey, err := os.ReadFile(c.Log)
	if err != nil {
		return err
	}
	file, err := readProof(c.File)
	if err != nil {
		return err
	}
	state, err := witness.Open(c.State)
	if err != nil {
		return withHint(err, "the folder is made once, by hand: an empty one in place of a lost one signs whatever it is shown first")
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	signed, err := state.Cosign(file, string(vkey), by, time.Now())
	var fork *witness.Fork
	switch {
	case errors.As(err, &fork):
		fmt.Fprintf(s.out, "signed before:\n%sshown now:\n%s", indent(string(fork.First)), indent(string(fork.Then)))
		return withHint(coded{err, notHeld}, "keep both checkpoints: together they prove that the log's key has signed two histories")
	case errors.Is(err, witness.ErrOutOfStep):
		last, e := state.Last(string(vkey), by)
		if e == nil {
			fmt.Fprintf(s.out, "signed last:\n%s", indent(string(last)))
		}
		return withHint(err, "cordon verify DIR --from=LAST --export=FILE makes the proof, where the log is")
	case errors.Is(err, witness.ErrUnproved):
		return coded{err, notHeld}
	case err != nil:
		return err
	}
	if c.Out == "" {
		_, err = s.out.Write(signed)
		return err
	}
	return writeNew(c.Out, signed)
}
