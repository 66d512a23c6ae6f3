package configs

import (
	"slices"

	"github.com/cordonsip/cordon/media"
)

// web reads what a party that is reached like a browser needs.
func (b *builder) web(p *Party, leg *media.Leg, at string) {
	leg.ICE = b.oneOf(at+".media.ice", p.Media.ICE, "off", "lite") == "lite"
	dtls := leg.Security == media.DTLS
	if dtls && p.Media.Profile == "" {
		leg.Feedback = true // RFC 8829 section 5.1.2: browsers offer nothing else
	}
	if dtls && len(leg.Suites) > 0 && !slices.ContainsFunc(leg.Suites, func(s media.Suite) bool { return s != media.AES_256_CM_SHA1_80 }) {
		b.fail(at+".media.suites", "name AEAD_AES_256_GCM, AEAD_AES_128_GCM or one of AES_CM_128", "DTLS-SRTP has none of these suites (RFC 5764, RFC 7714)")
	}
	if dtls && p.Media.InsecureLab {
		b.fail(at+".media.insecure_lab", "leave it out", "with security dtls no key travels in signalling")
	}
	if leg.T38 && leg.ICE {
		b.fail(at+".t38", "leave it at deny, or ice at off", "a fax by T.38 has no place on a leg with ICE")
	}
	if probe := p.Health; (dtls || leg.ICE) && probe != nil && probe.Probe != "" && probe.Probe != "options" {
		b.fail(at+".health.probe", "write options", "synthetic calls speak neither DTLS-SRTP nor ICE")
	}
}
