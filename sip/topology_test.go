package sip

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// The two sides of a call must not learn of each other: every flow is played with parties that let as much cross as the configuration can, and that put their
// names into everything they send; then every byte that left is searched for what the other side is called.

// gossip is what a peer adds to each of its messages: its address, names and identifiers wherever a header could carry them.
func gossip(p *peer) []string {
	ip, host := p.at.Addr().String(), "host."+p.name+".secret"
	return []string{
		"User-Agent: " + p.name + "Secret/1.0 (" + host + ")", "Server: " + p.name + "Secret at " + ip, "Organization: " + p.name + "Secret, see http://" + ip + "/",
		"Warning: 399 " + ip + ` "gone from ` + host + `"`, "Call-Info: <http://" + ip + "/card>;purpose=info", "Alert-Info: <http://" + ip + "/ring.wav>", "Error-Info: <sip:why@" + ip + ">",
		"Diversion: \"" + ip + "\" <sip:+49301@" + ip + ">;reason=user-busy;x=" + host, "History-Info: <sip:+49301@" + ip + "?Reason=SIP%3Btext%3D%22" + ip + "%22>;index=1;x=" + ip + ", <sip:+49302@" + host + ";cause=486>;index=1.1;mp=1",
		"Geolocation: <https://" + ip + "/where>;inserted-by=" + host, "Reply-To: <sip:back@" + ip + ">", "Subject: from " + ip, "X-Debug: leg " + ip + " tag " + p.tag,
		"P-Asserted-Identity: \"at " + ip + "\" <sip:+49301;phone-context=" + host + "@" + ip + ">", "P-Preferred-Identity: <sip:+49301@" + ip + ">", "Remote-Party-ID: <sip:+49301@" + ip + ">",
		"P-Charging-Vector: icid-value=1;icid-generated-at=" + ip, "Referred-By: <sip:a@" + ip + ">", "User-to-User: 00a1;encoding=hex;content=" + host + ";purpose=" + ip,
		"P-Early-Media: supported, " + ip, "Retry-After: 1 (" + host + ")", "Recv-Info: foo;at=" + ip, "Reason: SIP;cause=480;text=\"at " + ip + "\"", "Reason: Q.850;cause=17;text=\"tag " + p.tag + "\";location=" + host,
		"Content-Disposition: session;x=" + host, "Timestamp: 1", "Authentication-Info: nextnonce=\"" + host + "\"", "Resource-Priority: " + ip,
		"Identity: ..c2ln;info=<https://" + ip + "/c>;alg=ES256", "Date: Sat, 21 Nov 2026 12:00:00 GMT",
	}
}

// wordy is a session description full of names.
func wordy(p *peer) string {
	ip := p.at.Addr().String()
	return "v=0\r\no=" + p.name + "Secret 42 1 IN IP4 " + ip + "\r\ns=" + p.name + "Secret\r\ni=at " + ip + "\r\nu=http://" + ip + "/\r\ne=who@host." + p.name + ".secret\r\np=+49 30 1\r\nc=IN IP4 " + ip +
		"\r\nt=0 0\r\na=tool:" + p.name + "Secret\r\nm=audio 30000 RTP/AVP 8 101\r\ni=" + p.name + "Secret\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp:30001 IN IP4 " + ip +
		"\r\na=candidate:1 1 UDP 1 " + ip + " 30000 typ host\r\na=ice-ufrag:" + p.name + "Secret\r\na=label:" + p.name + "Secret\r\na=sendrecv\r\n"
}

// open lets as much cross as a configuration can.
func open(c *Config) {
	for i := range c.Parties {
		p := &c.Parties[i]
		p.Trusted = true
		p.Headers = []string{"Call-Info", "Alert-Info", "Error-Info", "Organization", "Reply-To", "X-Debug", "Geolocation", "Subject"}
		p.Cross = Crossing{
			Diversion: "both", Identity: "pass", UserData: 128, Bodies: []string{"application/isup", "text/plain", "message/sipfrag"}, Q850: true,
			Rules: []header.Rule{{Rename: "P-Charging-Function", To: "X-Charging"}, {Rename: "In-Reply-To", To: "X-Reply"}},
		}
	}
}

// names finds the identifiers of legs in a message.
var legNames = regexp.MustCompile(`(?i)(?:;tag=|;branch=)([^;>\s,"]+)|\r\nCall-ID: *([^\r\n]+)`)

// unveiled searches everything that the edge sent and gives what it found.
func (w *world) unveiled() (found []string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	words := map[netip.Addr][]string{} // what each peer is called, and what its legs are
	for _, p := range []*peer{w.carrier, w.fra, w.zrh} {
		words[p.at.Addr()] = []string{p.at.Addr().String(), p.name + "Secret", "host." + p.name + ".secret", "proxy." + p.name + ".secret", p.name + ".example", p.tag}
	}
	first := map[string]netip.Addr{}
	sent := 0
	for _, p := range w.packets {
		if p.Proto != "udp" || !bytes.Contains(p.Data, []byte("SIP/2.0")) {
			continue
		}
		far := p.To.Addr()
		if p.From != edgeAddr {
			far = p.From.Addr()
		}
		for _, m := range legNames.FindAllSubmatch(p.Data, -1) {
			name := string(m[1]) + string(m[2])
			if _, known := first[name]; !known && len(name) > 3 {
				first[name] = far
				words[far] = append(words[far], name)
			}
		}
	}
	for _, p := range w.packets {
		if p.From != edgeAddr || p.Proto != "udp" || !bytes.Contains(p.Data, []byte("SIP/2.0")) {
			continue
		}
		sent++
		data := bytes.ToLower(p.Data)
		for side, list := range words {
			for _, word := range list {
				if side != p.To.Addr() && bytes.Contains(data, []byte(strings.ToLower(word))) {
					found = append(found, fmt.Sprintf("%q of %s shows toward %s:\n%s", word, side, p.To, p.Data))
				}
			}
		}
	}
	if sent < 4 {
		found = append(found, fmt.Sprintf("only %d messages were searched", sent))
	}
	return found
}

// loud is the carrier's INVITE.
func (w *world) loud(callID, body string, more ...string) string {
	return w.carrier.invite(callID, body, append(append(gossip(w.carrier), "Record-Route: <sip:proxy.carrier.secret;lr>", "Allow: INVITE, UPDATE, INFO", "In-Reply-To: "+callID,
		"P-Charging-Function: ccf=10.1.0.1"), more...)...)
}

// anything reads whatever comes and answers requests, until it is quiet: what happens is another test's matter.
func (p *peer) anything() {
	for {
		m := p.read(3 * time.Second)
		if m == nil {
			return
		}
		if req, ok := m.(*msg.Request); ok && req.Method != msg.ACK {
			p.reply(req, 200, "", gossip(p)...)
		}
	}
}

// Conforms: RFC 5853 section 3.1; RFC 7092 section 3.1; RFC 3323 section 5.1
func TestNothingOfTheOtherSideShows(t *testing.T) {
	carrier, fra := &peer{name: "carrier", at: carrierAddr}, &peer{name: "fra", at: fraAddr}
	sdpA, sdpB := wordy(carrier), wordy(fra)
	moved := func(sdp string) string { return strings.Replace(sdp, "m=audio 30000", "m=audio 32000", 1) }
	// talk puts a call through, both ends talking of themselves.
	talk := func(w *world, id string) (*msg.Response, *msg.Request) {
		w.loud(id, sdpA)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "", gossip(w.fra)...)
		w.carrier.status(180)
		w.fra.reply(in, 200, sdpB, append(gossip(w.fra), "Record-Route: <sip:proxy.fra.secret;lr>")...)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "", gossip(w.carrier)...)
		synctest.Wait()
		return ok, in
	}
	bye := func(w *world, ok *msg.Response, seq int) {
		w.carrier.within(ok, "BYE", seq, "", gossip(w.carrier)...)
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "", gossip(w.fra)...)
	}
	for name, play := range map[string]func(w *world){
		"a call, hung up by the caller": func(w *world) {
			ok, _ := talk(w, "secretcall@10.1.0.1")
			bye(w, ok, 2)
		},
		"hung up by the callee": func(w *world) {
			_, in := talk(w, "secretcall@10.1.0.1")
			w.fra.inside(in, "BYE", 1, "", gossip(w.fra)...)
			w.fra.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "", gossip(w.carrier)...)
		},
		"refused": func(w *world) {
			w.loud("secretcall", sdpA)
			w.refuse(w.fra.request(msg.INVITE), 486, gossip(w.fra)...)
		},
		"not acceptable": func(w *world) {
			w.loud("secretcall", sdpA)
			w.refuse(w.fra.request(msg.INVITE), 488, append(gossip(w.fra), "Accept: application/sdp;x=10.2.0.1")...)
		},
		"redirected": func(w *world) {
			w.loud("secretcall", sdpA)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 302, "", append(gossip(w.fra), "Contact: <sip:x@10.2.0.1:5099;y=host.fra.secret>;q=0.5")...)
			w.fra.request(msg.ACK)
			w.carrier.anything()
		},
		"failed over": func(w *world) {
			w.loud("secretcall", sdpA)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 183, sdpB, gossip(w.fra)...)
			w.carrier.status(183)
			w.fra.reply(in, 503, "", gossip(w.fra)...)
			w.fra.request(msg.ACK)
			next := w.zrh.request(msg.INVITE)
			w.zrh.reply(next, 404, "", gossip(w.zrh)...)
			w.zrh.request(msg.ACK)
			w.carrier.status(404)
		},
		"early media, forked": func(w *world) {
			w.loud("secretcall", sdpA, "Supported: 100rel")
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 183, sdpB, append(gossip(w.fra), "Require: 100rel", "RSeq: 1")...)
			prack := w.fra.request(msg.PRACK)
			w.fra.reply(prack, 200, "", gossip(w.fra)...)
			w.carrier.status(183)
			w.fra.replyAs(in, 182, "otherfratag", "", gossip(w.fra)...)
			w.carrier.status(182)
			w.fra.replyAs(in, 199, "otherfratag", "", gossip(w.fra)...)
			w.fra.reply(in, 200, sdpB, gossip(w.fra)...)
			w.fra.anything()
			w.carrier.anything()
		},
		"cancelled": func(w *world) {
			raw := w.loud("secretcall", sdpA)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 180, "", gossip(w.fra)...)
			w.carrier.status(180)
			c := cancelOf(raw)
			w.carrier.write(strings.Replace(c, "Content-Length", strings.Join(gossip(w.carrier), "\r\n")+"\r\nContent-Length", 1))
			w.carrier.status(200)
			w.carrier.status(487)
			w.fra.reply(w.fra.request(msg.CANCEL), 200, "", gossip(w.fra)...)
			w.fra.reply(in, 487, "", gossip(w.fra)...)
			w.fra.request(msg.ACK)
		},
		"challenged": func(w *world) {
			w.loud("secretcall", sdpA)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 407, "", append(gossip(w.fra), `Proxy-Authenticate: Digest realm="host.fra.secret", nonce="fraSecret", algorithm=MD5`)...)
			w.fra.request(msg.ACK)
			w.carrier.anything()
		},
		"renegotiated": func(w *world) {
			ok, in := talk(w, "secretcall")
			w.carrier.within(ok, "INVITE", 2, moved(sdpA), gossip(w.carrier)...)
			re := w.fra.request(msg.INVITE)
			w.fra.reply(re, 200, moved(sdpB), gossip(w.fra)...)
			w.fra.request(msg.ACK)
			w.carrier.status(200)
			w.carrier.within(ok, "ACK", 2, "", gossip(w.carrier)...)
			synctest.Wait()
			w.fra.inside(in, "UPDATE", 1, sdpB, gossip(w.fra)...)
			up := w.carrier.request(msg.UPDATE)
			w.carrier.reply(up, 488, "", gossip(w.carrier)...)
			w.fra.status(488)
			w.fra.inside(in, "INVITE", 2, strings.Replace(sdpB, "30000", "34000", 1), gossip(w.fra)...)
			back := w.carrier.request(msg.INVITE)
			w.carrier.reply(back, 500, "", gossip(w.carrier)...)
			w.carrier.request(msg.ACK)
			w.fra.anything()
			bye(w, ok, 3)
		},
		"with INFO": func(w *world) {
			ok, in := talk(w, "secretcall")
			seq := 2
			for kind, body := range map[string]string{
				"application/dtmf-relay": "Signal=5\r\n", "message/sipfrag": "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.1.0.1\r\nCall-ID: secretcall\r\n", "text/plain": "I am at 10.1.0.1",
				"application/isup": "carriertag", "multipart/mixed;boundary=10.1.0.1": "--10.1.0.1\r\nContent-Type: text/plain\r\n\r\nx\r\n--10.1.0.1--\r\n",
				"application/dtmf;x=10.1.0.1": "5",
			} {
				raw := w.carrier.compose("INFO", "sip:x@10.0.0.1", "secretcall", seq, ok.To().Params.GetOr("tag", ""), body, append(gossip(w.carrier), "Info-Package: foo;at=10.1.0.1")...)
				w.carrier.write(strings.Replace(raw, "Content-Type: application/sdp", "Content-Type: "+kind, 1))
				seq++
				w.fra.anything()
				w.carrier.anything()
			}
			w.fra.inside(in, "INFO", 1, "", gossip(w.fra)...)
			info := w.carrier.request(msg.INFO)
			w.carrier.reply(info, 469, "", append(gossip(w.carrier), "Recv-Info: foo;at=10.1.0.1, bar")...)
			w.fra.status(469)
			bye(w, ok, seq)
		},
		"transfers, subscriptions and the unknown": func(w *world) {
			ok, in := talk(w, "secretcall")
			for i, line := range []string{"REFER|Refer-To: <sip:x@10.1.0.1?Replaces=secretcall%3Bto-tag%3D1>", "SUBSCRIBE|Event: refer", "NOTIFY|Event: refer;id=10.1.0.1", "MESSAGE|Content-Language: en", "OPTIONS|Accept: text/plain", "FROB|X-Y: z"} {
				method, more, _ := strings.Cut(line, "|")
				w.carrier.within(ok, method, 2+i, "", append(gossip(w.carrier), more)...)
				w.fra.inside(in, method, 1+i, "", append(gossip(w.fra), strings.ReplaceAll(more, "10.1.0.1", "10.2.0.1"))...)
			}
			for range 3 {
				w.carrier.anything()
				w.fra.anything()
			}
		},
		"with several bodies": func(w *world) {
			gossiping := strings.Join(gossip(w.carrier), "\r\n") + "\r\n"
			raw := w.carrier.compose("INVITE", "sip:+4930123@edge.example", "secretcall", 1, "", "")
			w.carrier.write(mixed(strings.Replace(raw, "Content-Length", gossiping+"Content-Length", 1), sdpA))
			in := w.fra.request(msg.INVITE)
			if !strings.Contains(string(in.Body()), isupPart) {
				t.Error("the part that may cross did not")
			}
			w.refuse(in, 603, gossip(w.fra)...)
		},
		"without an offer": func(w *world) {
			w.loud("secretcall", "")
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 200, sdpB, gossip(w.fra)...)
			ok := w.carrier.status(200)
			w.carrier.within(ok, "ACK", 1, sdpA, gossip(w.carrier)...)
			w.fra.request(msg.ACK)
			synctest.Wait()
			bye(w, ok, 2)
		},
		"with a late answer": func(w *world) {
			w.loud("secretcall", sdpA)
			in := w.fra.request(msg.INVITE)
			next := w.zrh.request(msg.INVITE)
			w.zrh.reply(next, 486, "", gossip(w.zrh)...)
			w.zrh.request(msg.ACK)
			w.carrier.status(486)
			w.fra.reply(in, 200, sdpB, gossip(w.fra)...)
			w.fra.anything()
		},
		"a loop": func(w *world) {
			w.loud("secretcall", sdpA)
			in := w.fra.request(msg.INVITE)
			w.fra.write(w.fra.compose("INVITE", "sip:+4930123@edge.example", in.CallID().Value(), 1, "", sdpB, gossip(w.fra)...))
			for _, isRetransmission := w.fra.read(time.Second).(*msg.Request); isRetransmission; {
				_, isRetransmission = w.fra.read(time.Second).(*msg.Request)
			}
			w.refuse(in, 482, gossip(w.fra)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, open, func(w *world) {
				play(w)
				time.Sleep(40 * time.Second)
				synctest.Wait()
				for _, f := range w.unveiled() {
					t.Error(f)
				}
			})
		})
	}
}

// The search sees what it looks for.
func TestTheSearchFindsALeak(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("secretcall", w.carrier.sdp)
		w.refuse(w.fra.request(msg.INVITE), 486)
		if found := w.unveiled(); len(found) != 0 {
			t.Fatalf("before there is one: %s", found)
		}
		for _, leak := range []string{"X-Leak: secretcall", "X-Leak: CARRIERTAG", "Warning: 399 10.1.0.1 \"x\""} {
			w.mu.Lock()
			p := w.packets[len(w.packets)-1]
			p.From, p.To, p.Data = edgeAddr, fraAddr, []byte("OPTIONS sip:x SIP/2.0\r\n"+leak+"\r\n\r\n")
			w.packets = append(w.packets, p)
			w.mu.Unlock()
			if found := w.unveiled(); len(found) == 0 {
				t.Errorf("%s was not found", leak)
			}
			w.packets = w.packets[:len(w.packets)-1]
		}
	})
}
