package configs

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/carrier"
)

// toLogs and toPeople are channels that have what they need; %s takes more.
const (
	toLogs   = `notify: [{name: x, type: syslog, syslog: {address: "192.0.2.1"%s}}]`
	toPeople = `notify: [{name: x, type: mail, mail: {address: smtp.bank.example, from: c@bank.example, to: [duty@bank.example]%s}}]`
)

func TestSyslogAndMailSayWhatIsWrong(t *testing.T) {
	mailWith := func(key, value string) string {
		keys := map[string]string{"address": "smtp.bank.example", "from": "c@bank.example", "to": "[duty@bank.example]"}
		keys[key] = value
		return fmt.Sprintf("notify: [{name: x, type: mail, mail: {address: %s, from: %s, to: %s}}]", keys["address"], keys["from"], keys["to"])
	}
	for text, want := range map[string]string{
		"notify: [{name: x, type: syslog}]":                                                                 "notify[0].syslog: is missing|logs.bank.example:6514",
		"notify: [{name: x, type: mail}]":                                                                   "notify[0].mail: is missing|smtp.bank.example",
		"notify: [{name: x, type: syslog, syslog: {}}]":                                                     "notify[0].syslog.address: \"\" is no address|a host, or a host with a port",
		"notify: [{name: x, type: console, syslog: {}}]":                                                    "notify[0].syslog: a channel of the type \"console\" does not read it|leave it out",
		"notify: [{name: x, type: console, mail: {}}]":                                                      "notify[0].mail: a channel of the type \"console\" does not read it|leave it out",
		"notify: [{name: x, type: syslog, url: \"https://a\"}]":                                             "notify[0].url: a channel of the type \"syslog\" does not read it|stands in syslog.address",
		"notify: [{name: x, type: mail, url: \"https://a\"}]":                                               "notify[0].url: a channel of the type \"mail\" does not read it|stands in mail.address",
		"notify: [{name: x, type: syslog, secret: {env: S}}]":                                               "notify[0].secret: syslog knows no secret|cert_file",
		"notify: [{name: x, type: syslog, format: ecs}]":                                                    "notify[0].type: \"syslog\" has no format|only a webhook",
		fmt.Sprintf(toLogs, ", facility: kern"):                                                             "notify[0].syslog.facility: \"kern\" is unknown|local0 to local7",
		fmt.Sprintf(toLogs, ", enterprise: -1"):                                                             "cannot use|",
		fmt.Sprintf(toLogs, ", enterprise: 4294967296"):                                                     "cannot use|",
		fmt.Sprintf(toLogs, ", cert_file: no.crt"):                                                          "notify[0].syslog.cert_file|belong together",
		fmt.Sprintf(toLogs, ", tls: off"):                                                                   "notify[0].syslog.tls: unknown key|known keys",
		fmt.Sprintf(toPeople, ", tls: none"):                                                                "notify[0].mail.tls: \"none\" is unknown|nothing is sent in the clear",
		fmt.Sprintf(toPeople, ", user: u"):                                                                  "notify[0].secret: is missing|password of mail.user",
		fmt.Sprintf(toPeople, `, user: "a\nb"`):                                                             "notify[0].secret: is missing|",
		strings.Replace(fmt.Sprintf(toPeople, ""), "mail: {", "secret: {env: S}, mail: {", 1):               "notify[0].mail.user: is missing|leave the secret out",
		strings.Replace(fmt.Sprintf(toPeople, `, user: "a\nb"`), "mail: {", "secret: {env: S}, mail: {", 1): "notify[0].mail.user: has a line break|one line",
		mailWith("address", `"smtp.bank.example:0"`):                                                        "notify[0].mail.address|a host with a port",
		mailWith("address", `"smtp.bank.example:70000"`):                                                    "notify[0].mail.address|a host with a port",
		mailWith("address", `"smtp bank"`):                                                                  "notify[0].mail.address|a host with a port",
		mailWith("address", `"fe80::1%eth0"`):                                                               "notify[0].mail.address|a host with a port",
		mailWith("address", `"smtps://smtp.bank.example"`):                                                  "notify[0].mail.address|a host with a port",
		mailWith("from", `""`):                                                                              "notify[0].mail.from: is no address|cordon@bank.example",
		mailWith("from", `"annasecret"`):                                                                    "notify[0].mail.from: is no address|cordon@bank.example",
		mailWith("from", `"annasecret\r\nBcc: e@e.example <a@b>"`):                                          "notify[0].mail.from: is no address|line breaks",
		mailWith("from", `"a@b.example\nBcc: annasecret@e"`):                                                "notify[0].mail.from: is no address|line breaks",
		mailWith("to", `[]`):                                                                                "notify[0].mail.to: there are 0|1 to 20",
		mailWith("to", `[a@b, "annasecret\r\nDATA@b"]`):                                                     "notify[0].mail.to[1]: is no address|line breaks",
		mailWith("to", `["Anna <annasecret@b>"]`):                                                           "notify[0].mail.to[0]: is no address|without name",
		mailWith("to", `[annasecret@b, annasecret@b]`):                                                      "notify[0].mail.to[1]: is no address that mail can go to, or stands twice|once",
		mailWith("to", `[ännasecret@b]`):                                                                    "notify[0].mail.to[0]: is no address|ASCII",
		mailWith("to", `annasecret@b.example`):                                                              "what stands here cannot be used as []string|",
		mailWith("to", "["+strings.Repeat("a@b, ", 21)+"]"):                                                 "notify[0].mail.to: there are 21|1 to 20",
	} {
		_, probs := Examine("x.yaml", []byte(base+text+"\n"))
		what, hint, _ := strings.Cut(want, "|")
		if !slices.ContainsFunc(probs, func(p Problem) bool {
			return strings.Contains(p.Error(), what) && strings.Contains(p.Hint, hint) && p.Line > 1
		}) {
			t.Errorf("%s: no word of %s in\n%v", text, want, probs)
		}
		if strings.Contains(probs.Error(), "nnasecret") {
			t.Errorf("%s: somebody is named:\n%v", text, probs)
		}
	}
}

func TestSyslogAndMailAreRead(t *testing.T) {
	for text, want := range map[string]SyslogPart{
		fmt.Sprintf(toLogs, ""): {Host: "192.0.2.1", Port: 6514, Facility: 16},
		fmt.Sprintf(strings.Replace(toLogs, "192.0.2.1", "[2001:db8::1]:10514", 1), ", facility: audit, enterprise: 4294967295"): {Host: "2001:db8::1", Port: 10514, Facility: 13, Enterprise: 4294967295},
		fmt.Sprintf(strings.Replace(toLogs, "192.0.2.1", "2001:db8::1", 1), ", facility: local7"):                                {Host: "2001:db8::1", Port: 6514, Facility: 23},
		fmt.Sprintf(strings.Replace(toLogs, "192.0.2.1", "logs.bank.example:1", 1), ", facility: daemon"):                        {Host: "logs.bank.example", Port: 1, Facility: 3},
	} {
		c, err := Parse("x.yaml", []byte(base+text+"\n"))
		if err != nil || *c.Channels[0].Syslog != want || c.Channels[0].Mail != nil || c.Channels[0].Burst != 0 {
			t.Errorf("%s: %v, %+v", text, err, c)
		}
	}
	from := mail.Address{Address: "c@bank.example"}
	for more, want := range map[string]MailPart{
		"":                {Host: "smtp.bank.example", Port: 587, From: from},
		", tls: implicit": {Host: "smtp.bank.example", Port: 465, From: from, Implicit: true},
		", tls: starttls": {Host: "smtp.bank.example", Port: 587, From: from},
	} {
		c, err := Parse("x.yaml", []byte(base+fmt.Sprintf(toPeople, more)+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		ch := c.Channels[0]
		if !slices.Equal(ch.Mail.To, []string{"duty@bank.example"}) || ch.Burst != 10 || ch.Every != 30*time.Second {
			t.Errorf("%s: %+v", more, ch)
		}
		if got := *ch.Mail; fmt.Sprint(got.Host, got.Port, got.From, got.Implicit, got.User) != fmt.Sprint(want.Host, want.Port, want.From, want.Implicit, want.User) {
			t.Errorf("%s: %+v", more, got)
		}
	}
}

func TestSyslogShowsACertificateThatIsLookedAfter(t *testing.T) {
	dir := t.TempDir()
	ca, err := carrier.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue("edge-1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"own.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "own.key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Parse(filepath.Join(dir, "x.yaml"), []byte(base+fmt.Sprintf(toLogs, ", cert_file: own.crt, key_file: own.key")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if use := c.Channels[0].Syslog.Use; use != "notify[0].syslog" || !slices.ContainsFunc(c.Pairs, func(p PairPart) bool { return p.Use == use && p.Cert != nil }) {
		t.Errorf("%+v, %+v", c.Channels[0].Syslog, c.Pairs)
	}
}

func TestCheckWarnsOfSyslogAndMailThatTheFenceRefuses(t *testing.T) {
	for text, want := range map[string]string{
		fmt.Sprintf(strings.Replace(toLogs, "192.0.2.1", "203.0.113.200", 1), ""):                "notify[0].syslog.address: nothing will be sent there: deny",
		fmt.Sprintf(strings.Replace(toPeople, "smtp.bank.example", "203.0.113.200", 1), ""):      "notify[0].mail.address: nothing will be sent there: deny",
		fmt.Sprintf(strings.Replace(toLogs, "192.0.2.1", "127.1.0.1", 1), ", enterprise: 32473"): "notify[0].syslog.enterprise: 32473 is for examples",
		fmt.Sprintf(strings.Replace(toLogs, "192.0.2.1", "127.1.0.1", 1), ", enterprise: 12345"): "",
		fmt.Sprintf(toPeople, ""): "",
	} {
		c, err := Parse("x.yaml", []byte(base+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && len(c.Warnings) > 0 || want != "" && !slices.ContainsFunc(c.Warnings, func(p Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s: %v", text, c.Warnings)
		}
	}
}
