package header

import (
	"errors"
	"fmt"
	"strings"
)

// structural names the headers that are the edge's own to write: they never cross by configuration. Read only.
var structural = map[string]bool{
	"via": true, "v": true, "route": true, "record-route": true, "contact": true, "m": true, "from": true, "f": true, "to": true, "t": true,
	"call-id": true, "i": true, "cseq": true, "max-forwards": true, "max-breadth": true, "content-length": true, "l": true, "content-type": true, "c": true,
	"content-encoding": true, "e": true, "content-disposition": true, "mime-version": true, "require": true, "proxy-require": true, "supported": true, "k": true,
	"unsupported": true, "allow": true, "authorization": true, "proxy-authorization": true, "www-authenticate": true, "proxy-authenticate": true,
	"authentication-info": true, "p-asserted-identity": true, "p-preferred-identity": true, "remote-party-id": true, "privacy": true, "session-expires": true,
	"x": true, "min-se": true, "rseq": true, "rack": true, "reason": true, "warning": true, "server": true, "user-agent": true, "path": true, "service-route": true,
	"session-id": true, "identity": true, "y": true, "identity-info": true, "n": true, "replaces": true, "join": true, "target-dialog": true, "refer-to": true,
	"r": true, "referred-by": true, "b": true, "history-info": true, "p-charging-vector": true, "p-charging-function-addresses": true, "p-early-media": true,
	"record-route-info": true, "info-package": true, "recv-info": true, "event": true, "o": true, "expires": true, "retry-after": true,
}

// Structural says whether a header is the edge's own to write.
func Structural(name string) bool { return structural[strings.ToLower(strings.TrimSpace(name))] }

// Field is one header field.
type Field struct{ Name, Value string }

// Rule changes what is sent to a party beyond the list of headers that may cross. Exactly one of Add, Rename and Drop is set.
type Rule struct {
	Add, Value string // a header with a fixed value
	Rename, To string // the other side's header under another name; naming it lets it cross
	Drop       string // what would cross otherwise
}

// MaxFixed is the longest fixed value of a rule, in bytes.
const MaxFixed = 256

// Check says what is wrong with a rule.
func (r Rule) Check() error {
	set := 0
	for _, name := range []string{r.Add, r.Rename, r.Drop} {
		if name != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("exactly one of add, rename and drop belongs into a rule")
	case (r.Add == "") != (r.Value == ""):
		return errors.New("add and value belong together")
	case (r.Rename == "") != (r.To == ""):
		return errors.New("rename and to belong together")
	case len(r.Value) > MaxFixed:
		return fmt.Errorf("the value is longer than %d bytes", MaxFixed)
	}
	for i := range len(r.Value) {
		if c := r.Value[i]; c < ' ' && c != '\t' || c == 0x7F {
			return errors.New("the value holds a control character")
		}
	}
	for _, name := range []string{r.Add, r.Rename, r.To, r.Drop} {
		switch {
		case name == "":
		case !IsToken(name):
			return fmt.Errorf("%q is no header name", name)
		case Structural(name) || strings.EqualFold(name, "diversion") || strings.EqualFold(name, "user-to-user"):
			return fmt.Errorf("%q is the edge's own to write", name)
		}
	}
	return nil
}

// Apply gives the headers that go to a party: those of in that allowed names, changed by the rules in their order.
func Apply(rules []Rule, allowed []string, in []Field) []Field {
	var out []Field
	for _, f := range in {
		if names(allowed, f.Name) {
			out = append(out, f)
		}
	}
	for _, r := range rules {
		switch {
		case r.Drop != "":
			out = without(out, r.Drop)
		case r.Rename != "":
			out = without(out, r.Rename)
			for _, f := range in {
				if strings.EqualFold(f.Name, r.Rename) {
					out = append(out, Field{r.To, f.Value})
				}
			}
		case r.Add != "":
			out = append(out, Field{r.Add, r.Value})
		}
	}
	return out
}

func names(list []string, name string) bool {
	for _, n := range list {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func without(in []Field, name string) []Field {
	var out []Field
	for _, f := range in {
		if !strings.EqualFold(f.Name, name) {
			out = append(out, f)
		}
	}
	return out
}
