package carrier

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
)

// rude is a SIP peer that says exactly what it is told.
type rude struct {
	t    *testing.T
	sock sovereign.UDPConn
	to   netip.AddrPort
}

func (r *rude) say(lines ...string) {
	r.t.Helper()
	if _, err := r.sock.WriteToUDPAddrPort([]byte(strings.Join(lines, "\r\n")), r.to); err != nil {
		r.t.Fatal(err)
	}
}

// hear waits for a message and gives it, or nil.
func (r *rude) hear() *message {
	b := make([]byte, 4096)
	_ = r.sock.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		n, _, err := r.sock.ReadFromUDPAddrPort(b)
		if err != nil {
			return nil
		}
		m, _, err := parse(b[:n], false)
		if err != nil {
			r.t.Fatal(err)
		}
		if m.status != 100 && m.status != 180 {
			return m
		}
	}
}

const offer1 = "v=0\r\no=- 7 1 IN IP4 10.1.0.1\r\ns=-\r\nc=IN IP4 10.1.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=sendrecv\r\n"

// request writes a correct request; change replaces text in it.
func request(method, toTag string, seq int, body string, change ...string) string {
	s := fmt.Sprintf("%s sip:b@10.2.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bK%s%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:a@10.1.0.1>;tag=aa\r\nTo: <sip:b@10.2.0.1>%s\r\nCall-ID: c1\r\nCSeq: %d %s\r\nContact: <sip:a@10.1.0.1:5060>\r\n", method, method, seq, toTag, seq, method)
	if body != "" {
		s += "Content-Type: application/sdp\r\n"
	}
	s += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	for i := 0; i+1 < len(change); i += 2 {
		s = strings.Replace(s, change[i], change[i+1], 1)
	}
	return s
}

// withRude runs f against an edge; the carrier of the world makes room for the rude peer.
func withRude(t *testing.T, edit func(*Config), f func(r *rude, edge *Peer)) []string {
	t.Helper()
	var faults []string
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{}, func(c, e *Config) {
			c.Addr = netip.AddrPortFrom(ipCarrier, 6060)
			if edit != nil {
				edit(e)
			}
		})
		w.lenient = true
		sock, err := w.carrier.cfg.Net.ListenUDP(netip.AddrPortFrom(ipCarrier, 5060))
		if err != nil {
			t.Fatal(err)
		}
		f(&rude{t, sock, w.edge.Addr()}, w.edge)
		synctest.Wait()
		faults = w.edge.Stats().Faults
		sock.Close()
		w.stop()
	})
	return faults
}

func expect(t *testing.T, faults []string, want string) {
	t.Helper()
	if want == "" && len(faults) > 0 {
		t.Errorf("complains without need: %q", faults)
	}
	if !strings.Contains(strings.Join(faults, "\n"), want) {
		t.Errorf("%q lacks %q", faults, want)
	}
}

func TestBadRequests(t *testing.T) {
	tests := []struct {
		name   string
		msg    string
		status int
		fault  string
	}{
		{"correct", request("INVITE", "", 1, offer1), 200, ""},
		{"compact and folded", request("INVITE", "", 1, offer1, "From:", "f:", "Call-ID:", "i:", "Contact: ", "m:\r\n "), 200, ""},
		{"no Max-Forwards", request("INVITE", "", 1, offer1, "Max-Forwards: 70\r\n", ""), 400, "0 Max-Forwards headers"},
		{"no Call-ID", request("INVITE", "", 1, offer1, "Call-ID: c1\r\n", ""), 400, "0 Call-ID headers"},
		{"two To", request("INVITE", "", 1, offer1, "Call-ID", "To: <sip:x@y>\r\nCall-ID"), 400, "2 To headers"},
		{"no tag", request("INVITE", "", 1, offer1, ";tag=aa", ""), 400, "From without a tag"},
		{"no Contact", request("INVITE", "", 1, offer1, "Contact: <sip:a@10.1.0.1:5060>\r\n", ""), 400, "0 Contact headers"},
		{"method of CSeq", request("INVITE", "", 1, offer1, "1 INVITE", "1 BYE"), 400, "CSeq"},
		{"number of CSeq", request("INVITE", "", 1, offer1, "1 INVITE", "3000000000 INVITE"), 400, "CSeq"},
		{"old branch", request("INVITE", "", 1, offer1, "z9hG4bK", "x"), 400, "branch of Via"},
		{"transport of Via", request("INVITE", "", 1, offer1, "2.0/UDP", "2.0/TCP"), 400, "over udp"},
		{"type of body", request("INVITE", "", 1, offer1, "Content-Type: application/sdp\r\n", ""), 400, "body without Content-Type"},
		{"Max-Forwards 0", request("INVITE", "", 1, offer1, "70", "0"), 400, "Max-Forwards 0"},
		{"too long", request("INVITE", "", 1, offer1, "Content-Length: ", "Content-Length: 9"), 0, "Content-Length"},
		{"no SIP", "hello", 0, "incomplete"},
		{"no version", request("INVITE", "", 1, offer1, " SIP/2.0\r", " HTTP/1.1\r"), 0, "request line"},
		{"header line", request("INVITE", "", 1, offer1, "Max-Forwards: 70", "Max-Forwards 70"), 0, "header line"},
		{"extension", request("INVITE", "", 1, offer1, "Contact", "Require: 100rel\r\nContact"), 420, ""},
		{"unknown dialog", request("BYE", ";tag=zz", 1, ""), 481, ""},
		{"no dialog", request("INFO", "", 1, ""), 481, "outside of a dialog"},
		{"cancel of nothing", request("CANCEL", "", 1, ""), 481, ""},
		{"SDP lacks c=", request("INVITE", "", 1, strings.Replace(offer1, "c=IN IP4 10.1.0.1\r\n", "", 1)), 488, "SDP lacks"},
		{"SDP line", request("INVITE", "", 1, strings.Replace(offer1, "s=-", "s", 1)), 488, "SDP line"},
		{"no PCMA", request("INVITE", "", 1, strings.Replace(offer1, "AVP 8", "AVP 0", 1)), 488, "without PCMA"},
		{"SAVP without keys", request("INVITE", "", 1, strings.Replace(offer1, "AVP 8", "SAVP 8", 1)), 488, "0 crypto lines"},
		{"AVP with keys", request("INVITE", "", 1, offer1+newKey(1, AES128SHA80).String()+"\r\n"), 200, "RTP/AVP with 1 crypto lines"},
		{"short key", request("INVITE", "", 1, strings.Replace(offer1, "AVP 8", "SAVP 8", 1)+"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n"), 488, "key of 3 bytes"},
		{"two streams", request("INVITE", "", 1, offer1+"m=video 0 RTP/AVP 31\r\n"), 200, "2 m= lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := withRude(t, nil, func(r *rude, _ *Peer) {
				r.say(tt.msg)
				m := r.hear()
				if m == nil && tt.status != 0 || m != nil && m.status != tt.status {
					t.Errorf("answer %+v, want %d", m, tt.status)
				}
			})
			expect(t, faults, tt.fault)
		})
	}
}

func TestBadDialogs(t *testing.T) {
	v2 := strings.Replace(offer1, "- 7 1", "- 7 2", 1)
	tests := []struct {
		name   string
		send   func(tag string) string
		status int
		fault  string
	}{
		{"refresh", func(g string) string { return request("INVITE", g, 2, offer1) }, 200, ""},
		{"UPDATE", func(g string) string { return request("UPDATE", g, 5, v2) }, 200, ""},
		{"OPTIONS", func(g string) string { return request("OPTIONS", g, 2, "") }, 200, ""},
		{"method", func(g string) string { return request("PUBLISH", g, 2, "") }, 405, ""},
		{"CSeq goes back", func(g string) string { return request("BYE", g, 1, "") }, 500, "CSeq 1 after 1"},
		{"From tag changes", func(g string) string { return request("BYE", g, 2, "", "tag=aa", "tag=bb") }, 481, "From tag changed"},
		{"version jumps", func(g string) string { return request("INVITE", g, 2, strings.Replace(offer1, "- 7 1", "- 7 9", 1)) }, 200, "jumps from 1 to 9"},
		{"session changes", func(g string) string { return request("INVITE", g, 2, strings.Replace(offer1, "- 7 1", "- 8 1", 1)) }, 200, "o= changed"},
		{"same version", func(g string) string { return request("INVITE", g, 2, strings.Replace(offer1, "4000", "4002", 1)) }, 200, "without a new version"},
		{"unreadable offer", func(g string) string { return request("INVITE", g, 2, "v=0") }, 488, "does not end with CRLF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := withRude(t, nil, func(r *rude, _ *Peer) {
				r.say(request("INVITE", "", 1, offer1))
				ok := r.hear()
				tag := ";tag=" + param(ok.get("To"), "tag")
				r.say(request("ACK", tag, 1, ""))
				r.say(tt.send(tag))
				if m := r.hear(); m == nil || m.status != tt.status {
					t.Errorf("answer %+v, want %d", m, tt.status)
				}
			})
			expect(t, faults, tt.fault)
		})
	}
}

func TestMissingACK(t *testing.T) {
	for _, b := range []Behaviour{{}, {Refuse: 486}} {
		faults := withRude(t, func(c *Config) { c.Behaviour = b }, func(r *rude, edge *Peer) {
			r.say(request("INVITE", "", 1, offer1))
			again := 0
			for range 400 {
				if r.hear() != nil {
					again++
				}
			}
			if again < 8 || again > 12 { // at 0, .5, 1.5, 3.5, 7.5, then every 4 s until 32 s
				t.Errorf("%d final responses", again)
			}
		})
		expect(t, faults, "no ACK for the SIP/2.0")
	}
	faults := withRude(t, nil, func(r *rude, edge *Peer) {
		r.say(request("INVITE", "", 1, offer1))
		r.hear()
		_ = edge.SetBehaviour(Behaviour{Silent: true})
		time.Sleep(time.Second)
		_ = edge.SetBehaviour(Behaviour{})
		time.Sleep(time.Minute)
	})
	expect(t, faults, "") // it was deaf for a while, so the ACK may have been there
	faults = withRude(t, nil, func(r *rude, _ *Peer) {
		r.say(request("INVITE", "", 1, offer1))
		r.say(request("ACK", ";tag="+param(r.hear().get("To"), "tag"), 2, ""))
	})
	expect(t, faults, "do not fit call")
}

func TestGlareAndRetransmission(t *testing.T) {
	faults := withRude(t, func(c *Config) { c.Behaviour = Behaviour{RingFor: time.Hour} }, func(r *rude, edge *Peer) {
		for range 3 {
			r.say(request("INVITE", "", 1, offer1))
		}
		r.hear()
		if s := edge.Stats(); s.Invites != 1 || s.Retransmits != 2 || s.Active != 1 {
			t.Errorf("%+v", s)
		}
		r.say(request("CANCEL", "", 1, "", "bKCANCEL", "bKINVITE"))
		a, b := r.hear(), r.hear()
		if a == nil || b == nil || a.status != 200 || b.status != 487 || param(a.get("To"), "tag") != param(b.get("To"), "tag") {
			t.Errorf("CANCEL got %+v and %+v", a, b)
		}
		r.say(request("ACK", ";tag="+param(b.get("To"), "tag"), 1, "", "bKACK", "bKINVITE"))
	})
	expect(t, faults, "")
	faults = withRude(t, nil, func(r *rude, edge *Peer) {
		r.say(request("INVITE", "", 1, offer1))
		tag := ";tag=" + param(r.hear().get("To"), "tag")
		r.say(request("INVITE", tag, 2, offer1))
		if m := r.hear(); m == nil || m.status != 491 {
			t.Errorf("re-INVITE before the ACK: %+v", m)
		}
		r.say(request("ACK", tag, 2, "", "bKACK", "bKINVITE"))
		r.say(request("ACK", tag, 1, ""))
	})
	expect(t, faults, "")
}

func TestForbiddenBytes(t *testing.T) {
	faults := withRude(t, func(c *Config) { c.ForbiddenBytes = [][]byte{[]byte("192.0.2.7")} }, func(r *rude, _ *Peer) {
		r.say(request("OPTIONS", "", 1, "", "Contact", "Warning: 399 192.0.2.7 \"x\"\r\nContact"))
	})
	expect(t, faults, `leak: "192.0.2.7"`)
}

// TestBadResponses lets the rude peer answer a call of the strict one.
func TestBadResponses(t *testing.T) {
	answer := strings.Replace(offer1, "m=audio", "a=x\r\nm=audio", 1)
	secured := func(k crypto) string { return strings.Replace(offer1, "AVP 8", "SAVP 8", 1) + k.String() + "\r\n" }
	tests := []struct {
		name  string
		srtp  bool
		body  string
		edit  func(m *message, invite *message)
		early string // To tag of a 180 sent before
		fault string
	}{
		{name: "correct", body: answer},
		{name: "no answer", fault: "without an answer"},
		{name: "no Contact", body: answer, edit: func(m, _ *message) { drop(m, "Contact") }, fault: "0 Contact headers"},
		{name: "no To tag", body: answer, edit: func(m, i *message) { drop(m, "To"); m.copyFrom(i, "To") }, fault: "To [\"<sip:b@"},
		{name: "another Call-ID", body: answer, edit: func(m, _ *message) { drop(m, "Call-ID"); m.add("Call-ID", "x") }, fault: "Call-ID is"},
		{name: "second Via", body: answer, edit: func(m, i *message) { m.copyFrom(i, "Via") }, fault: "2 Via headers"},
		{name: "tag changes", body: answer, early: "early", fault: "To tag changed from early"},
		{name: "SAVP to AVP", body: secured(newKey(1, AES128SHA80)), fault: "RTP/SAVP to an offer with 0 keys"},
		{name: "AVP to SAVP", srtp: true, body: answer, fault: "RTP/AVP to an offer with 1 keys"},
		{name: "suite", srtp: true, body: secured(newKey(1, AES256GCM)), fault: "was not offered"},
		{name: "tag of suite", srtp: true, body: secured(newKey(2, AES128SHA80)), fault: "crypto tag 2"},
		{name: "two keys", srtp: true, body: secured(newKey(1, AES128SHA80)) + newKey(1, AES128SHA80).String() + "\r\n", fault: "2 crypto lines, want one"},
		{name: "own key", srtp: true, body: "echo", fault: "our own key came back"},
		{name: "codec", body: strings.Replace(answer, "AVP 8", "AVP 0", 1), fault: "without the PCMA"},
		{name: "not SDP", body: "x", fault: "answer: carrier: SDP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := withRude(t, func(c *Config) { c.SRTP = tt.srtp }, func(r *rude, p *Peer) {
				c, err := p.Call(r.t.Context(), CallOptions{From: "a", To: "b", Dest: netip.AddrPortFrom(ipCarrier, 5060)})
				if err != nil {
					t.Fatal(err)
				}
				invite := r.hear()
				reply := func(status int, tag, body string) *message {
					m := &message{status: status, reason: "x"}
					m.copyFrom(invite, "Via", "From", "Call-ID", "CSeq")
					m.add("To", invite.get("To")+";tag="+tag)
					m.add("Contact", "<sip:b@10.1.0.1:5060>")
					m.setBody("application/sdp", []byte(body))
					return m
				}
				if tt.early != "" {
					r.say(string(reply(180, tt.early, "").bytes()))
				}
				if tt.body == "echo" {
					s, _ := parseSDP(invite.body)
					tt.body = secured(s.crypto[0])
				}
				m := reply(200, "bb", tt.body)
				if tt.edit != nil {
					tt.edit(m, invite)
				}
				r.say(string(m.bytes()))
				if ack := r.hear(); ack == nil || ack.method != "ACK" || c.Status() != 200 {
					t.Errorf("after the 200: %+v", ack)
				}
			})
			expect(t, faults, tt.fault)
		})
	}
}

func drop(m *message, name string) {
	for i := range m.fields {
		if m.fields[i].name == name {
			m.fields[i] = field{"X-Gone", "1"}
		}
	}
}

func TestStreamFraming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{}, func(a, b *Config) { a.Proto, b.Proto = "tcp", "tcp" })
		w.lenient = true
		defer w.stop()
		c, err := w.carrier.cfg.Net.DialTCP(t.Context(), ipCarrier, w.edge.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b := make([]byte, 4096)
		msg := request("OPTIONS", "", 1, "", "/UDP", "/TCP")
		for _, part := range []string{"\r\n\r\n", msg[:20], msg[20:], msg[:len(msg)-1]} {
			_, _ = c.Write([]byte(part))
			time.Sleep(time.Millisecond)
		}
		n, _ := c.Read(b)
		if got := string(b[:n]); !strings.HasPrefix(got, "\r\nSIP/2.0 200") {
			t.Errorf("got %q", got)
		}
		_, _ = c.Write([]byte("\n"))
		if _, err := c.Read(b); err != nil {
			t.Error(err)
		}
		_, _ = c.Write([]byte("rubbish\r\n\r\n"))
		if _, err := c.Read(b); err == nil {
			t.Error("the stream goes on after rubbish")
		}
		expect(t, w.edge.Stats().Faults, "start line")
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(request("INVITE", "", 1, offer1)), true)
	f.Add([]byte("SIP/2.0 200 OK\r\nv: a, b\r\nl: 0\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, stream bool) {
		m, n, err := parse(b, stream)
		if err != nil {
			return
		}
		if n > len(b) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		m.cseq()
		for _, h := range m.fields {
			m.all(h.name)
			param(h.value, "tag")
			hostPort(uriOf(h.value), "udp")
			cut(h.value)
		}
	})
}

func FuzzSDP(f *testing.F) {
	f.Add([]byte(offer1))
	f.Add([]byte(offer1 + newKey(1, AES256GCM).String() + "\r\na=rtcp-mux\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseSDP(b); err == nil && !s.addr.Addr().IsValid() {
			t.Fatalf("%+v", s)
		}
	})
}

// TestDigestVectors are the examples of RFC 7616 section 3.9.1.
func TestDigestVectors(t *testing.T) {
	for md5, want := range map[bool]string{
		true:  "8ca523f5e9506fed4657c9700eebdbec",
		false: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		a := Auth{Realm: "http-auth@example.org", User: "Mufasa", Password: "Circle of Life", MD5: md5}
		got := a.response("GET", "/dir/index.html", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
		if got != want {
			t.Errorf("MD5 %v: %s", md5, got)
		}
	}
}

func TestChallenge(t *testing.T) {
	a := &Auth{Realm: "c.example", User: "trunk", Password: "s3cret"}
	tests := []struct {
		name         string
		pass, nc     string
		second       int
		fault        string
		nonce, count bool
	}{
		{name: "good", pass: "s3cret", nc: "00000001", second: 200},
		{name: "wrong password", pass: "guess", nc: "00000001", second: 401, count: true},
		{name: "old nonce", pass: "s3cret", nc: "00000001", second: 401, nonce: true},
		{name: "count", pass: "s3cret", nc: "00000002", second: 401, fault: "nc \"00000002\" after 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := withRude(t, func(c *Config) { c.Behaviour = Behaviour{Auth: a} }, func(r *rude, edge *Peer) {
				r.say(request("INVITE", "", 1, offer1))
				m := r.hear()
				if m == nil || m.status != 401 {
					t.Fatalf("%+v", m)
				}
				r.say(request("ACK", ";tag="+param(m.get("To"), "tag"), 1, "", "bKACK", "bKINVITE"))
				q := digestParams(m.get("WWW-Authenticate"))
				if tt.nonce {
					q["nonce"] = "older"
				}
				mine := *a
				mine.Password = tt.pass
				uri := "sip:b@10.2.0.1:5060"
				r.say(request("INVITE", "", 2, offer1, "Contact", fmt.Sprintf(`Authorization: Digest username="trunk", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=SHA-256, qop=auth, nc=%s, cnonce="x"`+"\r\nContact",
					q["realm"], q["nonce"], uri, mine.response("INVITE", uri, q["nonce"], tt.nc, "x"), tt.nc)))
				if m := r.hear(); m == nil || m.status != tt.second || (q["nonce"] == "older") != strings.Contains(m.get("WWW-Authenticate"), "stale=true") {
					t.Errorf("second answer %+v", m)
				}
				if s := edge.Stats(); (s.BadCredentials == 1) != tt.count || (s.Invites == 1) != (tt.second == 200) {
					t.Errorf("%+v", s)
				}
			})
			expect(t, faults, tt.fault)
		})
	}
}

func TestByeBeforeTheAnswer(t *testing.T) {
	faults := withRude(t, func(c *Config) { c.Behaviour = Behaviour{NoAnswer: true, EarlyMedia: true} }, func(r *rude, edge *Peer) {
		r.say(request("INVITE", "", 1, offer1))
		tag := ";tag=" + param(r.hear().get("To"), "tag")
		r.say(request("BYE", tag, 2, ""))
		a, b := r.hear(), r.hear()
		if a == nil || b == nil || a.status != 200 || b.status != 487 {
			t.Errorf("got %+v and %+v", a, b)
		}
		r.say(request("ACK", tag, 1, "", "bKACK", "bKINVITE"))
	})
	expect(t, faults, "")
}

// TestRetransmissions counts what a silent far side sees: RFC 3261 table 4.
func TestRetransmissions(t *testing.T) {
	withRude(t, nil, func(r *rude, p *Peer) {
		to := netip.AddrPortFrom(ipCarrier, 5060)
		if s, err := p.Options(r.t.Context(), to); s != 408 || err != nil {
			t.Error(s, err)
		}
		count := 0
		for r.hear() != nil {
			count++
		}
		if count != 11 {
			t.Errorf("OPTIONS was sent %d times", count)
		}
		c, err := p.Call(r.t.Context(), CallOptions{From: "a", To: "b", Dest: to})
		if err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		for count = 0; r.hear() != nil; count++ {
		}
		if count != 7 || c.Ended() != "timeout" {
			t.Errorf("INVITE was sent %d times, %q", count, c.Ended())
		}
	})
}

// TestCallerKeepsToTheRules looks at what the calling side says: no CANCEL before a provisional response, an ACK for each retransmitted final
// response, and the route set in reverse order.
func TestCallerKeepsToTheRules(t *testing.T) {
	answer := func(invite *message, status int) string {
		m := &message{status: status, reason: "x"}
		m.copyFrom(invite, "Via", "From", "Call-ID", "CSeq")
		m.add("To", invite.get("To")+";tag=bb")
		m.add("Record-Route", "<sip:10.1.0.1:5060;lr;x=1>, <sip:10.1.0.1:5060;lr;x=2>")
		m.add("Contact", "<sip:b@10.1.0.1:9>")
		if status == 200 {
			m.setBody("application/sdp", []byte(offer1))
		}
		return string(m.bytes())
	}
	faults := withRude(t, nil, func(r *rude, p *Peer) {
		dial := func() (*Call, *message) {
			c, err := p.Call(r.t.Context(), CallOptions{From: "a", To: "b", Dest: netip.AddrPortFrom(ipCarrier, 5060)})
			if err != nil {
				t.Fatal(err)
			}
			return c, r.hear()
		}
		c, invite := dial()
		go func() { _ = c.Cancel(r.t.Context()) }()
		if m := r.hear(); m != nil {
			t.Errorf("before a provisional response: %s", m.method)
		}
		r.say(answer(invite, 183))
		if m := r.hear(); m == nil || m.method != "CANCEL" || m.get("Via") != invite.get("Via") {
			t.Errorf("after it: %+v", m)
		}
		for range 3 {
			r.say(answer(invite, 487))
			m := r.hear()
			for m != nil && m.method == "CANCEL" {
				m = r.hear()
			}
			if m == nil || m.method != "ACK" || m.get("Via") != invite.get("Via") {
				t.Errorf("ACK of the 487: %+v", m)
			}
		}
		_, invite = dial()
		for range 3 {
			r.say(answer(invite, 200))
			m := r.hear()
			if m == nil || m.method != "ACK" || m.uri != "sip:b@10.1.0.1:9" || strings.Join(m.all("Route"), ",") != "<sip:10.1.0.1:5060;lr;x=2>,<sip:10.1.0.1:5060;lr;x=1>" {
				t.Errorf("ACK of the 200: %+v", m)
			}
		}
	})
	expect(t, faults, "")
}
