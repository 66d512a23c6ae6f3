//go:build linux

package link

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// whole gives the body of the one frame in b.
func whole(t testing.TB, b []byte, want kind) *body {
	t.Helper()
	k, _, n, err := header(b)
	if err != nil || k != want || len(b) != headerSize+n {
		t.Fatalf("kind %d, body %d of %d: %v", k, n, len(b), err)
	}
	return &body{b: b[headerSize:]}
}

func examples() (plane.Open, plane.Set, plane.Move) {
	ref := plane.Ref{Slot: 1 << 20, Serial: 4_000_000_000}
	o := plane.Open{
		Ref: ref, Pair: 77, Session: "s", Side: 1, Party: "carrier", Purpose: sovereign.EmergencyCall, Shown: netip.MustParseAddrPort("[fe80::1%eth0]:40000"),
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
	}
	gcm := plane.Key{Suite: srtp.AES256GCM, Master: bytes.Repeat([]byte{9}, 44), MKI: []byte{1, 2}}
	s := plane.Set{
		Ref: ref, In: gcm, Out: testKey(3), Mux: true, Wants: true, Opaque: true, Clocks: []plane.Clock{{PT: 8, Rate: 8000}, {PT: 101, To: 96, Moves: true, Event: true, Rate: 8000}},
		RTP: plane.Aim{To: netip.MustParseAddrPort("198.51.100.7:5004"), Cause: "answer", Began: 1_700_000_000_000_000_000}, RTCP: plane.Aim{Stay: true, Cause: "reinvite", Began: 5},
		Reports: plane.Reports{After: 10 * time.Second, Octets: 400},
		Taken:   true, Tones: []plane.Tone{{PT: 96, Rate: 8000}, {PT: 97, Rate: 48000}},
	}
	m := plane.Move{
		Leg: ref, RTCP: true, At: time.Unix(1_800_000_000, 5), From: netip.MustParseAddrPort("192.0.2.1:9"), To: netip.MustParseAddrPort("[2001:db8::1]:9"), Cause: "rebind",
		Allowed: true, Ruling: &sovereign.Ruling{Verdict: sovereign.Permit, Ground: sovereign.GroundInEEA, Why: "in the EEA", Country: "DE", Generation: 4},
	}
	return o, s, m
}

func must(t testing.TB) func(b []byte, err error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestFramesReadAsTheyWereWritten(t *testing.T) {
	o, s, m := examples()
	same := func(got, want any, r *body) {
		t.Helper()
		if err := r.end(); err != nil || len(r.b) != 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %d bytes left:\n%+v\n%+v", err, len(r.b), got, want)
		}
	}
	r := whole(t, must(t)(putOpen(nil, o)), kindOpen)
	same(r.open(), o, r)
	r = whole(t, must(t)(putOpen(nil, plane.Open{})), kindOpen)
	same(r.open(), plane.Open{}, r)
	r = whole(t, must(t)(putSet(nil, s)), kindSet)
	same(r.setting(kindSet), s, r)
	r = whole(t, must(t)(putSet(nil, plane.Set{})), kindSet)
	same(r.setting(kindSet), plane.Set{}, r)
	s.Aside, s.Wait, s.Checks = true, true, plane.Checks{Own: ice.Credentials{Ufrag: "abcd", Pwd: "0123456789012345678901"}, Peer: "peer"}
	r = whole(t, must(t)(putSet(nil, s)), kindSetAside)
	same(r.setting(kindSetAside), s, r)
	d := said{leg: m.Leg, at: m.To, bytes: []byte{22, 254, 253}}
	r = whole(t, must(t)(putSaid(nil, kindSay, d)), kindSay)
	same(r.said(), d, r)
	r = whole(t, must(t)(putMoved(nil, m)), kindMoved)
	same(r.moved(nil), m, r)
	p := passed{leg: m.Leg, in: true, at: 12, peer: m.To, size: 172, header: []byte{0x80, 1, 2}}
	r = whole(t, putPassed(nil, p), kindPassed)
	same(r.passed(), p, r)
	digit := plane.Digit{Leg: m.Leg, Event: 11, Duration: 160 * time.Millisecond}
	r = whole(t, putPressed(nil, digit), kindPressed)
	same(r.pressed(), digit, r)
	press := plane.Press{Ref: m.Leg, Event: 16, Duration: time.Second, Pause: 40 * time.Millisecond}
	r = whole(t, putPress(nil, press), kindPress)
	same(r.press(), press, r)
	g := Greeting{Major: 1, Minor: 2, Layout: 3, Build: "v1", PID: 4, Workers: 5, Legs: 6, Pairs: 7}
	r = whole(t, putGreeting(nil, g), kindHello)
	same(r.greeting(), g, r)
	r = whole(t, putPong(nil, pong{1, 2, 3, 4, 5}), kindPong)
	same(r.pong(), pong{1, 2, 3, 4, 5}, r)
	impair := plane.Impair{Ref: m.Leg, Loss: 0.05, Delay: 400 * time.Millisecond, Until: time.Unix(1_800_000_000, 5)}
	r = whole(t, putImpair(nil, impair), kindImpair)
	same(r.impair(), impair, r)
	play := plane.Play{Ref: m.Leg, Clip: 1 << 63, PT: 8, Step: 160, Frames: 77}
	r = whole(t, putPlay(nil, play), kindPlay)
	same(r.play(), play, r)
	played := plane.Played{Leg: m.Leg, Frames: 12, End: plane.Forbade}
	r = whole(t, putPlayed(nil, played), kindPlayed)
	same(r.played(), played, r)
	r = whole(t, putJoin(nil, plane.Ref{Slot: 1, Serial: 2}, plane.Ref{Slot: 3}), kindJoin)
	same([2]plane.Ref{r.ref(), r.ref()}, [2]plane.Ref{{Slot: 1, Serial: 2}, {Slot: 3}}, r)
}

// TestLaterMinorVersions: what stands behind the fields that are known is left alone.
func TestLaterMinorVersions(t *testing.T) {
	o, _, _ := examples()
	r := body{b: append(must(t)(putOpen(nil, o))[headerSize:], "more"...)}
	if got := r.open(); r.end() != nil || !reflect.DeepEqual(got, o) {
		t.Errorf("%v %+v", r.end(), got)
	}
}

func TestFramesAreBounded(t *testing.T) {
	o, s, m := examples()
	long := strings.Repeat("x", maxText+1)
	for what, err := range map[string]error{
		"session":  second(putOpen(nil, plane.Open{Session: long})),
		"party":    second(putOpen(nil, plane.Open{Party: long})),
		"prefixes": second(putOpen(nil, plane.Open{Prefixes: make([]netip.Prefix, maxPrefixes+1)})),
		"tones":    second(putSet(nil, plane.Set{Tones: make([]plane.Tone, maxTones+1)})),
		"clocks":   second(putSet(nil, plane.Set{Clocks: make([]plane.Clock, maxClocks+1)})),
		"datagram": second(putSaid(nil, kindAside, said{bytes: make([]byte, maxAside+1)})),
		"ruling":   second(putMoved(nil, plane.Move{Ruling: &sovereign.Ruling{Why: strings.Repeat("x", maxBody+1)}})),
	} {
		if err == nil {
			t.Errorf("%s: no bound", what)
		}
	}
	if _, _, _, err := header([]byte{1, 0, 1, 0, byte(kindSet), 0, 0, 0}); err == nil {
		t.Error("a frame of 65,537 bytes was taken")
	}
	// A key of a wrong length, and one that says it is none.
	for _, k := range []plane.Key{{Suite: srtp.AES128CM80, Master: make([]byte, 29)}, {Suite: 99, Master: make([]byte, 30)}, {Master: []byte{1}}, {MKI: []byte{1}}} {
		r := body{b: putKey(nil, k)}
		if r.key(); r.end() == nil {
			t.Errorf("%+v was taken", k)
		}
	}
	// Each frame that ends too early is refused, but for one that ends before what a later minor version added.
	added := map[kind][]int{kindSet: {41, 40, 28, 16}, kindSetAside: {28, 16}}
	web := s
	web.Aside, web.Checks.Peer = true, "peer"
	for k, b := range map[kind][]byte{
		kindOpen: must(t)(putOpen(nil, o)), kindSet: must(t)(putSet(nil, s)), kindMoved: must(t)(putMoved(nil, m)), kindSetAside: must(t)(putSet(nil, web)),
		kindAside: must(t)(putSaid(nil, kindAside, said{leg: m.Leg, at: m.To, bytes: []byte{20}})),
	} {
		for n := headerSize; n < len(b); n++ {
			if slices.Contains(added[k], len(b)-n) {
				continue
			}
			r := body{b: b[headerSize:n]}
			switch k {
			case kindOpen:
				r.open()
			case kindSet:
				r.setting(k)
			case kindMoved:
				r.moved(nil)
			case kindSetAside:
				r.setting(k)
			case kindAside:
				r.said()
			}
			if r.end() == nil {
				t.Fatalf("kind %d: the first %d of %d bytes were taken", k, n, len(b))
			}
		}
	}
}

func second(_ []byte, err error) error { return err }

func TestPolicyInParts(t *testing.T) {
	want := bytes.Repeat([]byte("policy"), 20_000)
	parts := func(push uint64) (out []policyPart) {
		for b := putPolicy(nil, push, want); len(b) > 0; {
			_, _, n, _ := header(b)
			r := body{b: b[headerSize : headerSize+n]}
			out = append(out, r.policy())
			if r.end() != nil {
				t.Fatal("a part that does not read")
			}
			b = b[headerSize+n:]
		}
		return out
	}
	var g gathered
	g.add(parts(1)[0]) // never whole
	for i, p := range parts(2) {
		got, err := g.add(p)
		if err != nil || (got != nil) != (i == len(parts(2))-1) || got != nil && !bytes.Equal(got, want) {
			t.Fatalf("part %d: %d bytes, %v", i, len(got), err)
		}
	}
	for what, p := range map[string]policyPart{"out of order": parts(3)[1], "of another": {push: 9, total: 9, begin: 3, bytes: []byte{1}}} {
		g.add(parts(3)[0])
		if what == "out of order" {
			p = parts(3)[2]
		}
		if _, err := g.add(p); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzFrames: whatever comes is refused or reads as something that can be written, and reads the same again.
func FuzzFrames(f *testing.F) {
	o, s, m := examples()
	web := s
	web.Aside, web.Wait, web.Checks = true, true, plane.Checks{Own: ice.Credentials{Ufrag: "abcd", Pwd: "0123456789012345678901"}}
	for _, b := range [][]byte{
		must(f)(putSet(nil, web)), must(f)(putSaid(nil, kindSay, said{leg: o.Ref, at: o.Shown, bytes: []byte{22}})), must(f)(putSaid(nil, kindAside, said{leg: o.Ref, at: o.Shown})),
		must(f)(putOpen(nil, o)), must(f)(putSet(nil, s)), must(f)(putMoved(nil, m)), putGreeting(nil, Greeting{Build: "x"}), putPassed(nil, passed{header: []byte{1}}),
		putPolicy(nil, 1, []byte("{}")), putPong(nil, pong{}), putJoin(nil, o.Ref, o.Ref), putWatch(nil, o.Ref, true),
		putWithdraw(nil, 3), one(nil, kindMute, o.Ref), one(nil, kindClose, o.Ref),
		putClip(nil, clip(7, 2)), putDrop(nil, 7), putPlay(nil, plane.Play{Ref: o.Ref, Clip: 7}), one(nil, kindHush, o.Ref), putPlayed(nil, plane.Played{Leg: o.Ref}),
		putPress(nil, plane.Press{Ref: o.Ref, Event: 5, Duration: time.Second}), putPressed(nil, plane.Digit{Leg: o.Ref, Event: 5}),
		putImpair(nil, plane.Impair{Ref: o.Ref, Loss: 1, Until: time.Unix(1_800_000_000, 0)}),
	} {
		f.Add(b[4], b[headerSize:])
	}
	f.Fuzz(func(t *testing.T, k byte, b []byte) {
		if len(b) > maxBody {
			return
		}
		book, to := newLedger(), &deaf{}
		if commands(kind(k)) {
			if ord, err := commanded(kind(k), &body{b: bytes.Clone(b)}, nil); err == nil {
				ord.book(book)
				ord.do(to)
				book.tell(nil, func(int, held) {})
				book.inventory()
			}
		}
		again(t, kind(k), b)
		c := &Client{cfg: Config{Events: &events{}}, book: newLedger()}
		c.heard(&peer{}, kind(k), &body{b: b}, nil)
	})
}

// again writes what it read.
func again(t *testing.T, k kind, b []byte) {
	r := &body{b: b}
	switch k {
	case kindOpen:
		if v := r.open(); r.end() == nil {
			r = whole(t, must(t)(putOpen(nil, v)), k)
			if w := r.open(); r.end() != nil || !reflect.DeepEqual(v, w) {
				t.Errorf("%+v\n%+v", v, w)
			}
		}
	case kindSet:
		if v := r.setting(k); r.end() == nil {
			r = whole(t, must(t)(putSet(nil, v)), k)
			if w := r.setting(k); r.end() != nil || !reflect.DeepEqual(v, w) {
				t.Errorf("%+v\n%+v", v, w)
			}
		}
	case kindSetAside:
		if v := r.setting(k); r.end() == nil {
			b := must(t)(putSet(nil, v))
			r = &body{b: b[headerSize:]} // of the other kind where nothing stands aside
			if w := r.setting(kind(b[4])); r.end() != nil || !reflect.DeepEqual(v, w) {
				t.Errorf("%+v\n%+v", v, w)
			}
		}
	case kindAside:
		if v := r.said(); r.end() == nil {
			r = whole(t, must(t)(putSaid(nil, k, v)), k)
			if w := r.said(); r.end() != nil || v.leg != w.leg || v.at != w.at || !bytes.Equal(v.bytes, w.bytes) {
				t.Errorf("%+v\n%+v", v, w)
			}
		}
	case kindPlay:
		if v := r.play(); r.end() == nil {
			r = whole(t, putPlay(nil, v), k)
			if w := r.play(); r.end() != nil || v != w {
				t.Errorf("%+v\n%+v", v, w)
			}
		}
	case kindHello:
		if v := r.greeting(); r.end() == nil {
			r = whole(t, putGreeting(nil, v), k)
			if w := r.greeting(); r.end() != nil || v != w {
				t.Errorf("%+v\n%+v", v, w)
			}
		}
	case kindSnapshot:
		var g gathered
		if v := r.policy(); r.end() == nil {
			g.add(v)
		}
	}
}

// deaf is a plane that does nothing.
type deaf struct{ plane.Commands }

func (deaf) Give(plane.Pair)       {}
func (deaf) Withdraw(uint32)       {}
func (deaf) Open(plane.Open)       {}
func (deaf) Set(plane.Set)         {}
func (deaf) Mute(plane.Ref)        {}
func (deaf) Silence(plane.Ref)     {}
func (deaf) Join(_, _ plane.Ref)   {}
func (deaf) Close(plane.Ref)       {}
func (deaf) Watch(plane.Ref, bool) {}
func (deaf) Stock([]plane.Clip)    {}
func (deaf) Play(plane.Play)       {}
func (deaf) Stop(plane.Ref)        {}
func (deaf) Press(plane.Press)     {}
func (deaf) Impair(plane.Impair)   {}

func (deaf) Say(plane.Ref, netip.AddrPort, []byte) {}

// lines are two ends of a connection.
func lines(t testing.TB) (*line, *line) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: folder(t) + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return newLine(a, patience), newLine(b, patience)
}

// TestDescriptorsStayWithTheirFrames: more than go with one message, among frames that have none.
func TestDescriptorsStayWithTheirFrames(t *testing.T) {
	a, b := lines(t)
	const n = 400
	done := make(chan error, 1)
	go func() { done <- a.run(func(kind, *body, []int) error { return nil }) }()
	var want []netip.AddrPort
	for i := range n {
		p, at := pairOf(t, uint32(i))
		want = append(want, at)
		a.put(func(q *batch) {
			q.b = one(q.b, kindMute, plane.Ref{})
			q.files = append(q.files, file{len(q.b), p.RTP.(socket)}, file{len(q.b), p.RTCP.(socket)})
			q.b = putGive(q.b, p.ID)
			q.closing = append(q.closing, p.RTP, p.RTCP) // as soon as they have gone
		})
	}
	for i := range n {
		if k, _, files, err := b.next(); err != nil || k != kindMute || len(files) != 0 {
			t.Fatal(k, files, err)
		}
		k, r, files, err := b.next()
		if err != nil || k != kindGive || len(files) != 2 || r.u32() != uint32(i) {
			t.Fatal(k, files, err)
		}
		s, err := osnet.AdoptSocket(files[0])
		if err != nil || s.Bound() != want[i] {
			t.Fatalf("pair %d: %v", i, err)
		}
		s.Close()
		closeAll(files[1:])
	}
	a.end(os.ErrClosed)
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// TestStuckLine: a queue that nobody empties has an end, and what waits is not kept.
func TestStuckLine(t *testing.T) {
	a, _ := lines(t)
	part := make([]byte, 1<<20)
	n := 0
	for ; n < 1000 && a.put(func(q *batch) { q.b = append(q.b, part...) }); n++ {
	}
	if n != maxWaiting/len(part)+1 || !errors.Is(a.reason(), errStuck) {
		t.Errorf("%d MB were taken: %v", n, a.reason())
	}
}
