package cosign

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/witness"
	"github.com/cordonsip/cordon/audit/witness/door"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

func seed(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

func newLog(t *testing.T, key byte) audit.Log {
	t.Helper()
	l, err := audit.Memory(audit.Config{Signer: seed(key), Origin: fmt.Sprintf("cordon/bank-%d/edge-1", key)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func grow(t *testing.T, l audit.Log, n int) {
	t.Helper()
	for range n {
		if _, err := l.Append(t.Context(), audit.NodeStarted{}); err != nil {
			t.Fatal(err)
		}
	}
}

func cosigner(t *testing.T, b byte) *proof.Cosigner {
	t.Helper()
	c, err := proof.NewCosigner(fmt.Sprintf("witness.example/w%d", b), seed(b))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// far is a stand-in: a real witness, or what a test puts in its place.
type far struct {
	by     *proof.Cosigner
	state  *witness.State
	handle http.Handler
	lie    func(ctx context.Context, body []byte) (notify.Answer, error) // nil: it is honest
	posts  int
	last   proof.Addition
}

func newFar(t *testing.T, b byte, logs ...audit.Log) *far {
	t.Helper()
	f := &far{by: cosigner(t, b)}
	state, err := witness.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	f.state = state
	var vkeys []string
	for _, l := range logs {
		vkeys = append(vkeys, l.VerifierKey())
	}
	if f.handle, err = door.New(door.Config{State: state, By: f.by, Logs: vkeys}); err != nil {
		t.Fatal(err)
	}
	return f
}

// Post implements Poster.
func (f *far) Post(ctx context.Context, _ http.Header, body []byte) (notify.Answer, error) {
	f.posts++
	f.last, _, _ = proof.ParseAddition(body)
	if f.lie != nil {
		return f.lie(ctx, body)
	}
	w := httptest.NewRecorder()
	f.handle.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	return notify.Answer{Status: w.Code, Type: w.Header().Get("Content-Type"), Body: w.Body.Bytes()}, nil
}

func hangs(ctx context.Context, _ []byte) (notify.Answer, error) {
	<-ctx.Done()
	return notify.Answer{}, ctx.Err()
}

func answers(status int, kind, body string) func(context.Context, []byte) (notify.Answer, error) {
	return func(context.Context, []byte) (notify.Answer, error) {
		return notify.Answer{Status: status, Type: kind, Body: []byte(body)}, nil
	}
}

// desk is an asker with what it kept.
type desk struct {
	*Asker
	log  audit.Log
	all  *proof.Keys
	kept []proof.Checkpoint
	reg  *prometheus.Registry
}

func newDesk(t *testing.T, l audit.Log, quorum int, list ...*far) *desk {
	t.Helper()
	d := &desk{log: l, reg: prometheus.NewRegistry()}
	m, err := NewMetrics(d.reg)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Log: l, Quorum: quorum, Metrics: m}
	var vkeys []string
	for _, f := range list {
		c.Witnesses = append(c.Witnesses, Witness{Key: f.by.VerifierKey(), To: f})
		vkeys = append(vkeys, f.by.VerifierKey())
	}
	if d.all, err = proof.NewKeys(l.VerifierKey(), vkeys, quorum); err != nil {
		t.Fatal(err)
	}
	c.Keep = func(raw []byte) error {
		cp, err := d.all.Open(raw)
		if err != nil {
			t.Errorf("kept what does not hold: %v", err)
		}
		d.kept = append(d.kept, cp)
		return nil
	}
	if d.Asker, err = New(c); err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs the asker beside the test, and gives what ends it.
func (d *desk) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// newest is what was kept last.
func (d *desk) newest(t *testing.T) proof.Checkpoint {
	t.Helper()
	if len(d.kept) == 0 {
		t.Fatal("nothing was kept")
	}
	return d.kept[len(d.kept)-1]
}

// said are the entries of the log about witnesses.
func (d *desk) said(t *testing.T) (out []audit.Event) {
	t.Helper()
	list, err := d.log.Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == audit.KindQuorumMissing || e.Kind == audit.KindQuorumBack {
			ev, err := audit.Decode(e)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, ev)
		}
	}
	return out
}

// metric gives one value; labels are those that must be there.
func (d *desk) metric(t *testing.T, name string, labels ...string) (v float64) {
	t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			fits := f.GetName() == name
			for _, l := range m.GetLabel() {
				fits = fits && slices.Contains(labels, l.GetValue())
			}
			if fits {
				v += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return v
}

func TestEachMinuteWhatIsNewIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		grow(t, l, 3)
		one, two := newFar(t, 11, l), newFar(t, 12, l)
		d := newDesk(t, l, 2, one, two)
		stop := d.run(t)
		defer stop()
		synctest.Wait()
		if cp := d.newest(t); cp.Size != 3 || len(cp.Witnesses) != 2 {
			t.Errorf("%+v", cp)
		}
		posts := one.posts
		time.Sleep(10 * time.Minute)
		if one.posts != posts || len(d.kept) != 1 {
			t.Errorf("asked %d times for nothing new, kept %d", one.posts-posts, len(d.kept))
		}
		for range 5 {
			grow(t, l, 4)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if cp := d.newest(t); cp.Size != 23 || len(cp.Witnesses) != 2 || one.posts-posts != 5 || one.last.Old != 19 || len(one.last.Hashes) == 0 {
			t.Errorf("%+v, asked %d times, last from %d", cp, one.posts-posts, one.last.Old)
		}
		if said := d.said(t); len(said) != 0 {
			t.Errorf("said %v", said)
		}
		if got := d.metric(t, "cordon_witness_cosigned_entries"); got != 23 {
			t.Errorf("the metric says %v", got)
		}
	})
}

// A second run does not know what the witnesses signed, and they remember.
func TestANewRunGoesOnWhereTheWitnessStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		grow(t, l, 3)
		f := newFar(t, 11, l)
		newDesk(t, l, 1, f).Finish(t.Context())
		grow(t, l, 2)
		d := newDesk(t, l, 1, f)
		f.posts = 0
		d.Finish(t.Context())
		if cp := d.newest(t); cp.Size != 5 || f.posts != 2 || f.last.Old != 3 {
			t.Errorf("%+v after %d requests, the last from %d", cp, f.posts, f.last.Old)
		}
	})
}

func TestMissingAndBackAreSaidOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		grow(t, l, 3)
		good, bad := newFar(t, 11, l), newFar(t, 12, l)
		d := newDesk(t, l, 2, good, bad)
		stop := d.run(t)
		defer stop()
		synctest.Wait()
		began := time.Now()
		bad.lie = answers(503, "", "")
		for minute := range 120 {
			grow(t, l, 1)
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(d.said(t)); (n > 0) != (minute >= 2) || n > 1 {
				t.Fatalf("after %d minutes it was said %d times", minute+1, n)
			}
		}
		missing, ok := d.said(t)[0].(audit.QuorumMissing)
		if !ok || missing.Entries != 3 || missing.Wanted != 2 || missing.Signed != 1 || missing.Since.After(began) ||
			!slices.Equal(missing.Failures, []string{"witness.example/w12: it answered 503"}) {
			t.Errorf("%+v", d.said(t))
		}
		if bad.posts > 20 || bad.posts < 8 {
			t.Errorf("a witness that fails for two hours was asked %d times", bad.posts)
		}
		if good.posts < 120 {
			t.Errorf("the other one was asked %d times", good.posts)
		}
		if d.metric(t, "cordon_witness_quorum_missing") != 1 {
			t.Error("the metric does not say so")
		}
		bad.lie = nil
		for range 20 {
			grow(t, l, 1)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		said := d.said(t)
		if len(said) != 2 {
			t.Fatalf("%+v", said)
		}
		back, ok := said[1].(audit.QuorumBack)
		if !ok || back.Signed != 2 || back.Wanted != 2 || back.Entries < 124 || !back.Since.Equal(missing.Since) {
			t.Errorf("%+v", said[1])
		}
		if d.metric(t, "cordon_witness_quorum_missing") != 0 || d.newest(t).Size < 140 {
			t.Errorf("kept %+v", d.newest(t))
		}
	})
}

// TestAHiccupIsNoEntry: one round that fails says nothing.
func TestAHiccupIsNoEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		f := newFar(t, 11, l)
		d := newDesk(t, l, 1, f)
		stop := d.run(t)
		defer stop()
		synctest.Wait()
		for minute := range 30 {
			f.lie = nil
			if minute%10 == 5 {
				f.lie = answers(500, "", "")
			}
			grow(t, l, 1)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if said := d.said(t); len(said) > 0 || d.newest(t).Size < 29 {
			t.Errorf("%+v %+v", said, d.newest(t))
		}
	})
}

// TestWitnessesThatLie holds what one may answer, that nothing of it is kept, and that a good one beside it counts.
func TestWitnessesThatLie(t *testing.T) {
	fenced := fmt.Errorf("to 192.0.2.1: %w", sovereign.ErrFenced)
	another := func(t *testing.T, text string) string {
		line, err := cosigner(t, 77).Sign(text, time.Unix(1795000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		return string(line)
	}
	for name, c := range map[string]struct {
		lie    func(t *testing.T, ctx context.Context, body []byte) (notify.Answer, error)
		why    string
		result string
	}{
		"hangs": {func(_ *testing.T, ctx context.Context, b []byte) (notify.Answer, error) { return hangs(ctx, b) }, "deadline exceeded", "failed"},
		"is gone": {func(*testing.T, context.Context, []byte) (notify.Answer, error) {
			return notify.Answer{}, errors.New("refused")
		}, "refused", "failed"},
		"is fenced":    {func(*testing.T, context.Context, []byte) (notify.Answer, error) { return notify.Answer{}, fenced }, "192.0.2.1", "fenced"},
		"does not":     {said(403, "", "signed by another key"), "it answered 403", "refused"},
		"redirects":    {said(302, "", ""), "it answered 302", "refused"},
		"says nothing": {said(200, "", ""), "without a signature of its key", "refused"},
		"says much":    {said(200, "", strings.Repeat("\u2014 x AAAA\n", 4000)), "without a signature of its key", "refused"},
		"another text": {func(t *testing.T, _ context.Context, b []byte) (notify.Answer, error) {
			line, err := cosigner(t, 11).Sign("cordon/bank-1/edge-1\n3\nAAAA\n", time.Now())
			return notify.Answer{Status: 200, Body: line}, err
		}, "without a signature of its key", "refused"},
		"another key": {func(t *testing.T, _ context.Context, b []byte) (notify.Answer, error) {
			_, claim, err := proof.ParseAddition(b)
			return notify.Answer{Status: 200, Body: []byte(another(t, claim.Text))}, err
		}, "without a signature of its key", "refused"},
		"409 without a type":       {said(409, "text/plain", "1\n"), "409 without a size", "refused"},
		"409 without a number":     {said(409, proof.SizeType, "one\n"), "decimal number", "refused"},
		"409 of what it was given": {said(409, proof.SizeType, "0\n"), "names the size that it was given", "refused"},
		"409 again":                {said(409, proof.SizeType, "2\n"), "names the size that it was given", "refused"},
		"knows more than there is": {said(409, proof.SizeType, "4\n"), "it has signed 4 entries of this log, which has 3: the log was rolled back", "refused"},
		"knows another history":    {said(409, proof.SizeType, "3\n"), "another checkpoint of 3 entries: the log has two histories", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(t, 1)
				grow(t, l, 3)
				bad, good := newFar(t, 11, l), newFar(t, 12, l)
				bad.lie = func(ctx context.Context, body []byte) (notify.Answer, error) { return c.lie(t, ctx, body) }
				d := newDesk(t, l, 1, bad, good)
				stop := d.run(t)
				defer stop()
				time.Sleep(30 * time.Second)
				synctest.Wait()
				if cp := d.newest(t); cp.Size != 3 || len(cp.Witnesses) != 1 || cp.Witnesses[0].Name != good.by.Name() {
					t.Errorf("kept %+v", cp)
				}
				if why := d.list[0].why; !strings.Contains(why, c.why) || bad.posts > 2 {
					t.Errorf("%q after %d requests", why, bad.posts)
				}
				if d.metric(t, "cordon_witness_requests_total", bad.by.Name(), c.result) != 1 || d.metric(t, "cordon_witness_requests_total", good.by.Name(), "signed") != 1 {
					t.Error("it is not counted")
				}
			})
		})
	}
}

func said(status int, kind, body string) func(*testing.T, context.Context, []byte) (notify.Answer, error) {
	return func(_ *testing.T, ctx context.Context, b []byte) (notify.Answer, error) {
		return answers(status, kind, body)(ctx, b)
	}
}

// TestAForkIsSeen: a witness that a second log of the same key was shown to says so.
func TestAForkIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, twin := newLog(t, 1), newLog(t, 1)
		grow(t, twin, 3)
		f := newFar(t, 11, l)
		newDesk(t, twin, 1, f).Finish(t.Context())
		grow(t, l, 1)
		time.Sleep(time.Second)
		grow(t, l, 2)
		d := newDesk(t, l, 1, f)
		d.Finish(t.Context())
		if len(d.kept) > 0 || !strings.Contains(d.list[0].why, "two histories") {
			t.Errorf("kept %v, %q", d.kept, d.list[0].why)
		}
		grow(t, l, 2)
		d = newDesk(t, l, 1, f)
		d.Finish(t.Context())
		if len(d.kept) > 0 || d.list[0].why != "it answered 422" {
			t.Errorf("kept %v, %q", d.kept, d.list[0].why)
		}
	})
}

func TestTheEndOfTheLogIsSignedAndNothingIsAddedBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		f, gone := newFar(t, 11, l), newFar(t, 12, l)
		gone.lie = hangs
		d := newDesk(t, l, 1, f, gone)
		stop := d.run(t)
		time.Sleep(10 * time.Minute)
		stop()
		if _, err := l.Append(t.Context(), audit.NodeStopped{}); err != nil {
			t.Fatal(err)
		}
		size, begun := l.Size(), time.Now()
		d.Finish(t.Context())
		if cp := d.newest(t); cp.Size != size || l.Size() != size || time.Since(begun) > closingTime {
			t.Errorf("%d of %d entries after %v", cp.Size, l.Size(), time.Since(begun))
		}
	})
}

// TestAStopWaitsForNoWitness: what is under way when the node stops ends with it, and says nothing of the witness.
func TestAStopWaitsForNoWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		f := newFar(t, 11, l)
		f.lie = hangs
		d := newDesk(t, l, 1, f)
		stop := d.run(t)
		synctest.Wait()
		begun := time.Now()
		stop()
		if took := time.Since(begun); took > 0 || d.list[0].why != "" {
			t.Errorf("it took %v, %q", took, d.list[0].why)
		}
	})
}

// TestTwoLogsWitnessEachOther: what one says of the other is an entry of neither, so that they come to rest.
func TestTwoLogsWitnessEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newLog(t, 1), newLog(t, 2)
		ofA, ofB := newFar(t, 11, b), newFar(t, 12, a)
		one, two := newDesk(t, a, 1, ofB), newDesk(t, b, 1, ofA)
		defer one.run(t)()
		defer two.run(t)()
		for range 10 {
			grow(t, a, 3)
			grow(t, b, 5)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if one.newest(t).Size != 30 || two.newest(t).Size != 50 {
			t.Errorf("%d, %d", one.newest(t).Size, two.newest(t).Size)
		}
		posts := ofA.posts + ofB.posts
		time.Sleep(time.Hour)
		if ofA.posts+ofB.posts != posts || a.Size() != 30 || b.Size() != 50 {
			t.Error("they do not come to rest")
		}
	})
}

// TestWhatCannotBeKeptIsTriedAgain: a disk that is full for a minute costs no signature.
func TestWhatCannotBeKeptIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		grow(t, l, 2)
		f := newFar(t, 11, l)
		d := newDesk(t, l, 1, f)
		keep := d.c.Keep
		var room atomic.Bool
		d.c.Keep = func(raw []byte) error {
			if !room.Load() {
				return errors.New("no space")
			}
			return keep(raw)
		}
		stop := d.run(t)
		defer stop()
		synctest.Wait()
		room.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if cp := d.newest(t); cp.Size != 2 || f.posts != 1 {
			t.Errorf("%+v after %d requests", cp, f.posts)
		}
	})
}

func TestNew(t *testing.T) {
	l := newLog(t, 1)
	f := newFar(t, 11, l)
	m, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	keep := func([]byte) error { return nil }
	good := Witness{Key: f.by.VerifierKey(), To: f}
	for want, c := range map[string]Config{
		"are needed":         {Log: l, Keep: keep, Metrics: m, Quorum: 1},
		"key of a witness":   {Log: l, Keep: keep, Metrics: m, Quorum: 1, Witnesses: []Witness{{Key: "x", To: f}}},
		"no way to":          {Log: l, Keep: keep, Metrics: m, Quorum: 1, Witnesses: []Witness{{Key: good.Key}}},
		"2 witnesses are":    {Log: l, Keep: keep, Metrics: m, Quorum: 2, Witnesses: []Witness{good}},
		"of another witness": {Log: l, Keep: keep, Metrics: m, Quorum: 1, Witnesses: []Witness{good, good}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestTheEndIsAskedOfThoseWhoFailedLately: there is no later round.
func TestTheEndIsAskedOfThoseWhoFailedLately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		f := newFar(t, 11, l)
		f.lie = answers(503, "", "")
		d := newDesk(t, l, 1, f)
		stop := d.run(t)
		synctest.Wait()
		stop()
		f.lie = nil
		grow(t, l, 1)
		d.Finish(t.Context())
		if cp := d.newest(t); cp.Size != 1 {
			t.Errorf("%+v", cp)
		}
	})
}

// TestTheKeyOfTheLogChanges holds that witnesses who know the former key sign on while both sign, and afterwards refuse with a sentence until they are given
// the hand-over.
func TestTheKeyOfTheLogChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 1)
		f := newFar(t, 11, l)
		d := newDesk(t, l, 1, f)
		stop := d.run(t)
		defer stop()
		synctest.Wait()
		before := proof.FirstKey(l.Keys())
		if _, err := l.RotateKey(t.Context(), audit.Rotation{Next: seed(2), By: "p-a", Reason: "yearly", Overlap: 10 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		var err error
		if d.all, err = proof.NewKeys(l.Keys(), []string{f.by.VerifierKey()}, 1); err != nil {
			t.Fatal(err)
		}
		grow(t, l, 3)
		time.Sleep(time.Minute)
		synctest.Wait()
		if cp := d.newest(t); cp.Size != 4 || !strings.HasPrefix(proof.KeyID(l.VerifierKey()), cp.Signer) {
			t.Errorf("while both sign: %+v", cp)
		}
		time.Sleep(10 * time.Minute)
		grow(t, l, 3)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if cp := d.newest(t); cp.Size != 4 || d.list[0].why != "it answered 403" {
			t.Errorf("a witness that knows the former key alone: %+v, %q", cp, d.list[0].why)
		}
		said := httptest.NewRecorder()
		cp, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.handle.ServeHTTP(said, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(proof.Addition{Old: 4, Checkpoint: cp}.Marshal())))
		if said.Code != http.StatusForbidden || !strings.Contains(said.Body.String(), "if the log's key was handed over, the hand-overs (log.keys of the log) are needed") {
			t.Errorf("%d %s", said.Code, said.Body)
		}
		if f.handle, err = door.New(door.Config{State: f.state, By: f.by, Logs: []string{l.Keys()}}); err != nil {
			t.Fatal(err)
		}
		grow(t, l, 1)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if cp := d.newest(t); cp.Size < 8 || before == l.VerifierKey() {
			t.Errorf("with the hand-over: %+v, %q", cp, d.list[0].why)
		}
	})
}
