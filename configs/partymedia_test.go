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
