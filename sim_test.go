package cordon_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
)

// The whole node in the virtual network, as a function of a seed: two carriers, five edge groups (two of them never permitted by themselves), loss,
// deaths, recoveries, people at the gate, calls for help, instruments that are struck and policies that get narrower meanwhile. The invariants are watched on the wire, by a rule of their own that shares nothing with the policy engine.

const simConfig = `
tenant: {org_id: sim}
node: {name: edge, state_dir: state}
policy:
  preset: %s
  home: aws:eu-central-1
  allow: [aws:eu-central-1, aws:eu-central-2, aws:eu-north-1, "sim:carrier", "sim:swiss"%s]
  suspensions_file: LAWFILE
  suspension_keys: {law: "LAWKEY"}
regions:
  - {key: "sim:carrier", country: DE, contract: sim}
  - {key: "sim:swiss", country: CH, contract: sim}
  - {key: "sim:moscow", country: RU, contract: sim}
places:
  - {prefix: 10.1.0.0/16, region: "sim:carrier", contract: sim}
  - {prefix: 10.2.0.0/16, region: "sim:swiss", contract: sim}
  - {prefix: 10.10.0.0/16, region: aws:eu-central-1, contract: sim}
  - {prefix: 10.20.0.0/16, region: aws:eu-central-2, contract: sim}
  - {prefix: 10.30.0.0/16, region: aws:eu-north-1, contract: sim}
  - {prefix: 10.40.0.0/16, region: aws:us-east-1, contract: sim}
  - {prefix: 10.50.0.0/16, region: "sim:moscow", contract: sim}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
  - {transport: tcp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: "sim:carrier", country: DE, members: [{host: 10.1.0.10, port: 5060, transport: udp}], sources: [10.1.0.0/16], trusted: true, media: {security: plain}, t38: allow, auth: {user: line, password: {file: LAWFILE.secret}}, register: {aor: "sip:line@carrier.sim", expires: 2m}}
  - {name: swiss, region: "sim:swiss", country: CH, members: [{host: 10.2.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}], media: {security: plain}, t38: allow}
  - {name: zrh, region: aws:eu-central-2, members: [{host: 10.20.0.10, port: 5060, transport: tcp}], media: {security: plain}, t38: allow}
  - {name: sto, region: aws:eu-north-1, members: [{host: 10.30.0.10, port: 5060, transport: udp}], media: {security: srtp, insecure_lab: true}}
  - name: iad
    region: aws:us-east-1
    members: [{host: 10.40.0.10, port: 5060, transport: udp}]
    media: {security: plain}%s
  - {name: dme, region: "sim:moscow", members: [{host: 10.50.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: line, direction: inbound, from: [carrier], to: [{party: fra}, {party: zrh}, {party: sto}, {party: iad}, {party: dme}], failback: {after: 5s}, on_hold: {announce: {for: 400ms, answer: false}}}
  - {name: moved, direction: inbound, from: [carrier], prefix: ["+4969900200"], to: [{party: zrh}, {party: fra}], failback: {after: 5s}, fallback_policy: NEVER}
  - {name: abroad, direction: inbound, from: [carrier], prefix: ["+7"], to: [{party: dme}], fallback_policy: NEVER, on_hold: {announce: {repeat: 1}}}
emergency:
  - {country: DE, numbers: ["112"], trunk: carrier}
  - {country: CH, numbers: ["112"], trunk: swiss}
health: {interval: 2s, timeout: 1s, fall: 3, rise: 2, hold_down: 4s}
gate: {quorum: 2, approve_in: 60s, execute_in: 10s, grant_for: 20s, max_calls: 5}
people:
  - {id: anna, roles: [incident_commander], token: {env: SIM_TOKEN_1}}
  - {id: ben, roles: [business_owner], token: {env: SIM_TOKEN_2}}
  - {id: clara, roles: [dpo], token: {env: SIM_TOKEN_3}}
notify: [{name: duty, type: console}]
api: {address: "off"}
`

// breach is the wrong law of the deliberate breach: it lets Virginia pass as if it were attested and allow-listed.
const breach = `
    attributes:
      - {name: recipient.dpf_listed, value: true, evidence: forged, at: "2026-11-20"}
      - {name: recipient.dpf_covered_data, value: [non_hr], evidence: forged, at: "2026-11-20"}
      - {name: recipient.ftc_or_dot_jurisdiction, value: true, evidence: forged, at: "2026-11-20"}`

var (
	heldPlace   = netip.MustParsePrefix("10.40.0.0/16")
	deniedPlace = netip.MustParsePrefix("10.50.0.0/16")
	simDay      = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	simSecret   = "a password of the carrier's"
	simEdge     = netip.MustParseAddr("10.5.0.10")
	placeOf     = map[string]netip.Prefix{
		"carrier": netip.MustParsePrefix("10.1.0.0/16"), "swiss": netip.MustParsePrefix("10.2.0.0/16"),
		"fra": netip.MustParsePrefix("10.10.0.0/16"), "zrh": netip.MustParsePrefix("10.20.0.0/16"),
	}
	// helpers are the only trunks that a call for help may leave by, by who asks.
	helpers = map[string]string{"carrier": "carrier", "fra": "carrier", "zrh": "swiss"}
)

// sim is one run.
type sim struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	net   *vnet.Network
	node  *cordon.Node
	peers map[string]*carrier.Peer
	trunk *carrier.Peer
	text  string // the configuration
	law   *law
	story
	sos    *tally
	people people

	mu       sync.Mutex
	windows  []window // grants, as the log tells them
	read     uint64   // entries of the log that were looked at
	faults   []string
	closures []closure
	calls    map[string]bool      // Call-IDs of calls for help, as seen on the wire
	helping  map[netip.Prefix]int // calls for help that end there
	busy     map[string]int       // peers that must not be troubled: somebody calls for help from there
	lawful   chan struct{}        // one change of the law at a time: a mutex would stop virtual time

	topology topology

	placed, placedUp, helped, helpedUp int // calls for help, by their callers and by the receipts
}

// story is what a run is like beside its seed.
type story struct {
	loss float64       // of datagrams, one way; 0: as the seed wants, up to 15 %
	long time.Duration // how long calls go on beginning; 0: until some have
	pace time.Duration // between two packets of media; 0: 20 ms
}

// window is when a grant was live according to the log alone.
type window struct {
	ticket      string
	regions     []string
	from, until time.Time
}

// closure is a place that the law closed to everything but calls for help, and when.
type closure struct {
	place       netip.Prefix
	region      string
	from, until time.Time // until zero: for good
	words       time.Time // before then a last word may be said
}

// law is the key and the file of suspensions.
type law struct {
	key  ed25519.PrivateKey
	file string
}

// tally counts over all seeds what was put to the test, so that nothing passes by not happening.
type tally struct{ signed, faxes, pages, unfaxed, moves, moved, refused, calls, up, placed, answered, outlived, drained, played, kept atomic.Int64 }

func (s *sim) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 20 {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}

// watch is the invariant on the wire: nothing of the node's to a denied place; nothing to a held one unless a live grant stands in the log already.
func (s *sim) watch(p vnet.Packet) {
	help := s.hear(p.Data)
	if leak := s.topology.leak(simEdge, p); leak != "" {
		s.fault("%s: %s to %s tells of somebody else, %q: %.900q", p.At.Format(time.TimeOnly), p.Proto, p.To, leak, p.Data)
	}
	if p.From.Addr() != simEdge {
		return
	}
	to := p.To.Addr()
	switch {
	case deniedPlace.Contains(to):
		s.fault("%s: %s %s to the denied %s", p.At.Format(time.TimeOnly), p.Proto, p.Kind, p.To)
	case heldPlace.Contains(to) && !s.granted(p.At, "aws:us-east-1"):
		s.fault("%s: %s %s to the held %s without a live grant in the log", p.At.Format(time.TimeOnly), p.Proto, p.Kind, p.To)
	case help && !placeOf["carrier"].Contains(to) && !placeOf["swiss"].Contains(to):
		s.fault("%s: a call for help left for %s", p.At.Format(time.TimeOnly), p.To)
	default:
		if c, closed := s.closed(p); closed && !s.granted(p.At, c.region) {
			s.fault("%s: %s %s to %s, which is held, and not for help: %.300q", p.At.Format(time.TimeOnly), p.Proto, p.Kind, p.To, p.Data)
		}
	}
}

// lastWord is what may still be said to a place that was struck: what ends something, and answers.
var lastWord = regexp.MustCompile(`^(BYE|CANCEL|ACK) |^SIP/2\.0 [2-6]`)

var callID = regexp.MustCompile(`(?i)\r\nCall-ID: *([^\r\n]+)`)

// hear learns the Call-IDs of calls for help from what goes by, and says whether one begins here.
func (s *sim) hear(b []byte) bool {
	_, rest, ok := bytes.Cut(b, []byte("INVITE sip:112@"))
	if !ok {
		return false
	}
	if id := callID.FindSubmatch(rest); id != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls[string(id[1])] = true
	}
	return true
}

// closed says whether a packet of the node's goes where nothing but help may go, and is not for help. A stream's end is no message.
func (s *sim) closed(p vnet.Packet) (closure, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.closures {
		if !c.place.Contains(p.To.Addr()) || !p.At.After(c.from) || !c.until.IsZero() && !p.At.Before(c.until) || p.Kind == vnet.FIN {
			continue
		}
		if p.At.Before(c.words) && lastWord.Match(p.Data) {
			continue
		}
		ids := callID.FindAllSubmatch(p.Data, -1)
		for _, id := range ids {
			if !s.calls[string(id[1])] {
				return c, true
			}
		}
		if len(ids) == 0 && (p.Kind == vnet.SYN || s.helping[c.place] == 0) { // media, or the rest of a message
			return c, true
		}
	}
	return closure{}, false
}

// granted reads what is new in the log and says whether a grant for the region is live by it. The end of a grant is logged before it takes effect, at the same
// moment of virtual time.
func (s *sim) granted(at time.Time, region string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		list, err := s.node.Log().Entries(context.Background(), s.read, 256)
		if err != nil || len(list) == 0 {
			break
		}
		for _, e := range list {
			s.read = e.Seq + 1
			s.learn(e)
		}
	}
	for _, w := range s.windows {
		if !at.Before(w.from) && !at.After(w.until) && slices.Contains(w.regions, region) {
			return true
		}
	}
	return false
}

// learn keeps the windows of grants from gate.changed entries. The caller holds mu.
func (s *sim) learn(e audit.Entry) {
	if e.Kind != audit.KindGateChanged {
		return
	}
	var g approval.GateChanged
	if json.Unmarshal(e.Body, &g) != nil || g.Record == nil {
		return
	}
	t := g.Record.Ticket
	for i := range s.windows {
		if s.windows[i].ticket == t.ID && t.State != approval.Active {
			s.windows[i].until = e.Time
			return
		}
	}
	if t.State == approval.Active {
		s.windows = append(s.windows, window{t.ID, t.Plan.Scope.Regions, t.ActivatedAt, t.GrantUntil})
	}
}

// newSim builds world and node inside the bubble.
func newSim(t *testing.T, seed uint64, text string, l *law, sos *tally, like story) *sim {
	s := &sim{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), net: vnet.New(seed), peers: map[string]*carrier.Peer{}, text: text, law: l, sos: sos,
		story: like, people: newPeople(seed), calls: map[string]bool{}, helping: map[netip.Prefix]int{}, busy: map[string]int{}, lawful: make(chan struct{}, 1),
	}
	if drawn := s.rng.Float64() * 0.15; s.loss == 0 {
		s.loss = drawn
	}
	s.net.Default(vnet.Quality{
		Delay: time.Duration(1+s.rng.IntN(30)) * time.Millisecond, Jitter: time.Duration(s.rng.IntN(10)) * time.Millisecond,
		Loss: s.loss, Dup: s.rng.Float64() * 0.03, Reorder: s.rng.Float64() * 0.03,
	})
	edge := s.net.Host(simEdge)
	cfg, err := configs.Parse("sim.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s.node, err = cordon.New(t.Context(), cordon.Options{Config: cfg, Net: edge, Memory: true, Software: "sim"})
	if err != nil {
		t.Fatal(err)
	}
	s.net.Tap(s.watch)
	s.trunk = s.peer("carrier", "10.1.0.10", "udp", false)
	s.peers["swiss"] = s.peer("swiss", "10.2.0.10", "udp", false)
	s.peers["fra"] = s.peer("fra", "10.10.0.10", "udp", false)
	s.peers["zrh"] = s.peer("zrh", "10.20.0.10", "tcp", false)
	s.peers["sto"] = s.peer("sto", "10.30.0.10", "udp", true)
	s.peers["iad"] = s.peer("iad", "10.40.0.10", "udp", false)
	s.peers["dme"] = s.peer("dme", "10.50.0.10", "udp", false)
	return s
}

func (s *sim) peer(name, addr, proto string, srtp bool) *carrier.Peer {
	a := netip.MustParseAddr(addr)
	var r *carrier.Registrar
	if name == "carrier" { // a registering trunk: its binding lives shorter than most stories
		r = &carrier.Registrar{Auth: &carrier.Auth{Realm: "carrier.sim", User: "line", Password: simSecret}, Expires: 60, Min: 30}
	}
	p, err := carrier.New(carrier.Config{Registrar: r, Name: name, Net: s.net.Host(a), Addr: netip.AddrPortFrom(a, 5060), Proto: proto, MediaAddr: a, SRTP: srtp, Pace: s.pace, Seed: s.seed + uint64(len(s.peers)) + 1})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// play runs the seed's story and gives what broke.
func (s *sim) play() []string {
	ctx, cancel := context.WithCancel(context.Background())
	var peers sync.WaitGroup
	for _, p := range s.peers {
		peers.Go(func() { _ = p.Run(ctx) })
	}
	peers.Go(func() { _ = s.trunk.Run(ctx) })
	if err := s.node.Start(ctx); err != nil {
		s.t.Fatal(err)
	}
	var calls sync.WaitGroup
	for begin, n := time.Now(), 10+s.rng.IntN(10); n > 0 || time.Since(begin) < s.long; n-- {
		time.Sleep(time.Duration(s.rng.IntN(6000)) * time.Millisecond)
		s.trouble()
		s.gate(ctx)
		s.takeOut(ctx)
		if s.rng.IntN(4) == 0 {
			e := s.emergency()
			calls.Go(func() { s.help(ctx, e) })
			continue
		}
		a := s.act()
		calls.Go(func() { s.call(ctx, a) })
	}
	calls.Wait()
	if s.rng.IntN(3) == 0 {
		s.drained(ctx)
	}
	time.Sleep(70 * time.Second) // 64*T1 and more: whatever was abandoned must be gone
	s.ends()
	if err := s.node.Stop(ctx, 5*time.Second); err != nil {
		s.fault("stop: %v", err)
	}
	cancel()
	peers.Wait()
	s.proof()
	if s.topology.seen < 100 {
		s.fault("only %d names of legs were compared", s.topology.seen)
	}
	if len(s.faults) > 0 && os.Getenv("CORDON_DUMP") != "" {
		s.dump()
	}
	return s.faults
}

// trouble changes the behaviour of a random group.
func (s *sim) trouble() {
	names := []string{"fra", "zrh", "sto", "iad"}
	b := []carrier.Behaviour{
		{},
		{},
		{RingFor: 300 * time.Millisecond},
		{Silent: true},
		{Dead: true},
		{Refuse: 503, RetryAfter: 3},
		{Refuse: 486},
		{EarlyMedia: true, RingFor: time.Second},
		{Refuse: 500},
		{AnswerAfter: 2500 * time.Millisecond},
		{HangUpAfter: time.Second},
		{Silent: true},
		{Dead: true},
	}[s.rng.IntN(13)]
	name := names[s.rng.IntN(len(names))]
	s.mu.Lock()
	busy := s.busy[name] > 0
	s.mu.Unlock()
	if busy {
		return
	}
	if err := s.peers[name].SetBehaviour(b); err != nil {
		s.fault("behaviour: %v", err)
	}
}

// emergency is one call for help: who calls, and what befalls the law while it is up.
type emergency struct {
	from   string
	change string // "": nothing; "strike": the instrument; else the region that a narrower policy leaves out for a while
	before bool   // the law changes first, and the call comes from a held place
	talk   time.Duration
}

func (s *sim) emergency() emergency {
	e := emergency{
		from: []string{"carrier", "fra", "zrh", "zrh"}[s.rng.IntN(4)], talk: time.Duration(500+s.rng.IntN(3000)) * time.Millisecond, before: s.rng.IntN(2) == 0,
		change: []string{"", "", "strike", "aws:eu-central-2", "sim:carrier", "sim:swiss"}[s.rng.IntN(6)],
	}
	s.helps(e.from, 1)
	if p := s.peers[e.from]; p != nil {
		if err := p.SetBehaviour(carrier.Behaviour{}); err != nil {
			s.fault("behaviour: %v", err)
		}
	}
	return e
}

// helps notes that somebody calls for help, or that it is over.
func (s *sim) helps(from string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[from] += n
	s.helping[placeOf[from]] += n
	if to := placeOf[helpers[from]]; to != placeOf[from] {
		s.helping[to] += n
	}
}

// strike puts the decision on Switzerland out of force, for good.
func (s *sim) strike() {
	s.lawful <- struct{}{}
	defer func() { <-s.lawful }()
	if _, err := os.Stat(s.law.file); err == nil {
		return // it fell before
	}
	line, err := sovereign.SignSuspension(sovereign.Suspension{Instrument: "2000/518/EC", Since: time.Now(), Reason: "annulled", KeyID: "law"}, s.law.key)
	if err == nil {
		err = os.WriteFile(s.law.file, line, 0o600)
	}
	if err != nil {
		s.fault("strike: %v", err)
		return
	}
	at := time.Now().Add(400 * time.Millisecond) // the file is looked at every 200 ms
	words := time.Now().Add(time.Second)
	s.close(closure{place: placeOf["zrh"], region: "aws:eu-central-2", from: at, words: words}, closure{place: placeOf["swiss"], region: "sim:swiss", from: at, words: words})
	time.Sleep(time.Second)
	for _, place := range []string{"10.20.0.10:5060", "10.2.0.10:5060"} {
		if r := s.node.Fence().Judge(sovereign.Ask{Plane: sovereign.Signalling, Addr: netip.MustParseAddrPort(place)}); r.Verdict != sovereign.Hold {
			s.fault("a second after the decision fell, %s is still: %s", place, r.Why)
		}
	}
}

func (s *sim) close(c ...closure) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closures = append(s.closures, c...)
	return len(s.closures) - 1
}

// narrow leaves a region out of the policy and gives what puts it back: a file that is wider, and the signatures under it. Until those are given the place stays closed.
func (s *sim) narrow(ctx context.Context, region string) (widen func()) {
	s.lawful <- struct{}{}
	place := placeOf[map[string]string{"aws:eu-central-2": "zrh", "sim:carrier": "carrier", "sim:swiss": "swiss"}[region]]
	text := strings.NewReplacer(", "+region+",", ",", `, "`+region+`"`, "").Replace(strings.SplitAfterN(s.text, "]", 2)[0])
	s.reload(ctx, text+strings.SplitAfterN(s.text, "]", 2)[1], "anna")
	i := s.close(closure{place: place, region: region, from: time.Now()})
	return func() {
		s.reload(ctx, s.text, "")
		s.sign(ctx, func() {
			s.mu.Lock()
			s.closures[i].until = time.Now()
			s.mu.Unlock()
		})
		<-s.lawful
	}
}

// sign approves the change of the policy that waits, some time later. last is told before the word that completes it.
func (s *sim) sign(ctx context.Context, last func()) {
	time.Sleep(3 * time.Second)
	g := s.node.Gate()
	i := slices.IndexFunc(g.Tickets(), func(t approval.Ticket) bool { return t.Plan.Change != nil && t.State == approval.Pending })
	if i < 0 {
		s.fault("a wider policy waits, and nobody was asked")
		last()
		return
	}
	t := g.Tickets()[i]
	_, one := g.Decide(ctx, t.ID, "anna", "incident_commander", true, "as it was before", t.PlanHash, "sim")
	_, two := g.Opine(ctx, t.ID, "clara", approval.NoObjection, "as it was before", false)
	last()
	_, three := g.Decide(ctx, t.ID, "ben", "business_owner", true, "as it was before", t.PlanHash, "sim")
	time.Sleep(time.Second)
	if t, _ = g.Ticket(t.ID); t.State != approval.Applied || s.node.Fence().Snapshot().Within() != nil {
		s.fault("a second after it was signed, the change of the policy is %s: %v", t.State, errors.Join(one, two, three))
	}
	s.sos.signed.Add(1)
}

func (s *sim) reload(ctx context.Context, text, by string) {
	cfg, err := configs.Parse("sim.yaml", []byte(text))
	if err == nil {
		err = s.node.Reload(ctx, cfg, by)
	}
	if err != nil {
		s.fault("reload: %v", err)
	}
}

// change does to the law what the story wants, and gives what undoes it.
func (s *sim) change(ctx context.Context, what string) (undo func()) {
	switch what {
	case "":
		return func() {}
	case "strike":
		s.strike()
		return func() {}
	}
	return s.narrow(ctx, what)
}

// help places one call for help. It is answered, whoever is held, and nothing but its caller ends it.
func (s *sim) help(ctx context.Context, e emergency) {
	defer func() {
		time.Sleep(time.Second) // its last packets
		s.helps(e.from, -1)
	}()
	undo := func() {}
	if e.before {
		undo = s.change(ctx, e.change)
	}
	defer func() { undo() }()
	c, ok := s.cry(ctx, e.from)
	if !ok {
		return
	}
	time.Sleep(e.talk / 2)
	if !e.before {
		undo = s.change(ctx, e.change)
	}
	time.Sleep(1500 * time.Millisecond) // calls that may not go on are swept within half a second
	select {
	case <-c.Done():
		s.fault("a call for help from %s ended by itself (%s) after %q: %v", e.from, c.Ended(), e.change, c.Events())
		return
	default:
	}
	if e.change != "" {
		s.sos.outlived.Add(1)
	}
	time.Sleep(e.talk / 2)
	wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := c.Hangup(wait); err != nil {
		s.fault("a call for help from %s could not be hung up: %v: %v", e.from, err, c.Events())
	}
}

// cry dials 112 and waits for the answer.
func (s *sim) cry(ctx context.Context, from string) (*carrier.Call, bool) {
	c, ok := s.dial112(ctx, from)
	if !ok && c != nil && c.Ended() == "transport" {
		c, ok = s.dial112(ctx, from) // its connection fell with the law while it dialled: anybody dials again then
	}
	if !ok && c != nil && (s.loss < 0.08 || c.Status() != 408 && c.Status() != 480) { // a link that loses all that is repeated is no refusal
		s.fault("a call for help from %s was refused with %d: %v", from, c.Status(), c.Events())
	}
	return c, ok
}

func (s *sim) dial112(ctx context.Context, from string) (*carrier.Call, bool) {
	p := s.peers[from]
	if p == nil {
		p = s.trunk
	}
	wait, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	c, err := p.Call(wait, carrier.CallOptions{From: "+4930111333", To: "112", Dest: netip.AddrPortFrom(simEdge, 5060)})
	if err != nil {
		if s.loss < 0.15 || !errors.Is(err, syscall.ETIMEDOUT) { // a link may lose every SYN
			s.fault("help from %s: %v", from, err)
		}
		return nil, false
	}
	s.sos.placed.Add(1)
	s.mu.Lock()
	s.placed++
	s.mu.Unlock()
	status, err := c.WaitFinal(wait)
	switch {
	case err != nil:
		s.fault("a call for help from %s got no final response: %v", from, c.Events())
		return nil, false
	case status == 200:
		s.sos.answered.Add(1)
		s.mu.Lock()
		s.placedUp++
		s.mu.Unlock()
		return c, true
	}
	return c, false
}

// drained asks for help from a node that takes no other call any more.
func (s *sim) drained(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, time.Second)
	_ = s.node.Edge().Drain(short) // calls that ended may linger in it; nothing new is taken from the first moment
	cancel()
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := s.trunk.Call(wait, carrier.CallOptions{From: "+4930111222", To: "+4969900100", Dest: netip.AddrPortFrom(simEdge, 5060)})
	if err != nil {
		s.fault("call: %v", err)
		return
	}
	if status, err := c.WaitFinal(wait); err != nil || status != 503 {
		s.fault("a draining node answered %d, %v", status, err)
	}
	e := s.emergency()
	e.change = ""
	s.help(ctx, e)
	s.sos.drained.Add(1)
}

// gate lets people act on whatever waits, sometimes well, sometimes half, sometimes not at all.
func (s *sim) gate(ctx context.Context) {
	for _, t := range s.node.Gate().Tickets() {
		if t.Plan.Change != nil || t.State != approval.Pending || t.NotifiedAt.IsZero() || s.rng.IntN(3) == 0 {
			continue
		}
		g := s.node.Gate()
		_, _ = g.Decide(ctx, t.ID, "anna", "incident_commander", true, "all lawful groups are down", t.PlanHash, "sim") // a refusal is part of the play
		if s.rng.IntN(4) > 0 {
			_, _ = g.Decide(ctx, t.ID, "ben", "business_owner", s.rng.IntN(8) > 0, "agreed", t.PlanHash, "sim")
		}
		if s.rng.IntN(4) > 0 {
			word := []approval.OpinionWord{approval.NoObjection, approval.NoObjection, approval.NoObjection, approval.Objection, approval.NotReached}[s.rng.IntN(5)]
			_, _ = g.Opine(ctx, t.ID, "clara", word, "so it is", false)
		}
	}
	for _, t := range s.node.Gate().Tickets() {
		if t.State == approval.Active && s.rng.IntN(12) == 0 {
			_, _ = s.node.Gate().Revoke(ctx, t.ID, "anna", "enough")
		}
	}
}

// act is what a caller does with a call.
type act struct {
	talk   time.Duration
	cancel time.Duration // before the answer; 0 never
	hold   bool
	info   bool
	move   bool   // to another media address, by re-INVITE
	late   bool   // the offer comes in the 200
	fax    bool   // by T.38, and audio again
	refer  string // number that the caller transfers to
}

func (s *sim) act() act {
	a := act{talk: time.Duration(200+s.rng.IntN(4000)) * time.Millisecond}
	switch s.rng.IntN(8) {
	case 0:
		a.cancel = time.Duration(s.rng.IntN(3000)) * time.Millisecond
	case 1:
		a.hold = true
	case 2:
		a.info = true
	case 3:
		a.move = true
	case 4:
		a.late = true
	case 5:
		a.refer = []string{movedTo, deniedNumber}[s.rng.IntN(2)]
	case 6:
		a.fax = true
	}
	return a
}

// call places one call and looks at what the caller may see: a final response in bounded time, and an end.
func (s *sim) call(ctx context.Context, a act) {
	o := carrier.CallOptions{From: "+4930111222", To: "+4969900100", Dest: netip.AddrPortFrom(simEdge, 5060), Delayed: a.late}
	c, err := s.trunk.Call(ctx, o)
	if err != nil {
		s.fault("call: %v", err)
		return
	}
	wait, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if a.cancel > 0 {
		time.Sleep(a.cancel)
		_ = c.Cancel(wait) // too late is part of the play
	}
	status, err := c.WaitFinal(wait)
	if err != nil {
		s.fault("a call got no final response in three minutes: %v", c.Events())
		return
	}
	s.sos.calls.Add(1)
	if status >= 200 && status < 300 {
		s.sos.up.Add(1)
		s.talk(wait, c, a)
	}
	select {
	case <-c.Done():
	case <-wait.Done():
		s.fault("a call did not end in three minutes: %v", c.Events())
	}
}

// talk is what happens between answer and end. The far end may hang up at any moment, so no single step must succeed.
func (s *sim) talk(ctx context.Context, c *carrier.Call, a act) {
	time.Sleep(a.talk / 2)
	switch {
	case a.hold:
		if status, err := c.Hold(ctx); err == nil && status == 200 {
			time.Sleep(a.talk)
			_, _ = c.Resume(ctx)
		}
	case a.info:
		_, _ = c.SendInfo(ctx, "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n")
	case a.move:
		_, _ = c.MoveMedia(ctx, netip.MustParseAddr("10.1.0.10"))
	case a.refer != "":
		s.transfer(ctx, c, a)
	case a.fax:
		s.fax(ctx, c, a)
	}
	time.Sleep(a.talk / 2)
	_ = c.Hangup(ctx)
}

// fax switches to T.38 and back. Where the far end must have SRTP that is refused, and the audio goes on.
func (s *sim) fax(ctx context.Context, c *carrier.Call, a act) {
	status, err := c.Fax(ctx)
	if err != nil {
		return
	}
	if status == 200 {
		s.sos.faxes.Add(1)
		time.Sleep(a.talk)
		s.sos.pages.Add(int64(c.Media().FaxMatched))
		_, _ = c.Voice(ctx)
	}
	if status == 488 {
		s.sos.unfaxed.Add(1)
	}
}

// The numbers that callers transfer to: one of two groups in Europe, and one where the policy denies every way.
const movedTo, deniedNumber = "+4969900200", "+74951234567"

// transfer asks for a transfer by REFER. To a denied place none may ever be taken; what a lawful one leads to is ended by the group that took it.
func (s *sim) transfer(ctx context.Context, c *carrier.Call, a act) {
	s.mu.Lock()
	for _, name := range []string{"fra", "zrh"} { // who is left alone ends the call: only a session timer would end one whose both ends died
		s.busy[name]++
		defer func() {
			s.mu.Lock()
			s.busy[name]--
			s.mu.Unlock()
		}()
	}
	s.mu.Unlock()
	for _, name := range []string{"fra", "zrh"} {
		_ = s.peers[name].SetBehaviour(carrier.Behaviour{})
	}
	status, err := c.Refer(ctx, a.refer)
	if err == nil && a.refer == deniedNumber && status < 300 {
		s.fault("a transfer to a denied place was taken with %d", status)
	}
	if err == nil && status == 403 {
		s.sos.refused.Add(1)
	}
	if err == nil && status >= 300 {
		return
	}
	s.sos.moves.Add(1)
	time.Sleep(a.talk)
	for range 45 { // longer than any walk over hops: also an answer that was lost on its way here may have begun one
		ended := false
		for _, p := range s.peers {
			for _, x := range p.Calls() {
				if strings.Contains(x.URI(), movedTo) {
					ended = x.Hangup(ctx) == nil || ended
				}
			}
		}
		if ended && strings.HasPrefix(c.Told(), "SIP/2.0 200") {
			s.sos.moved.Add(1)
			return
		}
		if strings.HasPrefix(c.Told(), "SIP/2.0 ") && c.Told()[8] > '2' {
			return
		}
		time.Sleep(time.Second)
	}
}

// ends is the invariant at rest: every call ended, every media port came back.
func (s *sim) ends() {
	if n := s.node.Relay().Sessions(); n != 0 {
		s.fault("%d media sessions are left", n)
	}
	if calls := s.node.Edge().Calls(); len(calls) != 0 {
		s.fault("%d calls are left: %+v", len(calls), calls)
	}
	// Probes go on, so a few of their transactions are always alive: at most two for each of the five probed targets.
	if calls, tx := s.node.Edge().Pending(context.Background()); calls != 0 || tx > 16 {
		s.fault("%d calls and %d transactions are left", calls, tx)
	}
}

// proof is the invariant of the log: it is whole, and each call under a grant names one that was live.
func (s *sim) proof() {
	for name, p := range s.peers {
		s.breaches(name, p)
	}
	s.breaches("carrier", s.trunk)
	if st := s.trunk.Stats(); st.Registered == 0 || st.BadCredentials > 0 {
		s.fault("%d registrations with the carrier, %d with wrong credentials", st.Registered, st.BadCredentials)
	}
	if open := s.net.Open(); len(open) != 0 {
		s.fault("sockets are left open: %v", open)
	}
	for e := range everyEntry(s.node) {
		s.checkReceipt(e)
		s.served(e)
	}
	if s.helped > s.placed || s.helpedUp < s.placedUp {
		s.fault("%d calls for help, %d of them answered, and %d receipts of such, %d of them answered", s.placed, s.placedUp, s.helped, s.helpedUp)
	}
}

// breaches are those of the protocol that a peer saw. Where a place was closed while its answer was under way, by a grant's end or by the law, no ACK may leave.
func (s *sim) breaches(name string, p *carrier.Peer) {
	closed := name == "iad" || slices.ContainsFunc(s.closures, func(c closure) bool { return c.place == placeOf[name] })
	for _, f := range p.Stats().Faults {
		if !closed || !strings.HasPrefix(f, "no ACK for") {
			s.fault("%s saw a breach of protocol: %s", name, f)
		}
	}
}

func (s *sim) checkReceipt(e audit.Entry) {
	if e.Kind != audit.KindReceipt {
		return
	}
	var r audit.Receipt
	if err := json.Unmarshal(e.Body, &r); err != nil {
		s.fault("receipt %d: %v", e.Seq, err)
		return
	}
	if r.Overall == "violation" || r.Overall == "" {
		s.fault("receipt %d says %q", e.Seq, r.Overall)
	}
	s.checkHelp(e.Seq, &r)
	for _, x := range r.Transfers {
		for _, at := range x.Attempts {
			if at.Verdict != "permit" && !at.At.IsZero() {
				s.fault("receipt %d: a transfer reached %s, whose verdict was %q", e.Seq, at.Target, at.Verdict)
			}
		}
	}
	if r.EdgeGroup == "iad" && !r.TAnswer.IsZero() {
		ok := false
		for _, w := range s.windows {
			ok = ok || (w.ticket == r.GateDecision && !r.TInvite.Before(w.from) && r.TInvite.Before(w.until))
		}
		if !ok {
			s.fault("receipt %d: answered in Virginia under %q, which was not live", e.Seq, r.GateDecision)
		}
	}
}

// checkHelp holds a receipt of a call for help against the only way that it may have gone, and any other against that way.
func (s *sim) checkHelp(seq uint64, r *audit.Receipt) {
	from := r.EdgeGroup
	if from == "" {
		from = r.Trunk
	}
	for _, a := range r.Attempts {
		switch help := r.Purpose == "emergency_call"; {
		case help && (a.Party != helpers[from] || a.Verdict != "permit" || r.Overall == "refused_by_policy"):
			s.fault("receipt %d: help for %s was sought from %s (%s, %s): %s", seq, from, a.Party, a.Verdict, a.Ground, r.Overall)
		case help && r.RouteReason != "emergency":
			s.fault("receipt %d: a call for help by reason of %q", seq, r.RouteReason)
		case !help && a.Party == "swiss":
			s.fault("receipt %d: a %s call was tried on the trunk for help", seq, r.Purpose)
		}
	}
	if r.Purpose == "emergency_call" {
		s.helped++
		if !r.TAnswer.IsZero() {
			s.helpedUp++
		}
	}
}

// dump prints the whole log of a run that broke something.
func (s *sim) dump() {
	for e := range everyEntry(s.node) {
		fmt.Printf("%d %s %s %.900s\n", e.Seq, e.Time.Format("15:04:05.000000"), e.Kind, e.Body)
	}
}

// everyEntry is the log of a node, as far as it can be read.
func everyEntry(n *cordon.Node) iter.Seq[audit.Entry] {
	return func(yield func(audit.Entry) bool) {
		for seq := uint64(0); ; {
			list, err := n.Log().Entries(context.Background(), seq, 256)
			if err != nil || len(list) == 0 {
				return
			}
			for _, e := range list {
				if seq = e.Seq + 1; !yield(e) {
					return
				}
			}
		}
	}
}

func runSeed(t *testing.T, seed uint64, text string, sos *tally, like story) (faults []string) {
	l := &law{file: filepath.Join(t.TempDir(), "suspended.jsonl"), key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	if err := os.WriteFile(l.file+".secret", []byte(simSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer("LAWFILE", l.file, "LAWKEY", base64.StdEncoding.EncodeToString(l.key.Public().(ed25519.PublicKey))).Replace(text)
	if seed%4 == 1 {
		text += "limits: {max_calls: 2, rate_per_source: 1}\n"
	}
	if seed%3 == 0 { // attempts overlap
		text = strings.Replace(text, "{name: line, direction: inbound,", "{name: line, direction: inbound, overlap: true,", 1)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(simDay)) // a bubble begins in the year 2000, under another law
		faults = newSim(t, seed, text, l, sos, like).play()
		sos.played.Add(int64(time.Since(simDay)))
	})
	return faults
}

func TestWholeNodeHoldsItsInvariants(t *testing.T) {
	seeds := uint64(200)
	if v, err := strconv.ParseUint(os.Getenv("CORDON_SEEDS"), 10, 32); err == nil {
		seeds = v
	}
	text := fmt.Sprintf(simConfig, "eea_plus_adequacy", "", "")
	var sos tally
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				if faults := runSeed(t, seed, text, &sos, story{}); len(faults) > 0 {
					t.Fatalf("seed %d:\n%s", seed, strings.Join(faults, "\n"))
				}
			})
		}
	})
	placed, answered, outlived, drained := sos.placed.Load(), sos.answered.Load(), sos.outlived.Load(), sos.drained.Load()
	t.Logf("%d calls for help, %d answered, %d outlived a change of the law, %d from a draining node", placed, answered, outlived, drained)
	t.Logf("%d faxes, of which %d packets came back; %d were refused", sos.faxes.Load(), sos.pages.Load(), sos.unfaxed.Load())
	if n := int64(seeds); n >= 50 && (sos.faxes.Load() < n/4 || sos.pages.Load() < 50*sos.faxes.Load()/4) {
		t.Error("hardly any fax came back")
	}
	t.Logf("%d transfers taken, %d of them reached their target, %d to a denied place refused", sos.moves.Load(), sos.moved.Load(), sos.refused.Load())
	if n := int64(seeds); n >= 50 && (sos.moved.Load() < n/10 || sos.refused.Load() < n/10) {
		t.Error("too few transfers to show anything")
	}
	t.Logf("%d ways were closed to calls because people kept them out; %d wider policies were signed", sos.kept.Load(), sos.signed.Load())
	if n := int64(seeds); n >= 50 && (sos.signed.Load() < n/4 || sos.kept.Load() < n || placed < n || answered < placed*98/100 || outlived < n/2 || drained < n/6) {
		t.Error("that is too little to show anything")
	}
}

// A node with a wrong law must be caught by the watcher on the wire, or the watcher proves nothing.
func TestWholeNodeADeliberateBreachIsSeen(t *testing.T) {
	text := fmt.Sprintf(simConfig, "eea_plus_adequacy", ", aws:us-east-1", breach)
	for seed := range uint64(5) {
		if faults := runSeed(t, seed, text, new(tally), story{}); len(faults) > 0 && strings.Contains(faults[0], "without a live grant") {
			t.Logf("seed %d: %s", seed, faults[0])
			return
		}
	}
	t.Fatal("a node that takes the United States for permitted broke no invariant in five seeds")
}
