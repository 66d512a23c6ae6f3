package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/certs"
)

// The register is read with org.read, as a list that is never null, with the fields that its schema names.
func TestCertificates(t *testing.T) {
	d := open(t)
	for token, want := range map[string]int{"": 401, "wrong": 401, "a": 403, "r": 200} {
		if w := d.ask("GET", "/api/v1/certificates", token, ""); w.Code != want {
			t.Errorf("with token %q: %d, want %d", token, w.Code, want)
		}
	}
	if w := d.ask("GET", "/api/v1/certificates", "r", ""); strings.Join(strings.Fields(w.Body.String()), "") != `{"certificates":[]}` {
		t.Errorf("a node without any gives %s", w.Body)
	}
	end := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	d.c.Certificates = func() []certs.Certificate {
		return []certs.Certificate{
			{Fingerprint: "ab12", Role: certs.Own, Leaf: true, Uses: []string{"listeners[0]"}, Subject: "CN=edge", Issuer: "CN=root", Names: []string{"edge.example"}, NotBefore: end.AddDate(-1, 0, 0), NotAfter: end},
			{Fingerprint: "cd34", Role: certs.Root, Uses: []string{"carrier"}, Subject: "CN=root", Issuer: "CN=root", NotAfter: end.AddDate(5, 0, 0)},
		}
	}
	var v struct{ Certificates []map[string]any }
	w := d.ask("GET", "/api/v1/certificates", "r", "")
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || len(v.Certificates) != 2 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	own, root := v.Certificates[0], v.Certificates[1]
	if own["role"] != "own" || own["leaf"] != true || own["not_after"] != "2026-12-24T18:00:00Z" || own["fingerprint"] != "ab12" || own["uses"].([]any)[0] != "listeners[0]" || own["names"].([]any)[0] != "edge.example" {
		t.Errorf("our own: %v", own)
	}
	if root["role"] != "root" || root["leaf"] != false || root["subject"] != "CN=root" || root["issuer"] != "CN=root" {
		t.Errorf("the root: %v", root)
	}
}
