package media

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/cordonsip/cordon/sovereign"
)

// TestShapes: what looks the same is kept once, and a leg that differs in any field is another one.
func TestShapes(t *testing.T) {
	full := func() Leg {
		return Leg{
			Party: "fra", Member: "sbc1", Purpose: sovereign.Drill, Drilled: true, Security: Plain, Suites: []Suite{AEAD_AES_128_GCM}, Digits: DigitsInfo, Informs: true, Feedback: true, T38: true,
			Codecs: Codecs{Allow: []string{"PCMA"}, Deny: []string{"G729"}, Prefer: []string{"PCMU"}}, Mux: true, ICE: true, Secure: true, InsecureLab: true,
			Bind: netip.MustParseAddr("127.0.0.1"), Advertise: netip.MustParseAddr("192.0.2.1"), Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		}
	}
	var s shapes
	one, two := full(), full()
	first := s.of(&one)
	if first == &one || s.of(&two) != first {
		t.Error("what looks the same is not kept once")
	}
	fields := reflect.TypeFor[Leg]()
	for i := range fields.NumField() {
		other := full()
		f := reflect.ValueOf(&other).Elem().Field(i)
		if f.IsZero() {
			t.Fatalf("%s is zero here, and would not be seen", fields.Field(i).Name)
		}
		f.SetZero()
		if got := s.of(&other); got == first || !reflect.DeepEqual(*got, other) {
			t.Errorf("without %s it is taken for the same", fields.Field(i).Name)
		}
		s.of(&one)
		first = s.of(&one)
	}
	codecs := reflect.TypeFor[Codecs]()
	for i := range codecs.NumField() {
		other := full()
		reflect.ValueOf(&other.Codecs).Elem().Field(i).SetZero()
		if other.same(&one) {
			t.Errorf("without %s the codecs are taken for the same", codecs.Field(i).Name)
		}
	}
	for i := range 3 * maxShapes {
		s.of(&Leg{Party: fmt.Sprint(i)})
	}
	if len(s.last) > maxShapes {
		t.Errorf("%d shapes are kept", len(s.last))
	}
}
