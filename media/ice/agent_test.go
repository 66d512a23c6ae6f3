package ice

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func agent(t testing.TB) (Agent, Credentials) {
	t.Helper()
	own := NewCredentials()
	a, err := New(own, "peer")
	if err != nil {
		t.Fatal(err)
	}
	return a, own
}

func TestCredentials(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		c := NewCredentials()
		if len(c.Ufrag) != 8 || len(c.Pwd) != 24 || !iceChars(c.Ufrag) || !iceChars(c.Pwd) || seen[c.Ufrag] || seen[c.Pwd] {
			t.Fatalf("credentials %q %q", c.Ufrag, c.Pwd)
		}
		seen[c.Ufrag], seen[c.Pwd] = true, true
		if strings.Contains(c.String(), c.Pwd) {
			t.Fatal("the password is shown")
		}
	}
	good := NewCredentials()
	for name, c := range map[string]Credentials{
		"none": {}, "short ufrag": {"abc", good.Pwd}, "short password": {good.Ufrag, good.Pwd[:21]}, "long ufrag": {strings.Repeat("a", 33), good.Pwd},
		"long password": {good.Ufrag, strings.Repeat("a", 33)}, "a colon": {"abc:", good.Pwd}, "a blank": {good.Ufrag, good.Pwd[:23] + " "},
	} {
		if _, err := New(c, "peer"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, peer := range []string{"abc", strings.Repeat("a", 257), "ab:cd"} {
		if _, err := New(good, peer); err == nil {
			t.Errorf("peer %q: taken", peer)
		}
	}
	if _, err := New(good, strings.Repeat("a", 256)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsAnswered(t *testing.T) {
	own := NewCredentials()
	plain := check(own, "peer", false)
	with := func(f func(r *request)) request { r := plain; f(&r); return r }
	for _, c := range []struct {
		name    string
		r       request
		what    What
		class   uint16
		code    int
		unknown int
	}{
		{name: "a check", r: plain, what: Checked, class: bindingSuccess},
		{name: "of a peer without roles", r: with(func(r *request) { r.role = 0 }), what: Checked, class: bindingSuccess},
		{name: "without a priority, as consent may be asked", r: with(func(r *request) { r.priority = 0 }), what: Checked, class: bindingSuccess},
		{name: "a nomination", r: with(func(r *request) { r.use = true }), what: Nominated, class: bindingSuccess},
		{name: "of a peer that is led", r: with(func(r *request) { r.role = attrControlled }), what: Conflict, class: bindingError, code: 487},
		{name: "unknown attribute", r: with(func(r *request) { r.extra = attribute(nil, 0x7ffe, nil) }), what: Failed, class: bindingError, code: 420, unknown: 1},
		{
			name: "many unknown attributes", r: with(func(r *request) {
				for i := range 10 {
					r.extra = attribute(r.extra, 0x7ff0+uint16(i), nil)
				}
			}), what: Failed, class: bindingError, code: 420, unknown: maxUnknown,
		},
		{name: "optional attribute", r: with(func(r *request) { r.extra = attribute(nil, 0xc057, []byte("netw")) }), what: Checked, class: bindingSuccess},
		{name: "no integrity", r: with(func(r *request) { r.noIntegrity = true }), what: Forged},
		{name: "wrong integrity", r: with(func(r *request) { r.badIntegrity = true }), what: Forged},
		{name: "another password", r: with(func(r *request) { r.pwd = NewCredentials().Pwd }), what: Forged},
		{name: "the peer's own direction of the name", r: with(func(r *request) { r.name = "peer:" + own.Ufrag }), what: Forged},
		{name: "another peer's name", r: with(func(r *request) { r.name = own.Ufrag + ":pear" }), what: Forged},
		{name: "more than the peer's name", r: with(func(r *request) { r.name += "s" }), what: Forged},
		{name: "no colon", r: with(func(r *request) { r.name = own.Ufrag }), what: Forged},
		{name: "no name", r: with(func(r *request) { r.name = "" }), what: Forged},
		{name: "no fingerprint", r: with(func(r *request) { r.noPrint = true }), what: Forged},
		{name: "wrong fingerprint", r: with(func(r *request) { r.badPrint = true }), what: Forged},
		{name: "an indication", r: with(func(r *request) { r.class = 0x0011 }), what: Ignored},
		{name: "a response", r: with(func(r *request) { r.class = bindingSuccess }), what: Ignored},
		{name: "another method", r: with(func(r *request) { r.class = 0x0003 }), what: Ignored},
	} {
		a, _ := New(own, "peer")
		before := a
		in := c.r.bytes()
		out, e := a.Handle(time.Second, in, peerTwo, make([]byte, ReplyLen))
		if e.What != c.what || e.From != peerTwo || a != before {
			t.Errorf("%s: %d from %v, not %d; the agent is %v changed", c.name, e.What, e.From, c.what, a != before)
		}
		if c.class == 0 {
			if len(out) > 0 {
				t.Errorf("%s: answered with %x", c.name, out)
			}
			continue
		}
		// Nobody gets noticeably more than he sent.
		if len(out) > ReplyLen || len(out) > len(in)+24 || c.class == bindingSuccess && c.r.priority != 0 && len(out) > len(in) {
			t.Errorf("%s: %d octets answered with %d", c.name, len(in), len(out))
		}
		r := readResponse(t, out, own.Pwd)
		if r.class != c.class || r.code != c.code || len(r.unknown) != c.unknown || c.code == 0 && r.mapped != peerTwo {
			t.Errorf("%s: response %+v", c.name, r)
		}
	}
}

// Checks may come before the description that has the peer's name in it.
func TestChecksBeforeTheAnswer(t *testing.T) {
	own := NewCredentials()
	a, err := New(own, "")
	if err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, ReplyLen)
	if _, e := a.Handle(0, check(own, "early", false).bytes(), peerOne, reply); e.What != Checked {
		t.Errorf("early: %d", e.What)
	}
	if err := a.Meet("peer"); err != nil {
		t.Fatal(err)
	}
	if _, e := a.Handle(0, check(own, "early", false).bytes(), peerOne, reply); e.What != Forged {
		t.Errorf("of somebody else: %d", e.What)
	}
	if _, e := a.Handle(0, check(own, "peer", false).bytes(), peerOne, reply); e.What != Checked {
		t.Errorf("of the peer: %d", e.What)
	}
}

func TestNothingIsNominatedWithoutTheCaller(t *testing.T) {
	a, own := agent(t)
	reply := make([]byte, ReplyLen)
	var last Event
	for range 3 {
		if _, last = a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply); last.What != Nominated || last.Priority != priorityOfHost {
			t.Fatalf("event %+v", last)
		}
		if a.Nominated().IsValid() {
			t.Fatal("nominated before anybody agreed")
		}
	}
	a.Agree(0, last)
	if a.Nominated() != peerOne {
		t.Errorf("nominated %v", a.Nominated())
	}
	// The same nomination again is no news.
	if out, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply); e.What != Checked || len(out) == 0 {
		t.Errorf("again: %d", e.What)
	}
}

func TestARefusedAddressGetsNoAnswer(t *testing.T) {
	a, own := agent(t)
	reply := make([]byte, ReplyLen)
	_, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply)
	a.Refuse(e.From)
	for _, use := range []bool{true, false} {
		if out, e := a.Handle(0, check(own, "peer", use).bytes(), peerOne, reply); e.What != Shunned || len(out) > 0 {
			t.Errorf("%d, and %d octets answered", e.What, len(out))
		}
	}
	if out, e := a.Handle(0, check(own, "peer", true).bytes(), netip.MustParseAddrPort("[::ffff:198.51.100.7]:5000"), reply); e.What != Shunned || len(out) > 0 {
		t.Errorf("written as IPv6: %d", e.What)
	}
	if _, e := a.Handle(0, check(own, "peer", true).bytes(), peerTwo, reply); e.What != Nominated {
		t.Errorf("another address: %d", e.What)
	}
	a.Forgive()
	if _, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply); e.What != Nominated {
		t.Errorf("after forgiveness: %d", e.What)
	}
}

// The law may change under a running session: who was nominated is then refused, and nothing is sent there.
func TestTheNominatedAddressIsRefused(t *testing.T) {
	a, own := agent(t)
	_, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, make([]byte, ReplyLen))
	a.Agree(0, e)
	a.Refuse(peerOne)
	if a.Nominated().IsValid() || a.Lapsed(time.Hour) {
		t.Errorf("nominated %v, lapsed %v", a.Nominated(), a.Lapsed(time.Hour))
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	a, _ := agent(t)
	for port := range uint16(1000) {
		a.Refuse(netip.AddrPortFrom(peerOne.Addr(), 1000+port))
		a.Refuse(netip.AddrPortFrom(peerOne.Addr(), 1000+port)) // takes no second place
	}
	for port := range uint16(1000) {
		if got, want := a.shuns(seatOf(netip.AddrPortFrom(peerOne.Addr(), 1000+port))), port >= 1000-refusals; got != want {
			t.Fatalf("port %d is shunned: %v", 1000+port, got)
		}
	}
}

// Which of several nominated addresses is meant, and when that is news.
func TestSeveralNominations(t *testing.T) {
	for _, c := range []struct {
		name     string
		priority uint32
		after    time.Duration
		what     What
	}{
		{"a better one", priorityOfHost + 1, 0, Nominated},
		{"one as good, as when a NAT has moved it", priorityOfHost, 0, Nominated},
		{"a worse one", priorityOfHost - 1, yields - 1, Checked},
		{"a worse one when the better one is no longer named", priorityOfHost - 1, yields, Nominated},
	} {
		a, own := agent(t)
		reply := make([]byte, ReplyLen)
		_, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply)
		a.Agree(0, e)
		r := check(own, "peer", true)
		r.priority = c.priority
		if _, e = a.Handle(c.after, r.bytes(), peerTwo, reply); e.What != c.what {
			t.Errorf("%s: %d", c.name, e.What)
		}
		if e.What == Nominated {
			a.Agree(c.after, e)
			if a.Nominated() != peerTwo {
				t.Errorf("%s: nominated %v", c.name, a.Nominated())
			}
		}
	}
}

// A peer that names all pairs goes on naming the best one, and the others don't get in between.
func TestABetterPairThatIsStillNamedStays(t *testing.T) {
	a, own := agent(t)
	reply := make([]byte, ReplyLen)
	_, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply)
	a.Agree(0, e)
	worse := check(own, "peer", true)
	worse.priority--
	for at := time.Duration(0); at < time.Minute; at += 3 * time.Second {
		if _, e := a.Handle(at, check(own, "peer", true).bytes(), peerOne, reply); e.What != Checked {
			t.Fatalf("after %v: the better one is %d", at, e.What)
		}
		if _, e := a.Handle(at, worse.bytes(), peerTwo, reply); e.What != Checked {
			t.Fatalf("after %v: the worse one is %d", at, e.What)
		}
	}
}

func TestConsent(t *testing.T) {
	a, own := agent(t)
	reply := make([]byte, ReplyLen)
	if a.Lapsed(time.Hour) {
		t.Error("nobody is nominated, and consent has lapsed")
	}
	now := 7 * time.Second
	_, e := a.Handle(now, check(own, "peer", true).bytes(), peerOne, reply)
	a.Agree(now, e)
	if a.Renews() {
		t.Error("renewed by its nomination")
	}
	// A check each 5 s, none of which nominates.
	for range 10 {
		now += 5 * time.Second
		a.Handle(now, check(own, "peer", false).bytes(), peerOne, reply)
	}
	if !a.Renews() {
		t.Error("checks for a minute, and not renewed")
	}
	if a.Lapsed(now + Consent - 1) {
		t.Error("lapsed too early")
	}
	if !a.Lapsed(now + Consent) {
		t.Error("not lapsed")
	}
	// Neither another address nor a forger nor an indication speaks for the one that is nominated.
	later := now + Consent - time.Second
	a.Handle(later, check(own, "peer", false).bytes(), peerTwo, reply)
	forged := check(own, "peer", false)
	forged.badIntegrity = true
	a.Handle(later, forged.bytes(), peerOne, reply)
	indication := check(own, "peer", false)
	indication.class = 0x0011
	a.Handle(later, indication.bytes(), peerOne, reply)
	if !a.Lapsed(now + Consent) {
		t.Error("somebody else's check was taken for consent")
	}
	a.Handle(now+time.Minute, check(own, "peer", false).bytes(), peerOne, reply)
	if a.Lapsed(now + time.Minute) {
		t.Error("not given again by a further check")
	}
}

func TestRestart(t *testing.T) {
	a, own := agent(t)
	reply := make([]byte, ReplyLen)
	_, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply)
	a.Agree(0, e)
	fresh := NewCredentials()
	if err := a.Restart(fresh, "reep"); err != nil {
		t.Fatal(err)
	}
	if a.Nominated() != peerOne {
		t.Error("the pair in use was let go of")
	}
	now := 2 * time.Second
	// The peer may go on with the old checks until it has our description; they are consent, and nominate nobody.
	if out, e := a.Handle(now, check(own, "peer", true).bytes(), peerOne, reply); e.What != Checked {
		t.Errorf("old check: %d", e.What)
	} else {
		readResponse(t, out, own.Pwd)
	}
	if _, e := a.Handle(now, check(own, "peer", true).bytes(), peerTwo, reply); e.What != Checked {
		t.Errorf("old nomination: %d", e.What)
	}
	if a.Lapsed(now + Consent - 1) {
		t.Error("an old check was no consent")
	}
	r := check(fresh, "reep", true)
	r.priority = 1 // of a new generation: priorities of the old one don't count
	out, e := a.Handle(now, r.bytes(), peerTwo, reply)
	if e.What != Nominated {
		t.Fatalf("new nomination: %d", e.What)
	}
	readResponse(t, out, fresh.Pwd)
	a.Agree(now, e)
	if a.Nominated() != peerTwo {
		t.Errorf("nominated %v", a.Nominated())
	}
	if _, e := a.Handle(now, check(own, "peer", false).bytes(), peerOne, reply); e.What != Forged {
		t.Errorf("old check after the new nomination: %d", e.What)
	}
	if err := a.Restart(Credentials{}, "peer"); err == nil || a.own.pwdLen == 0 {
		t.Error("restarted with nothing")
	}
}

// A restart that ends at the same address as before must end the old credentials as well.
func TestRestartAtTheSameAddress(t *testing.T) {
	a, own := agent(t)
	reply := make([]byte, ReplyLen)
	_, e := a.Handle(0, check(own, "peer", true).bytes(), peerOne, reply)
	a.Agree(0, e)
	fresh := NewCredentials()
	if err := a.Restart(fresh, "reep"); err != nil {
		t.Fatal(err)
	}
	_, e = a.Handle(0, check(fresh, "reep", true).bytes(), peerOne, reply)
	if e.What != Nominated {
		t.Fatalf("new nomination: %d", e.What)
	}
	a.Agree(0, e)
	if _, e := a.Handle(0, check(own, "peer", false).bytes(), peerOne, reply); e.What != Forged {
		t.Errorf("old check: %d", e.What)
	}
}

func TestHandleTakesNoMemory(t *testing.T) {
	a, own := agent(t)
	reply := make([]byte, ReplyLen)
	forged := check(own, "peer", true)
	forged.badIntegrity = true
	led := check(own, "peer", true)
	led.role = attrControlled
	for name, b := range map[string][]byte{"nomination": check(own, "peer", true).bytes(), "forged": forged.bytes(), "conflict": led.bytes(), "garbage": make([]byte, 60)} {
		if n := testing.AllocsPerRun(100, func() { a.Handle(0, b, peerTwo, reply) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestAnAgentHasNoPointers(t *testing.T) {
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		switch of.Kind() {
		case reflect.Struct:
			for i := range of.NumField() {
				walk(path+"."+of.Field(i).Name, of.Field(i).Type)
			}
		case reflect.Array:
			walk(path+"[]", of.Elem())
		case reflect.Bool, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Int64:
		default:
			t.Errorf("%s is a %v", path, of)
		}
	}
	walk("Agent", reflect.TypeFor[Agent]())
}

func BenchmarkHandle(b *testing.B) {
	a, own := agent(b)
	reply, in := make([]byte, ReplyLen), check(own, "peer", false).bytes()
	b.ReportAllocs()
	for b.Loop() {
		a.Handle(0, in, peerOne, reply)
	}
}

func BenchmarkForged(b *testing.B) {
	a, own := agent(b)
	r := check(own, "peer", false)
	r.badIntegrity = true
	reply, in := make([]byte, ReplyLen), r.bytes()
	for b.Loop() {
		a.Handle(0, in, peerOne, reply)
	}
}
