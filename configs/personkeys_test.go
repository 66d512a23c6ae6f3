package configs

import (
	"strings"
	"testing"
	"time"
)

const (
	oneKey   = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" // RFC 8032 section 7.1, tests 1 to 3
	twoKey   = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="
	threeKey = "/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU="
)

// withKeys is a configuration whose people have keys.
func withKeys(gate, anna, ben, clara, dora string) string {
	keys := func(list string) string {
		if list == "" {
			return ""
		}
		return ", keys: [" + list + "]"
	}
	before, _, _ := strings.Cut(base, "people:\n")
	return before + "gate: {" + gate + "}\npeople:\n" +
		"  - {id: anna, roles: [ciso], token: {env: T1}" + keys(anna) + "}\n" +
		"  - {id: ben, roles: [business_owner], token: {env: T2}" + keys(ben) + "}\n" +
		"  - {id: clara, roles: [incident_commander], token: {env: T3}, expires: 2030-01-31" + keys(clara) + "}\n" +
		"  - {id: dora, roles: [dpo], token: {env: T4}" + keys(dora) + "}\n"
}

func key(public string) string { return "{public: " + public + ", expires: 2099-12-31}" }

func TestKeysOfPeople(t *testing.T) {
	c, err := Parse("c.yaml", []byte(withKeys("signatures: required", key(oneKey), key(twoKey), key(threeKey), "")))
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	if p := c.People[0]; !c.Gate.Signed || len(p.Keys) != 1 || p.Keys[0].Public != oneKey || !p.Keys[0].Expires.Equal(end) || !p.Until.IsZero() {
		t.Errorf("%+v, %+v", c.Gate, p.Person)
	}
	if until := c.People[2].Until; !until.Equal(time.Date(2030, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the person ends at %s", until)
	}
	if text, err := c.Explain(time.Now()); err != nil || !strings.Contains(text, "keys of people: 3; decisions by session do not count") {
		t.Errorf("%v\n%s", err, text)
	}
	c, err = Parse("c.yaml", []byte(withKeys("signatures: accepted", "", "", "", "")))
	if err != nil || c.Gate.Signed {
		t.Errorf("%v, %v", c, err)
	}
	if text, err := c.Explain(time.Now()); err != nil || strings.Contains(text, "keys of people") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	for want, text := range map[string]string{
		"people[1].keys[0].public: is the same key as people[0].keys[0]: one key under two names": withKeys("", key(oneKey), key(oneKey), "", ""),
		"people[0].keys[1].public: stands there twice":                                            withKeys("", key(oneKey)+", "+key(oneKey), "", "", ""),
		"people[0].keys[0].public: is no key: expected an Ed25519 public key":                     withKeys("", key("AAAA"), "", "", ""),
		"anybody can sign":                      withKeys("", key("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), "", "", ""),
		"people[0].keys[0].expires: is no day":  withKeys("", "{public: "+oneKey+", expires: soon}", "", "", ""),
		"people[0].keys[0].expires: is no day ": withKeys("", "{public: "+oneKey+"}", "", "", ""),
		"gate.signatures: \"yes\" is neither":   withKeys("signatures: yes", "", "", "", ""),
	} {
		_, err := Parse("c.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("want %q, got %v", want, err)
		}
		if err != nil && (strings.Contains(err.Error(), oneKey) || strings.Contains(err.Error(), "anna")) {
			t.Errorf("a problem repeats what is personal: %v", err)
		}
	}
}

func TestKeysThatDoNotSuffice(t *testing.T) {
	three := []string{key(oneKey), key(twoKey), key(threeKey)}
	for want, text := range map[string]string{
		"1 people who may approve have a key and the gate needs 2": withKeys("signatures: required", three[0], "", "", ""),
		"nobody who gives the opinion has a key":                   withKeys("signatures: required", three[0], three[1], three[2], ""),
		"2 people who may approve have a key: two others":          withKeys("", three[0], three[1], "", ""),
		"people[0].keys[0].expires: is over":                       withKeys("", "{public: "+oneKey+", expires: 2020-01-01}", three[1], three[2], ""),
		"":                                                         withKeys("", three[0], three[1], three[2], ""),
	} {
		c, err := Parse("c.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range c.Warnings {
			if s := w.Error(); strings.Contains(s, "key") || strings.Contains(s, "signatures") {
				got = append(got, s)
			}
		}
		if want == "" && len(got) > 0 || !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}
