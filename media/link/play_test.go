//go:build linux

package link

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// clip has so many frames, each of which says which one it is.
func clip(id uint64, frames int) plane.Clip {
	c := plane.Clip{ID: id, Size: 160, Bytes: make([]byte, 160*frames)}
	for i := range frames {
		binary.BigEndian.PutUint64(c.Bytes[160*i:], uint64(i))
	}
	return c
}

// single is one leg with its far end.
func single(t testing.TB, r *rig, secure bool) *call {
	t.Helper()
	c := newCall(t, 0, secure)
	pair, at := pairOf(t, 1)
	c.at[0] = at
	r.Give(pair)
	r.Open(plane.Open{Ref: c.la, Pair: 1, Session: c.session(), Party: "carrier", Shown: at})
	r.Set(c.negotiated(0, c.a))
	return c
}

// hears has A hear frames from there on, in order.
func (c *call) hears(t testing.TB, from, n, of int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if got, ok := c.a.hear(3 * time.Second); !ok || got != uint64(i%of) {
			t.Fatalf("frame %d: %d %v", i, got, ok)
		}
	}
}

func plays(t *testing.T, r *rig) { heardClip(t, r, false) }

// heardClip: a clip that is larger than a frame of the connection is heard whole, over and over, and its end is told.
func heardClip(t *testing.T, r *rig, secure bool) {
	c := single(t, r, secure)
	r.Stock([]plane.Clip{clip(1, 2), clip(5, 600)})
	r.Play(plane.Play{Ref: c.la, Clip: 1, PT: 8, Step: 160, Frames: 5})
	c.hears(t, 0, 5, 2)
	eventually(t, "all has gone", func() bool { return r.events.ended(plane.Played{Leg: c.la, Frames: 5, End: plane.Whole}) })
	c.a.win = srtp.Window{} // another stream
	r.Play(plane.Play{Ref: c.la, Clip: 5, PT: 8, Step: 160})
	c.hears(t, 0, 10, 600)
	r.Stop(c.la)
	eventually(t, "nothing more comes", func() bool { _, ok := c.a.hear(60 * time.Millisecond); return !ok })
	r.Stock([]plane.Clip{clip(1, 2)})
	r.Play(plane.Play{Ref: c.la, Clip: 5, PT: 8, Step: 160})
	eventually(t, "a clip that is not there is told", func() bool { return r.events.ended(plane.Played{Leg: c.la, End: plane.Unplayed}) })
}

// TestMediaProcessIsKilledInAClip: another one begins the clip anew, and tells of its end; what was over before is not played again.
func TestMediaProcessIsKilledInAClip(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "srtp": true} {
		t.Run(name, func(t *testing.T) {
			deaths := make(chan Death, 2)
			r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
			conf := config(t, r)
			conf.Died = func(d Death) { deaths <- d }
			joined(t, r, conf)
			c := single(t, r, secure)
			kill := func() {
				r.client.mu.Lock()
				pid := r.client.peer.p.Pid
				r.client.mu.Unlock()
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				<-deaths
			}
			r.Stock([]plane.Clip{clip(5, 600)})
			r.Play(plane.Play{Ref: c.la, Clip: 5, PT: 8, Step: 160, Frames: 30})
			c.hears(t, 0, 5, 600)
			kill()
			for { // what was under way
				c.a.win = srtp.Window{}
				if got, ok := c.a.hear(3 * time.Second); !ok {
					t.Fatal("nothing comes any more")
				} else if got == 0 {
					break
				}
			}
			c.hears(t, 1, 29, 600)
			eventually(t, "all has gone", func() bool { return r.events.ended(plane.Played{Leg: c.la, Frames: 30, End: plane.Whole}) })
			kill()
			if got, ok := c.a.hear(200 * time.Millisecond); ok {
				t.Errorf("frame %d of a clip that was over", got)
			}
		})
	}
}

func TestLedgerKeepsWhatIsPlayed(t *testing.T) {
	at, a, b := netip.MustParseAddrPort("192.0.2.1:4000"), plane.Ref{Slot: 1, Serial: 1}, plane.Ref{Slot: 2, Serial: 1}
	began := func() *ledger {
		l := newLedger()
		l.place(clip(9, 500))
		l.place(clip(3, 1))
		l.has(t, plane.Open{Ref: a}, plane.Set{RTP: plane.Aim{To: at}})
		l.has(t, plane.Open{Ref: b}, plane.Set{RTP: plane.Aim{To: at}})
		l.join(a, b, putJoin(nil, a, b))
		l.play(a, putPlay(nil, plane.Play{Ref: a, Clip: 9, Frames: 4}))
		return l
	}
	got, kinds := replayed(t, began())
	want := []kind{kindClip, kindClip, kindClip, kindClip, kindOpen, kindSet, kindOpen, kindSet, kindJoin, kindPlay}
	if !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	if !reflect.DeepEqual(got.clips[9], clip(9, 500)) || !reflect.DeepEqual(got.clips[3], clip(3, 1)) || got.bytes != 501*160 || string(got.legs[1].play) != string(began().legs[1].play) {
		t.Errorf("%d clips with %d bytes", len(got.clips), got.bytes)
	}
	for name, ends := range map[string]func(*ledger){
		"stop": func(l *ledger) { l.play(a, nil) }, "mute": func(l *ledger) { l.still(a, kindMute) }, "silence": func(l *ledger) { l.still(a, kindSilence) },
		"join": func(l *ledger) { l.join(b, a, putJoin(nil, b, a)) }, "close": func(l *ledger) { l.close(a) },
		"opaque": func(l *ledger) { settled(l, plane.Set{Ref: a, Opaque: true}) }, "another leg": func(l *ledger) { opened(l, plane.Open{Ref: plane.Ref{Slot: 1, Serial: 2}}) },
	} {
		l := began()
		if ends(l); slices.Contains(last(replayed(t, l)), kindPlay) {
			t.Errorf("%s: it would be played again", name)
		}
	}
	l := began()
	settled(l, plane.Set{Ref: a, RTP: plane.Aim{To: at}})
	l.play(plane.Ref{Slot: 1, Serial: 2}, nil)
	if !slices.Contains(last(replayed(t, l)), kindPlay) {
		t.Error("a further offer, or another leg's end, ended it")
	}
	l.drop(9)
	if l.drop(77); len(l.all()) != 1 || l.bytes != 160 {
		t.Errorf("%d clips with %d bytes", len(l.clips), l.bytes)
	}
}

func last(_ *ledger, kinds []kind) []kind { return kinds }

// TestClipsAreBounded: in what one has, in what all have, and in how its parts fit together.
func TestClipsAreBounded(t *testing.T) {
	s := &shelf{}
	if s.place(plane.Clip{ID: 1, Size: 1, Bytes: make([]byte, maxClip+1)}) {
		t.Error("no bound for one")
	}
	for i := range uint64(maxClips / maxClip) {
		if !s.place(plane.Clip{ID: i, Size: 1, Bytes: make([]byte, maxClip)}) {
			t.Fatalf("clip %d", i)
		}
	}
	if s.place(clip(99, 1)) {
		t.Error("no bound for all")
	}
	if !s.place(clip(0, 1)) || len(s.clips[0].Bytes) != maxClip {
		t.Error("one that is there already")
	}
	for what, parts := range map[string][]clipped{
		"a hole":          {{id: 1, size: 1, total: 4, bytes: []byte{1}}, {id: 1, size: 1, total: 4, begin: 2, bytes: []byte{1, 2}}},
		"another clip":    {{id: 1, size: 1, total: 4, bytes: []byte{1}}, {id: 2, size: 1, total: 4, begin: 1, bytes: []byte{1, 2, 3}}},
		"another total":   {{id: 1, size: 1, total: 4, bytes: []byte{1}}, {id: 1, size: 1, total: 5, begin: 1, bytes: []byte{1, 2, 3}}},
		"no beginning":    {{id: 1, size: 1, total: 4, begin: 1, bytes: []byte{1, 2, 3}}},
		"another a frame": {{id: 1, size: 1, total: 4, bytes: []byte{1}}, {id: 1, size: 2, total: 4, begin: 1, bytes: []byte{1, 2, 3}}},
	} {
		s, ok := &shelf{}, true
		for _, p := range parts {
			_, ok = s.add(p)
		}
		if ok || len(s.clips) > 0 {
			t.Errorf("%s was taken", what)
		}
	}
	for what, p := range map[string]clipped{
		"too long": {id: 1, size: 1, total: maxClip + 1, bytes: []byte{1}}, "nothing": {id: 1, size: 1, total: 1}, "beyond its end": {id: 1, size: 1, total: 1, begin: 1, bytes: []byte{1}},
		"no frames": {id: 1, size: 0, total: 1, bytes: []byte{1}}, "half a frame": {id: 1, size: 2, total: 3, bytes: []byte{1}},
	} {
		b := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint64(nil, p.id), uint16(p.size))
		b = putBytes(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, p.total), p.begin), p.bytes)
		if _, err := commanded(kindClip, &body{b: b}, nil); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}
