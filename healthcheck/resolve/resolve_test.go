package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/miekg/dns"
)

// zone answers questions from records in zone-file form. It is the far end of all tests, over real sockets or none.
type zone struct {
	mu     sync.Mutex
	rrs    []dns.RR
	rcode  map[string]int                   // by name: SERVFAIL and the like
	mangle func(q *dns.Msg, reply *dns.Msg) // last word
	asked  []string
}

func newZone(t testing.TB, records ...string) *zone {
	t.Helper()
	z := &zone{rcode: map[string]int{}}
	z.set(t, records...)
	return z
}

func (z *zone) set(t testing.TB, records ...string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	z.rrs = nil
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		z.rrs = append(z.rrs, rr)
	}
}

// reply behaves like a recursive server: it follows aliases inside its zone and adds the SOA to negative answers.
func (z *zone) reply(q *dns.Msg) *dns.Msg {
	z.mu.Lock()
	defer z.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	name, qtype := q.Question[0].Name, q.Question[0].Qtype
	z.asked = append(z.asked, dns.TypeToString[qtype]+" "+name)
	if rc, ok := z.rcode[name]; ok {
		m.Rcode = rc
	} else {
		z.answer(m, name, qtype)
	}
	if z.mangle != nil {
		z.mangle(q, m)
	}
	return m
}

func (z *zone) answer(m *dns.Msg, name string, qtype uint16) {
	for range 20 {
		exists, alias := false, ""
		for _, rr := range z.rrs {
			h := rr.Header()
			if h.Rrtype == dns.TypeSOA {
				continue
			}
			if strings.EqualFold(h.Name, name) {
				exists = true
				if h.Rrtype == qtype {
					m.Answer = append(m.Answer, rr)
				} else if c, ok := rr.(*dns.CNAME); ok {
					m.Answer, alias = append(m.Answer, rr), c.Target
				}
			}
		}
		if alias == "" || qtype == dns.TypeCNAME {
			if !exists {
				m.Rcode = dns.RcodeNameError
			}
			break
		}
		name = alias
	}
	if len(m.Answer) == 0 || m.Answer[len(m.Answer)-1].Header().Rrtype != qtype {
		for _, rr := range z.rrs {
			if rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(rr.Header().Name, name) {
				m.Ns = append(m.Ns, rr)
			}
		}
	}
}

func (z *zone) questions() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.asked)
}

// Exchange makes the zone an Exchanger without any transport.
func (z *zone) Exchange(ctx context.Context, msg []byte, _ netip.AddrPort) ([]byte, error) {
	var q dns.Msg
	if err := q.Unpack(msg); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(10 * time.Millisecond):
	}
	return z.reply(&q).Pack()
}

// verdicts of the tests: 198.51.100.0/24 is held, 203.0.113.0/24 is denied, the rest permitted.
func judge(a sovereign.Ask) sovereign.Ruling {
	r := sovereign.Ruling{Verdict: sovereign.Permit, Country: "DE"}
	switch {
	case netip.MustParsePrefix("198.51.100.0/24").Contains(a.Addr.Addr()):
		r.Verdict, r.Country = sovereign.Hold, "US"
	case netip.MustParsePrefix("203.0.113.0/24").Contains(a.Addr.Addr()):
		r.Verdict, r.Country = sovereign.Deny, "RU"
	}
	if a.Party == "" || a.Plane != sovereign.Signalling || !a.Addr.IsValid() || a.At.IsZero() {
		r = sovereign.Ruling{}
	}
	return r
}

var loopback = netip.MustParseAddrPort("127.0.0.1:53")

func resolver(t testing.TB, c Config) *Resolver {
	t.Helper()
	c.Judge = judge
	if c.Servers == nil {
		c.Servers = []netip.AddrPort{loopback}
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// words writes an answer as "tls 192.0.2.1:5061 10/60 permit".
func words(a Answer) []string {
	var out []string
	for _, l := range a.Located {
		v := map[sovereign.Verdict]string{sovereign.Permit: "permit", sovereign.Hold: "hold", sovereign.Deny: "deny"}[l.Ruling.Verdict]
		out = append(out, fmt.Sprintf("%s %s %d/%d %s", l.Transport, l.Addr, l.Priority, l.Weight, v))
	}
	return out
}

const soa = "example. 300 IN SOA ns.example. host.example. 1 2 3 4 60"

// Conforms: RFC 3263 section 4
func TestRFC3263(t *testing.T) {
	full := []string{
		soa,
		`sip.example. 300 IN NAPTR 20 50 "s" "SIP+D2U" "" _sip._udp.sip.example.`,
		`sip.example. 300 IN NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.sip.example.`,
		`sip.example. 300 IN NAPTR 1 50 "s" "SIP+D2S" "" _sip._sctp.sip.example.`,
		`sip.example. 300 IN NAPTR 2 50 "u" "E2U+sip" "!^.*$!sip:a@evil.example!" .`,
		"_sips._tcp.sip.example. 120 IN SRV 20 0 5071 b.sip.example.",
		"_sips._tcp.sip.example. 120 IN SRV 10 60 5061 a.sip.example.",
		"_sips._tcp.sip.example. 120 IN SRV 10 40 5061 c.sip.example.",
		"_sip._udp.sip.example. 120 IN SRV 0 0 5060 a.sip.example.",
		"a.sip.example. 90 IN A 192.0.2.1",
		"a.sip.example. 90 IN A 198.51.100.1",
		"b.sip.example. 80 IN A 203.0.113.9",
		"b.sip.example. 80 IN AAAA 2001:db8::b",
		"c.sip.example. 70 IN A 192.0.2.3",
		"sip.example. 60 IN A 192.0.2.99",
	}
	for _, tc := range []struct {
		name    string
		records []string
		q       Query
		want    []string
		err     string
	}{
		{"naptr, srv, a: every answer kept, judged, in order", full, Query{Host: "sip.example"}, []string{
			"tls 192.0.2.1:5061 10/60 permit", "tls 198.51.100.1:5061 10/60 hold", "tls 192.0.2.3:5061 10/40 permit",
			"tls 203.0.113.9:5071 20/0 deny", "tls [2001:db8::b]:5071 20/0 permit",
		}, ""},
		{"a transport asks SRV at once", full, Query{Host: "SIP.Example.", Transport: "udp"}, []string{"udp 192.0.2.1:5060 0/0 permit", "udp 198.51.100.1:5060 0/0 hold"}, ""},
		{"a port asks addresses at once", full, Query{Host: "sip.example", Port: 5070, Transport: "tcp"}, []string{"tcp 192.0.2.99:5070 0/0 permit"}, ""},
		{"a port without transport is UDP", full, Query{Host: "sip.example", Port: 5070}, []string{"udp 192.0.2.99:5070 0/0 permit"}, ""},
		{"no srv for the transport: addresses with its port", full, Query{Host: "a.sip.example", Transport: "tls"}, []string{"tls 192.0.2.1:5061 0/0 permit", "tls 198.51.100.1:5061 0/0 hold"}, ""},
		{"nothing but addresses", full, Query{Host: "c.sip.example"}, []string{"udp 192.0.2.3:5060 0/0 permit"}, ""},
		{"no naptr: the best protected service that exists", []string{
			soa, "_sip._tcp.x.example. 60 IN SRV 0 0 5060 h.example.", "_sip._udp.x.example. 60 IN SRV 0 0 5060 h.example.", "h.example. 60 IN A 192.0.2.7", "x.example. 60 IN A 192.0.2.8",
		}, Query{Host: "x.example"}, []string{"tcp 192.0.2.7:5060 0/0 permit"}, ""},
		{"srv exists, its targets do not: no fall-through to A", []string{
			soa, "_sips._tcp.x.example. 60 IN SRV 0 0 5061 gone.example.", "x.example. 60 IN A 192.0.2.8",
		}, Query{Host: "x.example", Transport: "tls"}, nil, "no such name or address"},
		{"the service is declined", []string{soa, "_sips._tcp.x.example. 60 IN SRV 0 0 0 .", "x.example. 60 IN A 192.0.2.8"}, Query{Host: "x.example", Transport: "tls"}, nil, "declines the service"},
		{"naptr without its srv: no fall-through", []string{
			soa, `x.example. 60 IN NAPTR 1 1 "s" "SIPS+D2T" "" _sips._tcp.x.example.`, "x.example. 60 IN A 192.0.2.8", "_sip._udp.x.example. 60 IN SRV 0 0 5060 x.example.",
		}, Query{Host: "x.example"}, nil, "which has no SRV record"},
		{"aliases", []string{soa, "x.example. 60 IN CNAME y.example.", "y.example. 60 IN CNAME z.example.", "z.example. 60 IN A 192.0.2.4"}, Query{Host: "x.example", Port: 5060}, []string{"udp 192.0.2.4:5060 0/0 permit"}, ""},
		{"an alias loop", []string{soa, "x.example. 60 IN CNAME y.example.", "y.example. 60 IN CNAME x.example."}, Query{Host: "x.example", Port: 5060}, nil, "more than 8 aliases"},
		{"no such name", []string{soa}, Query{Host: "nobody.example"}, nil, "no such name or address"},
		{"one target of srv is missing", []string{
			soa, "_sip._udp.x.example. 60 IN SRV 1 0 5060 gone.example.", "_sip._udp.x.example. 60 IN SRV 2 0 5060 h.example.", "h.example. 60 IN A 192.0.2.7",
		}, Query{Host: "x.example", Transport: "udp"}, []string{"udp 192.0.2.7:5060 2/0 permit"}, ""},
		{"a mapped address is the address that it dials", []string{soa, "x.example. 60 IN AAAA ::ffff:203.0.113.1"}, Query{Host: "x.example", Port: 5060}, []string{"udp 203.0.113.1:5060 0/0 deny"}, ""},
		{"no address to call", []string{soa, "x.example. 60 IN A 0.0.0.0", "x.example. 60 IN A 224.0.0.1"}, Query{Host: "x.example", Port: 5060}, nil, "no such name or address"},
		{"literal", nil, Query{Host: "192.0.2.1", Transport: "tls"}, []string{"tls 192.0.2.1:5061 0/0 permit"}, ""},
		{"literal with port", nil, Query{Host: "198.51.100.7", Port: 5080, Transport: "udp"}, []string{"udp 198.51.100.7:5080 0/0 hold"}, ""},
		{"literal v6", nil, Query{Host: "[2001:db8::1]", Transport: "tcp"}, []string{"tcp [2001:db8::1]:5060 0/0 permit"}, ""},
		{"not a name", nil, Query{Host: "not a name"}, nil, "not a host name"},
		{"an empty label", nil, Query{Host: "a..example"}, nil, "not a domain name"},
		{"empty", nil, Query{Host: ""}, nil, "not a domain name"},
		{"a zone", nil, Query{Host: "fe80::1%eth0"}, nil, "not a host name"},
		{"another transport", nil, Query{Host: "x.example", Transport: "sctp"}, nil, "none of udp, tcp, tls"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZone(t, tc.records...)
				tc.q.Party = "p"
				a, err := resolver(t, Config{Exchange: z}).Locate(t.Context(), tc.q)
				if tc.err != "" {
					if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.HasPrefix(err.Error(), "resolve: ") {
						t.Fatalf("got %v %v, want %s", words(a), err, tc.err)
					}
					return
				}
				if err != nil || !slices.Equal(words(a), tc.want) {
					t.Fatalf("got %q %v\nwant %q\nasked %q", words(a), err, tc.want, z.questions())
				}
			})
		})
	}
}

// Conforms: RFC 3263 section 4.1
func TestNoQuestionForLiterals(t *testing.T) {
	z := newZone(t)
	r := resolver(t, Config{Exchange: z})
	if _, err := r.Locate(t.Context(), Query{Party: "p", Host: "192.0.2.1", Transport: "udp"}); err != nil {
		t.Fatal(err)
	}
	if a, err := r.Host(t.Context(), "192.0.2.1"); err != nil || len(a) != 1 {
		t.Fatal(a, err)
	}
	if q := z.questions(); len(q) != 0 {
		t.Fatal(q)
	}
}

func TestHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, soa, "x.example. 60 IN A 192.0.2.2", "x.example. 60 IN A 192.0.2.1", "_sip._udp.x.example. 60 IN SRV 0 0 5060 y.example.")
		a, err := resolver(t, Config{Exchange: z}).Host(t.Context(), "x.example")
		if err != nil || fmt.Sprint(a) != "[192.0.2.1 192.0.2.2]" {
			t.Fatal(a, err)
		}
		if _, err := resolver(t, Config{Exchange: z}).Host(t.Context(), "a b"); err == nil {
			t.Fatal("not a name, and no error")
		}
		if _, err := resolver(t, Config{Exchange: z}).Host(t.Context(), "none.example"); !errors.Is(err, ErrNoName) {
			t.Fatal(err)
		}
	})
}

// Conforms: RFC 3263 section 4
func TestExpiresWithTheSmallestTTL(t *testing.T) {
	for _, tc := range []struct {
		ttl  string
		want time.Duration
	}{{"40", 40 * time.Second}, {"1", 5 * time.Second}, {"86400", 60 * time.Second}, {"4294967295", 5 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			// The missing AAAA ends after 60 s by its SOA, which bounds the largest.
			z := newZone(t, soa, "_sip._udp.x.example. 3000 IN SRV 0 0 5060 h.example.", "h.example. "+tc.ttl+" IN A 192.0.2.7")
			a, err := resolver(t, Config{Exchange: z}).Locate(t.Context(), Query{Party: "p", Host: "x.example", Transport: "udp"})
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(a.Expires); left > tc.want || left < tc.want-100*time.Millisecond {
				t.Errorf("TTL %s expires in %v, want %v", tc.ttl, left, tc.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, soa, "x.example. 86400 IN A 192.0.2.7", "x.example. 86400 IN AAAA 2001:db8::7")
		a, err := resolver(t, Config{Exchange: z, MaxTTL: 10 * time.Minute}).Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060})
		if left := time.Until(a.Expires); err != nil || left > 10*time.Minute || left < 9*time.Minute {
			t.Error(left, err)
		}
	})
}

func TestCacheAndNegativeCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, soa, "x.example. 30 IN A 192.0.2.7", "x.example. 30 IN AAAA 2001:db8::7")
		r := resolver(t, Config{Exchange: z})
		ask := func(host string, questions int) {
			t.Helper()
			_, err := r.Locate(t.Context(), Query{Party: "p", Host: host, Port: 5060})
			if (host == "x.example") != (err == nil) {
				t.Fatal(err)
			}
			if got := len(z.questions()); got != questions {
				t.Fatalf("%d questions, want %d: %q", got, questions, z.questions())
			}
		}
		ask("x.example", 2)
		ask("x.example", 2)
		time.Sleep(29 * time.Second)
		ask("x.example", 2)
		time.Sleep(2 * time.Second)
		ask("x.example", 4)
		ask("none.example", 6)
		time.Sleep(59 * time.Second) // the SOA minimum is 60 s
		ask("none.example", 6)
		time.Sleep(2 * time.Second)
		ask("none.example", 8)
	})
}

func TestJudgedAnewFromTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, soa, "x.example. 300 IN A 192.0.2.7")
		verdict := sovereign.Permit
		r, err := New(Config{Servers: []netip.AddrPort{loopback}, Exchange: z, Judge: func(sovereign.Ask) sovereign.Ruling { return sovereign.Ruling{Verdict: verdict} }})
		if err != nil {
			t.Fatal(err)
		}
		for _, verdict = range []sovereign.Verdict{sovereign.Permit, sovereign.Deny, sovereign.Hold} {
			a, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060})
			if err != nil || a.Located[0].Ruling.Verdict != verdict {
				t.Fatal(a, err)
			}
		}
	})
}

// servers lets some servers fail.
type servers struct {
	zone   *zone
	mu     sync.Mutex
	silent map[netip.AddrPort]bool
	asked  []netip.AddrPort
}

func (s *servers) Exchange(ctx context.Context, msg []byte, server netip.AddrPort) ([]byte, error) {
	s.mu.Lock()
	s.asked = append(s.asked, server)
	silent := s.silent[server]
	s.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.zone.Exchange(ctx, msg, server)
}

func (s *servers) set(server string, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent[netip.MustParseAddrPort(server)] = silent
}

func TestServersAreAskedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{zone: newZone(t, soa, "x.example. 30 IN A 192.0.2.7"), silent: map[netip.AddrPort]bool{}}
		s.set("127.0.0.1:53", true)
		r := resolver(t, Config{Exchange: s, Servers: []netip.AddrPort{loopback, netip.MustParseAddrPort("127.0.0.2:53")}, Timeout: 700 * time.Millisecond})
		began := time.Now()
		if _, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*(700+10)*time.Millisecond {
			t.Fatalf("took %v: A and AAAA each wait once for the first server", took)
		}
		s.zone.mu.Lock()
		s.zone.rcode["y.example."] = dns.RcodeServerFailure
		s.zone.mu.Unlock()
		_, err := r.Locate(t.Context(), Query{Party: "p", Host: "y.example", Port: 5060})
		if !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrNoName) || !strings.Contains(err.Error(), "SERVFAIL") || !strings.Contains(err.Error(), "127.0.0.2:53") {
			t.Fatal(err)
		}
	})
}

func TestStaleAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{zone: newZone(t, soa, "x.example. 30 IN A 192.0.2.7", "x.example. 30 IN AAAA 2001:db8::7"), silent: map[netip.AddrPort]bool{}}
		r := resolver(t, Config{Exchange: s})
		q := Query{Party: "p", Host: "x.example", Port: 5060}
		if _, err := r.Locate(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		s.set("127.0.0.1:53", true)
		time.Sleep(time.Minute)
		a, err := r.Locate(t.Context(), q)
		if err != nil || !a.Stale || len(a.Located) != 2 || !a.Located[0].Ruling.Permitted() {
			t.Fatal(a, err)
		}
		if left := time.Until(a.Expires); left != 5*time.Second {
			t.Fatalf("stale answers expire in %v", left)
		}
		began := time.Now()
		if _, err := r.Locate(t.Context(), q); err != nil || time.Since(began) != 0 {
			t.Fatalf("the silent server was asked again at once: %v %v", time.Since(began), err)
		}
		time.Sleep(25 * time.Hour)
		if _, err := r.Locate(t.Context(), q); !errors.Is(err, ErrNoAnswer) {
			t.Fatal("a stale answer outlived its bound", err)
		}
		s.set("127.0.0.1:53", false)
		if a, err := r.Locate(t.Context(), q); err != nil || a.Stale {
			t.Fatal(a, err)
		}
	})
}

func TestIdenticalQuestionsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, soa, "x.example. 30 IN A 192.0.2.7")
		r := resolver(t, Config{Exchange: z})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if q := z.questions(); len(q) != 2 {
			t.Fatalf("%d questions: %q", len(q), q)
		}
	})
}

func TestAWaiterLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{zone: newZone(t, soa, "x.example. 30 IN A 192.0.2.7"), silent: map[netip.AddrPort]bool{loopback: true}}
		r := resolver(t, Config{Exchange: s, Timeout: time.Hour})
		q := Query{Party: "p", Host: "x.example", Port: 5060}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := r.Locate(short, q); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Fatal(err, time.Since(began))
		}
		synctest.Wait() // and with nobody waiting, the question itself is given up
		r.join.mu.Lock()
		defer r.join.mu.Unlock()
		if len(r.join.running) != 0 {
			t.Fatal("the question is still under way")
		}
	})
}

func TestADIsTrustedOnlyFromLoopback(t *testing.T) {
	for server, want := range map[string]bool{"127.0.0.1:53": true, "[::1]:53": true, "192.0.2.53:53": false} {
		synctest.Test(t, func(t *testing.T) {
			z := newZone(t, soa, "x.example. 30 IN A 192.0.2.7")
			z.mangle = func(q, m *dns.Msg) { m.AuthenticatedData = q.AuthenticatedData }
			r := resolver(t, Config{Exchange: z, Servers: []netip.AddrPort{netip.MustParseAddrPort(server)}})
			a, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060})
			if err != nil || a.Secure != want {
				t.Errorf("%s: secure %v, %v", server, a.Secure, err)
			}
			z.mangle = func(q, m *dns.Msg) { m.AuthenticatedData = q.Question[0].Qtype == dns.TypeA }
			if a, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Transport: "udp"}); err != nil || a.Secure {
				t.Errorf("one step without AD is enough to be insecure: %v %v", a.Secure, err)
			}
		})
	}
}

func TestRepliesThatAreRefused(t *testing.T) {
	evil, _ := dns.NewRR("evil.example. 300 IN A 203.0.113.66")
	for name, mangle := range map[string]func(q, m *dns.Msg){
		"another id":                func(_, m *dns.Msg) { m.Id++ },
		"another name":              func(_, m *dns.Msg) { m.Question[0].Name = "evil.example." },
		"another type":              func(_, m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT },
		"another class":             func(_, m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"no question":               func(_, m *dns.Msg) { m.Question = nil },
		"a question":                func(_, m *dns.Msg) { m.Response = false },
		"refused":                   func(_, m *dns.Msg) { m.Rcode = dns.RcodeRefused },
		"truncated over everything": func(_, m *dns.Msg) { m.Truncated = true },
		"records of another name": func(_, m *dns.Msg) {
			if len(m.Answer) > 0 {
				m.Answer = []dns.RR{evil}
			}
		},
		"addresses in the additional section": func(_, m *dns.Msg) { m.Answer, m.Extra = nil, append(m.Extra, evil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZone(t, soa, "x.example. 30 IN A 192.0.2.7")
				z.mangle = mangle
				a, err := resolver(t, Config{Exchange: z}).Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060})
				if err == nil {
					t.Fatal(words(a))
				}
			})
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := []string{soa}
		for i := range 60 {
			records = append(records, fmt.Sprintf("_sip._udp.x.example. 30 IN SRV %d 0 5060 h%d.example.", i, i))
			for j := range 40 {
				records = append(records, fmt.Sprintf("h%d.example. 30 IN A 10.%d.0.%d", i, i, j))
			}
		}
		z := newZone(t, records...)
		a, err := resolver(t, Config{Exchange: z}).Locate(t.Context(), Query{Party: "p", Host: "x.example", Transport: "udp"})
		if err != nil || len(a.Located) != maxLocated {
			t.Fatal(len(a.Located), err)
		}
		if n := len(z.questions()); n > maxQueries {
			t.Fatalf("%d questions", n)
		}
		if a.Located[0].Addr.Addr() != netip.MustParseAddr("10.0.0.0") || a.Located[maxLocated-1].Priority != 3 {
			t.Fatal(words(a))
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	c := cache{entries: map[question]entry{}}
	now := time.Now()
	for i := range maxEntries + 100 {
		c.put(question{name: fmt.Sprint(i)}, entry{expires: now.Add(time.Duration(i) * time.Second)}, now, time.Hour)
	}
	if len(c.entries) != maxEntries {
		t.Fatal(len(c.entries))
	}
	if _, ok := c.get(question{name: "0"}); ok {
		t.Fatal("the entry that ends first should have gone first")
	}
	c.put(question{name: "late"}, entry{expires: now.Add(48 * time.Hour)}, now.Add(24*time.Hour), time.Hour)
	if len(c.entries) != 1 {
		t.Fatal("what is too old to serve should have gone at once", len(c.entries))
	}
}

func TestConfigMistakes(t *testing.T) {
	z := newZone(t)
	good := Config{Judge: judge, Exchange: z}
	for want, change := range map[string]func(*Config){
		"every answer must be judged": func(c *Config) { c.Judge = nil },
		"neither Dial nor Exchange":   func(c *Config) { c.Exchange = nil },
		"not an address with a port":  func(c *Config) { c.Servers = []netip.AddrPort{{}} },
		"negative":                    func(c *Config) { c.Timeout = -1 },
		"larger than MaxTTL":          func(c *Config) { c.MinTTL = 2 * time.Hour },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	r, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example"}); !errors.Is(err, ErrNoAnswer) {
		t.Fatal("no server is configured", err)
	}
}

// serve runs the zone on real loopback sockets, UDP and TCP on one port.
func serve(t *testing.T, z *zone) netip.AddrPort {
	t.Helper()
	var pc net.PacketConn
	var l net.Listener
	for range 20 { // the port that UDP got may be taken for TCP
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if l, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: l}} {
		tcp := s.Listener != nil
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := z.reply(q)
			if !tcp {
				m.Truncate(512)
			}
			_ = w.WriteMsg(m)
		})
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-done
		})
	}
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// dialer counts what is dialled.
type dialer struct {
	mu   sync.Mutex
	nets []string
}

func (d *dialer) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	d.mu.Lock()
	d.nets = append(d.nets, network)
	d.mu.Unlock()
	var nd net.Dialer
	return nd.DialContext(ctx, network, to.String())
}

func TestOverSockets(t *testing.T) {
	z := newZone(t, soa, "x.example. 30 IN A 192.0.2.7")
	var d dialer
	r := resolver(t, Config{Servers: []netip.AddrPort{serve(t, z)}, Dial: d.dial, Timeout: 5 * time.Second})
	a, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060})
	if err != nil || len(a.Located) != 1 {
		t.Fatal(a, err)
	}
	if fmt.Sprint(d.nets) != "[udp udp]" {
		t.Fatal(d.nets)
	}
}

// Conforms: RFC 7766 section 5
func TestTCPAfterTruncation(t *testing.T) {
	records := []string{soa}
	for i := range 32 {
		records = append(records, fmt.Sprintf("_sip._udp.x.example. 30 IN SRV %d 0 5060 host-with-a-long-name-%d.example.", i, i))
	}
	records = append(records, "host-with-a-long-name-3.example. 30 IN A 192.0.2.3")
	var d dialer
	r := resolver(t, Config{Servers: []netip.AddrPort{serve(t, newZone(t, records...))}, Dial: d.dial, Timeout: 5 * time.Second})
	a, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Transport: "udp"})
	if err != nil || fmt.Sprint(words(a)) != "[udp 192.0.2.3:5060 3/0 permit]" {
		t.Fatal(words(a), err)
	}
	if d.nets[0] != "udp" || d.nets[1] != "tcp" {
		t.Fatal(d.nets)
	}
}

func TestForgedDatagramsArePassedOver(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := newZone(t, soa, "x.example. 30 IN A 192.0.2.7")
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var q dns.Msg
			if q.Unpack(buf[:n]) != nil {
				return
			}
			forged := z.reply(&q)
			forged.Id++
			forged.Answer = nil
			for _, b := range [][]byte{{1, 2, 3}, pack(forged), pack(z.reply(&q))} {
				_, _ = pc.WriteTo(b, from)
			}
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	var d dialer
	r := resolver(t, Config{Servers: []netip.AddrPort{netip.MustParseAddrPort(pc.LocalAddr().String())}, Dial: d.dial, Timeout: 5 * time.Second})
	a, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060})
	if err != nil || len(a.Located) != 1 {
		t.Fatal(a, err)
	}
}

func pack(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

func TestASilentServerTimesOutAndTheNextIsAsked(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	z := newZone(t, soa, "x.example. 30 IN A 192.0.2.7")
	var d dialer
	r := resolver(t, Config{Servers: []netip.AddrPort{netip.MustParseAddrPort(pc.LocalAddr().String()), serve(t, z)}, Dial: d.dial, Timeout: 300 * time.Millisecond})
	if a, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060}); err != nil || len(a.Located) != 1 {
		t.Fatal(a, err)
	}
}

func TestADialThatTheFenceRefuses(t *testing.T) {
	r := resolver(t, Config{Dial: func(context.Context, string, netip.AddrPort) (net.Conn, error) { return nil, sovereign.ErrFenced }})
	_, err := r.Locate(t.Context(), Query{Party: "p", Host: "x.example", Port: 5060})
	if !errors.Is(err, sovereign.ErrFenced) || !errors.Is(err, ErrNoAnswer) {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	q := question{"x.example.", dns.TypeA}
	z := newZone(f, soa, "x.example. 30 IN CNAME y.example.", "y.example. 30 IN A 192.0.2.7", "y.example. 30 IN A 192.0.2.8")
	for _, name := range []string{"x.example.", "y.example.", "none.example."} {
		var m dns.Msg
		m.SetQuestion(name, dns.TypeA)
		m.Id = 7
		f.Add(pack(z.reply(&m)))
	}
	f.Add([]byte{0, 7, 0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parse(b, q, 7)
		if err != nil {
			return
		}
		n := 0
		for _, c := range []bool{len(s.rrs) > 0, s.next != "", s.none} {
			if c {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("%d outcomes at once: %+v", n, s)
		}
		if s.ttl < 0 {
			t.Fatal(s.ttl)
		}
		for _, rr := range s.rrs {
			if rr.Header().Rrtype != q.qtype || rr.Header().Class != dns.ClassINET {
				t.Fatalf("%v was not asked for", rr)
			}
			if a, ok := addrOf(rr); ok && (!a.IsValid() || a.Is4In6()) {
				t.Fatal(a)
			}
		}
	})
}

func FuzzLocate(f *testing.F) {
	f.Add("sip.example", uint16(0), "", []byte("seed"))
	f.Add("192.0.2.1", uint16(5060), "udp", []byte{})
	f.Fuzz(func(t *testing.T, host string, port uint16, transport string, noise []byte) {
		x := exchangeFunc(func(_ context.Context, msg []byte, _ netip.AddrPort) ([]byte, error) {
			if len(noise)%2 == 0 {
				return append(slices.Clone(msg[:min(12, len(msg))]), noise...), nil
			}
			b := slices.Clone(msg)
			b[2] |= 0x80
			for i, n := range noise {
				if 6+i < 12 {
					b[6+i] = n
				}
			}
			return append(b, noise...), nil
		})
		a, err := resolver(t, Config{Exchange: x}).Locate(t.Context(), Query{Party: "p", Host: host, Port: port, Transport: transport})
		if err != nil {
			return
		}
		for _, l := range a.Located {
			if !l.Addr.IsValid() || l.Addr.Port() == 0 || l.Ruling.Country == "" {
				t.Fatalf("%+v", l)
			}
		}
	})
}

type exchangeFunc func(context.Context, []byte, netip.AddrPort) ([]byte, error)

func (f exchangeFunc) Exchange(ctx context.Context, msg []byte, s netip.AddrPort) ([]byte, error) {
	return f(ctx, msg, s)
}
