package configs

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/transport"
)

func TestGuard(t *testing.T) {
	base := readExample(t)
	for name, c := range map[string]struct{ general, party, want string }{
		"a short word":            {"scanners: [sip-hunter, ab]", "", "guard.scanners[1]"},
		"a negative limit":        {"connections: -1", "", "guard.connections"},
		"a small buffer":          {"buffered_per_source: 1KiB", "", "guard.buffered_per_source"},
		"no size":                 {"buffered_per_source: much", "", "guard.buffered_per_source"},
		"a minute too short":      {"first_message: 1s", "", "guard.first_message"},
		"pings too often":         {"ping_every: 1ms", "", "guard.ping_every"},
		"another word":            {"", "guard: {keepalive: maybe}", ".guard.keepalive"},
		"another word for oc":     {"", "guard: {overload_control: loss}", ".guard.overload_control"},
		"another word for others": {"", "guard: {scanners: deny}", ".guard.scanners"},
		"reuse without identity":  {"", `guard: {connection_reuse: "on"}`, ".guard.connection_reuse"},
		"connections below none":  {"", "guard: {connections: -2}", ".guard.connections"},
		"a negative rate":         {"", "max_cps: -1", ".max_cps"},
		"a rate that is none":     {"", "max_cps: .nan", ".max_cps"},
		"another way":             {"", "large_requests: tls", ".large_requests"},
		"an unknown key":          {"size: 1", "", "guard.size"},
	} {
		_, probs := Examine(base.name, base.with(c.general, c.party))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), c.want) }) {
			t.Errorf("%s: no word of %s in %v", name, c.want, probs)
		}
	}
	cfg, err := Parse(base.name, base.with("scanners: [' SIP-Hunter ']\n  connections_per_source: 9\n  connections: 99\n  buffered_per_source: 1MiB\n  first_message: 2m\n  ping_every: 40s",
		`max_cps: 2.5
    large_requests: tcp
    peers: [sip.carrier.example]
    guard: {scanners: allow, overload_control: "on", connection_reuse: "on", keepalive: strict, connections: 5}`))
	if err != nil {
		t.Fatal(err)
	}
	if g := cfg.Guard; g.Scanners[0] != "sip-hunter" || g.ConnsPerSource != 9 || g.Conns != 99 || g.Buffered != 1<<20 || g.First != Duration(2*time.Minute) || g.Every != Duration(40*time.Second) {
		t.Errorf("%+v", g)
	}
	p := cfg.Profiles[0]
	if want := (sip.Guard{Scanners: true, Overload: true, Reuse: true, Keepalive: transport.KeepStrict, Conns: 5}); p.Guard != want || p.MaxCPS != 2.5 || !p.LargeByTCP {
		t.Errorf("%+v, %v and %v", p.Guard, p.MaxCPS, p.LargeByTCP)
	}
	if cfg, err = Parse(base.name, base.with("", "")); err != nil || cfg.Profiles[0].Guard != (sip.Guard{}) || cfg.Profiles[0].LargeByTCP || cfg.Guard.Buffered != 0 {
		t.Errorf("without a word: %+v, %v", cfg.Profiles[0].Guard, err)
	}
}

// example is a configuration with a place for general and for party lines.
type example struct {
	name string
	text string
}

func readExample(t *testing.T) example {
	t.Helper()
	c, err := Load("examples/two-groups.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return example{c.Name, textOf(t, c.Name)}
}

func (e example) with(general, party string) []byte {
	out := e.text
	if general != "" {
		out += "\nguard:\n  " + general + "\n"
	}
	if party != "" {
		at := strings.Index(out, "trunks:\n")
		name := at + strings.Index(out[at:], "- name:")
		end := name + strings.Index(out[name:], "\n")
		out = out[:end] + "\n    " + party + out[end:]
	}
	return []byte(out)
}

func textOf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
