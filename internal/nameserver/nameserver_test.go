package nameserver

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/internal/background"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/miekg/dns"
)

// The resolver of the node finds by RFC 3263 what the zone says, in each of the ways that a member may be written.
func TestTheResolverFindsWhatTheZoneSays(t *testing.T) {
	s, err := New(osnet.Net{}, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	s.Set([]Record{
		{Name: "Sip.Bank.example", Addr: netip.MustParseAddr("192.0.2.7")},
		{Name: "sip.bank.example.", Addr: netip.MustParseAddr("2001:db8::7")},
		{Name: "_sips._tcp.sip.bank.example", Target: "sip.bank.example", Port: 7061},
		{Name: "_sip._udp.udp.bank.example", Target: "sip.bank.example", Port: 7060},
	})
	background.Run(t, s.Run)
	r, err := resolve.New(resolve.Config{
		Servers: []netip.AddrPort{s.Addr()}, Timeout: time.Second, MinTTL: time.Second, MaxTTL: time.Minute,
		Judge: func(sovereign.Ask) sovereign.Ruling { return sovereign.Ruling{Verdict: sovereign.Permit} },
		Dial: func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, to.String())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    resolve.Query
		want []string // "": no such name
	}{
		{resolve.Query{Host: "sip.bank.example", Transport: "tls"}, []string{"192.0.2.7:7061", "[2001:db8::7]:7061"}},
		{resolve.Query{Host: "sip.bank.example"}, []string{"192.0.2.7:7061", "[2001:db8::7]:7061"}},
		{resolve.Query{Host: "sip.bank.example", Port: 5080, Transport: "tcp"}, []string{"192.0.2.7:5080", "[2001:db8::7]:5080"}},
		{resolve.Query{Host: "udp.bank.example", Transport: "udp"}, []string{"192.0.2.7:7060", "[2001:db8::7]:7060"}},
		{resolve.Query{Host: "elsewhere.example", Transport: "udp"}, nil},
		{resolve.Query{Host: "udp.bank.example", Port: 5060, Transport: "udp"}, nil},
	} {
		res, err := r.Locate(t.Context(), c.q)
		var got []string
		for _, l := range res.Located {
			got = append(got, l.Addr.String())
		}
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%+v: %v, %v; want %v", c.q, got, err, c.want)
		}
	}
	if s.Asked() == 0 {
		t.Error("nothing was asked")
	}
}

func TestOnlyQuestionsAreAnswered(t *testing.T) {
	s := &Server{}
	s.Set([]Record{{Name: "a.example", Addr: netip.MustParseAddr("192.0.2.1")}, {Name: "_sip._udp.b.example", Target: "a.example", Port: 5060}})
	question := func(name string, qtype uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, qtype) }
	two := question("a.example.", dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	for what, c := range map[string]struct {
		q       *dns.Msg
		rcode   int // -1: no answer
		answers int
	}{
		"an address":            {question("A.eXample.", dns.TypeA), dns.RcodeSuccess, 1},
		"nothing of that type":  {question("a.example.", dns.TypeAAAA), dns.RcodeSuccess, 0},
		"a name with one below": {question("b.example.", dns.TypeA), dns.RcodeSuccess, 0},
		"no such name":          {question("c.example.", dns.TypeA), dns.RcodeNameError, 0},
		"two questions":         {two, -1, 0},
		"an answer":             {new(dns.Msg).SetReply(question("a.example.", dns.TypeA)), -1, 0},
	} {
		b, err := c.q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		switch got := s.reply(b); {
		case c.rcode < 0 && got != nil:
			t.Errorf("%s was answered", what)
		case c.rcode < 0:
		case m.Unpack(got) != nil || m.Rcode != c.rcode || len(m.Answer) != c.answers || m.Id != c.q.Id:
			t.Errorf("%s: %v", what, &m)
		case len(m.Answer) > 0 && m.Answer[0].Header().Name != c.q.Question[0].Name:
			t.Errorf("%s: of %s", what, m.Answer[0].Header().Name)
		}
	}
}

func FuzzReply(f *testing.F) {
	q := new(dns.Msg).SetQuestion("_sip._udp.a.example.", dns.TypeSRV)
	q.SetEdns0(1232, true)
	for _, m := range []*dns.Msg{q, new(dns.Msg).SetQuestion("a.example.", dns.TypeA)} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := &Server{}
	var many []Record
	for range 100 { // more than one datagram holds
		many = append(many, Record{Name: "_sip._udp.a.example", Target: strings.Repeat("x", 40) + ".example", Port: 5060})
	}
	s.Set(append(many, Record{Name: "a.example", Addr: netip.MustParseAddr("192.0.2.1")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := s.reply(b)
		if len(out) > largest {
			t.Errorf("an answer of %d octets", len(out))
		}
		var m dns.Msg
		if out != nil && (m.Unpack(out) != nil || !m.Response) {
			t.Errorf("no answer: %x", out)
		}
	})
}
