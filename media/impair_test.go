package media

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// gone says that a member of fra is taken away, in that way.
func gone(e impair.Effect) func(*Leg) impair.Effect {
	return func(l *Leg) impair.Effect {
		if l.Party == "fra" && l.Member == "sbc1" {
			return e
		}
		return impair.Effect{}
	}
}

func TestImpair(t *testing.T) {
	const n = 20
	sbc1 := plainLeg("fra")
	sbc1.Member = "sbc1"
	help := sbc1
	help.Purpose = sovereign.EmergencyCall
	blackhole := impair.Effect{Kind: impair.Blackhole}
	for name, c := range map[string]struct {
		to     Leg
		effect impair.Effect
		then   func(c *talking)
		lost   bool
	}{
		"blackhole":                 {to: sbc1, effect: blackhole, lost: true},
		"refuse":                    {to: sbc1, effect: impair.Effect{Kind: impair.Refuse}, lost: true},
		"fail":                      {to: sbc1, effect: impair.Effect{Kind: impair.Fail}, lost: true},
		"lossy":                     {to: sbc1, effect: impair.Effect{Loss: 1}, lost: true},
		"unavailable for new calls": {to: sbc1, effect: impair.Effect{Kind: impair.Unavailable}},
		"with a wrong certificate":  {to: sbc1, effect: impair.Effect{Kind: impair.WrongCertificate}},
		"nothing":                   {to: sbc1},
		"another member":            {to: plainLeg("fra"), effect: blackhole},
		"a call for help":           {to: help, effect: blackhole},
		"the lease is over":         {to: sbc1, effect: blackhole, then: func(*talking) { time.Sleep(3 * time.Second) }},
		"the lease is renewed": {to: sbc1, effect: blackhole, lost: true, then: func(c *talking) {
			time.Sleep(2 * time.Second)
			_ = c.relay.Impair(time.Now().Add(3 * time.Second))
			time.Sleep(2 * time.Second)
		}},
		"given back": {to: sbc1, effect: blackhole, then: func(c *talking) { _ = c.relay.Impair(time.Now()) }},
		"back, while more is gone": {to: sbc1, effect: blackhole, then: func(c *talking) {
			c.relay.cfg.Impaired = gone(impair.Effect{})
			_ = c.relay.Impair(time.Now().Add(time.Second))
		}},
		"put in force again": {to: sbc1, effect: blackhole, lost: true, then: func(c *talking) {
			c.b.reads(ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(c.t))
			c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(c.t))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c1 := newTalking(t, plainLeg("carrier"), c.to)
				c1.relay.cfg.Impaired = gone(c.effect)
				if a, b := c1.hears(c1.a, c1.b, n), c1.hears(c1.b, c1.a, n); a != n || b != n {
					t.Fatalf("before, %d and %d of %d were heard", a, b, n)
				}
				if err := c1.relay.Impair(time.Now().Add(3 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if c.then != nil {
					c.then(c1)
				}
				want := n
				if c.lost {
					want = 0
				}
				if a, b := c1.hears(c1.a, c1.b, n), c1.hears(c1.b, c1.a, n); a != want || b != want {
					t.Errorf("%d and %d of %d were heard, want %d", a, b, n, want)
				}
			})
		})
	}
}

// TestImpairOfNewLegs: what begins while something is gone meets it from its first packet, on whatever side and in whatever attempt; what begins later does not.
func TestImpairOfNewLegs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door, func(c *Config) { c.Impaired = gone(impair.Effect{Kind: impair.Blackhole}) })
		sbc1 := plainLeg("fra")
		sbc1.Member = "sbc1"
		lost := func(s *Session, side Side) bool { return s.legs[side].Load().impaired.Load() }
		if err := bed.relay.Impair(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		a := newPeer(t, n, aliceAddr, 4000, "")
		s := bed.open(plainLeg("carrier"))
		ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t)
		if lost(s, A) || lost(s, B) {
			t.Error("a leg of somebody else meets it")
		}
		ok(s.Offer(A, a.sdp(), sbc1))(t)
		b, _, err := s.Branch(a.sdp(), sbc1)
		if err != nil {
			t.Fatal(err)
		}
		if !b.l.impaired.Load() || !lost(s, B) || lost(s, A) {
			t.Error("an attempt does not meet it")
		}
		b.Drop()
		from := bed.open(sbc1)
		ok(from.Offer(A, a.sdp(), plainLeg("carrier")))(t)
		if !lost(from, A) || lost(from, B) {
			t.Error("a caller does not meet it")
		}
		time.Sleep(time.Second)
		late := bed.open(sbc1)
		ok(late.Offer(A, a.sdp(), plainLeg("carrier")))(t)
		if lost(late, A) {
			t.Error("it outlasts its lease")
		}
	})
}

// TestImpairWhileALegBegins: what is given back at the moment at which a leg begins is whole, whoever comes first.
func TestImpairWhileALegBegins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		gone := true
		bed.relay.cfg.Impaired = func(*Leg) (e impair.Effect) {
			if gone { // it is given back when the leg has asked already
				gone = false
				if err := bed.relay.Impair(time.Now()); err != nil {
					t.Error(err)
				}
				return impair.Effect{Kind: impair.Blackhole}
			}
			return e
		}
		bed.relay.until.Store(time.Now().Add(time.Second).UnixNano())
		a := newPeer(t, n, aliceAddr, 4000, "")
		s := bed.open(plainLeg("carrier"))
		ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t)
		if s.legs[A].Load().impaired.Load() || s.legs[B].Load().impaired.Load() {
			t.Error("a leg is left without what was given back")
		}
	})
}

// TestImpairedIsHeard: a listener hears a lossy side as one hears a lossy network, and the caller of a drill, who is no session of the relay, meets the same.
func TestImpairedIsHeard(t *testing.T) {
	for name, c := range map[string]struct {
		effect      impair.Effect
		mos         [2]float64
		echo        time.Duration
		least, most uint64 // frames that come back to the caller, of 600
	}{
		"whole": {impair.Effect{}, [2]float64{4.3, 4.5}, 7 * time.Millisecond, 600, 600},
		"slow":  {impair.Effect{Delay: 400 * time.Millisecond}, [2]float64{4.3, 4.5}, 407 * time.Millisecond, 579, 600}, // what is under way when a caller hangs up is not heard
		"lossy": {impair.Effect{Loss: 0.1}, [2]float64{2, 4}, 7 * time.Millisecond, 435, 537},                           // once on the way there, once on the way back
	} {
		for who, own := range map[string]bool{"through the relay": false, "by an endpoint": true} {
			t.Run(name+" "+who, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := newNetwork()
					bed := newBed(t, n.door, func(conf *Config) { conf.Impaired = gone(c.effect) })
					ctx, stop := context.WithCancel(t.Context())
					over := make(chan error)
					go func() { over <- bed.relay.Run(ctx) }()
					conf, to := bed.cfg, srtpLeg("fra")
					conf.Bind, conf.Moved, to.Member = aliceAddr, nil, "sbc1"
					caller, between := srtpLeg("carrier"), to
					if own { // its far end is the target
						caller, between = to, srtpLeg("fra")
					}
					a := ok(bed.relay.Endpoint(conf, caller, Tone{}))(t)
					b := bed.endpoint(bobAddr, srtpLeg("fra"), Tone{Echo: true})
					s := bed.open(srtpLeg("carrier"))
					call(t, s, a, b, between)
					n.tap = func(from, _ netip.AddrPort, _ []byte) {
						if from.Addr() == bobAddr {
							time.Sleep(7 * time.Millisecond)
						}
					}
					if err := bed.relay.Impair(time.Now().Add(20 * time.Second)); err != nil {
						t.Fatal(err)
					}
					speak(12*time.Second+time.Millisecond, a)
					time.Sleep(time.Second)
					side := s.Report().Sides[B]
					r := a.Close()
					if own {
						side = r.Side
					}
					if r.Sent != 600 || r.Heard < c.least || r.Heard > c.most || r.Echo != c.echo || side.MOS < c.mos[0] || side.MOS > c.mos[1] {
						t.Errorf("%d of %d heard, echo after %v, MOS %.2f: %+v", r.Heard, r.Sent, r.Echo, side.MOS, side)
					}
					if len(bed.relay.endpoints) != 0 {
						t.Error("a closed endpoint is remembered")
					}
					stop()
					if err := <-over; err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// carries is a plane that takes nothing away.
type carries struct{ plane.Commands }

func (carries) Impairs() bool { return false }

// TestImpairSaysWhatItCannot: a plane of an older build goes on with all packets, and whoever plays a drill hears of it, if it matters.
func TestImpairSaysWhatItCannot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sbc1 := plainLeg("fra")
		sbc1.Member = "sbc1"
		c := newTalking(t, plainLeg("carrier"), sbc1)
		c.relay.plane = carries{c.relay.plane}
		for want, e := range map[error]impair.Effect{errCarries: {Kind: impair.Blackhole}, nil: {}} {
			c.relay.cfg.Impaired = gone(e)
			if err := c.relay.Impair(time.Now().Add(time.Second)); err != want {
				t.Errorf("%v: %v", e, err)
			}
		}
	})
}
