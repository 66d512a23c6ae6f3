package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/audit/report"
)

// Processing is what the record of processing activities says and no log can know. GDPR Art. 30. Contacts are offices: it names no person.
type Processing struct {
	// controller (default), or processor: calls are carried on behalf of others.
	Role string `yaml:"role,omitempty"`
	// Where the entity is reached: an address or a mailbox of an office.
	Contact string `yaml:"contact,omitempty"`
	// Where the data protection officer is reached: a mailbox of the office.
	DPOContact string `yaml:"dpo_contact,omitempty"`
	// On whose behalf a processor acts.
	Controllers []ProcessingParty `yaml:"controllers,omitempty"`
	// What calls are carried for.
	Purposes []string `yaml:"purposes,omitempty"`
	// Categories of data subjects; default: people who call or are called, and staff who operate the edge.
	DataSubjects []string `yaml:"data_subjects,omitempty"`
	// Security measures beside those that this configuration shows by itself.
	Measures []string `yaml:"measures,omitempty"`
}

// ProcessingParty is a controller.
type ProcessingParty struct {
	// Its name.
	Name string `yaml:"name"`
	// Legal entity identifier, ISO 17442.
	LEI string `yaml:"lei,omitempty"`
	// Where it is reached.
	Contact string `yaml:"contact,omitempty"`
}

const (
	maxProcessing     = 64
	maxProcessingText = 500 // bytes
)

func (b *builder) processing() {
	p := &b.doc.file.Processing
	if p.Role != "" && p.Role != "controller" && p.Role != "processor" {
		b.fail("processing.role", "controller or processor", "%.40q is unknown", p.Role)
	}
	if len(p.Controllers) > 0 && p.Role != "processor" {
		b.fail("processing.controllers", "role: processor", "a controller acts on nobody's behalf")
	}
	if len(p.Controllers) > maxProcessing {
		b.fail("processing.controllers", fmt.Sprintf("at most %d", maxProcessing), "%d are too many", len(p.Controllers))
	}
	for i, c := range p.Controllers {
		at := fmt.Sprintf("processing.controllers[%d]", i)
		if c.Name == "" {
			b.fail(at+".name", "write its legal name", "is missing")
		}
		if c.LEI != "" && !validLEI(c.LEI) {
			b.fail(at+".lei", "20 capital letters and digits, the last two are check digits (ISO 17442)", "is no Legal Entity Identifier")
		}
	}
	for path, list := range map[string][]string{"purposes": p.Purposes, "data_subjects": p.DataSubjects, "measures": p.Measures, "contact": {p.Contact}, "dpo_contact": {p.DPOContact}} {
		if len(list) > maxProcessing {
			b.fail("processing."+path, fmt.Sprintf("at most %d", maxProcessing), "%d are too many", len(list))
		}
		for _, text := range list {
			if len(text) > maxProcessingText {
				b.fail("processing."+path, fmt.Sprintf("at most %d bytes", maxProcessingText), "a text of %d bytes is too long", len(text))
			}
		}
	}
}

// Declared is what this configuration says of the processing, its measures included.
func (c *Config) Declared() report.Declared {
	p, t := c.File.Processing, c.File.Tenant
	d := report.Declared{
		Processor: p.Role == "processor", Entity: report.Office{Name: t.Name, LEI: t.LEI, Contact: p.Contact}, DPO: p.DPOContact, Purposes: p.Purposes, Subjects: p.DataSubjects,
		Measures: append(c.measures(), p.Measures...),
	}
	if len(d.Subjects) == 0 {
		d.Subjects = []string{"people who call or are called", "staff who operate the edge or decide at its gate"}
	}
	for _, x := range p.Controllers {
		d.Controllers = append(d.Controllers, report.Office{Name: x.Name, LEI: x.LEI, Contact: x.Contact})
	}
	for _, r := range c.Retention {
		d.Terms = append(d.Terms, report.Term{Class: r.Name, Trunks: r.Trunks, Keep: r.Keep.String(), Reason: r.Reason})
	}
	return d
}

// measures are what this very configuration does for security, GDPR Art. 32(1): no more than it shows.
func (c *Config) measures() []string {
	out := []string{
		"no datagram to a place that the policy does not permit: a fence at every socket",
		"numbers stand in the log as salted hashes alone, and salts are destroyed by the classes of erasure",
		fmt.Sprintf("a transfer that the policy holds needs %d people in different roles, each with a token of their own", c.quorum()),
		"a log that cannot be changed unseen, under signed checkpoints",
	}
	var clear []string
	for _, p := range slices.Concat(c.File.Trunks, c.File.EdgeGroups) {
		if s := p.Media.Security; s == "plain" || s == "optional" || s == "best_effort" {
			clear = append(clear, p.Name+" ("+s+")")
		}
	}
	if len(clear) == 0 {
		out = append(out, "media is encrypted on every leg (SRTP)")
	} else {
		out = append(out, "media is encrypted (SRTP), but for legs of "+strings.Join(clear, ", "))
	}
	if n := len(c.File.Log.Witnesses); n > 0 {
		out = append(out, fmt.Sprintf("%d witnesses sign the checkpoints of the log", n))
	}
	if c.File.Log.WORM != nil {
		out = append(out, "a second copy of the log that nobody can delete before its time")
	}
	if c.Log.OnLogFailure == "refuse" {
		out = append(out, "no call without its record: new calls are refused while the log cannot be written")
	}
	return out
}
