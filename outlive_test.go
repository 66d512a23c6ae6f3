package cordon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/osnet"
)

// survivors is a node that comes and goes between two peers, with media that another process would hold.
type survivors struct {
	t            *testing.T
	dir          string
	build        string
	media        string   // keys of media
	group        string   // keys of fra, each with a comma behind it
	edit         []string // of the configuration, as strings.NewReplacer takes it
	port         uint16   // of the listener; 0 until it is known
	node         *cordon.Node
	carrier, fra *carrier.Peer
}

func newSurvivors(t *testing.T) *survivors {
	dir, err := os.MkdirTemp("", "cordon") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"T1", "T2", "CORDON_TEST_CLARA"} {
		t.Setenv(name, "a token of "+name+", which is long enough to be one")
	}
	s := &survivors{t: t, dir: dir, build: "test", media: "inprocess: false"}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for name, p := range map[string]**carrier.Peer{"127.1.0.10": &s.carrier, "127.1.0.11": &s.fra} {
		peer, err := carrier.New(carrier.Config{Name: "x", Net: osnet.Net{}, Addr: netip.AddrPortFrom(netip.MustParseAddr(name), 0)})
		if err != nil {
			t.Fatal(err)
		}
		*p = peer
		wg.Go(func() { _ = peer.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

// boot starts the node, again on the same address.
func (s *survivors) boot(more string) error {
	s.t.Helper()
	text := strings.NewReplacer("127.5.0.10:0", fmt.Sprint("127.5.0.10:", s.port), "{host: 127.1.0.10,", fmt.Sprintf("{host: 127.1.0.10, port: %d,", s.carrier.Addr().Port()),
		"{host: 127.1.0.11,", fmt.Sprintf("{host: 127.1.0.11, port: %d,", s.fra.Addr().Port()), "{name: fra,", "{name: fra, "+s.group).Replace(nodeConfig) + "media: {" + s.media + "}\n" + more
	cfg, err := configs.Load(writeConfig(s.t, s.dir, strings.NewReplacer(s.edit...).Replace(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := cordon.New(s.t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Software: s.build, Media: []string{exe, mediaProcess, "--build", s.build}})
	if err != nil {
		return err
	}
	s.node = n
	if err := n.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	_, at, _ := strings.Cut(n.Addrs()[0], " ")
	s.port = netip.MustParseAddrPort(at).Port()
	return nil
}

// call sets one up as soon as the node knows that fra is there, and gives both of its ends.
func (s *survivors) call() (a, b *carrier.Call) {
	s.t.Helper()
	return s.dial(carrier.CallOptions{From: "+4917012", To: "+4930123", NoMedia: true})
}

func (s *survivors) dial(o carrier.CallOptions) (a, b *carrier.Call) {
	s.t.Helper()
	o.Dest = netip.AddrPortFrom(netip.MustParseAddr("127.5.0.10"), s.port)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		before := len(s.fra.Calls())
		a, err := s.carrier.Call(s.t.Context(), o)
		if err != nil {
			continue
		}
		select {
		case <-a.Answered():
			return a, s.fra.Calls()[before]
		case <-a.Done():
		}
	}
	s.t.Fatal("no call was put through")
	return nil, nil
}

// said gives the entries of one kind.
func said[T any](s *survivors, kind audit.Kind) (out []T) {
	s.t.Helper()
	list, err := s.node.Log().Entries(s.t.Context(), 0, 10_000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == kind {
			var v T
			if err := json.Unmarshal(e.Body, &v); err != nil {
				s.t.Fatal(err)
			}
			out = append(out, v)
		}
	}
	return out
}

// stop ends the node as SIGTERM does.
func (s *survivors) stop() {
	s.t.Helper()
	if err := s.node.Stop(context.Background(), 5*time.Second); err != nil {
		s.t.Error(err)
	}
}

// A node that is stopped leaves its call up, and the next one on the same folder has it: either end hangs up, and the log has the records of one call, and no gap.
func TestANodeLeavesItsCallsToTheNext(t *testing.T) {
	s := newSurvivors(t)
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	one, _ := s.call()
	_, two := s.call()
	book := filepath.Join(s.dir, "state", "calls")
	s.stop()
	if st, err := os.Stat(book); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the book of calls: %v, %v", st, err)
	}
	if one.Ended() != "" || two.Ended() != "" {
		t.Fatalf("the stop ended calls: %q, %q", one.Ended(), two.Ended())
	}
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	if r := said[audit.NodeResumed](s, audit.KindNodeResumed); len(r) != 1 || r[0] != (audit.NodeResumed{Calls: 2}) {
		t.Errorf("resumed %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range []*carrier.Call{one, two} {
		if err := c.Hangup(ctx); err != nil {
			t.Error(err)
		}
	}
	seen := map[string]int{}
	for deadline := time.Now().Add(10 * time.Second); len(seen) < 2 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		clear(seen)
		for _, r := range said[audit.Receipt](s, audit.KindReceipt) {
			if r.Outcome.SIPFinal == 200 {
				seen[r.CallRef]++
			}
		}
	}
	for ref, n := range seen {
		if n != 1 {
			t.Errorf("%d receipts of %s", n, ref)
		}
	}
	if g := said[audit.Gap](s, audit.KindGap); len(seen) != 2 || len(g) != 0 {
		t.Errorf("receipts of %d calls, gaps %+v", len(seen), g)
	}
	// A book that is lost is no silent hole.
	s.call()
	s.stop()
	if err := os.Remove(book); err != nil {
		t.Fatal(err)
	}
	if err := s.boot("restart: {calls: end}\n"); err != nil {
		t.Fatal(err)
	}
	if g := said[audit.Gap](s, audit.KindGap); len(g) != 1 || g[0].Cause != "restart" || len(g[0].Calls) != 1 {
		t.Errorf("gaps %+v", g)
	}
	four, _ := s.call()
	if err := s.node.Stop(context.Background(), time.Nanosecond); err != nil {
		t.Error(err)
	}
	select {
	case <-four.Done():
	case <-ctx.Done():
		t.Error("restart: {calls: end} left a call up")
	}
}

// A node of another build has a media process of that build carry the calls on, and says so. Calls that are up keep the workers that they have.
func TestANodeOfAnotherBuild(t *testing.T) {
	s := newSurvivors(t)
	s.media += ", workers: 3, tick: 2ms"
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	one, _ := s.call()
	was := listener(t, filepath.Join(s.dir, "state", "run", "media.sock"))
	s.stop()
	s.build, s.media = "another", "inprocess: false, workers: 2"
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	if now := listener(t, filepath.Join(s.dir, "state", "run", "media.sock")); now == was || syscall.Kill(was, 0) == nil {
		t.Errorf("process %d listens, and %d did", now, was)
	}
	if r := said[audit.MediaRestarted](s, audit.KindMediaRestarted); len(r) != 1 || r[0].From != "test" || r[0].Legs != 2 || r[0].GapMS <= 0 || r[0].At.IsZero() {
		t.Errorf("restarted %+v", r)
	}
	if r := said[audit.NodeResumed](s, audit.KindNodeResumed); len(r) != 1 || r[0] != (audit.NodeResumed{Calls: 1}) {
		t.Errorf("resumed %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	two, _ := s.call()
	for _, c := range []*carrier.Call{one, two} {
		if err := c.Hangup(ctx); err != nil {
			t.Error(err)
		}
	}
	s.stop()
}

// To keep calls takes media that goes on.
func TestCallsAreKeptOnlyWhereMediaGoesOn(t *testing.T) {
	cfg, err := configs.Load(writeConfig(t, t.TempDir(), nodeConfig+"restart: {calls: keep}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Software: "test"}); err == nil || !strings.Contains(err.Error(), "restart.calls") {
		t.Errorf("keep without it: %v", err)
	}
}
