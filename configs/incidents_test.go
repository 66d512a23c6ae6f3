package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/incident"
)

func TestIncidents(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	for more, want := range map[string]string{
		"incidents: {rules: {region_up: {off: true}}}":                                                          "incidents.rules.region_up",
		"incidents: {rules: {region_down: {after: 2h}}}":                                                        "incidents.rules.region_down.after: 2h0m0s is out of range",
		"incidents: {rules: {region_down: {share: 20%}}}":                                                       "incidents.rules.region_down: it counts no calls",
		"incidents: {rules: {residency_violation: {after: 1m}}}":                                                "incidents.rules.residency_violation.after: one is enough",
		"incidents: {rules: {media_dead: {share: many}}}":                                                       `incidents.rules.media_dead.share: "many" is no share`,
		"incidents: {rules: {media_dead: {share: 100%}}}":                                                       "incidents.rules.media_dead.share",
		"incidents: {rules: {media_dead: {calls: -1}}}":                                                         "incidents.rules.media_dead.calls",
		"incidents: {merge: 1s}":                                                                                "incidents.merge: 1s is out of range",
		"incidents: {warn_before: [0s]}":                                                                        "incidents.warn_before[0]",
		"incidents: {services: [{critical: true}]}":                                                             "incidents.services[0].name",
		"incidents: {services: [{name: x}, {name: x}]}":                                                         "incidents.services[1].name",
		"incidents: {services: [{name: x, parties: [nobody]}]}":                                                 `incidents.services[0].parties[0]: "nobody" is unknown`,
		"incidents: {clocks: [{name: finma, from: dawn, within: 24h}]}":                                         `incidents.clocks[0].from: "dawn" is unknown`,
		"incidents: {clocks: [{name: initial, from: awareness, within: 24h}]}":                                  "incidents.clocks[0].name",
		"incidents: {clocks: [{name: Finma, from: awareness, within: 24h}]}":                                    "incidents.clocks[0].name",
		"incidents: {clocks: [{name: finma, from: awareness, within: 1m}]}":                                     "incidents.clocks[0].within: 1m0s is out of range",
		"incidents: {clocks: [{name: a, from: awareness, within: 1h}, {name: a, from: awareness, within: 1h}]}": "incidents.clocks[1].name",
		"entity: {types: [bank]}":                                                                               `entity.types[0]: "bank" is no type of financial entity`,
		"entity: {time_zone: Mars/Olympus}":                                                                     `entity.time_zone: "Mars/Olympus" is no time zone here`,
		"entity: {holidays: [christmas]}":                                                                       `entity.holidays[0]: "christmas" is no day`,
		"entity: {parent: {lei: X}}":                                                                            "entity.parent.name: is missing",
		"entity: {submitter: {name: S, lei: X}}":                                                                "entity.submitter.lei: is no Legal Entity Identifier",
		"entity: {currency: USD}":                                                                               `entity.currency: "USD" is no currency of reports`,
		"entity: {contacts: [{name: a}, {name: b}, {name: c}]}":                                                 "entity.contacts: 3 are too many",
		"entity: {contacts: [{email: nobody}]}":                                                                 "entity.contacts[0]",
		"entity: {holidays: ['']}":                                                                              "entity.holidays[0]: is empty",
	} {
		_, probs := Examine(base.name, text(more))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s: no word of %s in %v", more, want, probs)
		}
	}
	cfg, err := Parse(base.name, text(`
entity:
  types: [credit_institution, trading_venue]
  time_zone: UTC
  holidays: [2026-12-25]
  submitter: {name: Example Services SE}
  parent: {name: Example Holding AG, lei: 529900EXAMPLEBANK046}
  contacts: [{name: Erika Mustermann, email: erika@bank.example, phone: "+49691234567"}]
  currency: EUR
incidents:
  rules:
    region_down: {after: 30s}
    trunk_loss: {off: true}
    media_dead: {share: 12.5%, calls: 40}
  merge: 2h
  warn_before: [1h, 10m]
  services: [{name: hotline, critical: true, function: F12, area: retail banking, parties: [fra]}]
  clocks: [{name: finma, from: awareness, within: 24h, note: FINMA guidance 05/2020}]`))
	if err != nil {
		t.Fatal(err)
	}
	if e := cfg.Entity; e.Submitter.Name != "Example Services SE" || e.Parent.LEI != "529900EXAMPLEBANK046" || len(e.Contacts) != 1 || e.Contacts[0].Phone != "+49691234567" || e.Currency != "EUR" || len(e.Types) != 2 {
		t.Errorf("%+v", e)
	}
	got := cfg.Incidents
	want := incident.Rulebook{
		Settings: incident.Settings{
			incident.RegionDown: {After: 30 * time.Second}, incident.TrunkLoss: {Off: true, After: time.Minute}, incident.MediaDead: {After: 10 * time.Second, Share: 0.125, Calls: 40},
		},
		Merge: 2 * time.Hour,
		Reporting: incident.Reporting{
			Entity:   report.Entity{CreditInstitution: true, TradingVenue: true},
			Calendar: report.Calendar{Zone: time.UTC, Holidays: []time.Time{time.Date(2026, 12, 25, 0, 0, 0, 0, time.UTC)}},
			Warn:     []time.Duration{time.Hour, 10 * time.Minute},
			Own:      []incident.Deadline{{Name: "finma", From: "awareness", Within: 24 * time.Hour, Note: "FINMA guidance 05/2020"}},
		},
		Services: []incident.Service{{Name: "hotline", Critical: true, Function: "F12", Area: "retail banking", Parties: []string{"fra"}}},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// Nobody said what the entity is: then no limit moves over a weekend, which harms nobody.
func TestAnEntityOfNoTypeHasNoWeekend(t *testing.T) {
	base := readExample(t)
	cfg, err := Parse(base.name, base.with("", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []report.Submission{report.Initial, report.Intermediate} {
		if cfg.Incidents.Reporting.Entity.Relief(s) {
			t.Errorf("%s moves", s)
		}
	}
}
