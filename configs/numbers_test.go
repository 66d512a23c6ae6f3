package configs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/routing/numbers"
)

func TestNumbersOfAParty(t *testing.T) {
	c, err := Parse("x.yaml", carrierWith(`numbers: {country_code: "49", national_prefix: "0", bare: digits, send: national, rules: [{prefix: "0800", strip: 1, add: "9"}]}, callers: {permit: ["+4969100*"], substitute: "+49691000"}`))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Rules.Trunks["carrier"]
	want := numbers.Plan{Country: "49", Trunk: "0", Bare: "digits", Send: "national", Rules: []numbers.Rule{{Prefix: "0800", Strip: 1, Add: "9"}}}
	if got.Numbers == nil || !reflect.DeepEqual(*got.Numbers, want) || !reflect.DeepEqual(got.Callers, numbers.Callers{Permit: []string{"+4969100*"}, Substitute: "+49691000"}) {
		t.Errorf("%+v %+v", got.Numbers, got.Callers)
	}
	if c, err = Parse("x.yaml", []byte(base)); err != nil || c.Rules.Trunks["carrier"].Numbers != nil {
		t.Errorf("a party that says nothing: %+v, %v", c.Rules.Trunks["carrier"], err)
	}
	for keys, want := range map[string]string{
		`numbers: {country_code: "x"}`:                     `trunks[0].numbers: country_code "x"`,
		`numbers: {send: national}`:                        "trunks[0].numbers: send",
		`numbers: {rules: [{prefix: abc}]}`:                "trunks[0].numbers: rules[0]",
		`numbers: {countrycode: "49"}`:                     "countrycode",
		`callers: {permit: []}`:                            "trunks[0].callers.permit: is empty",
		`callers: {permit: ["+49*"], substitute: "+3312"}`: "trunks[0].callers: substitute",
	} {
		if _, err := Parse("x.yaml", carrierWith(keys)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
}

func TestNumberTableOfARoute(t *testing.T) {
	dir := t.TempDir()
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "did.csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(base, "direction: inbound,", "direction: inbound, table: did.csv,", 1)
	const group = "fra"
	put("prefix,party\n+4969," + group + "\n")
	c, err := Parse(filepath.Join(dir, "x.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := c.Rules.Routes[0].Table.Find("+49691", time.Now()); !ok || e.Party != group || len(c.Tables) != 1 {
		t.Errorf("%+v %v %+v", e, ok, c.Tables)
	}
	rules, rows, err := c.Tables[0].Put(c.Rules, []byte("prefix,party\n+4930,"+group+"\n+4940,"+group+"\n"))
	if err != nil || rows != 2 {
		t.Fatal(rows, err)
	}
	if _, ok := rules.Routes[0].Table.Find("+49301", time.Now()); !ok {
		t.Error("the new table is not in the rules")
	}
	if _, ok := c.Rules.Routes[0].Table.Find("+49301", time.Now()); ok {
		t.Error("the old rules changed")
	}
	for _, bad := range []string{"prefix,party\n+4930,nobody\n", "prefix\n", ""} {
		if _, _, err := c.Tables[0].Put(c.Rules, []byte(bad)); err == nil || !strings.Contains(err.Error(), "did.csv") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for content, want := range map[string]string{
		"prefix,party\n+4969,nobody\n": `names "nobody"`,
		"prefix,party\nx,fra\ny,fra\n": `line 2: "x" is no number`,
		"":                             "no row",
	} {
		put(content)
		if _, err := Parse(filepath.Join(dir, "x.yaml"), []byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "routes[0].table") {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "did.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(filepath.Join(dir, "x.yaml"), []byte(text)); err == nil || !strings.Contains(err.Error(), "routes[0].table") {
		t.Error(err)
	}
}

// A table that no node would read is refused with the bound.
func TestATableBeyondItsBoundIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "did.csv")
	if err := os.WriteFile(file, []byte("prefix,party\n+49,fra\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadTable(file); err != nil || len(data) != 21 {
		t.Errorf("%q %v", data, err)
	}
	if err := os.Truncate(file, maxTable+1); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadTable(file); !errors.Is(err, ErrTableSize) || data != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	text := []byte("routes: [{name: in, direction: inbound, table: did.csv, to: [{party: fra}]}]\n")
	if _, err := Parse(filepath.Join(filepath.Dir(file), "x.yaml"), text); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Error(err)
	}
}
