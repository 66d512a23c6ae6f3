package cordon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/inventory"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/miekg/dns"
)

// zone is a name server in the virtual network whose answers change.
type zone struct {
	mu    sync.Mutex
	names map[string][]string
}

func (z *zone) set(name string, addrs ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[name+"."] = addrs
}

// serve answers questions for A until the socket is closed.
func (z *zone) serve(c sovereign.UDPConn) {
	b := make([]byte, 2000)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		var q, a dns.Msg
		if q.Unpack(b[:n]) != nil || len(q.Question) != 1 {
			continue
		}
		a.SetReply(&q)
		z.mu.Lock()
		for _, addr := range z.names[q.Question[0].Name] {
			if q.Question[0].Qtype == dns.TypeA {
				a.Answer = append(a.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.ParseIP(addr)})
			}
		}
		z.mu.Unlock()
		if out, err := a.Pack(); err == nil {
			_, _ = c.WriteToUDPAddrPort(out, from)
		}
	}
}

// issued makes a certificate of its own for a name.
func issued(t *testing.T, name string) (pair tls.Certificate, pemText []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of " + name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// outsideWorld is what surrounds a node with an inventory: a name server, and endpoints that show certificates.
type outsideWorld struct {
	*placed
	zone  zone
	syns  map[string]*atomic.Int64
	pair  atomic.Pointer[tls.Certificate]
	calls sync.WaitGroup
	ends  []io.Closer
}

const outsideConfig = `dns: {servers: ["10.1.0.53:53"]}
evidence: {rir: [arin]%s}
inventory:
  - name: crm
    kind: crm
    url: https://crm.bank.example/app
    region: aws:eu-central-1
    contract: annex 7
    provider: {name: CRM Ltd, lei_or_euid: 5493001KJTIIGC8Y1R12, parent: CRM Holdings, parent_country: US, support_countries: [DE, IN]}
    watch: {interval: 1m, roots_file: roots.pem}
  - {name: cdn, kind: cdn, host: cdn.bank.example, countries: [DE], anycast: true, contract: annex 8, watch: {interval: 1m}}
`

// inOutside runs f beside a node in Frankfurt whose inventory has a CRM there and a CDN.
func inOutside(t *testing.T, more string, f func(o *outsideWorld)) {
	t.Helper()
	pair, roots := issued(t, "crm.bank.example")
	files := map[string]string{"roots.pem": string(roots), "arin": "arin|US|ipv4|198.51.100.0|256|20100101|allocated|x\n"}
	inPlaces(t, ", region: aws:eu-central-1", files, fmt.Sprintf(outsideConfig, more), func(p *placed) {
		o := &outsideWorld{placed: p, zone: zone{names: map[string][]string{}}, syns: map[string]*atomic.Int64{}}
		o.pair.Store(&pair)
		for _, a := range []string{"10.2.0.1", "10.20.0.80", "198.51.100.7"} {
			o.syns[a] = &atomic.Int64{}
			o.listen(netip.MustParseAddr(a))
		}
		p.net.Tap(func(pk vnet.Packet) {
			if n := o.syns[pk.To.Addr().String()]; n != nil {
				n.Add(1)
			}
		})
		o.zone.set("crm.bank.example", "10.2.0.1")
		o.zone.set("cdn.bank.example", "10.2.0.1")
		c, err := p.net.Host(netip.MustParseAddr("10.1.0.53")).ListenUDP(netip.MustParseAddrPort("10.1.0.53:53"))
		if err != nil {
			t.Fatal(err)
		}
		o.ends = append(o.ends, c)
		o.calls.Go(func() { o.zone.serve(c) })
		time.Sleep(time.Minute)
		f(o)
		for _, e := range o.ends {
			e.Close()
		}
		o.calls.Wait()
	})
}

func (o *outsideWorld) listen(a netip.Addr) {
	l, err := o.net.Host(a).ListenTCP(netip.AddrPortFrom(a, 443))
	if err != nil {
		o.t.Fatal(err)
	}
	o.ends = append(o.ends, l)
	o.calls.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			o.calls.Go(func() {
				defer raw.Close()
				c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{*o.pair.Load()}})
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				if c.Handshake() == nil {
					if n, err := c.Read(make([]byte, 1)); n > 0 {
						o.t.Errorf("somebody said something: %v", err)
					}
				}
			})
		}
	})
}

func (o *outsideWorld) entry(name string) admin.Endpoint {
	o.t.Helper()
	i := slices.IndexFunc(o.node.inventory.views(), func(e admin.Endpoint) bool { return e.Name == name })
	if i < 0 {
		o.t.Fatalf("no entry %s", name)
	}
	return o.node.inventory.views()[i]
}

// judged are the findings about an entry, in short.
func (o *outsideWorld) judged(name string) (out []string) {
	for _, ev := range entriesOf[audit.InventoryJudged](o.placed) {
		if ev.Entry == name {
			out = append(out, ev.Before+">"+ev.Verdict+" "+ev.Ground)
		}
	}
	return out
}

// A CRM is where it was declared, shows its certificate, and then its name leads abroad: that is named and told, and nothing goes to the new address.
func TestAnEndpointThatMovesAbroadIsToldAndNotContacted(t *testing.T) {
	inOutside(t, "", func(o *outsideWorld) {
		v := o.entry("crm")
		if s := v.State; s.Verdict != inventory.Permit || len(s.Answers) != 1 || s.Answers[0].TLS == nil || !s.Answers[0].TLS.Trusted || s.Answers[0].Prefix != "10.0.0.0/12" {
			t.Errorf("%+v", v)
		}
		if v.Reach == nil || v.Reach.Code != "US" || v.Reach.Standing == "in_eea" || len(v.Support) != 2 || v.Support[1].Standing != "no_adequacy" || v.Countries[0].Standing != "in_eea" {
			t.Errorf("parent and support: %+v %+v", v.Reach, v.Support)
		}
		before := o.syns["10.2.0.1"].Load()
		o.zone.set("crm.bank.example", "198.51.100.7")
		time.Sleep(5 * time.Minute)
		if n := o.syns["198.51.100.7"].Load(); n != 0 {
			t.Errorf("%d packets went abroad", n)
		}
		if n := o.syns["10.2.0.1"].Load() - before; n > 20 { // the look that was nearest
			t.Errorf("%d packets still went to the old place", n)
		}
		if got := o.judged("crm"); strings.Join(got, ", ") != "unknown>permit in_eea, permit>deny address_undeclared" {
			t.Errorf("told: %q", got)
		}
		var drift []string
		for _, ev := range entriesOf[audit.PlaceDrifted](o.placed) {
			drift = append(drift, ev.Party+" "+ev.What+" "+ev.Subject+": "+strings.Join(ev.Before, " ")+" > "+strings.Join(ev.After, " "))
		}
		if strings.Join(drift, "\n") != "crm prefix crm.bank.example: 10.0.0.0/12 aws:eu-central-1 > none (198.51.100.0/24)" {
			t.Errorf("drift: %q", drift)
		}
		against := entriesOf[audit.PlaceContradicted](o.placed)
		if len(against) != 1 || against[0].Party != "crm" || against[0].Standing != "doubted" || !strings.Contains(against[0].Why, "registered in US") {
			t.Errorf("what speaks against it: %+v", against)
		}
		o.remembers()
		o.zone.set("crm.bank.example", "10.2.0.1", "10.20.0.80")
		time.Sleep(3 * time.Minute)
		if got := o.judged("crm"); got[len(got)-1] != "deny>hold not_where_declared" {
			t.Errorf("in Dublin, which the policy permits and the contract does not name: %q", got)
		}
		if n := o.syns["10.20.0.80"].Load(); n != 0 {
			t.Errorf("%d packets went to a place that its contract does not name", n)
		}
	})
}

// remembers reads what the next run would begin with.
func (o *outsideWorld) remembers() {
	o.t.Helper()
	found := false
	err := each(context.Background(), o.node.kv, outsidePrefix, func(s inventory.State) {
		if s.Entry == "crm" {
			found = s.Verdict == inventory.Deny && s.Told != "" && len(s.Answers) == 1 && s.Answers[0].Addr.String() == "198.51.100.7:443"
		}
	})
	if err != nil || !found {
		o.t.Errorf("the state has not what was seen: %v", err)
	}
}

// Anycast is never permitted, declared or found: the same address that the CRM is permitted at.
func TestAnycastIsUnprovableAndNeverContacted(t *testing.T) {
	inOutside(t, "", func(o *outsideWorld) {
		if v := o.entry("cdn"); v.State.Verdict != inventory.Unprovable || v.State.Ground != inventory.GroundAnycast || v.State.Answers[0].TLS != nil {
			t.Errorf("declared: %+v", v.State)
		}
		if !o.judge("10.2.0.1:443", sovereign.Production).Permitted() {
			t.Error("what somebody's name server says of an anycast name closed an address that the policy permits")
		}
	})
	feed := `, feeds: [{kind: provider_feed, provider: aws, file: aws.json}]`
	pair, roots := issued(t, "crm.bank.example")
	_ = pair
	files := map[string]string{
		"roots.pem": string(roots), "arin": "arin|US|ipv4|198.51.100.0|256|20100101|allocated|x\n",
		"aws.json": `{"prefixes":[{"ip_prefix":"10.2.0.0/16","network_border_group":"GLOBAL"}]}`,
	}
	inPlaces(t, "", files, strings.ReplaceAll(fmt.Sprintf(outsideConfig, feed), "url: https://crm.bank.example/app", "host: 10.2.0.1"), func(p *placed) {
		var syns atomic.Int64
		p.net.Tap(func(pk vnet.Packet) {
			if pk.To.Addr().String() == "10.2.0.1" {
				syns.Add(1)
			}
		})
		time.Sleep(3 * time.Minute)
		_, states := p.node.inventory.List()
		if s := states[0]; s.Verdict != inventory.Unprovable || s.Ground != inventory.GroundSeveral || !strings.Contains(s.Why, "of no one region of aws") || syns.Load() != 0 {
			t.Errorf("found: %+v, %d packets", s, syns.Load())
		}
	})
}

// Another certificate at the same name is told of once, and so is one that the roots do not vouch for.
func TestAnotherIdentityOfAnEndpointIsTold(t *testing.T) {
	inOutside(t, "", func(o *outsideWorld) {
		first := o.entry("crm").State.Answers[0].TLS
		pair, _ := issued(t, "crm.bank.example")
		o.pair.Store(&pair)
		time.Sleep(5 * time.Minute)
		now := o.entry("crm").State.Answers[0].TLS
		if now.SPKI == first.SPKI || now.Trusted || now.Why == "" || o.entry("crm").State.Verdict != inventory.Permit {
			t.Errorf("%+v", now)
		}
		told := entriesOf[audit.PlaceDrifted](o.placed)
		if len(told) != 1 || told[0].What != driftIdentity || told[0].Subject != "crm.bank.example" || told[0].Before[0] != first.Word() || told[0].After[0] != now.Word() {
			t.Errorf("%+v", told)
		}
	})
}

// A cut takes effect on what is watched, too, at once: nothing goes there any more, and when it is back the look goes on.
func TestTheFenceClosesWhatIsWatched(t *testing.T) {
	inOutside(t, "", func(o *outsideWorld) {
		o.node.policy.contradict([]sovereign.Contradiction{{Addr: netip.MustParseAddr("10.2.0.1"), Kind: "test", Why: "it is said"}})
		time.Sleep(2 * time.Second)
		if s := o.entry("crm").State; s.Verdict != inventory.Hold || s.Ground != string(sovereign.GroundContradicted) {
			t.Errorf("%s %s: %s", s.Verdict, s.Ground, s.Why)
		}
		before := o.syns["10.2.0.1"].Load()
		time.Sleep(5 * time.Minute)
		if n := o.syns["10.2.0.1"].Load(); n != before {
			t.Errorf("%d packets went to what is held", n-before)
		}
	})
}
