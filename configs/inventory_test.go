package configs

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/inventory"
)

const inventoryBase = base + `dns: {servers: ["127.1.0.53:53"]}
inventory:
  - name: crm
    kind: crm
    url: HTTPS://CRM.example:8443/app?x=1
    region: aws:eu-central-1
    contract: annex 3
    critical: true
    provider: {name: CRM GmbH, parent_country: US, support_countries: [DE, IN]}
  - {name: cdn, kind: cdn, host: cdn.example, countries: [FR, DE, FR], anycast: true, contract: annex 4, watch: {tls: false, interval: 30s}}
  - {name: bucket, kind: bucket, host: 127.1.0.80, countries: [DE], contract: annex 5, watch: {off: true}}
  - {name: far, kind: other, host: 127.9.0.80, port: 636, countries: [DE], contract: annex 6}
`

func TestInventory(t *testing.T) {
	c, err := Parse("c.yaml", []byte(inventoryBase))
	if err != nil {
		t.Fatal(err)
	}
	list := c.Inventory.Entries
	if len(list) != 4 {
		t.Fatalf("%+v", list)
	}
	if e := list[0]; e.Endpoint() != "crm.example:8443" || e.Every != 5*time.Minute || !e.TLS || len(e.Countries) != 1 || e.Countries[0] != "DE" {
		t.Errorf("%+v", e)
	}
	if e := list[1]; e.Endpoint() != "cdn.example:443" || e.Every != 30*time.Second || e.TLS || !e.Anycast || len(e.Countries) != 2 {
		t.Errorf("%+v", e)
	}
	if list[2].Every != 0 {
		t.Errorf("%+v", list[2])
	}
	text, err := c.Explain(day)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"unknown     not_seen", "unprovable  anycast", "permit      in_eea", "deny        address_undeclared", "US no_adequacy", "IN no_adequacy"} {
		if !strings.Contains(text, want) {
			t.Errorf("cordon check does not say %q: %s", want, text)
		}
	}
	if plain, err := Parse("base.yaml", []byte(base)); err != nil || len(plain.Inventory.Entries) != 0 {
		t.Errorf("without an inventory: %v", err)
	} else if text, err := plain.Explain(day); err != nil || strings.Contains(text, "outside the call path") {
		t.Errorf("without an inventory: %s, %v", text, err)
	}
}

func TestMistakesOfTheInventory(t *testing.T) {
	one := func(s string) string {
		return base + "inventory:\n  - {name: x, kind: crm, host: 127.1.0.80, countries: [DE], contract: c}\n  - {" + s + "}\n"
	}
	rest := ", kind: crm, countries: [DE], contract: c"
	for text, want := range map[string]string{
		one("name: x, host: 127.1.0.81" + rest):                                                                                   `inventory[1].name: "x" is taken by inventory[0]`,
		one("name: carrier, host: 127.1.0.81" + rest):                                                                             `"carrier" is taken by trunks[0]`,
		one("name: a/b, host: 127.1.0.81" + rest):                                                                                 "is no name",
		one("name: y, host: 127.1.0.81, kind: crn, countries: [DE], contract: c"):                                                 `"crn" is no kind of endpoint`,
		one("name: y" + rest):                                                                                                     "exactly one of url and host",
		one("name: y, host: a.example, url: 'https://a.example'" + rest):                                                          "exactly one of url and host",
		one("name: y, url: 'https://me:secret@a.example'" + rest):                                                                 "inventory[1].url: is no such URL",
		one("name: y, host: 'a b'" + rest):                                                                                        `"a b" is no host`,
		one("name: y, host: a.example" + rest):                                                                                    "no name server is configured",
		one("name: y, host: 127.1.0.81, kind: crm, contract: c"):                                                                  "nothing says where it stands",
		one("name: y, host: 127.1.0.81, region: aws:eu-central-1" + rest):                                                         "both region and countries",
		one("name: y, host: 127.1.0.81, kind: crm, countries: [ZZ], contract: c"):                                                 `"ZZ" names no country`,
		one("name: y, host: 127.1.0.81, kind: crm, countries: [DE]"):                                                              "inventory[1].contract: is missing",
		one("name: y, host: 127.1.0.81, watch: {interval: 1s}" + rest):                                                            "1s is out of range",
		one("name: y, host: 127.1.0.81, legal_basis: scc" + rest):                                                                 `"scc" is no entry of legal_bases`,
		one("name: y, host: 127.1.0.81, watch: {roots_file: /nowhere}" + rest):                                                    "inventory[1].watch.roots_file",
		one("name: y, host: 127.1.0.81, provider: {parent_country: XX}" + rest):                                                   `"XX" names no country`,
		one("name: y, host: 127.1.0.81, provider: {support_countries: [DE, '']}" + rest):                                          "support_countries[1]",
		strings.Replace(base, "members: [", "provider: {support_countries: [QQ]}, members: [", 1):                                 "trunks[0].provider.support_countries[0]",
		base + "inventory:\n" + strings.Repeat("  - {name: x, kind: crm, host: 127.1.0.80, countries: [DE], contract: c}\n", 257): "the most is 256",
	} {
		_, err := Parse("c.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if inventory.Unknown != "unknown" {
		t.Error("the word for what nobody has seen is in logs")
	}
}
