package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
)

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	for name, edit := range map[string]func(*Config){
		"no log":            func(c *Config) { c.Log = nil },
		"no store":          func(c *Config) { c.KV = nil },
		"no node":           func(c *Config) { c.Node = "" },
		"no pseudonyms":     func(c *Config) { c.Pseudonym = nil },
		"bad rules":         func(c *Config) { c.Rules.Quorum = 1 },
		"one id twice":      func(c *Config) { c.People = []approval.Person{{ID: "a"}, {ID: "a"}} },
		"no id":             func(c *Config) { c.People = []approval.Person{{}} },
		"a rule's id":       func(c *Config) { c.People = []approval.Person{{ID: "rule:x"}} },
		"an empty pseudo":   func(c *Config) { c.Pseudonym = func(string) string { return "" } },
		"one pseudo of two": func(c *Config) { c.Pseudonym = func(string) string { return "same" } },
	} {
		c := w.config("n1")
		edit(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestIDs(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var u ulids
	a, b, c := u.next(at), u.next(at), u.next(at.Add(time.Millisecond))
	if !approval.ValidID(a) || a >= b || b >= c || a[:10] != b[:10] {
		t.Errorf("%s, %s, %s", a, b, c)
	}
	if old := u.next(at.Add(-time.Hour)); old >= a {
		t.Errorf("%s does not show its time", old)
	}
	for _, bad := range []string{"", "01JD", strings.Repeat("U", 26), strings.ToLower(a), a + "A"} {
		if approval.ValidID(bad) {
			t.Errorf("%q is an id", bad)
		}
	}
}

func FuzzQuota(f *testing.F) {
	f.Add([]byte(`{"max_calls_total":10,"nodes":{"a":{"reserved":5,"used":1}}}`))
	f.Add([]byte(`{"max_calls_total":-1,"nodes":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := decodeQuota(data)
		if err != nil {
			return
		}
		r := &approval.Record{Ticket: approval.Ticket{Plan: approval.Plan{Scope: approval.Scope{MaxCalls: 7}}}}
		if q.ceiling(r) > 7 {
			t.Error("the store raised the count over the plan's")
		}
	})
}

// An error of the settings goes into the log as it is, so no id may stand in it.
func TestErrorsOfPeopleNameNobody(t *testing.T) {
	const id = "anna.secret@bank.example"
	same := func(string) string { return "p-1" }
	for name, c := range map[string]struct {
		people    []approval.Person
		pseudonym func(string) string
		want      string
	}{
		"twice":           {[]approval.Person{{ID: id}, {ID: id}}, pseudonym, "people[1]"},
		"reserved":        {[]approval.Person{{ID: "ben"}, {ID: approval.ByRule + id}}, pseudonym, "people[1]"},
		"nobody":          {[]approval.Person{{ID: id}, {}}, pseudonym, "people[1]"},
		"one pseudonym":   {[]approval.Person{{ID: id}, {ID: "ben." + id}}, same, "people[0] and people[1]"},
		"empty pseudonym": {[]approval.Person{{ID: id}}, func(string) string { return "" }, "people[0]"},
	} {
		_, err := newSettings(approval.Rules{}, c.people, nil, c.pseudonym, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		} else if strings.Contains(err.Error(), "anna") {
			t.Errorf("%s: the error names somebody: %v", name, err)
		}
	}
}
