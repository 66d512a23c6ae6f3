package sovereign

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStandingOverTime(t *testing.T) {
	for _, c := range []struct {
		country    Country
		at, known  string
		want       Standing
		member     bool
		instrument string
		until      string
	}{
		{"DE", "2026-11-21", "", StandingInEEA, true, "", ""},
		{"NO", "2026-11-21", "", StandingInEEA, false, "", ""},
		{"LI", "1995-04-30", "", StandingNoAdequacy, false, "", ""},
		{"LI", "1995-05-01", "", StandingInEEA, false, "", ""},
		{"HR", "2013-06-30", "", StandingNoAdequacy, false, "", ""},
		{"HR", "2013-07-01", "", StandingInEEA, true, "", ""},
		{"AX", "2026-11-21", "", StandingInEEA, true, "", ""},
		{"AX", "1994-12-31", "", StandingNoAdequacy, false, "", ""},
		{"YT", "2013-12-31", "", StandingNoAdequacy, false, "", ""},
		{"YT", "2014-01-01", "", StandingInEEA, true, "", ""},
		{"NC", "2026-11-21", "", StandingGate, false, "", ""},
		{"BL", "2026-11-21", "", StandingGate, false, "", ""},
		{"GL", "2026-11-21", "", StandingNoAdequacy, false, "", ""},
		{"CH", "2026-11-21", "", StandingAdequate, false, "2000/518/EC", ""},
		{"CH", "2000-07-25", "", StandingNoAdequacy, false, "", ""},
		{"CH", "2000-07-26", "", StandingAdequate, false, "2000/518/EC", ""},
		{"RU", "2026-11-21", "", StandingDeny, false, "", ""},
		// The United Kingdom, as it happened.
		{"GB", "1972-12-31", "", StandingNoAdequacy, false, "", ""},
		{"GB", "2020-01-31", "", StandingInEEA, true, "", "2020-02-01"},
		{"GB", "2020-02-01", "", StandingInEEA, false, "", "2021-01-01"},
		{"GB", "2020-12-31", "", StandingInEEA, false, "", "2021-01-01"},
		{"GB", "2021-01-01", "", StandingAdequate, false, "TCA Art 782", "2021-06-29"},
		{"GB", "2021-06-29", "", StandingAdequate, false, "(EU) 2021/1772", "2025-06-28"},
		// Each extension counts from the day on which it was adopted.
		{"GB", "2025-06-23", "", StandingAdequate, false, "(EU) 2021/1772", "2025-06-28"},
		{"GB", "2025-06-24", "", StandingAdequate, false, "(EU) 2021/1772", "2025-12-28"},
		{"GB", "2026-11-21", "", StandingAdequate, false, "(EU) 2021/1772", "2031-12-28"},
		{"GB", "2026-01-15", "2025-11-01", StandingNoAdequacy, false, "", ""},
		{"GB", "2025-11-01", "2024-01-01", StandingNoAdequacy, false, "", ""},
		{"GB", "2031-12-27", "", StandingAdequate, false, "(EU) 2021/1772", "2031-12-28"},
		{"GB", "2031-12-28", "", StandingNoAdequacy, false, "", ""},
		{"GI", "2026-11-21", "", StandingNoAdequacy, false, "", ""},
	} {
		q := Question{At: date(c.at)}
		if c.known != "" {
			q.KnownAt = date(c.known)
		}
		f := Shipped().Standing(c.country, q)
		until := ""
		if !f.Until.IsZero() {
			until = f.Until.Format(time.DateOnly)
		}
		if f.Standing != c.want || f.Member != c.member || f.Instrument != c.instrument || until != c.until {
			t.Errorf("%s on %s as known %s: %s member=%t %q until %q, want %s %t %q %q",
				c.country, c.at, c.known, f.Standing, f.Member, f.Instrument, until, c.want, c.member, c.instrument, c.until)
		}
		if f.Why == "" {
			t.Errorf("%s on %s: no reason", c.country, c.at)
		}
	}
}

// The last day counts whole and the day after closes at 00:00 UTC, whatever the zone of the question.
func TestStandingAtMidnight(t *testing.T) {
	last := time.Date(2031, 12, 27, 23, 59, 59, 999999999, time.UTC)
	if f := Shipped().Standing("GB", Question{At: last}); f.Standing != StandingAdequate {
		t.Errorf("one nanosecond before the end: %s", f.Standing)
	}
	tokyo := time.FixedZone("JST", 9*3600)
	if f := Shipped().Standing("GB", Question{At: last.In(tokyo)}); f.Standing != StandingAdequate {
		t.Errorf("the same instant in Tokyo: %s", f.Standing)
	}
	if f := Shipped().Standing("GB", Question{At: last.Add(1)}); f.Standing != StandingNoAdequacy {
		t.Errorf("after the end: %s", f.Standing)
	}
}

// Annulment works ex tunc for those who know of it, and not at all before.
func TestExTunc(t *testing.T) {
	shield := attested(map[string]any{"recipient.privacy_shield_listed": true})
	harbour := attested(map[string]any{"recipient.safe_harbour_listed": true})
	for i := range shield {
		shield[i].At, harbour[i].At = time.Time{}, time.Time{}
	}
	for _, c := range []struct {
		attrs     []Attribute
		at, known string
		want      Standing
	}{
		{shield, "2016-07-11", "2016-07-11", StandingNoAdequacy},
		{shield, "2016-07-12", "2016-07-12", StandingAdequateConditional},
		{shield, "2020-07-15", "2020-07-15", StandingAdequateConditional},
		{shield, "2020-07-15", "2020-07-16", StandingNoAdequacy},
		{shield, "2020-07-16", "2020-07-16", StandingNoAdequacy},
		{shield, "2016-08-01", "2026-11-21", StandingNoAdequacy},
		{harbour, "2015-10-05", "2015-10-05", StandingAdequateConditional},
		{harbour, "2015-10-05", "2015-10-06", StandingNoAdequacy},
		{harbour, "2018-01-01", "2018-01-01", StandingNoAdequacy},
		{shield, "2020-08-01", "2020-07-01", StandingAdequateConditional}, // looking ahead from before the judgment
	} {
		f := Shipped().Standing("US", Question{At: date(c.at), KnownAt: date(c.known), Attributes: c.attrs})
		if f.Standing != c.want {
			t.Errorf("%s as known on %s: %s, want %s", c.at, c.known, f.Standing, c.want)
		}
	}
	// Nobody could rest on a decision before it was adopted, even for a later day.
	lgpd := []Attribute{{Name: "recipient.lgpd_subject", Value: true, Evidence: "x"}}
	if f := Shipped().Standing("BR", Question{At: date("2026-06-01"), KnownAt: date("2026-01-25"), Attributes: lgpd}); f.Standing != StandingNoAdequacy {
		t.Errorf("Brazil before adoption: %s", f.Standing)
	}
}

func TestConditions(t *testing.T) {
	with := func(change func([]Attribute) []Attribute) []Attribute {
		list := []Attribute{
			{Name: "recipient.dpf_listed", Value: true, Evidence: "list extract", At: now.AddDate(0, 0, -2)},
			{Name: "recipient.dpf_covered_data", Value: []string{"hr", "non_hr"}, Evidence: "list extract"},
			{Name: "recipient.ftc_or_dot_jurisdiction", Value: true, Evidence: "counsel"},
		}
		if change != nil {
			list = change(list)
		}
		return list
	}
	at := func(i int, change func(*Attribute)) []Attribute {
		return with(func(l []Attribute) []Attribute { change(&l[i]); return l })
	}
	for name, c := range map[string]struct {
		attrs []Attribute
		unmet []string
	}{
		"all":              {with(nil), nil},
		"list from a file": {at(1, func(a *Attribute) { a.Value = []any{"non_hr"} }), nil},
		"single text":      {at(1, func(a *Attribute) { a.Value = "non_hr" }), nil},
		"none": {nil, []string{
			"recipient.dpf_listed not attested", "recipient.dpf_covered_data not attested", "recipient.ftc_or_dot_jurisdiction not attested",
		}},
		"one missing":      {with(func(l []Attribute) []Attribute { return l[:2] }), []string{"recipient.ftc_or_dot_jurisdiction not attested"}},
		"without evidence": {at(2, func(a *Attribute) { a.Evidence = " " }), []string{"recipient.ftc_or_dot_jurisdiction attested without evidence"}},
		"false":            {at(2, func(a *Attribute) { a.Value = false }), []string{"recipient.ftc_or_dot_jurisdiction attested as false, true needed"}},
		"text for a truth": {at(2, func(a *Attribute) { a.Value = "true" }), []string{"recipient.ftc_or_dot_jurisdiction attested as true, true needed"}},
		"wrong member":     {at(1, func(a *Attribute) { a.Value = []string{"hr"} }), []string{"recipient.dpf_covered_data attested as [hr], non_hr needed"}},
		"too old":          {at(0, func(a *Attribute) { a.At = now.AddDate(0, 0, -7) }), []string{"recipient.dpf_listed attested on 2026-11-14, older than 7 days"}},
		"last moment":      {at(0, func(a *Attribute) { a.At = now.AddDate(0, 0, -7).Add(1) }), nil},
		"undated":          {at(0, func(a *Attribute) { a.At = time.Time{} }), []string{"recipient.dpf_listed attested without a date"}},
		"from the future":  {at(0, func(a *Attribute) { a.At = now.Add(time.Second) }), []string{"recipient.dpf_listed attested only later"}},
		"contradiction": {with(func(l []Attribute) []Attribute {
			return append(l, Attribute{Name: "recipient.dpf_listed", Value: false, Evidence: "newer extract", At: now})
		}), []string{"recipient.dpf_listed attested as false, true needed"}},
		"rumour beside evidence": {with(func(l []Attribute) []Attribute {
			return append(l, Attribute{Name: "recipient.dpf_listed", Value: false})
		}), nil},
	} {
		f := Shipped().Standing("US", Question{At: now, Attributes: c.attrs})
		want := StandingAdequateConditional
		if c.unmet != nil {
			want = StandingNoAdequacy
		}
		if f.Standing != want || !slices.Equal(f.Unmet, c.unmet) {
			t.Errorf("%s: %s %q, want %s %q", name, f.Standing, f.Unmet, want, c.unmet)
		}
		if c.unmet != nil && !strings.Contains(f.Why, "organisations on the DPF list") {
			t.Errorf("%s: %s", name, f.Why)
		}
	}
	// The ruling must be asked again when the evidence grows old.
	f := Shipped().Standing("US", Question{At: now, Attributes: with(nil)})
	if want := now.AddDate(0, 0, 5); !f.Until.Equal(want) {
		t.Errorf("fresh until %v, want %v", f.Until, want)
	}
}

func TestUnmetSentence(t *testing.T) {
	f := Shipped().Standing("US", Question{At: now})
	want := "no adequacy decision covers this recipient; (EU) 2023/1795 applies only to organisations on the DPF list " +
		"(recipient.dpf_listed, recipient.dpf_covered_data, recipient.ftc_or_dot_jurisdiction not attested)"
	if f.Why != want {
		t.Errorf("%s\nwant %s", f.Why, want)
	}
}

func TestSuspensionOverlay(t *testing.T) {
	since := now.Add(-time.Hour)
	swiss := []Suspension{{Instrument: "2000/518/EC", Since: since}}
	f := Shipped().Standing("CH", Question{At: now, Suspended: swiss})
	if f.Standing != StandingNoAdequacy || f.Suspended != "2000/518/EC" || !strings.Contains(f.Why, "suspended") {
		t.Errorf("suspended: %+v", f)
	}
	// Not before its moment; but the answer must be asked again then.
	f = Shipped().Standing("CH", Question{At: since.Add(-time.Second), Suspended: swiss})
	if f.Standing != StandingAdequate || !f.Until.Equal(since) {
		t.Errorf("before: %+v", f)
	}
	if f = Shipped().Standing("CH", Question{At: since, Suspended: swiss}); f.Standing != StandingNoAdequacy {
		t.Errorf("at the moment: %+v", f)
	}
	// The earliest of several counts, and others are not touched.
	swiss = append(swiss, Suspension{Instrument: "2000/518/EC", Since: since.Add(-time.Hour)})
	if f = Shipped().Standing("CH", Question{At: since.Add(-time.Minute), Suspended: swiss}); f.Standing != StandingNoAdequacy {
		t.Errorf("earliest: %+v", f)
	}
	if f = Shipped().Standing("JP", Question{At: now, Suspended: swiss, Attributes: attested(map[string]any{"recipient.appi_business_operator": true})}); f.Standing != StandingAdequateConditional {
		t.Errorf("another country: %+v", f)
	}
}

func TestParseCountry(t *testing.T) {
	for in, want := range map[string]Country{
		"DE": "DE", "de": "DE", " gb ": "GB", "UK": "GB", "uk": "GB", "EL": "GR", "XI": "GB", "IC": "ES", "NO": "NO", "XK": "XK", "FX": "FR",
		"EU": "", "EZ": "", "UN": "", "AN": "", "ZZ": "", "": "", "INT:EPO": "", "DEU": "", "D": "", "false": "",
	} {
		if got, ok := Shipped().ParseCountry(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %t; want %q", in, got, ok, want)
		}
	}
}

func TestShippedLaw(t *testing.T) {
	l := Shipped()
	if !l.AsOf().Equal(date("2026-11-21")) || l.Country("NO") != "Norway" || l.Country("ZZ") != "" {
		t.Errorf("as of %v, Norway is %q", l.AsOf(), l.Country("NO"))
	}
	if len(l.jurisdictions) != 250 { // 249 codes of ISO 3166-1 and Kosovo
		t.Errorf("%d jurisdictions", len(l.jurisdictions))
	}
	eu := 0
	for c := range l.jurisdictions {
		f := l.Standing(c, Question{At: now})
		if f.Standing == StandingUnknown || f.Why == "" {
			t.Errorf("%s: %+v", c, f)
		}
		if f.Member && !l.jurisdictions[c].territory {
			eu++
		}
	}
	if eu != 27 {
		t.Errorf("%d member states", eu)
	}
	inForce := 0
	for _, in := range l.Instruments() {
		if in.ID == "" || len(in.Source) == 0 || in.AsOf.IsZero() || in.Confidence == "" {
			t.Errorf("%+v lacks id, source, confidence or day", in)
		}
		if in.Conditional != (in.AppliesOnlyTo != "") || in.Conditional != (len(in.Conditions) > 0) {
			t.Errorf("%s: conditional=%t, applies only to %q", in.ID, in.Conditional, in.AppliesOnlyTo)
		}
		if in.Status == "in_force" {
			inForce++
		}
	}
	if len(l.Instruments()) != 20 || inForce != 17 {
		t.Errorf("%d instruments, %d in force", len(l.Instruments()), inForce)
	}
	if got := l.NearInstruments("EU 2023/1795"); len(got) == 0 || got[0] != "(EU) 2023/1795" {
		t.Errorf("near: %q", got)
	}
	if l.Instruments()[0].Source[0] = "changed"; Shipped().Instruments()[0].Source[0] == "changed" {
		t.Error("the law can be changed from outside")
	}
	if !bytes.Equal(ShippedLawJSON(), lawJSON) {
		t.Error("another text")
	}
}

// A table that does not hang together must not load: each change breaks one rule.
func TestParseLawRefuses(t *testing.T) {
	type object = map[string]any
	entry := func(doc object, list, key, id string) object {
		for _, e := range doc[list].([]any) {
			if e.(object)[key] == id {
				return e.(object)
			}
		}
		panic(id)
	}
	country := func(d object, c string) object { return entry(d, "jurisdictions", "code", c) }
	instrument := func(d object, id string) object { return entry(d, "instruments", "id", id) }
	for want, change := range map[string]func(object){
		`schema "x"`:                      func(d object) { d["schema"] = "x" },
		"verdict \"fine\" is unknown":     func(d object) { country(d, "DE")["verdict"] = "fine" },
		"parent \"QQ\" is unknown":        func(d object) { country(d, "AX")["parent"] = "QQ" },
		"a territory needs a parent":      func(d object) { delete(country(d, "AX"), "parent") },
		"instrument \"none\" is unknown":  func(d object) { country(d, "CH")["instruments"] = []string{"none"} },
		"belongs to CH":                   func(d object) { country(d, "JP")["instruments"] = []string{"2000/518/EC"} },
		"code is not ISO":                 func(d object) { country(d, "CH")["code"] = "CHE" },
		"parent \"MQ\" is a territory":    func(d object) { country(d, "RE")["parent"] = "MQ" },
		"jurisdiction \"CH\": stands":     func(d object) { country(d, "LI")["code"] = "CH" },
		"\"2000/518/EC\" stands twice":    func(d object) { instrument(d, "2002/2/EC")["id"] = "2000/518/EC" },
		"status \"odd\" is unknown":       func(d object) { instrument(d, "2000/518/EC")["status"] = "odd" },
		"needs ended_by":                  func(d object) { delete(instrument(d, "(EU) 2016/1250"), "ended_by") },
		"needs id, adopted":               func(d object) { delete(instrument(d, "2000/518/EC"), "source") },
		"lies before":                     func(d object) { instrument(d, "2000/518/EC")["valid_until"] = "1999-01-01" },
		"write it as":                     func(d object) { instrument(d, "2000/518/EC")["adopted"] = "26.7.2000" },
		"op eq or contains":               func(d object) { instrument(d, "2002/2/EC")["conditions"].([]any)[0].(object)["op"] = "like" },
		"value must be true":              func(d object) { instrument(d, "2002/2/EC")["conditions"].([]any)[0].(object)["value"] = 7 },
		"alias \"UK\": \"QQ\" is unknown": func(d object) { d["aliases"].(object)["UK"] = "QQ" },
	} {
		var doc object
		if err := json.Unmarshal(lawJSON, &doc); err != nil {
			t.Fatal(err)
		}
		change(doc)
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseLaw(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	for _, raw := range []string{"", "{", `{"schema":"sovereign.jurisdictions/v1","schema":"sovereign.jurisdictions/v1"}`} {
		if _, err := ParseLaw([]byte(raw)); err == nil {
			t.Errorf("%q loads", raw)
		}
	}
}

// A law of one's own is possible for tests and simulations; it has another digest, so nothing that it judged passes for the shipped one.
func TestParseLawOfOnesOwn(t *testing.T) {
	raw := bytes.Replace(ShippedLawJSON(), []byte(`"verdict": "deny"`), []byte(`"verdict": "gate"`), -1)
	l, err := ParseLaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	if f := l.Standing("RU", Question{At: now}); f.Standing != StandingGate {
		t.Errorf("%+v", f)
	}
	if l.digest == Shipped().digest {
		t.Error("the digest is the same")
	}
}
