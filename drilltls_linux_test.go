package cordon

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sip/transport"
)

// On real sockets, with TLS as in production: who shows a wrong certificate in a drill fails probes and calls as one who really does, at once, and is whole again when it is over.
func TestAWrongCertificateOnRealSockets(t *testing.T) {
	s, err := openSandbox(t.Context(), furnished(t, "genesys-two-sites.yaml"), sandboxOptions{Net: osnet.Net{}, Dir: t.TempDir(), Memory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if err := s.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	to := s.node.cfg.Load().Rules.Routes[0].To
	first := to[0].Party
	target, liar := s.node.checker.Table().ByParty[first][0].Target, s.node.checker.Table().ByParty[to[1].Party][0].Target
	probe := func(to healthcheck.Target) error {
		_, err := s.node.edge.Probe(t.Context(), to)
		return err
	}
	if err := probe(target); err != nil || target.Transport != "tls" {
		t.Fatalf("%s: %v", target.ID(), err)
	}
	liar.Party, liar.Name, liar.Member = target.Party, target.Name, target.Member // where another one answers, whose certificate does not name this one
	really := probe(liar)
	if !errors.Is(really, transport.ErrTLS) {
		t.Fatalf("a wrong certificate gives %v", really)
	}
	s.node.board.Set([]scenario.Taken{{Taking: scenario.Taking{How: scenario.WrongCertificate}, Kind: scenario.Group, Names: []string{first}}}, time.Now().Add(time.Minute), board.All)
	if played := probe(target); !errors.Is(played, transport.ErrTLS) {
		t.Errorf("the drill gives %v, and the real thing %v", played, really)
	}
	from := s.node.log.Size()
	s.ring(t) // somebody else answers
	s.node.board.Set(nil, time.Time{}, board.All)
	if err := probe(target); err != nil {
		t.Errorf("when it is over: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen := errors.New("seen")
	err = audit.Follow(ctx, s.node.log, from, func(e audit.Entry) error {
		ev, err := audit.Decode(e)
		r, ok := ev.(audit.Receipt)
		if err != nil || !ok {
			return err
		}
		if r.EdgeGroup != to[1].Party {
			t.Errorf("%s answered", r.EdgeGroup)
		}
		for _, a := range r.Attempts { // none where a probe was first
			if a.Party == first && !a.At.IsZero() && (a.Result != "lost" || a.Drill != "wrong_certificate") {
				t.Errorf("%+v", a)
			}
		}
		return seen
	})
	if !errors.Is(err, seen) {
		t.Error(err)
	}
}
