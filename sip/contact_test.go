package sip

import (
	"net/netip"
	"testing"

	"github.com/cordonsip/cordon/sip/transport"
)

// Our Contact toward a party names us as the party knows us, with the port and the transport of the listener: a peer that matches certificates by name (Teams)
// wants sip:sbc.example.com:5061;transport=tls.
// Conforms: RFC 3261 section 8.1.1.8
func TestContactOfAParty(t *testing.T) {
	s := &shard{}
	for _, c := range []struct {
		proto   transport.Proto
		local   string
		contact string
		want    string
	}{
		{transport.TLS, "192.0.2.1:5061", "sbc.example.com", "sip:sbc.example.com:5061;transport=tls"},
		{transport.TLS, "192.0.2.1:5071", "sbc.example.com", "sip:sbc.example.com:5071;transport=tls"},
		{transport.TCP, "192.0.2.1:5060", "", "sip:192.0.2.1:5060;transport=tcp"},
		{transport.UDP, "[2001:db8::1]:5060", "", "sip:[2001:db8::1]:5060"},
	} {
		l := &leg{c: &call{sh: s}, party: &Party{Contact: c.contact}, flow: transport.Path(c.proto, netip.MustParseAddrPort(c.local), netip.MustParseAddrPort("192.0.2.9:5061"))}
		for range 2 { // made, and remembered
			if got := l.contact().Address.String(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		}
	}
	if len(s.reaches) != 4 {
		t.Errorf("%d are remembered", len(s.reaches))
	}
}
