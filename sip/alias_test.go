package sip

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	msg "github.com/emiago/sipgo/sip"
)

// relayedJoin sends the agent's attended transfer on to the carrier and gives the Replaces that the carrier is to use.
func (w *world) relayedJoin() (one, two consulted, names string) {
	w.t.Helper()
	one, two = w.pairUp()
	one.asks(w, "REFER", 1, "Refer-To: "+two.named("agent2"))
	ref := w.carrier.request(msg.REFER)
	for _, leak := range []string{"10.2.0", "10.3.0", "second2", "agent", "twotag", "fra@", "fra.", "zrh@", "zrh.", two.in.CallID().Value(), two.in.From().Params.GetOr("tag", "")} {
		if strings.Contains(string(w.carrier.last), leak) {
			w.t.Errorf("%q crosses:\n%s", leak, ref)
		}
	}
	to := value(ref, "refer-to")
	_, names, ok := strings.Cut(strings.TrimSuffix(to, ">"), "?Replaces=")
	names, err := url.PathUnescape(names)
	if !ok || err != nil || !strings.HasPrefix(to, "<sip:x@carrier.example?") {
		w.t.Fatalf("Refer-To %s", to)
	}
	w.carrier.reply(ref, 202, "")
	w.fra.status(202)
	w.fra.notify("100 ", "active")
	return one, two, "Replaces: " + names
}

// A party whose REFERs are sent on joins two calls: the other side gets a name of the second call that was made for it, sends its INVITE with Replaces here, and takes
// the agent's place in that call. Nothing of that call's dialogs shows.
//
// Conforms: RFC 3891 section 4; who was referred to a dialog by its party may replace it, and nobody else.
// Conforms: RFC 5589 section 7; an attended transfer that is sent on joins the two far ends.
func TestAnAttendedTransferThatIsSentOn(t *testing.T) {
	for _, id := range []string{"coming", "coming2", "coming3", "coming4"} { // on either loop
		run(t, func(c *Config) { c.Parties[1].Transfer = "relay" }, func(w *world) {
			one, two, names := w.relayedJoin()
			w.zrh.tag = "thief" // it belongs to the carrier alone
			w.zrh.invite("thief", w.zrh.sdp, names)
			w.zrh.ack(w.zrh.status(481))
			w.zrh.tag = "twotag"
			w.carrier.tag = id
			w.carrier.invite(id, strings.Replace(w.carrier.sdp, "30000", "30600", 1), names, "Require: replaces")
			res := w.carrier.status(200)
			w.carrier.within(res, "ACK", 1, "")
			bye := w.fra.request(msg.BYE)
			if bye.CallID().Value() != two.in.CallID().Value() {
				t.Errorf("BYE in dialog %s", bye.CallID().Value())
			}
			w.fra.reply(bye, 200, "")
			w.carrier.tag = "onetag"
			frag := w.carrier.compose("NOTIFY", "sip:10.0.0.1", "first", 2, one.far.To().Params.GetOr("tag", ""), "SIP/2.0 200 OK\r\n",
				"Event: refer", "Subscription-State: terminated;reason=noresource")
			w.carrier.write(strings.Replace(frag, "application/sdp", "message/sipfrag", 1))
			w.carrier.status(200)
			w.fra.notify("200 ", "terminated")
			one.asks(w, "BYE", 2)
			w.fra.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			w.carrier.tag = id
			w.carrier.within(res, "INFO", 2, "")
			w.zrh.reply(w.zrh.request(msg.INFO), 200, "")
			w.carrier.status(200)
			two.says(w.zrh, "BYE", 1, "")
			w.zrh.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			time.Sleep(time.Second)
			synctest.Wait()
			how := []string{}
			for _, r := range entries[audit.Receipt](w, audit.KindReceipt) {
				for _, x := range r.Transfers {
					how = append(how, x.How+" "+x.Result)
				}
			}
			if slices.Sort(how); strings.Join(how, ", ") != "invite_replaces answered, refer_replaces relayed" {
				t.Errorf("transfers %s", how)
			}
			time.Sleep(4 * time.Minute)
			if n := w.edge.aliases.n.Load() + w.edge.guests.n.Load(); n != 0 {
				t.Errorf("%d names or guests are left", n)
			}
		})
	}
}

// A name that was made up lasts for as long as a REFER and no longer, names nothing when its tags are wrong, and there is no room for names without end.
func TestNamesOfDialogsAreBounded(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Transfer = "relay" }, func(w *world) {
		one, two, names := w.relayedJoin()
		w.carrier.tag = "wrong"
		w.carrier.invite("wrong", w.carrier.sdp, names+"x")
		w.carrier.ack(w.carrier.status(481))
		time.Sleep(referLasts - 10*time.Second)
		w.fra.notify("100 ", "terminated;reason=timeout")
		time.Sleep(2 * time.Second)
		w.carrier.tag = "late"
		w.carrier.invite("late", w.carrier.sdp, names)
		w.carrier.ack(w.carrier.status(481))
		w.edge.aliases.n.Store(maxAliases)
		one.asks(w, "REFER", 2, "Refer-To: "+two.named("agent2"))
		if res := w.fra.status(500); value(res, "retry-after") == "" {
			t.Errorf("\n%s", res)
		}
		w.edge.aliases.n.Store(0)
		one.asks(w, "REFER", 3, "Refer-To: <sip:x@x?Replaces=nobody%3Bto-tag%3Da%3Bfrom-tag%3Db>")
		w.fra.status(603)
		w.carrier.tag = "onetag"
		w.ends(two, w.zrh, 1)
		w.ends(one, w.carrier, 1)
	})
}
