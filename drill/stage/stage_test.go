package stage

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
)

// production is one of the examples with the files that it names, as it runs somewhere.
func production(t *testing.T, name string, change ...string) *configs.Config {
	t.Helper()
	dir := t.TempDir()
	ca, err := carrier.NewCA()
	if err == nil {
		err = ca.Furnish("../../configs/examples", dir, "sbc.bank.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := configs.Parse(file, []byte(strings.NewReplacer(change...).Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, c *configs.Config) (*Stage, *vnet.Network) {
	t.Helper()
	net := vnet.New(1)
	s, err := Open(Config{From: c, Net: net.Host(netip.MustParseAddr("192.0.2.1")), Dir: t.TempDir(), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, net
}

var address = regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+\b`)

// From each example comes a sandbox with the same parties, of which the law says the same, and which names no address, secret or file of production.
func TestASandboxComesOutOfEachExample(t *testing.T) {
	list, err := filepath.Glob("../../configs/examples/*.yaml")
	if err != nil || len(list) < 8 {
		t.Fatalf("%d examples, %v", len(list), err)
	}
	for _, file := range list {
		t.Run(filepath.Base(file), func(t *testing.T) {
			was := production(t, filepath.Base(file))
			s, _ := open(t, was)
			text, err := os.ReadFile(filepath.Join(s.dir, fileConfig))
			if err != nil {
				t.Fatal(err)
			}
			spoken := regexp.MustCompile(`(?m)^ +(- )?name: .*$`).ReplaceAllString(string(text), "") // members are called as in production
			for _, a := range address.FindAllString(spoken, -1) {
				if !s.Ground().Contains(netip.MustParseAddr(a)) {
					t.Errorf("%s is no address of the sandbox", a)
				}
			}
			for _, secret := range []string{"{env:", "env: ", "tokens/", "edge.crt", "LEI"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("%q stands in it", secret)
				}
			}
			members(t, was, s.Config)
			if s.Config.File.Tenant.OrgID != was.File.Tenant.OrgID+Mark || s.Config.File.Node.Name != was.File.Node.Name+Mark || !s.Config.API.Off {
				t.Errorf("%+v %+v", s.Config.File.Tenant, s.Config.File.Node)
			}
			for i, p := range was.People {
				if is := s.Config.People[i]; is.ID != p.ID || !slices.Equal(is.Roles, p.Roles) || is.Name != "" {
					t.Errorf("%+v is no stand-in for %s", is, p.ID)
				}
			}
		})
	}
}

// members holds that each member of production has a stand-in of its name, transport and rank.
func members(t *testing.T, was, is *configs.Config) {
	t.Helper()
	for i, w := range was.Watched {
		for j, m := range w.Members {
			got := is.Watched[i].Members[j]
			if got.Name != m.Name || got.Priority != m.Priority || m.Transport != "" && got.Transport != m.Transport {
				t.Errorf("%s: %+v stands for %+v", w.Party, got, m)
			}
		}
		if len(is.Watched[i].Members) == 0 {
			t.Errorf("%s has no stand-in", w.Party)
		}
	}
}

// What an address of production is judged like, its stand-in is: where nothing is declared, too, and where a shared range is.
func TestAStandInIsJudgedLikeItsPlace(t *testing.T) {
	s, _ := open(t, production(t, "teams-direct-routing.yaml"))
	snap, err := s.Config.Snapshot(1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for party, want := range map[string]sovereign.Verdict{"carrier": sovereign.Permit, "teams-eu": sovereign.Permit, "teams-us": sovereign.Hold, "teams-asia": sovereign.Deny} {
		for _, plane := range []sovereign.Plane{sovereign.Signalling, sovereign.Media} {
			r := snap.Judge(sovereign.Ask{Party: party, Plane: plane, Addr: s.Peers(party)[0].Addr(), At: time.Now()})
			if r.Verdict != want {
				t.Errorf("the stand-in of %s is %s: %s", party, r.Verdict, r.Why)
			}
		}
	}
	if s.Net.Party(s.Peers("teams-us")[0].Addr().Addr()) != "teams-us" || len(s.Net.Parties()) != 4 {
		t.Errorf("%v", s.Net.Parties())
	}
}

func TestWhatASandboxIsNotLikeIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		example string
		change  []string
		want    string
	}{
		"registers":  {"genesys-byoc-premises.yaml", nil, "edges-ham: registers with production"},
		"dtls":       {"two-groups.yaml", []string{"    media: {security: plain}\n  - name: zrh", "    media: {security: dtls}\n  - name: zrh"}, "fra: DTLS-SRTP"},
		"channels":   {"two-groups.yaml", []string{"\napi:", "\nnotify: [{name: duty, type: webhook, url: \"https://hooks.example\", secret: {env: HOOK}, kinds: [failover.*]}]\napi:"}, "notify: each channel"},
		"collectors": {"two-groups.yaml", []string{"\napi:", "\nhep: {address: \"127.10.0.9:9060\"}\napi:"}, "hep, spans"},
		"inventory":  {"two-groups.yaml", []string{"\napi:", "\ninventory: [{name: crm, kind: crm, host: 127.10.0.9, port: 443, region: aws:eu-central-1, contract: c}]\napi:"}, "inventory: "},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, production(t, c.example, c.change...))
			if !slices.ContainsFunc(s.Differs, func(d string) bool { return strings.HasPrefix(d, c.want) }) {
				t.Errorf("%q is not among %q", c.want, s.Differs)
			}
			if name == "channels" && (len(s.Config.Channels) != 1 || s.Config.Channels[0].Name != "duty" || s.Config.Channels[0].URL != "" || s.Config.Channels[0].Kinds[0] != "failover.*") {
				t.Errorf("%+v", s.Config.Channels)
			}
		})
	}
}

// Whatever production has beside the examples, a sandbox comes out of it, and names no file of production.
func TestASandboxComesOutOfMore(t *testing.T) {
	const trunk = "    trusted: true\n"
	dns := []string{"\napi:", "\ndns: {servers: [\"127.10.0.53:53\"]}\napi:"}
	for name, change := range map[string][]string{
		"roots of a party by UDP":    {trunk, trunk + "    tls: {roots_file: carrier-roots.pem}\n"},
		"an identity toward it":      {trunk, trunk + "    tls: {cert_file: edge.crt, key_file: edge.key}\n"},
		"what it must prove":         {trunk, trunk + "    challenge: {realm: r, users: [{user: u, password: {file: tokens/anna}}]}\n"},
		"what we prove to it":        {trunk, trunk + "    auth: {user: u, password: {file: tokens/anna}}\n    register: {aor: \"sip:u@carrier.example\"}\n"},
		"an address of IPv6":         {"127.20.0.0/16", "\"fd00:20::/32\"", "127.20.0.10", "\"fd00:20::10\"", "{transport: udp, address: \"127.5.0.10:0\"}", "{transport: udp, address: \"127.5.0.10:0\"}\n  - {transport: tcp, address: \"[::1]:0\"}"},
		"media elsewhere":            {"members: [{host: 127.20.0.10, transport: tcp}]\n    media: {security: plain}", "members: [{host: 127.20.0.10, transport: tcp}]\n    media: {security: plain, address: 127.5.0.11, prefixes: [127.20.0.0/16]}"},
		"a prefix in a prefix":       {"127.20.0.0/16", "127.10.128.0/17", "127.20.0.10", "127.10.128.10"},
		"media apart, calls kept":    {"\napi:", "\nrestart: {calls: keep}\nmedia: {inprocess: false}\napi:"},
		"two of a host":              append(dns, "{host: 127.20.0.10, transport: tcp}", "{name: a, host: sbc.example, port: 5060, transport: tcp}, {name: b, host: sbc.example, port: 5070, transport: udp}"),
		"a name without a transport": append(dns, "{host: 127.20.0.10, transport: tcp}", "{host: sbc.example}"),
		"a name with a dot":          append(dns, "{host: 127.20.0.10, transport: tcp}", "{host: SBC.Example., port: 5060, transport: tcp}"),
		"two parties of a name":      append(dns, "{host: 127.20.0.10, transport: tcp}", "{host: sbc.example, port: 5060, transport: tcp}", "{host: 127.10.0.10, transport: tcp}", "{host: sbc.example, port: 5060, transport: tcp}"),
	} {
		t.Run(name, func(t *testing.T) {
			was := production(t, "two-groups.yaml", change...)
			s, _ := open(t, was)
			text, err := os.ReadFile(filepath.Join(s.dir, fileConfig))
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"tokens/", "edge.crt", "carrier-roots", "keep"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("%q stands in it", secret)
				}
			}
			members(t, was, s.Config)
		})
	}
}

func TestWhatIsNoSandboxIsRefused(t *testing.T) {
	waiting, gone := production(t, "two-groups.yaml"), production(t, "genesys-two-sites.yaml")
	waiting.Bound = &charter.Charter{}
	if err := os.Remove(filepath.Join(filepath.Dir(gone.Name), "genesys-two-sites.numbers.csv")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from *configs.Config
		want string
	}{
		"a wider policy waits": {waiting, "waits for people"},
		"no ground":            {production(t, "two-groups.yaml", "places:", "places:\n  - {prefix: 127.0.0.0/8, region: aws:eu-central-1, contract: all}"), "uses every piece"},
		"a file that is gone":  {gone, "genesys-two-sites.numbers.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			net := vnet.New(1)
			_, err := Open(Config{From: c.from, Net: net.Host(netip.MustParseAddr("192.0.2.1")), Dir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if left := net.Open(); len(left) != 0 {
				t.Errorf("left open: %v", left)
			}
		})
	}
}

// The wall holds whatever is asked of it, and what leaves is counted by whom it is for.
func TestNothingLeavesTheGround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, net := open(t, production(t, "two-groups.yaml"))
		defer s.Close()
		net.Tap(func(p vnet.Packet) {
			if !s.Ground().Contains(p.To.Addr()) || !s.Ground().Contains(p.From.Addr()) {
				t.Errorf("%s from %s to %s", p.Kind, p.From, p.To)
			}
		})
		c, err := s.Net.ListenUDP(netip.MustParseAddrPort("0.0.0.0:0"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fra := s.Peers("fra")[0].Addr()
		sink, err := s.beyond.ListenUDP(fra) // its peer speaks TCP
		if err != nil {
			t.Fatal(err)
		}
		defer sink.Close()
		for range 3 {
			if _, err := c.WriteToUDPAddrPort([]byte("x"), fra); err != nil {
				t.Fatal(err)
			}
		}
		for i, to := range []string{"192.0.2.7:5060", "127.10.0.10:5060", "127.0.0.1:53", "[::1]:5060", "[::ffff:203.0.113.1]:5060"} {
			a := netip.MustParseAddrPort(to)
			if _, err := c.WriteToUDPAddrPort([]byte("x"), a); !errors.Is(err, ErrOutside) {
				t.Errorf("a datagram to %s: %v", to, err)
			}
			if _, err := s.Net.DialTCP(t.Context(), netip.Addr{}, a); !errors.Is(err, ErrOutside) {
				t.Errorf("a stream to %s: %v", to, err)
			}
			if times, last := s.Net.Outside(); times != 2*(i+1) || last != a {
				t.Errorf("%d times, %s", times, last)
			}
		}
		for _, at := range []string{"127.0.0.1:0", "192.0.2.1:0"} {
			if _, err := s.Net.ListenUDP(netip.MustParseAddrPort(at)); !errors.Is(err, ErrOutside) {
				t.Errorf("bound to %s: %v", at, err)
			}
			if _, err := s.Net.ListenTCP(netip.MustParseAddrPort(at)); !errors.Is(err, ErrOutside) {
				t.Errorf("bound to %s: %v", at, err)
			}
		}
		if fra, zrh, none := s.Net.Count("fra"), s.Net.Count("zrh"), s.Net.Count("nowhere"); fra != 3 || zrh != 0 || none != 0 {
			t.Errorf("%d to fra, %d to zrh, %d to nowhere", fra, zrh, none)
		}
	})
}

// Stand-ins answer by the transports and names of production.
func TestStandInsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, production(t, "genesys-two-sites.yaml"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		carrier, site := s.Peers("carrier")[0], s.Peers("site-fra")[0]
		if status, err := carrier.Options(ctx, carrier.Addr()); err != nil || status != 200 {
			t.Errorf("%d, %v", status, err)
		}
		if status, err := site.Options(ctx, site.Addr()); err == nil {
			t.Errorf("%d: its certificate is not for %s", status, s.Addr())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
