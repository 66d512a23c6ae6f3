package routing

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

const (
	up       = healthcheck.Up
	degraded = healthcheck.Degraded
	down     = healthcheck.Down
	unknown  = healthcheck.Unknown
)

// grantIAD is a grant for calls of carrier-de to iad.
func grantIAD(w *world) {
	w.grant("G1", 10, []string{"carrier-de"}, []string{"iad"}, []string{"aws:us-east-1"}, start, start.Add(4*time.Hour))
}

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(*world)
		req  func(*Request)
		hops string
		out  string
		held bool
	}{
		{
			name: "all is well",
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "the primary is down",
			set:  func(w *world) { w.health("fra", down) },
			hops: "zrh m1 auto_failover, sto m1 auto_failover",
			out:  "fra/m1/tls/203.0.113.2:5061 target_down, fra/m2/tls/203.0.113.3:5061 target_down, iad conditions_not_attested", held: true,
		},
		{
			name: "one target of the primary is down",
			set:  func(w *world) { w.status("fra", 0, down, 0) },
			hops: "fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "fra/m1/tls/203.0.113.2:5061 target_down, iad conditions_not_attested", held: true,
		},
		{
			name: "degraded comes after up inside a party, not across priorities",
			set:  func(w *world) { w.status("fra", 0, degraded, 0) },
			hops: "fra m2 primary, fra m1 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "everything lawful is down",
			set: func(w *world) {
				w.health("fra", down)
				w.health("zrh", down)
				w.health("sto", down)
			},
			out:  "fra/m1/tls/203.0.113.2:5061 target_down, fra/m2/tls/203.0.113.3:5061 target_down, zrh/m1/tls/203.0.113.18:5061 target_down, sto/m1/tls/203.0.113.34:5061 target_down, iad conditions_not_attested",
			held: true,
		},
		{
			name: "a grant opens exactly its scope, after what is permitted by itself, unknown health and all",
			set:  grantIAD,
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover, iad m1 gated_failover G1",
		},
		{
			name: "a grant for another trunk opens nothing",
			set:  grantIAD,
			req:  func(r *Request) { r.From = "carrier-ch" },
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "a grant without calls left opens nothing",
			set:  func(w *world) { grantIAD(w); w.gate.left["G1"] = 0 },
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "a grant that ended opens nothing",
			set:  grantIAD,
			req:  func(r *Request) { r.At = start.Add(4 * time.Hour) },
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "a grant that did not begin opens nothing",
			set:  grantIAD,
			req:  func(r *Request) { r.At = start.Add(-time.Second) },
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "a grant that the policy snapshot does not know yet opens nothing",
			set:  func(w *world) { s := w.snapshot; grantIAD(w); w.snapshot = s },
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "nothing is known yet: permitted parties are tried",
			set: func(w *world) {
				for _, p := range []string{"fra", "zrh", "sto"} {
					w.health(p, unknown)
				}
			},
			hops: "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "a party of unknown health comes after the known ones",
			set:  func(w *world) { w.health("fra", unknown) },
			hops: "zrh m1 auto_failover, sto m1 auto_failover, fra m1 primary, fra m2 primary",
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "an unknown target waits while another of its party is known",
			set:  func(w *world) { w.status("fra", 1, unknown, 0) },
			hops: "fra m1 primary, zrh m1 auto_failover, sto m1 auto_failover",
			out:  "fra/m2/tls/203.0.113.3:5061 health_unknown, iad conditions_not_attested", held: true,
		},
		{
			name: "an address outside every prefix is denied, whatever its party says",
			set:  func(w *world) { w.rules = rulesOf("bad 1", "fra 2"); w.health("bad", up) },
			hops: "fra m1 auto_failover, fra m2 auto_failover",
			out:  "bad/m1/tls/198.51.100.9:5061 address_undeclared", held: true,
		},
		{
			name: "a group homed in the US behind Frankfurt addresses is held",
			set:  func(w *world) { w.rules = rulesOf("split 1"); w.health("split", up) },
			out:  "split conditions_not_attested", held: true,
		},
		{
			name: "adequate but not allow-listed is held",
			set:  func(w *world) { w.rules = rulesOf("lon 1") },
			out:  "lon region_not_allow_listed", held: true,
		},
		{
			name: "capacity",
			set: func(w *world) {
				w.rules = rulesOf("fra 1")
				w.capacity = func(id string) bool { return !strings.HasPrefix(id, "fra/m1") }
			},
			hops: "fra m2 primary",
			out:  "fra/m1/tls/203.0.113.2:5061 target_at_capacity",
		},
		{
			name: "a party without any target",
			set:  func(w *world) { w.rules = rulesOf("fra 1", "zrh 2"); delete(w.table.ByParty, "fra") },
			hops: "zrh m1 auto_failover",
			out:  "fra no_target",
		},
		{
			name: "a member whose name does not resolve",
			set: func(w *world) {
				w.rules = rulesOf("fra 1")
				w.table.ByParty["fra"] = []healthcheck.Status{{Target: healthcheck.Target{Party: "fra", Member: "m1"}, Why: "no such name"}}
			},
			out: "fra/m1//invalid AddrPort no_target",
		},
		{
			name: "recording without a recorder",
			set:  func(w *world) { w.rules = rulesOf("fra 1"); w.rules.Routes[0].Recording = true },
			out:  "fra recorder_unavailable", held: true,
		},
		{
			name: "recording with a recorder for one party",
			set: func(w *world) {
				w.rules = rulesOf("fra 1", "zrh 2")
				w.rules.Routes[0].Recording = true
				w.recorder = func(p string) (bool, string) { return p == "zrh", "CH" }
			},
			hops: "zrh m1 auto_failover",
			out:  "fra recorder_unavailable", held: true,
		},
		{
			name: "the on-hold queue takes the call when nothing permitted is left",
			set: func(w *world) {
				w.rules = rulesOf("fra 1", "iad 2")
				w.rules.Routes[0].OnHold = OnHold{Queue: "queue"}
				w.health("fra", down)
			},
			hops: "queue m1 auto_failover",
			out:  "fra/m1/tls/203.0.113.2:5061 target_down, fra/m2/tls/203.0.113.3:5061 target_down, iad conditions_not_attested", held: true,
		},
		{
			name: "the on-hold queue must be permitted itself: no grant reaches it",
			set: func(w *world) {
				grantIAD(w)
				w.rules = rulesOf("fra 1")
				w.rules.OnHold = OnHold{Status: 603, Queue: "iad"}
				w.health("fra", down)
			},
			out: "fra/m1/tls/203.0.113.2:5061 target_down, fra/m2/tls/203.0.113.3:5061 target_down, iad conditions_not_attested", held: true,
		},
		{
			name: "a drill says so",
			set:  func(w *world) { w.rules = rulesOf("fra 1", "zrh 2") },
			req:  func(r *Request) { r.Purpose = sovereign.Drill },
			hops: "fra m1 drill, fra m2 drill, zrh m1 drill",
		},
		{
			name: "nobody becomes an emergency by saying so",
			set:  func(w *world) { w.rules = rulesOf("iad 1") },
			req:  func(r *Request) { r.Purpose = sovereign.EmergencyCall },
			out:  "iad conditions_not_attested", held: true,
		},
		{
			name: "outbound",
			req:  func(r *Request) { r.From = "fra" },
			hops: "carrier-de m1 primary, carrier-ch m1 auto_failover",
			out:  "carrier-us conditions_not_attested", held: true,
		},
		{
			name: "outbound under a grant of the trunk",
			set: func(w *world) {
				w.grant("G2", 1, []string{"carrier-us"}, []string{"fra"}, []string{"aws:us-east-1"}, start, start.Add(time.Hour))
			},
			req:  func(r *Request) { r.From = "fra" },
			hops: "carrier-de m1 primary, carrier-ch m1 auto_failover, carrier-us m1 gated_failover G2",
		},
		{
			name: "outbound of another group under the same grant",
			set: func(w *world) {
				w.grant("G2", 1, []string{"carrier-us"}, []string{"fra"}, []string{"aws:us-east-1"}, start, start.Add(time.Hour))
			},
			req:  func(r *Request) { r.From = "zrh" },
			hops: "carrier-de m1 primary, carrier-ch m1 auto_failover",
			out:  "carrier-us conditions_not_attested", held: true,
		},
		{name: "a stranger", req: func(r *Request) { r.From = "nobody" }},
		{
			name: "no table at all", set: func(w *world) { w.table = nil; w.rules = rulesOf("fra 1") },
			out: "fra no_target",
		},
		{name: "no snapshot denies all", set: func(w *world) { w.snapshot = nil; w.rules = rulesOf("fra 1") }, out: "fra no_policy_loaded", held: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.set != nil {
				tc.set(w)
			}
			req := call("carrier-de")
			if tc.req != nil {
				tc.req(&req)
			}
			r := w.router()
			p := r.Plan(req)
			if way(p) != tc.hops {
				t.Errorf("hops: %s\nwant: %s", way(p), tc.hops)
			}
			if out(p) != tc.out {
				t.Errorf("refused: %s\nwant: %s", out(p), tc.out)
			}
			if p.Held != tc.held {
				t.Errorf("held is %v", p.Held)
			}
			if p.Why == "" {
				t.Error("no reason in words")
			}
			for _, h := range p.Hops {
				if !h.Ruling.Permitted() || h.Ruling.Grant != h.Grant {
					t.Errorf("hop to %s rests on %+v", h.Party, h.Ruling)
				}
			}
			for _, f := range p.Refused {
				if f.Why == "" || f.Ground == "" {
					t.Errorf("%+v has no reason", f)
				}
			}
			if again := r.Plan(req); !reflect.DeepEqual(p, again) {
				t.Error("the same request on the same snapshots made another plan")
			}
		})
	}
}

func TestPlanFields(t *testing.T) {
	w := newWorld(t)
	p := w.router().Plan(call("carrier-de"))
	if p.Route != "main" || p.Direction != Inbound || p.Trunk != "carrier-de" || p.Group != "" || p.OnHold != (OnHold{Status: 403}) ||
		p.Digest != w.snapshot.PolicyDigest() || p.Generation != 1 || p.Purpose != sovereign.Production {
		t.Errorf("%+v", p)
	}
	h := p.Hops[0]
	if h.Within != 4*time.Second || h.URI != "+4969123456" || h.Ruling.Ground != sovereign.GroundInEEA {
		t.Errorf("%+v", h)
	}
	if zrh := p.Hops[2]; zrh.Ruling.Ground != sovereign.GroundAdequate || zrh.Ruling.Instrument != "2000/518/EC" {
		t.Errorf("%+v", zrh.Ruling)
	}
	if !strings.Contains(p.Why, "fra (primary, in_eea), then zrh (auto_failover, adequate)") || !strings.Contains(p.Why, "not iad (conditions_not_attested)") {
		t.Error(p.Why)
	}
	if p := w.router().Plan(call("fra")); p.Trunk != "" || p.Group != "fra" || p.Direction != Outbound || p.Hops[0].Within != 2*time.Second {
		t.Errorf("%+v", p)
	}
}

func TestActivePartyOrdersAndNamesTheReason(t *testing.T) {
	w := newWorld(t)
	w.rules = rulesOf("fra 1", "zrh 2", "iad 3")
	grantIAD(w)
	r := w.router()
	set := func(party string) {
		r.active.Store(&actives{routes: map[string]Active{"main": {Route: "main", Party: party}}})
	}
	for party, want := range map[string]string{
		"fra": "fra m1 primary, fra m2 primary, zrh m1 auto_failover, iad m1 gated_failover G1",
		"zrh": "zrh m1 auto_failover, fra m1 failback, fra m2 failback, iad m1 gated_failover G1",
		// A grant never comes before what is permitted by itself, not even when it is active.
		"iad":    "fra m1 failback, fra m2 failback, zrh m1 auto_failover, iad m1 gated_failover G1",
		"":       "fra m1 primary, fra m2 primary, zrh m1 auto_failover, iad m1 gated_failover G1",
		"nobody": "fra m1 primary, fra m2 primary, zrh m1 auto_failover, iad m1 gated_failover G1",
	} {
		set(party)
		if got := way(r.Plan(call("carrier-de"))); got != want {
			t.Errorf("active %q: %s\nwant %s", party, got, want)
		}
	}
	set("zrh")
	w.health("zrh", down) // whatever is active, a target that is down is no hop
	if got := way(r.Plan(call("carrier-de"))); !strings.HasPrefix(got, "fra m1 failback") {
		t.Error(got)
	}
}

func TestEmergency(t *testing.T) {
	for _, tc := range []struct {
		name, from, called, service string
		set                         func(*world)
		hops, uri, out              string
		held                        bool
	}{
		{name: "Frankfurt dials 112", from: "fra", called: "112", hops: "carrier-de m1 emergency", uri: "112"},
		{name: "Zurich dials 112", from: "zrh", called: "112", hops: "carrier-ch m1 emergency", uri: "112"},
		{name: "110 is German", from: "fra", called: "110", hops: "carrier-de m1 emergency", uri: "110"},
		{name: "110 is no Swiss number", from: "zrh", called: "110", hops: "carrier-de m1 primary, carrier-ch m1 auto_failover", uri: "110", out: "carrier-us conditions_not_attested", held: true},
		{name: "144 is Swiss", from: "zrh", called: "144", hops: "carrier-ch m1 emergency", uri: "144"},
		{name: "by URN", from: "fra", service: "urn:service:sos", hops: "carrier-de m1 emergency", uri: "112"},
		{name: "by URN, the police", from: "zrh", called: "urn:service:sos", service: "urn:service:sos.police", hops: "carrier-ch m1 emergency", uri: "112"},
		{name: "another service is none", from: "fra", called: "1", service: "urn:service:sosoli", hops: "carrier-de m1 primary, carrier-ch m1 auto_failover", uri: "1", out: "carrier-us conditions_not_attested", held: true},
		{name: "from a trunk of the country", from: "carrier-ch", called: "112", hops: "carrier-ch m1 emergency", uri: "112"},
		{
			name: "health never stops it", from: "fra", called: "112", set: func(w *world) { w.health("carrier-de", down) },
			hops: "carrier-de m1 emergency", uri: "112",
		},
		{
			name: "limits never stop it", from: "fra", called: "112", set: func(w *world) { w.capacity = func(string) bool { return false } },
			hops: "carrier-de m1 emergency", uri: "112",
		},
		{
			name: "recording never stops it", from: "fra", called: "112", set: func(w *world) { w.rules.Routes[1].Recording = true },
			hops: "carrier-de m1 emergency", uri: "112",
		},
		{
			name: "a held trunk is opened by the emergency row", from: "fra", called: "112",
			set: func(w *world) {
				w.snapshot = policy(t, w, "aws:eu-central-2")
			},
			hops: "carrier-de m1 emergency", uri: "112",
		},
		{
			name: "denied stays denied", from: "fra", called: "112",
			set: func(w *world) {
				w.table.ByParty["carrier-de"][0].Target.Addr = w.table.ByParty["bad"][0].Target.Addr
			},
			out: "carrier-de/m1/tls/198.51.100.9:5061 address_undeclared", held: true,
		},
		{
			name: "a country without a rule gets no other country's trunk", from: "sto", called: "112",
			out: " no_emergency_trunk",
		},
		{
			name: "an unknown country gets no trunk at all", from: "carrier-us", called: "118",
			out: " no_emergency_trunk",
		},
		{
			name: "Zurich's trunk does not take Frankfurt's 112 when Frankfurt's has no target", from: "fra", called: "112",
			set: func(w *world) { delete(w.table.ByParty, "carrier-de") },
			out: "carrier-de no_target",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.set != nil {
				tc.set(w)
			}
			req := Request{From: tc.from, Called: tc.called, Service: tc.service, At: start.Add(time.Minute)}
			p := w.router().Plan(req)
			if way(p) != tc.hops || out(p) != tc.out || p.Held != tc.held {
				t.Errorf("hops: %s, want %s\nrefused: %s, want %s\nheld %v, %s", way(p), tc.hops, out(p), tc.out, p.Held, p.Why)
			}
			for _, h := range p.Hops {
				if h.URI != tc.uri {
					t.Errorf("uri %q, want %q", h.URI, tc.uri)
				}
				if (p.Purpose == sovereign.EmergencyCall) != (h.Reason == ReasonEmergency) {
					t.Errorf("purpose %v with reason %v", p.Purpose, h.Reason)
				}
			}
			if strings.Contains(tc.out, string(GroundNoTrunk)) && p.Purpose != sovereign.EmergencyCall {
				t.Error("the receipt must say that it was an emergency call")
			}
		})
	}
}

// policy is w's snapshot with another allow-list.
func policy(t testing.TB, w *world, allow ...string) *sovereign.Snapshot {
	t.Helper()
	c := sovereign.SnapshotConfig{
		Policy: sovereign.Policy{Home: region(allow[0])}, Atlas: w.snapshot.Atlas(), Parties: w.snapshot.Parties(), Generation: w.snapshot.Generation() + 1,
		Grants: w.snapshot.Grants(),
	}
	for _, a := range allow {
		c.Policy.Allow = append(c.Policy.Allow, region(a))
	}
	s, err := sovereign.NewSnapshot(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEmergencyOrdersPermittedPlacesFirst(t *testing.T) {
	w := newWorld(t)
	de := w.table.ByParty["carrier-de"]
	held := de[0]
	held.Target.Member, held.Target.Addr = "m0", w.table.ByParty["lon"][0].Target.Addr
	sick := de[0]
	sick.Target.Member, sick.State = "m2", down
	w.table.ByParty["carrier-de"] = []healthcheck.Status{held, sick, de[0]}
	p := w.router().Plan(Request{From: "fra", Called: "112", At: start})
	if got := way(p); got != "carrier-de m1 emergency, carrier-de m2 emergency, carrier-de m0 emergency" {
		t.Fatal(got)
	}
	if g := p.Hops[2].Ruling.Ground; g != sovereign.GroundEmergency {
		t.Fatal(g)
	}
}

func TestSyntheticCallsNeverDialEmergencyNumbers(t *testing.T) {
	w := newWorld(t)
	r := w.router()
	for _, purpose := range []sovereign.Purpose{sovereign.Drill, sovereign.SyntheticProbe} {
		p := r.Plan(Request{From: "fra", Called: "112", Purpose: purpose, At: start})
		if len(p.Hops) != 0 || p.Purpose != purpose || out(p) != " synthetic_emergency" {
			t.Errorf("%+v", p)
		}
	}
}

func TestRouteMatch(t *testing.T) {
	w := newWorld(t)
	one := func(name string, from, prefix, domain []string) Route {
		return Route{Name: name, Direction: Inbound, From: from, Prefix: prefix, Domain: domain, To: choicesOf("fra 1")}
	}
	w.rules.Routes = []Route{
		one("any", nil, nil, nil),
		one("later", nil, nil, nil),
		one("de", nil, []string{"+49"}, nil),
		one("frankfurt", nil, []string{"+4930", "+4969"}, nil),
		one("swiss trunk", []string{"carrier-ch"}, nil, nil),
		one("domain", nil, nil, []string{"Other.Example"}),
		one("trunk and de", []string{"carrier-ch"}, []string{"+49"}, nil),
		{Name: "out", Direction: Outbound, Prefix: []string{"+496912345"}, To: choicesOf("carrier-de 1")},
	}
	r := w.router()
	for _, tc := range []struct{ from, called, domain, want string }{
		{"carrier-de", "+4969123456", "bank.example", "frankfurt"},
		{"carrier-ch", "+4969123456", "bank.example", "frankfurt"},
		{"carrier-de", "+4940123456", "", "de"},
		{"carrier-ch", "+4940123456", "", "trunk and de"},
		{"carrier-de", "+41441234567", "", "any"},
		{"carrier-ch", "+41441234567", "", "swiss trunk"},
		{"carrier-de", "alice", "other.example", "domain"},
		{"carrier-ch", "alice", "other.example", "swiss trunk"},
		{"fra", "+4969123456", "", "out"},
		{"fra", "+33", "", ""},
	} {
		p := r.Plan(Request{From: tc.from, Called: tc.called, Domain: tc.domain, At: start})
		if p.Route != tc.want {
			t.Errorf("%+v went by %q", tc, p.Route)
		}
		if tc.want == "" && (p.Held || len(p.Hops) > 0 || p.Why == "") {
			t.Errorf("%+v", p)
		}
	}
}

func TestWeightsAreShared(t *testing.T) {
	w := newWorld(t)
	w.rules = rulesOf("fra 1 70", "zrh 1 30", "sto 1 0", "lon 2")
	r := w.router()
	first := map[string]int{}
	last := map[string]int{}
	const calls = 4000
	for i := range calls {
		req := call("carrier-de")
		req.At = req.At.Add(time.Duration(i) * 7 * time.Millisecond)
		p := r.Plan(req)
		first[p.Hops[0].Party]++
		last[p.Hops[len(p.Hops)-1].Party]++
	}
	if share := float64(first["fra"]) / calls; math.Abs(share-0.7) > 0.03 {
		t.Errorf("fra got %.3f of the calls, want 0.7", share)
	}
	if first["sto"] != 0 || last["sto"] != calls {
		t.Errorf("weight 0 among weights comes last: %v %v", first, last)
	}
}

func TestTargetWeightsAreShared(t *testing.T) {
	w := newWorld(t)
	w.rules = rulesOf("fra 1")
	w.table.ByParty["fra"][0].Target.Weight = 10
	w.table.ByParty["fra"][1].Target.Weight = 30
	r := w.router()
	n := 0
	for i := range 4000 {
		req := call("carrier-de")
		req.Caller = fmt.Sprint(i)
		if r.Plan(req).Hops[0].Target.Member == "m2" {
			n++
		}
	}
	if share := float64(n) / 4000; math.Abs(share-0.75) > 0.03 {
		t.Errorf("m2 got %.3f, want 0.75", share)
	}
	w.table.ByParty["fra"][1].Target.Priority = 1
	if p := r.Plan(call("carrier-de")); way(p) != "fra m1 primary, fra m2 primary" {
		t.Error("priority comes before weight", way(p))
	}
}

func TestNearnessWithMargin(t *testing.T) {
	w := newWorld(t)
	w.rules = rulesOf("fra 1", "zrh 1", "sto 2")
	w.status("fra", 0, up, 20*time.Millisecond)
	w.status("fra", 1, up, 30*time.Millisecond)
	w.status("zrh", 0, up, 10*time.Millisecond)
	r := w.router()
	firstIs := func(want string) {
		t.Helper()
		r.measure(r.rules.Load())
		if got := way(r.Plan(call("carrier-de"))); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s first", got, want)
		}
	}
	firstIs("zrh m1 primary, fra m1 primary, fra m2 primary")
	w.status("fra", 0, up, 9*time.Millisecond) // 10 % faster: not enough to switch
	firstIs("zrh m1")
	w.status("fra", 0, up, 7*time.Millisecond)
	firstIs("fra m1")
	w.status("fra", 0, up, 11*time.Millisecond) // slower again, but not by the margin
	firstIs("fra m1")
	w.status("fra", 1, up, 10*time.Millisecond) // inside the party too
	firstIs("fra m1 primary, fra m2 primary, zrh")
	w.status("fra", 1, up, 8*time.Millisecond)
	firstIs("fra m2 primary, fra m1 primary, zrh")
	w.health("fra", down)
	firstIs("zrh m1")
	w.health("fra", degraded)
	firstIs("zrh m1") // health before nearness
}

func TestKeysReachTheJudgement(t *testing.T) {
	w := newWorld(t)
	parties := w.snapshot.Parties()
	for i := range parties {
		if parties[i].Name == "fra" {
			parties[i].MediaRegions, parties[i].MediaEvidence = []sovereign.Region{region("aws:us-east-1")}, "annex 2"
		}
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{Policy: w.snapshot.Policy(), Atlas: w.snapshot.Atlas(), Parties: parties, Generation: 2})
	if err != nil {
		t.Fatal(err)
	}
	w.snapshot = s
	p := w.router().Plan(call("carrier-de"))
	if got := way(p); got != "zrh m1 auto_failover, sto m1 auto_failover" {
		t.Fatal(got, "although the media of fra ends in the US")
	}
}

// TestPlanProperties plans random calls over random worlds and checks what must always hold.
func TestPlanProperties(t *testing.T) {
	n := 1500
	if testing.Short() {
		n = 300
	}
	for seed := range n {
		checkPlan(t, uint64(seed), 0x5eed)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Add(uint64(77), uint64(0))
	f.Fuzz(func(t *testing.T, a, b uint64) { checkPlan(t, a, b) })
}

func checkPlan(t *testing.T, a, b uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(a, b))
	w := newWorld(t)
	randomise(w, rnd)
	r := w.router()
	froms := []string{"carrier-de", "carrier-ch", "carrier-us", "fra", "zrh", "sto", "iad", "nobody"}
	called := []string{"+4969123456", "112", "110", "117", "144", "alice", "", "+1"}
	services := []string{"", "", "", "urn:service:sos", "urn:service:sos.fire"}
	req := Request{
		From: froms[rnd.IntN(len(froms))], Called: called[rnd.IntN(len(called))], Service: services[rnd.IntN(len(services))],
		At: start.Add(time.Duration(rnd.IntN(7200)) * time.Second), Keys: rnd.IntN(2) == 0, Purpose: sovereign.Purpose(rnd.IntN(4)),
	}
	p := r.Plan(req)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d,%d: %s\n%+v\n%s\n%s", a, b, fmt.Sprintf(format, args...), req, way(p), out(p))
	}
	if again := r.Plan(req); !reflect.DeepEqual(p, again) {
		fail("two plans differ")
	}
	if fresh := w.router().Plan(req); !reflect.DeepEqual(p.Hops, fresh.Hops) && len(r.Active()) == 0 {
		fail("a fresh router plans otherwise")
	}
	country := map[string]string{"carrier-de": "DE", "carrier-ch": "CH", "carrier-us": "", "fra": "DE", "zrh": "CH", "sto": "SE", "iad": "US"}[req.From]
	for _, h := range p.Hops {
		if !h.Ruling.Permitted() || !h.Target.Addr.IsValid() {
			fail("hop %s rests on %v", h.Party, h.Ruling.Verdict)
		}
		purpose := p.Purpose
		for _, plane := range []sovereign.Plane{sovereign.Signalling, sovereign.Media} {
			if v := w.snapshot.JudgeParty(h.Party, plane, purpose, req.At); !v.Permitted() {
				fail("hop to %s, which is %v on %v", h.Party, v.Verdict, plane)
			}
		}
		if _, ruling := sovereign.NewFence(w.snapshot, nil).Pass(sovereign.Ask{Party: h.Party, Plane: sovereign.Signalling, Purpose: purpose, Addr: h.Target.Addr, At: req.At}); !ruling.Permitted() {
			fail("the fence would refuse the hop to %s: %s", h.Target.Addr, ruling.Why)
		}
		bare := w.snapshot.WithGrants(nil).Judge(sovereign.Ask{Party: h.Party, Plane: sovereign.Signalling, Purpose: purpose, Addr: h.Target.Addr, At: req.At})
		if !bare.Permitted() && h.Grant == "" {
			fail("hop to held %s without a grant", h.Party)
		}
		if h.Grant != "" {
			checkGrant(fail, w, p, req, h)
		}
		if p.Purpose == sovereign.EmergencyCall {
			if w.rules.Trunks[h.Party].Country != country || country == "" {
				fail("an emergency call of %q left by %s", country, h.Party)
			}
		}
	}
	emergency := req.Called == "112" || strings.HasPrefix(req.Service, "urn:service:sos")
	if emergency && req.From != "nobody" && p.Purpose != sovereign.EmergencyCall && len(p.Hops) > 0 {
		fail("an emergency call was planned like any other")
	}
	for _, f := range p.Refused {
		if f.Ground == "" || f.Why == "" {
			fail("refused without a reason: %+v", f)
		}
		if !f.Ruling.Permitted() && !p.Held && f.Ground != GroundNoTrunk {
			fail("something is held or denied, but the plan does not say so")
		}
	}
}

func checkGrant(fail func(string, ...any), w *world, p Plan, req Request, h Hop) {
	for _, g := range w.gate.Grants() {
		if g.ID != h.Grant {
			continue
		}
		trunk, group := req.From, h.Party
		if p.Direction == Outbound {
			trunk, group = h.Party, req.From
		}
		if !slices.Contains(g.Scope.Trunks, trunk) || !slices.Contains(g.Scope.Groups, group) || req.At.Before(g.From) || !req.At.Before(g.Until) || w.gate.Left(g.ID) <= 0 {
			fail("grant %+v does not cover %s to %s", g, trunk, group)
		}
		return
	}
	fail("grant %q does not exist", h.Grant)
}

// randomise makes random routes, health, limits and grants.
func randomise(w *world, rnd *rand.Rand) {
	groups := []string{"fra", "zrh", "sto", "lon", "iad", "pdx", "bad", "split"}
	trunks := []string{"carrier-de", "carrier-ch", "carrier-us"}
	pick := func(list []string) []string {
		list = slices.Clone(list)
		rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:1+rnd.IntN(len(list))]
	}
	choices := func(list []string) []Choice {
		var out []Choice
		for _, p := range pick(list) {
			out = append(out, Choice{Party: p, Priority: rnd.IntN(3), Weight: rnd.IntN(3) * rnd.IntN(2) * 10})
		}
		return out
	}
	w.rules.Routes[0].To, w.rules.Routes[1].To = choices(groups), choices(trunks)
	if rnd.IntN(3) == 0 {
		w.rules.OnHold.Queue = groups[rnd.IntN(len(groups))]
	}
	for _, p := range append(groups, trunks...) {
		for i := range w.table.ByParty[p] {
			w.status(p, i, healthcheck.State(rnd.IntN(4)), time.Duration(rnd.IntN(40))*time.Millisecond)
		}
	}
	if rnd.IntN(3) == 0 {
		limit := rnd.IntN(2) == 0
		w.capacity = func(string) bool { return limit }
	}
	regions := []string{"aws:us-east-1", "aws:us-west-2", "aws:eu-west-2", "aws:eu-central-2"}
	for i := range rnd.IntN(4) {
		from := start.Add(time.Duration(rnd.IntN(3600)) * time.Second)
		w.grant(fmt.Sprint("G", i), rnd.IntN(3), pick(trunks), pick(groups), pick(regions), from, from.Add(time.Duration(rnd.IntN(3600))*time.Second))
	}
}

func BenchmarkPlan(b *testing.B) {
	w := newWorld(b)
	r := w.router()
	req := call("carrier-de")
	r.Plan(req)
	b.ReportAllocs()
	for b.Loop() {
		if p := r.Plan(req); len(p.Hops) != 4 {
			b.Fatal(p.Why)
		}
	}
}

func BenchmarkPlanParallel(b *testing.B) {
	w := newWorld(b)
	r := w.router()
	req := call("carrier-de")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Plan(req)
		}
	})
}
