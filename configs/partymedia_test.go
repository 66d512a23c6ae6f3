package configs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/media"
)

// partyMedia is the base with other media keys of the trunk.
func partyMedia(keys string) []byte {
	return []byte(strings.Replace(string(carrierWith("max_calls: 5")), "security: plain", keys, 1))
}

func TestMediaOfAParty(t *testing.T) {
	v6 := netip.MustParseAddr("2001:db8::7")
	for keys, want := range map[string]media.Leg{
		"security: best_effort":                                       {Security: media.SRTPBestEffort},
		"security: plain, profile: avpf":                              {Security: media.Plain, Feedback: true},
		"security: plain, profile: avp, rtcp_mux: pass":               {Security: media.Plain},
		"security: optional, rtcp_mux: offer":                         {Security: media.SRTPOptional, Mux: true},
		"security: plain, address: '2001:db8::7'":                     {Security: media.Plain, Bind: v6},
		"security: plain, address: '::', advertise: '2001:db8::7'":    {Security: media.Plain, Bind: netip.IPv6Unspecified(), Advertise: v6},
		"security: plain, advertise: '2001:db8::7', rtcp_mux: 'pass'": {Security: media.Plain, Advertise: v6},
	} {
		c, err := Parse("x.yaml", partyMedia(keys))
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		l := c.Profiles[0].Leg
		if l.Security != want.Security || l.Feedback != want.Feedback || l.Mux != want.Mux || l.Bind != want.Bind || l.Advertise != want.Advertise {
			t.Errorf("%s: %+v", keys, l)
		}
	}
	for keys, want := range map[string]string{
		"security: besteffort":                        "trunks[0].media.security",
		"security: plain, profile: savpf":             "trunks[0].media.profile",
		"security: plain, rtcp_mux: on":               "trunks[0].media.rtcp_mux",
		"security: plain, address: nowhere":           "trunks[0].media.address",
		"security: plain, address: '::'":              "trunks[0].media.address",
		"security: plain, advertise: 0.0.0.0":         "trunks[0].media.advertise",
		"security: plain, address: 10.0.0.1, port: 1": "unknown key",
	} {
		if _, err := Parse("x.yaml", partyMedia(keys)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
}

// Keys go over TLS alone: who wants them and is reached by nothing else is warned that no call goes there.
func TestAPartyThatWantsKeysAndIsNeverReachedByTLS(t *testing.T) {
	for keys, warned := range map[string]bool{
		"security: optional": true, "security: srtp": true, "suites: [AES_CM_128_HMAC_SHA1_80]": true,
		"security: optional, insecure_lab: true": false, "security: best_effort": false, "security: plain": false, "security: dtls": false,
	} {
		for _, transport := range []string{"udp", "tls"} {
			c, err := Parse("x.yaml", []byte(strings.Replace(string(partyMedia(keys)), "host: 127.1.0.10, transport: udp", "host: 127.1.0.10, transport: "+transport, 1)))
			if err != nil {
				t.Fatalf("%s: %v", keys, err)
			}
			if got := strings.Contains(c.Warnings.Error(), "no call can be offered to carrier"); got != (warned && transport == "udp") {
				t.Errorf("%s over %s: %v", keys, transport, c.Warnings)
			}
		}
	}
}
