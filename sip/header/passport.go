package header

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Passport is what an Identity header claims, read without its signature: nobody here verifies it, and the certificate behind its "info" is never fetched.
// RFC 8224 section 4, RFC 8225 section 5.
type Passport struct {
	Type  string   // ppt: "" | shaken | div | rph | ...
	Orig  string   // telephone number that calls; "" when it is a URI
	Dest  []string // telephone numbers that are called
	URIs  bool     // a claim holds a URI
	Keys  bool     // mky: fingerprints of media keys
	Other bool     // a claim that speaks of something else in the message
	Short bool     // compact form: the claims are those of the message itself
	IAT   int64    // seconds since 1970
}

const maxPassport = 4096

// ReadPassport reads one Identity value. ok is false for what is none.
func ReadPassport(value string) (p Passport, ok bool) {
	token, params := cutParams(value)
	p.Type = strings.ToLower(find(params, "ppt"))
	parts := strings.Split(token, ".")
	if len(value) > maxPassport || len(parts) != 3 || parts[2] == "" || find(params, "info") == "" {
		return p, false
	}
	if parts[0] == "" && parts[1] == "" {
		p.Short = true
		return p, true
	}
	var head struct {
		Type string `json:"ppt"`
	}
	claims := map[string]json.RawMessage{}
	if !decode(parts[0], &head) || !decode(parts[1], &claims) {
		return p, false
	}
	if p.Type != "" && p.Type != strings.ToLower(head.Type) {
		return p, false
	}
	p.Type = strings.ToLower(head.Type)
	return p, p.claims(claims)
}

func decode(part string, v any) bool {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	return err == nil && json.Unmarshal(b, v) == nil
}

// claims reads what the signature covers.
func (p *Passport) claims(all map[string]json.RawMessage) bool {
	var orig struct {
		TN  string `json:"tn"`
		URI string `json:"uri"`
	}
	var dest struct {
		TN  []string `json:"tn"`
		URI []string `json:"uri"`
	}
	for name, raw := range all {
		var err error
		switch name {
		case "orig":
			err = json.Unmarshal(raw, &orig)
		case "dest":
			err = json.Unmarshal(raw, &dest)
		case "iat":
			err = json.Unmarshal(raw, &p.IAT)
		case "mky":
			p.Keys = true
		case "attest", "origid", "rph", "sph", "div": // they speak of the number, the call or its priority, which are what they were
		default:
			p.Other = true
		}
		if err != nil {
			return false
		}
	}
	p.Orig, p.Dest, p.URIs = orig.TN, dest.TN, orig.URI != "" || len(dest.URI) > 0
	return p.IAT > 0 && (orig.TN != "" || orig.URI != "") && len(dest.TN)+len(dest.URI) > 0
}

// Why a PASSporT does not go on. These are the labels of a metric.
const (
	PassOption    = "option"    // the party wants none
	PassMalformed = "malformed" // it is none
	PassCaller    = "caller"    // who calls shows differently than it says
	PassCalled    = "called"    // who is called shows differently
	PassHost      = "host"      // it speaks of a host, which is another one on our side
	PassMedia     = "media"     // it speaks of media keys, which are ours
	PassClaims    = "claims"    // it speaks of something that nobody here can keep
	PassDate      = "date"      // its time cannot be kept
)

// Broken says why a PASSporT would be wrong on a message from caller to called (numbers, "" for an anonymous caller) that carries that Date header; "" when it stays
// right. was are caller and called of the message that it came in.
//
// A B2BUA writes other hosts into From and To. That changes nothing that a PASSporT of telephone numbers claims: RFC 8224 section 8.3 takes the canonical number out of the
// URI and drops the host, RFC 8225 section 5.2.1 signs the number alone. So it stays right exactly while both numbers and the time stay. A claim with a URI, with
// media keys (RFC 8225 section 5.2.2) or of another kind does not.
func (p Passport) Broken(caller, called string, was [2]string, date string) string {
	switch p.Type {
	case "", "shaken", "rph", "div": // RFC 8225, 8588, 8443, 8946
	default:
		return PassClaims
	}
	orig, dest := Canonical(caller), Canonical(called)
	switch {
	case p.URIs:
		return PassHost
	case p.Keys:
		return PassMedia
	case p.Other:
		return PassClaims
	case !IsNumber(orig):
		return PassCaller
	}
	if p.Short {
		// RFC 8224 section 4.1: the far end builds the claims again from From, To and Date.
		switch {
		case date == "":
			return PassDate
		case orig != Canonical(was[0]):
			return PassCaller
		case dest != Canonical(was[1]) || !IsNumber(dest):
			return PassCalled
		}
		return ""
	}
	if Canonical(p.Orig) != orig {
		return PassCaller
	}
	if at, err := time.Parse(time.RFC1123, date); date != "" && (err != nil || abs(at.Unix()-p.IAT) > 60) { // RFC 8224 section 6.2 step 4
		return PassDate
	}
	for _, tn := range p.Dest {
		if Canonical(tn) == dest {
			return ""
		}
	}
	return PassCalled
}

// Canonical is a number as PASSporTs hold it: digits alone. RFC 8224 section 8.3 step 5.
func Canonical(s string) string { return strings.TrimPrefix(Number(s), "+") }

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
