package sip

import (
	"testing"
	"time"

	"github.com/cordonsip/cordon/routing"
	msg "github.com/emiago/sipgo/sip"
)

// A hop that wants another number of the caller gets it in From and in what is asserted, and the next hop gets its own. Conforms to what carriers ask:
// a number of their customer's, written in their way.
func TestEachHopGetsTheCallersNumberThatItTakes(t *testing.T) {
	run(t, func(cfg *Config) {
		for i := range cfg.Parties {
			cfg.Parties[i].Trusted = true
		}
	}, func(w *world) {
		hops := []routing.Hop{w.hop("fra", fraAddr), w.hop("zrh", zrhAddr)}
		hops[0].Caller, hops[0].URI = "06910000", "0696666"
		w.hops = hops
		w.carrier.invite("id", w.carrier.sdp, "P-Asserted-Identity: <sip:+49301@a.secret>, <tel:+4917>")
		in := w.fra.request(msg.INVITE)
		if got := value(in, "p-asserted-identity"); got != "<sip:06910000@fra.example>" || len(values(in, "p-asserted-identity")) != 1 {
			t.Errorf("P-Asserted-Identity %q", values(in, "p-asserted-identity"))
		}
		if in.From().Address.User != "06910000" || in.Recipient.User != "0696666" || in.To().Address.User != "0696666" {
			t.Errorf("%s", in)
		}
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		in = w.zrh.request(msg.INVITE)
		if got := values(in, "p-asserted-identity"); len(got) != 2 || got[0] != "<sip:+49301@zrh.example>" || got[1] != "<tel:+4917>" || in.From().Address.User != "+4917012" {
			t.Errorf("%s", in)
		}
		w.zrh.reply(in, 486, "")
		w.carrier.status(486)
		time.Sleep(time.Minute)
	})
}
