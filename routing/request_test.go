package routing

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

func TestWhatAPersonAsksFor(t *testing.T) {
	other := []approval.Alternative{{Option: "announcement", WhyNot: "emergencies wait"}}
	for name, c := range map[string]struct {
		want    Want
		verdict sovereign.Verdict
		regions string
		basis   string
		notDone string // a piece of what is said when it is not the gate's matter
	}{
		"a held group":           {Want{Trunks: []string{"carrier-de"}, Groups: []string{"iad"}}, sovereign.Hold, "aws:us-east-1", "Art46(2)(c)_SCC:scc-1", ""},
		"with its region":        {Want{Trunks: []string{"carrier-de"}, Groups: []string{"iad"}, Regions: []string{"aws:us-east-1"}}, sovereign.Hold, "aws:us-east-1", "Art46(2)(c)_SCC:scc-1", ""},
		"on a basis":             {Want{Trunks: []string{"carrier-de"}, Groups: []string{"iad"}, Basis: "claims"}, sovereign.Hold, "aws:us-east-1", "claims", ""},
		"a held trunk":           {Want{Trunks: []string{"carrier-us"}, Groups: []string{"fra"}}, sovereign.Hold, "aws:us-east-1", "", ""},
		"both ends":              {Want{Trunks: []string{"carrier-us"}, Groups: []string{"lon"}}, sovereign.Hold, "aws:eu-west-2 aws:us-east-1", "", ""},
		"homed abroad":           {Want{Trunks: []string{"carrier-de"}, Groups: []string{"split"}}, sovereign.Hold, "aws:us-west-2", "", ""},
		"in no declared place":   {Want{Trunks: []string{"carrier-de"}, Groups: []string{"bad"}}, sovereign.Deny, "aws:eu-central-1", "", ""},
		"a region of nobody":     {Want{Trunks: []string{"carrier-de"}, Groups: []string{"iad"}, Regions: []string{"aws:us-east-1", "no:where"}}, sovereign.Deny, "aws:us-east-1 no:where", "Art46(2)(c)_SCC:scc-1", ""},
		"permitted":              {Want{Trunks: []string{"carrier-de"}, Groups: []string{"fra", "zrh"}}, 0, "", "", "permits that by itself"},
		"permitted, by region":   {Want{Trunks: []string{"carrier-de"}, Groups: []string{"zrh"}, Regions: []string{"aws:eu-central-2"}}, 0, "", "", "permits that by itself"},
		"more than is needed":    {Want{Trunks: []string{"carrier-de"}, Groups: []string{"iad"}, Regions: []string{"aws:us-east-1", "aws:us-west-2"}}, 0, "", "", "held in aws:us-west-2"},
		"less than is needed":    {Want{Trunks: []string{"carrier-us"}, Groups: []string{"lon"}, Regions: []string{"aws:us-east-1"}}, 0, "", "", "need aws:eu-west-2, too"},
		"no region at all":       {Want{Trunks: []string{"carrier-de"}, Groups: []string{"iad"}, Regions: []string{"Virginia"}}, 0, "", "", "is no region"},
		"no trunk":               {Want{Groups: []string{"iad"}}, 0, "", "", "a trunk and an edge group"},
		"an unknown trunk":       {Want{Trunks: []string{"iad"}, Groups: []string{"iad"}}, 0, "", "", `"iad" is no trunk`},
		"an unknown edge group":  {Want{Trunks: []string{"carrier-de"}, Groups: []string{"nobody"}}, 0, "", "", `"nobody" is no edge group`},
		"nobody knows its place": {Want{Trunks: []string{"carrier-de"}, Groups: []string{"pdx"}}, 0, "", "", "no address of pdx"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rules.Basis = map[string]Basis{"iad": {Word: "Art46(2)(c)_SCC:scc-1"}}
			w.health("zrh", healthcheck.Down)
			w.table.ByParty["pdx"][0].Target.Addr = netip.AddrPort{}
			r := w.router()
			c.want.Reason, c.want.Alternatives, c.want.MaxCalls, c.want.GrantFor = "the storm", other, 7, time.Hour
			a, err := r.Asked(c.want)
			var not *NotDone
			if c.notDone != "" {
				if !errors.As(err, &not) || !strings.Contains(not.What, c.notDone) || not.Hint == "" {
					t.Errorf("got %v, want %q", err, c.notDone)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := a.Plan
			slices.Sort(p.Scope.Regions)
			if a.Ruling.Verdict != c.verdict || strings.Join(p.Scope.Regions, " ") != c.regions || p.LegalBasis != c.basis {
				t.Errorf("%s for %v on %q, want %s for %s on %q", a.Ruling.Verdict, p.Scope.Regions, p.LegalBasis, c.verdict, c.regions, c.basis)
			}
			if p.Reason != "the storm" || len(p.Alternatives) != 1 || p.Scope.MaxCalls != 7 || p.GrantFor != time.Hour || len(p.Grounds) != 1 || p.PolicyDigest == "" || p.FactsDigest == "" {
				t.Errorf("%+v", p)
			}
			if c.verdict == sovereign.Hold && !slices.Contains(c.want.Groups, "split") && p.Scope.Country == "" {
				t.Error("the plan names no country")
			}
			if slices.Contains(c.want.Groups, "iad") && strings.Join(p.Failed, " ") != "zrh" {
				t.Errorf("down: %v", p.Failed)
			}
			if w.gate.count() != 0 {
				t.Error("asking proposed something")
			}
		})
	}
}
