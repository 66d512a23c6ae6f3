package plane

import (
	"bytes"
	"context"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	ours "github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// three is a clip of three frames, which say which they are.
func three() Clip {
	return Clip{ID: 3, Size: 160, Bytes: slices.Concat(bytes.Repeat([]byte{1}, 160), bytes.Repeat([]byte{2}, 160), bytes.Repeat([]byte{3}, 160))}
}

// spoken is one packet that a leg sent by itself.
type spoken struct {
	at time.Duration // since the first one
	b  []byte
}

// tape collects what a leg sends.
func (e *end) tape() *[]spoken {
	var all []spoken
	var first time.Time
	e.rtp.tape = func(b []byte) {
		if first.IsZero() {
			first = time.Now()
		}
		all = append(all, spoken{time.Since(first), bytes.Clone(b)})
	}
	return &all
}

// begins has the plane run in virtual time until the function that it gives is called.
func (b *bed) begins() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
}

// What a leg plays leaves each 20 ms to the millisecond, under numbers of its own, until all of it has gone; nothing has to come in before.
func TestAClipOnItsGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Config{})
		defer b.begins()()
		b.Stock([]Clip{three()})
		alice := b.leg(Ref{1, 7}, aliceAddr, 0)
		got := alice.tape()
		begun := time.Now()
		b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160, Frames: 7})
		time.Sleep(time.Second)
		synctest.Wait()
		if len(*got) != 7 || alice.rtp.to != aliceAddr {
			t.Fatalf("%d packets to %s", len(*got), alice.rtp.to)
		}
		first, _ := ParseHeader((*got)[0].b)
		for i, p := range *got {
			h, ok := ParseHeader(p.b)
			want := Header{Base: 12, Full: 12, PT: 8, Marker: i == 0, Seq: first.Seq + uint16(i), TS: first.TS + uint32(160*i), SSRC: first.SSRC}
			if !ok || h != want || len(p.b) != 172 || p.b[12] != byte(i%3+1) || p.b[171] != byte(i%3+1) {
				t.Errorf("packet %d: %+v, want %+v; frame %d", i, h, want, p.b[12])
			}
			if p.at != time.Duration(i)*20*time.Millisecond {
				t.Errorf("packet %d left after %s", i, p.at)
			}
		}
		if first.Seq >= 1<<15 {
			t.Errorf("the numbers begin at %d: the first rollover could be mistaken", first.Seq)
		}
		if ends := b.events.ends(); len(ends) != 1 || ends[0] != (Played{Leg: alice.Ref, Frames: 7, End: Whole}) {
			t.Errorf("%+v", ends)
		}
		if c := b.read(alice.Ref); c.Sent != 7 {
			t.Errorf("%d are counted", c.Sent)
		}
		if d := time.Since(begun); d != time.Second {
			t.Errorf("%s", d)
		}
		if due := b.workers[0].perform(); due >= 0 {
			t.Errorf("something is due in %s when nobody plays", due)
		}
	})
}

// A far end opens what it is played by its keys, whatever the suite; a second time comes under another SSRC, and no index is used twice.
func TestAClipUnderSRTP(t *testing.T) {
	for _, suite := range suites {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, Config{})
			defer b.begins()()
			b.Stock([]Clip{three()})
			alice := b.leg(Ref{1, 7}, aliceAddr, suite)
			got := alice.tape()
			names := map[uint32]int{}
			for range 2 {
				b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160, Frames: 4})
				time.Sleep(time.Second)
			}
			synctest.Wait()
			theirs := opening(t, alice.out)
			for i, p := range *got {
				if err := theirs.try(p.b); err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				h, _ := ParseHeader(p.b)
				names[h.SSRC]++
			}
			if len(*got) != 8 || len(names) != 2 {
				t.Errorf("%d packets under %d SSRCs", len(*got), len(names))
			}
		})
	}
}

// Whatever makes the way of a leg another one ends what it plays, at once.
func TestWhatEndsAClip(t *testing.T) {
	for name, x := range map[string]struct {
		do   func(b *bed, alice, bob *end)
		want []Played
	}{
		"stop":    {func(b *bed, alice, _ *end) { b.Stop(alice.Ref) }, []Played{{Ref{1, 7}, 5, Stopped}}},
		"mute":    {func(b *bed, alice, _ *end) { b.Mute(alice.Ref) }, []Played{{Ref{1, 7}, 5, Stopped}}},
		"silence": {func(b *bed, alice, _ *end) { b.Silence(alice.Ref) }, []Played{{Ref{1, 7}, 5, Stopped}}},
		"join":    {func(b *bed, alice, bob *end) { b.Join(alice.Ref, bob.Ref) }, []Played{{Ref{1, 7}, 5, Stopped}}},
		"opaque": {func(b *bed, alice, _ *end) {
			n := alice.set()
			n.Opaque = true
			b.Set(n)
		}, []Played{{Ref{1, 7}, 5, Stopped}}},
		"again":    {func(b *bed, alice, _ *end) { b.Set(alice.set()) }, []Played{{Ref{1, 7}, 50, Whole}}}, // a further offer is no end
		"close":    {func(b *bed, alice, _ *end) { b.Close(alice.Ref) }, nil},
		"withdraw": {func(b *bed, alice, _ *end) { b.Withdraw(alice.Pair) }, nil},
		"another leg": {func(b *bed, alice, _ *end) {
			o := alice.Open
			o.Serial++
			b.Open(o)
		}, nil},
		"law":     {func(b *bed, _, _ *end) { b.fence.Swap(snapshot(b.t, "aws:us-east-1")) }, []Played{{Ref{1, 7}, 6, Forbade}}},
		"nothing": {func(*bed, *end, *end) {}, []Played{{Ref{1, 7}, 50, Whole}}},
		"other clips": {func(b *bed, _, _ *end) {
			b.Stock(nil) // who plays goes on
			b.Play(Play{Ref: Ref{2, 8}, Clip: 3, PT: 8, Step: 160})
		}, []Played{{Ref{2, 8}, 0, Unplayed}, {Ref{1, 7}, 50, Whole}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, Config{})
				defer b.begins()()
				b.Stock([]Clip{three()})
				alice, bob := b.leg(Ref{1, 7}, aliceAddr, 0), b.leg(Ref{2, 8}, bobAddr, 0)
				got := alice.tape()
				b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160, Frames: 50})
				time.Sleep(105 * time.Millisecond)
				synctest.Wait()
				if len(*got) != 5 {
					t.Fatalf("%d packets in 105 ms", len(*got))
				}
				x.do(b, alice, bob)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				want := 5
				if n := len(x.want); n > 0 && x.want[n-1].End == Whole {
					want = 50
				}
				if len(*got) != want {
					t.Errorf("%d packets left, want %d", len(*got), want)
				}
				if ends := b.events.ends(); !reflect.DeepEqual(ends, x.want) {
					t.Errorf("told %+v, want %+v", ends, x.want)
				}
				if b.workers[0].stage.full.Load() != 0 {
					t.Error("somebody still has a moment")
				}
			})
		})
	}
}

// What cannot be played is told, and what cannot be a clip is none.
func TestWhatIsNotPlayed(t *testing.T) {
	b := newBed(t, Config{})
	b.Stock([]Clip{three(), {ID: 4, Size: 160}, {ID: 5, Size: 0, Bytes: []byte{1}}, {ID: 6, Size: 160, Bytes: make([]byte, 161)}, {ID: 7, Size: maxFrame + 1, Bytes: make([]byte, maxFrame+1)}})
	alice := b.leg(Ref{1, 7}, aliceAddr, 0)
	for id := uint64(4); id < 9; id++ {
		b.Play(Play{Ref: alice.Ref, Clip: id, PT: 8, Step: 160})
	}
	if ends := b.events.ends(); len(ends) != 5 || ends[0].End != Unplayed || ends[0].Leg != alice.Ref {
		t.Errorf("%+v", ends)
	}
	b.Play(Play{Ref: Ref{1, 6}, Clip: 3}) // of a leg that is gone nothing is told
	b.Mute(alice.Ref)
	b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160})
	n := alice.set()
	n.Opaque = true
	b.Set(n)
	b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160})
	b.Set(alice.set())
	bob := b.leg(Ref{2, 8}, bobAddr, 0)
	b.Join(alice.Ref, bob.Ref)
	b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160})
	if ends := b.events.ends(); len(ends) != 3 || ends[0].End != Unplayed || ends[1].End != Unplayed || ends[2].End != Unplayed {
		t.Errorf("%+v", ends)
	}
	b.Stop(bob.Ref)
	if ends := b.events.ends(); ends != nil || b.workers[0].stage.full.Load() != 0 {
		t.Errorf("%+v", ends)
	}
}

// A far end behind a translator is sent to where its packets come from, from the first one on.
func TestAClipFollowsItsFarEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Config{})
		defer b.begins()()
		b.Stock([]Clip{three()})
		alice := b.leg(Ref{1, 7}, aliceAddr, 0)
		b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160})
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if alice.rtp.to != aliceAddr {
			t.Errorf("to %s", alice.rtp.to)
		}
		seen := port(aliceAddr, 61000)
		alice.rtp.take(alice.next(), seen)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if alice.rtp.to != seen {
			t.Errorf("to %s, want %s", alice.rtp.to, seen)
		}
		alice.rtp.take(alice.next(), heldAddr)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if alice.rtp.to != seen {
			t.Errorf("to %s after a stranger", alice.rtp.to)
		}
	})
}

// Many legs share few moments, so that the worker wakes up seldom, and each of them is served.
func TestManyLegsPlayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const legs = 100
		b := newBed(t, Config{Workers: 2})
		defer b.begins()()
		b.Stock([]Clip{three()})
		var all []*end
		for i := range uint32(legs) {
			e := b.leg(Ref{i + 1, 7}, aliceAddr, 0)
			b.Play(Play{Ref: e.Ref, Clip: 3, PT: 8, Step: 160})
			all = append(all, e)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, e := range all {
			if e.rtp.sent < 49 || e.rtp.sent > 51 {
				t.Errorf("leg %d sent %d packets in a second", i, e.rtp.sent)
			}
		}
		for i, w := range b.workers {
			used := 0
			for _, row := range w.stage.rows {
				if used += min(len(row), 1); len(row) > together {
					t.Errorf("worker %d: %d legs in one moment", i, len(row))
				}
			}
			if used != 2 {
				t.Errorf("worker %d: 50 legs in %d moments", i, used)
			}
		}
		for _, e := range all {
			b.Stop(e.Ref)
		}
		if ends := b.events.ends(); len(ends) != legs {
			t.Errorf("%d of %d legs ended", len(ends), legs)
		}
	})
}

// A worker that was held up does not throw all that it missed at a far end: it makes up for a little, and goes on behind it.
func TestALateWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Config{}) // nobody runs it
		b.Stock([]Clip{three()})
		alice := b.leg(Ref{1, 7}, aliceAddr, 0)
		got := alice.tape()
		b.Play(Play{Ref: alice.Ref, Clip: 3, PT: 8, Step: 160})
		time.Sleep(3 * time.Second)
		w := b.workers[0]
		due := w.perform()
		if len(*got) != maxLate || due <= 0 || due > 20*time.Millisecond {
			t.Fatalf("%d packets at once, the next in %s", len(*got), due)
		}
		time.Sleep(due)
		if w.perform() != 20*time.Millisecond || len(*got) != maxLate+1 {
			t.Errorf("%d packets", len(*got))
		}
		for i := 1; i < len(*got); i++ {
			if was, is := binary.BigEndian.Uint16((*got)[i-1].b[2:]), binary.BigEndian.Uint16((*got)[i].b[2:]); is != was+1 {
				t.Errorf("number %d after %d", is, was)
			}
		}
	})
}

// A frame costs no memory.
func TestNoAllocationsPerFrame(t *testing.T) {
	for _, suite := range []ours.Suite{0, ours.AES128CM80, ours.AES256GCM} {
		b := newBed(t, Config{Fence: sovereign.NewFence(europe(t), nil)})
		b.Stock([]Clip{three()})
		for i := range uint32(10) {
			e := b.leg(Ref{i + 1, 7}, aliceAddr, suite)
			b.Play(Play{Ref: e.Ref, Clip: 3, PT: 8, Step: 160})
		}
		w := b.workers[0]
		row := slices.IndexFunc(w.stage.rows[:], func(r []playing) bool { return len(r) == 10 })
		if row < 0 {
			t.Fatal("ten legs have more than one moment")
		}
		each := testing.AllocsPerRun(100, func() {
			w.lock()
			for i := range w.stage.rows[row] {
				w.frame(row, i)
			}
			w.mu.Unlock()
		})
		if each != 0 {
			t.Errorf("%v: %v allocations for ten frames", suite, each)
		}
	}
}
