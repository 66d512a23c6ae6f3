package numbers

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Conforms: RFC 3966 section 5.1.1
func TestRead(t *testing.T) {
	german := Plan{Country: "49", Trunk: "0"}
	for _, tc := range []struct {
		plan     Plan
		in, want string
	}{
		{german, "+49 (69) 1234-56", "+4969123456"},
		{german, "004969123456", "+4969123456"},
		{german, "0041.44.6681800", "+41446681800"},
		{german, "069123456", "+4969123456"},
		{german, "112", "112"},
		{german, "116117", "116117"},
		{german, "4969123456", "4969123456"}, // nobody said what it is
		{Plan{Country: "49", Trunk: "0", Bare: Digits}, "4969123456", "+4969123456"},
		{Plan{Country: "49", Trunk: "0", Bare: Digits}, "112", "112"},
		{Plan{Country: "45", Bare: National}, "33123456", "+4533123456"}, // Denmark dials no trunk prefix
		{Plan{Country: "1", Trunk: "1", Abroad: "011"}, "011496912345678", "+496912345678"},
		{german, "+0691234567", "+0691234567"}, // no country begins with 0
		{german, "+49691234567890123", "+49691234567890123"},
		{german, "alice.smith", "alice.smith"},
		{german, "*21*069123456#", "*21*069123456#"},
		{german, "", ""},
		{german, "+", "+"},
	} {
		if got := tc.plan.Read(tc.in); got != tc.want {
			t.Errorf("%+v reads %q as %q, want %q", tc.plan, tc.in, got, tc.want)
		}
	}
}

func TestWrite(t *testing.T) {
	for _, tc := range []struct {
		plan     Plan
		in, want string
	}{
		{Plan{}, "+4969123456", "+4969123456"},
		{Plan{Send: E164}, "+4969123456", "+4969123456"},
		{Plan{Send: Digits}, "+4969123456", "4969123456"},
		{Plan{Send: International}, "+4969123456", "004969123456"},
		{Plan{Send: National, Country: "49", Trunk: "0"}, "+4969123456", "069123456"},
		{Plan{Send: National, Country: "49", Trunk: "0"}, "+41446681800", "0041446681800"},
		{Plan{Send: National, Country: "49", Trunk: "0"}, "112", "112"},
		{Plan{Send: Digits}, "alice", "alice"},
		{Plan{Rules: []Rule{{Prefix: "+4932", Strip: 3, Add: "0"}, {Prefix: "+49", Strip: 1}}}, "+493212345", "03212345"},
		{Plan{Rules: []Rule{{Prefix: "+4932", Strip: 3, Add: "0"}, {Prefix: "+49", Strip: 1}}}, "+4969123456", "4969123456"},
		{Plan{Rules: []Rule{{Prefix: "9", Strip: 3}}}, "9001234", "1234"},
		{Plan{Send: Digits, Rules: []Rule{{Prefix: "49", Add: "7777#"}}}, "+4969123456", "7777#4969123456"},
	} {
		if got := tc.plan.Write(tc.in); got != tc.want {
			t.Errorf("%+v writes %q as %q, want %q", tc.plan, tc.in, got, tc.want)
		}
	}
}

func TestPlansAreChecked(t *testing.T) {
	for _, p := range []Plan{
		{Country: "4x"},
		{Country: "049"},
		{Country: "4949"},
		{Trunk: "x"},
		{Abroad: "123456789"},
		{Send: "italian"},
		{Send: National},
		{Bare: National},
		{Bare: E164},
		{Rules: []Rule{{Strip: 1}}},
		{Rules: []Rule{{Prefix: "49", Strip: -1}}},
		{Rules: []Rule{{Prefix: "49", Strip: 40}}},
		{Rules: []Rule{{Prefix: "49", Add: "x"}}},
	} {
		if p.Check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	if err := (Plan{Country: "49", Trunk: "0", Send: National, Bare: Digits, Rules: []Rule{{"+49", 3, "0"}}}).Check(); err != nil {
		t.Error(err)
	}
}

func TestCallers(t *testing.T) {
	c := Callers{Permit: []string{"+4969100*", "+49301234"}, Substitute: "+49691000"}
	for in, want := range map[string]string{"+4969100123": "+4969100123", "+49301234": "+49301234", "+493012345": "+49691000", "+4917012": "+49691000", "": "+49691000"} {
		if got, ok := c.Take(in); !ok || got != want {
			t.Errorf("%q goes as %q, %v; want %q", in, got, ok, want)
		}
	}
	c.Substitute = ""
	if got, ok := c.Take("+4917012"); ok {
		t.Errorf("it goes as %q", got)
	}
	if got, ok := (Callers{}).Take("+4917012"); !ok || got != "+4917012" {
		t.Errorf("%q, %v", got, ok)
	}
	for _, bad := range []Callers{{Permit: []string{"x"}}, {Permit: []string{"*"}}, {Substitute: "+4969"}, {Permit: []string{"+4930*"}, Substitute: "+4969"}, {Permit: []string{"+4930*"}, Substitute: "x"}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if err := (Callers{Permit: []string{"+4969100*"}, Substitute: "+49691000"}).Check(); err != nil {
		t.Error(err)
	}
}

const sheet = `prefix,party,valid_from,valid_until
+49 69 100,fra,,
+49691009,zrh,2026-01-01,2026-06-30
+49691009,sto,2026-07-01,
+4144,zrh,,2026-11-21
`

func TestTable(t *testing.T) {
	tab, err := ReadTable(strings.NewReader(sheet))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ number, day, want string }{
		{"+4969100", "2026-03-01", "fra"},
		{"+4969100123", "2026-03-01", "fra"},
		{"+496910091", "2025-12-31", "fra"}, // the longer row is not valid yet
		{"+496910091", "2026-01-01", "zrh"},
		{"+496910091", "2026-06-30", "zrh"},
		{"+496910091", "2026-07-01", "sto"},
		{"+41446681800", "2026-11-21", "zrh"},
		{"+41446681800", "2026-11-22", ""},
		{"+496910", "2026-03-01", ""},
		{"112", "2026-03-01", ""},
		{"alice", "2026-03-01", ""},
		{"", "2026-03-01", ""},
	} {
		day, _ := time.Parse(time.DateOnly, tc.day)
		if e, ok := tab.Find(tc.number, day); e.Party != tc.want || ok != (tc.want != "") {
			t.Errorf("%s on %s: %q, want %q", tc.number, tc.day, e.Party, tc.want)
		}
	}
	if got := strings.Join(tab.Parties(), " "); got != "fra sto zrh" || tab.Size() != 4 {
		t.Errorf("%s, %d rows", got, tab.Size())
	}
	ranges, err := ReadTable(strings.NewReader("\ufefffirst,last,party\n+4969200,+4969299,fra\n+4969300,+4969300,zrh\n"))
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[string]string{"+4969199": "", "+4969200": "fra", "+49692501": "fra", "+4969299": "fra", "+49693001": "zrh", "+4969301": ""} {
		if e, _ := ranges.Find(number, time.Time{}); e.Party != want {
			t.Errorf("%s: %q, want %q", number, e.Party, want)
		}
	}
	if _, ok := (*Table)(nil).Find("+49", time.Time{}); ok {
		t.Error("no table has a row")
	}
}

func TestTablesAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "no row",
		"prefix,party\n":                        "no row",
		"prefix,partie\n":                       `unknown column "partie"`,
		"prefix,first,last,party\n":             "want the columns",
		"first,party\n":                         "want the columns",
		"prefix,prefix,party\n":                 "twice",
		"prefix,party\n+49,\n":                  "line 2: no party",
		"prefix,party\nx,fra\n":                 `line 2: "x" is no number`,
		"prefix,party\n+49,fra,x\n":             "line 2: wrong number of fields",
		"prefix,party\n+4912345678901234,fra\n": "no number",
		"first,last,party\n+4910,+499,fra\n":    "no range",
		"first,last,party\n+4910,+4920,fra\n+4915,+4930,zrh\n":               "line 3: its range overlaps that of line 2",
		"prefix,party\n+49,fra\n+49,zrh\n":                                   "line 3: its range stands in line 2 for the same days",
		"prefix,party,valid_from\n+49,fra,tomorrow\n":                        `"tomorrow" is no day`,
		"prefix,party,valid_from,valid_until\n+49,fra,2026-02-02,2026-02-01": "before valid_from",
	} {
		if _, err := ReadTable(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ReadTable(strings.NewReader("")); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := ReadTable(strings.NewReader("prefix,party\n" + strings.Repeat("x,y\n", 100))); strings.Count(err.Error(), "line") != 20 {
		t.Errorf("%v", err)
	}
}

// Whatever stands in a file is a table that finds its own rows, or an error.
func FuzzReadTable(f *testing.F) {
	f.Add(sheet)
	f.Add("first,last,party\n1,9,a\n")
	f.Add("prefix,party\n\"+49\n\",fra\n")
	f.Fuzz(func(t *testing.T, text string) {
		tab, err := ReadTable(strings.NewReader(text))
		if err != nil {
			return
		}
		n := 0
		for _, list := range tab.entries {
			for _, e := range list {
				at := e.From
				if got, ok := tab.Find(pad(e.First, e.Digits), at); !ok || got.Line != e.Line {
					t.Errorf("line %d finds %+v, %v", e.Line, got, ok)
				}
				n++
			}
		}
		if n != tab.Size() {
			t.Errorf("%d rows, says %d", n, tab.Size())
		}
	})
}

func pad(v uint64, digits int) string {
	s := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		s[i] = byte('0' + v%10)
		v /= 10
	}
	return string(s)
}

// A number of whatever kind crosses two plans without growing wild.
func FuzzNumbers(f *testing.F) {
	f.Add("+4969123456")
	f.Add("0049 69/123")
	f.Fuzz(func(t *testing.T, s string) {
		p := Plan{Country: "49", Trunk: "0", Send: National, Bare: Digits}
		e := p.Read(s)
		if Whole(e) && p.Read(p.Write(e)) != e && len(e) > 8 {
			t.Errorf("%q is %q, written %q, read again %q", s, e, p.Write(e), p.Read(p.Write(e)))
		}
	})
}
