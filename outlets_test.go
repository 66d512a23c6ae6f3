package cordon_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
)

// atDoor asks the node's HTTP interface as anna.
func atDoor(t *testing.T, n *cordon.Node, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.APIAddr().String()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer anna's token")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(text, out) != nil {
		t.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, text, err)
	}
}

func TestOutletsTellInAPermittedPlaceAndNothingElsewhere(t *testing.T) {
	t.Setenv("T1", "anna's token")
	t.Setenv("T2", "ben's token")
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	t.Setenv("CORDON_TEST_KEY", "hush")
	for place, permitted := range map[string]bool{"127.1.0.97": true, "127.9.0.97": false} {
		t.Run(place, func(t *testing.T) {
			l, err := net.Listen("tcp", place+":0")
			if err != nil {
				t.Fatal(err)
			}
			var asked, worded atomic.Int32
			server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err == nil && strings.Contains(string(body), "up again: node.started") {
					worded.Add(1)
				}
				asked.Add(1)
				io.WriteString(w, "taken")
			})}}
			server.Start()
			defer server.Close()
			text := strings.Replace(nodeConfig, "roles: [ciso]", "roles: [ciso, operator], scopes: [org.read]", 1) + "notify:\n"
			types := []string{"webhook", "pagerduty", "slack"}
			for _, typ := range types {
				text += fmt.Sprintf("  - {name: %s, type: %s, url: \"http://%s/\", secret: {env: CORDON_TEST_KEY}, kinds: [node.started], templates: [{summary: \"up again: {{.Kind}}\"}]}\n", typ, typ, l.Addr())
			}
			n := boot(t, writeConfig(t, t.TempDir(), text))
			defer n.Stop(t.Context(), 0)
			warned := slices.ContainsFunc(n.Config().Warnings, func(p configs.Problem) bool { return p.Path == "notify[0].url" })
			if warned == permitted {
				t.Errorf("warned: %v", n.Config().Warnings)
			}
			var tried struct{ Answers []admin.OutletAnswer }
			atDoor(t, n, "POST", "/api/v1/notify/test", admin.OutletOrder{}, &tried)
			for i, typ := range types {
				if a := tried.Answers[i]; a.Outlet != typ || a.OK != permitted || (a.Answer == "200 taken") != permitted {
					t.Errorf("a test says %+v", a)
				}
			}
			if permitted {
				waitFor(t, "a notice", func() bool { return asked.Load() >= 6 }) // tests, one of them twice, and the start to two of them
				if n := worded.Load(); n != 2 {
					t.Errorf("%d notices are in the operator's words, want 2", n)
				}
				return
			}
			waitFor(t, "the refusals on record", func() bool {
				list := kinds(t, n)
				return slices.Contains(list, audit.KindNoticeUndelivered) && slices.Contains(list, audit.KindFenceRefused)
			})
			var v struct{ Outlets []admin.Outlet }
			atDoor(t, n, "GET", "/api/v1/notify", nil, &v)
			if d := v.Outlets[0].Dead; len(d) != 1 || !d[0].Fenced || d[0].Kind != "node.started" || !strings.Contains(d[0].Failure, "fenced: deny (address_undeclared): address 127.9.0.97: no declared prefix holds it") {
				t.Errorf("dead letters: %+v", v.Outlets)
			}
			atDoor(t, n, "POST", "/api/v1/notify/resend", admin.OutletOrder{Outlet: "webhook"}, &tried)
			if a := tried.Answers; len(a) != 1 || a[0].OK || a[0].Entry == nil || !slices.Contains(kinds(t, n), audit.KindNoticeResent) {
				t.Errorf("sent again: %+v", a)
			}
			if asked.Load() != 0 {
				t.Errorf("it was asked %d times", asked.Load())
			}
		})
	}
}

// gate listens on a place and hands each connection over TLS to serve.
func gate(t *testing.T, ca *carrier.CA, place string, asked *atomic.Int32, serve func(net.Conn)) net.Addr {
	t.Helper()
	cert, err := ca.Issue(place)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", place+":0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr()
}

func TestSyslogAndMailTellInAPermittedPlaceAndNothingElsewhere(t *testing.T) {
	t.Setenv("T1", "anna's token")
	t.Setenv("T2", "ben's token")
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	t.Setenv("CORDON_TEST_KEY", "hush")
	ca, err := carrier.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	for place, permitted := range map[string]bool{"127.1.0.96": true, "127.9.0.96": false} {
		t.Run(place, func(t *testing.T) {
			var asked atomic.Int32
			frames, mails := make(chan string, 8), make(chan string, 8)
			logs := gate(t, ca, place, &asked, func(conn net.Conn) {
				if all, err := io.ReadAll(conn); err == nil {
					frames <- string(all)
				}
			})
			office := gate(t, ca, place, &asked, func(conn net.Conn) { postOffice(conn, mails) })
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Root().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(nodeConfig, "roles: [ciso]", "roles: [ciso, operator], scopes: [org.read]", 1) + fmt.Sprintf(`notify:
  - {name: siem, type: syslog, roots_file: ca.crt, kinds: [node.started], syslog: {address: "%s", enterprise: 12345}}
  - {name: duty, type: mail, roots_file: ca.crt, kinds: [node.started], secret: {env: CORDON_TEST_KEY}, mail: {address: "%s", tls: implicit, user: cordon, from: c@bank.example, to: [d@bank.example]}}
`, logs, office)
			n := boot(t, writeConfig(t, dir, text))
			defer n.Stop(t.Context(), 0)
			for _, path := range []string{"notify[0].syslog.address", "notify[1].mail.address"} {
				if warned := slices.ContainsFunc(n.Config().Warnings, func(p configs.Problem) bool { return p.Path == path }); warned == permitted {
					t.Errorf("warned: %v", n.Config().Warnings)
				}
			}
			if !permitted {
				for i := range 2 {
					var v struct{ Outlets []admin.Outlet }
					waitFor(t, "a dead letter", func() bool {
						atDoor(t, n, "GET", "/api/v1/notify", nil, &v)
						return len(v.Outlets[i].Dead) == 1
					})
					if d := v.Outlets[i].Dead; !d[0].Fenced || d[0].Kind != "node.started" {
						t.Errorf("dead letters: %+v", v.Outlets)
					}
				}
				waitFor(t, "the refusals on record", func() bool {
					list := kinds(t, n)
					return slices.Contains(list, audit.KindNoticeUndelivered) && slices.Contains(list, audit.KindFenceRefused)
				})
				if asked.Load() != 0 {
					t.Errorf("%d connections", asked.Load())
				}
				return
			}
			if f := <-frames; !strings.Contains(f, "<134>1 ") || !strings.Contains(f, ` cordon - node.started [cordon@12345 id="`) {
				t.Errorf("syslog: %s", f)
			}
			if m := <-mails; !strings.Contains(m, "Subject: [cordon] INFO edge-1: node.started") {
				t.Errorf("mail: %s", m)
			}
			var tried struct{ Answers []admin.OutletAnswer }
			atDoor(t, n, "POST", "/api/v1/notify/test", admin.OutletOrder{}, &tried)
			if a := tried.Answers; len(a) < 2 || !a[0].OK || a[0].Answer != "taken over TLS 1.3 (syslog has no answer)" || !a[1].OK || a[1].Answer != "250 taken" {
				t.Errorf("a test says %+v", a)
			}
		})
	}
}

// postOffice takes one message.
func postOffice(conn net.Conn, mails chan<- string) {
	r := bufio.NewReader(conn)
	say := func(text string) { io.WriteString(conn, text+"\r\n") }
	say("220 mail")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "EHLO":
			say("250-mail\r\n250 AUTH PLAIN")
		case "AUTH":
			say("235 welcome")
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
				text.WriteString(line)
			}
			mails <- text.String()
			say("250 taken")
		default:
			say("250 ok")
		}
	}
}
