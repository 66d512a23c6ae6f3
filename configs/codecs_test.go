package configs

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip"
)

func TestCodecsOfAParty(t *testing.T) {
	for keys, want := range map[string]struct {
		codecs   media.Codecs
		fallback sip.Fallback
	}{
		"max_calls: 5": {},
		"codecs: {allow: [pcma, OPUS], deny: [telephone-event], prefer: [PCMA]}": {codecs: media.Codecs{Allow: []string{"PCMA", "opus"}, Deny: []string{"telephone-event"}, Prefer: []string{"PCMA"}}},
		"fallback: {on_488: codecs}": {fallback: sip.Fallback{On488: "codecs", Codecs: []string{"PCMA", "PCMU"}}},
		"codecs: {deny: [PCMU]}, fallback: {on_488: codecs, codecs: [PCMA, G722]}": {codecs: media.Codecs{Deny: []string{"PCMU"}}, fallback: sip.Fallback{On488: "codecs", Codecs: []string{"PCMA", "G722"}}},
		"fallback: {on_488: none}": {fallback: sip.Fallback{On488: "none"}},
	} {
		c, err := Parse("x.yaml", carrierWith(keys))
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		p := c.Profiles[0]
		if !reflect.DeepEqual(clean(p.Leg.Codecs), want.codecs) || len(p.Fallback.Codecs) != len(want.fallback.Codecs) || p.Fallback.On488 != want.fallback.On488 {
			t.Errorf("%s: %+v %+v", keys, p.Leg.Codecs, p.Fallback)
		}
		if err := new(sip.Edge).Reload(c.Profiles); err != nil {
			t.Errorf("%s: sip refuses what configs built: %v", keys, err)
		}
	}
	optional := strings.Replace(string(carrierWith("fallback: {on_488: plain}")), "security: plain", "security: optional", 1)
	if c, err := Parse("x.yaml", []byte(optional)); err != nil || c.Profiles[0].Fallback.On488 != "plain" {
		t.Errorf("plain where SRTP is optional: %v", err)
	}
}

// clean makes nil of empty lists.
func clean(c media.Codecs) media.Codecs {
	for _, l := range []*[]string{&c.Allow, &c.Deny, &c.Prefer} {
		if len(*l) == 0 {
			*l = nil
		}
	}
	return c
}

func TestMistakesInCodecs(t *testing.T) {
	for keys, want := range map[string]string{
		"codecs: {allow: [PCMX]}":                                             `trunks[0].codecs.allow[0]: "PCMX" is no encoding name that is known`,
		"codecs: {allow: [PCMA, pcma]}":                                       `trunks[0].codecs.allow[1]: "pcma" stands twice`,
		"codecs: {allow: [telephone-event, CN]}":                              "trunks[0].codecs: no speech is left",
		"codecs: {allow: [PCMA], deny: [PCMA]}":                               "trunks[0].codecs: no speech is left",
		"codecs: {allow: [PCMA], prefer: [G722]}":                             `trunks[0].codecs.prefer[0]: "G722" is never offered`,
		"codecs: {only: [PCMA]}":                                              "unknown key",
		"codecs: {deny: [PCMA]}, health: {probe: media}":                      "trunks[0].codecs: synthetic calls speak PCMA alone",
		"fallback: {on_488: retry}":                                           `trunks[0].fallback.on_488: "retry" is unknown`,
		"fallback: {on_488: plain}":                                           "trunks[0].fallback.on_488: the party's media security",
		"fallback: {codecs: [PCMA]}":                                          "trunks[0].fallback.codecs: no second offer has it",
		"fallback: {on_488: codecs, codecs: [CN]}":                            "trunks[0].fallback.codecs: no speech is left",
		"codecs: {deny: [PCMU]}, fallback: {on_488: codecs}":                  `trunks[0].fallback.codecs[1]: "PCMU" is never offered`,
		"codecs: {allow: [G722]}, fallback: {on_488: codecs, codecs: [PCMA]}": `trunks[0].fallback.codecs[0]: "PCMA" is never offered`,
	} {
		_, err := Parse("x.yaml", carrierWith(keys))
		var probs Problems
		if !errors.As(err, &probs) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", keys, err, want)
			continue
		}
		if probs[0].Line == 0 || probs[0].Hint == "" {
			t.Errorf("%s: no line or no hint: %+v", keys, probs[0])
		}
	}
}
