package configs

import (
	"fmt"

	"github.com/cordonsip/cordon/audit/retain"
)

// RetentionClass is calls whose references in the log are kept for one reason: until then the salts behind them stay.
type RetentionClass struct {
	// Name of the class.
	Class string `yaml:"class"`
	// Trunks of the calls; default: calls of all trunks.
	Trunks []string `yaml:"trunks,omitempty"`
	// For how long from the day of the call: 5y, 400d, 1y30d; at most 30y.
	Keep string `yaml:"keep"`
	// Why; the law or the purpose. It stands in the log with each run.
	Reason string `yaml:"reason"`
	// A legal duty to keep: until its end a request to forget such a call is refused with the reason (GDPR Art. 17(3)(b)); default: such a request is granted.
	Binding bool `yaml:"binding,omitempty"`
}

const maxClasses = 32

// ordinary is the class of calls that fall under no other.
func ordinary() retain.Class {
	return retain.Class{
		Name: "call_references", Keep: retain.Keep{Years: 5},
		Reason: "records of calls may have to be explained for five years (MiFID II Art. 16(6), ZAG s. 30, KWG s. 25a(1)), and no longer (GDPR Art. 5(1)(e))",
	}
}

func (b *builder) retention(c *Config) {
	list := b.doc.file.Retention
	if len(list) > maxClasses {
		b.fail("retention", fmt.Sprintf("at most %d", maxClasses), "%d are too many", len(list))
	}
	seen, general := map[string]bool{}, false
	for i, r := range list {
		at := fmt.Sprintf("retention[%d]", i)
		keep, err := retain.ParseKeep(r.Keep)
		switch {
		case err != nil:
			b.fail(at+".keep", "years and days, e.g. 5y or 400d, at most 30y", "%.40q does not read", r.Keep)
		case r.Class == "" || len(r.Class) > 64 || seen[r.Class]:
			b.fail(at+".class", "a name of at most 64 characters, once", "%.80q is empty, too long or there twice", r.Class)
		case r.Reason == "" || len(r.Reason) > 500:
			b.fail(at+".reason", "the law or the purpose in at most 500 characters", "a class needs a reason")
		}
		for j, trunk := range r.Trunks {
			if !b.isTrunk(trunk) {
				b.fail(fmt.Sprintf("%s.trunks[%d]", at, j), "a name under trunks", "there is no trunk %.80q", trunk)
			}
		}
		seen[r.Class], general = true, general || len(r.Trunks) == 0
		c.Retention = append(c.Retention, retain.Class{Name: r.Class, Trunks: r.Trunks, Keep: keep, Reason: r.Reason, Binding: r.Binding})
	}
	if !general {
		c.Retention = append(c.Retention, ordinary())
	}
}

func (b *builder) isTrunk(name string) bool {
	for _, t := range b.doc.file.Trunks {
		if t.Name == name {
			return true
		}
	}
	return false
}
