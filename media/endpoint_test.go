package media

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

func TestShare(t *testing.T) {
	frame := make([]byte, frameSamples)
	for _, hz := range []float64{440, 1004, markerHz} {
		encodeTone(frame, hz, 12345)
		for _, look := range []float64{440, 1004, markerHz} {
			if got := share(frame, look); (got > 0.9) != (hz == look) || got > 1.01 {
				t.Errorf("%v Hz in a tone of %v Hz: %.3f", look, hz, got)
			}
		}
	}
	for i := range frame {
		frame[i] = 0xd5
	}
	if got := share(frame, 1004); got != 0 {
		t.Errorf("silence holds %v", got)
	}
}

// TestEndpointsMeasure: a tone through the relay to an echo and back, with the delay that the network has.
func TestEndpointsMeasure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		aLeg, bLeg := srtpLeg("carrier"), srtpLeg("fra")
		a, b := bed.endpoint(aliceAddr, aLeg, Tone{}), bed.endpoint(bobAddr, bLeg, Tone{Echo: true})
		s := bed.open(aLeg)
		call(t, s, a, b, bLeg)
		n.tap = func(from, _ netip.AddrPort, _ []byte) {
			if from.Addr() == bobAddr {
				time.Sleep(7 * time.Millisecond)
			}
		}
		speak(12*time.Second+time.Millisecond, a, b)
		synctest.Wait()
		time.Sleep(time.Second)
		r := a.Close()
		if r.Sent != 600 || r.Frames != 600 || r.Heard != 600 || r.Echo != 7*time.Millisecond || r.Side.Suite != AEAD_AES_256_GCM {
			t.Errorf("%+v", r)
		}
		if r.Gap < frameTime || r.Gap > 3*frameTime+20*time.Millisecond {
			t.Errorf("a gap of %s in a tone without one", r.Gap)
		}
		if again := a.Close(); again.Frames != r.Frames {
			t.Errorf("%+v", again)
		}
	})
}

func TestEndpointHearsSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		e := bed.endpoint(aliceAddr, plainLeg("carrier"), Tone{Hz: 440})
		p := newPeer(t, n, bobAddr, 5000, "")
		p.reads(ok(e.Offer())(t))
		if err := e.Accept(p.sdp()); err != nil {
			t.Fatal(err)
		}
		p.talk(5) // text, no tone; too short for a frame
		for i := range 5 {
			b := packet(9, uint16(i), 0, make([]byte, frameSamples))
			encodeTone(b[12:], 1004, 0)
			p.from(p.rtp, b)
		}
		if r := e.Report(); r.Frames != 5 || r.Heard != 0 || r.Side.RxPackets != 10 || r.Echo != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestEndpointMeasuresSilence(t *testing.T) {
	for name, c := range map[string]struct{ talk, quiet, more time.Duration }{
		"in the middle": {time.Second, 700 * time.Millisecond, time.Second}, "at the end": {time.Second, 700 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				bed := newBed(t, n.door)
				e := bed.endpoint(aliceAddr, plainLeg("carrier"), Tone{})
				p := newPeer(t, n, bobAddr, 5000, "")
				p.reads(ok(e.Offer())(t))
				if err := e.Accept(p.sdp()); err != nil {
					t.Fatal(err)
				}
				seq := uint16(0)
				say := func(d time.Duration) {
					for ; d > 0; d -= frameTime {
						p.from(p.rtp, packet(8, seq, 0, make([]byte, frameSamples)))
						seq++
						time.Sleep(frameTime)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				over := make(chan error)
				go func() { over <- e.Run(ctx) }()
				say(c.talk)
				time.Sleep(c.quiet)
				say(c.more)
				cancel()
				<-over
				time.Sleep(time.Minute) // what comes behind the end is no silence in the call
				if r := e.Close(); r.Gap < c.quiet || r.Gap > c.quiet+2*frameTime {
					t.Errorf("a silence of %s was measured as %s", c.quiet, r.Gap)
				}
			})
		})
	}
}

func TestEndpointObeysTheFence(t *testing.T) {
	n := newNetwork()
	bed := newBed(t, n.door)
	e := bed.endpoint(aliceAddr, plainLeg("carrier"), Tone{})
	offer := string(ok(e.Offer())(t))
	answer := strings.ReplaceAll(offer, aliceAddr.String(), heldAddr.String())
	if err := e.Accept([]byte(answer)); err == nil || err.(*Refusal).Status != 403 {
		t.Errorf("%v", err)
	}
	if _, err := e.Answer([]byte(answer)); err == nil || err.(*Refusal).Status != 403 {
		t.Errorf("%v", err)
	}
	if err := e.Accept([]byte(strings.ReplaceAll(strings.ReplaceAll(offer, "PCMA", "PCMU"), "AVP 8", "AVP 0"))); err == nil || err.(*Refusal).Warning != 305 {
		t.Errorf("%v", err)
	}
	if err := e.Accept([]byte(strings.Replace(offer, "m=audio", "m=video", 1))); err == nil {
		t.Error("a video")
	}
	if got := ok(e.Answer([]byte(strings.Replace(offer, "a=sendrecv", "a=sendonly", 1))))(t); !strings.Contains(string(got), "a=recvonly") {
		t.Errorf("%s", got)
	}
	if _, err := NewEndpoint(Config{}, plainLeg("x"), Tone{}); err == nil {
		t.Error("no fence")
	}
	if _, err := NewEndpoint(Config{Listen: n.door, Fence: sovereign.NewFence(nil, nil)}, plainLeg("x"), Tone{}); err == nil {
		t.Error("no address")
	}
}
