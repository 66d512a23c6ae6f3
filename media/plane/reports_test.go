package plane

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"

	"github.com/cordonsip/cordon/media/quality"
	"github.com/cordonsip/cordon/media/srtp"
)

const frame = 20 * time.Millisecond

// goes has the plane run until the bubble ends.
func (b *bed) goes() {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		b.Run(ctx)
	}()
	b.t.Cleanup(func() {
		cancel()
		<-over
	})
}

// fill is a Set with which reports are made.
func (e *end) fill() Set {
	n := e.set()
	n.Reports.After = 10 * time.Second
	return n
}

// talk has both far ends send for so long, twenty milliseconds apart.
func talk(d time.Duration, ends ...*end) {
	for ; d > 0; d -= frame {
		for _, e := range ends {
			e.rtp.take(e.next(), e.at)
		}
		time.Sleep(frame)
	}
}

// reported is the compound packet that left last on the lane of RTCP, in clear; nil when none did since it was asked last.
func (e *end) reported(t *testing.T) []rtcp.Packet {
	t.Helper()
	synctest.Wait()
	return e.read(t, e.rtcp)
}

func (e *end) read(t *testing.T, w *wire) []rtcp.Packet {
	t.Helper()
	b := w.last
	if w.last = nil; b == nil {
		return nil
	}
	if e.out.Suite != 0 {
		var err error
		if b, err = pion(t, e.out).DecryptRTCP(nil, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	out, err := rtcp.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tells hands the plane a compound packet of the far end's.
func (e *end) tells(t *testing.T, index uint32, packets ...rtcp.Packet) {
	t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	if e.in.Suite != 0 {
		b = sealedRTCP(t, e.in, b, index)
	}
	e.rtcp.take(append(make([]byte, 0, len(b)+srtp.Overhead), b...), port(e.at, e.at.Port()+1))
}

// TestReportsOfOurOwn: where one far end sends no RTCP, the other one is told what it would be told.
// Conforms: RFC 3550 section 6.4.1; RFC 3550 section 6.1; RFC 7022 section 4.2
func TestReportsOfOurOwn(t *testing.T) {
	for name, suites := range map[string][2]srtp.Suite{"plain": {0, 0}, "srtp": {srtp.AES128CM80, srtp.AES256GCM}, "to srtp": {0, srtp.AES128CM32}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, Config{})
				b.goes()
				alice, bob := b.call(suites[0], suites[1])
				b.Set(bob.fill())
				talk(9*time.Second, alice, bob)
				bob.tells(t, 1, &rtcp.SenderReport{SSRC: bob.ssrc, NTPTime: 0x1122334455667788})
				bob.ext += 5 // are lost
				said := time.Now()
				talk(time.Second, alice, bob)
				if got := bob.reported(t); got != nil {
					t.Fatalf("before ten seconds: %v", got)
				}
				for bob.rtcp.last == nil && time.Since(said) < 6*time.Second {
					talk(frame, alice, bob)
					synctest.Wait()
				}
				held := time.Since(said)
				got := bob.reported(t)
				if len(got) != 2 {
					t.Fatalf("%v", got)
				}
				sr := got[0].(*rtcp.SenderReport)
				sent := alice.ext - 1000
				if sr.SSRC != alice.ssrc || uint64(sr.PacketCount)+1 < sent || uint64(sr.PacketCount) > sent || sr.OctetCount != 160*sr.PacketCount {
					t.Errorf("%d packets were sent as %x: %v", sent, alice.ssrc, sr)
				}
				// The stream's clock has 8,000 ticks a second, and its packet n left at n*20 ms.
				at := int64(time.Duration(sr.NTPTime>>32-2208988800)*time.Second + time.Duration(sr.NTPTime&0xffffffff)*time.Second>>32)
				last := uint32(alice.ext-1) * 160
				if lag := time.Since(time.Unix(0, at)); lag < 0 || lag > 2*frame || int32(sr.RTPTime-last) < -160 || int32(sr.RTPTime-last) > 320 {
					t.Errorf("%v ago it was %d; the last packet has %d", lag, sr.RTPTime, last)
				}
				k := sr.Reports[0]
				if k.SSRC != bob.ssrc || k.TotalLost != 5 || k.LastSequenceNumber+2 < uint32(bob.ext) || k.LastSenderReport != 0x33445566 {
					t.Errorf("%+v", k)
				}
				if delay := time.Duration(k.Delay) * time.Second / 65536; delay > held || delay < held-2*frame {
					t.Errorf("it held the report for %v, and said %v", held, delay)
				}
				names := got[1].(*rtcp.SourceDescription).Chunks
				if len(names) != 1 || names[0].Source != sr.SSRC || len(names[0].Items) != 1 || len(names[0].Items[0].Text) != 16 {
					t.Errorf("%+v", names)
				}
				if alice.rtcp.sent != 0 && suites[0] == 0 && alice.rtcp.to.Port() == 0 {
					t.Error("to Alice, whom nobody was to report to")
				}
				// Bob's answer gives the round trip of his side; what it answers means nothing to Alice, who gets the rest of it.
				alice.rtcp.last = nil
				time.Sleep(100 * time.Millisecond)
				bob.tells(t, 2, &rtcp.ReceiverReport{SSRC: bob.ssrc, Reports: []rtcp.ReceptionReport{{
					SSRC: sr.SSRC, TotalLost: 3, LastSenderReport: uint32(sr.NTPTime >> 16), Delay: 65536 * 60 / 1000,
				}}})
				if c := b.read(bob.Ref); c.RTT < 40*time.Millisecond-time.Millisecond || c.RTT > 40*time.Millisecond+2*frame || c.LostThere != 3 {
					t.Errorf("round trip %v, %d lost", c.RTT, c.LostThere)
				}
				if p := alice.reported(t); len(p) != 2 || p[0].(*rtcp.ReceiverReport).Reports[0] != (rtcp.ReceptionReport{SSRC: alice.ssrc, TotalLost: 3}) {
					t.Errorf("%v", p)
				}
			})
		})
	}
}

// count talks for so long and counts the reports to e.
func (e *end) count(d time.Duration, talking ...*end) int {
	was := e.rtcp.sent
	talk(d, talking...)
	synctest.Wait()
	return e.rtcp.sent - was
}

// TestReportsOfOurOwnKeepTheirInterval, and end when the far end has its own, and begin again when it stops.
// Conforms: RFC 3550 section 6.2; RFC 3550 section 6.3.1
func TestReportsOfOurOwnKeepTheirInterval(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		b.goes()
		alice, bob := b.call(0, 0)
		b.Set(bob.fill())
		if n := bob.count(10*time.Second, alice, bob); n != 0 {
			t.Errorf("%d reports in the first ten seconds", n)
		}
		// 5 s, from half to one and a half of it, by e - 3/2.
		if n := bob.count(5*time.Minute, alice, bob); n < 46 || n > 150 {
			t.Errorf("%d reports in five minutes", n)
		}
		passed := func(d time.Duration) (n int) {
			for ; d > 0; d -= 5 * time.Second {
				alice.tells(t, 0, &rtcp.ReceiverReport{SSRC: alice.ssrc})
				n += bob.count(5*time.Second, alice, bob)
			}
			return n
		}
		if n := passed(time.Minute); n > 1 { // one may have been on its way
			t.Errorf("%d reports of our own beside the far end's", n)
		}
		if n := bob.count(4*time.Second, alice, bob); n != 0 {
			t.Errorf("%d reports just after the far end's", n)
		}
		if n := bob.count(time.Minute, alice, bob); n < 5 {
			t.Errorf("%d reports in the minute after the far end stopped", n)
		}
	})
}

// TestNoReportsOfOurOwn where they were not asked for, where nobody takes them, and where nobody is joined.
func TestNoReportsOfOurOwn(t *testing.T) {
	for name, change := range map[string]func(b *bed, alice, bob *end){
		"not asked for": func(b *bed, _, bob *end) { b.Set(bob.set()) },
		"muted":         func(b *bed, _, bob *end) { b.Mute(bob.Ref) },
		"silenced":      func(b *bed, _, bob *end) { b.Silence(bob.Ref) },
		"no lane": func(b *bed, _, bob *end) {
			n := bob.fill()
			n.RTCP = Aim{}
			b.Set(n)
		},
		"alone":  func(b *bed, alice, _ *end) { b.Close(alice.Ref) },
		"closed": func(b *bed, _, bob *end) { b.Close(bob.Ref) },
		"held":   func(b *bed, _, _ *end) { b.fence.Swap(snapshot(b.t, "aws:eu-central-1")) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, Config{})
				b.goes()
				alice, bob := b.call(0, 0)
				b.Set(bob.fill())
				if n := bob.count(20*time.Second, alice, bob); n == 0 {
					t.Fatal("no reports")
				}
				change(b, alice, bob)
				if n := bob.count(time.Minute); n != 0 {
					t.Errorf("%d reports", n)
				}
				if told := b.events.of(bob.Ref, "law"); len(told) > 0 && name != "held" {
					t.Errorf("told of %v", told)
				}
			})
		})
	}
}

// TestReportsOfOurOwnInAHold are those of a receiver, on the port of RTP where that was agreed on.
// Conforms: RFC 3550 section 6.4; RFC 3264 section 5.1
func TestReportsOfOurOwnInAHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		b.goes()
		alice, bob := b.call(0, srtp.AES128GCM)
		b.Set(bob.fill())
		talk(15*time.Second, alice, bob)
		n := bob.fill()
		n.Wants, n.Mux, n.RTCP = false, true, Aim{}
		b.Set(n)
		talk(20*time.Second, bob) // after two more reports nothing was sent since the last but one
		was := bob.rtp.sent
		for bob.rtp.sent == was {
			talk(frame, bob)
			synctest.Wait()
		}
		got := bob.read(t, bob.rtp)
		if rr, ok := got[0].(*rtcp.ReceiverReport); !ok || rr.SSRC != alice.ssrc || len(rr.Reports) != 1 || rr.Reports[0].SSRC != bob.ssrc {
			t.Errorf("%v", got)
		}
		b.Set(bob.fill())
		bob.rtcp.last = nil
		for bob.rtcp.last == nil {
			talk(frame, alice, bob)
			synctest.Wait()
		}
		if got := bob.reported(t); got[0].(*rtcp.SenderReport).PacketCount == 0 {
			t.Errorf("%v", got)
		}
	})
}

// TestReportsOfOurOwnFollowTheStream: another source begins to count at nothing, as does what goes to another leg.
func TestReportsOfOurOwnFollowTheStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		b.goes()
		alice, bob := b.call(0, 0)
		b.Set(bob.fill())
		next := func(to *end) *rtcp.SenderReport {
			t.Helper()
			to.rtcp.last = nil
			for to.rtcp.last == nil {
				talk(frame, alice)
				synctest.Wait()
			}
			return to.reported(t)[0].(*rtcp.SenderReport)
		}
		talk(20*time.Second, alice)
		if sr := next(bob); sr.PacketCount < 1000 || len(sr.Reports) != 0 {
			t.Errorf("%v", sr)
		}
		alice.ssrc++
		from := alice.ext
		talk(frame, alice)
		if sr := next(bob); sr.SSRC != alice.ssrc || uint64(sr.PacketCount) > alice.ext-from || uint64(sr.PacketCount)+2 < alice.ext-from {
			t.Errorf("of %d packets: %v", alice.ext-from, sr)
		}
		carol := b.leg(Ref{3, 9}, netip.MustParseAddrPort("127.0.2.11:6000"), 0)
		b.Set(carol.fill())
		b.Join(alice.Ref, carol.Ref)
		from = alice.ext
		if sr := next(carol); uint64(sr.PacketCount) > alice.ext-from || uint64(sr.PacketCount)+2 < alice.ext-from {
			t.Errorf("of %d packets: %v", alice.ext-from, sr)
		}
	})
}

// TestReportsOfOurOwnCostLittle: none of them takes memory but the first, and what is due at once is done in parts.
func TestReportsOfOurOwnCostLittle(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(srtp.AES128CM80, srtp.AES128GCM)
	b.Set(bob.fill())
	alice.crosses(bob, 3)
	bob.crosses(alice, 3)
	w := b.worker(bob.Slot)
	l, _ := w.of(bob.Ref)
	o, _ := w.of(alice.Ref)
	l.writes = &quality.Reporter{}
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += int64(time.Second)
		w.account(&l, &o, now)
	}); n > 0 {
		t.Errorf("a report takes %v allocations", n)
	}
	if bob.rtcp.sent != 1001 {
		t.Errorf("%d reports", bob.rtcp.sent)
	}
}

// TestAgenda: everybody has a turn, none too early, and a long sleep loses nobody.
func TestAgenda(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := agenda{began: time.Now()}
		due := map[Ref]time.Time{}
		enter := func(r Ref, after time.Duration) {
			a.enter(r, after)
			due[r] = time.Now().Add(min(after, (turns-3)*turnLength))
		}
		for i := range uint32(300) {
			enter(Ref{i, i}, time.Duration(i)*100*time.Millisecond)
		}
		if a.due(a.now()) {
			t.Error("a turn at once")
		}
		for step := range 600 {
			if step == 200 {
				time.Sleep(time.Hour)
			}
			time.Sleep(turnLength / 3)
			for looks := 0; ; looks++ {
				r, ok := a.leave(a.now())
				if !ok {
					break
				}
				if looks > 600 {
					t.Fatal("it does not come to an end")
				}
				if time.Now().Before(due[r]) && (step < 200 || step > 400) { // all turns are gone through then, and some that begin while they are
					t.Fatalf("%v: %v too early", r, time.Until(due[r]))
				}
				delete(due, r)
				if step < 400 {
					enter(r, 7*time.Second)
				}
			}
			for r, at := range due {
				if late := time.Since(at); late > 3*turnLength {
					t.Fatalf("%v: %v late", r, late)
				}
			}
		}
		if len(due) != 0 || a.size != 0 || a.due(a.now()) {
			t.Errorf("%d are left of %d", len(due), a.size)
		}
	})
}

// TestSweepsAreBounded: what is due at once is done some at a time.
func TestSweepsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		w := b.worker(1)
		w.lock()
		for range 3*perLock - 1 {
			w.agenda.enter(Ref{9, 9}, 0)
		}
		w.mu.Unlock()
		time.Sleep(2 * turnLength)
		for n, want := range []bool{true, true, false} {
			if more := w.sweep(); more != want {
				t.Errorf("after sweep %d: %v", n+1, more)
			}
		}
	})
}
