//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// witness is a packet capture on the hub, through which everything between two regions passes.
type witness struct {
	*process
	file string
}

func watch(t *testing.T, at place, filter ...string) *witness {
	t.Helper()
	w := &witness{file: filepath.Join(t.TempDir(), "capture.pcap")}
	w.process = start(t, at, "", "tcpdump", append([]string{"-i", "any", "-n", "-U", "-B", "8192", "-Z", "root", "-w", w.file}, filter...)...)
	until(t, "tcpdump listens", 10*time.Second, func() bool {
		info, err := os.Stat(w.file)
		return err == nil && info.Size() >= 24 && strings.Contains(w.output(), "listening on") // the header of the file
	})
	return w
}

// end stops the capture, which has then written everything.
func (w *witness) end(t *testing.T) {
	t.Helper()
	w.signal(syscall.SIGINT)
	w.wait(t, 10*time.Second)
	if !strings.Contains(w.output(), "\n0 packets dropped by kernel") {
		t.Errorf("the capture is not whole: %s", w.output())
	}
}

// during counts the packets of a capture that match a filter, apart by whether they left while a grant was live.
func during(t *testing.T, file, filter string, from, to time.Time) (inside, outside int) {
	t.Helper()
	for _, at := range times(t, file, filter) {
		if at.Before(from) || at.After(to) {
			outside++
		} else {
			inside++
		}
	}
	return inside, outside
}

var ticketID = regexp.MustCompile(`(?m)^([0-9A-Z]{26})\s+(\S+)`)

// ticket reads the only ticket as `cordon gate list` shows it.
func ticket(n *node) (id, state string) {
	n.t.Helper()
	m := ticketID.FindStringSubmatch(n.mustCLI("ops", "gate", "list"))
	if m == nil {
		return "", ""
	}
	return m[1], m[2]
}

const refused = `> INVITE | sdp
< 100 | optional
< 403 | Reason: .
> ACK | of=3`

// gateLab is a carrier, two lawful groups, one that is held and one that is denied, each in a region of its own, a node, and the witness on the hub.
type gateLab struct {
	*node
	net   *network
	peers map[string]*sipp
	seen  *witness
}

func newGateLab(t *testing.T) *gateLab {
	t.Helper()
	l := &gateLab{net: connect(t, 1, 5, 10, 20, 40, 50), peers: map[string]*sipp{}}
	w := &world{
		at: l.net.in[5], edge: lan(5, 10),
		gate: "{quorum: 2, approve_in: 5m, execute_in: 1m, grant_for: 8s, max_calls: 20}",
		more: "notify:\n  - {name: duty-room, type: console}\n",
	}
	for _, p := range []struct {
		name, script string
		region       int
	}{{"carrier", quiet, 1}, {"fra", answers, 10}, {"zrh", answers, 20}, {"iad", answers, 40}, {"dme", answers, 50}} {
		s := answer(t, lan(p.region, 10), p.script, options{at: l.net.in[p.region], echo: true})
		l.peers[p.name] = s
		if p.name == "carrier" {
			w.trunks = []party{s.as(p.name, "udp")}
		} else {
			w.groups = append(w.groups, s.as(p.name, "udp"))
		}
	}
	l.seen = watch(t, l.net.hub, "ip and (net 10.66.40.0/24 or net 10.66.50.0/24)")
	l.node = boot(t, w, "carrier", "fra", "zrh")
	return l
}

func (l *gateLab) dial(script string) *sipp {
	l.t.Helper()
	return dial(l.t, l.node, lan(1, 10), script, options{at: l.net.in[1]})
}

func (l *gateLab) call(script string) *sipp {
	l.t.Helper()
	s := l.dial(script)
	s.expect(1)
	return s
}

// The independent witness: every lawful group dies; the United States may be reached only while two people and the data protection officer say so, Russia
// never. SIPp calls, the commands open the gate, and a capture counts what was sent to both.
func TestNothingReachesAHeldOrDeniedPlaceWithoutTheGate(t *testing.T) {
	l := newGateLab(t)
	n, place := l.node, l.call
	place(talksBriefly)
	l.peers["fra"].kill()
	l.peers["zrh"].kill()
	n.waitFor("fra", "down")
	n.waitFor("zrh", "down")
	place(refused)
	list := n.receipts(2)
	wantAnswered(t, list[0], "fra", "primary")
	if r := list[1]; r.Overall != "refused_by_policy" || r.Outcome.SIPFinal != 403 {
		t.Errorf("receipt of the held call: %+v", r)
	}
	grant := open(t, n)
	n.waitFor("iad", "up")
	place(talksBriefly)
	r := n.receipts(3)[2]
	if r.Overall != "compliant_by_gate" || r.RouteReason != "gated_failover" || r.EdgeGroup != "iad" || r.GateDecision != grant.ID {
		t.Errorf("receipt of the call through the gate: %+v", r)
	}
	// This one talks until the node ends it: nothing of it may leave after the grant.
	live := l.dial(`> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
play long
< BYE
> 200`)
	until(t, "the grant expires", 20*time.Second, func() bool {
		_, state := ticket(n)
		return state == "EXPIRED" || state == "ENDED" || state == "COMPLETED"
	})
	place(refused)
	place(refused)
	live.expect(1)
	list = n.receipts(6)
	if r := list[3]; r.Overall != "compliant_by_gate" || r.Outcome.EndedBy != "edge" || packets(r, "b") == 0 {
		t.Errorf("receipt of the call that the end of the grant ended: %+v", r)
	}
	for _, r := range list[4:] {
		if r.Overall != "refused_by_policy" {
			t.Errorf("receipt after the grant: %+v", r)
		}
	}
	l.peers["iad"].finish(2)
	l.peers["dme"].finish(0)
	l.peers["carrier"].finish(0)
	n.stop()
	l.seen.end(t)
	// A millisecond is allowed for the clocks: the capture's is the kernel's at the moment of sending.
	inside, outside := during(t, l.seen.file, "ip.dst == 10.66.40.0/24", grant.ActivatedAt.Add(-time.Millisecond), grant.GrantUntil.Add(time.Millisecond))
	denied := len(times(t, l.seen.file, "ip.dst == 10.66.50.0/24"))
	noted(t, "packets to the held region (US) without a live grant, by tshark", num(outside), "0")
	noted(t, "packets to the held region (US) inside the grant, by tshark", num(inside), "> 0")
	noted(t, "packets to the denied region (RU), by tshark", num(denied), "0")
	if outside != 0 || denied != 0 || inside == 0 {
		t.Errorf("packets: %d held without a grant, %d inside it, %d denied", outside, inside, denied)
	}
}

// open opens the gate by its commands, and checks on the way that half of it opens nothing.
func open(t *testing.T, n *node) approval.Ticket {
	t.Helper()
	var id, state string
	until(t, "a ticket", 10*time.Second, func() bool { id, state = ticket(n); return id != "" })
	if state != "PENDING" {
		t.Errorf("the ticket is %s", state)
	}
	if out := n.mustCLI("anna", "gate", "show", id); !strings.Contains(out, "aws:us-east-1") || !strings.Contains(out, "missing") {
		t.Errorf("gate show:\n%s", out)
	}
	n.mustCLI("anna", "gate", "approve", id, "--reason", "customers cannot reach us")
	if out, err := n.cli("anna", "gate", "approve", id, "--reason", "once more"); err == nil {
		t.Errorf("one person approved twice:\n%s", out)
	}
	if out, err := n.cli("clara", "gate", "approve", id, "--reason", "as data protection officer"); err == nil {
		t.Errorf("the data protection officer approved:\n%s", out)
	}
	n.mustCLI("ben", "gate", "approve", id, "--reason", "the business accepts it")
	if _, now := ticket(n); now == "ACTIVE" {
		t.Error("the gate opened without the opinion")
	}
	n.mustCLI("clara", "gate", "opine", id, "--opinion", "no_objection", "--text", "standard clauses are in place")
	var tk approval.Ticket
	until(t, "the grant is live", 5*time.Second, func() bool {
		n.get("/api/v1/tickets/"+id, &tk)
		return tk.State == "ACTIVE"
	})
	t.Logf("gate:\n%s", n.mustCLI("ops", "gate", "show", id))
	return tk
}
