package configs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/routing"
)

// legalKinds are the instruments of GDPR Chapter V in the words of gate records. Adequacy (Art. 45) is not among them: the law table knows it, and it needs no gate.
var legalKinds = []string{
	"Art46(2)(c)_SCC", "Art46(2)(b)_BCR", "Art46(2)(e)_code", "Art46(2)(f)_certification", "Art46(3)(a)_adhoc_with_SA_authorisation",
	"Art49(1)(a)_explicit_consent", "Art49(1)(b)_contract_with_data_subject", "Art49(1)(c)_contract_in_interest", "Art49(1)(d)_public_interest",
	"Art49(1)(e)_legal_claims", "Art49(1)(f)_vital_interests", "Art49(1)sub2_compelling_legitimate_interests",
}

var basisID = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,63}$`)

// basis is one entry of the catalogue, read.
type basis struct {
	word        string // as plans carry it: the instrument first, because it bounds the grant
	from, until time.Time
}

// inForce says whether tickets may rest on it at a time.
func (e basis) inForce(at time.Time) bool {
	return !at.Before(e.from) && (e.until.IsZero() || at.Before(e.until))
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// legalBases reads the catalogue.
func (b *builder) legalBases(c *Config) map[string]basis {
	out := map[string]basis{}
	for i, l := range b.doc.file.LegalBases {
		at := fmt.Sprintf("legal_bases[%d]", i)
		if !basisID.MatchString(l.ID) {
			b.fail(at+".id", "up to 64 lower-case letters, digits, dots and dashes, e.g. scc-genesys-2026", "%q is no identifier", l.ID)
		} else if _, taken := out[l.ID]; taken {
			b.fail(at+".id", "give each entry an identifier of its own", "%q stands twice", l.ID)
		}
		if !slices.Contains(legalKinds, l.Kind) {
			hint := "one of " + strict.Words(legalKinds)
			if near := strict.Nearest(l.Kind, legalKinds); near != "" {
				hint = fmt.Sprintf("did you mean %q? %s", near, hint)
			}
			b.fail(at+".kind", hint, "%q is no instrument", l.Kind)
		}
		if l.Document == "" {
			b.fail(at+".document", "name the signed document: what is not registered cannot be relied on", "is missing")
		}
		e := basis{l.Kind + ":" + l.ID, b.date(at+".signed_on", l.SignedOn, false), b.date(at+".expires", l.Expires, true)}
		if !e.from.IsZero() && !e.until.IsZero() && !e.from.Before(e.until) {
			b.fail(at+".expires", "name a last day behind signed_on", "it ended before it was signed")
		}
		if strings.HasPrefix(l.Kind, "Art49") {
			b.derogation(at, l)
		} else {
			b.safeguard(at, l)
		}
		if l.SHA256 != "" && !sha256Hex.MatchString(l.SHA256) {
			b.fail(at+".sha256", "64 lower-case hex digits, as sha256sum prints them", "%.80q is no SHA-256", l.SHA256)
		}
		out[l.ID] = e
		c.Bases = append(c.Bases, b.registered(at, l, e))
	}
	return out
}

// registered is an entry as the gate takes it. What keeps grants from resting on it is a warning here: calls that need no grant go on.
func (b *builder) registered(at string, l LegalBasis, e basis) approval.Basis {
	out := approval.Basis{ID: l.ID, Kind: l.Kind, Document: l.Document, SHA256: l.SHA256, SignedOn: e.from, Until: e.until}
	if strings.HasPrefix(l.Kind, "Art49") {
		out.Derogation = &approval.Derogation{
			Necessity: l.Necessity, Occasional: l.Occasional, Norm: l.PublicInterest, Authority: l.AuthorityInformed, Subjects: l.SubjectsInformed,
		}
	} else if l.TIA != nil {
		day, _ := time.Parse(time.DateOnly, l.TIA.Date) // told of where it is checked
		out.TIA = &approval.TIA{Document: l.TIA.Document, Date: day, Outcome: l.TIA.Outcome, Measures: l.TIA.Measures}
	}
	if now := time.Now(); out.Derogation != nil && e.inForce(now) {
		for _, lack := range out.Lacks(now) {
			b.warn(at, "complete the entry: where gate.basis_required holds, no ticket for it is approved", "%s", lack)
		}
	}
	return out
}

// derogation checks an entry of GDPR Art. 49: it is for specific situations, and each must say why it is necessary (EDPB Guidelines 2/2018).
func (b *builder) derogation(at string, l LegalBasis) {
	if strings.TrimSpace(l.Necessity) == "" {
		b.fail(at+".necessity", "say why the transfer is necessary and occasional: GDPR Art. 49 is for specific situations", "is missing")
	}
}

// safeguard checks an entry of GDPR Art. 46: it is a signed document, and CJEU C-311/18 and clause 14 of the standard contractual clauses want an assessment of the
// law at the other end.
func (b *builder) safeguard(at string, l LegalBasis) {
	if l.SignedOn == "" {
		b.fail(at+".signed_on", "name the day as YYYY-MM-DD: what is not signed is no safeguard", "is missing")
	}
	if l.TIA == nil {
		b.warn(at+".tia", "add tia: {document: .., date: .., outcome: ..}; CJEU C-311/18 and clause 14 of the standard contractual clauses want it before the transfer", "no transfer impact assessment is named")
		return
	}
	b.date(at+".tia.date", l.TIA.Date, false)
	if l.TIA.Document == "" || l.TIA.Date == "" || l.TIA.Outcome == "" {
		b.fail(at+".tia", "give document, date and outcome", "is not complete")
	}
}

// partyBases gives each party the basis that it names.
func (b *builder) partyBases(c *Config, bases map[string]basis) {
	c.LegalBasis, c.BasisUntil = map[string]string{}, map[string]time.Time{}
	c.Rules.Basis = map[string]routing.Basis{}
	now := time.Now()
	for list, parties := range map[string][]Party{"trunks": b.doc.file.Trunks, "edge_groups": b.doc.file.EdgeGroups} {
		for i, p := range parties {
			if p.LegalBasis == "" {
				continue
			}
			at := fmt.Sprintf("%s[%d].legal_basis", list, i)
			e, known := bases[p.LegalBasis]
			switch {
			case !known:
				b.fail(at, b.basisHint(p.LegalBasis, bases), "%q is no entry of legal_bases", p.LegalBasis)
				continue
			case !e.inForce(now):
				b.warn(at, "renew it: until then a ticket for this party shows no legal basis", "%q is not in force today", p.LegalBasis)
				continue
			}
			c.LegalBasis[p.Name] = e.word
			c.Rules.Basis[p.Name] = routing.Basis{Word: e.word, Until: e.until}
			if !e.until.IsZero() {
				c.BasisUntil[p.Name] = e.until
			}
		}
	}
}

func (b *builder) basisHint(id string, bases map[string]basis) string {
	known := slices.Sorted(maps.Keys(bases))
	if near := strict.Nearest(id, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "register it under legal_bases with its document first"
}

// validLEI checks form and check digits: ISO 17442-1, with ISO/IEC 7064 MOD 97-10.
func validLEI(s string) bool {
	if len(s) != 20 {
		return false
	}
	rest := 0
	for i, r := range []byte(s) {
		switch {
		case r >= '0' && r <= '9':
			rest = (rest*10 + int(r-'0')) % 97
		case r >= 'A' && r <= 'Z' && i < 18:
			rest = (rest*100 + int(r-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}
