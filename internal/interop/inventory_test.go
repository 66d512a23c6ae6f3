//go:build interop

package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

const knotText = `server:
    rundir: "%[1]s"
    listen: %[2]s@%[3]d
log:
  - target: stderr
    any: notice
database:
    storage: "%[1]s"
acl:
  - id: here
    address: 127.0.0.0/8
    action: update
zone:
  - domain: %[4]s
    storage: "%[1]s"
    file: zone
    acl: here
`

const zoneText = `$ORIGIN %[1]s.
@ 5 SOA ns hostmaster 1 3600 600 86400 5
@ 5 NS ns
ns 5 A %[2]s
%[3]s
`

// names is a Knot name server whose answers are changed by dynamic updates (RFC 2136).
type names struct {
	t    *testing.T
	addr string
	port uint16
}

// newNames starts one for a domain, with these records beside its own.
func newNames(t *testing.T, at place, addr, domain, records string) *names {
	t.Helper()
	dir := t.TempDir()
	s := &names{t: t, addr: addr, port: at.freePort(t, addr)}
	for name, text := range map[string]string{"knot.conf": fmt.Sprintf(knotText, dir, addr, s.port, domain), "zone": fmt.Sprintf(zoneText, domain, addr, records)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program, err := exec.LookPath("knotd")
	if err != nil {
		program = "/usr/sbin/knotd"
	}
	start(t, at, dir, program, "-c", filepath.Join(dir, "knot.conf"))
	until(t, "the name server answers", 20*time.Second, func() bool {
		c, err := at.dial(t.Context(), "tcp", fmt.Sprintf("%s:%d", addr, s.port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return s
}

// move lets the name lead to another address.
func (s *names) move(to string) {
	s.t.Helper()
	cmd := exec.Command("knsupdate")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone bank.example.\nupdate delete crm.bank.example. A\nupdate add crm.bank.example. 5 A %s\nsend\nquit\n", s.addr, s.port, to))
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "error") {
		s.t.Fatalf("knsupdate: %v\n%s", err, out)
	}
}

// shows is an endpoint that shows a certificate of its own.
func shows(t *testing.T, addr string) (port uint16) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"crm.bank.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", addr+":0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				_ = c.(*tls.Conn).Handshake()
			}()
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// judged are the findings about the CRM, in short.
func (n *node) judged() (out []string) {
	n.t.Helper()
	var page struct{ Entries []audit.Entry }
	n.get("/api/v1/log/entries?kind=inventory.judged&max=1000", &page)
	for _, e := range page.Entries {
		var j audit.InventoryJudged
		if err := json.Unmarshal(e.Body, &j); err != nil {
			n.t.Fatal(err)
		}
		out = append(out, j.Before+">"+j.Verdict)
	}
	return out
}

// A CRM whose name is moved abroad by a dynamic update at a real name server: it is told once, over a restart too, and tshark finds no packet to the new address.
func TestAnEndpointThatARealNameServerMoves(t *testing.T) {
	home, abroad := loop(10, 80), loop(60, 80)
	dns := newNames(t, place{}, loop(10, 53), "bank.example", "crm 5 A "+home)
	port := shows(t, home)
	w := &world{
		trunks: []party{{name: "carrier", addr: loop(1, 72), port: 5060, transport: "udp"}}, groups: []party{{name: "fra", addr: loop(10, 72), port: 5060, transport: "udp"}},
		more: fmt.Sprintf("dns: {servers: [\"%s:%d\"]}\ninventory:\n  - {name: crm, kind: crm, host: crm.bank.example, port: %d, region: aws:eu-central-1, contract: annex 7, watch: {interval: 10s}, provider: {parent_country: US}}\n", dns.addr, dns.port, port),
	}
	seen := watch(t, place{}, "host", abroad)
	n := boot(t, w)
	shown := func(words ...string) func() bool {
		return func() bool {
			out, err := n.cli("ops", "inventory", "show", "crm")
			for _, word := range words {
				if err != nil || !strings.Contains(out, word) {
					return false
				}
			}
			return true
		}
	}
	until(t, "the CRM is where it was declared, and shows its certificate", 30*time.Second, shown("permit since", "crm.bank.example by", "US (no adequacy)"))
	dns.move(abroad)
	began := time.Now()
	until(t, "it is found abroad", 40*time.Second, shown("deny since", abroad, "address_undeclared"))
	noted(t, "an endpoint's name moves abroad (looked at every 10 s, TTL 5 s): until it is told", time.Since(began).Round(time.Second).String(), "<= 16 s")
	n.stop()
	n.run(filepath.Join(n.dir, "cordon.yaml"))
	if !shown("deny since", abroad)() {
		t.Errorf("after a restart: %s", n.mustCLI("ops", "inventory", "show", "crm"))
	}
	dns.move(home)
	until(t, "it is back", 40*time.Second, shown("permit since", home))
	// The entry is in the journal at once, and can be read from the tree a little later.
	until(t, "the log was told of each change once", 10*time.Second, func() bool { return len(n.judged()) >= 3 })
	if got := strings.Join(n.judged(), " "); got != "unknown>permit permit>deny deny>permit" {
		t.Errorf("the log was told %q", got)
	}
	seen.end(t)
	count := len(times(t, seen.file, "ip"))
	noted(t, "packets to the new address, by tshark", fmt.Sprint(count), "0")
	if count != 0 {
		t.Errorf("%d packets went abroad", count)
	}
	n.stop()
	n.verify()
}
