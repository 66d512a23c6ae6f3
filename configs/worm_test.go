package configs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/worm"
)

func TestWORM(t *testing.T) {
	base := readExample(t)
	right := map[string]string{
		"endpoint": `"https://10.1.0.9:9000"`, "region": `"aws:eu-central-1"`, "bucket": "cordon-log", "access_key": "{env: A}", "secret_key": "{env: B}",
		"recovery_key": `"x25519:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="`,
	}
	text := func(change map[string]string) []byte {
		var parts []string
		for _, m := range []map[string]string{right, change} {
			for k, v := range m {
				if _, over := change[k]; v != "" && (!over || m[k] == change[k]) && !slices.Contains(parts, k+": "+v) {
					parts = append(parts, k+": "+v)
				}
			}
		}
		slices.Sort(parts)
		return append(base.with("", ""), "\nlog: {worm: {"+strings.Join(parts, ", ")+"}}\n"...)
	}
	for _, c := range []struct{ key, value, want string }{
		{"endpoint", "", "log.worm.endpoint: is no address"},
		{"endpoint", `"http://10.1.0.9"`, "log.worm.endpoint: is not protected"},
		{"endpoint", `"https://10.1.0.9/bucket"`, "log.worm.endpoint: is no address"},
		{"endpoint", `"https://k:s@10.1.0.9"`, "log.worm.endpoint: is no address"},
		{"region", "", "log.worm.region: is missing"},
		{"region", `"eu-central-1"`, "log.worm.region"},
		{"region", `"aws:nowhere-1"`, "log.worm.region: unknown region"},
		{"region", `"aws:us-east-1"`, "log.worm.region: the copy may not lie there"},
		{"bucket", "A", "log.worm.bucket"},
		{"access_key", "", "log.worm.access_key: is missing"},
		{"secret_key", "", "log.worm.secret_key: is missing"},
		{"mode", "governance", `log.worm.mode: "governance" is not taken`},
		{"keep", "31y", "log.worm.keep"},
		{"keep", "0d", "log.worm.keep"},
		{"keep", "5", "log.worm.keep"},
		{"every", "1s", "log.worm.every: 1s is out of range"},
		{"recovery_key", "", "log.worm.recovery_key: is no public key"},
		{"recovery_key", `"x25519:AAAA"`, "log.worm.recovery_key: is no public key"},
		{"roots_file", "no", "log.worm.roots_file"},
		{"name", "x", "log.worm.name"},
	} {
		_, probs := Examine(base.name, text(map[string]string{c.key: c.value}))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), c.want) }) {
			t.Errorf("%s: %s: no word of %s in %v", c.key, c.value, c.want, probs)
		}
	}
	cfg, err := Parse(base.name, text(nil))
	if err != nil {
		t.Fatal(err)
	}
	if w := cfg.WORM; w.Signing != "eu-central-1" || w.Keep != (worm.Keep{Years: 5}) || w.Every != time.Minute || w.To == nil || w.Region.String() != "aws:eu-central-1" {
		t.Errorf("%+v", w)
	}
	cfg, err = Parse(base.name, text(map[string]string{"keep": "400d", "every": "10s", "signing_region": "us-east-1", "mode": "compliance"}))
	if err != nil || cfg.WORM.Keep != (worm.Keep{Days: 400}) || cfg.WORM.Every != 10*time.Second || cfg.WORM.Signing != "us-east-1" {
		t.Errorf("%v %+v", err, cfg)
	}
	cfg, err = Parse(base.name, text(map[string]string{"endpoint": `"https://192.0.2.9"`}))
	if err != nil || !slices.ContainsFunc(cfg.Warnings, func(p Problem) bool { return strings.Contains(p.Error(), "nothing will be copied there") }) {
		t.Errorf("%v: no warning of an address that is outside: %v", err, cfg)
	}
}

// A lock that is shorter than a class of retention is warned of, for each such class; the class of everything else is five years.
func TestALockThatEndsBeforeAClass(t *testing.T) {
	worm := "worm: {endpoint: \"https://10.1.0.9:9000\", region: \"aws:eu-central-1\", bucket: cordon-log, access_key: {env: A}, secret_key: {env: B}, recovery_key: \"x25519:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\""
	base := readExample(t)
	for _, c := range []struct{ keep, classes, want string }{
		{"5y", "", ""},
		{"1827d", "", ""},
		{"1826d", "", `"call_references"`}, // five years may have two leap days
		{"5y", "{class: mifid, keep: 7y, reason: r}", `"mifid"`},
		{"7y", "{class: mifid, keep: 7y, reason: r}", ""},
		{"400d", "{class: short, keep: 1y, reason: r}", ""},
	} {
		text := append(base.with("", ""), "\nlog: {"+worm+", keep: "+c.keep+"}}\nretention: ["+c.classes+"]\n"...)
		cfg, err := Parse(base.name, text)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range cfg.Warnings {
			if strings.Contains(p.Error(), "log.worm.keep") {
				got += p.Error()
			}
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("keep %s with %q: warned %q", c.keep, c.classes, got)
		}
	}
}
