package media

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f with virtual time, once for each way to read sockets. A bubble begins in January 2000, before most instruments of the law table; the tests play in 2026.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for name, network := range map[string]bool{"the relay reads": false, "the network reads": true} {
		t.Run(name, func(t *testing.T) {
			networkReads.Store(network)
			defer networkReads.Store(false)
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
				f(t)
			})
		})
	}
}

func TestCallEverySecurity(t *testing.T) {
	legs := map[string]func(string) Leg{"plain": plainLeg}
	for _, s := range defaultSuites() {
		legs[string(s)] = func(p string) Leg { return srtpLeg(p, s) }
	}
	for an, a := range legs {
		for bn, b := range legs {
			t.Run(an+"/"+bn, func(t *testing.T) {
				bubble(t, func(t *testing.T) { everySecurity(t, a("carrier"), b("fra")) })
			})
		}
	}
}

func everySecurity(t *testing.T, aLeg, bLeg Leg) {
	bed := newBed(t, newNetwork().door)
	alice := bed.endpoint(aliceAddr, aLeg, Tone{})
	bob := bed.endpoint(bobAddr, bLeg, Tone{Echo: true})
	s := bed.open(aLeg)
	call(t, s, alice, bob, bLeg)
	speak(3*time.Second+time.Millisecond, alice)
	synctest.Wait()
	got, r := alice.Report(), s.Close()
	if got.Sent != 150 || got.Frames != 150 || got.Heard != 150 || got.Side.Lost != 0 {
		t.Errorf("alice sent %d, got %d frames, %d with the tone, lost %d", got.Sent, got.Frames, got.Heard, got.Side.Lost)
	}
	for side, want := range []Leg{aLeg, bLeg} {
		x := r.Sides[side]
		suite := Suite("")
		if want.Security != Plain {
			suite = want.Suites[0]
		}
		if x.RxPackets != 150 || x.TxPackets != 150 || x.Lost != 0 || x.Refused != 0 || x.Suite != suite || x.Codec != "PCMA" || x.MOS < 4.3 {
			t.Errorf("side %d: %+v", side, x)
		}
	}
	if de, ch := r.Sides[A].PerCountry["DE"], r.Sides[B].PerCountry["CH"]; de != 150 || ch != 150 {
		t.Errorf("per country: %v %v", r.Sides[A].PerCountry, r.Sides[B].PerCountry)
	}
}

func TestCallOnLoopback(t *testing.T) {
	for i, legs := range [][2]Leg{
		{plainLeg("carrier"), plainLeg("fra")},
		{plainLeg("carrier"), srtpLeg("fra")},
		{srtpLeg("carrier"), srtpLeg("fra", AES_CM_128_HMAC_SHA1_32)},
		{plainLeg("carrier"), srtpLeg("fra")},
		{plainLeg("carrier"), plainLeg("fra")},
		{srtpLeg("carrier"), srtpLeg("fra", AES_CM_128_HMAC_SHA1_32)},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			bed := newBed(t, loopback(t, i%2 == 0))
			bed.real = true
			runs(t, bed.relay.Run)
			alice := bed.endpoint(aliceAddr, legs[0], Tone{})
			bob := bed.endpoint(bobAddr, legs[1], Tone{Echo: true})
			s := bed.open(legs[0])
			call(t, s, alice, bob, legs[1])
			speak(1200*time.Millisecond, alice)
			got := alice.Report()
			for end := time.Now().Add(2 * time.Second); got.Frames < got.Sent && time.Now().Before(end); got = alice.Report() {
				runtime.Gosched() // the last frame is on its way
			}
			if got.Frames != got.Sent || got.Heard < got.Frames || got.Frames < 40 || got.Echo <= 0 || got.Echo > time.Second {
				t.Errorf("alice: %+v", got)
			}
		})
	}
}
