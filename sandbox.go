package cordon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/configs"
	drillstage "github.com/cordonsip/cordon/drill/stage"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// sandboxReady bounds how long the stand-ins of a sandbox may take until they are all seen.
const sandboxReady = 2 * time.Minute

// sandboxOptions say where a sandbox stands.
type sandboxOptions struct {
	Net      Net
	Dir      string // empty folder; the sandbox's state and log stay in it
	Memory   bool   // state and log of its node are kept in memory: for simulation
	Seed     uint64
	Pace     time.Duration // between two packets of a stand-in; 0: 20 ms
	Software string
}

// sandbox is a second node beside production, among stand-ins: what a drill takes away there nobody misses. Its identifiers, its log and its numbers are its own.
type sandbox struct {
	node   *Node
	stage  *drillstage.Stage
	diary  *os.File // what its node has to say; nil: nobody reads it
	around func() error
}

// openSandbox makes the sandbox of a production, and starts it. The caller closes it.
func openSandbox(ctx context.Context, production *configs.Config, o sandboxOptions) (*sandbox, error) {
	st, err := drillstage.Open(drillstage.Config{From: production, Net: o.Net, Dir: o.Dir, Seed: o.Seed, Pace: o.Pace})
	if err != nil {
		return nil, err
	}
	s := &sandbox{stage: st}
	logger := slog.New(slog.DiscardHandler)
	if !o.Memory {
		if s.diary, err = os.OpenFile(filepath.Join(o.Dir, "node.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
			st.Close()
			return nil, fmt.Errorf("cordon: sandbox: %w", err)
		}
		logger = slog.New(slog.NewTextHandler(s.diary, nil)) // its errors are findings of a drill, and nothing for whoever watches production
	}
	s.node, err = New(ctx, Options{Config: st.Config, Net: st.Net, Software: o.Software, Memory: o.Memory, Console: st, Logger: logger})
	if err != nil {
		st.Close()
		s.closeDiary()
		return nil, fmt.Errorf("cordon: sandbox: %w", err)
	}
	s.node.drillSent = st.Net.Count
	around, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- st.Run(around) }()
	s.around = func() error {
		cancel()
		return <-ended
	}
	if err := s.node.Start(ctx); err != nil {
		s.node.Close(ctx)
		return nil, errors.Join(fmt.Errorf("cordon: sandbox: %w", err), s.around(), s.closeDiary())
	}
	return s, nil
}

// ready waits until every target of the sandbox that may be probed was found up.
func (s *sandbox) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxReady)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := s.missing()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("cordon: sandbox: its stand-ins are not up: %s", strings.Join(missing, "; "))
		}
	}
}

// missing names the permitted targets that are not up, with the reasons.
func (s *sandbox) missing() (out []string) {
	snap, table := s.node.fence.Snapshot(), s.node.checker.Table()
	for _, p := range snap.Parties() {
		if !snap.JudgeParty(p.Name, sovereign.Signalling, sovereign.Drill, time.Now()).Permitted() {
			continue
		}
		up := 0
		for _, st := range table.ByParty[p.Name] {
			if st.State == healthcheck.Up {
				up++
				continue
			}
			out = append(out, fmt.Sprintf("%s is %s (%s)", st.Target.ID(), st.State, st.Why))
		}
		if len(table.ByParty[p.Name]) == 0 {
			out = append(out, p.Name+" has no target")
		}
	}
	slices.Sort(out)
	return out
}

// close ends the node and then everything around it. Files stay.
func (s *sandbox) close(ctx context.Context) error {
	err := s.node.Stop(ctx, time.Second)
	err = errors.Join(err, s.around(), s.closeDiary())
	if n, last := s.stage.Net.Outside(); n > 0 { // the wall held, and something is not as it should be
		err = errors.Join(err, fmt.Errorf("cordon: sandbox: its node reached %d times for addresses outside, for %s last; nothing left", n, last))
	}
	return err
}

func (s *sandbox) closeDiary() error {
	if s.diary == nil {
		return nil
	}
	return s.diary.Close()
}
