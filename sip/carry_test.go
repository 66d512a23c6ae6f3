package sip

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
)

// refuse ends the call that in began with a refusal, on both sides.
func (w *world) refuse(in *msg.Request, status int, more ...string) *msg.Response {
	w.t.Helper()
	w.fra.reply(in, status, "", more...)
	w.fra.request(msg.ACK)
	res := w.carrier.status(status)
	w.carrier.write(ackFor(w.carrier, res, res.CallID().Value()))
	return res
}

const (
	uuidA = "ab30317f1a784dc48ff824d0d3715d86"
	uuidB = "47755a9de7794ba387653f2099600ef2"
	uuidC = "dbcd17f1a784dc48ff824d0d3715d860"
)

func sessionLine(local, remote string) string {
	return "Session-ID: " + header.SessionValue(local, remote)
}

// holdsSession checks the Session-ID of a message that a peer got.
func holdsSession(t *testing.T, what string, m msg.Message, local, remote string) {
	t.Helper()
	if got := value(m, "session-id"); got != header.SessionValue(local, remote) {
		t.Errorf("%s: Session-ID %q, want %q", what, got, header.SessionValue(local, remote))
	}
	if n := len(values(m, "session-id")); n > 1 {
		t.Errorf("%s: %d Session-IDs", what, n)
	}
}

// Every message of both dialogs carries the two UUIDs, each end's own first, until BYE; an end may change its UUID at any time, and the receipt has the last ones.
//
// Conforms: RFC 7989 section 6; RFC 7989 section 7
func TestSessionIDOnEveryMessage(t *testing.T) {
	run(t, nil, func(w *world) {
		raw := w.carrier.invite("sid", w.carrier.sdp, sessionLine(uuidA, ""))
		_ = raw
		holdsSession(t, "100", w.carrier.status(100), "", uuidA)
		in := w.fra.request(msg.INVITE)
		holdsSession(t, "INVITE", in, uuidA, "")
		w.fra.reply(in, 180, "", sessionLine(uuidB, uuidA), "Require: 100rel", "RSeq: 1")
		prack := w.fra.request(msg.PRACK)
		holdsSession(t, "PRACK", prack, uuidA, uuidB)
		w.fra.reply(prack, 200, "", sessionLine(uuidB, uuidA))
		holdsSession(t, "180", w.carrier.status(180), uuidB, uuidA)
		w.fra.reply(in, 200, w.fra.sdp, sessionLine(uuidB, uuidA))
		holdsSession(t, "ACK", w.fra.request(msg.ACK), uuidA, uuidB)
		ok := w.carrier.status(200)
		holdsSession(t, "200", ok, uuidB, uuidA)
		w.carrier.within(ok, "ACK", 1, "", sessionLine(uuidA, uuidB))
		synctest.Wait()
		// The callee's end changes: a transfer behind it.
		w.fra.inside(in, "UPDATE", 1, "", sessionLine(uuidC, uuidA))
		holdsSession(t, "200 to UPDATE", w.fra.status(200), uuidA, uuidC)
		w.carrier.within(ok, "INFO", 2, "", sessionLine(uuidA, uuidB))
		info := w.fra.request(msg.INFO)
		holdsSession(t, "INFO", info, uuidA, uuidC)
		w.fra.reply(info, 200, "", sessionLine(uuidC, uuidA))
		holdsSession(t, "200 to INFO", w.carrier.status(200), uuidC, uuidA)
		w.carrier.within(ok, "INVITE", 3, strings.Replace(w.carrier.sdp, "30000", "31000", 1), sessionLine(uuidA, uuidC))
		re := w.fra.request(msg.INVITE)
		holdsSession(t, "re-INVITE", re, uuidA, uuidC)
		w.fra.reply(re, 488, "", sessionLine(uuidC, uuidA))
		holdsSession(t, "ACK of a refusal", w.fra.request(msg.ACK), uuidA, uuidC)
		res := w.carrier.status(488)
		holdsSession(t, "488", res, uuidC, uuidA)
		w.carrier.write(reAck(w.carrier, ok, res, 3))
		w.carrier.within(ok, "REFER", 4, "", "X: y", sessionLine(uuidA, uuidC))
		if m, is := w.carrier.read(time.Second).(*msg.Response); !is || m.StatusCode < 300 {
			t.Errorf("a REFER to nowhere: %v", m)
		} else {
			holdsSession(t, "refused REFER", m, uuidC, uuidA)
		}
		w.carrier.within(ok, "BYE", 5, "", sessionLine(uuidA, uuidC))
		holdsSession(t, "200 to BYE", w.carrier.status(200), uuidC, uuidA)
		bye := w.fra.request(msg.BYE)
		holdsSession(t, "BYE", bye, uuidA, uuidC)
		w.fra.reply(bye, 200, "")
		r := w.receipt()
		if want := header.SessionValue(uuidA, uuidC); r.Session != want {
			t.Errorf("the receipt has %q, want %q", r.Session, want)
		}
		if e := entries[audit.CallEnded](w, audit.KindCallEnded); len(e) != 1 || e[0].Session != r.Session {
			t.Errorf("call.ended: %+v", e)
		}
	})
}

// A refusal, a CANCEL and a hop that comes after another one carry it, too; who sends none gets one made for it.
//
// Conforms: RFC 7989 section 6; RFC 7989 section 7
func TestSessionIDWhereCallsFail(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("sid", w.carrier.sdp, sessionLine(uuidA, ""))
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 503, "", sessionLine(uuidB, uuidA))
		holdsSession(t, "ACK", w.fra.request(msg.ACK), uuidA, "")
		in = w.zrh.request(msg.INVITE)
		holdsSession(t, "INVITE to the next", in, uuidA, "")
		w.zrh.reply(in, 486, "", sessionLine(uuidC, uuidA))
		w.zrh.request(msg.ACK)
		res := w.carrier.status(486)
		holdsSession(t, "486", res, uuidC, uuidA)
		w.carrier.write(ackFor(w.carrier, res, "sid"))

		raw := w.carrier.invite("sid2", w.carrier.sdp, sessionLine(uuidA, ""))
		in = w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "", sessionLine(uuidB, uuidA))
		w.carrier.status(180)
		w.carrier.write(strings.Replace(cancelOf(raw), "Content-Length", sessionLine(uuidA, uuidB)+"\r\nContent-Length", 1))
		holdsSession(t, "200 to CANCEL", w.carrier.status(200), uuidB, uuidA)
		holdsSession(t, "487", w.carrier.status(487), uuidB, uuidA)
		c := w.fra.request(msg.CANCEL)
		holdsSession(t, "CANCEL", c, uuidA, "") // as in its INVITE
		w.fra.reply(c, 200, "")
		w.fra.reply(in, 487, "")
		w.fra.request(msg.ACK)

		w.carrier.invite("none", w.carrier.sdp)
		in = w.fra.request(msg.INVITE)
		made, remote := header.Session(value(in, "session-id"))
		if made == "" || remote != "" || made[12] != '4' || !strings.ContainsRune("89ab", rune(made[16])) {
			t.Errorf("made %q", value(in, "session-id"))
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		holdsSession(t, "to who sent none", w.carrier.status(486), "", made)
		// Before a call begins: the screen's own words.
		w.carrier.write(strings.Replace(w.carrier.compose("INVITE", "sip:1@edge", "hops", 1, "", w.carrier.sdp, sessionLine(uuidA, "")), "Max-Forwards: 70", "Max-Forwards: 0", 1))
		holdsSession(t, "483", w.carrier.status(483), "", uuidA)
		time.Sleep(time.Minute)
	})
}

// Reasons cross with the place where they were raised, cleaned; a party that asks for Q.850 gets it where the other side gave a status alone.
//
// Conforms: RFC 3326 section 2; RFC 8606 section 4; RFC 3398 section 8.2.6.1
func TestReasonsAndCauses(t *testing.T) {
	for name, c := range map[string]struct {
		q850  bool
		heard []string
		want  string
		cause int
	}{
		"nothing is said":          {false, nil, "Q.850;cause=16", 16},
		"a cause with its place":   {false, []string{`Reason: Q.850;cause=31;text="gone";location=RLN`}, `Q.850;cause=31;text="gone";location=RLN`, 31},
		"a status alone":           {false, []string{`Reason: SIP;cause=503;text="down"`}, `SIP;cause=503;text="down"`, 41},
		"a status, asked for more": {true, []string{`Reason: SIP;cause=503;text="down"`}, `SIP;cause=503;text="down"|Q.850;cause=41`, 41},
		"both, asked for more":     {true, []string{`Reason: SIP;cause=503`, `Reason: Q.850;cause=38`}, `SIP;cause=503|Q.850;cause=38`, 38},
		"it tells an address":      {true, []string{`Reason: SIP;cause=200;text="done at 10.2.0.1"`}, `SIP;cause=200|Q.850;cause=16`, 16},
		"it tells a tag":           {false, []string{`Reason: Q.850;cause=16;text="dialog fratag"`}, `Q.850;cause=16`, 16},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) { cfg.Parties[0].Cross.Q850 = c.q850 }, func(w *world) {
				_, in := w.up("why")
				w.fra.inside(in, "BYE", 1, "", c.heard...)
				w.fra.status(200)
				bye := w.carrier.request(msg.BYE)
				if got := strings.Join(values(bye, "reason"), "|"); got != c.want {
					t.Errorf("BYE: %s, want %s", got, c.want)
				}
				w.carrier.reply(bye, 200, "")
				if r := w.receipt(); r.Outcome.Q850 != c.cause {
					t.Errorf("the receipt has cause %d, want %d", r.Outcome.Q850, c.cause)
				}
			})
		})
	}
	for status, want := range map[int]string{486: "Q.850;cause=17", 404: "Q.850;cause=1", 603: "Q.850;cause=21"} {
		run(t, func(cfg *Config) { cfg.Parties[0].Cross.Q850 = true }, func(w *world) {
			w.carrier.invite("why", w.carrier.sdp)
			res := w.refuse(w.fra.request(msg.INVITE), status)
			if got := strings.Join(values(res, "reason"), "|"); got != want {
				t.Errorf("%d: %s, want %s", status, got, want)
			}
			if r := w.receipt(); "Q.850;cause="+itoa(r.Outcome.Q850) != want {
				t.Errorf("%d: the receipt has cause %d", status, r.Outcome.Q850)
			}
		})
	}
	run(t, func(cfg *Config) { cfg.Parties[1].Cross.Q850 = true }, func(w *world) {
		raw := w.carrier.invite("why", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.carrier.write(cancelOf(raw))
		w.carrier.status(200)
		w.carrier.status(487)
		c := w.fra.request(msg.CANCEL)
		if got := strings.Join(values(c, "reason"), "|"); got != `SIP;cause=487;text="caller hung up"|Q.850;cause=16` {
			t.Errorf("CANCEL: %s", got)
		}
		w.fra.reply(c, 200, "")
		w.fra.reply(in, 487, "")
		w.fra.request(msg.ACK)
	})
}

// Who sent a call on is told to each trusted party in its own words, with our host, and to nobody else.
//
// Conforms: RFC 5806 section 4; RFC 7044 section 5; RFC 7044 section 10.1; RFC 7544 section 5
func TestDiversionByParty(t *testing.T) {
	const (
		diversion = `Diversion: "Ann" <sip:+49301@10.1.0.1>;reason=user-busy;privacy=full;x=10.1.0.1`
		history   = `History-Info: <sip:+49301@10.1.0.1>;index=1, <sip:+4930123@10.1.0.1;cause=302>;index=1.1;mp=1`
	)
	for name, c := range map[string]struct {
		from, to bool
		mode     string
		headers  []string
		in       string
		div, his string
	}{
		"as it came":             {true, true, "diversion", nil, diversion, "<sip:+49301@fra.example>;reason=user-busy;privacy=full", ""},
		"as History-Info":        {true, true, "history-info", nil, diversion, "", "<sip:+49301@fra.example?Privacy=history>;index=1|<sip:+4930123@fra.example;cause=486>;index=1.1;mp=1"},
		"as both":                {true, true, "both", nil, history, "<sip:+49301@fra.example>;reason=unconditional", "<sip:+49301@fra.example>;index=1|<sip:+4930123@fra.example;cause=302>;index=1.1;mp=1"},
		"as Diversion":           {true, true, "diversion", nil, history, "<sip:+49301@fra.example>;reason=unconditional", ""},
		"not at all":             {true, true, "none", []string{"Diversion", "History-Info"}, diversion, "", ""},
		"by the list of headers": {true, true, "", []string{"History-Info"}, diversion, "", ""},
		"to who is not trusted":  {true, false, "both", nil, history, "", ""},
		"by who is not trusted":  {false, true, "both", nil, history, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) {
				cfg.Parties[0].Trusted, cfg.Parties[1].Trusted = c.from, c.to
				cfg.Parties[1].Cross.Diversion, cfg.Parties[1].Headers = c.mode, c.headers
			}, func(w *world) {
				w.carrier.invite("div", w.carrier.sdp, c.in)
				in := w.fra.request(msg.INVITE)
				if got := strings.Join(values(in, "diversion"), "|"); got != c.div {
					t.Errorf("Diversion %s, want %s", got, c.div)
				}
				if got := strings.Join(values(in, "history-info"), "|"); got != c.his {
					t.Errorf("History-Info %s, want %s", got, c.his)
				}
				w.refuse(in, 486)
			})
		})
	}
}

// Who calls, by what the header asks for and who is trusted.
//
// Conforms: RFC 3323 section 4.1.1.3; RFC 3323 section 5; RFC 3325 section 5; RFC 3325 section 7; RFC 3325 section 9.2
func TestPrivacyByTrust(t *testing.T) {
	const anonymous, shown = `"Anonymous" <sip:anonymous@anonymous.invalid>`, `"Secret" <sip:+4917012@fra.example>`
	pai := `P-Asserted-Identity: "Ann" <sip:+49301@a.secret>, <tel:+49-301>`
	for name, c := range map[string]struct {
		trustA, trustB, preferred bool
		headers                   []string
		pai, privacy, from        string
	}{
		"sip and tel":                {true, true, false, []string{pai}, `"Ann" <sip:+49301@fra.example>|<tel:+49301>`, "", shown},
		"private inside":             {true, true, false, []string{pai, "Privacy: id;critical"}, `"Ann" <sip:+49301@fra.example>|<tel:+49301>`, "id;critical", shown},
		"private outside":            {true, false, false, []string{pai, "Privacy: id"}, "", "", anonymous},
		"user":                       {true, false, false, []string{pai, "Privacy: user"}, "", "", anonymous},
		"header":                     {true, false, false, []string{pai, "Privacy: header;session"}, "", "", anonymous},
		"session alone":              {true, false, false, []string{pai, "Privacy: session"}, "", "", shown},
		"none":                       {true, false, false, []string{pai, "Privacy: none"}, "", "", shown},
		"of a stranger":              {false, true, false, []string{pai, "P-Preferred-Identity: <sip:+49302@a.secret>"}, "", "", shown},
		"preferred, permitted":       {false, true, true, []string{pai, "P-Preferred-Identity: <sip:+49302@a.secret>", "Privacy: id"}, `<sip:+49302@fra.example>`, "id", shown},
		"Remote-Party-ID":            {true, true, false, []string{"Remote-Party-ID: <sip:+49303@a.secret>;party=calling"}, "", "", shown},
		"preferred of a trusted one": {true, true, false, []string{"P-Preferred-Identity: <sip:+49302@a.secret>"}, "", "", shown},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) {
				cfg.Parties[0].Trusted, cfg.Parties[1].Trusted, cfg.Parties[0].Cross.Preferred = c.trustA, c.trustB, c.preferred
			}, func(w *world) {
				w.carrier.invite("priv", w.carrier.sdp, c.headers...)
				in := w.fra.request(msg.INVITE)
				if got := strings.Join(values(in, "p-asserted-identity"), "|"); got != c.pai {
					t.Errorf("P-Asserted-Identity %s, want %s", got, c.pai)
				}
				if got := value(in, "privacy"); got != c.privacy {
					t.Errorf("Privacy %q, want %q", got, c.privacy)
				}
				if got, _, _ := strings.Cut(in.From().Value(), ";tag"); got != c.from {
					t.Errorf("From %s, want %s", got, c.from)
				}
				if value(in, "remote-party-id") != "" || value(in, "p-preferred-identity") != "" {
					t.Errorf("it crossed:\n%s", in)
				}
				w.refuse(in, 486)
			})
		})
	}
	// What cannot be given is refused, where it is critical.
	run(t, nil, func(w *world) {
		w.carrier.invite("crit", w.carrier.sdp, "Privacy: future;critical")
		w.carrier.write(ackFor(w.carrier, w.carrier.status(500), "crit"))
		w.fra.silent(time.Second)
	})
}

// The connected identity goes back in 18x and 2xx, and forth in UPDATE, inside the trust domain.
//
// Conforms: RFC 3325 section 5; RFC 5009 section 2
func TestConnectedIdentity(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		run(t, func(c *Config) { c.Parties[0].Trusted, c.Parties[1].Trusted = trusted, true }, func(w *world) {
			want := map[bool]string{true: "<sip:+49309@carrier.example>", false: ""}[trusted]
			early := map[bool]string{true: "sendrecv", false: ""}[trusted]
			pai := "P-Asserted-Identity: <sip:+49309@10.2.0.1>"
			w.carrier.invite("conn", w.carrier.sdp, "P-Early-Media: supported", "Allow: INVITE, UPDATE")
			in := w.fra.request(msg.INVITE)
			if got := value(in, "p-early-media"); (got == "supported") != trusted {
				t.Errorf("P-Early-Media %q", got)
			}
			w.fra.reply(in, 183, w.fra.sdp, pai, "P-Early-Media: sendrecv, 10.2.0.1")
			res := w.carrier.status(183)
			if value(res, "p-asserted-identity") != want || value(res, "p-early-media") != early {
				t.Errorf("183:\n%s", res)
			}
			w.fra.reply(in, 200, w.fra.sdp, pai)
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			if got := value(ok, "p-asserted-identity"); got != want {
				t.Errorf("200: %q, want %q", got, want)
			}
			w.carrier.within(ok, "ACK", 1, "")
			synctest.Wait()
			w.fra.inside(in, "UPDATE", 1, strings.Replace(w.fra.sdp, "30000", "31000", 1), strings.Replace(pai, "+49309", "+49310", 1))
			up := w.carrier.request(msg.UPDATE)
			if got := value(up, "p-asserted-identity"); got != strings.Replace(want, "+49309", "+49310", 1) {
				t.Errorf("UPDATE: %q", got)
			}
			w.carrier.reply(up, 200, w.carrier.sdp)
			w.fra.status(200)
			w.end(ok, 2)
		})
	}
}

// Data of the contact centre goes through where its party says so, within its bound, until the BYE.
//
// Conforms: RFC 7433 section 4; RFC 7433 section 5
func TestUserData(t *testing.T) {
	for _, limit := range []int{0, 4} {
		run(t, func(c *Config) { c.Parties[0].Cross.UserData, c.Parties[1].Cross.UserData = limit, limit }, func(w *world) {
			pass := func(m msg.Message, want string) {
				t.Helper()
				if limit == 0 {
					want = ""
				}
				if got := strings.Join(values(m, "user-to-user"), "|"); got != want {
					t.Errorf("User-to-User %q, want %q", got, want)
				}
			}
			w.carrier.invite("uui", w.carrier.sdp, "User-to-User: 00a1b2c3;purpose=isdn-uui;content=isdn-uui;encoding=hex;x=10.1.0.1, aabbccddee;encoding=hex")
			in := w.fra.request(msg.INVITE)
			pass(in, "00a1b2c3;purpose=isdn-uui;content=isdn-uui;encoding=hex")
			w.fra.reply(in, 180, "", "User-to-User: 01;encoding=hex")
			pass(w.carrier.status(180), "01;encoding=hex")
			w.fra.reply(in, 200, w.fra.sdp, "User-to-User: 02;encoding=hex")
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			pass(ok, "02;encoding=hex")
			w.carrier.within(ok, "ACK", 1, "")
			w.carrier.within(ok, "BYE", 2, "", "User-to-User: 03;encoding=hex")
			w.carrier.status(200)
			bye := w.fra.request(msg.BYE)
			pass(bye, "03;encoding=hex")
			w.fra.reply(bye, 200, "")
		})
	}
}

func passportOf(orig, dest string) string {
	b := base64.RawURLEncoding.EncodeToString
	return "Identity: " + b([]byte(`{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example.org/p.cer"}`)) + "." +
		b([]byte(fmt.Sprintf(`{"attest":"A","dest":{"tn":[%q]},"iat":%d,"orig":{"tn":%q},"origid":"1"}`, dest, time.Now().Unix(), orig))) +
		".c2ln;info=<https://cert.example.org/p.cer>;alg=ES256;ppt=shaken"
}

// A PASSporT goes on untouched, with its Date, while it tells the truth about what we send; else it is dropped, counted and noted. Nothing is fetched.
//
// Conforms: RFC 8224 section 4.1; RFC 8224 section 6.2; RFC 8225 section 5.2.1; RFC 8588 section 4
func TestPassportsPassOrAreDropped(t *testing.T) {
	for name, c := range map[string]struct {
		option, privacy string
		orig, dest      string
		why             string // "" passes
	}{
		"by default":           {"", "none", "4917012", "4930123", "option"},
		"dropped":              {"drop", "none", "4917012", "4930123", "option"},
		"passed":               {"pass", "none", "4917012", "4930123", ""},
		"the caller is hidden": {"pass", "id", "4917012", "4930123", "caller"},
		"somebody else calls":  {"pass", "none", "4917013", "4930123", "caller"},
		"somebody else called": {"pass", "none", "4917012", "4930124", "called"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			var logged strings.Builder
			run(t, func(cfg *Config) {
				cfg.Parties[1].Cross.Identity, cfg.Metrics = c.option, reg
				cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			}, func(w *world) {
				pass := passportOf(c.orig, c.dest)
				date := time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05") + " GMT"
				w.carrier.invite("stir", w.carrier.sdp, pass, "Date: "+date, "Privacy: "+c.privacy)
				in := w.fra.request(msg.INVITE)
				want, wantDate := strings.TrimPrefix(pass, "Identity: "), date
				if c.why != "" {
					want, wantDate = "", ""
				}
				if got := value(in, "identity"); got != want {
					t.Errorf("Identity %q, want %q", got, want)
				}
				if got := value(in, "date"); got != wantDate {
					t.Errorf("Date %q, want %q", got, wantDate)
				}
				if n := counted(t, reg, "cordon_sip_passports_dropped_total", c.why); c.why != "" && n != 1 || c.why == "" && n != 0 {
					t.Errorf("%v are counted as dropped", n)
				}
				w.refuse(in, 486)
			})
			if noted := strings.Contains(logged.String(), "why="+c.why) && strings.Contains(logged.String(), "PASSporT"); noted != (c.why != "") {
				t.Errorf("the log says:\n%s", logged.String())
			}
		})
	}
}

// counted is the value of a counter whose reason is that.
func counted(t *testing.T, reg *prometheus.Registry, name, reason string) (n float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "reason" && (reason == "" || l.GetValue() == reason) {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// The rules of a party are applied to what goes to it, and to nothing else.
func TestHeaderRulesOfAParty(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[1].Headers = []string{"X-Keep", "X-Drop", "X-Leak"}
		c.Parties[1].Cross.Rules = []header.Rule{{Add: "X-Site", Value: "fra 1"}, {Rename: "X-A", To: "X-B"}, {Drop: "X-Drop"}}
	}, func(w *world) {
		sent := []string{"X-Keep: k", "X-Drop: d", "X-A: a", "X-Leak: via 10.1.0.1", "X-Site: theirs"}
		check := func(what string, m msg.Message, want bool) {
			t.Helper()
			got := fmt.Sprintf("%s|%s|%s|%s|%s|%s", value(m, "x-keep"), value(m, "x-drop"), value(m, "x-a"), value(m, "x-b"), value(m, "x-leak"), value(m, "x-site"))
			if exp := map[bool]string{true: "k|||a||fra 1", false: "|||||"}[want]; got != exp {
				t.Errorf("%s: %s, want %s", what, got, exp)
			}
		}
		w.carrier.invite("rules", w.carrier.sdp, sent...)
		in := w.fra.request(msg.INVITE)
		check("INVITE", in, true)
		w.fra.reply(in, 200, w.fra.sdp, sent...)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		check("200", ok, false)
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "INFO", 2, "", sent...)
		info := w.fra.request(msg.INFO)
		check("INFO", info, true)
		w.fra.reply(info, 200, "")
		w.carrier.status(200)
		w.end(ok, 3)
	})
}

const isupPart = "\x01\x11\x48\x00\x0a\x03"

func multipartOf(sdp string) (kind, body string) {
	return "Content-Type: multipart/mixed;boundary=zz", "--zz\r\nContent-Type: application/sdp\r\n\r\n" + sdp + "\r\n--zz\r\nContent-Type: application/isup;version=itu-t92+;base=itu-t92+\r\n" +
		"Content-Disposition: signal;handling=optional\r\nContent-ID: <1@10.1.0.1>\r\n\r\n" + isupPart + "\r\n--zz\r\nContent-Type: text/plain\r\n\r\nat 10.1.0.1\r\n--zz--\r\n"
}

// mixed writes a message whose multipart body holds sdp, ISUP and text.
func mixed(raw, sdp string) string {
	kind, body := multipartOf(sdp)
	head, _, _ := strings.Cut(raw, "Content-Length:")
	return head + kind + "\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

// Of a multipart body the session description crosses, and what the party lists.
//
// Conforms: RFC 3204 section 3.1; RFC 5621 section 8.2
func TestFurtherBodies(t *testing.T) {
	for _, types := range [][]string{nil, {"application/isup"}} {
		run(t, func(c *Config) { c.Parties[0].Cross.Bodies, c.Parties[1].Cross.Bodies = types, types }, func(w *world) {
			check := func(m msg.Message) {
				t.Helper()
				body := string(m.Body())
				if strings.Contains(body, isupPart) != (types != nil) || strings.Contains(body, "text/plain") || strings.Contains(body, "Content-ID") {
					t.Errorf("%s", m)
				}
				if sdp, ok := bodySDP(m); !ok || !strings.Contains(string(sdp), "10.0.0.1") {
					t.Errorf("no session description of ours:\n%s", m)
				}
			}
			w.carrier.write(mixed(w.carrier.compose("INVITE", "sip:+4930123@edge.example", "multi", 1, "", ""), w.carrier.sdp))
			in := w.fra.request(msg.INVITE)
			check(in)
			raw := rawReply(w.fra, in, 200, "")
			w.fra.write(mixed(raw, w.fra.sdp))
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			check(ok)
			w.carrier.within(ok, "ACK", 1, "")
			w.end(ok, 2)
		})
	}
}

// An INFO carries what says something of the call; other bodies cross where the party lists them, and none that names the other side.
//
// Conforms: RFC 6086 section 5; RFC 7332 section 4
func TestBodiesOfInfo(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Cross.Bodies = []string{"application/isup"} }, func(w *world) {
		ok, _ := w.up("info", "Recv-Info: foo")
		seq := 2
		send := func(kind, body string, hops int, want int) *msg.Request {
			t.Helper()
			raw := w.carrier.compose("INFO", "sip:x@10.0.0.1", "info", seq, ok.To().Params.GetOr("tag", ""), body, "Info-Package: foo;a=b;c=10.1.0.1")
			raw = strings.Replace(raw, "Content-Type: application/sdp", "Content-Type: "+kind, 1)
			w.carrier.write(strings.Replace(raw, "Max-Forwards: 70", "Max-Forwards: "+itoa(hops), 1))
			seq++
			var info *msg.Request
			if want == 200 {
				info = w.fra.request(msg.INFO)
				w.fra.reply(info, 200, "")
			}
			w.carrier.status(want)
			return info
		}
		info := send("application/dtmf-relay", "Signal=5\r\n", 70, 200)
		if value(info, "info-package") != "foo;a=b" || string(info.Body()) != "Signal=5\r\n" || info.MaxForwards().Val() != 69 {
			t.Errorf("%s", info)
		}
		send("application/isup;version=itu-t92+", isupPart, 2, 200)
		send("application/dtmf-relay", "Signal=5\r\nX=10.1.0.1\r\n", 70, 415)
		send("message/sipfrag", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.1.0.1\r\n", 70, 415)
		send("application/sdp", w.carrier.sdp, 70, 415)
		send("application/dtmf-relay", "Signal=5\r\n", 0, 483)
		w.fra.silent(time.Second)
		w.end(ok, seq)
	})
}

// Hops are counted down across the edge, the breadth of a search is kept, and a request that may go no further is refused.
//
// Conforms: RFC 7332 section 4; RFC 5393 section 5.3.3; RFC 3261 section 8.1.1.6; RFC 3261 section 8.2.2.2
func TestHopsAndBreadth(t *testing.T) {
	run(t, nil, func(w *world) {
		for hops, want := range map[int]uint32{1: 0, 70: 69, 200: 69} {
			id := "hops" + itoa(hops)
			raw := w.carrier.compose("INVITE", "sip:+4930123@edge.example", id, 1, "", w.carrier.sdp, "Max-Breadth: 7")
			w.carrier.write(strings.Replace(raw, "Max-Forwards: 70", "Max-Forwards: "+itoa(hops), 1))
			in := w.fra.request(msg.INVITE)
			if got := in.MaxForwards().Val(); got != want || value(in, "max-breadth") != "7" {
				t.Errorf("Max-Forwards %d became %d, want %d; Max-Breadth %q", hops, got, want, value(in, "max-breadth"))
			}
			w.refuse(in, 486)
		}
		w.carrier.invite("breadth", w.carrier.sdp, "Max-Breadth: 0")
		w.carrier.write(ackFor(w.carrier, w.carrier.status(440), "breadth"))
		w.carrier.write(strings.Replace(w.carrier.compose("INVITE", "sip:1@edge", "spent", 1, "", w.carrier.sdp), "Max-Forwards: 70", "Max-Forwards: 0", 1))
		w.carrier.write(ackFor(w.carrier, w.carrier.status(483), "spent"))
		w.fra.silent(time.Second)
		// A re-INVITE goes on, so it is counted, too.
		ok, _ := w.up("re")
		raw := w.carrier.compose("INVITE", "sip:x@10.0.0.1", "re", 2, ok.To().Params.GetOr("tag", ""), strings.Replace(w.carrier.sdp, "30000", "31000", 1))
		w.carrier.write(strings.Replace(raw, "Max-Forwards: 70", "Max-Forwards: 5", 1))
		re := w.fra.request(msg.INVITE)
		if got := re.MaxForwards().Val(); got != 4 {
			t.Errorf("Max-Forwards of the re-INVITE %d", got)
		}
		w.fra.reply(re, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 2, "")
		w.carrier.within(ok, "BYE", 3, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		time.Sleep(time.Second)
	})
}

// Where the caller is and how urgent it is goes to the trunk that carries calls for help, by value with a name of ours, and with no other call.
//
// Conforms: RFC 6442 section 4.1; RFC 4412 section 3.1; RFC 6881 section 9.2
func TestLocationOfACallForHelp(t *testing.T) {
	for name, purpose := range map[string]sovereign.Purpose{"help": sovereign.EmergencyCall, "any other call": sovereign.Production} {
		t.Run(name, func(t *testing.T) {
			run(t, func(c *Config) { c.Parties[1].Kind = sovereign.KindTrunk }, func(w *world) {
				w.plan = func(routing.Request) routing.Plan {
					return routing.Plan{Route: "r", Direction: routing.Outbound, Hops: w.hops[:1], Purpose: purpose, Digest: "d"}
				}
				const pidf = "<presence>51.5 -0.1</presence>"
				body := "--zz\r\nContent-Type: application/sdp\r\n\r\n" + w.carrier.sdp + "\r\n--zz\r\nContent-Type: application/pidf+xml\r\nContent-ID: <here@10.1.0.1>\r\n\r\n" + pidf + "\r\n--zz--\r\n"
				raw := w.carrier.compose("INVITE", "sip:112@edge.example", "help", 1, "", "", "Geolocation: <cid:here@10.1.0.1>;inserted-by=10.1.0.1, <https://lis.example/7>",
					"Geolocation-Routing: Yes", "Resource-Priority: esnet.0", "Privacy: id", "Content-Type: multipart/mixed;boundary=zz")
				w.carrier.write(strings.Replace(raw, "Content-Length: 0\r\n\r\n", "Content-Length: "+itoa(len(body))+"\r\n\r\n"+body, 1))
				in := w.fra.request(msg.INVITE)
				got := strings.Join(append(values(in, "geolocation"), value(in, "geolocation-routing"), value(in, "resource-priority")), "|")
				help := purpose == sovereign.EmergencyCall
				want := map[bool]string{true: "<cid:place0@fra.example>|<https://lis.example/7>|yes|esnet.0", false: "|"}[help]
				if got != want {
					t.Errorf("%s, want %s", got, want)
				}
				if s := string(in.Body()); strings.Contains(s, pidf) != help || help != strings.Contains(s, "Content-ID: <place0@fra.example>") {
					t.Errorf("body:\n%s", s)
				}
				// Directive 2002/58/EC Art. 10(b): who answers sees who calls.
				if hidden := in.From().Address.Host == anonymousHost; hidden == help {
					t.Errorf("From %s", in.From())
				}
				w.refuse(in, 486)
			})
		})
	}
}
