package media

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// pulsed is a plain call that is followed, second by second.
type pulsed struct {
	*talking
	seconds int
	told    []string
}

func newPulsed(t *testing.T) *pulsed {
	c := &pulsed{talking: newTalking(t, plainLeg("carrier"), plainLeg("fra"))}
	c.relay.cfg.Heard = func(session string, e Liveness) {
		word := fmt.Sprintf("%d: %s after %s", c.seconds, e.State, e.For.Round(time.Second))
		if e.Held {
			word += ", held"
		}
		if session != "call" || e.At.IsZero() {
			t.Errorf("%q %+v", session, e)
		}
		c.told = append(c.told, []string{"a ", "b "}[e.Side]+word)
	}
	return c
}

// pass lets some seconds pass in which the given peers speak, and says who was told of what.
func (c *pulsed) pass(n int, speak ...*peer) []string {
	for range n {
		for range 50 { // RFC 3551 section 4.5.14: 20 ms each
			for _, p := range speak {
				p.talk(1)
			}
			time.Sleep(20 * time.Millisecond)
		}
		c.a.got(c.a.rtp)
		c.b.got(c.b.rtp)
		c.seconds++
		c.relay.follow(time.Now())
	}
	told := c.told
	c.told = nil
	return told
}

// report sends a receiver report of p.
func (c *pulsed) report(p *peer, highest uint32) {
	to := p.to
	p.to = netip.AddrPortFrom(to.Addr(), to.Port()+1)
	p.from(p.rtcp, compound(c.t, &rtcp.ReceiverReport{SSRC: p.ssrc, Reports: []rtcp.ReceptionReport{{SSRC: 1, LastSequenceNumber: highest, TotalLost: 6}}}))
	p.to = to
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newPulsed(t)
		same(t, "before the answer", c.pass(40))
		c.s.Answered()
		same(t, "both speak", c.pass(10, c.a, c.b))
		same(t, "one falls silent", c.pass(8, c.a), "b 55: silent after 5s")
		same(t, "and comes back", c.pass(2, c.a, c.b), "b 59: alive after 9s")
		// RFC 3264 section 8.4: a hold, and its end.
		hold := func(word string) {
			t.Helper()
			c.b.reads(ok(c.s.Offer(A, c.a.sdp("a="+word), plainLeg("fra")))(t))
			c.a.reads(ok(c.s.Answer(B, c.b.sdp(map[string]string{"sendonly": "a=recvonly", "sendrecv": "a=sendrecv"}[word])))(t))
		}
		hold("sendonly")
		same(t, "on hold", c.pass(60))
		hold("sendrecv")
		same(t, "after the hold", c.pass(4))
		same(t, "all dies", c.pass(40), "a 126: silent after 5s", "b 126: silent after 5s", "a 151: dead after 30s", "b 151: dead after 30s")
		hold("sendonly")
		same(t, "on hold again", c.pass(3), "a 165: alive after 44s, held", "b 165: alive after 44s, held")
		r := c.s.Close()
		if q := r.Sides[B].Quality; q.Silence.Round(time.Second) != 53*time.Second || q.State != StateAlive || q.Windows < 2 || q.MOSMin < 4.4 || q.MOSMean < 4.4 || q.MOSLast < 4.4 || q.Poor != 0 || q.Loss != 0 {
			t.Errorf("%+v", q)
		}
		c.relay.follow(time.Now()) // of nobody
	})
}

func TestFollowWhoHearsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newPulsed(t)
		c.s.Answered()
		var told []string
		for i := range uint32(6) {
			told = append(told, c.pass(5, c.a, c.b)...)
			c.report(c.b, 100+60*min(i, 1))
			c.report(c.a, 100+60*i)
		}
		told = append(told, c.pass(1, c.a, c.b)...)
		same(t, "reports stand still", told, "b 26: unheard after 15s")
		c.report(c.b, 4000)
		same(t, "they advance", c.pass(1, c.a, c.b), "b 32: alive after 21s")
		// RFC 3611 section 4.7: what B itself thinks of it goes no further than here.
		xr := []byte{
			0x80, 207, 0, 10, 0, 0, 0, 9, 7, 0, 0, 8, 0, 0, 0, 1, 5, 16, 208, 32, 1, 44, 19, 136, 0, 75, 0, 120, 0xe2, 0xce, 65, 16, 93, 127, 42, 41, 0xb4, 0, 0, 40, 0, 80, 0, 120,
		}
		c.a.got(c.a.rtcp)
		to := c.b.to
		c.b.to = netip.AddrPortFrom(to.Addr(), to.Port()+1)
		c.b.from(c.b.rtcp, append(compound(t, &rtcp.ReceiverReport{SSRC: c.b.ssrc}), xr...))
		c.b.to = to
		for _, b := range c.a.got(c.a.rtcp) {
			for _, p := range ok(rtcp.Unmarshal(b))(t) {
				if _, is := p.(*rtcp.ExtendedReport); is {
					t.Errorf("an extended report crossed: %x", b)
				}
			}
		}
		if both := c.s.Report().Sides; both[B].Quality.FarMOS != 4.1 || both[A].Quality.FarMOS != 0 {
			t.Errorf("by the far ends: %v and %v", both[A].Quality.FarMOS, both[B].Quality.FarMOS)
		}
		q := c.s.Report().Sides[B].Quality
		if q.FarLoss < 0.0035 || q.FarLoss > 0.0045 {
			t.Errorf("the far end lost 6 of %d: %v", c.s.Report().Sides[B].TxPackets, q.FarLoss)
		}
	})
}

func TestQualityOfASide(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newPulsed(t)
		c.pass(5, c.a, c.b)
		for range 5 {
			c.b.ext += 10
			c.pass(1, c.a, c.b)
		}
		c.pass(5, c.a, c.b)
		r := c.s.Report()
		a, b := r.Sides[A].Quality, r.Sides[B].Quality
		if a.MOSMin < 4.4 || b.MOSMin > 2.4 || b.MOSMin < 2.1 || b.MOSMean < 3.5 || b.MOSMean > 3.7 || b.MOSLast < 4.3 || b.Poor != 1 || a.Poor != 0 || b.Windows < 3 {
			t.Errorf("\n%+v\n%+v", a, b)
		}
		if b.Loss != 0.0625 || b.Burst != 9.375 || b.Delay < 20*time.Millisecond || r.Sides[B].MOS > 3.7 || r.Sides[B].MOS < 3.5 {
			t.Errorf("%+v, MOS of all %v", b, r.Sides[B].MOS)
		}
		// A look in between changes nothing of what comes later.
		if again := c.s.Report().Sides[B].Quality; again != b {
			t.Errorf("%+v, then %+v", b, again)
		}
		if n := testing.AllocsPerRun(10, func() { c.relay.follow(time.Now()) }); n != 0 || len(r.Sides[A].PerCountry) == 0 {
			t.Errorf("%.0f allocations to look at a call whose packets came from %v", n, r.Sides[A].PerCountry)
		}
	})
}

func TestTroubleIsNotToldForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newPulsed(t)
		reg := prometheus.NewRegistry()
		if err := c.relay.register(reg); err != nil {
			t.Fatal(err)
		}
		c.s.Answered()
		told := 0
		for range maxTroubles + 20 { // comfort noise, every seven seconds
			c.a.talk(1)
			c.b.talk(1)
			told += len(c.pass(7))
		}
		if told < 2*maxTroubles || told > 4*maxTroubles+4 {
			t.Errorf("told %d times", told)
		}
		same(t, "but death is told", c.pass(40)[:2], fmt.Sprintf("a %d: dead after 30s", c.seconds-17), fmt.Sprintf("b %d: dead after 30s", c.seconds-17))
		if err := testutil.GatherAndCompare(reg, strings.NewReader(fmt.Sprintf(`# HELP cordon_media_silent_total Sides of answered calls that fell silent, went unheard or died.
# TYPE cordon_media_silent_total counter
cordon_media_silent_total{side="a",state="dead"} 1
cordon_media_silent_total{side="a",state="silent"} %[1]d
cordon_media_silent_total{side="a",state="unheard"} 0
cordon_media_silent_total{side="b",state="dead"} 1
cordon_media_silent_total{side="b",state="silent"} %[1]d
cordon_media_silent_total{side="b",state="unheard"} 0
`, maxTroubles+20)), "cordon_media_silent_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestRunFollows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newPulsed(t)
		var mu sync.Mutex
		told := 0
		c.relay.cfg.Heard = func(string, Liveness) { mu.Lock(); told++; mu.Unlock() }
		c.s.Answered()
		runs(t, c.relay.Run)
		time.Sleep(7 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if told != 2 {
			t.Errorf("told %d times", told)
		}
	})
}

// TestFollowingCostsNoMemory looks at sessions without an allocation, also while they come and go.
func TestFollowingCostsNoMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		b := newBed(t, n.door)
		at := time.Now()
		up := func() *Session {
			s := ok(b.relay.Open("call", plainLeg("carrier")))(t)
			ok(s.Offer(A, benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), plainLeg("fra")))(t)
			ok(s.Answer(B, benchAnswer(netip.AddrPortFrom(bobAddr, 40000))))(t)
			s.Answered()
			return s
		}
		var all []*Session
		for range 50 {
			all = append(all, up())
		}
		if n := testing.AllocsPerRun(20, func() {
			at = at.Add(time.Second)
			b.relay.follow(at)
		}); n != 0 {
			t.Errorf("%.0f allocations to look at %d sessions", n, len(all))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 200 {
				at = at.Add(time.Second)
				b.relay.follow(at)
			}
		})
		for _, s := range all {
			s.Close()
			up().Close()
		}
		wg.Wait()
	})
}

// BenchmarkFollow is one look at 3,000 calls.
func BenchmarkFollow(b *testing.B) {
	n := newNetwork()
	bed := newBed(b, n.door)
	for i := range 3000 {
		s := ok(bed.relay.Open("call", plainLeg("carrier")))(b)
		b.Cleanup(func() { s.Close() })
		ok(s.Offer(A, benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), plainLeg("fra")))(b)
		ok(s.Answer(B, benchAnswer(netip.AddrPortFrom(bobAddr, uint16(10000+2*(i%20000))))))(b)
		s.Answered()
	}
	at := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Second)
		bed.relay.follow(at)
	}
}
