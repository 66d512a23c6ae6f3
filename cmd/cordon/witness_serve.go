package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/witness"
	"github.com/cordonsip/cordon/audit/witness/door"
)

type witnessServe struct {
	Listen  string   `required:"" help:"Literal address and port, e.g. 192.0.2.10:8490; without a certificate a loopback one."`
	Log     []string `required:"" help:"File with the public key of a log that is watched (note verifier form), once for each." type:"path"`
	Name    string   `required:"" help:"Name of the witness, as its key was made."`
	Key     string   `required:"" help:"Its private key." type:"path"`
	State   string   `required:"" help:"Folder of what it has signed; it must exist, and must never be put back." type:"path"`
	Cert    string   `help:"Certificate chain of the listener, PEM." placeholder:"FILE" type:"path"`
	CertKey string   `help:"Private key of that certificate, PEM." placeholder:"FILE" type:"path"`
}

// Run answers logs until it is told to stop.
func (c *witnessServe) Run(ctx context.Context, s streams) (err error) {
	cert, err := c.certificate()
	if err != nil {
		return err
	}
	d, state, err := c.door(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "listening on %s\n", l.Addr())
	if cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	}
	return d.Serve(ctx, l)
}

// certificate gives that of the listener, nil for a loopback one without.
func (c *witnessServe) certificate() (*tls.Certificate, error) {
	at, err := netip.ParseAddrPort(c.Listen)
	switch {
	case err != nil:
		return nil, coded{withHint(fmt.Errorf("--listen: %w", err), "a literal address and a port, e.g. 127.0.0.1:8490"), 2}
	case (c.Cert == "") != (c.CertKey == ""):
		return nil, coded{errors.New("--cert and --cert-key go together"), 2}
	case c.Cert == "" && !at.Addr().Unmap().IsLoopback():
		return nil, coded{withHint(errors.New("--listen: no plain HTTP outside this machine"), "--cert=chain.pem --cert-key=key.pem, or a loopback address behind a proxy of yours"), 2}
	case c.Cert == "":
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.Cert, c.CertKey)
	return &cert, err
}

// door opens the state and gives the handler.
func (c *witnessServe) door(s streams) (*door.Door, *witness.State, error) {
	key, err := readKey(c.Key)
	if err != nil {
		return nil, nil, err
	}
	by, err := proof.NewCosigner(c.Name, key)
	if err != nil {
		return nil, nil, err
	}
	var logs []string
	for _, f := range c.Log {
		vkey, err := os.ReadFile(f)
		if err != nil {
			return nil, nil, err
		}
		logs = append(logs, string(vkey))
	}
	state, err := witness.Open(c.State)
	if err != nil {
		return nil, nil, withHint(err, "the folder is made once, by hand: an empty one in place of a lost one signs whatever it is shown first")
	}
	d, err := door.New(door.Config{State: state, By: by, Logs: logs, Logger: slog.New(slog.NewJSONHandler(s.err, nil))})
	if err != nil {
		return nil, nil, errors.Join(err, state.Close())
	}
	return d, state, nil
}
