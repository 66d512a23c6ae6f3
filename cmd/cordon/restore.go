package main

import (
	"fmt"

	"github.com/cordonsip/cordon/audit/worm"
)

type restoreCmd struct {
	Key restoreKey `cmd:"" help:"Make the key that keys and salts are sealed to, and print its public half for log.worm.recovery_key."`
}

type restoreKey struct {
	File string `arg:"" help:"Key file (PKCS #8 PEM, X25519); made with mode 0600, never written over. Keep it offline." type:"path"`
}

// Run makes a recovery key.
func (c *restoreKey) Run(s streams) error {
	k, err := worm.NewRecoveryKey()
	if err != nil {
		return err
	}
	raw, err := k.Marshal()
	if err != nil {
		return err
	}
	if err := writeNew(c.File, raw); err != nil {
		return err
	}
	fmt.Fprintln(s.out, k.Recipient())
	return nil
}
