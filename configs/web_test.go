package configs

import (
	"strings"
	"testing"

	"github.com/cordonsip/cordon/media"
)

func TestWeb(t *testing.T) {
	parse := func(rest string) (*Config, error) {
		return Parse("x.yaml", []byte(strings.Replace(base, "edge_groups:\n", "edge_groups:\n  - {name: web, region: aws:eu-central-1, members: [{host: 127.1.0.12, transport: udp}], "+rest+"}\n", 1)))
	}
	for s, want := range map[string]media.Leg{
		"media: {security: plain}":                            {Security: media.Plain},
		"media: {security: dtls}":                             {Security: media.DTLS, Feedback: true},
		"media: {security: dtls, ice: lite}":                  {Security: media.DTLS, Feedback: true, ICE: true},
		"media: {security: dtls, profile: avp, ice: \"off\"}": {Security: media.DTLS},
		"media: {ice: lite}, health: {probe: options}":        {ICE: true, Security: media.SRTPRequired},
		"media: {security: dtls, suites: [AEAD_AES_128_GCM]}": {Security: media.DTLS, Feedback: true, Suites: []media.Suite{media.AEAD_AES_128_GCM}},
	} {
		c, err := parse(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		for _, p := range c.Profiles {
			if p.Name != "web" {
				continue
			}
			if l := p.Leg; l.Security != want.Security || l.ICE != want.ICE || l.Feedback != want.Feedback || len(l.Suites) != len(want.Suites) || p.Keys != (want.Security == media.SRTPRequired) {
				t.Errorf("%s: %+v, keys %v", s, l, p.Keys)
			}
		}
	}
	for s, want := range map[string]string{
		"media: {security: DTLS}": "media.security",
		"media: {ice: full}":      "media.ice",
		"media: {security: dtls, suites: [AES_256_CM_HMAC_SHA1_80]}": "media.suites",
		"media: {security: dtls, insecure_lab: true}":                "media.insecure_lab",
		"media: {security: dtls}, t38: allow":                        "t38",
		"media: {security: plain, ice: lite}, t38: allow":            "t38",
		"media: {security: dtls}, health: {probe: call}":             "health.probe",
		"media: {security: plain, ice: lite}, health: {probe: call}": "health.probe",
	} {
		if _, err := parse(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", s, err)
		}
	}
}
