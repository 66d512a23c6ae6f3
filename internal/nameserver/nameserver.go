// Package nameserver is a name server in one process: it answers questions from the records that it was given, over a datagram socket. It stands for the name servers of
// an operator where those must not be asked: in the sandbox of a drill and in tests. What it does not know does not exist.
//
// It imports sovereign for the type of a UDP socket, and miekg/dns for the format.
package nameserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/miekg/dns"
)

// Net is the network that the server listens on.
type Net interface {
	ListenUDP(addr netip.AddrPort) (sovereign.UDPConn, error)
}

// Record is an address of a name, or where its service is found.
type Record struct {
	Name   string     // with or without the last dot, in any case
	Addr   netip.Addr // A or AAAA; not valid: SRV
	Target string     // SRV (RFC 2782), with Port
	Port   uint16
}

// TTL of every record in seconds: changes are seen soon.
const TTL = 5

// largest is the size of an answer in octets that needs no fragments (the DNS flag day of 2020), and what a client without EDNS may be sent (RFC 1035 section 4.2.1).
const (
	largest = 1232
	classic = 512
)

// Server answers for a set of records. Safe for concurrent use.
type Server struct {
	conn sovereign.UDPConn
	addr netip.AddrPort

	mu    sync.Mutex
	zone  map[string][]dns.RR // by canonical name
	asked int
}

// New binds the socket, so that Addr is known, and answers nothing yet. Port 0 picks one.
func New(n Net, at netip.AddrPort) (*Server, error) {
	conn, err := n.ListenUDP(at)
	if err != nil {
		return nil, fmt.Errorf("nameserver: %w", err)
	}
	s := &Server{conn: conn}
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		s.addr = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	}
	return s, nil
}

// Addr is where it is asked.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Asked is how many questions it has answered.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Set replaces all records.
func (s *Server) Set(records []Record) {
	zone := map[string][]dns.RR{}
	for _, r := range records {
		name := dns.CanonicalName(r.Name)
		h := dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: TTL}
		var rr dns.RR
		switch {
		case r.Addr.Unmap().Is4():
			h.Rrtype = dns.TypeA
			rr = &dns.A{Hdr: h, A: r.Addr.Unmap().AsSlice()}
		case r.Addr.IsValid():
			h.Rrtype = dns.TypeAAAA
			rr = &dns.AAAA{Hdr: h, AAAA: r.Addr.AsSlice()}
		default:
			h.Rrtype = dns.TypeSRV
			rr = &dns.SRV{Hdr: h, Target: dns.CanonicalName(r.Target), Port: r.Port}
		}
		zone[name] = append(zone[name], rr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = zone
}

// Run answers until ctx ends, and closes the socket.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	defer s.Close()
	b := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			continue // of an answer that somebody did not wait for
		}
		if reply := s.reply(b[:n]); reply != nil {
			_, _ = s.conn.WriteToUDPAddrPort(reply, from) // who gets none asks again
		}
	}
}

// Close gives the socket back; Run ends then.
func (s *Server) Close() { _ = s.conn.Close() }

// reply gives the answer to one message; nil: it is no question.
func (s *Server) reply(b []byte) []byte {
	var q dns.Msg
	if q.Unpack(b) != nil || q.Response || q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		return nil
	}
	m := new(dns.Msg).SetReply(&q)
	m.RecursionAvailable, m.Authoritative = q.RecursionDesired, true
	size := classic
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(largest, false)
		size = min(largest, max(classic, int(opt.UDPSize())))
	}
	s.answer(m, q.Question[0])
	m.Truncate(size)
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// answer puts in what is known of a name. Where nothing is, the start of authority says for how long that may be remembered (RFC 2308).
func (s *Server) answer(m *dns.Msg, q dns.Question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	name := dns.CanonicalName(q.Name)
	for _, rr := range s.zone[name] {
		if rr.Header().Rrtype == q.Qtype {
			rr = dns.Copy(rr)
			rr.Header().Name = q.Name // as it was asked, in its case
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) > 0 {
		return
	}
	if !s.exists(name) {
		m.Rcode = dns.RcodeNameError
	}
	_, zone, _ := strings.Cut(name, ".")
	m.Ns = []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: cmp.Or(zone, "."), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: TTL},
		Ns:  "ns.invalid.", Mbox: "nobody.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: TTL,
	}}
}

// exists says whether there is a name, or anything below it: an empty name between is no missing one (RFC 8020).
func (s *Server) exists(name string) bool {
	for known := range s.zone {
		if known == name || strings.HasSuffix(known, "."+name) {
			return true
		}
	}
	return false
}
