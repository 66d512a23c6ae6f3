package sovereign

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Country is an ISO 3166-1 alpha-2 code in upper case, after aliases ("UK", "EL") were resolved. Empty means unknown.
type Country string

// Region names a data-centre region by provider and code, because a code alone is ambiguous: "eu-west-2" is London at one
// provider and Paris at another. Its text form is "provider:code". The zero Region is no region.
type Region struct{ Provider, Code string }

// ParseRegion reads "provider:code". The code may hold further colons and slashes ("ionos:de/fra") but neither part may be empty or hold spaces.
func ParseRegion(s string) (Region, error) {
	provider, code, ok := strings.Cut(s, ":")
	if !ok || provider == "" || code == "" || strings.ContainsAny(s, " \t\r\n") {
		return Region{}, fmt.Errorf("sovereign: region %q: write it as provider:code, for example aws:eu-central-1", s)
	}
	return Region{Provider: provider, Code: code}, nil
}

// IsZero says whether r is no region.
func (r Region) IsZero() bool { return r == Region{} }

// String is "provider:code", or "" for the zero Region.
func (r Region) String() string {
	if r.IsZero() {
		return ""
	}
	return r.Provider + ":" + r.Code
}

// MarshalText is String.
func (r Region) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "provider:code"; the empty text is the zero Region.
func (r *Region) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*r = Region{}
		return nil
	}
	got, err := ParseRegion(string(b))
	if err != nil {
		return err
	}
	*r = got
	return nil
}

// Place is what the Atlas knows of one address as of a time. A Place with no country is unknown, and unknown is Deny.
type Place struct {
	Addr       netip.Addr   `json:"addr,omitzero"`
	Prefix     netip.Prefix `json:"prefix,omitzero"`      // the declared prefix that matched; the zero Prefix if none did
	Region     Region       `json:"region,omitzero"`      // the declared region; zero for a prefix that several regions share
	Countries  []Country    `json:"countries,omitempty"`  // sorted; more than one for a global prefix
	Operator   string       `json:"operator,omitempty"`   // legal name of who runs the network there
	Contract   string       `json:"contract,omitempty"`   // reference of the contract annex that declares it, DORA Art. 30(2)(b)
	ValidUntil time.Time    `json:"valid_until,omitzero"` // zero means open
}

// Known says whether the place names at least one country.
func (p Place) Known() bool { return len(p.Countries) > 0 }
