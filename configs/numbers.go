package configs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/numbers"
)

// Numbers is how a party writes telephone numbers. Inside, and for routes and tables, a number is E.164 with a plus wherever it can be read as one.
type Numbers struct {
	// Calling code of its country without plus, e.g. "49".
	CountryCode string `yaml:"country_code,omitempty"`
	// National prefix, e.g. "0"; leave it out where there is none.
	NationalPrefix string `yaml:"national_prefix,omitempty"`
	// International prefix; default "00".
	InternationalPrefix string `yaml:"international_prefix,omitempty"`
	// What seven and more digits without a prefix are, when it sends them: digits (of E.164) or national; default: nothing is assumed.
	Bare string `yaml:"bare,omitempty"`
	// How numbers are written toward it: e164 (+4969..), digits (4969..), national (069.., abroad with the international prefix), international (004969..); default: as they are.
	Send string `yaml:"send,omitempty"`
	// Changes of the called and the calling number toward it, after send; the first whose prefix matches counts.
	Rules []NumberRule `yaml:"rules,omitempty"`
}

// NumberRule changes numbers that begin with a prefix.
type NumberRule struct {
	// Beginning of the number, as send has written it.
	Prefix string `yaml:"prefix"`
	// Characters taken off its front.
	Strip int `yaml:"strip,omitempty"`
	// Digits put in front then.
	Add string `yaml:"add,omitempty"`
}

// Callers are the calling numbers that a party takes: carriers reject those that are not their customer's. Calls for help are never left out for it.
type Callers struct {
	// Numbers in E.164; a * at the end stands for any further digits.
	Permit []string `yaml:"permit"`
	// Number that is sent in place of another; without it the party is left out of the plan.
	Substitute string `yaml:"substitute,omitempty"`
}

// numbering builds what routing knows of a party's numbers.
func (b *builder) numbering(p *Party, at string) (*numbers.Plan, numbers.Callers) {
	var plan *numbers.Plan
	if n := p.Numbers; n != nil {
		plan = &numbers.Plan{
			Country: n.CountryCode, Trunk: n.NationalPrefix, Abroad: n.InternationalPrefix, Bare: numbers.Form(n.Bare), Send: numbers.Form(n.Send),
		}
		for _, r := range n.Rules {
			plan.Rules = append(plan.Rules, numbers.Rule(r))
		}
		if err := plan.Check(); err != nil {
			b.fail(at+".numbers", `e.g. {country_code: "49", national_prefix: "0", send: e164}`, "%v", err)
		}
	}
	var callers numbers.Callers
	if c := p.Callers; c != nil {
		callers = numbers.Callers(*c)
		if err := callers.Check(); err != nil {
			b.fail(at+".callers", `e.g. {permit: ["+4969100*"], substitute: "+49691000"}`, "%v", err)
		}
		if len(c.Permit) == 0 {
			b.fail(at+".callers.permit", "list the numbers that the contract names, or leave callers out", "is empty")
		}
	}
	return plan, callers
}

// table reads the number table of a route.
func (b *builder) table(c *Config, at string, r Route, out *routing.Route) {
	if r.Table == "" {
		return
	}
	data, err := ReadTable(b.path(r.Table))
	var t *numbers.Table
	if err == nil {
		t, err = numbers.ReadTable(bytes.NewReader(data))
	}
	if err != nil {
		for _, e := range lines(err) {
			b.fail(at+".table", "the first line names the columns: prefix (or first and last), party, valid_from, valid_until", "%s: %v", r.Table, e)
		}
		return
	}
	for _, name := range t.Parties() {
		if !slices.ContainsFunc(out.To, func(ch routing.Choice) bool { return ch.Party == name }) {
			b.fail(at+".table", "add it under to: what a table names is judged and watched like the rest", "%s names %q, which is not among the parties of the route", r.Table, name)
		}
	}
	out.Table = t
	c.Tables = append(c.Tables, Table{Route: r.Name, File: b.path(r.Table), Sum: sha256.Sum256(data)})
}

// maxTable bounds the file of a number table, in bytes.
const maxTable = 64 << 20

// ErrTableSize is a number table that is larger than a node reads.
var ErrTableSize = errors.New("the file is larger than 64 MiB, which is the most that a number table may be")

// ReadTable reads the file of a number table, which holds at most 64 MiB: ErrTableSize.
func ReadTable(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxTable {
		return nil, ErrTableSize
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTable+1)) // it may grow meanwhile
	if err == nil && len(data) > maxTable {
		err = ErrTableSize
	}
	return data, err
}

// lines takes joined errors apart.
func lines(err error) []error {
	var all interface{ Unwrap() []error }
	if errors.As(err, &all) {
		return all.Unwrap()
	}
	return []error{err}
}

// Table is the file of a route's number table. It may change while the node runs.
type Table struct {
	Route, File string
	Sum         [sha256.Size]byte // of what was read
}

// Put gives rules with data as the table of its route. The error names what is wrong.
func (t Table) Put(rules routing.Rules, data []byte) (routing.Rules, int, error) {
	tab, err := numbers.ReadTable(bytes.NewReader(data))
	if err != nil {
		return rules, 0, fmt.Errorf("configs: %s: %w", t.File, err)
	}
	rules.Routes = slices.Clone(rules.Routes)
	for i := range rules.Routes {
		if rules.Routes[i].Name == t.Route {
			rules.Routes[i].Table = tab
		}
	}
	if err := routing.Check(rules); err != nil {
		return rules, 0, fmt.Errorf("configs: %s: %w", t.File, err)
	}
	return rules, tab.Size(), nil
}
