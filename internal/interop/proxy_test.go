//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// Kamailio as the carrier's proxy: it stands in front of the carrier's phones (SIPp), records its route, speaks TLS, forks and has failure routes.

// way is what a Kamailio does with what it gets.
type way struct {
	At     string   // address:port
	Host   string   // the address alone
	TLS    bool     // toward the node; the phones stay on UDP
	Edge   string   // address:port of the node
	EdgeIP string   // where its requests come from
	Phones []string // who gets what the node sends: all at once
	Next   string   // failure route: who gets what the phones refused with 5xx, or what the node refused with 5xx
}

const kamailioText = `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=2
{{if not .TLS}}disable_tcp=yes{{end}}
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{{.At}}
{{if .TLS}}enable_tls=yes
tcp_children=2
tcp_source_ipv4={{.Host}}
listen=tls:{{.At}}{{end}}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "corex.so"
{{if .TLS}}loadmodule "tls.so"
modparam("tls", "certificate", "kamailio.crt")
modparam("tls", "private_key", "kamailio.key")
modparam("tls", "ca_list", "roots.pem")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 0)
modparam("tls", "tls_method", "TLSv1.2+"){{end}}
modparam("rr", "enable_full_lr", 1)
modparam("rr", "enable_double_rr", 1)

request_route {
	if (!mf_process_maxfwd_header("20")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (has_totag()) {
		if (loose_route()) { t_relay(); exit; }
		if (is_method("ACK") && t_check_trans()) t_relay();
		exit;
	}
	if (is_method("OPTIONS") && $rU == $null) { sl_send_reply("200", "OK"); exit; }
	t_check_trans();
	record_route();
	if ($si == "{{.EdgeIP}}") {
{{range $i, $p := .Phones}}{{if $i}}		append_branch("sip:agent@{{$p}}");
{{else}}		$ru = "sip:agent@{{$p}}";
{{end}}{{else}}		exit;
{{end}}	} else {
		$du = "sip:{{.Edge}}{{if .TLS}};transport=tls{{end}}";
	}
	t_on_failure("NEXT");
	t_relay();
}

failure_route[NEXT] {
	if (t_is_canceled()) exit;
{{if .Next}}	if (t_check_status("5[0-9][0-9]|408")) { $ru = "sip:agent@{{.Next}}"; $du = $null; t_relay(); }
{{end}}}
`

// kamailio starts one at an address that is reserved before, so that the node can be told of it.
func kamailio(t *testing.T, dir string, w way) *process {
	t.Helper()
	var text bytes.Buffer
	if err := template.Must(template.New("kamailio.cfg").Parse(kamailioText)).Execute(&text, w); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "kamailio.cfg"), text.Bytes())
	return start(t, loopback, dir, "kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "64", "-M", "8", "-w", dir, "-P", filepath.Join(dir, "kamailio.pid"), "-Y", dir)
}

const proxyAt, secondPhoneAt = "127.1.0.12", "127.1.0.13"

// behind is a lab whose carrier is a Kamailio with phones behind it.
type behind struct {
	*node
	t      *testing.T
	way    way
	phones []*sipp
	groups []*sipp
}

// proxied boots a node between groups and a Kamailio with phones. prepare may change the world and the way.
func proxied(t *testing.T, transport string, phones, groups []string, prepare func(*world, *way)) *behind {
	t.Helper()
	l := &behind{t: t}
	w := &world{dir: t.TempDir(), ports: map[string]uint16{transport: loopback.freePort(t, loop(5, 10)), "udp": loopback.freePort(t, loop(5, 10))}}
	port := loopback.freePort(t, proxyAt)
	l.way = way{Host: proxyAt, At: fmt.Sprintf("%s:%d", proxyAt, port), TLS: transport == "tls", Edge: fmt.Sprintf("%s:%d", loop(5, 10), w.ports[transport]), EdgeIP: loop(5, 10)}
	for i, s := range phones {
		p := answer(t, []string{carrierAt, secondPhoneAt}[i], s, options{echo: true})
		l.phones = append(l.phones, p)
		l.way.Phones = append(l.way.Phones, fmt.Sprintf("%s:%d", p.addr, p.port))
	}
	for i, s := range groups {
		g := answer(t, groupHosts[i], s, options{echo: true})
		l.groups = append(l.groups, g)
		w.groups = append(w.groups, g.as(groupNames[i], "udp"))
	}
	w.trunks = []party{{name: "carrier", addr: proxyAt, port: port, transport: transport}}
	if prepare != nil {
		prepare(w, &l.way)
	}
	if l.way.TLS {
		w.pki(t, "edge.lab.example,"+loop(5, 10), "kamailio.lab.example")
	}
	kamailio(t, w.dir, l.way)
	up := []string{"carrier"}
	for _, g := range w.groups {
		if w.allow == nil { // else a group may be held, and is never asked
			up = append(up, g.name)
		}
	}
	l.node = boot(t, w, up...)
	return l
}

// call places a call of a phone through the proxy.
func (l *behind) call(script string, args ...string) *sipp {
	l.t.Helper()
	s := l.dial(script, args...)
	s.expect(1)
	return s
}

func (l *behind) dial(script string, args ...string) *sipp {
	l.t.Helper()
	all := append([]string{"-s", "+4969123456", "-m", "1", "-timeout", "60s", "-timeout_error"}, args...)
	return launch(l.t, carrierAt, loopback.freePort(l.t, carrierAt), caller(l.t, script), options{}, append(all, l.way.At)...)
}

// A carrier's proxy that records its route stays in the way of everything inside the dialog, in both directions.
// Conforms: RFC 3261 section 16.12; RFC 3261 section 12.2.1.1
func TestRecordRoutingProxy(t *testing.T) {
	t.Run("inbound, the caller ends", func(t *testing.T) {
		l := proxied(t, "udp", nil, []string{answers}, nil)
		uac := l.call(talks)
		r := l.oneReceipt()
		wantAnswered(t, r, "fra", "primary")
		wantAudio(t, r)
		wantHidden(t, uac, l.groups[0])
		l.stop()
	})
	t.Run("inbound, the callee holds and ends", func(t *testing.T) {
		l := proxied(t, "udp", nil, []string{`< INVITE
> 180
> 200 | sdp
< ACK
> INVITE | sdp=sendonly
< 100 | optional
< 200 | body: a=recvonly
> ACK
wait 200
> BYE
< 200`}, nil)
		l.call(`> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
< INVITE | body: a=sendonly
> 200 | sdp=recvonly
< ACK
< BYE
> 200`)
		if r := l.oneReceipt(); r.Outcome.EndedBy != "b" || r.Outcome.SIPFinal != 200 {
			t.Errorf("receipt: %+v", r)
		}
		l.stop()
	})
	t.Run("outbound", func(t *testing.T) {
		l := proxied(t, "udp", []string{answers}, []string{quiet}, nil)
		call(t, l.node, groupHosts[0], talks, options{})
		r := l.oneReceipt()
		if r.Direction != "outbound" || r.Outcome.SIPFinal != 200 {
			t.Errorf("receipt: %+v", r)
		}
		wantAudio(t, r)
		l.phones[0].finish(1)
		l.stop()
	})
}

// The proxy speaks TLS with us, both ways, and its certificate is held against its name.
// Conforms: RFC 5922 section 7; RFC 3261 section 26.3.1
func TestProxyOverTLS(t *testing.T) {
	l := proxied(t, "tls", []string{answers}, []string{answers}, func(w *world, _ *way) {
		w.trunks[0].more = "tls: {server_name: kamailio.lab.example, roots_file: roots.pem}"
	})
	l.call(talks)
	wantAnswered(t, l.oneReceipt(), "fra", "primary")
	call(t, l.node, groupHosts[0], talks, options{})
	list := l.receipts(2)
	if r := list[1]; r.Direction != "outbound" || r.Outcome.SIPFinal != 200 {
		t.Errorf("receipt: %+v", r)
	}
	l.phones[0].finish(1)
	l.stop()
}

// The proxy forks: two phones ring with a tag each, one answers, the caller sees one dialog. And both answer: the second call is ended at once.
// Conforms: RFC 3261 section 16.7; RFC 3261 section 13.2.2.4
func TestForkingProxy(t *testing.T) {
	t.Run("one answers", func(t *testing.T) {
		l := proxied(t, "udp", []string{`< INVITE
> 180
wait 400
> 200 | sdp
< ACK
< BYE
> 200`, `< INVITE
> 180
< CANCEL
> 200
> 487 | of=invite
< ACK`}, []string{quiet}, nil)
		uac := call(t, l.node, groupHosts[0], talksBriefly, options{})
		if r := l.oneReceipt(); r.Outcome.SIPFinal != 200 {
			t.Errorf("receipt: %+v", r)
		}
		tags := map[string]bool{}
		for _, m := range uac.messages() {
			if _, tag, ok := strings.Cut(m.text, "To: "); ok && !m.sent && !strings.Contains(m.line, " 100 ") {
				_, tag, _ = strings.Cut(tag, "tag=")
				tag, _, _ = strings.Cut(tag, "\n")
				tags[tag] = true
			}
		}
		if len(tags) != 1 {
			t.Errorf("the caller saw the tags %v", tags)
		}
		l.phones[0].finish(1)
		l.phones[1].finish(1)
		l.stop()
	})
	t.Run("both answer", func(t *testing.T) {
		l := proxied(t, "udp", []string{`< INVITE
> 180
wait 200
> 200 | sdp
< ACK
< BYE
> 200`, `< INVITE
> 180
< CANCEL
> 200
> 200 | sdp | of=invite
< ACK
< BYE
> 200`}, []string{quiet}, nil)
		call(t, l.node, groupHosts[0], strings.Replace(talksBriefly, "> BYE", "wait 500\n> BYE", 1), options{})
		l.oneReceipt()
		l.phones[0].finish(1)
		l.phones[1].finish(1)
		l.stop()
	})
}

// A proxy with a failure route: what its first phone refuses goes to the next without our doing; what our policy refuses is a 403 and is not carried around us,
// while a failure of ours would be.
// Conforms: RFC 3261 section 16.7
func TestProxyWithAFailureRoute(t *testing.T) {
	t.Run("its own phones", func(t *testing.T) {
		second := answer(t, secondPhoneAt, answers, options{})
		l := proxied(t, "udp", []string{"< INVITE\n> 503\n< ACK"}, []string{quiet}, func(_ *world, w *way) { w.Next = fmt.Sprintf("%s:%d", second.addr, second.port) })
		call(t, l.node, groupHosts[0], talksBriefly, options{})
		if r := l.oneReceipt(); r.Outcome.SIPFinal != 200 || len(r.Attempts) != 1 {
			t.Errorf("receipt: %+v", r)
		}
		l.phones[0].finish(1)
		second.finish(1)
		l.stop()
	})
	t.Run("a refusal of policy is final", func(t *testing.T) {
		around := answer(t, secondPhoneAt, quiet, options{})
		l := proxied(t, "udp", nil, []string{answers}, func(w *world, p *way) {
			p.Next = fmt.Sprintf("%s:%d", around.addr, around.port)
			w.allow, w.more = []string{"lab:carrier", "aws:eu-central-2"}, "notify: [{name: duty, type: console}]" // Frankfurt is not among them
		})
		l.call(`> INVITE | sdp
< 100 | optional
< 403 | Reason: approval
> ACK | of=3`)
		around.finish(0)
		l.stop()
	})
}
