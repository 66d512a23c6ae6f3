package cordon

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/review"
)

// The clocks of reviews come from the log: what was told is told once, whoever reads it, and a review by a session starts them anew.
func TestReviewsOfANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)))
		ctx, net := t.Context(), vnet.New(1)
		n, err := New(ctx, Options{Config: outlookFile(t, t.TempDir(), ", deputy_for: [crisis_manager]"), Net: net.Host(netip.MustParseAddr("10.1.0.5")), Memory: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(ctx); err != nil {
			t.Fatal(err)
		}
		defer n.Stop(context.Background(), 0)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		start := n.reviews.Standings()
		if len(start) != 2 || start[0].Late || start[0].Due.Before(time.Now().AddDate(0, 6, -1)) || len(start[1].Waits) != 3 {
			t.Fatalf("%+v", start)
		}
		told := func() (list []audit.ReviewDue) {
			entries, err := n.log.Entries(ctx, 0, 10000)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				var ev audit.ReviewDue
				if e.Kind == audit.KindReviewDue && json.Unmarshal(e.Body, &ev) == nil {
					list = append(list, ev)
				}
			}
			return list
		}
		for _, at := range []time.Time{start[0].Due.AddDate(0, 0, -31), start[0].Due.AddDate(0, 0, -30), start[0].Due, start[0].Due} {
			again := &reviews{node: n, mac: n.reviews.mac, book: review.NewBook(), cur: n.reviews.cur} // as after a restart: it has the log alone
			again.cur.Next = 0
			if err := errors.Join(again.catchUp(ctx), again.tell(ctx, at)); err != nil {
				t.Fatal(err)
			}
		}
		if list := told(); len(list) != 4 || list[0].What != "warning" || list[0].Days != 30 || list[3].What != "late" || !list[3].Due.Equal(start[1].Due) {
			t.Errorf("told of %+v", list)
		}
		f, err := n.reviews.Show(ctx, review.Filter)
		if err != nil {
			t.Fatal(err)
		}
		x := review.Signed{Form: review.SignedForm, File: f, Role: "business_owner", Reason: "looked at"}
		for _, i := range f.Document.Items {
			if len(i.Points) > 0 {
				x.Findings = append(x.Findings, review.Finding{Item: i.ID, Verdict: review.Remove, Reason: "nobody calls there"})
			}
		}
		var no *review.Refusal
		if _, _, err := n.reviews.Take(ctx, x, "anna"); !errors.As(err, &no) {
			t.Errorf("in a role that she does not hold: %v", err)
		}
		time.Sleep(24 * time.Hour / 2)
		ev, seq, err := n.reviews.Take(ctx, x, "ben")
		if err != nil || ev.Auth != "bearer" || ev.Remove != len(x.Findings) || seq == 0 || ev.By != n.names.Person("ben") {
			t.Errorf("%+v, %d, %v", ev, seq, err)
		}
		if s := n.reviews.Standings()[0]; !s.Due.After(start[0].Due) || s.Entry != seq {
			t.Errorf("%+v", s)
		}
		people, err := n.reviews.Show(ctx, review.Access)
		deputy := false
		for _, i := range people.Document.Items {
			for _, p := range i.Points {
				deputy = deputy || p == "deputises for crisis_manager"
			}
		}
		if err != nil || !deputy {
			t.Errorf("%v, %+v", err, people.Document.Items)
		}
	})
}
