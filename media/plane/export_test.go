package plane

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/internal/tlv"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

var update = flag.Bool("update", false, "write the record of the present layout anew")

// untold are the fields of a slot that no record has, each with the reason.
var untold = map[string]string{
	".flags":               "Open and Set give them anew",
	".other":               "Join says it anew",
	".fds":                 "the descriptors of another process",
	".rtp.clear":           "of the fence of another process",
	".rtcp.clear":          "of the fence of another process",
	".current.used":        "orders the sources beside the slot, which do not go along",
	".out.used":            "orders the streams beside the slot, which do not go along",
	".tallies.countries.6": "it is none",
}

// leaves calls f with every number, truth and byte of v and where it lies.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			p := path + "." + v.Type().Field(i).Name
			if v.Type().Field(i).Anonymous {
				p = path + "." + strings.ToLower(v.Type().Field(i).Name)
			}
			field := v.Field(i)
			leaves(reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem(), p, f)
		}
	case reflect.Array:
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s.%d", path, i), f)
		}
	default:
		f(path, v)
	}
}

func told(path string) bool {
	for p := path; p != ""; p = p[:strings.LastIndexByte(p, '.')] {
		if untold[p] != "" {
			return false
		}
	}
	return true
}

// filled is a slot whose every field says something else, as far as it may.
func filled(t testing.TB) *slot {
	t.Helper()
	s, n := &slot{}, uint64(0)
	leaves(reflect.ValueOf(s).Elem(), "", func(path string, v reflect.Value) {
		n++
		switch {
		case v.Kind() == reflect.Bool:
			v.SetBool(true)
		case v.CanInt():
			v.SetInt(int64(n % 100))
		case v.CanUint():
			v.SetUint(n % 200)
		case v.CanFloat():
			v.SetFloat(float64(n) / 3)
		default:
			t.Fatalf("%s: a %v in a slot", path, v.Kind())
		}
	})
	name := func(at string, six bool) osnet.Name {
		n, ok := osnet.NameOf(netip.MustParseAddrPort(at), six)
		if !ok {
			t.Fatal(at)
		}
		return n
	}
	s.rtp.peer, s.rtp.said = name("192.0.2.1:4000", false), name("192.0.2.7:4002", false)
	s.rtcp.peer, s.rtcp.said = name("[2001:db8::1]:4001", true), name("192.0.2.7:4003", true)
	s.countries, s.places = [maxPlaces + 1][4]byte{{'D', 'E'}, {'F', 'R'}, {'E', 'S', '-', 'X'}}, 3
	for i := s.places; i < maxPlaces; i++ {
		s.from[i] = 0
	}
	s.rtp.home, s.rtcp.home = 1, maxPlaces
	return s
}

// same compares what a record tells.
func same(t *testing.T, got, want *slot) {
	t.Helper()
	expect := map[string]any{}
	leaves(reflect.ValueOf(want).Elem(), "", func(path string, v reflect.Value) { expect[path] = v.Interface() })
	leaves(reflect.ValueOf(got).Elem(), "", func(path string, v reflect.Value) {
		if told(path) && v.Interface() != expect[path] {
			t.Errorf("%s is %v, want %v", path, v.Interface(), expect[path])
		}
	})
}

// TestEveryFieldOfASlotIsTold: whoever adds a field to a slot gives it a tag, or says here why a leg goes on without it in another build.
func TestEveryFieldOfASlotIsTold(t *testing.T) {
	want, mem := filled(t), memory(5, 1)
	if err := NewView(mem, 1).Import(3, want.export(nil)); err != nil {
		t.Fatal(err)
	}
	same(t, NewView(mem, 1).slot(3), want)
	for path, why := range untold {
		found := false
		leaves(reflect.ValueOf(want).Elem(), "", func(p string, _ reflect.Value) { found = found || p == path || strings.HasPrefix(p, path+".") })
		if !found {
			t.Errorf("%s (%s) is no field of a slot", path, why)
		}
	}
}

// TestExportsOfEarlierLayouts: what builds with these layouts told of a leg is taken in, whatever slots look like by now. -update writes the one of the present layout.
func TestExportsOfEarlierLayouts(t *testing.T) {
	file := func(layout int) string { return filepath.Join("testdata", fmt.Sprintf("slot-%d.hex", layout)) }
	if *update {
		text := hex.Dump(filled(t).export(nil))
		if err := os.WriteFile(file(Layout), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	record := func(layout int) []byte {
		text, err := os.ReadFile(file(layout))
		if err != nil {
			t.Fatalf("%v: with a new layout, run go test ./media/plane -run TestExportsOfEarlierLayouts -update, and keep the others", err)
		}
		var out []byte
		for line := range strings.Lines(string(text)) {
			_, line, _ = strings.Cut(line, "  ")
			line, _, _ = strings.Cut(line, "|")
			b, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b...)
		}
		return out
	}
	for layout := 4; layout <= Layout; layout++ {
		var s slot
		if err := s.read(record(layout)); err != nil {
			t.Fatalf("layout %d: %v", layout, err)
		}
		// What every build knew, as it stood in the slot that the first of these was made of.
		peer, said := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.7:4003")
		if s.rtp.peer.AddrPort() != peer || s.rtcp.said.AddrPort() != said || !s.rtp.aimed || !s.rtp.heard || text(s.countries[s.rtp.home]) != "FR" || s.rtcp.home != maxPlaces {
			t.Errorf("layout %d: lanes %+v %+v", layout, s.rtp, s.rtcp)
		}
		next, seen := s.in.win.State()
		nextRTCP, _ := s.inRTCP.win.State()
		for what, n := range map[string]uint64{
			"serial": uint64(s.serial), "packets": s.packets, "SSRC": uint64(s.current.ssrc), "sequence": uint64(s.current.ext), "stream": uint64(s.in.ssrc), "window": next,
			"packets seen": seen[0], "reports": nextRTCP, "stream out": uint64(s.out.out), "highest out": uint64(s.out.highest), "out seen": s.out.seen[0],
			"index of reports": uint64(s.outRTCP), "key in": s.inKey, "key out": s.outKey,
		} {
			if n == 0 {
				t.Errorf("layout %d: no %s", layout, what)
			}
		}
		if layout == Layout {
			same(t, &s, filled(t))
		}
	}
}

// TestExportOfALaterBuild: tags that are not known are passed over, inside as well.
func TestExportOfALaterBuild(t *testing.T) {
	want := filled(t)
	b := tlv.String(want.export(nil), 250, "of a later build")
	b = within(b, slotCurrent, func(b []byte) []byte { return tlv.Uint(want.current.export(b), 250, 9) })
	var s slot
	if err := s.read(b); err != nil {
		t.Fatal(err)
	}
	same(t, &s, want)
}

// TestRecordsThatCannotBe are refused, and leave the slot as it was.
func TestRecordsThatCannotBe(t *testing.T) {
	good := filled(t).export(nil)
	short := func(b []byte) []byte { return tlv.Bytes(b, lanePeer, make([]byte, 27)) }
	for name, record := range map[string][]byte{
		"nothing": nil, "no serial": tlv.Uint(nil, slotPackets, 1), "cut": good[:len(good)-1], "a number that is too long": tlv.Uint(bytes.Clone(good), slotOutRTCP, 1<<40),
		"a name of another length": within(bytes.Clone(good), slotRTP, short),
		"aimed at nobody":          within(tlv.Uint(nil, slotSerial, 1), slotRTP, func(b []byte) []byte { return tlv.Bool(b, laneAimed, true) }),
	} {
		mem := memory(5, 1)
		v := NewView(mem, 1)
		if err := v.Import(2, record); err == nil || !bytes.Equal(mem, make([]byte, len(mem))) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, slot := range []uint32{0, 6, 1 << 31} {
		if err := NewView(memory(5, 1), 1).Import(slot, good); err == nil {
			t.Errorf("slot %d was taken", slot)
		}
	}
}

// TestPause: nothing is carried while it lasts, or ever again when it ends for good.
func TestPause(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(srtp.AES128CM80, 0)
	x := b.Pause()
	if _, ok := x.Export(nil, Ref{alice.Slot, alice.Serial + 1}); ok {
		t.Error("the export of a leg that is gone")
	}
	carried := make(chan int)
	go func() { carried <- alice.crosses(bob, 3) }()
	select {
	case <-carried:
		t.Error("packets were carried meanwhile")
	default:
	}
	x.Resume()
	if n := <-carried; n != 3 {
		t.Errorf("%d packets were carried afterwards", n)
	}
	b.Pause().End()
	if n := alice.crosses(bob, 3); n != 0 || alice.rtp.closed {
		t.Errorf("%d packets were carried after the end; sockets closed: %v", n, alice.rtp.closed)
	}
}

// FuzzImport: whatever a record says, a leg that goes on from it carries packets or does not, and nothing breaks.
func FuzzImport(f *testing.F) {
	f.Add(filled(f).export(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, record []byte) {
		mem := memory(5, 1)
		if NewView(mem, 1).Import(1, record) != nil {
			return
		}
		var again slot
		s := NewView(mem, 1).slot(1)
		if err := again.read(s.export(nil)); err != nil {
			t.Fatalf("what was read cannot be told: %v", err)
		}
		b := newBed(t, Config{Memory: mem, Fence: sovereign.NewFence(europe(t), nil)})
		alice := b.leg(Ref{1, s.serial}, aliceAddr, srtp.AES128CM80)
		bob := b.leg(Ref{2, 8}, bobAddr, srtp.AES128GCM)
		b.Join(alice.Ref, bob.Ref)
		alice.crosses(bob, 2)
		bob.crosses(alice, 2)
		alice.rtcp.take(report(1, 8), alice.at)
		b.read(alice.Ref)
	})
}
