//go:build linux

package link

import (
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// impaired: packets are taken away both ways for as long as the lease, or until they are given back, and the latch and the keys are what they were.
func impaired(t *testing.T, r *rig) {
	c := up(t, r, true)
	c.talk(t, 3)
	r.Impair(plane.Impair{Ref: c.la, Loss: 1, Until: time.Now().Add(time.Minute)})
	was := r.Totals().Impaired
	eventually(t, "packets are taken away", func() bool {
		c.a.send(t, c.sequence, c.at[0])
		c.sequence++
		return r.Totals().Impaired > was
	})
	for { // those that crossed before the command was there
		if _, ok := c.b.hear(100 * time.Millisecond); !ok {
			break
		}
	}
	c.a.send(t, c.sequence, c.at[0])
	c.b.send(t, c.sequence, c.at[1])
	c.sequence++
	_, toB := c.b.hear(100 * time.Millisecond)
	if _, toA := c.a.hear(100 * time.Millisecond); toA || toB {
		t.Errorf("what is taken away was heard: by A %t, by B %t", toA, toB)
	}
	r.Impair(plane.Impair{Ref: c.la, Loss: 1, Until: time.Now().Add(time.Nanosecond)})
	eventually(t, "all is back", func() bool {
		c.a.send(t, c.sequence, c.at[0])
		c.sequence++
		_, ok := c.b.hear(20 * time.Millisecond)
		return ok
	})
	if n, _ := r.Read(c.la); n.Lost < 2 || n.Refused != 0 {
		t.Errorf("%+v", n)
	}
}

// TestImpairsByVersion: a media process that passes the command over is known.
func TestImpairsByVersion(t *testing.T) {
	for minor, want := range map[uint16]bool{impairs - 1: false, impairs: true, impairs + 1: true} {
		c := &Client{line: &line{}, peer: &peer{hello: Greeting{Minor: minor}}}
		if c.Impairs() != want {
			t.Errorf("version 1.%d: %t", minor, !want)
		}
	}
	if (&Client{}).Impairs() {
		t.Error("nobody takes packets away")
	}
}
