package healthcheck

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

const boundID = "p1/registered/tcp/192.0.2.50:40000"

func bound(addr string) []Bound {
	return []Bound{{Name: "edge.example", Transport: "tcp", Addr: netip.MustParseAddrPort(addr)}}
}

// Conforms: RFC 3261 section 10.1
func TestWhatAPartyRegistersIsATarget(t *testing.T) {
	w := newWorld()
	live(t, w, watch("192.0.2.1"), Settings{}, func(c *Checker) {
		wait(time.Second)
		c.Bind("p1", bound("192.0.2.50:40000"))
		wait(time.Second)
		state(t, c, boundID, Up, "")
		st, _ := c.Table().Status(boundID)
		if st.Target.Name != "edge.example" || st.Target.Transport != "tcp" {
			t.Errorf("%+v", st.Target)
		}
		if err := c.Reload(watch("192.0.2.1"), Settings{}); err != nil {
			t.Fatal(err)
		}
		state(t, c, boundID, Up, "")
		wait(3 * time.Minute)
		if w.located > 10 {
			t.Error("a bound member was resolved:", w.located)
		}
		c.Bind("p1", nil)
		if _, ok := c.Table().Status(boundID); ok {
			t.Error("it stays after its binding ended")
		}
		n := w.probed("192.0.2.50")
		wait(time.Minute)
		if w.probed("192.0.2.50") != n {
			t.Error("probed after its binding ended")
		}
		c.Bind("nobody", bound("192.0.2.51:1"))
		wait(time.Minute)
		if w.probed("192.0.2.51") != 0 {
			t.Error("bound for a party that is not watched")
		}
	})
}

func TestABoundAddressThatIsDeniedIsNeverProbed(t *testing.T) {
	w := newWorld()
	w.rule("192.0.2.50", sovereign.Deny, "US")
	live(t, w, watch("192.0.2.1"), Settings{}, func(c *Checker) {
		c.Bind("p1", bound("192.0.2.50:40000"))
		wait(time.Minute)
		if st, ok := c.Table().Status(boundID); !ok || st.State != Unknown || w.probed("192.0.2.50") != 0 {
			t.Errorf("%v %v, %d probes", ok, st.State, w.probed("192.0.2.50"))
		}
	})
}

func TestATargetThatDoesNotTakeUsOnIsDown(t *testing.T) {
	w, watched := newWorld(), watch("192.0.2.1", "192.0.2.2")
	watched[0].Enrol = true
	one, two := id(1, "192.0.2.1"), id(2, "192.0.2.2")
	live(t, w, watched, Settings{}, func(c *Checker) {
		wait(time.Second)
		state(t, c, one, Down, "not registered yet")
		state(t, c, two, Up, "")
		c.Enrolled(one, true, "registered")
		state(t, c, one, Up, "")
		c.Enrolled(one, false, "registration failed: 403")
		state(t, c, one, Down, "registration failed: 403")
		since, _ := c.Table().Status(one)
		wait(10 * time.Second)
		c.Enrolled(one, false, "registration failed: 404")
		if st, _ := c.Table().Status(one); st.Since != since.Since || w.probed("192.0.2.1") < 2 {
			t.Error("since another time, or not probed any more:", st.Since)
		}
		c.Enrolled(two, false, "nobody asked")
		state(t, c, two, Up, "")
		watched[0].Enrol = false
		if err := c.Reload(watched, Settings{}); err != nil {
			t.Fatal(err)
		}
		state(t, c, one, Up, "")
		c.Enrolled("p9/x/udp/1.2.3.4:5", true, "")
		wait(time.Second)
		if got, want := strings.Join(w.steps("192.0.2.1"), " "), "down>up up>down down>up"; got != want {
			t.Errorf("told of %s, want %s", got, want)
		}
	})
}
