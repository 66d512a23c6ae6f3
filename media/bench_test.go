package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// everyDoor runs f with a relay that runs, over each way to get sockets.
func everyDoor(b *testing.B, f func(b *testing.B, r *Relay)) {
	for name, many := range map[string]bool{"goroutines": false, "worker": true} {
		b.Run(name, func(b *testing.B) {
			r, err := New(Config{
				Listen: loopback(b, many), Fence: sovereign.NewFence(europe(b), nil), Bind: relayAddr, Ports: [2]uint16{10000, 29999}, Quarantine: time.Nanosecond,
			})
			if err != nil {
				b.Fatal(err)
			}
			runs(b, r.Run)
			f(b, r)
		})
	}
}

// benchOffer is what a carrier's SBC offers: three codecs, DTMF, ptime.
func benchOffer(from netip.AddrPort) []byte {
	return fmt.Appendf(nil, "v=0\r\no=- 5 5 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d RTP/AVP 8 0 18 101\r\n"+
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\n"+
		"a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n", from.Addr(), from.Port())
}

func benchAnswer(from netip.AddrPort) []byte {
	return fmt.Appendf(nil, "v=0\r\no=- 6 6 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d RTP/AVP 8 101\r\n"+
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n", from.Addr(), from.Port())
}

// secured makes a description one of SRTP.
func secured(text []byte) []byte {
	return append(bytes.Replace(text, []byte("RTP/AVP"), []byte("RTP/SAVP"), 1), "a=crypto:"+newCrypto("1", AES_CM_128_HMAC_SHA1_80).String()+"\r\n"...)
}

// establish opens the session of one call; what both sides are told comes back.
func establish(b *testing.B, r *Relay, offer, answer []byte) (s *Session, toB, toA []byte) {
	b.Helper()
	return establishAs(b, r, offer, answer, plainLeg("carrier"), plainLeg("fra"))
}

func establishAs(b *testing.B, r *Relay, offer, answer []byte, legA, legB Leg) (s *Session, toB, toA []byte) {
	b.Helper()
	s, err := r.Open("call", legA)
	if err != nil {
		b.Fatal(err)
	}
	if toB, err = s.Offer(A, offer, legB); err != nil {
		b.Fatal(err)
	}
	if toA, err = s.Answer(B, answer); err != nil {
		b.Fatal(err)
	}
	return s, toB, toA
}

// BenchmarkSession sets the media of a call up and takes it down: four sockets, two descriptions read and two written, every address judged.
func BenchmarkSession(b *testing.B) {
	offer, answer := benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), benchAnswer(netip.AddrPortFrom(bobAddr, 40000))
	everyDoor(b, func(b *testing.B, r *Relay) {
		b.ReportAllocs()
		for b.Loop() {
			s, _, _ := establish(b, r, offer, answer)
			s.Close()
		}
	})
}

// BenchmarkSecureSession is BenchmarkSession with SRTP on both sides, under keys of its own each.
func BenchmarkSecureSession(b *testing.B) {
	offer, answer := secured(benchOffer(netip.AddrPortFrom(aliceAddr, 40000))), secured(benchAnswer(netip.AddrPortFrom(bobAddr, 40000)))
	everyDoor(b, func(b *testing.B, r *Relay) {
		b.ReportAllocs()
		for b.Loop() {
			s, _, _ := establishAs(b, r, offer, answer, srtpLeg("carrier"), srtpLeg("fra", AES_CM_128_HMAC_SHA1_80))
			s.Close()
		}
	})
}

// BenchmarkKeptSession is BenchmarkSession with sockets that stayed open, and rested so long that no cache knows them.
func BenchmarkKeptSession(b *testing.B) {
	const rested = 4500 // calls
	offer, answer := benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), benchAnswer(netip.AddrPortFrom(bobAddr, 40000))
	r, err := New(Config{
		Listen: loopback(b, true), Fence: sovereign.NewFence(europe(b), nil), Bind: relayAddr, Ports: [2]uint16{10000, 59999}, Quarantine: 50 * time.Millisecond,
	})
	if err != nil {
		b.Fatal(err)
	}
	runs(b, r.Run)
	var up [rested]*Session
	for i := range up {
		up[i], _, _ = establish(b, r, offer, answer)
	}
	for _, s := range up {
		s.Close()
	}
	b.ReportAllocs()
	before := r.ports.opened.Load()
	for b.Loop() {
		s, _, _ := establish(b, r, offer, answer)
		s.Close()
	}
	b.ReportMetric(float64(r.ports.opened.Load()-before)/float64(b.N), "opened/op")
}

// BenchmarkEstablished weighs a thousand sessions that are up and silent.
func BenchmarkEstablished(b *testing.B) {
	const calls = 1000
	offer, answer := benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), benchAnswer(netip.AddrPortFrom(bobAddr, 40000))
	everyDoor(b, func(b *testing.B, r *Relay) {
		for b.Loop() {
			before, m0 := resident(b), memory()
			up := make([]*Session, calls)
			for i := range up {
				up[i], _, _ = establish(b, r, offer, answer)
			}
			after, m1 := resident(b), memory()
			b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
			b.ReportMetric((after-before)/calls, "RSS-B/call")
			b.ReportMetric((m1-m0)/calls, "heap+stack-B/call")
			for _, s := range up {
				s.Close()
			}
		}
	})
}

// resident is the resident memory of this process in bytes; 0 where nobody tells.
func resident(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages float64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}

func memory() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkPacket passes packets of one call on, from the socket's reader to a socket that swallows them; a thousand calls in turn, so that none is in a cache.
func BenchmarkPacket(b *testing.B) {
	for name, legs := range map[string][2]Leg{"plain": {plainLeg("carrier"), plainLeg("fra")}, "srtp": {srtpLeg("carrier"), srtpLeg("fra", AES_CM_128_HMAC_SHA1_80)}} {
		b.Run(name, func(b *testing.B) {
			n := swallows{}
			r, err := New(Config{
				Listen: n.listen,
				Fence:  sovereign.NewFence(europe(b), nil), Bind: relayAddr, Ports: [2]uint16{10000, 29999},
			})
			if err != nil {
				b.Fatal(err)
			}
			from := netip.AddrPortFrom(aliceAddr, 40000)
			offer, answer := benchOffer(from), benchAnswer(netip.AddrPortFrom(bobAddr, 40000))
			var key crypto
			if name == "srtp" {
				key = newCrypto("1", AES_CM_128_HMAC_SHA1_80)
				offer = append(bytes.Replace(offer, []byte("RTP/AVP"), []byte("RTP/SAVP"), 1), "a=crypto:"+key.String()+"\r\n"...)
				answer = secured(answer)
			}
			var up [1000]*swallow
			for i := range up {
				s, _, _ := establishAs(b, r, offer, answer, legs[A], legs[B])
				up[i] = n[s.legs[A].Load().bind]
			}
			packets := make([][]byte, 4096) // enough for a minute: one that comes again would be a replay
			for i := range packets {
				packets[i] = packet(8, uint16(i), uint32(160*i), make([]byte, 160))
				if name == "srtp" {
					packets[i] = refRTP(b, key, packets[i], 0)
				}
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				up[i%len(up)].take(packets[i/len(up)%len(packets)], from)
				i++
			}
		})
	}
}

// swallows are sockets that take what is sent and hear what a test says.
type swallows map[netip.AddrPort]*swallow

func (n swallows) listen(at netip.AddrPort) (sovereign.UDPConn, error) {
	n[at] = &swallow{at: at}
	return n[at], nil
}

type swallow struct {
	at   netip.AddrPort
	take func(b []byte, from netip.AddrPort)
	sent int
}

func (s *swallow) Receive(take func([]byte, netip.AddrPort)) { s.take = take }
func (*swallow) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, net.ErrClosed
}

func (s *swallow) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	s.sent++
	return len(b), nil
}
func (s *swallow) LocalAddr() net.Addr           { return net.UDPAddrFromAddrPort(s.at) }
func (*swallow) SetReadDeadline(time.Time) error { return nil }
func (*swallow) Close() error                    { return nil }

// BenchmarkLatency sends 1,000 packets a second through 20 calls and tells how long they took from socket to socket.
func BenchmarkLatency(b *testing.B) {
	const calls = 20
	everyDoor(b, func(b *testing.B, r *Relay) {
		from, to := end2end(b, aliceAddr), end2end(b, bobAddr)
		offer, answer := benchOffer(from.LocalAddr().(*net.UDPAddr).AddrPort()), benchAnswer(to.LocalAddr().(*net.UDPAddr).AddrPort())
		var at []netip.AddrPort
		for range calls {
			s, _, toA := establish(b, r, offer, answer)
			defer s.Close()
			d, ref := parseSDP(toA)
			if ref != nil {
				b.Fatal(ref)
			}
			at = append(at, d.lines[0].addr)
		}
		took := make(chan []time.Duration)
		go hear(to, took)
		start, n := time.Now(), 0
		for b.Loop() {
			p := packet(8, uint16(n/calls), uint32(n/calls*160), make([]byte, 160))
			binary.BigEndian.PutUint64(p[12:], uint64(time.Since(epoch)))
			if _, err := from.WriteToUDPAddrPort(p, at[n%calls]); err != nil {
				b.Fatal(err)
			}
			n++
			time.Sleep(time.Until(start.Add(time.Duration(n) * time.Millisecond)))
		}
		to.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		all := <-took
		slices.Sort(all)
		if len(all) < n*9/10 {
			b.Fatalf("%d of %d packets came", len(all), n)
		}
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
	})
}

var epoch = time.Now()

// end2end is a socket of a far end.
func end2end(b *testing.B, a netip.Addr) *net.UDPConn {
	b.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func hear(c *net.UDPConn, took chan<- []time.Duration) {
	var all []time.Duration
	defer func() { took <- all }()
	buf := make([]byte, maxPacket)
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n == 172 {
			all = append(all, time.Since(epoch)-time.Duration(binary.BigEndian.Uint64(buf[12:])))
		}
	}
}
