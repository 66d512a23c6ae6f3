package configs

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestLegalEntityIdentifiers(t *testing.T) {
	// Published identifiers: ECB's own, Apple's, Deutsche Bank's.
	for _, lei := range []string{"549300DTUYXVMJXZNY75", "HWUPKR0MPOU8FGXBT394", "7LTWFZYICNSX8D621K86"} {
		if !validLEI(lei) {
			t.Errorf("%s is one", lei)
		}
	}
	for _, lei := range []string{
		"", "7LTWFZYICNSX8D621K8", "7LTWFZYICNSX8D621K860", "7LTWFZYICNSX8D621K87", "7LTWFZYICNSX8D612K86", "7ltwfzyicnsx8d621k86", "7LTWFZYICNSX8D621K8Z",
		"7LTWFZYICNSX8D62 K86", "7LTWFZYICNSX8D62ÄK8",
	} {
		if validLEI(lei) {
			t.Errorf("%q is none", lei)
		}
	}
}

func TestTenantStandsInTheHeader(t *testing.T) {
	for tenant, want := range map[string]string{
		"{org_id: bank-1}":                                                   "tenant bank-1, node",
		"{org_id: bank-1, name: Example Bank AG}":                            "tenant bank-1 (Example Bank AG), node",
		"{org_id: bank-1, lei: 7LTWFZYICNSX8D621K86}":                        "tenant bank-1 (LEI 7LTWFZYICNSX8D621K86), node",
		"{org_id: bank-1, name: Example Bank AG, lei: 7LTWFZYICNSX8D621K86}": "tenant bank-1 (Example Bank AG, LEI 7LTWFZYICNSX8D621K86), node",
	} {
		c, err := Parse("x.yaml", []byte(strings.Replace(base, "{org_id: bank-1}", tenant, 1)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := c.Explain(day)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(text, "\n"); !strings.Contains(first, want) {
			t.Errorf("%s: %q, want %q", tenant, first, want)
		}
	}
}

const scc = `{id: scc-1, kind: "Art46(2)(c)_SCC", document: "SCC module 2", signed_on: 2026-01-02, tia: {document: "TIA 7", date: 2026-01-01, outcome: adequate with measures}}`

// based is base with a catalogue and with a basis at the edge group.
func based(id, catalogue string) string {
	return strings.Replace(base, "  - {name: fra,", "  - {name: fra, legal_basis: "+id+",", 1) + "legal_bases:\n  - " + catalogue + "\n"
}

func TestLegalBasisOfAParty(t *testing.T) {
	ends := time.Now().UTC().AddDate(0, 0, 10).Format(time.DateOnly)
	until, err := time.Parse(time.DateOnly, ends)
	if err != nil {
		t.Fatal(err)
	}
	until = until.AddDate(0, 0, 1)
	gone, ahead := "2020-12-31", time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	claims := `{id: claims, kind: "Art49(1)(e)_legal_claims", document: d, necessity: n, occasional: true`
	for name, c := range map[string]struct {
		id, catalogue string
		want          map[string]string
		until         map[string]time.Time
		warns         string
	}{
		"a safeguard":      {"scc-1", scc, map[string]string{"fra": "Art46(2)(c)_SCC:scc-1"}, map[string]time.Time{}, ""},
		"a derogation":     {"claims", claims + "}", map[string]string{"fra": "Art49(1)(e)_legal_claims:claims"}, map[string]time.Time{}, ""},
		"one with an end":  {"claims", claims + ", expires: " + ends + "}", map[string]string{"fra": "Art49(1)(e)_legal_claims:claims"}, map[string]time.Time{"fra": until}, ""},
		"an expired one":   {"claims", claims + ", expires: " + gone + "}", map[string]string{}, map[string]time.Time{}, `edge_groups[0].legal_basis: "claims" is not in force today`},
		"one of next week": {"claims", claims + ", signed_on: " + ahead + "}", map[string]string{}, map[string]time.Time{}, `edge_groups[0].legal_basis: "claims" is not in force today`},
		"for occasions":    {"claims", strings.Replace(claims, ", occasional: true", "", 1) + "}", map[string]string{"fra": "Art49(1)(e)_legal_claims:claims"}, map[string]time.Time{}, "is for occasional transfers alone"},
		"an interest":      {"norm", `{id: norm, kind: "Art49(1)(d)_public_interest", document: d, necessity: n}`, map[string]string{"fra": "Art49(1)(d)_public_interest:norm"}, map[string]time.Time{}, "does not name the norm"},
		"no assessment":    {"bcr", `{id: bcr, kind: "Art46(2)(b)_BCR", document: d, signed_on: 2026-01-02}`, map[string]string{"fra": "Art46(2)(b)_BCR:bcr"}, map[string]time.Time{}, "no transfer impact assessment"},
	} {
		got, err := Parse("x.yaml", []byte(based(c.id, c.catalogue)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !maps.Equal(got.LegalBasis, c.want) || !maps.EqualFunc(got.BasisUntil, c.until, time.Time.Equal) {
			t.Errorf("%s: %v until %v, want %v until %v", name, got.LegalBasis, got.BasisUntil, c.want, c.until)
		}
		text := ""
		for _, w := range got.Warnings {
			text += w.Error()
		}
		if c.warns == "" && text != "" || !strings.Contains(text, c.warns) {
			t.Errorf("%s: warnings %q, want %q", name, text, c.warns)
		}
		explained, err := got.Explain(day)
		if err != nil {
			t.Fatal(err)
		}
		if word := c.want["fra"]; word != "" && !strings.Contains(explained, "legal basis of fra: "+word) {
			t.Errorf("%s: the explanation doesn't name it:\n%s", name, explained)
		}
	}
}

func TestMistakesInLegalBases(t *testing.T) {
	for name, c := range map[string]struct{ id, catalogue, what, hint string }{
		"unknown":             {"scc-2", scc, `x.yaml:11: edge_groups[0].legal_basis: "scc-2" is no entry of legal_bases`, `did you mean "scc-1"?`},
		"no identifier":       {"scc-1", strings.Replace(scc, "id: scc-1", "id: SCC 1", 1), `x.yaml:18: legal_bases[0].id: "SCC 1" is no identifier`, "lower-case"},
		"twice":               {"scc-1", scc + "\n  - " + scc, `x.yaml:19: legal_bases[1].id: "scc-1" stands twice`, "of its own"},
		"no instrument":       {"scc-1", strings.Replace(scc, "Art46(2)(c)_SCC", "Art46(2)(c)_SSC", 1), `x.yaml:18: legal_bases[0].kind: "Art46(2)(c)_SSC" is no instrument`, `did you mean "Art46(2)(c)_SCC"?`},
		"adequacy":            {"scc-1", strings.Replace(scc, "Art46(2)(c)_SCC", "Art45", 1), "is no instrument", "one of"},
		"no digest":           {"scc-1", strings.Replace(scc, "signed_on:", "sha256: abc, signed_on:", 1), "legal_bases[0].sha256", "64 lower-case"},
		"no document":         {"scc-1", strings.Replace(scc, `document: "SCC module 2", `, "", 1), "legal_bases[0].document: is missing", "registered"},
		"no signature":        {"scc-1", strings.Replace(scc, "signed_on: 2026-01-02, ", "", 1), "legal_bases[0].signed_on: is missing", "no safeguard"},
		"no day":              {"scc-1", strings.Replace(scc, "2026-01-02", "soon", 1), `legal_bases[0].signed_on: "soon" is no day`, "YYYY-MM-DD"},
		"half an assessment":  {"scc-1", strings.Replace(scc, "outcome: adequate with measures", "outcome: ''", 1), "legal_bases[0].tia: is not complete", "outcome"},
		"ended before signed": {"scc-1", strings.Replace(scc, "signed_on: 2026-01-02", "signed_on: 2026-01-02, expires: 2025-12-31", 1), "legal_bases[0].expires: it ended before it was signed", "behind"},
		"no necessity":        {"c", `{id: c, kind: "Art49(1)(a)_explicit_consent", document: d}`, "legal_bases[0].necessity: is missing", "Art. 49"},
		"an unknown key":      {"c", `{id: c, kind: "Art49(1)(a)_explicit_consent", document: d, neccessity: n}`, "legal_bases[0].neccessity: unknown key", `did you mean "necessity"?`},
	} {
		_, err := Parse("x.yaml", []byte(based(c.id, c.catalogue)))
		if err == nil || !strings.Contains(err.Error(), c.what) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: got:\n%v\nwant %q and hint %q", name, err, c.what, c.hint)
		}
	}
	if _, err := Parse("x.yaml", []byte(strings.Replace(base, "  - {name: fra,", "  - {name: fra, legal_basis: x,", 1))); err == nil || !strings.Contains(err.Error(), "register it under legal_bases") {
		t.Errorf("without a catalogue: %v", err)
	}
}

// The gate gets every entry as it is written, and wants one where there are any.
func TestTheCatalogueReachesTheGate(t *testing.T) {
	const full = `{id: one, kind: "Art49(1)sub2_compelling_legitimate_interests", document: d, sha256: "` + "9cb15bcd92daa626daa6ceacc202c78be59dbb8bdbb4949f14f3a40f141749cf" + `", expires: 2099-12-31, necessity: n, occasional: true, public_interest_norm: p, authority_informed: a, subjects_informed: s}`
	c, err := Parse("x.yaml", []byte(based("one", full+"\n  - "+scc)))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Bases) != 2 || !c.Gate.NeedBasis {
		t.Fatalf("%+v, needed %v", c.Bases, c.Gate.NeedBasis)
	}
	one, two := c.Bases[0], c.Bases[1]
	if d := one.Derogation; d == nil || d.Necessity != "n" || !d.Occasional || d.Norm != "p" || d.Authority != "a" || d.Subjects != "s" || len(one.SHA256) != 64 || one.Until.Year() != 2100 || one.TIA != nil {
		t.Errorf("%+v %+v", one, d)
	}
	if two.TIA == nil || two.TIA.Document != "TIA 7" || two.TIA.Date.Day() != 1 || two.TIA.Outcome == "" || two.SignedOn.Day() != 2 || two.Derogation != nil {
		t.Errorf("%+v", two)
	}
	for text, need := range map[string]bool{base: false, base + "gate: {basis_required: true}\n": true, based("scc-1", scc): true, based("scc-1", scc) + "gate: {basis_required: false}\n": false} {
		c, err := Parse("x.yaml", []byte(text))
		if err != nil || c.Gate.NeedBasis != need {
			t.Errorf("needed %v, want %v: %v\n%s", c.Gate.NeedBasis, need, err, text)
		}
	}
}
