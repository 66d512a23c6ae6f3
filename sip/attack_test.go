package sip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Scanners get silence, even by the network of a known party, and leave nothing. A party that says so may name itself as it likes.
func TestScannersGetSilence(t *testing.T) {
	for _, agent := range []string{"friendly-scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "sundayddr", "pplsip", "SIPVicious 0.3", "House-Scanner 2"} {
		run(t, func(c *Config) { c.Scanners = []string{"house-scanner"} }, func(w *world) {
			for _, method := range []string{"OPTIONS", "INVITE", "REGISTER"} {
				w.carrier.write(w.carrier.compose(method, "sip:100@edge.example", "scan"+method, 1, "", "", "User-Agent: "+agent))
			}
			w.carrier.silent(5 * time.Second)
			for _, s := range w.edge.shards {
				s.loop.Post(func() {
					if c, n := s.tx.Len(); c+n != 0 {
						t.Errorf("%s left %d transactions", agent, c+n)
					}
				})
			}
			time.Sleep(20 * time.Second)
			es := entries[audit.IngressRefused](w, audit.KindIngressRefused)
			n := uint64(0)
			for _, e := range es {
				n += e.Count
			}
			if n != 3 || es[0].Ground != string(GroundScanner) || es[0].Trunk != "carrier" {
				t.Errorf("%s: the log says %+v", agent, es)
			}
		})
	}
	run(t, func(c *Config) { c.Parties[0].Guard.Scanners = true }, func(w *world) {
		w.carrier.write(w.carrier.compose("OPTIONS", "sip:100@edge.example", "o", 1, "", "", "User-Agent: sipcli/v1.8"))
		w.carrier.status(200)
	})
	run(t, nil, func(w *world) { // inside a dialog nobody scans
		ok, _ := w.up("one")
		w.carrier.within(ok, "OPTIONS", 2, "", "User-Agent: sipcli/v1.8")
		w.carrier.status(200)
		w.end(ok, 3)
	})
}

// Forged sources cost a bounded number of entries of the log, and the rest is counted.
func TestStrangersAreSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 100000 {
			a := netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
			w.edge.screen.Source(transport.UDP, netip.AddrPortFrom(a, 5060), edgeAddr, nil)
		}
		if n := len(w.edge.screen.refusals.seen); n > maxSamples+1 || len(w.edge.screen.rate.buckets) != 0 {
			t.Errorf("%d refusals and %d buckets are kept", n, len(w.edge.screen.rate.buckets))
		}
		sum := uint64(0)
		for _, c := range w.edge.screen.refusals.seen {
			sum += c.count
		}
		if sum != 100000 {
			t.Errorf("%d of 100000 are counted", sum)
		}
		_ = w.log.Close(t.Context())
	})
}

// slowed makes every new call cost its loop a while, so that a capacity is known. Without a way they end there.
func slowed(w *world, each time.Duration, way bool) {
	plan := w.plan
	w.plan = func(r routing.Request) routing.Plan {
		time.Sleep(each)
		p := plan(r)
		if !way {
			p.Hops = nil
		}
		return p
	}
}

// A flood of new calls at ten times the capacity leaves what is up alone: every message inside a dialog, and every probe, is answered as if nobody called.
func TestAFloodLeavesCallsAlone(t *testing.T) {
	run(t, func(c *Config) {
		c.Loops, c.RatePerSource = 1, -1
		c.AsksForHelp = func(r routing.Request) bool { return strings.HasSuffix(r.Called, "112") }
		c.Parties[0].Sources = append(c.Parties[0].Sources, netip.MustParsePrefix("10.1.9.0/24"))
	}, func(w *world) {
		ok, _ := w.up("before")
		slowed(w, 10*time.Millisecond, false) // 100 calls a second
		flood := w.peer("flood", netip.MustParseAddrPort("10.1.9.9:5060"))
		defer flood.conn.Close()
		stop, stopped := make(chan struct{}), make(chan struct{})
		sent := 0
		go func() { // a thousand a second
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					sent++
					flood.write(flood.compose("INVITE", "sip:+4930123@edge.example", fmt.Sprint("flood", sent), 1, "", flood.sdp))
				}
			}
		}()
		time.Sleep(3 * time.Second)
		worst := time.Duration(0)
		for i := range 40 {
			begin := time.Now()
			w.carrier.within(ok, "INFO", 2+i, "")
			w.fra.reply(w.fra.request(msg.INFO), 200, "")
			w.carrier.final()
			worst = max(worst, time.Since(begin))
			begin = time.Now()
			w.carrier.write(w.carrier.compose("OPTIONS", "sip:edge.example", fmt.Sprint("probe", i), 1, "", ""))
			w.carrier.final()
			worst = max(worst, time.Since(begin))
			time.Sleep(50 * time.Millisecond)
		}
		if worst > 100*time.Millisecond {
			t.Errorf("a message waited for %s: more than a few calls' worth", worst)
		}
		close(stop)
		<-stopped
		s := w.edge.shards[0]
		s.lobby.mu.Lock()
		waiting := len(s.lobby.ids)
		s.lobby.mu.Unlock()
		if waiting > maxLobby {
			t.Errorf("%d calls wait, %d may", waiting, maxLobby)
		}
		w.carrier.within(ok, "BYE", 60, "")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.final()
		t.Logf("%d calls in a flood of ten times the capacity; the slowest answer to a call that was up: %s", sent, worst)
		time.Sleep(3 * time.Minute)
	})
}

// final waits for a 200.
func (p *peer) final() {
	p.w.t.Helper()
	for {
		res, is := p.read(5 * time.Second).(*msg.Response)
		if !is {
			p.w.t.Fatalf("no answer came; the last message was:\n%s", p.last)
		}
		if res.StatusCode == 200 {
			return
		}
	}
}

// What waits in the lobby keeps its order: a CANCEL stays behind its INVITE, a retransmission is the same call, and parties take turns.
func TestTheLobby(t *testing.T) {
	b := newLobby()
	invite := func(party, id string) transport.Incoming {
		r := msg.NewRequest(msg.INVITE, msg.Uri{})
		h := msg.CallIDHeader(id)
		r.AppendHeader(&h)
		return transport.Incoming{Msg: r, Party: party, At: time.Now()}
	}
	if got := b.enter(invite("a", "x"), "x", false); got != passes {
		t.Errorf("what is not new and waits for nobody: %d", got)
	}
	for i, c := range []struct {
		party, id string
		fresh     bool
		want      entry
	}{{"a", "1", true, first}, {"a", "2", true, waits}, {"a", "1", false, waits}, {"a", "3", true, waits}, {"b", "4", true, waits}, {"b", "5", false, passes}} {
		if got := b.enter(invite(c.party, c.id), c.id, c.fresh); got != c.want {
			t.Errorf("%d: %d, want %d", i, got, c.want)
		}
	}
	var order []string
	for more := true; more; {
		var in transport.Incoming
		in, more = b.next(time.Now())
		order = append(order, in.Msg.CallID().Value())
	}
	if got := strings.Join(order, " "); got != "1 4 2 1 3" {
		t.Errorf("they left as %s", got)
	}
	for _, q := range b.queues {
		if q.len() != 0 {
			t.Errorf("%d messages wait for no turn", q.len())
		}
	}
	if len(b.ids)+len(b.turn) != 0 || b.wait(time.Now()) != 0 {
		t.Error("an empty lobby remembers something")
	}
	for i := range maxLobby {
		b.enter(invite("a", fmt.Sprint(i)), fmt.Sprint(i), true)
	}
	late := invite("a", "late")
	late.At = late.At.Add(maxLag)
	if b.enter(late, "late", true) != full || b.enter(invite("b", "other"), "other", true) != waits {
		t.Error("one party fills the lobby of another")
	}
}

// What a network held back and lets go at once is taken; a queue that has been standing for a while is a flood, and holds few.
func TestTheLobbyTakesABurst(t *testing.T) {
	b, begin, n := newLobby(), time.Now(), 0
	enter := func(party string, after time.Duration) entry {
		r := msg.NewRequest(msg.INVITE, msg.Uri{})
		n++
		h := msg.CallIDHeader(fmt.Sprint(n))
		r.AppendHeader(&h)
		return b.enter(transport.Incoming{Msg: r, Party: party, At: begin.Add(after)}, h.Value(), true)
	}
	for i := range maxBurst {
		if got := enter("a", time.Duration(i)*time.Microsecond); got == full {
			t.Fatalf("the lobby is full after %d", i)
		}
	}
	if got := enter("a", 10*time.Millisecond); got != full {
		t.Errorf("behind a burst of %d: %d", maxBurst, got)
	}
	if got := enter("b", 10*time.Millisecond); got != waits {
		t.Errorf("another party behind the burst: %d", got)
	}
	for len(b.ids) > maxLobby {
		b.next(begin)
	}
	if got := enter("a", maxLag); got != full {
		t.Errorf("a queue that stands since %s: %d", maxLag, got)
	}
	for more := true; more; {
		_, more = b.next(begin)
	}
	for range maxLobby + 1 {
		if got := enter("a", time.Hour); got == full {
			t.Fatal("a lobby that was empty takes no burst")
		}
	}
}

// A thousand calls at once, as after a pause of the network, all go through.
func TestABurstIsNoFlood(t *testing.T) {
	run(t, func(c *Config) { c.Loops, c.RatePerSource = 1, -1 }, func(w *world) {
		slowed(w, 200*time.Microsecond, false)
		const calls = 1000
		for i := range calls {
			w.carrier.invite(fmt.Sprint("burst", i), w.carrier.sdp)
		}
		got := map[int]int{}
		for {
			r, is := w.carrier.read(time.Second).(*msg.Response)
			if !is {
				break
			}
			if r.StatusCode >= 200 && r.CSeq().MethodName == msg.INVITE && got[r.StatusCode] < 2*calls {
				got[r.StatusCode]++
				w.carrier.ack(r)
			}
		}
		if got[503] > 0 || got[404]+got[480]+got[403] < calls {
			t.Errorf("a burst of %d calls got %v", calls, got)
		}
		time.Sleep(time.Minute)
	})
}

// A cancelled call that still waits is cancelled, and nobody rings.
func TestCancelInTheLobby(t *testing.T) {
	run(t, func(c *Config) { c.Loops, c.RatePerSource = 1, -1 }, func(w *world) {
		slowed(w, 100*time.Millisecond, true)
		w.carrier.invite("one", w.carrier.sdp)
		w.carrier.invite("two", w.carrier.sdp)
		w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:+4930123@edge.example", "two", 1, "", ""), "two"+"CANCEL1", "twoINVITE1", 1))
		got := map[int]bool{}
		for range 8 {
			if r, is := w.carrier.read(2 * time.Second).(*msg.Response); is && r.CallID().Value() == "two" {
				got[r.StatusCode] = true
			}
		}
		if !got[200] || !got[487] || got[481] {
			t.Errorf("the cancelled call got %v", got)
		}
		req := w.fra.request(msg.INVITE)
		w.fra.reply(req, 486, "")
		time.Sleep(time.Minute)
	})
}

// A flood of refusals is told of at a bounded rate and kept nowhere; a call for help passes it.
func TestTurnedAwayCallsLeaveNothing(t *testing.T) {
	run(t, func(c *Config) { c.Loops = 1; c.Parties[0].MaxCPS = 2 }, func(w *world) {
		plan := w.plan
		w.plan = func(r routing.Request) routing.Plan {
			p := plan(r)
			if strings.HasSuffix(r.Called, "112") {
				p.Purpose = sovereign.EmergencyCall
			}
			return p
		}
		got := map[int]int{}
		for i := range 500 {
			w.carrier.invite(fmt.Sprint("n", i), w.carrier.sdp)
		}
		w.carrier.write(w.carrier.compose("INVITE", "sip:112@edge.example", "help", 1, "", w.carrier.sdp))
		helped := false
		for {
			r, is := w.carrier.read(100 * time.Millisecond).(*msg.Response)
			if !is {
				break
			}
			got[r.StatusCode]++
			if r.StatusCode == 503 && (value(r, "retry-after") == "" || r.To().Params.GetOr("tag", "") == "") {
				t.Fatalf("a 503 without Retry-After or tag:\n%s", r)
			}
			helped = helped || r.StatusCode == 100 && r.CallID().Value() == "help"
		}
		if got[503] == 0 || got[503] > toldPerSecond || got[100] != 3 || !helped {
			t.Errorf("answers %v, helped %v", got, helped)
		}
		s := w.edge.shards[0]
		s.loop.Post(func() {
			if _, n := s.tx.Len(); n > 3 {
				t.Errorf("%d transactions are kept", n)
			}
		})
		time.Sleep(5 * time.Minute)
	})
}

// A stateless refusal is the same for a retransmission. RFC 3261 section 8.2.7
func TestStatelessTag(t *testing.T) {
	run(t, nil, func(w *world) {
		m, err := msg.ParseMessage([]byte(w.carrier.compose("INVITE", "sip:1@edge.example", "s", 1, "", w.carrier.sdp)))
		if err != nil {
			t.Fatal(err)
		}
		a, b := string(transaction.Stateless(m.(*msg.Request), 503)), string(transaction.Stateless(m.(*msg.Request), 503))
		if a != b || !strings.Contains(a, "tag=") || !strings.HasSuffix(a, "\r\n\r\n") {
			t.Errorf("%q and %q", a, b)
		}
	})
}

// The rate of a party outbound passes a full hop over, and refuses with 503 when no other is left.
func TestCallsPerSecondOutbound(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].MaxCPS = 1; c.Parties[2].MaxCPS = 1 }, func(w *world) {
		for i, p := range []*peer{w.fra, w.zrh} {
			w.carrier.invite(fmt.Sprint("c", i), w.carrier.sdp)
			p.reply(p.request(msg.INVITE), 486, "")
			p.request(msg.ACK)
			w.carrier.ack(w.carrier.status(486))
		}
		w.carrier.invite("c3", w.carrier.sdp)
		r := w.carrier.status(503)
		if value(r, "retry-after") == "" {
			t.Error("503 without Retry-After")
		}
		w.carrier.ack(r)
		time.Sleep(time.Second)
		w.carrier.invite("c4", w.carrier.sdp)
		w.fra.reply(w.fra.request(msg.INVITE), 486, "")
		w.fra.request(msg.ACK)
		last := w.carrier.status(486)
		if last.CallID().Value() != "c4" {
			t.Errorf("the answer of call %s", last.CallID().Value())
		}
		w.carrier.ack(last)
		time.Sleep(time.Minute)
	})
}

// Multipart bodies are read to a fixed depth and number of parts.
func TestDeepMultipart(t *testing.T) {
	deep := "v=0"
	for i := range 50 {
		deep = fmt.Sprintf("--b%d\r\nContent-Type: multipart/mixed;boundary=b%d\r\n\r\n%s\r\n--b%d--\r\n", i, i-1, deep, i)
	}
	wide := strings.Repeat("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", 1000) + "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"
	for name, c := range map[string]struct{ kind, body string }{"deep": {"b49", deep}, "wide": {"b", wide}} {
		req := msg.NewRequest(msg.INVITE, msg.Uri{})
		req.AppendHeader(msg.NewHeader("Content-Type", "multipart/mixed;boundary="+c.kind))
		req.SetBody([]byte(c.body))
		if sdp, ok := bodySDP(req); ok || sdp != nil {
			t.Errorf("%s: %q was found", name, sdp)
		}
	}
}

// Conforms: RFC 7339 section 5.2; RFC 7339 section 5.3; RFC 7415 section 3.4
func TestOverloadIsToldToClients(t *testing.T) {
	offer := func(p *peer, id, algos string) string {
		return strings.Replace(p.compose("OPTIONS", "sip:edge.example", id, 1, "", ""), ";rport", ";rport;oc;oc-algo=\""+algos+"\"", 1)
	}
	run(t, func(c *Config) { c.MaxCalls = 1 }, func(w *world) {
		w.carrier.write(offer(w.carrier, "idle", "loss,A"))
		w.carrier.status(200)
		if got := string(w.carrier.last); !strings.Contains(got, `;oc=0;oc-algo="loss";oc-validity=500;oc-seq=`) {
			t.Errorf("an idle edge says %s", got)
		}
		ok, _ := w.up("one")
		w.carrier.write(offer(w.carrier, "full", "loss"))
		if v := w.carrier.status(200).Via().Params; v.GetOr("oc", "") != "100" {
			t.Errorf("a full edge says %v", v)
		}
		w.carrier.write(w.carrier.compose("OPTIONS", "sip:edge.example", "plain", 1, "", ""))
		if v := w.carrier.status(200).Via().Params; v.Has("oc") {
			t.Errorf("who asks for nothing is told %v", v)
		}
		w.end(ok, 2)
	})
	run(t, func(c *Config) { c.Parties[0].MaxCPS = 30 }, func(w *world) {
		w.carrier.write(offer(w.carrier, "rate", "rate,loss"))
		w.carrier.status(200)
		if got := string(w.carrier.last); !strings.Contains(got, `;oc=30;oc-algo="rate";`) {
			t.Errorf("a party with a limit is told %s", got)
		}
	})
}

// Who holds everything back still gets what belongs to its dialogs, and calls for help: only new calls go elsewhere.
// Conforms: RFC 7339 section 5.10.1
func TestDialogsAndHelpAreNeverHeldBack(t *testing.T) {
	for algo, value := range map[string]string{"loss": "100", "rate": "0"} {
		t.Run(algo, func(t *testing.T) {
			run(t, func(c *Config) { c.Parties[1].Guard.Overload = true }, func(w *world) {
				all := w.plan
				ok, in := w.up("up")
				feedback := func(req *msg.Request, seq string) {
					for k, v := range map[string]string{"oc": value, "oc-algo": `"` + algo + `"`, "oc-validity": "600000", "oc-seq": seq} {
						req.Via().Params.Remove(k)
						req.Via().Params.Add(k, v)
					}
				}
				w.carrier.within(ok, "INFO", 2, "")
				info := w.fra.request(msg.INFO)
				feedback(info, "1.1")
				w.fra.reply(info, 200, "")
				w.carrier.status(200)
				if w.edge.mayDial(fraAddr) {
					t.Fatal("the feedback of an answer inside a dialog was not heard")
				}
				for i := range 20 {
					w.carrier.within(ok, "INFO", 3+i, "")
					w.fra.reply(w.fra.request(msg.INFO), 200, "")
					w.carrier.status(200)
				}
				w.fra.inside(in, "INFO", 500, "") // and the other way
				w.carrier.reply(w.carrier.request(msg.INFO), 200, "")
				w.fra.status(200)
				w.help()
				for i := range 5 {
					w.carrier.dial112(fmt.Sprint("help", i))
					w.fra.reply(w.fra.request(msg.INVITE), 486, "")
					w.fra.request(msg.ACK)
					w.carrier.status(486)
				}
				w.plan = all
				w.carrier.invite("new", w.carrier.sdp)
				w.zrh.reply(w.zrh.request(msg.INVITE), 486, "")
				w.zrh.request(msg.ACK)
				w.carrier.status(486)
				w.fra.silent(time.Second)
				w.carrier.within(ok, "BYE", 100, "")
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
				w.carrier.final()
				time.Sleep(time.Minute)
			})
		})
	}
}

// Conforms: RFC 7339 section 5.1; RFC 7339 section 5.4; RFC 7339 section 5.10
func TestOverloadOfAServerIsHonoured(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Guard.Overload = true }, func(w *world) {
		say := func(req *msg.Request, status int, oc string) {
			via := req.Via()
			if !strings.Contains(string(w.fra.last), `;oc;oc-algo="loss,rate"`) {
				t.Fatalf("our Via announces no overload control: %s", w.fra.last)
			}
			via.Params.Remove("oc")
			via.Params.Remove("oc-algo")
			for k, v := range map[string]string{"oc": oc, "oc-algo": `"loss"`, "oc-validity": "60000", "oc-seq": "1282321615.782"} {
				via.Params.Add(k, v)
			}
			w.fra.reply(req, status, "")
		}
		w.carrier.invite("one", w.carrier.sdp)
		say(w.fra.request(msg.INVITE), 486, "100")
		w.fra.request(msg.ACK)
		w.carrier.ack(w.carrier.status(486))
		w.carrier.invite("two", w.carrier.sdp) // fra holds everything back: the next hop gets it
		in := w.zrh.request(msg.INVITE)
		if in.Via().Params.Has("oc") {
			t.Error("overload control is announced to a party that did not ask for it")
		}
		w.zrh.reply(in, 486, "")
		w.zrh.request(msg.ACK)
		w.carrier.ack(w.carrier.status(486))
		w.fra.silent(time.Second)
		s, err := w.edge.Probe(t.Context(), healthcheck.Target{Party: "nobody"})
		if err == nil {
			t.Errorf("a probe of nobody: %+v", s)
		}
		time.Sleep(time.Minute) // it was valid for a minute
		w.carrier.invite("three", w.carrier.sdp)
		w.fra.reply(w.fra.request(msg.INVITE), 486, "")
		w.fra.request(msg.ACK)
		w.carrier.ack(w.carrier.status(486))
		time.Sleep(time.Minute)
	})
	run(t, nil, func(w *world) { // feedback that nobody asked for counts for nothing
		w.carrier.invite("one", w.carrier.sdp)
		req := w.fra.request(msg.INVITE)
		req.Via().Params.Add("oc", "100")
		w.fra.reply(req, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.ack(w.carrier.status(486))
		if !w.edge.mayDial(fraAddr) {
			t.Error("unasked feedback was believed")
		}
		time.Sleep(time.Minute)
	})
}
