package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
)

// The list names people to who may read everything; the overview names keys that should count and do not, and nobody.
func TestKeysAreShown(t *testing.T) {
	d := open(t)
	var list KeyList
	w := d.ask("GET", "/api/v1/keys", "r", "")
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Keys) != 3 || list.People["p-1"] != "anna" || list.People["p-3"] != "clara" {
		t.Errorf("%d: %+v, %v", w.Code, list, err)
	}
	var o Overview
	w = d.ask("GET", "/api/v1/status", "r", "")
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || len(o.Idle) != 1 || o.Idle[0] != (KeyView{"k-2", "it waits for two people"}) {
		t.Errorf("%d: %+v, %v", w.Code, o.Idle, err)
	}
}

// What is longer than any signed file may be reaches the gate as one byte too many, and no more of it is read; who may not bring files is refused at the door.
func TestSignedFilesAreBounded(t *testing.T) {
	d := open(t)
	if w := d.ask("POST", "/api/v1/signed", "o", strings.Repeat("x", approval.MaxSignedFile+4096)); w.Code != 200 {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	if want := fmt.Sprintf("submit %d bytes t1 ops", approval.MaxSignedFile+1); d.gate.asked[len(d.gate.asked)-1] != want {
		t.Errorf("asked %q, want %q", d.gate.asked[len(d.gate.asked)-1], want)
	}
	d.gate.err = fmt.Errorf("%w: %w", keyring.ErrUnlogged, audit.ErrLogDown)
	if w := d.ask("POST", "/api/v1/keys/k-1/revoke", "a", `{"reason":"lost"}`); w.Code != 503 || !strings.Contains(w.Body.String(), "counts no more while this node runs") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	d.gate.err = &approval.Refusal{Rule: approval.RuleSignature, Detail: "the signature does not fit", Hint: "sign again"}
	w := d.ask("POST", "/api/v1/signed", "o", "{}")
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 409 || p.Rule != "signature" || p.Hint != "sign again" {
		t.Errorf("%d: %+v, %v", w.Code, p, err)
	}
}
