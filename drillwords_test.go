package cordon

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/report"
)

func privateOf(person string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, person)
	return ed25519.NewKeyFromSeed(seed)
}

// signedConfig is deskConfig with a person who has nothing to do with the drill, dina, and with keys of people.
func signedConfig(t *testing.T, keys ...string) string {
	t.Helper()
	t.Setenv("DRILL_TOKEN_4", strings.Repeat("z", 40))
	text := strings.Replace(deskConfig, "notify:", "  - {id: dina, roles: [ciso], unit: second line, token: {env: DRILL_TOKEN_4}}\nnotify:", 1)
	text = strings.Replace(text, `{name: carrier, region: "lab:carrier",`, `{name: carrier, region: "lab:carrier", provider: {name: Carrier GmbH, lei_or_euid: 529900T8BM49AURSDO55},`, 1)
	text = strings.Replace(text, "{id: anna,", "{id: anna, unit: resilience,", 1)
	for i, person := range []string{"anna", "ben", "clara", "dina"} {
		if slices.Contains(keys, person) {
			public := sign.PublicText(privateOf(person).Public().(ed25519.PublicKey))
			token := fmt.Sprintf("{env: DRILL_TOKEN_%d}", i+1)
			text = strings.Replace(text, token, token+", keys: [{public: "+public+", expires: 2099-12-31}]", 1)
		}
	}
	return text
}

// full plays a full drill that anna asked for and ben approved, to its end.
func (s *stageAt) full(k *drillKeeper) register.Drill {
	s.t.Helper()
	d, err := k.Request(s.t.Context(), admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "yearly"}, "anna")
	if err == nil {
		_, err = k.Approve(s.t.Context(), d.ID(), "change 4711", "ben")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(17 * time.Minute)
	if d, _ = k.Drill(d.ID()); d.State != register.Ended {
		s.t.Fatalf("it has not ended: %s, %+v", d.State, d.Refused)
	}
	return d
}

// ofDrill is the role in which the people of these tests say a word.
var ofDrill = map[string]string{"cleaned": "incident_commander", "signed_off": "ciso", "reported": "ciso"}

// saidOf signs what a person says of a drill. change may have something else signed than is said.
func saidOf(t *testing.T, d register.Drill, person, word string, x admin.DrillSaid, change func(*sign.DrillStatement)) admin.DrillSaid {
	t.Helper()
	if x.Role == "" {
		x.Role = ofDrill[word]
	}
	st := sign.DrillStatement{
		Drill: d.ID(), Plan: d.Ended.Digest, Outcome: d.Ended.Outcome, End: d.Sum, Word: word, Verdict: x.Verdict, Date: x.Date, Minutes: x.Minutes, Role: x.Role, Reason: x.Reason,
		At: time.Now(), Nonce: hex.EncodeToString([]byte(rand.Text()[:16])),
	}
	if change != nil {
		change(&st)
	}
	s, err := sign.SignDrill(privateOf(person), st)
	if err == nil {
		x.Signature, err = json.Marshal(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// refusal is why the node did not take something; "": it did.
func refusal(t *testing.T, err error) string {
	t.Helper()
	var no *admin.DrillRefusal
	if err != nil && !errors.As(err, &no) {
		t.Fatal(err)
	}
	if no == nil {
		return ""
	}
	if no.Hint == "" {
		t.Errorf("%q says not what to do", no.What)
	}
	return no.What
}

// Whose last words about a full drill count: of who has a key, signed ones alone, over this very end, once, and of nobody who ran it.
func TestWhatIsNoSignOff(t *testing.T) {
	drillsOn(t, signedConfig(t, "anna", "dina"), func(s *stageAt, k *drillKeeper, fake *fakePlay) {
		t := s.t
		ctx := t.Context()
		fake.outcome = drill.Failed
		first := s.full(k)
		d := s.full(k)
		reject := admin.DrillSaid{Reason: "too slow", Role: "ciso", Verdict: sign.DrillReject}
		report := admin.DrillSaid{Role: "ciso", Date: "2026-11-23", Minutes: "MB 4"}
		used := saidOf(t, d, "dina", sign.DrillReported, report, nil)
		if _, err := k.Reported(ctx, d.ID(), used, "dina"); err != nil {
			t.Fatal(err)
		}
		with := func(x admin.DrillSaid, change func(*admin.DrillSaid)) admin.DrillSaid { change(&x); return x }
		for name, c := range map[string]struct {
			say  func(context.Context, string, admin.DrillSaid, string) (register.Drill, error)
			x    admin.DrillSaid
			by   string
			want string
		}{
			"no signature of who has a key": {k.SignOff, reject, "dina", "the session alone is no signature"},
			"nor for the clean-up":          {k.Clean, admin.DrillSaid{Reason: "looked"}, "anna", "the session alone is no signature"},
			"no key that counts":            {k.SignOff, saidOf(t, d, "clara", sign.DrillSignedOff, with(reject, func(x *admin.DrillSaid) { x.Role = "dpo" }), nil), "clara", "no such key is enrolled here"},
			"somebody else's key":           {k.SignOff, saidOf(t, d, "anna", sign.DrillSignedOff, reject, nil), "dina", "the key is of somebody else"},
			"another key under its name": {k.SignOff, with(saidOf(t, d, "dina", sign.DrillSignedOff, reject, nil), func(x *admin.DrillSaid) {
				x.Signature = json.RawMessage(strings.Replace(string(x.Signature), `"signature":"`, `"signature":"AA`, 1))
			}), "dina", "the signature does not fit"},
			"of another drill":                {k.SignOff, saidOf(t, first, "dina", sign.DrillSignedOff, reject, nil), "dina", "is about another drill"},
			"of another outcome":              {k.SignOff, saidOf(t, d, "dina", sign.DrillSignedOff, reject, func(s *sign.DrillStatement) { s.Outcome = "passed" }), "dina", "another plan, outcome or end"},
			"another verdict than said":       {k.SignOff, saidOf(t, d, "dina", sign.DrillSignedOff, reject, func(s *sign.DrillStatement) { s.Verdict = sign.DrillAcceptWithDeficiency }), "dina", "another word, verdict, date"},
			"another word":                    {k.SignOff, saidOf(t, d, "dina", sign.DrillSignedOff, reject, func(s *sign.DrillStatement) { s.Word, s.Verdict = sign.DrillCleaned, "" }), "dina", "another word"},
			"too early":                       {k.SignOff, saidOf(t, d, "dina", sign.DrillSignedOff, reject, func(s *sign.DrillStatement) { s.At = d.Over.Add(-3 * time.Minute) }), "dina", "before the end of the drill"},
			"still to come":                   {k.SignOff, saidOf(t, d, "dina", sign.DrillSignedOff, reject, func(s *sign.DrillStatement) { s.At = time.Now().Add(3 * time.Minute) }), "dina", "or still to come"},
			"no statement":                    {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Signature = json.RawMessage(`{"cordon":"gate decision v1"}`) }), "dina", "does not read"},
			"handed in before":                {k.Reported, used, "dina", "was handed in before"},
			"a role that is not held":         {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Role = "crisis_manager" }), "dina", "does not hold the role"},
			"no role":                         {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Role = "" }), "dina", "names the role"},
			"no reason":                       {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Reason = " " }), "dina", "a reason is missing"},
			"no verdict":                      {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Verdict = "fine" }), "dina", "is no verdict"},
			"who asked for it":                {k.SignOff, saidOf(t, d, "anna", sign.DrillSignedOff, with(reject, func(x *admin.DrillSaid) { x.Role = "incident_commander" }), nil), "anna", "who asked for the drill does not judge"},
			"who approved its start":          {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Role = "business_owner" }), "ben", "who approved the start of the drill does not judge"},
			"a failed one as it is":           {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Verdict = sign.DrillAccept }), "dina", "a drill that failed is not accepted"},
			"deficiencies that nobody noted":  {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Verdict = sign.DrillAcceptWithDeficiency }), "dina", "no deficiency of the drill is on record"},
			"minutes of a sign-off":           {k.SignOff, with(reject, func(x *admin.DrillSaid) { x.Minutes = "MB" }), "dina", "are of a report"},
			"a report of tomorrow":            {k.Reported, with(report, func(x *admin.DrillSaid) { x.Date, x.Role = "2026-11-26", "" }), "anna", "is still to come"},
			"a report of before":              {k.Reported, with(report, func(x *admin.DrillSaid) { x.Date, x.Role = "2026-11-21", "" }), "anna", "is before the end"},
			"a report without minutes":        {k.Reported, with(report, func(x *admin.DrillSaid) { x.Minutes, x.Role = " ", "" }), "anna", "the minutes is missing"},
			"a report on no day":              {k.Reported, with(report, func(x *admin.DrillSaid) { x.Date, x.Role = "soon", "" }), "anna", "is no day"},
			"a report with a verdict":         {k.Reported, with(report, func(x *admin.DrillSaid) { x.Verdict = "accept" }), "dina", "a verdict is of a sign-off"},
			"a report in a role of another's": {k.Reported, report, "anna", "does not hold the role"},
		} {
			if _, err := c.say(ctx, d.ID(), c.x, c.by); !strings.Contains(refusal(t, err), c.want) || err == nil {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
		if now, _ := k.Drill(d.ID()); len(now.SignedOff) != 0 || len(now.Reported) != 1 || now.Cleaned != nil {
			t.Errorf("something was taken all the same: %+v", now)
		}
		if _, err := k.node.gate.RevokeKey(ctx, sign.KeyID(privateOf("dina").Public().(ed25519.PublicKey)), "dina", "lost"); err != nil {
			t.Fatal(err)
		}
		if _, err := k.SignOff(ctx, d.ID(), saidOf(t, d, "dina", sign.DrillSignedOff, reject, nil), "dina"); !strings.Contains(refusal(t, err), "the key was revoked") {
			t.Errorf("with a revoked key: %v", err)
		}
		if d, err := k.SignOff(ctx, d.ID(), reject, "dina"); err != nil || d.SignedOff[0].Auth != drillBySession {
			t.Errorf("who has no key that counts any more: %+v, %v", d.SignedOff, err)
		}
		if _, err := k.SignOff(ctx, d.ID(), reject, "dina"); !strings.Contains(refusal(t, err), "signed the result off before") {
			t.Errorf("twice: %v", err)
		}
	})
}

// From the notice to the minutes: who was told says so, the tester signs the clean-up, somebody else the result, and the management body is told. An auditor finds it all in the log.
func TestTheLastWordsAboutADrill(t *testing.T) {
	drillsOn(t, signedConfig(t, "anna", "dina"), func(s *stageAt, k *drillKeeper, fake *fakePlay) {
		t := s.t
		ctx := t.Context()
		d, err := k.Request(ctx, admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "yearly"}, "anna")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Ack(ctx, d.ID(), "clara"); !strings.Contains(refusal(t, err), "nobody was told") {
			t.Errorf("before anybody was told: %v", err)
		}
		if _, err := k.SignOff(ctx, d.ID(), admin.DrillSaid{Reason: "r", Role: "ciso", Verdict: "accept"}, "dina"); !strings.Contains(refusal(t, err), "has no result yet") {
			t.Errorf("before its end: %v", err)
		}
		if _, err := k.Approve(ctx, d.ID(), "change 4711", "ben"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		for range 2 {
			_, err = k.Ack(ctx, d.ID(), "clara")
		}
		if !strings.Contains(refusal(t, err), "has said so already, before the drill") {
			t.Errorf("twice: %v", err)
		}
		time.Sleep(7 * time.Minute)
		d, _ = k.Drill(d.ID())
		for _, step := range []func() (register.Drill, error){
			func() (register.Drill, error) { return k.Ack(ctx, d.ID(), "clara") },
			func() (register.Drill, error) {
				return k.Clean(ctx, d.ID(), saidOf(t, d, "anna", sign.DrillCleaned, admin.DrillSaid{Reason: "looked at it"}, nil), "anna")
			},
			func() (register.Drill, error) {
				return k.SignOff(ctx, d.ID(), saidOf(t, d, "dina", sign.DrillSignedOff, admin.DrillSaid{Reason: "read", Verdict: sign.DrillAccept}, nil), "dina")
			},
			func() (register.Drill, error) {
				return k.SignOff(ctx, d.ID(), admin.DrillSaid{Reason: "callers' data stayed here", Role: "dpo", Verdict: sign.DrillAccept}, "clara")
			},
			func() (register.Drill, error) { // who ran it may say that it was reported, without a key
				return k.Reported(ctx, d.ID(), admin.DrillSaid{Date: "2026-11-23", Minutes: "MB 4"}, "anna")
			},
		} {
			time.Sleep(time.Minute)
			if d, err = step(); err != nil {
				t.Fatal(err)
			}
		}
		if d.State != register.Cleaned || d.Cleaned.Auth != drillByKey || len(d.SignedOff) != 2 || d.SignedOff[0].Auth != drillByKey || d.SignedOff[1].Auth != drillBySession || len(d.Acked) != 2 || d.Acked[1].When != "after" || d.Started.Unit != "resilience" {
			t.Errorf("%+v", d)
		}
		entries, err := k.node.log.Entries(ctx, 0, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		checker := keyring.NewChecker()
		for _, e := range entries {
			checker.Take(e)
			for _, name := range []string{"anna", "clara", "dina"} {
				if e.Kind.OfDrills() && strings.Contains(string(e.Body), `"`+name+`"`) {
					t.Errorf("%s stands in entry %d", name, e.Seq)
				}
			}
		}
		s.reported(k, d.ID())
		if got := checker.Drills(); len(checker.Bad) > 0 || got.Signed != 2 || got.BySession != 2 {
			t.Errorf("an auditor finds %+v, %+v", got, checker.Bad)
		}
	})
}

// reported reads the report of the drill of TestTheLastWordsAboutADrill: as the node makes it, with pseudonyms and with people, and as it is made off line of the whole log.
func (s *stageAt) reported(k *drillKeeper, id string) {
	t := s.t
	for _, names := range []bool{false, true} {
		raw, err := k.Report(t.Context(), id, "json", names)
		var r report.Report
		if err == nil {
			err = json.Unmarshal(raw, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		var how []string
		for _, x := range r.SignOff {
			how = append(how, string(x.Word+" "+x.How))
		}
		if got := strings.Join(how, ", "); got != "requested , approved , cleaned_up signature, signed_off signature, signed_off session" || len(r.Unsound()) != 0 || r.Reported.Minutes != "MB 4" || *r.Governance.Acked != 2 || r.Testers[0].Unit != "resilience" {
			t.Errorf("%s; %v; %+v", got, r.Unsound(), r.Reported)
		}
		party := func(p string) bool {
			return slices.ContainsFunc(r.ThirdParties, func(x report.ThirdParty) bool { return string(x.LEI) == p && x.Name == "Carrier GmbH" })
		}
		if !party("529900T8BM49AURSDO55") {
			t.Errorf("who stands behind the carrier: %+v", r.ThirdParties)
		}
		for _, m := range r.Missing {
			if slices.Contains([]string{"testers.unit", "governance_exercised.notifications_acked", "reported_to_management_body", "sign_off", "cleanup"}, m.Field) {
				t.Errorf("%s is missing", m.Field)
			}
		}
		for _, person := range []string{"anna", "ben", "clara", "dina"} {
			if is := strings.Contains(string(raw), `"`+person+`"`); is != names {
				t.Errorf("names %t, and %s stands there: %t", names, person, is)
			}
		}
	}
	b := report.New(id)
	entries, err := k.node.log.Entries(t.Context(), 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.Kind == audit.KindDrillSignedOff { // what the log never had
			entries[i].Body = json.RawMessage(strings.ReplaceAll(string(e.Body), `"read"`, `"blind"`))
		}
		if err := b.Add(entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	r, err := b.Report(report.Input{Made: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if bad := r.Unsound(); len(bad) != 1 || !strings.Contains(bad[0], "(signed off) does not hold: the signature does not fit") || !*r.SignOff[2].Holds {
		t.Errorf("off line: %v, %+v", bad, r.SignOff)
	}
}

// Who never enrolled a key goes on as before, unless the configuration wants signatures of everybody; a sandbox wants none.
func TestWithoutKeysASessionStands(t *testing.T) {
	for text, want := range map[string]string{"": "", "\n  signed: enrolled": "", "\n  signed: required": "drills.signed wants a signature of everybody"} {
		config := strings.Replace(signedConfig(t), "drills:", "drills:"+text, 1)
		drillsOn(t, config, func(s *stageAt, k *drillKeeper, fake *fakePlay) {
			t := s.t
			d := s.full(k)
			d, err := k.Clean(t.Context(), d.ID(), admin.DrillSaid{Reason: "looked"}, "anna")
			if got := refusal(t, err); !strings.HasPrefix(got, want) || want == "" && (got != "" || d.Cleaned.Auth != drillBySession || d.Cleaned.Signature != nil) {
				t.Errorf("%q: %q, want %q", text, got, want)
			}
			box, err := k.Request(t.Context(), admin.DrillOrder{Scenario: "region-loss", Mode: "sandbox", Reason: "r"}, "anna")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			if _, err := k.Clean(t.Context(), box.ID(), admin.DrillSaid{Reason: "looked"}, "anna"); err != nil {
				t.Errorf("%q: of a sandbox: %v", text, err)
			}
		})
	}
}
