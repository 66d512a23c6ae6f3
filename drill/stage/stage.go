package stage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/nameserver"
	"github.com/cordonsip/cordon/sovereign"
)

// Config of a Stage. From, Net and Dir are required.
type Config struct {
	From *configs.Config // of production; it is not changed
	Net  Net             // of the machine: the sandbox is on it, behind a wall
	Dir  string          // empty folder of the sandbox: configuration, certificates, secrets; its node keeps its state and log below it
	Seed uint64          // of what stand-ins draw; 0: random
	// Pace is between two packets that a stand-in sends; 0: 20 ms, which is what they hold.
	Pace time.Duration
}

// Stage is everything around the node of a sandbox. Fields are not to be changed.
type Stage struct {
	Config  *configs.Config // of the node
	Net     *Wire           // of the node
	Differs []string        // what the sandbox is not like, for whoever reads what was found in it

	from    *configs.Config
	dir     string
	ground  netip.Prefix
	node    netip.Addr
	beyond  *Wire // of the stand-ins
	stands  []*stand
	peers   []*carrier.Peer // by stands
	servers []*nameserver.Server
	secrets map[string]string // file by what it is of
	failed  error             // the first one of a file

	mu        sync.Mutex
	delivered []Delivered
}

// Delivered is one notice that a stand-in of a channel got.
type Delivered struct {
	At   time.Time
	Text string
}

// Open makes the sandbox of a production: binds the stand-ins, writes its files and loads its configuration, which is judged by the law as production is. It starts nothing.
// Call Run, or Close to give the sockets back.
func Open(c Config) (*Stage, error) {
	if c.From.Bound != nil {
		return nil, errors.New("stage: a wider policy waits for people, and until they decide production is judged by the narrower one as well, which a sandbox cannot be: play after their decision")
	}
	ground, err := freeGround(c.From)
	if err != nil {
		return nil, err
	}
	l, err := newLand(c.From, ground, time.Now())
	if err != nil {
		return nil, err
	}
	s := &Stage{from: c.From, dir: c.Dir, ground: ground, secrets: map[string]string{}}
	if s.node, err = l.next(plotNode); err != nil {
		return nil, err
	}
	if s.stands, err = l.stands(); err != nil {
		return nil, err
	}
	owner := map[netip.Addr]string{}
	for _, x := range s.stands {
		owner[x.addr.Addr()] = x.party
	}
	s.Net, s.beyond = newWire(c.Net, ground, s.node, owner), newWire(c.Net, ground, s.node, nil)
	if err := s.build(c, l); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// build binds, writes and loads.
func (s *Stage) build(c Config, l *land) error {
	ca, err := s.certificates()
	if err != nil {
		return err
	}
	for _, at := range s.from.DNS.Servers {
		a, err := l.next(l.place(at.Addr()))
		if err != nil {
			return err
		}
		n, err := nameserver.New(s.beyond, netip.AddrPortFrom(a, 0))
		if err != nil {
			return whole(err)
		}
		s.servers = append(s.servers, n)
	}
	for i, x := range s.stands {
		p, err := s.peer(c, ca, x, i)
		if err != nil {
			return whole(fmt.Errorf("stage: %s: %w", x.party, err))
		}
		s.peers, x.addr = append(s.peers, p), p.Addr()
	}
	for _, n := range s.servers {
		n.Set(s.records())
	}
	f := s.derive(l)
	if err := s.suspensions(); err != nil {
		return err
	}
	if s.failed != nil {
		return s.failed
	}
	text, err := f.YAML()
	if err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	file := filepath.Join(s.dir, fileConfig)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("stage: %w", err)
	}
	if s.Config, err = configs.Load(file); err != nil {
		return fmt.Errorf("stage: the configuration of the sandbox: %w", err)
	}
	return s.alike(l.at)
}

// whole says what a machine lacks on which the ground cannot be bound.
func whole(err error) error {
	return fmt.Errorf("%w (a sandbox needs the whole of 127.0.0.0/8 on the loopback interface, as Linux has it)", err)
}

// alike refuses a sandbox of which the law says something else than of production.
func (s *Stage) alike(at time.Time) error {
	was, is, err := both(s.from, s.Config)
	if err != nil {
		return err
	}
	for _, p := range s.from.Parties {
		for _, plane := range []sovereign.Plane{sovereign.Signalling, sovereign.Media} {
			a, b := was.JudgeParty(p.Name, plane, sovereign.Drill, at), is.JudgeParty(p.Name, plane, sovereign.Drill, at)
			if a.Verdict != b.Verdict || a.Ground != b.Ground || a.Country != b.Country || a.Instrument != b.Instrument {
				return fmt.Errorf("stage: %s is %s in production (%s) and %s in the sandbox (%s): what is found there would say nothing", p.Name, a.Verdict, a.Why, b.Verdict, b.Why)
			}
		}
	}
	return nil
}

// both are the two policies, each with the suspensions that it knows.
func both(a, b *configs.Config) (one, two *sovereign.Snapshot, err error) {
	for c, to := range map[*configs.Config]**sovereign.Snapshot{a: &one, b: &two} {
		overlay, err := c.Overlay()
		if err != nil {
			return nil, nil, fmt.Errorf("stage: the suspensions: %w", err)
		}
		if *to, err = c.Snapshot(1, nil, overlay); err != nil {
			return nil, nil, fmt.Errorf("stage: %w", err)
		}
	}
	return one, two, nil
}

// party is the declaration of a stand-in's party.
func (s *Stage) party(x *stand) *configs.Party {
	if x.trunk {
		return &s.from.File.Trunks[x.index[0]]
	}
	return &s.from.File.EdgeGroups[x.index[0]]
}

// Peers are the stand-ins of a party, in the order of its members.
func (s *Stage) Peers(party string) (out []*carrier.Peer) {
	for i, x := range s.stands {
		if x.party == party {
			out = append(out, s.peers[i])
		}
	}
	return out
}

// Ground is where everything of the sandbox stands.
func (s *Stage) Ground() netip.Prefix { return s.ground }

// Stray is how often a stand-in reached for an address outside, and for which one last. None of it left. What the node did stands in Net.Outside.
func (s *Stage) Stray() (times int, last netip.AddrPort) { return s.beyond.Outside() }

// Run serves the stand-ins until ctx ends.
func (s *Stage) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	run := func(f func(context.Context) error) {
		all.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for _, p := range s.peers {
		run(p.Run)
	}
	for _, n := range s.servers {
		run(n.Run)
	}
	<-ctx.Done()
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stage: %w", err)
	}
	return nil
}

// Close gives back what a Stage holds that was never run.
func (s *Stage) Close() {
	for _, p := range s.peers {
		p.Close()
	}
	for _, n := range s.servers {
		n.Close()
	}
}

// Write takes the notices of the stand-ins of all channels, a line each: it is the console of the node.
func (s *Stage) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range bytes.Lines(b) {
		if text := strings.TrimSpace(string(line)); text != "" {
			s.delivered = append(s.delivered, Delivered{time.Now(), text})
		}
	}
	return len(b), nil
}

// Delivered are the notices that came, in order.
func (s *Stage) Delivered() []Delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Delivered(nil), s.delivered...)
}

// suspensions gives the sandbox what production knows of struck instruments.
func (s *Stage) suspensions() error {
	file := s.from.Suspensions.File
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil // production has none, either
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, fileSuspensions), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("stage: the suspensions: %w", err)
	}
	return nil
}

// secret is the file of a secret of the sandbox's own, made when it is asked for first.
func (s *Stage) secret(of string) string {
	if file, known := s.secrets[of]; known {
		return file
	}
	word := make([]byte, 16)
	_, err := rand.Read(word)
	file := fmt.Sprintf("secret-%d", len(s.secrets))
	s.keep(cmp.Or(err, os.WriteFile(filepath.Join(s.dir, file), []byte(hex.EncodeToString(word)+"\n"), 0o600)))
	s.secrets[of] = file
	return file
}

// copied puts a file of production into the sandbox, under another name with the same ending. What production changes in it later is none of the sandbox's.
func (s *Stage) copied(file, name string) string {
	if file == "" {
		return ""
	}
	name += filepath.Ext(file)
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(s.from.Name), file)
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, name), data, 0o600)
	}
	s.keep(err)
	return name
}

// keep remembers the first file that could not be read or written.
func (s *Stage) keep(err error) {
	if err != nil && s.failed == nil {
		s.failed = fmt.Errorf("stage: %w", err)
	}
}
