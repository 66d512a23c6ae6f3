package sip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// A name that holds the name of a scanner as a part is nobody's but its owner's.
func TestInnocentNamesAreAnswered(t *testing.T) {
	run(t, nil, func(w *world) {
		for i, c := range []struct{ name, agent string }{
			{"Priya Tiwari", "Phone/1"},
			{"Gulpen-Wittem", "Phone/1"},
			{"Secret", "Acme SIPClient/4.2"},
			{"Secret", "MySIPCLI/1"},
			{"Secret", "Phone sipcli"},
			{"SIPVicious Fan Club", "Phone/1"},
			{"Secret", "Smap Telecom 3"},
			{"Secret", "iwar"},
			{"Secret", "friendly-scanner-detector/2"},
		} {
			raw := w.carrier.compose("OPTIONS", "sip:edge.example", fmt.Sprint("o", i), 1, "", "", "User-Agent: "+c.agent)
			w.carrier.write(strings.Replace(raw, `"Secret"`, `"`+c.name+`"`, 1))
			if res, ok := w.carrier.read(time.Second).(*msg.Response); !ok || res.StatusCode != 200 {
				t.Errorf("%q with %q is met with silence", c.name, c.agent)
			}
		}
		raw := w.carrier.compose("OPTIONS", "sip:100@edge.example", "scan", 1, "", "")
		w.carrier.write(strings.Replace(raw, `"Secret" <sip:+4917012@`, `"sipvicious" <sip:100@`, 1))
		w.carrier.silent(time.Second)
	})
}

// Whoever asks for help is heard, whatever their telephone calls itself, and may hang up again.
func TestACallForHelpByAScannerIsHeard(t *testing.T) {
	run(t, func(c *Config) { c.AsksForHelp = func(r routing.Request) bool { return r.Called == "112" } }, func(w *world) {
		agent := "User-Agent: sipcli/v1.8"
		w.carrier.write(w.carrier.compose("INVITE", "sip:112@edge.example", "help", 1, "", w.carrier.sdp, agent))
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:112@edge.example", "help", 1, "", "", agent), "helpCANCEL1", "helpINVITE1", 1))
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		w.fra.reply(in, 487, "")
		w.carrier.status(487)
		w.carrier.write(w.carrier.compose("INVITE", "sip:4930@edge.example", "scan", 1, "", w.carrier.sdp, agent))
		w.receipt()
		w.fra.request(msg.ACK)
		w.fra.silent(time.Second)
	})
}

// An INVITE that comes again while its first copy rings is neither charged nor refused: it gets what the first one got.
// Conforms: RFC 3261 section 17.2.1; RFC 3261 section 8.2.7
func TestARetransmittedInviteIsNoNewCall(t *testing.T) {
	run(t, func(c *Config) { c.RatePerSource = 1 }, func(w *world) {
		raw := w.carrier.invite("again", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		tag := w.carrier.status(180).To().Params.GetOr("tag", "")
		for range 3 {
			w.carrier.write(raw)
			if res := w.carrier.status(180); res.To().Params.GetOr("tag", "") != tag {
				t.Errorf("another call:\n%s", res)
			}
		}
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.end(ok, 2)
	})
}

// What comes again after its transaction is over is a new call and pays for it.
func TestACopyOfACallThatIsOverIsCharged(t *testing.T) {
	run(t, func(c *Config) { c.RatePerSource = 0.001 }, func(w *world) {
		raw := w.carrier.invite("over", w.carrier.sdp)
		w.fra.reply(w.fra.request(msg.INVITE), 486, "")
		w.fra.request(msg.ACK)
		w.carrier.ack(w.carrier.status(486))
		time.Sleep(10 * time.Second)
		w.carrier.write(raw)
		w.carrier.status(503)
		w.carrier.write(raw)
		w.carrier.status(503)
	})
}

// What belongs to a call that waits is taken in however full the lobby is, to a bound; its own copies take no place.
func TestWhatBelongsToAWaitingCallFindsTheLobbyNeverFull(t *testing.T) {
	w := func(id string) transport.Incoming {
		r := msg.NewRequest(msg.CANCEL, msg.Uri{})
		h := msg.CallIDHeader(id)
		r.AppendHeader(&h)
		return transport.Incoming{Msg: r, Party: "a", At: time.Now()}
	}
	b := newLobby()
	for i := range maxLobby {
		id := fmt.Sprint(i)
		if b.meet(uint64(i+1), id) != stranger {
			t.Fatal("a new call is known")
		}
		b.enter(w(id), id, true)
	}
	if got := b.meet(8, "7"); got != waitsAlready {
		t.Errorf("a copy of a waiting call: %d", got)
	}
	late := w("new")
	late.At = late.At.Add(maxLag)
	if got := b.enter(late, "new", true); got != full {
		t.Errorf("one more call: %d", got)
	}
	for i := range maxBehind + 1 {
		want := waits
		if i >= maxBehind-1 {
			want = full
		}
		if got := b.enter(w("7"), "7", false); got != want {
			t.Errorf("message %d of a waiting call: %d, want %d", i, got, want)
		}
	}
	for more := true; more; {
		_, more = b.next(time.Now())
	}
	if got := b.meet(8, "7"); got != metBefore {
		t.Errorf("a copy of a call that was taken: %d", got)
	}
}

// The door remembers a bounded number of calls, for no longer than they come again.
func TestTheDoorForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLobby()
		for i := range uint64(10 * maxMet) {
			b.meet(i+1, "")
		}
		if n := len(b.met.now) + len(b.met.before); n > 2*maxMet {
			t.Errorf("%d calls are remembered", n)
		}
		b = newLobby()
		b.meet(1, "")
		time.Sleep(halfLife)
		b.meet(2, "")
		if !b.knows(1) || !b.knows(2) {
			t.Error("a call was forgotten while it comes again")
		}
		b.forget(2)
		time.Sleep(halfLife)
		b.meet(3, "")
		if b.knows(1) || b.knows(2) {
			t.Error("a call is remembered for ever")
		}
	})
}

// The key of a CANCEL is that of its INVITE; another branch, party or sequence is another call.
// Conforms: RFC 3261 section 17.2.3; RFC 3261 section 9.1
func TestTheKeyOfACallIsThatOfItsCancel(t *testing.T) {
	p := &peer{at: netip.MustParseAddrPort("10.1.0.1:5060"), tag: "x"}
	parse := func(raw string) *msg.Request {
		m, err := msg.ParseMessage([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return m.(*msg.Request)
	}
	raw := p.compose("INVITE", "sip:1@edge.example", "k", 1, "", "")
	k := keyOf(parse(raw), "carrier")
	cancel := strings.Replace(p.compose("CANCEL", "sip:1@edge.example", "k", 1, "", ""), "kCANCEL1", "kINVITE1", 1)
	if k == 0 || keyOf(parse(raw), "carrier") != k || keyOf(parse(cancel), "carrier") != k {
		t.Error("one call has several keys")
	}
	for name, other := range map[string]uint64{
		"party": keyOf(parse(raw), "fra"), "branch": keyOf(parse(strings.Replace(raw, "kINVITE1", "other", 1)), "carrier"),
		"sequence": keyOf(parse(strings.Replace(raw, "CSeq: 1", "CSeq: 2", 1)), "carrier"), "sender": keyOf(parse(strings.Replace(raw, "UDP 10.1.0.1:5060", "UDP 10.1.0.1:5062", 1)), "carrier"),
	} {
		if other == k {
			t.Error("another call has the same key:", name)
		}
	}
}
