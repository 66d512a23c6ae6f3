package configs

import (
	"strings"
	"testing"
)

func TestFaxOfAParty(t *testing.T) {
	for _, c := range []struct {
		security, keys string
		want           bool
		warns          bool
		err            string
	}{
		{security: "plain", keys: "max_calls: 5"},
		{security: "plain", keys: "t38: deny"},
		{security: "srtp", keys: "t38: deny"},
		{security: "plain", keys: "t38: allow", want: true},
		{security: "optional", keys: "t38: allow", want: true, warns: true},
		{security: "best_effort", keys: "t38: allow", want: true, warns: true},
		{security: "srtp", keys: "t38: allow", err: "trunks[0].t38: T.38 over UDPTL is not encrypted, and media.security demands SRTP"},
		{security: "plain", keys: "t38: yes", err: "trunks[0].t38"},
		{security: "plain", keys: "t38: pass", err: `trunks[0].t38: "pass" is unknown`},
	} {
		text := strings.Replace(string(carrierWith(c.keys)), "security: plain", "security: "+c.security, 1)
		conf, err := Parse("x.yaml", []byte(text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s, %s: %v, want %s", c.security, c.keys, err, c.err)
			}
			continue
		}
		if err != nil || conf.Profiles[0].Leg.T38 != c.want || conf.Profiles[1].Leg.T38 {
			t.Errorf("%s, %s: %v", c.security, c.keys, err)
			continue
		}
		warned := false
		for _, w := range conf.Warnings {
			warned = warned || strings.HasSuffix(w.Path, ".t38")
		}
		if warned != c.warns {
			t.Errorf("%s, %s: %v", c.security, c.keys, conf.Warnings)
		}
	}
}
