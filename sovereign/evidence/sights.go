package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Statement is what one node measured, for another one to read: `cordon evidence export` writes it. It is not signed: whoever hands it on vouches for it, and it can
// only take away.
type Statement struct {
	Form   string `json:"form"` // StatementForm
	Node   string `json:"node"`
	Sights []Seen `json:"sights"`
}

// Seen is one address as a node saw it.
type Seen struct {
	Addr  netip.Addr `json:"addr"`
	Sight Sight      `json:"sight"`
}

// StatementForm names the form of a Statement and its version.
const StatementForm = "cordon.sights/1"

// maxSights of one statement.
const maxSights = 100_000

// ParseStatement reads a statement of another node. Every sight in it is that node's own.
func ParseStatement(data []byte) (Statement, error) {
	var s Statement
	if len(data) > MaxFile {
		return s, fmt.Errorf("evidence: a statement of %d bytes: the most is %d", len(data), MaxFile)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return Statement{}, fmt.Errorf("evidence: statement: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Statement{}, errors.New("evidence: statement: something follows it")
	}
	switch {
	case s.Form != StatementForm:
		return Statement{}, fmt.Errorf("evidence: statement: its form is %.40q, and this program reads %q", s.Form, StatementForm)
	case len(s.Sights) > maxSights:
		return Statement{}, fmt.Errorf("evidence: statement: %d sights: the most is %d", len(s.Sights), maxSights)
	}
	for _, f := range s.Sights {
		if !f.Addr.IsValid() || f.Addr.Zone() != "" {
			return Statement{}, errors.New("evidence: statement: a sight of no address")
		}
		if f.Sight.Node != s.Node {
			return Statement{}, fmt.Errorf("evidence: statement: of node %q, with a sight of node %q", s.Node, f.Sight.Node)
		}
		if err := f.Sight.check(); err != nil {
			return Statement{}, err
		}
	}
	return s, nil
}
