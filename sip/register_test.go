package sip

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/digest"
	"github.com/cordonsip/cordon/sip/registration"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

func secret(s string) func() string { return func() string { return s } }

// senses is what health hears and says in these tests.
type senses struct {
	mu       sync.Mutex
	table    *healthcheck.Table
	bound    map[string][]healthcheck.Bound
	enrolled map[string]string
}

func (s *senses) bind(party string, list []healthcheck.Bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound[party] = list
}

func (s *senses) enrol(target string, ok bool, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enrolled[target] = fmt.Sprint(ok, " ", why)
}

func (s *senses) says(target string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enrolled[target]
}

func (s *senses) of(party string) []healthcheck.Bound {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound[party]
}

func (s *senses) show() *healthcheck.Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table
}

func (s *senses) set(t ...healthcheck.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = &healthcheck.Table{ByParty: map[string][]healthcheck.Status{}}
	for _, x := range t {
		s.table.ByParty[x.Party] = append(s.table.ByParty[x.Party], healthcheck.Status{Target: x})
	}
}

func feel() *senses {
	return &senses{table: &healthcheck.Table{}, bound: map[string][]healthcheck.Bound{}, enrolled: map[string]string{}}
}

func (s *senses) tune(also func(c *Config)) func(*Config) {
	return func(c *Config) {
		c.Table, c.Bind, c.Enrolled = s.show, s.bind, s.enrol
		also(c)
	}
}

func partyOf(c *Config, name string) *Party {
	for i := range c.Parties {
		if c.Parties[i].Name == name {
			return &c.Parties[i]
		}
	}
	panic(name)
}

// register sends a REGISTER as fra.
func (p *peer) register(callID string, seq int, more ...string) string {
	p.w.t.Helper()
	b := &strings.Builder{}
	fmt.Fprintf(b, "REGISTER sip:edge.example SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s%d;rport\r\nMax-Forwards: 70\r\nFrom: <sip:edge1@edge.example>;tag=r\r\nTo: <sip:edge1@edge.example>\r\nCall-ID: %s\r\nCSeq: %d REGISTER\r\n",
		p.at, rand.Text()[:10], seq, callID, seq)
	for _, h := range more {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	p.write(b.String())
	return b.String()
}

// answer gives the Authorization line for a 401 or 407 to a request.
func answer(t *testing.T, res *msg.Response, c *digest.Client, method, uri string, body string) string {
	t.Helper()
	list, err := c.Answer(&digest.Round{}, challenges(res), digest.Request{Method: method, URI: uri, Body: []byte(body)})
	if err != nil || len(list) != 1 {
		t.Fatalf("no answer to %s: %v", res, err)
	}
	return list[0].Name() + ": " + list[0].Value
}

func registering(c *Config) {
	p := partyOf(c, "fra")
	p.Registers = true
	p.Challenge = &Challenge{Realm: digest.Realm{Name: "edge.example", Users: map[string]func() string{"edge1": secret("good")}}}
}

// Conforms: RFC 3261 section 10.3; RFC 3261 section 22.4; RFC 8760 section 2.3
func TestAnEdgeRegistersWithDigest(t *testing.T) {
	s := feel()
	run(t, s.tune(registering), func(w *world) {
		contact := "Contact: <sip:edge1@10.2.0.1:5060>;q=0.7"
		w.fra.register("r1", 1, contact, "Expires: 300")
		res := w.fra.status(401)
		if got := challenges(res); len(got) != 2 || got[0].Algorithm != digest.SHA512 || got[1].Algorithm != digest.SHA256 || got[0].Stale {
			t.Fatalf("%+v", got)
		}
		cred := &digest.Client{User: "edge1", Password: secret("good")}
		auth := answer(t, res, cred, "REGISTER", "sip:edge.example", "")
		w.fra.register("r1", 2, contact, "Expires: 300", auth)
		ok := w.fra.status(200)
		if got := value(ok, "contact"); got != "<sip:edge1@10.2.0.1:5060>;expires=300" || value(ok, "date") != "Sat, 21 Nov 2026 12:00:00 GMT" {
			t.Errorf("%q %q", got, value(ok, "date"))
		}
		if got := s.of("fra"); len(got) != 1 || got[0].Addr != fraAddr || got[0].Name != "10.2.0.1" || got[0].Priority != 300 {
			t.Errorf("%+v", got)
		}
		// The same credentials once more are a replay: asked again, as stale.
		w.fra.register("r1", 3, contact, auth)
		if got := challenges(w.fra.status(401)); !got[0].Stale {
			t.Error("not stale")
		}
		next := credentialHeaders(cred.Known(digest.Request{Method: "REGISTER", URI: "sip:edge.example"}))[0]
		w.fra.register("r1", 4, "Contact: <sip:edge1@10.2.0.1:5060>;expires=5", next.String())
		if got := value(w.fra.status(423), "min-expires"); got != "60" {
			t.Error(got)
		}
		time.Sleep(301 * time.Second)
		synctest.Wait()
		if got := s.of("fra"); len(got) != 0 {
			t.Errorf("the binding did not end: %+v", got)
		}
	})
}

// Conforms: RFC 3261 section 10.3; RFC 3327 section 5.3; RFC 3261 section 10.2.2
func TestARegistrationIsRefusedWithTheRightWord(t *testing.T) {
	s := feel()
	run(t, s.tune(func(c *Config) { partyOf(c, "fra").Registers = true }), func(w *world) {
		for name, row := range map[string]struct {
			more   []string
			status int
		}{
			"a denied place":   {[]string{"Contact: <sip:e@10.66.0.1:5060>"}, 403},
			"an unknown place": {[]string{"Contact: <sip:e@198.51.100.1>"}, 403},
			"behind a NAT":     {[]string{"Contact: <sip:e@192.168.1.1>"}, 200},
			"a path":           {[]string{"Contact: <sip:e@10.2.0.1>", "Require: path"}, 420},
			"a star":           {[]string{"Contact: *", "Expires: 0"}, 200},
			"a star with time": {[]string{"Contact: *", "Expires: 60"}, 400},
			"no contact":       {nil, 200},
			"a telephone":      {[]string{"Contact: <tel:+491>"}, 400},
		} {
			w.fra.register("r"+strings.ReplaceAll(name, " ", ""), 1, row.more...)
			if res, ok := w.fra.read(time.Second).(*msg.Response); !ok || res.StatusCode != row.status {
				t.Errorf("%s: %s, want %d", name, text(res), row.status)
			}
		}
		for _, p := range w.sentTo(iadAddr.Addr()) {
			t.Errorf("something was sent to a denied place: %q", p)
		}
		// Who may not register hears that.
		w.zrh.register("z", 1, "Contact: <sip:z@10.3.0.1>")
		w.zrh.status(405)
		w.edge.draining.Store(true)
		w.fra.register("late", 1, "Contact: <sip:e@10.2.0.1>")
		if got := value(w.fra.status(503), "retry-after"); got != "30" {
			t.Error(got)
		}
	})
}

// sentTo gives what left for an address.
func (w *world) sentTo(a netip.Addr) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.packets {
		if p.To.Addr() == a && p.From.Addr() == edgeAddr.Addr() {
			out = append(out, string(p.Data))
		}
	}
	return out
}

// Conforms: RFC 3261 section 10.1; RFC 3261 section 16.5
func TestCallsGoToWhatRegistered(t *testing.T) {
	s := feel()
	run(t, s.tune(func(c *Config) { partyOf(c, "fra").Registers = true }), func(w *world) {
		target := healthcheck.Target{Party: "fra", Member: healthcheck.Registered, Name: "pbx.example", Transport: "udp", Addr: fraAddr}
		w.hops = w.hops[:1]
		w.hops[0].Target = target
		w.carrier.invite("early", w.carrier.sdp)
		w.carrier.acknowledge("early", w.carrier.status(480)) // nobody registered: there is no way
		w.fra.silent(time.Second)

		w.fra.register("r1", 1, "Contact: <sip:edge1@pbx.example:5070>")
		w.fra.status(200)
		w.carrier.invite("c1", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		if u := in.Recipient; u.User != "+4930123" || u.Host != "pbx.example" || u.Port != 5070 {
			t.Errorf("the request URI is %s", u.String())
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)

		// A reload keeps the binding, unless the party may not register any more.
		list := []Party{*w.edge.profiles.Load().byName["fra"], *w.edge.profiles.Load().byName["carrier"]}
		if err := w.edge.Reload(list); err != nil || len(s.of("fra")) != 1 {
			t.Error(err, s.of("fra"))
		}
		list[0].Registers = false
		if err := w.edge.Reload(list); err != nil || len(s.of("fra")) != 0 {
			t.Error(err, s.of("fra"))
		}
	})
}

// Conforms: RFC 3261 section 22.2; RFC 3261 section 22.1; RFC 6881 section 9
func TestCallsOfAGuardedPartyAreChallenged(t *testing.T) {
	guarded := func(c *Config) {
		partyOf(c, "carrier").Challenge = &Challenge{Realm: digest.Realm{Name: "calls", Users: map[string]func() string{"u": secret("p")}}, Proxy: true}
	}
	run(t, guarded, func(w *world) {
		w.carrier.invite("c1", w.carrier.sdp)
		res := w.carrier.status(407)
		w.carrier.acknowledge("c1", res)
		w.fra.silent(time.Second)
		auth := answer(t, res, &digest.Client{User: "u", Password: secret("p")}, "INVITE", "sip:+4930123@edge.example", w.carrier.sdp)
		w.carrier.write(w.carrier.compose("INVITE", "sip:+4930123@edge.example", "c1", 2, "", w.carrier.sdp, auth))
		in := w.fra.request(msg.INVITE)
		if strings.Contains(in.String(), "uthorization") {
			t.Error("the credentials crossed")
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		w.carrier.write(w.carrier.compose("SUBSCRIBE", "sip:edge.example", "s1", 1, "", ""))
		w.carrier.read(0)
		w.carrier.write(w.carrier.compose("OPTIONS", "sip:edge.example", "o1", 1, "", ""))
		for _, want := range []int{407, 200} {
			for {
				res, ok := w.carrier.read(time.Second).(*msg.Response)
				if !ok {
					t.Fatal("nothing came instead of", want)
				}
				if res.StatusCode == want {
					break
				}
			}
		}
	})
}

// Conforms: RFC 7616 section 5.8
func TestGuessingAPasswordIsMetWithSilenceInTheEnd(t *testing.T) {
	s := feel()
	run(t, s.tune(registering), func(w *world) {
		bad := &digest.Client{User: "edge1", Password: secret("guess")}
		var waits []time.Duration
		for i := range 12 {
			w.fra.register("q", 2*i+1)
			res, ok := w.fra.read(40 * time.Second).(*msg.Response)
			if !ok {
				t.Fatal("a request without credentials was not answered, round", i)
			}
			auth := answer(t, res, bad, "REGISTER", "sip:edge.example", "")
			began := time.Now()
			w.fra.register("q", 2*i+2, auth)
			again := w.fra.read(40 * time.Second)
			if res, ok := again.(*msg.Response); ok && res.StatusCode == 100 { // RFC 4320 section 4.1
				again = w.fra.read(40 * time.Second)
			}
			if again == nil {
				break
			}
			waits = append(waits, time.Since(began).Round(time.Second))
		}
		if got, want := fmt.Sprint(waits), "[0s 0s 0s 1s 2s 4s 8s]"; got != want {
			t.Errorf("answered after %s, want %s", got, want)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		counted := uint64(0)
		for _, e := range entries[audit.IngressRefused](w, audit.KindIngressRefused) {
			if e.Ground != string(groundCredentials) || e.Trunk != "fra" || strings.Contains(e.Why, "edge1") {
				t.Errorf("%+v", e)
			}
			counted += e.Count
		}
		if counted != 8 {
			t.Error("logged", counted, "wrong passwords")
		}
	})
}

var trunk = healthcheck.Target{Party: "carrier", Member: "m1", Name: "reg.carrier.example", Transport: "udp", Addr: carrierAddr}

func trunked(spec Register) func(*Config) {
	return func(c *Config) {
		p := partyOf(c, "carrier")
		p.Register = &spec
		p.Auth = &Credentials{User: "user", Password: secret("pass")}
	}
}

var plainTrunk = Register{AOR: "sip:trunk1@carrier.example", ContactUser: "4969"}

// Conforms: RFC 3261 section 10.2; RFC 3261 section 10.2.4; RFC 3261 section 10.2.8; RFC 7616 section 3.5; RFC 3261 section 10.2.2
func TestATrunkIsRegisteredWithAndKept(t *testing.T) {
	s := feel()
	s.set(trunk)
	run(t, s.tune(trunked(plainTrunk)), func(w *world) {
		req := w.carrier.request(msg.REGISTER)
		if req.Recipient.String() != "sip:carrier.example" || req.To().Address.String() != "sip:trunk1@carrier.example" || value(req, "expires") != "3600" ||
			req.Contact().Address.String() != "sip:4969@10.0.0.1:5060" || len(values(req, "authorization")) != 0 || value(req, "require") != "" {
			t.Errorf("%s", req)
		}
		w.carrier.reply(req, 401, "", `WWW-Authenticate: Digest realm="c", nonce="1", qop="auth", algorithm=SHA-256`, `WWW-Authenticate: Digest realm="c", nonce="2", qop="auth"`)
		again := w.carrier.request(msg.REGISTER)
		if again.CSeq().SeqNo != 2 || again.CallID().Value() != req.CallID().Value() || !strings.Contains(value(again, "authorization"), "algorithm=SHA-256") {
			t.Errorf("%s", again)
		}
		w.carrier.reply(again, 423, "", "Min-Expires: 7200")
		longer := w.carrier.request(msg.REGISTER)
		if value(longer, "expires") != "7200" || !strings.Contains(value(longer, "authorization"), "nc=00000002") {
			t.Errorf("%s", longer)
		}
		began := time.Now()
		w.carrier.reply(longer, 200, "", "Contact: <sip:other@10.9.9.9>;expires=1", "Contact: <sip:4969@10.0.0.1:5060>;expires=1000", `Authentication-Info: nextnonce="n3"`)
		synctest.Wait()
		if got := s.says(trunk.ID()); !strings.HasPrefix(got, "true registered until") {
			t.Error(got)
		}
		if v := w.edge.Registrations(); len(v) != 1 || v[0].State != "registered" || !v[0].Until.Equal(began.Add(1000*time.Second)) {
			t.Errorf("%+v", v)
		}
		refresh := w.slow(w.carrier, msg.REGISTER, 2000*time.Second)
		if after := time.Since(began); after < 500*time.Second || after > 902*time.Second {
			t.Error("refreshed after", after)
		}
		if a := value(refresh, "authorization"); !strings.Contains(a, `nonce="n3"`) || !strings.Contains(a, "nc=00000001") {
			t.Error("the next nonce is not used:", a)
		}
		w.carrier.reply(refresh, 200, "", "Expires: 300")
		// Stale is no failure.
		refresh = w.slow(w.carrier, msg.REGISTER, 300*time.Second)
		w.carrier.reply(refresh, 401, "", `WWW-Authenticate: Digest realm="c", nonce="4", qop="auth", algorithm=SHA-256, stale=true`)
		w.carrier.reply(w.carrier.request(msg.REGISTER), 200, "", "Expires: 3600")
		synctest.Wait()
		// The end takes the binding back.
		w.edge.shards[0].loop.Post(w.edge.registrants.stop)
		last := w.carrier.request(msg.REGISTER)
		if value(last, "expires") != "0" || len(values(last, "authorization")) != 1 {
			t.Errorf("%s", last)
		}
		w.carrier.reply(last, 200, "")
	})
}

// acknowledge sends the ACK for a refusal of the first INVITE of a call.
func (p *peer) acknowledge(callID string, res *msg.Response) {
	p.w.t.Helper()
	raw := p.compose("ACK", "sip:+4930123@edge.example", callID, 1, res.To().Params.GetOr("tag", ""), "")
	p.write(strings.Replace(raw, callID+"ACK1", callID+"INVITE1", 1))
}

// slow waits long for a request.
func (w *world) slow(p *peer, method msg.RequestMethod, d time.Duration) *msg.Request {
	w.t.Helper()
	r, ok := p.read(d).(*msg.Request)
	if !ok || r.Method != method {
		w.t.Fatalf("want %s within %v", method, d)
	}
	return r
}

// Conforms: RFC 6140 section 5.1; RFC 3608 section 5; RFC 3608 section 6.1
func TestGINAndTheServiceRoute(t *testing.T) {
	s := feel()
	s.set(trunk)
	run(t, s.tune(trunked(Register{AOR: "sip:pbx@carrier.example", GIN: true})), func(w *world) {
		req := w.carrier.request(msg.REGISTER)
		if c := req.Contact().Address.String(); c != "sip:10.0.0.1:5060;bnc" || value(req, "require") != "gin" || value(req, "proxy-require") != "gin" || !lists(req, "supported", "path") {
			t.Errorf("%s", req)
		}
		w.carrier.reply(req, 200, "", "Contact: <sip:10.0.0.1:5060;bnc>;expires=600", "Service-Route: <sip:10.1.0.9;lr>, <sip:reg.carrier.example;lr>", "Path: <sip:10.66.0.1;lr>")
		synctest.Wait()
		route := func() []string {
			w.hops = []routing.Hop{w.hop("carrier", carrierAddr)}
			w.hops[0].Target = trunk
			w.zrh.invite("out"+rand.Text()[:6], w.zrh.sdp)
			in := w.carrier.request(msg.INVITE)
			w.carrier.reply(in, 486, "")
			w.carrier.request(msg.ACK)
			w.zrh.status(486)
			return values(in, "route")
		}
		if got := route(); len(got) != 2 || got[0] != "<sip:10.1.0.9;lr>" || got[1] != "<sip:reg.carrier.example;lr>" {
			t.Errorf("%q", got)
		}
		for name, sr := range map[string]string{"denied": "<sip:10.66.0.1;lr>", "a name": "<sip:elsewhere.example;lr>", "one of two": "<sip:10.1.0.9;lr>, <sip:10.66.0.1;lr>", "strict": "<sip:10.1.0.9>"} {
			refresh := w.slow(w.carrier, msg.REGISTER, 600*time.Second)
			w.carrier.reply(refresh, 200, "", "Expires: 600", "Service-Route: "+sr)
			synctest.Wait()
			if got := route(); len(got) != 0 {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
}

// Conforms: RFC 3261 section 10.2.7; RFC 5626 section 4.5
func TestATrunkThatDoesNotTakeUsOnIsNotUsed(t *testing.T) {
	s := feel()
	s.set(trunk)
	run(t, s.tune(trunked(plainTrunk)), func(w *world) {
		w.carrier.reply(w.carrier.request(msg.REGISTER), 403, "")
		synctest.Wait()
		if got := s.says(trunk.ID()); got != "false registration failed: 403 since 12:00:00Z" {
			t.Error(got)
		}
		w.carrier.silent(14 * time.Minute)
		// Who mends the configuration need not wait.
		if err := w.edge.Reload([]Party{*w.edge.profiles.Load().byName["carrier"]}); err != nil {
			t.Fatal(err)
		}
		req := w.slow(w.carrier, msg.REGISTER, 10*time.Second)
		w.carrier.reply(req, 401, "", `WWW-Authenticate: Digest realm="c", nonce="1", qop="auth"`)
		w.carrier.reply(w.carrier.request(msg.REGISTER), 401, "", `WWW-Authenticate: Digest realm="c", nonce="2", qop="auth"`)
		synctest.Wait()
		if v := w.edge.Registrations(); v[0].State != "refused" || v[0].Why != "registration failed: 401" {
			t.Errorf("%+v", v)
		}
		req = w.slow(w.carrier, msg.REGISTER, 31*time.Minute)
		w.carrier.reply(req, 503, "", "Retry-After: 100")
		began := time.Now()
		req = w.slow(w.carrier, msg.REGISTER, 200*time.Second)
		if d := time.Since(began); d < 100*time.Second || d > 112*time.Second {
			t.Error("after 503:", d)
		}
		w.carrier.reply(req, 200, "", "Expires: 600")
		began = time.Now()
		// Silence ends the binding when its time is over, and not before.
		time.Sleep(599 * time.Second)
		synctest.Wait()
		if got := s.says(trunk.ID()); !strings.HasPrefix(got, "true") {
			t.Error(time.Since(began), got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := s.says(trunk.ID()); !strings.HasPrefix(got, "false registration failed: no answer since ") {
			t.Error(got)
		}
	})
}

func TestNothingIsRegisteredWhereThePolicyDoesNotPermitIt(t *testing.T) {
	s, abroad := feel(), healthcheck.Target{Party: "iad", Member: "m1", Name: "iad.example", Transport: "udp", Addr: iadAddr}
	s.set(abroad)
	grant := sovereign.Grant{}
	run(t, s.tune(func(c *Config) { partyOf(c, "iad").Register = &plainTrunk }), func(w *world) {
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if sent := w.sentTo(iadAddr.Addr()); len(sent) != 0 {
			t.Fatalf("%d packets to a held place", len(sent))
		}
		if got := s.says(abroad.ID()); !strings.HasPrefix(got, "false not registered: hold") {
			t.Error(got)
		}
		now := time.Now()
		grant = sovereign.Grant{ID: "live", Groups: []string{"iad"}, Regions: []sovereign.Region{region(t, "aws:us-east-1")}, NotBefore: now, Until: now.Add(time.Hour), Entry: 1}
		w.fence.Swap(testSnapshot(t, grant))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if len(w.sentTo(iadAddr.Addr())) == 0 {
			t.Error("a live grant opens the way")
		}
		w.fence.Swap(testSnapshot(t))
		time.Sleep(10 * time.Second)
		n := len(w.sentTo(iadAddr.Addr()))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(w.sentTo(iadAddr.Addr())) != n {
			t.Error("registered after the grant ended")
		}
	})
}

// Conforms: RFC 3261 section 10.2
func TestTargetsComeAndGo(t *testing.T) {
	s, second := feel(), trunk
	second.Member, second.Addr = "m2", netip.MustParseAddrPort("10.1.0.1:5080")
	s.set(trunk)
	run(t, s.tune(trunked(plainTrunk)), func(w *world) {
		w.carrier.reply(w.carrier.request(msg.REGISTER), 200, "", "Expires: 3600")
		s.set(trunk, second)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if v := w.edge.Registrations(); len(v) != 2 {
			t.Errorf("each target: %+v", v)
		}
		s.set()
		last := w.carrier.request(msg.REGISTER)
		if value(last, "expires") != "0" {
			t.Errorf("%s", last)
		}
		w.carrier.reply(last, 200, "")
		time.Sleep(time.Minute)
		if v := w.edge.Registrations(); len(v) != 0 {
			t.Errorf("%+v", v)
		}
	})
	one := plainTrunk
	one.OneTarget = true
	s = feel()
	s.set(trunk, second)
	run(t, s.tune(trunked(one)), func(w *world) {
		w.carrier.reply(w.carrier.request(msg.REGISTER), 200, "", "Expires: 3600")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for _, x := range []healthcheck.Target{trunk, second} {
			if got := s.says(x.ID()); !strings.HasPrefix(got, "true") {
				t.Error(x.ID(), got)
			}
		}
		for _, p := range w.sentTo(second.Addr.Addr()) {
			if strings.Contains(p, "10.1.0.1:5080") {
				t.Error("the second target was contacted, too")
			}
		}
	})
}

func TestProfilesOfRegistrationsAreChecked(t *testing.T) {
	for name, p := range map[string]Party{
		"no address of record": {Name: "x", Register: &Register{AOR: "carrier"}},
		"no user":              {Name: "x", Register: &Register{AOR: "sip:carrier.example"}},
		"no users":             {Name: "x", Challenge: &Challenge{Realm: digest.Realm{Name: "r"}}},
		"no realm":             {Name: "x", Challenge: &Challenge{Realm: digest.Realm{Users: map[string]func() string{"u": secret("p")}}}},
	} {
		if _, err := newProfiles([]Party{p}); err == nil {
			t.Error(name)
		}
	}
	if registration.Waiting.String() == "" {
		t.Error("a state without a word")
	}
}

// Of bindings behind one address the one that is called is taken: a call to the address of record goes to its Contact whole, any other number keeps its digits.
// Conforms: RFC 3261 section 16.5
func TestTheBindingThatIsCalledGivesTheRequestURI(t *testing.T) {
	s := feel()
	run(t, s.tune(func(c *Config) { partyOf(c, "fra").Registers = true }), func(w *world) {
		w.hops = w.hops[:1]
		w.hops[0].Target = healthcheck.Target{Party: "fra", Member: healthcheck.Registered, Name: "pbx.example", Transport: "udp", Addr: fraAddr}
		for i, contact := range []string{"<sip:x1@pbx1.example:5071;line=7>;q=0.9", "<sip:x2@pbx2.example:5072;line=8;maddr=192.0.2.1;transport=tcp>;q=0.1"} {
			user := fmt.Sprint("edge", i+1)
			w.fra.write(fmt.Sprintf("REGISTER sip:edge.example SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: <sip:%s@edge.example>;tag=r\r\n"+
				"To: <sip:%s@edge.example>\r\nCall-ID: r%s\r\nCSeq: 1 REGISTER\r\nContact: %s\r\nContent-Length: 0\r\n\r\n", fraAddr, user, user, user, user, contact))
			w.fra.status(200)
		}
		for called, want := range map[string]string{
			"edge1": "sip:x1@pbx1.example:5071;line=7", "edge2": "sip:x2@pbx2.example:5072;line=8", "x2": "sip:x2@pbx2.example:5072;line=8",
			"+4930123": "sip:+4930123@pbx1.example:5071;line=7",
		} {
			w.carrier.write(w.carrier.compose("INVITE", "sip:"+called+"@edge.example", "c"+called, 1, "", w.carrier.sdp))
			in := w.fra.request(msg.INVITE)
			if got := in.Recipient.String(); got != want {
				t.Errorf("%s is called as %s, want %s", called, got, want)
			}
			w.fra.reply(in, 486, "")
			w.fra.request(msg.ACK)
			w.carrier.ack(w.carrier.status(486))
		}
	})
}
