package cordon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/prometheus/client_golang/prometheus"
)

// A carrier that loses a media gateway moves every call that is up, at once. This is that storm in the virtual network: thousands of calls between ten addresses of
// a carrier and ten targets of a group, each moved by a re-INVITE to another media address, 1,000 a second, over links that lose one datagram in a hundred. The node
// has as many calls as it may, so that it turns new ones away meanwhile, and each address of the carrier sends twice as many re-INVITEs as it may begin calls.

const stormConfig = `tenant: {org_id: storm}
node: {name: edge, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 10.0.0.0/8, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
media: {address: 10.5.0.11, ports: 10000-59999}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [%s], sources: [10.1.0.0/24], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [%s], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
limits: {max_calls: %d, rate_per_source: 50}
health: {interval: 1s, timeout: 500ms, fall: 3, rise: 2}
api: {address: "off"}
`

const (
	stormRate  = time.Second / 1000 // between two re-INVITEs
	stormSetup = 2500 * time.Microsecond
	stormPeers = 10               // of the carrier, and of the group
	stormDown  = 12 * time.Second // how long a target is down
)

// storm is one run.
type storm struct {
	t       *testing.T
	size    int
	pace    time.Duration // of the tone: one packet when a call is answered, and the next one after the storm
	net     *vnet.Network
	node    *cordon.Node
	metrics *prometheus.Registry
	trunks  []*carrier.Peer
	group   []*carrier.Peer
	calls   []*carrier.Call
	at      map[string]int // the target of a call, by its caller's number
	moved   []move
	wait    sync.WaitGroup
}

// move is what became of one re-INVITE.
type move struct {
	status int
	err    error
	at     time.Time
	took   time.Duration
}

func stormNumber(i int) string { return fmt.Sprintf("+4930%07d", i) }

func newStorm(t *testing.T, size int) *storm {
	s := &storm{t: t, size: size, net: vnet.New(1), metrics: prometheus.NewRegistry(), moved: make([]move, size), at: map[string]int{}}
	s.pace = time.Duration(size)*(stormSetup+stormRate) + 45*time.Second
	s.net.Default(vnet.Quality{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
	signalling := netip.MustParsePrefix("10.5.0.10/32") // what is lost is signalling alone, so that every packet of media counts
	s.net.LinkBoth(signalling, netip.MustParsePrefix("10.0.0.0/8"), vnet.Quality{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.01})
	host := s.net.Host(netip.MustParseAddr("10.5.0.10"), netip.MustParseAddr("10.5.0.11"))
	trunk, group := s.peers("carrier", 1), s.peers("fra", 10)
	cfg, err := configs.Parse("storm.yaml", fmt.Appendf(nil, stormConfig, trunk, group, size))
	if err != nil {
		t.Fatal(err)
	}
	s.node, err = cordon.New(t.Context(), cordon.Options{Config: cfg, Net: host, Memory: true, Software: "storm", Metrics: s.metrics})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stormMedia is where the media of a peer is: at first, and once a carrier's has moved.
func stormMedia(side, i, turn int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(side), byte(1 + turn), byte(10 + i)})
}

// peers makes those of one side, and gives their members as the configuration lists them.
func (s *storm) peers(name string, side int) string {
	var members []string
	for i := range stormPeers {
		a := netip.AddrFrom4([4]byte{10, byte(side), 0, byte(10 + i)})
		p, err := carrier.New(carrier.Config{
			Name: name, Net: s.net.Host(a, stormMedia(side, i, 0), stormMedia(side, i, 1)), Addr: netip.AddrPortFrom(a, 5060), MediaAddr: stormMedia(side, i, 0),
			Pace: s.pace, Seed: uint64(100*side + i + 1),
		})
		if err != nil {
			s.t.Fatal(err)
		}
		if side == 1 {
			s.trunks = append(s.trunks, p)
		} else {
			s.group = append(s.group, p)
		}
		members = append(members, fmt.Sprintf("{host: %s, port: 5060, transport: udp, weight: 1}", a))
	}
	return strings.Join(members, ", ")
}

// play runs the story.
func (s *storm) play(down bool) {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var peers sync.WaitGroup
	for _, p := range slices.Concat(s.trunks, s.group) {
		peers.Go(func() { _ = p.Run(ctx) })
	}
	if err := s.node.Start(ctx); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // until the targets are known to be up
	begin := time.Now()
	s.establish(ctx)
	s.blow(ctx, down)
	if took := time.Since(begin); took > s.pace {
		s.t.Errorf("%v until every call has moved: the second packet of tone must come after that", took)
	}
	time.Sleep(time.Until(begin.Add(2*s.pace - time.Second))) // the third one is still to come
	s.settled(down)
	s.hangUp(ctx)
	time.Sleep(70 * time.Second) // 64*T1 and more
	s.nothingLeft(ctx)
	if err := s.node.Stop(ctx, 5*time.Second); err != nil {
		s.t.Errorf("stop: %v", err)
	}
	cancel()
	peers.Wait()
	if open := s.net.Open(); len(open) != 0 {
		s.t.Errorf("%d sockets are left open, e.g. %v", len(open), open[:min(len(open), 5)])
	}
	s.receipts()
}

// establish sets all calls up.
func (s *storm) establish(ctx context.Context) {
	for i := range s.size {
		s.calls = append(s.calls, s.dial(ctx, i))
		time.Sleep(stormSetup)
	}
	for i, c := range s.calls {
		if status, err := c.WaitFinal(ctx); err != nil || status != 200 {
			s.t.Errorf("call %d was answered with %d, %v", i, status, err)
		}
	}
	time.Sleep(5 * time.Second) // until ACKs that were lost went again
	for i, p := range s.group {
		for _, c := range p.Calls() {
			if from := c.Header("From"); len(from) == 1 {
				n := strings.Index(from[0], "+4930")
				s.at[from[0][n:n+len(stormNumber(0))]] = i
			}
		}
	}
	if len(s.at) != s.size {
		s.t.Errorf("%d calls reached a target, want %d", len(s.at), s.size)
	}
}

func (s *storm) dial(ctx context.Context, i int) *carrier.Call {
	c, err := s.trunks[i%stormPeers].Call(ctx, carrier.CallOptions{From: stormNumber(i), To: "+4969900100", Dest: netip.MustParseAddrPort("10.5.0.10:5060")})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// blow moves every call, and asks for new ones meanwhile.
func (s *storm) blow(ctx context.Context, down bool) {
	wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	begin, fell := time.Now(), false
	for i, c := range s.calls {
		if down && !fell && i == s.size/4 {
			fell = true
			s.fall()
		}
		if i%(s.size/10) == s.size/20 {
			s.wait.Go(func() { s.turnedAway(wait) })
		}
		s.wait.Go(func() {
			m := &s.moved[i]
			m.at = time.Now()
			m.status, m.err = c.MoveMedia(wait, stormMedia(1, i%stormPeers, 1))
			m.took = time.Since(m.at)
		})
		time.Sleep(stormRate)
	}
	if took := time.Since(begin); took != time.Duration(s.size)*stormRate {
		s.t.Errorf("the storm took %v", took)
	}
	s.wait.Wait()
}

// fall takes a target down for a while: it hears nothing and says nothing.
func (s *storm) fall() {
	if err := s.group[0].SetBehaviour(carrier.Behaviour{Silent: true}); err != nil {
		s.t.Error(err)
	}
	s.wait.Go(func() {
		time.Sleep(stormDown)
		if err := s.group[0].SetBehaviour(carrier.Behaviour{}); err != nil {
			s.t.Error(err)
		}
	})
}

// turnedAway asks for one call more than the node may have: overload control answers it, and it alone.
func (s *storm) turnedAway(ctx context.Context) {
	if status, err := s.dial(ctx, s.size).WaitFinal(ctx); err != nil || status != 503 {
		s.t.Errorf("a new call in the storm was answered with %d, %v", status, err)
	}
}

// settled looks at every call after the storm: its re-INVITE was answered in time, it is up, and it is heard where it went.
func (s *storm) settled(down bool) {
	var took []time.Duration
	faults := 0
	fault := func(format string, args ...any) {
		if faults++; faults <= 10 {
			s.t.Errorf(format, args...)
		}
	}
	waited := 0
	for i, c := range s.calls {
		m, media := s.moved[i], c.Media()
		if m.err != nil || m.status != 200 {
			fault("the re-INVITE of call %d was answered with %d, %v", i, m.status, m.err)
		}
		if down && s.at[stormNumber(i)] == 0 && m.at.Add(m.took).After(s.moved[s.size/4].at) {
			waited++ // for its target
		} else {
			took = append(took, m.took)
		}
		if c.Ended() != "" {
			fault("call %d ended: %s", i, c.Ended())
		}
		if want := stormMedia(1, i%stormPeers, 1); media.Local.Addr() != want {
			fault("the media of call %d is at %v, want %v", i, media.Local, want)
		}
		if media.Sent != 2 || media.Matched != 2 || !media.LastEcho.After(m.at.Add(m.took)) {
			fault("call %d: %d packets of tone sent, %d came back, the last one at %v", i, media.Sent, media.Matched, media.LastEcho)
		}
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	s.t.Logf("%d calls moved: answered after %v in the median, p99 %v, at most %v; %d waited for a target that was down", s.size, took[len(took)/2], p99, took[len(took)-1], waited)
	if p99 >= 2*time.Second || down && waited < s.size/100 || !down && waited > 0 {
		s.t.Errorf("p99 of the answers is %v, and %d calls waited for their target", p99, waited)
	}
	reinvites, retransmits := 0, 0
	for _, p := range s.group {
		st := p.Stats()
		reinvites, retransmits = reinvites+st.Reinvites, retransmits+st.Retransmits
	}
	if reinvites != s.size || retransmits == 0 {
		s.t.Errorf("the targets saw %d re-INVITEs, want %d, and %d retransmissions", reinvites, s.size, retransmits)
	}
	if got := s.metric("cordon_sip_turned_away_total"); got != 10 {
		s.t.Errorf("%v calls were turned away, want 10", got)
	}
	if n := len(s.node.Edge().Calls()); n != s.size {
		s.t.Errorf("the node has %d calls, want %d", n, s.size)
	}
}

// metric is the sum of a counter over its labels.
func (s *storm) metric(name string) (sum float64) {
	list, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range list {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// hangUp ends every call by BYE.
func (s *storm) hangUp(ctx context.Context) {
	wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for i, c := range s.calls {
		s.wait.Go(func() {
			if err := c.Hangup(wait); err != nil || c.Ended() != "bye sent" {
				s.t.Errorf("call %d: %v, %s", i, err, c.Ended())
			}
		})
		time.Sleep(stormRate)
	}
	s.wait.Wait()
}

// nothingLeft is the node at rest: no call, no port of media, no transaction but those of probes.
func (s *storm) nothingLeft(ctx context.Context) {
	if n := s.node.Relay().Sessions(); n != 0 {
		s.t.Errorf("%d media sessions are left", n)
	}
	if calls, tx := s.node.Edge().Pending(ctx); calls != 0 || tx > 10*2*stormPeers {
		s.t.Errorf("%d calls and %d transactions are left", calls, tx)
	}
	for _, p := range slices.Concat(s.trunks, s.group) {
		if st := p.Stats(); st.FaultCount > 0 || st.Active > 0 {
			s.t.Errorf("%v: %d calls left, breaches of protocol: %v", p.Addr(), st.Active, st.Faults)
		}
	}
}

// receipts looks for one of each call, and for the move in it.
func (s *storm) receipts() {
	answered, moved := 0, 0
	for e := range everyEntry(s.node) {
		var r audit.Receipt
		if e.Kind != audit.KindReceipt {
			continue
		}
		if err := json.Unmarshal(e.Body, &r); err != nil {
			s.t.Fatal(err)
		}
		if r.TAnswer.IsZero() || r.Overall != "compliant" || r.Outcome.SIPFinal != 200 {
			continue
		}
		answered++
		if slices.ContainsFunc(r.Moves, func(m audit.Move) bool {
			return m.Allowed && m.Cause == "reinvite" && strings.HasPrefix(m.To, "10.1.2.")
		}) {
			moved++
		}
	}
	if answered != s.size || moved != s.size {
		s.t.Errorf("%d receipts of calls, %d of them with the move; want %d", answered, moved, s.size)
	}
}

// `make soak` plays all 10,000, `make test` as many as a few seconds allow.
func TestAStormOfReinvitesLosesNoCall(t *testing.T) {
	size := 2000
	if v, err := strconv.Atoi(os.Getenv("CORDON_STORM")); err == nil {
		size = v
	}
	for name, down := range map[string]bool{"all targets up": false, "a target goes down": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(simDay))
				newStorm(t, size).play(down)
			})
		})
	}
}
