package cordon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
)

// The whole node in the virtual network, as a function of a seed: one carrier, five edge groups (two of them never permitted by themselves), loss,
// deaths, recoveries, people at the gate. The invariants are watched on the wire, by a rule of their own that shares nothing with the policy engine.

const simConfig = `
tenant: {org_id: sim}
node: {name: edge, state_dir: state}
policy:
  preset: %s
  home: aws:eu-central-1
  allow: [aws:eu-central-1, aws:eu-central-2, aws:eu-north-1, "sim:carrier"%s]
regions:
  - {key: "sim:carrier", country: DE, contract: sim}
  - {key: "sim:moscow", country: RU, contract: sim}
places:
  - {prefix: 10.1.0.0/16, region: "sim:carrier", contract: sim}
  - {prefix: 10.10.0.0/16, region: aws:eu-central-1, contract: sim}
  - {prefix: 10.20.0.0/16, region: aws:eu-central-2, contract: sim}
  - {prefix: 10.30.0.0/16, region: aws:eu-north-1, contract: sim}
  - {prefix: 10.40.0.0/16, region: aws:us-east-1, contract: sim}
  - {prefix: 10.50.0.0/16, region: "sim:moscow", contract: sim}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
  - {transport: tcp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: "sim:carrier", country: DE, members: [{host: 10.1.0.10, port: 5060, transport: udp}], sources: [10.1.0.0/16], trusted: true, media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}], media: {security: plain}}
  - {name: zrh, region: aws:eu-central-2, members: [{host: 10.20.0.10, port: 5060, transport: tcp}], media: {security: plain}}
  - {name: sto, region: aws:eu-north-1, members: [{host: 10.30.0.10, port: 5060, transport: udp}], media: {security: srtp, insecure_lab: true}}
  - name: iad
    region: aws:us-east-1
    members: [{host: 10.40.0.10, port: 5060, transport: udp}]
    media: {security: plain}%s
  - {name: dme, region: "sim:moscow", members: [{host: 10.50.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: line, direction: inbound, from: [carrier], to: [{party: fra}, {party: zrh}, {party: sto}, {party: iad}, {party: dme}], failback: {after: 5s}}
emergency:
  - {country: DE, numbers: ["112"], trunk: carrier}
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
	simEdge     = netip.MustParseAddr("10.5.0.10")
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

	mu      sync.Mutex
	windows []window // grants, as the log tells them
	read    uint64   // entries of the log that were looked at
	faults  []string
}

// window is when a grant was live according to the log alone.
type window struct {
	ticket      string
	from, until time.Time
}

func (s *sim) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 20 {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}

// watch is the invariant on the wire: nothing of the node's to a denied place; nothing to a held one unless a live grant stands in the log already.
func (s *sim) watch(p vnet.Packet) {
	if p.From.Addr() != simEdge {
		return
	}
	to := p.To.Addr()
	switch {
	case deniedPlace.Contains(to):
		s.fault("%s: %s %s to the denied %s", p.At.Format(time.TimeOnly), p.Proto, p.Kind, p.To)
	case heldPlace.Contains(to) && !s.granted(p.At):
		s.fault("%s: %s %s to the held %s without a live grant in the log", p.At.Format(time.TimeOnly), p.Proto, p.Kind, p.To)
	}
}

// granted reads what is new in the log and says whether a grant is live by it.
func (s *sim) granted(at time.Time) bool {
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
		if !at.Before(w.from) && at.Before(w.until) {
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
		s.windows = append(s.windows, window{t.ID, t.ActivatedAt, t.GrantUntil})
	}
}

// newSim builds world and node inside the bubble.
func newSim(t *testing.T, seed uint64, text string) *sim {
	s := &sim{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), net: vnet.New(seed), peers: map[string]*carrier.Peer{}}
	s.net.Default(vnet.Quality{
		Delay: time.Duration(1+s.rng.IntN(30)) * time.Millisecond, Jitter: time.Duration(s.rng.IntN(10)) * time.Millisecond,
		Loss: s.rng.Float64() * 0.15, Dup: s.rng.Float64() * 0.03, Reorder: s.rng.Float64() * 0.03,
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
	s.peers["fra"] = s.peer("fra", "10.10.0.10", "udp", false)
	s.peers["zrh"] = s.peer("zrh", "10.20.0.10", "tcp", false)
	s.peers["sto"] = s.peer("sto", "10.30.0.10", "udp", true)
	s.peers["iad"] = s.peer("iad", "10.40.0.10", "udp", false)
	s.peers["dme"] = s.peer("dme", "10.50.0.10", "udp", false)
	return s
}

func (s *sim) peer(name, addr, proto string, srtp bool) *carrier.Peer {
	a := netip.MustParseAddr(addr)
	p, err := carrier.New(carrier.Config{Name: name, Net: s.net.Host(a), Addr: netip.AddrPortFrom(a, 5060), Proto: proto, MediaAddr: a, SRTP: srtp, Seed: s.seed + uint64(len(s.peers)) + 1})
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
	for range 10 + s.rng.IntN(10) {
		time.Sleep(time.Duration(s.rng.IntN(6000)) * time.Millisecond)
		s.trouble()
		s.gate(ctx)
		a := s.act()
		calls.Go(func() { s.call(ctx, a) })
	}
	calls.Wait()
	time.Sleep(70 * time.Second) // 64*T1 and more: whatever was abandoned must be gone
	s.ends()
	if err := s.node.Stop(ctx, 5*time.Second); err != nil {
		s.fault("stop: %v", err)
	}
	cancel()
	peers.Wait()
	s.proof()
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
	if err := s.peers[names[s.rng.IntN(len(names))]].SetBehaviour(b); err != nil {
		s.fault("behaviour: %v", err)
	}
}

// gate lets people act on whatever waits, sometimes well, sometimes half, sometimes not at all.
func (s *sim) gate(ctx context.Context) {
	for _, t := range s.node.Gate().Tickets() {
		if t.State != approval.Pending || t.NotifiedAt.IsZero() || s.rng.IntN(3) == 0 {
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
	move   bool // to another media address, by re-INVITE
	late   bool // the offer comes in the 200
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
	if status >= 200 && status < 300 {
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
	}
	time.Sleep(a.talk / 2)
	_ = c.Hangup(ctx)
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
		if st := p.Stats(); st.FaultCount > 0 {
			s.fault("%s saw breaches of protocol: %v", name, st.Faults)
		}
	}
	if st := s.trunk.Stats(); st.FaultCount > 0 {
		s.fault("the carrier saw breaches of protocol: %v", st.Faults)
	}
	if open := s.net.Open(); len(open) != 0 {
		s.fault("sockets are left open: %v", open)
	}
	for seq := uint64(0); ; {
		list, err := s.node.Log().Entries(context.Background(), seq, 256)
		if err != nil || len(list) == 0 {
			return
		}
		for _, e := range list {
			seq = e.Seq + 1
			s.checkReceipt(e)
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

// dump prints the whole log of a run that broke something.
func (s *sim) dump() {
	for seq := uint64(0); ; {
		list, err := s.node.Log().Entries(context.Background(), seq, 256)
		if err != nil || len(list) == 0 {
			return
		}
		for _, e := range list {
			seq = e.Seq + 1
			fmt.Printf("%d %s %s %.900s\n", e.Seq, e.Time.Format("15:04:05.000000"), e.Kind, e.Body)
		}
	}
}

func runSeed(t *testing.T, seed uint64, text string) (faults []string) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(simDay)) // a bubble begins in the year 2000, under another law
		faults = newSim(t, seed, text).play()
	})
	return faults
}

func TestWholeNodeHoldsItsInvariants(t *testing.T) {
	seeds := uint64(200)
	if v, err := strconv.ParseUint(os.Getenv("CORDON_SEEDS"), 10, 32); err == nil {
		seeds = v
	}
	text := fmt.Sprintf(simConfig, "eea_plus_adequacy", "", "")
	for seed := range seeds {
		t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			if faults := runSeed(t, seed, text); len(faults) > 0 {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(faults, "\n"))
			}
		})
	}
}

// A node with a wrong law must be caught by the watcher on the wire, or the watcher proves nothing.
func TestWholeNodeADeliberateBreachIsSeen(t *testing.T) {
	text := fmt.Sprintf(simConfig, "eea_plus_adequacy", ", aws:us-east-1", breach)
	for seed := range uint64(5) {
		if faults := runSeed(t, seed, text); len(faults) > 0 && strings.Contains(faults[0], "without a live grant") {
			t.Logf("seed %d: %s", seed, faults[0])
			return
		}
	}
	t.Fatal("a node that takes the United States for permitted broke no invariant in five seeds")
}
