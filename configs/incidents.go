package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/incident/form"
	"github.com/cordonsip/cordon/internal/strict"
)

// Entity is the financial entity as the law on incidents sees it. Its name and LEI are the tenant's.
type Entity struct {
	// What it is, in the words of ITS (EU) 2025/302 field 1.4: credit_institution, payment_institution, investment_firm, insurance_and_reinsurance_undertaking ...
	Types []string `yaml:"types,omitempty"`
	// Who submits reports, where that is another one.
	Submitter *LegalPerson `yaml:"submitter,omitempty"`
	// Its ultimate parent undertaking.
	Parent *LegalPerson `yaml:"parent,omitempty"`
	// First and second contact of reports. They stand in no log, and in a report only when that is asked for.
	Contacts []EntityContact `yaml:"contacts,omitempty"`
	// Currency of amounts in reports, ISO 4217: EUR, SEK, ...
	Currency string `yaml:"currency,omitempty"`
	// It is an essential or important entity under Directive (EU) 2022/2555: no weekend rule for its initial and intermediate reports.
	NIS2 bool `yaml:"nis2,omitempty"`
	// Its authority designated it under RTS (EU) 2025/301 Art. 5(6): no weekend rule either.
	Designated bool `yaml:"designated,omitempty"`
	// Time zone of the Member State that it reports in, e.g. Europe/Berlin; default: UTC.
	TimeZone string `yaml:"time_zone,omitempty"`
	// Bank holidays there, YYYY-MM-DD.
	Holidays []string `yaml:"holidays,omitempty"`
}

// LegalPerson is a firm.
type LegalPerson struct {
	// Legal name.
	Name string `yaml:"name"`
	// Legal Entity Identifier, ISO 17442.
	LEI string `yaml:"lei,omitempty"`
}

// EntityContact is a person whom an authority asks.
type EntityContact struct {
	// Name of the person.
	Name string `yaml:"name"`
	// E-mail address.
	Email string `yaml:"email,omitempty"`
	// Telephone number with its country code.
	Phone string `yaml:"phone,omitempty"`
}

// Incidents is what opens an incident, and what runs then.
type Incidents struct {
	// What opens one by itself.
	Rules IncidentRules `yaml:"rules,omitempty"`
	// How long after its end an incident takes up the same cause again, 1m to 24h; default 1h.
	Merge Duration `yaml:"merge,omitempty"`
	// How long before a limit of reporting people are warned; default 24h, 4h and 1h. A time as long as the clock itself warns of nothing.
	WarnBefore []Duration `yaml:"warn_before,omitempty"`
	// Services that clients use. Without one everything that the node carries is one service, of which nobody knows whether it is critical.
	Services []IncidentService `yaml:"services,omitempty"`
	// Clocks of your own beside those of DORA and GDPR: another authority, a contract.
	Clocks []IncidentClock `yaml:"clocks,omitempty"`
}

// IncidentRules are the rules; each has safe defaults.
type IncidentRules struct {
	// All targets of edge groups in one region are down; default after 1m.
	RegionDown *IncidentRule `yaml:"region_down,omitempty"`
	// All targets of a trunk are down; default after 1m.
	TrunkLoss *IncidentRule `yaml:"trunk_loss,omitempty"`
	// Media is dead on more than a share of live calls; default after 10s, share 20%, of 5 calls or more.
	MediaDead *IncidentRule `yaml:"media_dead,omitempty"`
	// The log misses records, other than those of a planned restart; after: how long the gap must be, default: any.
	LogGap *IncidentRule `yaml:"log_gap,omitempty"`
	// A call left the permitted places.
	ResidencyViolation *IncidentRule `yaml:"residency_violation,omitempty"`
	// The review of a break-glass is late.
	BreakGlassUnreviewed *IncidentRule `yaml:"break_glass_unreviewed,omitempty"`
}

// IncidentRule sets one rule.
type IncidentRule struct {
	// The rule opens nothing.
	Off bool `yaml:"off,omitempty"`
	// How long it must have been so, up to 1h.
	After Duration `yaml:"after,omitempty"`
	// Of media_dead: more than this share of live calls, e.g. 20%.
	Share string `yaml:"share,omitempty"`
	// Of media_dead: live calls below which a share says nothing.
	Calls int `yaml:"calls,omitempty"`
}

// IncidentService is a service that clients use.
type IncidentService struct {
	// Its name.
	Name string `yaml:"name"`
	// It supports a critical or important function, DORA Art. 3(22).
	Critical bool `yaml:"critical,omitempty"`
	// Identifier of the function in the register of information, B_06.01.0010.
	Function string `yaml:"function,omitempty"`
	// Functional areas and business processes that use it.
	Area string `yaml:"area,omitempty"`
	// Trunks and edge groups that carry it; default: all.
	Parties []string `yaml:"parties,omitempty"`
}

// IncidentClock is a clock of your own.
type IncidentClock struct {
	// Its name: small letters, digits and underlines.
	Name string `yaml:"name"`
	// What it runs from: occurrence, awareness, classification (as major), or breach (when a breach of personal data is known).
	From string `yaml:"from"`
	// How long it runs, 1h to 8760h.
	Within Duration `yaml:"within"`
	// What is to be done.
	Note string `yaml:"note,omitempty"`
	// The norm or the contract that asks for it, in words; clocks and reports show it.
	Source string `yaml:"source,omitempty"`
	// Whom to tell.
	Authority string `yaml:"authority,omitempty"`
	// It runs on when the incident is classified as not major; a clock from breach always does.
	Always bool `yaml:"always,omitempty"`
}

func (b *builder) incidents(c *Config) {
	in := &b.doc.file.Incidents
	b.entity(c)
	c.Incidents.Settings = incident.Settings{}
	for word, r := range map[incident.Rule]*IncidentRule{
		incident.RegionDown: in.Rules.RegionDown, incident.TrunkLoss: in.Rules.TrunkLoss, incident.MediaDead: in.Rules.MediaDead, incident.LogGap: in.Rules.LogGap,
		incident.Violation: in.Rules.ResidencyViolation, incident.BreakGlass: in.Rules.BreakGlassUnreviewed,
	} {
		if r != nil {
			c.Incidents.Settings[word] = b.incidentRule("incidents.rules."+string(word), word, *r)
		}
	}
	if m := time.Duration(in.Merge); m != 0 && (m < time.Minute || m > 24*time.Hour) {
		b.fail("incidents.merge", "between 1m and 24h", "%s is out of range", m)
	}
	c.Incidents.Merge = time.Duration(in.Merge)
	for i, w := range in.WarnBefore {
		if w <= 0 {
			b.fail(fmt.Sprintf("incidents.warn_before[%d]", i), "a time such as 4h", "%s is no time before a limit", time.Duration(w))
		}
		c.Incidents.Reporting.Warn = append(c.Incidents.Reporting.Warn, time.Duration(w))
	}
	b.incidentServices(c)
	b.incidentClocks(c)
}

// incidentRule starts from the default of the rule.
func (b *builder) incidentRule(at string, word incident.Rule, r IncidentRule) incident.Setting {
	s := incident.Default(word)
	s.Off = r.Off
	if r.After < 0 || time.Duration(r.After) > time.Hour {
		b.fail(at+".after", "up to 1h", "%s is out of range", time.Duration(r.After))
	}
	if timeless := word == incident.Violation || word == incident.BreakGlass; timeless && r.After != 0 {
		b.fail(at+".after", "leave it out", "one is enough, at once")
	}
	if r.After != 0 {
		s.After = time.Duration(r.After)
	}
	if word != incident.MediaDead && (r.Share != "" || r.Calls != 0) {
		b.fail(at, "leave share and calls out: only media_dead has them", "it counts no calls")
	}
	if r.Share != "" {
		var pct float64
		if n, err := fmt.Sscanf(r.Share, "%f%%", &pct); n != 1 || err != nil || !(pct > 0 && pct < 100) {
			b.fail(at+".share", "a share such as 20%", "%q is no share", r.Share)
		}
		s.Share = pct / 100
	}
	if r.Calls < 0 {
		b.fail(at+".calls", "a positive number", "%d is out of range", r.Calls)
	} else if r.Calls > 0 {
		s.Calls = r.Calls
	}
	return s
}

// entity reads what the weekend rule asks for. RTS (EU) 2025/301 Art. 5(4)-(6).
func (b *builder) entity(c *Config) {
	e := &b.doc.file.Entity
	for i, word := range e.Types {
		if !slices.Contains(incident.EntityTypes(), word) {
			b.fail(fmt.Sprintf("entity.types[%d]", i), "one of "+strict.Words(incident.EntityTypes()), "%q is no type of financial entity", word)
		}
	}
	b.reported(c)
	is := func(word string) bool { return slices.Contains(e.Types, word) }
	r := &c.Incidents.Reporting
	r.Entity = report.Entity{
		CreditInstitution: is("credit_institution"), CCP: is("central_counterparty"), TradingVenue: is("trading_venue"), NIS2: e.NIS2, Designated: e.Designated,
	}
	if len(e.Types) == 0 {
		r.Entity.Designated = true // nobody said what it is: a limit that does not move harms nobody
	}
	if e.TimeZone != "" {
		zone, err := time.LoadLocation(e.TimeZone)
		if err != nil {
			b.fail("entity.time_zone", "a name of the time zone database such as Europe/Berlin; the host needs that database (package tzdata)", "%q is no time zone here", e.TimeZone)
		}
		r.Calendar.Zone = zone
	}
	for i, day := range e.Holidays {
		at := fmt.Sprintf("entity.holidays[%d]", i)
		d := b.date(at, day, false)
		if day == "" {
			b.fail(at, "write a day as YYYY-MM-DD", "is empty")
		}
		r.Calendar.Holidays = append(r.Calendar.Holidays, d)
	}
}

// reported reads what reports say of the entity. The tenant's name and LEI were checked with the tenant.
func (b *builder) reported(c *Config) {
	e, t := &b.doc.file.Entity, &b.doc.file.Tenant
	c.Entity = form.Entity{Name: t.Name, LEI: t.LEI, Types: e.Types, Currency: e.Currency}
	for at, p := range map[string]*LegalPerson{"entity.submitter": e.Submitter, "entity.parent": e.Parent} {
		if p == nil {
			continue
		}
		if p.Name == "" {
			b.fail(at+".name", "write its legal name", "is missing")
		}
		if p.LEI != "" && !validLEI(p.LEI) {
			b.fail(at+".lei", "20 capital letters and digits, the last two are check digits (ISO 17442)", "is no Legal Entity Identifier")
		}
		if at == "entity.parent" {
			c.Entity.Parent = form.Party{Name: p.Name, LEI: p.LEI}
		} else {
			c.Entity.Submitter = form.Party{Name: p.Name, LEI: p.LEI}
		}
	}
	if e.Currency != "" && !slices.Contains(form.Currencies(), e.Currency) {
		b.fail("entity.currency", "one of "+strict.Words(form.Currencies()), "%q is no currency of reports", e.Currency)
	}
	if len(e.Contacts) > 2 {
		b.fail("entity.contacts", "a first and a second one", "%d are too many", len(e.Contacts))
	}
	for i, p := range e.Contacts {
		if p.Name == "" || p.Email != "" && !strings.Contains(p.Email, "@") {
			b.fail(fmt.Sprintf("entity.contacts[%d]", i), "a name, and an address with an @", "the name or the e-mail address is missing or wrong")
		}
		c.Entity.Contacts = append(c.Entity.Contacts, form.Contact{Name: p.Name, Email: p.Email, Phone: p.Phone})
	}
}

func (b *builder) incidentServices(c *Config) {
	taken := map[string]bool{}
	for i, s := range b.doc.file.Incidents.Services {
		at := fmt.Sprintf("incidents.services[%d]", i)
		if s.Name == "" || taken[s.Name] {
			b.fail(at+".name", "a name of its own", "%q is missing or taken", s.Name)
		}
		taken[s.Name] = true
		for j, p := range s.Parties {
			if _, ok := b.names[p]; !ok {
				b.fail(fmt.Sprintf("%s.parties[%d]", at, j), "name a trunk or an edge group of this file", "%q is unknown", p)
			}
		}
		c.Incidents.Services = append(c.Incidents.Services, incident.Service{Name: s.Name, Critical: s.Critical, Function: s.Function, Area: s.Area, Parties: s.Parties})
	}
}

// clockName is what may stand in the log, in metrics and on a command line.
var clockName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (b *builder) incidentClocks(c *Config) {
	taken := map[string]bool{incident.Classify: true, incident.Initial: true, incident.Intermediate: true, incident.Final: true, incident.GDPR33: true}
	for i, k := range b.doc.file.Incidents.Clocks {
		at := fmt.Sprintf("incidents.clocks[%d]", i)
		if !clockName.MatchString(k.Name) || taken[k.Name] {
			b.fail(at+".name", "a name of its own, such as finma: small letters, digits and underlines", "%.80q is missing, taken or no name", k.Name)
		}
		taken[k.Name] = true
		if !slices.Contains([]string{"occurrence", "awareness", "classification", "breach"}, k.From) {
			b.fail(at+".from", "occurrence, awareness, classification or breach", "%q is unknown", k.From)
		}
		for _, word := range []string{k.Note, k.Source, k.Authority} {
			if len(word) > 500 {
				b.fail(at, "at most 500 bytes in note, source and authority", "a text of %d bytes is too long", len(word))
			}
		}
		if w := time.Duration(k.Within); w < time.Hour || w > 8760*time.Hour {
			b.fail(at+".within", "between 1h and 8760h", "%s is out of range", w)
		}
		c.Incidents.Reporting.Own = append(c.Incidents.Reporting.Own, incident.Deadline{Name: k.Name, From: k.From, Within: time.Duration(k.Within), Note: k.Note, Source: k.Source, Authority: k.Authority, Always: k.Always})
	}
}
