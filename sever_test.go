package cordon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// A cut takes effect before anybody writes it down, one person makes it and another one ends it, and the next run knows it.
func TestSever(t *testing.T) {
	inHouse(t, 500*24*time.Hour, true, func(h *house) {
		n := h.node
		s := severs{n}
		trunk := ""
		for _, p := range n.Fence().Snapshot().Parties() {
			if p.Kind == sovereign.KindTrunk {
				trunk = p.Name
			}
		}
		judge := func(p sovereign.Purpose) sovereign.Ruling {
			return n.Fence().Snapshot().JudgeParty(trunk, sovereign.Signalling, p, time.Now())
		}
		ctx := context.Background()
		for want, o := range map[string]desk.Cut{
			"a reason is needed": {Kind: "trunk", Name: trunk}, "is no trunk of this node": {Kind: "trunk", Name: "nobody", Reason: "r"}, "cannot be severed": {Kind: "target", Name: trunk, Reason: "r"},
			"is no region": {Kind: "region", Name: "aws:nowhere-1", Reason: "r"},
		} {
			var no *routing.NotDone
			if err := s.Sever(ctx, o, "anna"); !errors.As(err, &no) || !strings.Contains(no.What, want) || no.Hint == "" {
				t.Errorf("%s: %v", want, err)
			}
		}
		cut := desk.Cut{Kind: "trunk", Name: trunk, Reason: "fraud"}
		if err := s.Sever(ctx, cut, "anna"); err != nil {
			t.Fatal(err)
		}
		if r := judge(sovereign.Production); r.Permitted() || r.Ground != sovereign.GroundSevered {
			t.Errorf("%+v", r)
		}
		if r := judge(sovereign.EmergencyCall); !r.Permitted() {
			t.Errorf("a call for help: %+v", r)
		}
		if err := s.Sever(ctx, cut, "ben"); err == nil {
			t.Error("it was severed twice")
		}
		cut.Force = true
		if err := s.Sever(ctx, cut, "ben"); err != nil {
			t.Fatal(err)
		}
		if r := judge(sovereign.EmergencyCall); r.Permitted() {
			t.Errorf("a call for help, with force: %+v", r)
		}
		n.policy.grantsChanged([]approval.Grant{{ID: "g", Scope: approval.Scope{Trunks: []string{trunk}, Groups: []string{trunk}, Regions: []string{"aws:eu-central-1"}}, From: time.Now(), Until: time.Now().Add(time.Hour)}})
		if r := judge(sovereign.Production); r.Permitted() {
			t.Errorf("a grant opens it: %+v", r)
		}
		if err := s.PutBack(ctx, cut, "ben"); err == nil || !strings.Contains(err.Error(), "who severed does not put back") {
			t.Errorf("%v", err)
		}
		again, err := desk.New(desk.Config{Log: n.log, Store: deskStore{n.kv}})
		if err == nil {
			err = again.Restore(ctx)
		}
		if err != nil || len(again.Book().Cuts()) != 1 || !again.Book().Cuts()[0].Force {
			t.Errorf("the next run knows %+v, %v", again.Book().Cuts(), err)
		}
		if err := s.PutBack(ctx, cut, "anna"); err != nil {
			t.Fatal(err)
		}
		if r := judge(sovereign.Production); !r.Permitted() {
			t.Errorf("put back: %+v", r)
		}
		if err := s.PutBack(ctx, cut, "anna"); err == nil {
			t.Error("it was put back twice")
		}
		if got := h.events(audit.KindSevered); len(got) != 3 || strings.Contains(strings.Join(got, ""), "anna") || !strings.Contains(got[2], `"back":true`) {
			t.Errorf("%v", got)
		}
	})
}

// noLog is a log that cannot be written.
type noLog struct{ audit.Log }

func (noLog) Commit(context.Context, audit.Event) (uint64, error) { return 0, audit.ErrLogDown }

// What makes stricter does not wait for the log; what opens does.
func TestACutNeedsNoLog(t *testing.T) {
	inHouse(t, 500*24*time.Hour, true, func(h *house) {
		n := h.node
		n.desk, _ = desk.New(desk.Config{Log: noLog{n.log}})
		err := severs{n}.Sever(context.Background(), desk.Cut{Kind: "region", Name: "aws:eu-central-1", Reason: "intrusion"}, "anna")
		if !errors.Is(err, audit.ErrLogDown) || !strings.Contains(err.Error(), "is cut off, but the log could not be written") {
			t.Errorf("%v", err)
		}
		if r := n.Fence().Snapshot().JudgeRegion(sovereign.Region{Provider: "aws", Code: "eu-central-1"}, time.Now()); r.Permitted() {
			t.Errorf("%+v", r)
		}
	})
}
