// Package charter is the part of a configuration that decides where anything may go and who may say so, as one document with a digest, and the judgement of what
// makes it wider.
//
// It names no person: people are pseudonyms, and what they sign in with is a keyed hash. It is pure, and imports approval (the rules of the gate), sovereign and
// internal/jcs.
package charter

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/internal/jcs"
	"github.com/cordonsip/cordon/sovereign"
)

// Charter is the document. Its lists are sets: their order means nothing.
type Charter struct {
	Edition      int                        `json:"edition,omitempty"` // of the document; none: the first, which had neither position nor evidence, running_calls or retention
	Policy       sovereign.Policy           `json:"policy"`
	Regions      []Region                   `json:"regions"`
	Places       []sovereign.Declaration    `json:"places"`
	Parties      []sovereign.Party          `json:"parties"`
	Suspensions  Suspensions                `json:"suspensions"`
	Gate         map[string]json.RawMessage `json:"gate"`                  // the rules of the gate as tickets carry them
	Bases        map[string]json.RawMessage `json:"legal_bases,omitempty"` // the catalogue that tickets may rest on, by the words of its entries
	People       []Person                   `json:"people"`
	Destinations []Destination              `json:"destinations"`
	OnLogFailure string                     `json:"on_log_failure"` // refuse, or continue_with_gap
	Position     *Spot                      `json:"node_position,omitempty"`
	Evidence     Evidence                   `json:"evidence,omitzero"`
	Running      map[string]Running         `json:"running_calls,omitempty"` // by CommonRule, "party NAME" and "route NAME"
	Retention    []Class                    `json:"retention,omitempty"`
}

// Region is a place that the operator declares.
type Region struct {
	Key      sovereign.Region  `json:"key"`
	Country  sovereign.Country `json:"country"`
	Contract string            `json:"contract"`
	Position *Spot             `json:"position,omitempty"`
}

// same says that two declarations of a region say the same.
func (r Region) same(o Region) bool {
	return r.Key == o.Key && r.Country == o.Country && r.Contract == o.Contract && (r.Position == nil) == (o.Position == nil) && (r.Position == nil || *r.Position == *o.Position)
}

// Suspensions says where annulled instruments are read, and whose signatures count.
type Suspensions struct {
	File string            `json:"file"`
	Keys map[string][]byte `json:"keys"` // Ed25519, by key id
}

// Person is somebody who may sign in. Mark is a keyed hash of everything else that the configuration says of the person, above all what is signed in with.
type Person struct {
	Person string   `json:"person"`
	Roles  []string `json:"roles"`
	Scopes []string `json:"scopes"`
	// DeputyFor are the roles that the person acts in while everybody who holds them is absent. Mark covers them, too, so another one is another mark.
	DeputyFor []string  `json:"deputy_for,omitempty"`
	Expires   time.Time `json:"expires,omitzero"` // zero: never
	Keys      []string  `json:"keys,omitempty"`   // public keys; two people vouch for each, but for those of the first start that knows any
	Mark      string    `json:"mark"`
}

// Destination is something beside calls that this node sends to. Mark is a keyed hash of how.
type Destination struct {
	Use   string `json:"use"` // notify, dns, hep, spans, witness, worm, trace
	Name  string `json:"name"`
	Mark  string `json:"mark"`
	Tells bool   `json:"tells_of_tickets,omitempty"`
}

func (d Destination) key() string { return d.Use + " " + d.Name }

// Rules takes the rules of the gate into the form of a charter.
func Rules(r approval.Rules) (map[string]json.RawMessage, error) {
	text, err := jcs.Marshal(r.Effective())
	if err != nil {
		return nil, fmt.Errorf("charter: the rules of the gate: %w", err)
	}
	var out map[string]json.RawMessage
	err = json.Unmarshal(text, &out)
	return out, err
}

// GateRules are the rules of the gate; what this version of the program does not know is left out.
func (c *Charter) GateRules() (approval.Rules, error) {
	var r approval.Rules
	text, err := json.Marshal(c.Gate)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("charter: the rules of the gate: %w", err)
	}
	return r, r.Validate()
}

// Bases takes the catalogue of legal bases into the form of a charter.
func Bases(list []approval.Basis) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for _, b := range list {
		text, err := jcs.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("charter: legal basis %s: %w", b.ID, err)
		}
		out[b.Word()] = text
	}
	return out, nil
}

// sorted is a copy in the one order that a charter is written in.
func (c Charter) sorted() Charter {
	c.Policy.Allow = set(c.Policy.Allow, func(a, b sovereign.Region) int { return strings.Compare(a.String(), b.String()) })
	c.Regions = set(c.Regions, func(a, b Region) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	c.Places = set(c.Places, func(a, b sovereign.Declaration) int {
		return cmp.Or(strings.Compare(a.Prefix, b.Prefix), a.ValidFrom.Compare(b.ValidFrom))
	})
	c.Parties = set(c.Parties, func(a, b sovereign.Party) int { return strings.Compare(a.Name, b.Name) })
	c.People = set(c.People, func(a, b Person) int { return strings.Compare(a.Person, b.Person) })
	for i := range c.People {
		p := &c.People[i]
		if len(p.DeputyFor) > 0 {
			p.DeputyFor = set(p.DeputyFor, strings.Compare)
		}
		p.Roles, p.Scopes = set(p.Roles, strings.Compare), set(p.Scopes, strings.Compare)
	}
	c.Destinations = set(c.Destinations, func(a, b Destination) int { return strings.Compare(a.key(), b.key()) })
	c.Suspensions.Keys, c.Gate = maps.Clone(c.Suspensions.Keys), maps.Clone(c.Gate)
	c.Bases = maps.Clone(c.Bases)
	if c.knows(2) {
		c.Evidence, c.Running, c.Retention = c.Evidence.sorted(), maps.Clone(c.Running), sortedClasses(c.Retention)
	}
	return c
}

// set is a sorted copy that is never nil.
func set[T any](list []T, compare func(a, b T) int) []T {
	out := append(make([]T, 0, len(list)), list...)
	slices.SortStableFunc(out, compare)
	return out
}

// Canonical is the text of the charter, RFC 8785.
func (c Charter) Canonical() ([]byte, error) {
	text, err := jcs.Marshal(c.sorted())
	if err != nil {
		return nil, fmt.Errorf("charter: %w", err)
	}
	return text, nil
}

// Digest is the SHA-256 (lower-case hex) of a text that Canonical gave.
func Digest(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// Parse reads a text that Canonical gave, perhaps in another version of the program: what this one does not know is left out, so that one can go back to it.
func Parse(canonical []byte) (Charter, error) {
	var c Charter
	if err := json.Unmarshal(canonical, &c); err != nil {
		return Charter{}, fmt.Errorf("charter: %w", err)
	}
	return c, nil
}

// Seal makes of a charter in clear, whose marks say what they stand for, one for others to read: people become pseudonyms, and marks keyed hashes.
type Seal struct {
	Pseudonym func(id string) string
	MAC       func([]byte) []byte // of at least 16 bytes
}

// Charter seals a copy of c.
func (s Seal) Charter(c Charter) Charter {
	c = c.sorted()
	for i := range c.People {
		c.People[i] = s.Person(c.People[i])
	}
	for i := range c.Destinations {
		c.Destinations[i] = s.Destination(c.Destinations[i])
	}
	return c.sorted()
}

// Person seals one person.
func (s Seal) Person(p Person) Person {
	p.Mark = s.mark("person "+p.Person, p.Mark)
	p.Person = s.Pseudonym(p.Person)
	return p
}

// Destination seals one destination.
func (s Seal) Destination(d Destination) Destination {
	d.Mark = s.mark(d.key(), d.Mark)
	return d
}

func (s Seal) mark(of, text string) string {
	if text == "" {
		return ""
	}
	return hex.EncodeToString(s.MAC([]byte(of + "\x00" + text))[:16])
}

// Snapshot is the policy that the charter declares, under the law and the region table of this program.
func (c Charter) Snapshot(generation uint64, grants []sovereign.Grant, overlay []sovereign.Suspension) (*sovereign.Snapshot, error) {
	table := sovereign.ShippedRegions()
	for _, r := range c.Regions {
		next, err := table.With(nil, sovereign.RegionFact{Region: r.Key, Country: r.Country, Status: "declared", Source: r.Contract})
		if err != nil {
			return nil, fmt.Errorf("charter: region %s: %w", r.Key, err)
		}
		table = next
	}
	atlas, err := sovereign.NewAtlas(table, c.Places)
	if err != nil {
		return nil, fmt.Errorf("charter: %w", err)
	}
	return sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Catalogue: table, Policy: c.Policy, Atlas: atlas, Parties: c.Parties, Suspended: overlay, Grants: grants, Generation: generation,
	})
}
