package transaction

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// What is repeated is byte for byte what was sent, however many messages took the memory of others meanwhile: requests of ours that wait, and provisional
// responses, beside transactions that came further.
func TestWhatIsRepeatedIsWhatWasSent(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.onServer = func(tx *Server) { tx.Respond(tx.Response(180, "")) }
		var waiting []*Client
		for n := range 40 {
			c := w.client(transport.UDP, sip.INVITE)
			switch n % 4 {
			case 0:
				waiting = append(waiting, c)
			case 1:
				w.respond(c, 180, "far")
			case 2:
				w.respond(c, 200, "far")
			case 3:
				w.respond(c, 486, "far")
			}
			in := strings.Replace(incoming("INVITE", fmt.Sprintf("z9hG4bKin%d", n), ""), "in@x", fmt.Sprintf("in%d@x", n), 1)
			w.arrive(in, flowOf(transport.UDP))
			if n%2 == 0 {
				w.do(func() { w.servers[n].Respond(w.servers[n].Response(200, "")) })
			} else {
				w.arrive(in, flowOf(transport.UDP)) // again
			}
		}
		w.pass(600 * time.Millisecond) // Timer A
		texts := map[string]map[string]int{}
		for _, s := range w.wire {
			branch := ""
			switch m := s.msg.(type) {
			case *sip.Request:
				branch, _ = m.Via().Params.Get("branch")
			case *sip.Response:
				branch, _ = m.Via().Params.Get("branch")
			}
			k := firstLine(s.raw) + " " + branch
			if texts[k] == nil {
				texts[k] = map[string]int{}
			}
			texts[k][s.raw]++
		}
		again := 0
		for k, all := range texts {
			if len(all) != 1 {
				t.Errorf("%s was sent in %d forms", k, len(all))
			}
			for _, n := range all {
				again += n - 1
			}
		}
		if want := len(waiting) + 20; again != want {
			t.Errorf("%d messages were sent again, want %d", again, want)
		}
	})
}
