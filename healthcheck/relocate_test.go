package healthcheck

import (
	"testing"
	"time"
)

// TestRelocate: the names of a party are looked up at once; those of others are not.
func TestRelocate(t *testing.T) {
	w := newWorld()
	w.name("p.example", a1)
	w.name("q.example", a3)
	w.ttl = time.Hour
	watched := []Watched{
		{Party: "p", Members: []Member{{Name: "m", Host: "p.example", Transport: "udp"}}},
		{Party: "q", Members: []Member{{Name: "m", Host: "q.example", Transport: "udp"}}},
	}
	live(t, w, watched, Settings{}, func(c *Checker) {
		wait(time.Minute)
		w.name("p.example", a2)
		w.mu.Lock()
		asked := w.located
		w.mu.Unlock()
		wait(time.Minute)
		if _, there := c.Table().Status("p/m/udp/" + a2 + ":5060"); there {
			t.Fatal("an answer that had not expired was asked for again")
		}
		c.Relocate("p")
		c.Relocate("nobody")
		wait(time.Second)
		if _, there := c.Table().Status("p/m/udp/" + a2 + ":5060"); !there {
			t.Error("the name was not looked up")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := w.located - asked; n != 1 {
			t.Errorf("%d lookups", n)
		}
	})
}
