package cordon_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

var update = flag.Bool("update", false, "write the golden files again")

// examples gives a folder with the examples and the certificates that they name.
func examples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca, err := carrier.NewCA()
	if err == nil {
		err = ca.Furnish("configs/examples", dir, "sbc.bank.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// example is one of them, read, with the law of a day.
type example struct {
	*testing.T
	*configs.Config
	snap *sovereign.Snapshot
}

var exampleDay = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func load(t *testing.T, name string) example {
	t.Helper()
	c, err := configs.Load(filepath.Join(examples(t), name))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := c.Snapshot(1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return example{t, c, snap}
}

// rules compares the verdict on calls to each party, signalling and media together.
func (x example) rules(want map[string]sovereign.Verdict) {
	x.Helper()
	for party, v := range want {
		got := x.snap.JudgeParty(party, 0, sovereign.Production, exampleDay)
		if got.Verdict != v {
			x.Errorf("%s: %s (%s), want %s", party, got.Verdict, got.Why, v)
		}
	}
}

// at is the verdict on one address of a party.
func (x example) at(party string, plane sovereign.Plane, addr string, want sovereign.Verdict) {
	x.Helper()
	r := x.snap.Judge(sovereign.Ask{Party: party, Plane: plane, Purpose: sovereign.Production, Addr: netip.MustParseAddrPort(addr), At: exampleDay})
	if r.Verdict != want {
		x.Errorf("%s at %s: %s (%s), want %s", party, addr, r.Verdict, r.Why, want)
	}
}

func (x example) profile(name string) sip.Party {
	x.Helper()
	i := slices.IndexFunc(x.Profiles, func(p sip.Party) bool { return p.Name == name })
	if i < 0 {
		x.Fatalf("no party %s", name)
	}
	return x.Profiles[i]
}

const (
	permit = sovereign.Permit
	hold   = sovereign.Hold
	deny   = sovereign.Deny
)

// The media prefixes of the platform prove no country: the media regions that a site is pinned to decide, and without them the strictest country of the prefix.
func TestExampleGenesysBYOCCloud(t *testing.T) {
	x := load(t, "genesys-byoc-cloud.yaml")
	x.rules(map[string]sovereign.Verdict{"genesys-fra": permit, "genesys-zrh": permit, "carrier": permit})
	x.at("genesys-fra", sovereign.Signalling, "127.10.0.1:5061", permit)
	x.at("genesys-fra", sovereign.Signalling, "127.99.0.1:5061", deny)
	for _, prefix := range []string{"52.129.96.7:30000", "169.150.104.7:30000", "167.234.48.7:30000", "136.245.64.7:30000"} {
		x.at("genesys-fra", sovereign.Media, prefix, permit)
		r := x.snap.Judge(sovereign.Ask{Party: "genesys-zrh", Plane: sovereign.Media, Purpose: sovereign.Production, Addr: netip.MustParseAddrPort(prefix), At: exampleDay})
		if r.Country != "CH" {
			t.Errorf("%s in Zurich: %+v", prefix, r)
		}
	}
	for _, name := range []string{"genesys-fra", "genesys-zrh"} {
		p := x.profile(name)
		if p.Leg.Security != media.SRTPRequired || !p.Keys || !strings.HasPrefix(p.TLS.ServerName, "voice.euc") || !slices.Contains(p.Headers, "X-Genesys-Conversation-ID") {
			t.Errorf("%+v", p)
		}
	}
	if c := x.profile("carrier").Leg.Codecs; c.Permits("opus") || !c.Permits("PCMA") || !c.Permits("telephone-event") {
		t.Errorf("%+v", c)
	}
}

// Without the export that pins the sites, an address in the shared prefixes may be anywhere that they are used.
func TestExampleGenesysWithoutPins(t *testing.T) {
	file := filepath.Join(examples(t), "genesys-byoc-cloud.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := configs.Parse(file, regexp.MustCompile(`(?m)^ +media_(regions|evidence): .*\n`).ReplaceAll(data, nil))
	if err != nil {
		t.Fatal(err)
	}
	x := example{t, c, nil}
	if x.snap, err = c.Snapshot(1, nil, nil); err != nil {
		t.Fatal(err)
	}
	x.at("genesys-fra", sovereign.Media, "52.129.96.7:30000", hold)
	x.at("genesys-fra", sovereign.Signalling, "127.10.0.1:5061", permit)
}

// One branch registers, with a password; the other edges are members.
func TestExampleGenesysBYOCPremises(t *testing.T) {
	x := load(t, "genesys-byoc-premises.yaml")
	x.rules(map[string]sovereign.Verdict{"edges-fra": permit, "edges-sto": permit, "edges-ham": permit})
	if p := x.profile("edges-ham"); !p.Registers || p.Challenge == nil || p.Challenge.Users["edge-4"] == nil || p.MaxCalls != 20 {
		t.Errorf("%+v", p)
	}
	if p := x.profile("edges-fra"); p.Registers || p.Challenge != nil {
		t.Errorf("%+v", p)
	}
	x.at("edges-ham", sovereign.Signalling, "127.33.4.5:5060", permit)
	x.at("edges-ham", sovereign.Signalling, "127.34.4.5:5060", deny)
}

// The order that is prescribed for Teams crosses continents, and check says so.
func TestExampleTeamsDirectRouting(t *testing.T) {
	x := load(t, "teams-direct-routing.yaml")
	x.rules(map[string]sovereign.Verdict{"teams-eu": permit, "teams-us": hold, "teams-asia": deny})
	x.at("teams-eu", sovereign.Signalling, "52.114.75.24:5061", hold) // in the shared range: the strictest country decides
	for _, name := range []string{"teams-eu", "teams-us", "teams-asia"} {
		if p := x.profile(name); p.Contact != "sbc.bank.example" || len(p.Peers) != 1 || p.TLS.Cert == nil || p.Leg.Security != media.SRTPRequired {
			t.Errorf("%+v", p)
		}
	}
	text, err := x.Explain(exampleDay)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`policy digest [0-9a-f]+`).ReplaceAllString(text, "policy digest ...")
	text = strings.ReplaceAll(text, filepath.Dir(x.Name)+"/", "")
	file := "configs/testdata/teams-direct-routing.golden"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// The number table says whose a number is, by day; the other site follows.
func TestExampleGenesysTwoSites(t *testing.T) {
	x := load(t, "genesys-two-sites.yaml")
	x.rules(map[string]sovereign.Verdict{"site-fra": permit, "site-zrh": permit})
	table := x.Rules.Routes[0].Table
	for number, want := range map[string][2]string{
		"+4969900123": {}, "+496990010123": {"site-fra", "site-fra"}, "+414430010123": {"site-zrh", "site-zrh"}, "+41613002500": {"site-fra", "site-zrh"},
	} {
		for i, at := range []time.Time{exampleDay, exampleDay.AddDate(0, 3, 0)} {
			if e, _ := table.Find(number, at); e.Party != want[i] {
				t.Errorf("%s at %s: %q, want %q", number, at.Format(time.DateOnly), e.Party, want[i])
			}
		}
	}
	if n := x.Rules.Trunks["carrier"].Numbers.Read("069 9001 0123"); n != "+496990010123" {
		t.Errorf("%q", n)
	}
}

// Where an organisation lives counts, not only where its edges stand.
func TestExampleGenesysTwoOrgs(t *testing.T) {
	x := load(t, "genesys-two-orgs.yaml")
	x.rules(map[string]sovereign.Verdict{"org-eu": permit, "org-us": hold})
	r := x.snap.JudgeParty("org-us", sovereign.Signalling, sovereign.Production, exampleDay)
	if !strings.Contains(r.Why, "home region aws:us-east-1") {
		t.Errorf("%s", r.Why)
	}
	if x.LegalBasis["org-us"] == "" {
		t.Error("a ticket would show no legal basis")
	}
}

func TestExampleGermanCarrier(t *testing.T) {
	x := load(t, "german-carrier.yaml")
	x.rules(map[string]sovereign.Verdict{"carrier": permit, "carrier-reg": permit, "pbx": permit})
	static, reg := x.profile("carrier"), x.profile("carrier-reg")
	if static.Register != nil || len(static.Peers) != 1 || static.Cross.Diversion != "history-info" || static.Fallback.On488 != "codecs" || !slices.Equal(static.Leg.Codecs.Prefer, []string{"G722", "PCMA"}) {
		t.Errorf("%+v", static)
	}
	if reg.Register == nil || !reg.Register.GIN || reg.Auth == nil || reg.Cross.Diversion != "diversion" || reg.Refresh != 15*time.Minute {
		t.Errorf("%+v", reg)
	}
	pbx, out := x.Rules.Groups["pbx"], x.Rules.Trunks
	for dialled, want := range map[string]string{"030 1234567": "+49301234567", "0044 20 7946 0018": "+442079460018", "3012345678": "+493012345678"} {
		if got := out["carrier"].Numbers.Write(pbx.Numbers.Read(dialled)); got != want {
			t.Errorf("%s becomes %s, want %s", dialled, got, want)
		}
	}
	for trunk, want := range map[string][2]string{"carrier": {"+496990010000", "+496990010012"}, "carrier-reg": {"+4921190010", "+4921190010"}} {
		for i, caller := range []string{"+33612345678", "+496990010012"} {
			if got, ok := out[trunk].Callers.Take(caller); !ok || got != want[i] {
				t.Errorf("%s over %s: %s, want %s", caller, trunk, got, want[i])
			}
		}
	}
	if e := x.Rules.Emergency; len(e) != 1 || e[0].Trunk != "carrier" || !slices.Contains(e[0].Numbers, "110") || !slices.Contains(e[0].Numbers, "112") {
		t.Errorf("%+v", e)
	}
	if l := x.File.Listeners[0]; l.Transport != "tls" || l.ClientCAFile == "" {
		t.Errorf("%+v", l)
	}
}

// A party for each edge location: the American one is held, and an answer of DNS that leads elsewhere is refused.
func TestExampleRegionalURIs(t *testing.T) {
	x := load(t, "regional-uris.yaml")
	x.rules(map[string]sovereign.Verdict{"dublin": permit, "frankfurt": permit, "ashburn": hold})
	x.at("dublin", sovereign.Signalling, "127.60.0.7:5061", permit)
	x.at("dublin", sovereign.Signalling, "127.62.0.7:5061", hold)
	x.at("dublin", sovereign.Media, "127.62.0.7:20000", hold)
	x.at("dublin", sovereign.Signalling, "203.0.113.7:5061", deny)
}

// guideBase is a configuration whose trunk takes further keys, and whose route another may replace.
const guideBase = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 127.1.0.0/16, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: tcp, address: "127.5.0.10:5060"}
trunks:
  - name: carrier
    region: aws:eu-central-1
    members: [{host: 127.1.0.10, transport: tls}]
KEYS
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 127.1.0.11, transport: tcp}], media: {security: plain}}
  - {name: zrh, region: aws:eu-central-1, members: [{host: 127.1.0.12, transport: tcp}], media: {security: plain}}
routes:
ROUTE
people:
  - {id: anna, roles: [ciso], token: {env: T1}}
  - {id: ben, roles: [business_owner], token: {env: T2}}
`

const guideRoute = "    - {name: in, direction: inbound, to: [{party: fra}]}\n"

// The guide to trunks shows keys of a party, or items of the list of routes, a block at a time; each block is taken as it stands, without a warning.
func TestTheBlocksOfTheTrunkGuideAreTaken(t *testing.T) {
	blocks := regexp.MustCompile(`(?m)^(?:    (?:[a-z_0-9]+:|-) .*\n)+`).FindAllString(page(t, "docs/guides/trunks.md"), -1)
	if len(blocks) < 15 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, b := range blocks {
		keys, route := b, guideRoute
		if strings.HasPrefix(b, "    -") {
			keys, route = "", b
		}
		c, err := configs.Parse("guide.yaml", []byte(strings.NewReplacer("KEYS\n", keys, "ROUTE\n", route).Replace(guideBase)))
		if err != nil {
			t.Errorf("%s%v", b, err)
			continue
		}
		for _, w := range c.Warnings {
			t.Errorf("%s%v", b, w)
		}
	}
	for _, file := range regexp.MustCompile(`configs/examples/[a-z.-]+`).FindAllString(page(t, "docs/guides/trunks.md"), -1) {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	examples, err := filepath.Glob("configs/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range examples {
		if !strings.Contains(page(t, "docs/guides/trunks.md"), file) {
			t.Errorf("the guide does not name %s", file)
		}
	}
}
