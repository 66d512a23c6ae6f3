//go:build linux

package link

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/cordonsip/cordon/media/plane"
)

// replayed reads what a ledger tells into another one, and gives the kinds.
func replayed(t *testing.T, l *ledger) (*ledger, []kind) {
	t.Helper()
	out, kinds := newLedger(), []kind(nil)
	for b := l.tell(nil, func(int, held) {}); len(b) > 0; {
		k, _, n, err := header(b)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, k)
		if k != kindGive {
			o, err := commanded(k, &body{b: b[headerSize : headerSize+n]}, nil)
			if err != nil {
				t.Fatal(err)
			}
			o.book(out)
		}
		b = b[headerSize+n:]
	}
	return out, kinds
}

func (l *ledger) has(t *testing.T, o plane.Open, s ...plane.Set) {
	t.Helper()
	if !opened(l, o) {
		t.Fatal("no room")
	}
	for _, n := range s {
		n.Ref = o.Ref
		settled(l, n)
	}
}

func TestLedgerTellsWhatWasCommandedLast(t *testing.T) {
	first, second := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.2:4000")
	a, b, c := plane.Ref{Slot: 1, Serial: 1}, plane.Ref{Slot: 2, Serial: 1}, plane.Ref{Slot: 3, Serial: 5}
	l := newLedger()
	l.has(t, plane.Open{Ref: a, Session: "x"}, plane.Set{RTP: plane.Aim{To: first, Cause: "offer"}}, plane.Set{In: testKey(1), RTP: plane.Aim{Stay: true}, RTCP: plane.Aim{To: second}})
	l.has(t, plane.Open{Ref: b, Session: "x"}, plane.Set{RTP: plane.Aim{To: second}})
	l.has(t, plane.Open{Ref: c, Session: "y"}, plane.Set{RTP: plane.Aim{To: first}}, plane.Set{RTP: plane.Aim{To: second}})
	l.join(a, b, putJoin(nil, a, b))
	l.join(a, c, putJoin(nil, a, c)) // b is joined to nobody
	l.still(b, kindMute)
	l.still(c, kindSilence)
	l.still(c, kindMute)
	l.watch(a, true)

	got, kinds := replayed(t, l)
	want := []kind{kindOpen, kindSet, kindWatch, kindOpen, kindSet, kindMute, kindOpen, kindSet, kindSilence, kindJoin, kindJoin}
	if !slices.Equal(kinds, want) {
		t.Fatalf("%v, want %v", kinds, want)
	}
	legs := got.inventory().Legs
	if s := legs[0].Set; s.RTP.To != first || s.RTP.Stay || s.RTP.Cause != "offer" || s.RTCP.To != second || !s.In.Same(testKey(1)) {
		t.Errorf("%+v", s)
	}
	if legs[0].Joined != [2]plane.Ref{a, c} || legs[1].Joined != [2]plane.Ref{a, b} || legs[2].Joined != [2]plane.Ref{a, c} {
		t.Errorf("%v %v %v", legs[0].Joined, legs[1].Joined, legs[2].Joined)
	}
	if !legs[0].Watched || legs[1].Silenced || !legs[1].Muted || !legs[2].Silenced {
		t.Errorf("%+v", legs)
	}
	// A Silence is nowhere, also for who stays where it was; and it is over with the next Set.
	settled(l, plane.Set{Ref: c, RTP: plane.Aim{Stay: true}})
	if g := l.inventory().Legs[2]; g.Muted || g.Set.RTP.Stay || g.Set.RTP.To.IsValid() {
		t.Errorf("%+v", g)
	}
}

func TestLedgerForgets(t *testing.T) {
	a := plane.Ref{Slot: 1, Serial: 1}
	l := newLedger()
	l.has(t, plane.Open{Ref: a, Session: "x", Pair: 4}, plane.Set{In: testKey(7)})
	was := l.legs[1].set
	if !bytes.Contains(was, testKey(7).Master) {
		t.Fatal("no key in it")
	}
	settled(l, plane.Set{Ref: a, In: testKey(8)})
	if bytes.Contains(was, testKey(7).Master) {
		t.Error("a key that is no more in force was kept")
	}
	was = l.legs[1].set
	for _, stale := range []plane.Ref{{Slot: 1, Serial: 2}, {Slot: 2, Serial: 1}} {
		l.close(stale)
		l.still(stale, kindMute)
		l.watch(stale, true)
		settled(l, plane.Set{Ref: stale})
	}
	if c := l.legs[1]; c == nil || c.rest != 0 || c.watched || !bytes.Contains(c.set, testKey(8).Master) {
		t.Errorf("a command to another leg was taken: %+v", c)
	}
	l.close(a)
	if len(l.legs) != 0 || bytes.Contains(was, testKey(8).Master) {
		t.Error("the key of a leg that ended was kept")
	}
}
