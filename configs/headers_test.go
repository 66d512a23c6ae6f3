package configs

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/header"
)

// carrierWith is the base with more keys of its trunk.
func carrierWith(keys string) []byte {
	return []byte(strings.Replace(base, "{name: carrier, ", "{name: carrier, "+keys+", ", 1))
}

func TestWhatMayCross(t *testing.T) {
	for keys, want := range map[string]sip.Crossing{
		"max_calls: 5": {},
		"trusted: true, diversion: history-info, identity: pass, q850_cause: true": {Diversion: "history-info", Identity: "pass", Q850: true},
		"preferred_identity: true, user_to_user: pass":                             {Preferred: true, UserData: 128},
		"user_to_user: pass, user_to_user_max: 256, diversion: none":               {UserData: 256, Diversion: "none"},
		"bodies: [application/ISUP, application/qsig], user_to_user: strip":        {Bodies: []string{"application/isup", "application/qsig"}},
		"header_rules: [{add: X-Foo, value: bar}, {rename: X-A, to: X-B}, {drop: X-C}]": {
			Rules: []header.Rule{{Add: "X-Foo", Value: "bar"}, {Rename: "X-A", To: "X-B"}, {Drop: "X-C"}},
		},
	} {
		c, err := Parse("x.yaml", carrierWith(keys))
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		if got := c.Profiles[0].Cross; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", keys, got, want)
		}
	}
}

func TestMistakesInWhatMayCross(t *testing.T) {
	for keys, want := range map[string]string{
		"diversion: sometimes":                            "trunks[0].diversion: \"sometimes\" is unknown",
		"diversion: both":                                 "trunks[0].diversion: who sent a call on",
		"identity: verify":                                "trunks[0].identity: \"verify\" is unknown",
		"trusted: true, preferred_identity: true":         "trunks[0].preferred_identity: has no meaning",
		"user_to_user: always":                            "trunks[0].user_to_user: \"always\" is unknown",
		"user_to_user_max: 5":                             "trunks[0].user_to_user_max: bounds nothing",
		"user_to_user: pass, user_to_user_max: 9999":      "trunks[0].user_to_user_max: 9999 is out of range",
		"bodies: [isup]":                                  "trunks[0].bodies[0]: \"isup\" is no media type",
		"bodies: [\"application/isup;version=x\"]":        "trunks[0].bodies[0]: ",
		"bodies: [application/sdp]":                       "is the edge's own to write",
		"bodies: [multipart/mixed]":                       "is the edge's own to write",
		"header_rules: [{drop: X-A}, {drop: Via}]":        "trunks[0].header_rules[1]: \"Via\" is the edge's own to write",
		"header_rules: [{add: X-A}]":                      "add and value belong together",
		"header_rules: [{rename: X-A, to: Contact}]":      "\"Contact\" is the edge's own to write",
		"header_rules: [{add: X-A, value: b, drop: X-C}]": "exactly one",
		"header_rules: [{replace: X-A}]":                  "replace",
		"headers: [Remote-Party-ID]":                      "trunks[0].headers[0]: \"Remote-Party-ID\" is the edge's own",
		"headers: [Identity]":                             "trunks[0].headers[0]: \"Identity\" is the edge's own",
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
