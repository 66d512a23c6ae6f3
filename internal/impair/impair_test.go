package impair_test

import (
	"math"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
)

func TestAndIsBothAtOnce(t *testing.T) {
	slow, lossy := impair.Effect{Delay: 400 * time.Millisecond}, impair.Effect{Loss: 0.5}
	for _, c := range []struct {
		name       string
		a, b, want impair.Effect
		text       string
	}{
		{"nothing", impair.Effect{}, impair.Effect{}, impair.Effect{}, ""},
		{"one", slow, impair.Effect{}, slow, "400ms later"},
		{"two of a kind", slow, impair.Effect{Delay: time.Second}, impair.Effect{Delay: time.Second}, "1s later"},
		{"losses", lossy, lossy, impair.Effect{Loss: 0.75}, "75% lost"},
		{"different ones", slow, lossy, impair.Effect{Delay: 400 * time.Millisecond, Loss: 0.5}, "400ms later, 50% lost"},
		{"all is lost", lossy, impair.Effect{Loss: 1}, impair.Effect{Loss: 1}, "100% lost"},
		{"silence hides a refusal", impair.Effect{Kind: impair.Refuse}, impair.Effect{Kind: impair.Blackhole}, impair.Effect{Kind: impair.Blackhole}, "blackhole"},
		{"a closed door hides who is behind it", impair.Effect{Kind: impair.WrongCertificate}, impair.Effect{Kind: impair.Refuse}, impair.Effect{Kind: impair.Refuse}, "refuse"},
		{"nobody unknown answers", impair.Effect{Kind: impair.Unavailable}, impair.Effect{Kind: impair.WrongCertificate}, impair.Effect{Kind: impair.WrongCertificate}, "wrong_certificate"},
		{"busy rather than broken", impair.Effect{Kind: impair.Unavailable}, impair.Effect{Kind: impair.Fail}, impair.Effect{Kind: impair.Unavailable}, "unavailable"},
	} {
		for _, got := range []impair.Effect{c.a.And(c.b), c.b.And(c.a)} {
			if got != c.want || got.String() != c.text || got.Nothing() != (c.text == "") {
				t.Errorf("%s: %+v %q, want %+v %q", c.name, got, got, c.want, c.text)
			}
		}
	}
	if got := impair.Kind(99).String(); got != "kind 99" {
		t.Errorf("an unknown kind: %q", got)
	}
}

func TestDrops(t *testing.T) {
	for _, c := range []struct {
		e    impair.Effect
		dice float64
		want bool
	}{
		{impair.Effect{}, 0, false},
		{impair.Effect{Kind: impair.Unavailable}, 0, false},
		{impair.Effect{Kind: impair.Refuse}, 0, false}, // it is answered, not dropped
		{impair.Effect{Kind: impair.Blackhole}, 0.99, true},
		{impair.Effect{Loss: 0.05}, 0.049, true},
		{impair.Effect{Loss: 0.05}, 0.05, false},
		{impair.Effect{Loss: 1}, math.Nextafter(1, 0), true},
	} {
		if got := c.e.Drops(c.dice); got != c.want {
			t.Errorf("%v with %v: %v", c.e, c.dice, got)
		}
	}
}
