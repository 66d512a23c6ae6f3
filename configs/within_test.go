package configs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval/charter"
)

// ruled is a configuration of which {parts} are filled in; what a part is without a word is its first choice.
const ruled = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state{position}}
policy: {home: aws:eu-central-1{policy}}
law: {running_calls: {law}}
regions:
  - {key: bank:fra-1, country: DE, contract: {region}}
places:
  - {prefix: 127.1.0.0/16, region: {place}, contract: c}
{evidence}listeners:
  - {transport: udp, address: "127.5.0.10:0"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 127.1.0.10, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 127.1.0.11, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
dns: {servers: [{dns}]}
gate: {{gate}}
people:
  - {id: anna, roles: [ciso{anna}], token: {env: {token}}}
{ben}  - {id: clara, roles: [dpo], token: {env: T3}}
{retention}{notify}log: {on_log_failure: {failure}{witness}}
`

// choices of the parts.
var choices = map[string][]string{
	"position":  {", position: {lat: 50.1, lon: 8.7}", ", position: {lat: 40, lon: -74}", ", region: aws:eu-central-1", ""},
	"policy":    {"", ", allow: [aws:eu-central-1, aws:eu-north-1]", ", preset: eu_only"},
	"law":       {"end, end_after: 5m", "end", "reroute", "finish, finish_within: 1h", "finish, parties: [{party: fra, running_calls: end}]", "end, parties: [{party: fra, running_calls: finish}]"},
	"region":    {"c", "d", "c, position: {lat: 50, lon: 8}", "c, position: {lat: 1, lon: 1}"},
	"place":     {"aws:eu-central-1", "aws:eu-north-1"},
	"evidence":  {"evidence: {feeds: [{kind: geofeed, file: feed.csv}], rir: [ripe], sights: [b.sights]}\n", "", "evidence: {rir: [ripe], on_contradiction: {rank_3_4: hold}}\n", "evidence: {feeds: [{kind: provider_feed, provider: aws, file: aws.json}], sights: [c.sights]}\n"},
	"dns":       {"\"127.0.0.53:53\"", "\"127.0.0.54:53\"", "\"127.0.0.53:53\", \"127.0.0.54:53\"", ""},
	"gate":      {"approve_in: 30m", "approve_in: 20m", "approve_in: 40m", "quorum: 3", "opinion_required: false"},
	"anna":      {"", ", operator", ", business_owner"},
	"token":     {"T1", "T9"},
	"ben":       {"  - {id: ben, roles: [business_owner], token: {env: T2}}\n", "  - {id: eve, roles: [business_owner], token: {env: T4}}\n", "", "  - {id: ben, roles: [operator], deputy_for: [business_owner], token: {env: T2}}\n"},
	"retention": {"retention: [{class: m, trunks: [carrier], keep: 7y, reason: r, binding: true}]\n", "retention: [{class: m, keep: 1y, reason: r}]\n", "", "retention: [{class: m, trunks: [carrier], keep: 8y, reason: r}]\n"},
	"notify": {
		"notify:\n  - {name: duty, type: webhook, url: 'http://127.0.0.1:9/a', secret: {env: SECRET}}\n", "notify:\n  - {name: duty, type: webhook, url: 'http://127.0.0.1:9/b', secret: {env: SECRET}}\n", "",
		"notify:\n  - {name: duty, type: webhook, url: 'http://127.0.0.1:9/a', secret: {env: SECRET}}\n  - {name: more, type: webhook, url: 'http://127.0.0.1:9/c', secret: {env: SECRET}}\n",
	},
	"failure": {"refuse", "continue_with_gap"},
	"witness": {""},
}

// ruledConfig is ruled with a choice for each part.
func ruledConfig(t *testing.T, dir string, choose func(part string, n int) int) *Config {
	t.Helper()
	text := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllStringFunc(ruled, func(s string) string {
		part := strings.Trim(s, "{}")
		list := choices[part]
		return list[choose(part, len(list))]
	})
	c, err := Parse(filepath.Join(dir, "cordon.yaml"), []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

var testSeal = charter.Seal{
	Pseudonym: func(id string) string { return "p-" + id },
	MAC:       func(b []byte) []byte { return []byte(charter.Digest(b)) },
}

func sealed(t *testing.T, c *Config) charter.Charter {
	t.Helper()
	plain, err := c.Charter()
	if err != nil {
		t.Fatal(err)
	}
	return testSeal.Charter(plain)
}

func proofFiles(t *testing.T) string {
	t.Helper()
	dir := evidenceFiles(t)
	if err := os.WriteFile(filepath.Join(dir, "c.sights"), []byte(strings.Replace(sights, `"lat":1`, `"lat":3`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// judged are the parts that two policies judge, each for itself; of all others the one that runs is as strict as what was accepted.
func judged(path string) bool {
	word, _, _ := strings.Cut(path, " ")
	return word == "regions" || word == "places" || word == "party" || strings.HasPrefix(word, "policy.")
}

// For any two configurations: what runs while one waits is within the accepted one, and of what can be ordered within the file, too.
func TestWhatRunsWhileSomethingWaitsIsAsStrictAsBoth(t *testing.T) {
	dir := proofFiles(t)
	held := map[string]int{}
	for seed := range uint64(150) {
		d := rand.New(rand.NewPCG(seed, 1))
		draw := func(_ string, n int) int { return max(0, d.IntN(2*n)-n) } // often the first
		one, two := ruledConfig(t, dir, draw), ruledConfig(t, dir, draw)
		accepted, next := sealed(t, one), sealed(t, two)
		kept, err := one.Kept()
		if err != nil {
			t.Fatal(err)
		}
		ws := charter.Widens(accepted, next)
		for _, w := range ws {
			held[strings.Split(w.Path, " ")[0]]++
		}
		for name, before := range map[string][]byte{"": kept, ", and the state is lost": nil} {
			run, err := two.Within(accepted, testSeal, before)
			if err != nil {
				t.Fatalf("seed %d%s: %v", seed, name, err)
			}
			if run.Bound == nil {
				t.Fatalf("seed %d%s: the accepted policy does not judge", seed, name)
			}
			now := sealed(t, run)
			for _, w := range charter.Widens(accepted, now) {
				lost := name != "" && (w.Path == "people" || w.Path == "notify") // who and what stood in the state alone: the gate says so, and nobody gets in
				if !judged(w.Path) && !lost {
					t.Errorf("seed %d%s: while it waits, %s", seed, name, w)
				}
			}
			for _, w := range charter.Widens(next, now) {
				if strings.HasPrefix(w.Path, "law.") || strings.HasPrefix(w.Path, "retention") || strings.HasPrefix(w.Path, "evidence.") {
					t.Errorf("seed %d%s: the file is stricter: %s", seed, name, w)
				}
			}
		}
	}
	for _, path := range []string{"node.position", "evidence.feed", "law.running_calls", "retention", "people", "notify", "dns", "gate.approve_in_ns", "log.on_log_failure", "policy.allow", "regions", "places"} {
		if held[path] == 0 {
			t.Errorf("%s never got wider: %v", path, held)
		}
	}
}

// Part by part: what the one that waits runs with.
func TestWithin(t *testing.T) {
	dir := proofFiles(t)
	first := ruledConfig(t, dir, func(string, int) int { return 0 })
	accepted := sealed(t, first)
	kept, err := first.Kept()
	if err != nil {
		t.Fatal(err)
	}
	show := func(v ...any) string { return strings.TrimSpace(fmt.Sprintln(v...)) }
	for name, x := range map[string]struct {
		part   string
		choice int
		of     func(*Config) string
		want   string
	}{
		"the node stays where it was": {"position", 1, func(c *Config) string { return show(*c.Evidence.At) }, "{50.1 8.7 0}"},
		"and does not vanish":         {"position", 3, func(c *Config) string { return show(*c.Evidence.At) }, "{50.1 8.7 0}"},
		"a region gets no position":   {"region", 3, func(c *Config) string { return show(len(c.Evidence.Spots)) }, "0"},
		"sources of both":             {"evidence", 3, func(c *Config) string { return show(len(c.Evidence.Tables), len(c.Evidence.Statements)) }, "3 2"},
		"weak evidence holds at once": {"evidence", 2, func(c *Config) string {
			return show(c.Evidence.HoldWeak, len(c.Evidence.Tables), len(c.Evidence.Statements))
		}, "true 2 1"},
		"no source is left out":            {"evidence", 1, func(c *Config) string { return show(len(c.Evidence.Tables), len(c.Evidence.Statements)) }, "2 1"},
		"calls end sooner":                 {"law", 1, func(c *Config) string { return show(c.Law.Common) }, "{end 0s}"},
		"calls do not finish":              {"law", 3, func(c *Config) string { return show(c.Law.Common, c.Law.Of("fra")) }, "{end 5m0s} {end 5m0s}"},
		"calls are not put through":        {"law", 2, func(c *Config) string { return show(c.Law.Common, c.Profiles[0].Reroute) }, "{end 0s} false"},
		"a party ends sooner":              {"law", 4, func(c *Config) string { return show(c.Law.Common, c.Law.Of("fra")) }, "{end 5m0s} {end 0s}"},
		"a party does not finish":          {"law", 5, func(c *Config) string { return show(c.Law.Common, c.Law.Of("fra")) }, "{end 0s} {end 5m0s}"},
		"nothing is destroyed sooner":      {"retention", 1, func(c *Config) string { return show(len(c.Retention), c.Retention[2].Keep, c.Retention[2].Binding) }, "3 7y true"},
		"what is kept longer is":           {"retention", 3, func(c *Config) string { return show(c.Retention[0].Keep, c.Retention[2].Keep, c.Retention[2].Binding) }, "8y 7y true"},
		"the other name server is not one": {"dns", 1, func(c *Config) string { return show(c.File.DNS.Servers) }, "[127.0.0.53:53]"},
		"nor beside it":                    {"dns", 2, func(c *Config) string { return show(c.File.DNS.Servers) }, "[127.0.0.53:53]"},
		"a shorter clock runs":             {"gate", 1, func(c *Config) string { return show(c.Gate.ApproveIn) }, (20 * time.Minute).String()},
		"a longer one does not":            {"gate", 2, func(c *Config) string { return show(c.Gate.ApproveIn) }, (30 * time.Minute).String()},
		"nobody gets a role":               {"anna", 1, func(c *Config) string { return show(c.People[0].Roles) }, "[ciso]"},
		"nor another token":                {"token", 1, func(c *Config) string { return show(c.File.People[0].Token.Env) }, "T1"},
		"eve is nobody, and ben is back":   {"ben", 1, func(c *Config) string { return c.File.People[2].ID }, "ben"},
		"who is needed is back":            {"ben", 2, func(c *Config) string { return c.File.People[2].ID }, "ben"},
		"a channel as it was":              {"notify", 1, func(c *Config) string { return c.File.Notify[0].URL }, "http://127.0.0.1:9/a"},
		"who is told is told":              {"notify", 2, func(c *Config) string { return c.File.Notify[0].URL }, "http://127.0.0.1:9/a"},
		"nobody else is":                   {"notify", 3, func(c *Config) string { return show(len(c.File.Notify)) }, "1"},
		"a log that fails refuses calls":   {"failure", 1, func(c *Config) string { return c.Log.OnLogFailure }, "refuse"},
		"the accepted allow-list judges":   {"policy", 1, func(c *Config) string { return show(c.Policy.Allow, c.Bound.Policy.Allow) }, "[aws:eu-central-1 aws:eu-north-1] []"},
	} {
		next := ruledConfig(t, dir, func(part string, _ int) int {
			if part == x.part {
				return x.choice
			}
			return 0
		})
		run, err := next.Within(accepted, testSeal, kept)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := x.of(run); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

// What was accepted and cannot be read any more refuses what waits: without it, less would be contradicted.
func TestWithinAFileThatIsGone(t *testing.T) {
	dir := proofFiles(t)
	first := ruledConfig(t, dir, func(string, int) int { return 0 })
	next := ruledConfig(t, dir, func(part string, _ int) int {
		if part == "evidence" {
			return 1
		}
		return 0
	})
	if err := os.Remove(filepath.Join(dir, "feed.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Within(sealed(t, first), testSeal, nil); err == nil || !strings.Contains(err.Error(), "what people accepted cannot be run with the rest of the file") || !strings.Contains(err.Error(), "feed.csv") {
		t.Errorf("%v", err)
	}
}

// Whatever the section of evidence says is a part of the charter, also what a later version adds to it.
func TestAllOfEvidenceStandsInTheCharter(t *testing.T) {
	plain := func(p string) string { return "/" + p }
	whole := Evidence{Feeds: []Feed{{Kind: "geofeed", File: "a", Digest: "AB", RPKI: &RPKI{Anchors: []string{"t"}, Certificates: []string{"c"}, Revocations: []string{"l"}}}}, RIR: []string{"r"}, Sights: []string{"s"}, OnContradiction: OnContradiction{Weak: "hold"}}
	c, err := whole.charter(plain)
	if err != nil || len(c.Sources) != 3 || c.Weak != "hold" || c.Rest != "" {
		t.Fatalf("%+v, %v", c, err)
	}
	back, err := section(c)
	if err != nil || len(back.Feeds) != 1 || fmt.Sprint(*back.Feeds[0].RPKI) != "{[/t] [/c] [/l]}" {
		t.Fatalf("%+v, %v", back, err)
	}
	if back.Feeds[0].RPKI = nil; fmt.Sprint(*back) != "{[{geofeed /a  ab <nil>}] [/r] [/s] {hold}}" {
		t.Errorf("%+v", back)
	}
	if _, err := section(charter.Evidence{Sources: []charter.Source{{Use: "dowsing", Says: "x"}}}); err == nil || !strings.Contains(err.Error(), "dowsing") {
		t.Errorf("%v", err)
	}
	if _, err := section(charter.Evidence{Sources: []charter.Source{{Use: "feed", Says: "- x"}}}); err == nil {
		t.Error("a feed that does not read is taken")
	}
	none, err := (*Evidence)(nil).charter(plain)
	if empty, _ := (&Evidence{}).charter(plain); err != nil || none.Weak != "alert" || fmt.Sprint(none) != fmt.Sprint(empty) {
		t.Errorf("%+v and %+v, %v", none, empty, err)
	}
}
