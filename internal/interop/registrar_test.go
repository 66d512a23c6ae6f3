//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"
)

// Kamailio as the registrar of a trunk, and SIPp as an edge that registers with us.

// office is a Kamailio that keeps registrations, asks for digest, and has one phone behind it.
type office struct {
	At, Algorithm, EdgeIP, Phone string
}

const officeText = `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{{.At}}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 60)
modparam("auth", "algorithm", "{{.Algorithm}}")
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")

request_route {
	if (!mf_process_maxfwd_header("20")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (has_totag()) {
		if (loose_route()) { t_relay(); exit; }
		if (is_method("ACK") && t_check_trans()) t_relay();
		exit;
	}
	if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
	if (is_method("REGISTER")) {
		if (!pv_www_authenticate("office.lab", "s3cret", "0")) { www_challenge("office.lab", "1"); exit; }
		save("location");
		exit;
	}
	t_check_trans();
	record_route();
	if ($si == "{{.EdgeIP}}") {
		if (!pv_proxy_authenticate("office.lab", "s3cret", "0")) { proxy_challenge("office.lab", "1"); exit; }
		consume_credentials();
		$ru = "sip:agent@{{.Phone}}";
	} else {
		$ru = "sip:trunk@office.lab";
		if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
	}
	t_relay();
}
`

// A trunk is registered with, refreshed, and carries calls in both directions: toward the Contact that the registrar keeps, and with credentials toward its proxy.
// Conforms: RFC 3261 section 10.2; RFC 3261 section 22.2; RFC 7616 section 3.4; RFC 8760 section 2.4
func TestARegistrarOfATrunk(t *testing.T) {
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		t.Run(algorithm, func(t *testing.T) {
			w := &world{dir: t.TempDir(), ports: map[string]uint16{"udp": loopback.freePort(t, loop(5, 10))}}
			port := loopback.freePort(t, proxyAt)
			phone := answer(t, secondPhoneAt, answers, options{echo: true})
			group := answer(t, groupHosts[0], answers, options{echo: true})
			o := office{
				At: fmt.Sprintf("%s:%d", proxyAt, port), Algorithm: algorithm, EdgeIP: loop(5, 10), Phone: fmt.Sprintf("%s:%d", phone.addr, phone.port),
			}
			var text bytes.Buffer
			if err := template.Must(template.New("kamailio.cfg").Parse(officeText)).Execute(&text, o); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(w.dir, "kamailio.cfg"), text.Bytes())
			writeFile(t, filepath.Join(w.dir, "trunk.secret"), []byte("s3cret\n"))
			k := start(t, loopback, w.dir, "kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "64", "-M", "8", "-w", w.dir, "-P", filepath.Join(w.dir, "kamailio.pid"), "-Y", w.dir)
			w.groups = []party{group.as("fra", "udp")}
			w.trunks = []party{{name: "carrier", addr: proxyAt, port: port, transport: "udp", more: `auth: {user: trunk, password: {file: trunk.secret}}
digest: {algorithms: [` + algorithm + `]}
register: {aor: "sip:trunk@office.lab", contact_user: trunk}`}}
			n := boot(t, w, "carrier", "fra")
			uac := launch(t, carrierAt, loopback.freePort(t, carrierAt), caller(t, talks), options{}, "-s", "+4969123456", "-m", "1", "-timeout", "60s", "-timeout_error", o.At)
			uac.expect(1)
			wantAnswered(t, n.oneReceipt(), "fra", "primary")
			call(t, n, groupHosts[0], talks, options{})
			if list := n.receipts(2); list[1].Direction != "outbound" || list[1].Outcome.SIPFinal != 200 {
				t.Errorf("%+v\n%s", list[1].Outcome, k.output())
			}
			phone.finish(1)
			if log := n.output(); strings.Contains(log, "s3cret") {
				t.Error("the password is in the log")
			}
			n.stop()
		})
	}
}

const edgeRegisters = `<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="edge">
<send><![CDATA[
REGISTER sip:edge.lab SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:edge1@edge.lab>;tag=[call_number]
To: <sip:edge1@edge.lab>
Call-ID: [call_id]
CSeq: 1 REGISTER
Contact: <sip:edge1@[local_ip]:[local_port]>
Expires: 120
Content-Length: 0

]]></send>
<recv response="401" auth="true"></recv>
<send><![CDATA[
REGISTER sip:edge.lab SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:edge1@edge.lab>;tag=[call_number]
To: <sip:edge1@edge.lab>
Call-ID: [call_id]
CSeq: 2 REGISTER
Contact: <sip:edge1@[local_ip]:[local_port]>
Expires: 120
[authentication username=edge1 password=%s]
Content-Length: 0

]]></send>
<recv response="%d"></recv>
</scenario>
`

// An edge registers with digest and gets the calls where its registration came from; a wrong password registers nothing.
// Conforms: RFC 3261 section 10.3; RFC 3261 section 22.4
func TestAnEdgeThatRegisters(t *testing.T) {
	at := loopback.freePort(t, groupHosts[0])
	w := &world{dir: t.TempDir()}
	writeFile(t, filepath.Join(w.dir, "edge.secret"), []byte("s3cret\n"))
	carrier := answer(t, carrierAt, quiet, options{})
	w.trunks = []party{carrier.as("carrier", "udp")}
	w.groups = []party{{name: "fra", addr: groupHosts[0], port: loopback.freePort(t, groupHosts[0]), transport: "udp", more: `registers: true
challenge: {realm: edge.lab, algorithms: [MD5], users: [{user: edge1, password: {file: edge.secret}}]}`}}
	n := boot(t, w, "carrier")
	register := func(password string, status int) {
		s := launch(t, groupHosts[0], at, fmt.Sprintf(edgeRegisters, password, status), options{}, "-auth_uri", "edge.lab", "-m", "1", "-timeout", "20s", "-timeout_error", fmt.Sprintf("%s:%d", loop(5, 10), n.sip["udp"]))
		s.expect(1)
	}
	register("guess", 401)
	register("s3cret", 200)
	edge := launch(t, groupHosts[0], at, callee(t, answers), options{echo: true})
	time.Sleep(time.Second)
	uac := call(t, n, carrierAt, talks, options{})
	wantAnswered(t, n.oneReceipt(), "fra", "primary")
	wantHidden(t, uac, edge)
	edge.finish(1)
	n.stop()
}
