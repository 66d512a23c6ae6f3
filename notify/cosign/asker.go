package cosign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/notify"
)

// Poster is the way to one witness: a notify.Outlet.
type Poster interface {
	Post(ctx context.Context, header http.Header, body []byte) (notify.Answer, error)
}

// Witness is one that is asked.
type Witness struct {
	Key string // its public key, in note verifier form
	To  Poster // its add-checkpoint
}

// Config of an Asker. All but the times and the logger are required.
type Config struct {
	Log       audit.Log
	Witnesses []Witness
	Quorum    int                // how many of them must sign
	Keep      func([]byte) error // takes a checkpoint that enough of them signed, in place of the one before
	Metrics   *Metrics
	Logger    *slog.Logger

	Every   time.Duration // between two rounds, default 1 min
	Timeout time.Duration // of one request, default 10 s
}

const (
	patience    = 3 // rounds without a quorum until the log says so
	maxBackoff  = 16
	appendTime  = 5 * time.Second
	closingTime = 5 * time.Second
	maxWhy      = 200 // bytes of a reason in the log
)

// Asker asks witnesses. Run and Finish are for one goroutine at a time.
type Asker struct {
	c    Config
	log  string      // its keys, as it gives them
	own  *proof.Keys // those alone
	all  *proof.Keys // with those of all witnesses, of which enough must have signed
	list []*asked

	raw  []byte // the checkpoint that is asked for, with the signature of the log alone
	cp   proof.Checkpoint
	kept int // signatures of cp that are kept; 0: none

	entries uint64    // under the newest checkpoint that is kept, 0: none in this run
	good    time.Time // when enough had signed the newest one, or the run began
	missing time.Time // good, as the log has it that they are missing; zero: it has not
}

// New checks c and asks nobody.
func New(c Config) (*Asker, error) {
	if c.Log == nil || c.Keep == nil || c.Metrics == nil || len(c.Witnesses) == 0 || c.Quorum < 1 {
		return nil, errors.New("cosign: a log, a place for checkpoints, metrics, witnesses and a quorum are needed")
	}
	if c.Every <= 0 {
		c.Every = time.Minute
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Asker{c: c}
	for _, w := range c.Witnesses {
		one, err := newAsked(w)
		if err != nil {
			return nil, err
		}
		a.list = append(a.list, one)
	}
	if err := a.rekey(c.Log.Keys()); err != nil {
		return nil, err
	}
	return a, nil
}

// rekey takes the keys of the log: they change when it is handed over from one to the next.
func (a *Asker) rekey(log string) (err error) {
	if a.log == log {
		return nil
	}
	vkeys := make([]string, len(a.list))
	for i, w := range a.list {
		vkeys[i] = w.key
		if w.keys, err = proof.NewKeys(log, []string{w.key}, 1); err != nil {
			return fmt.Errorf("cosign: %w", err)
		}
	}
	if a.own, err = proof.NewKeys(log, nil, 0); err != nil {
		return fmt.Errorf("cosign: %w", err)
	}
	if a.all, err = proof.NewKeys(log, vkeys, a.c.Quorum); err != nil {
		return fmt.Errorf("cosign: %w", err)
	}
	a.log = log
	return nil
}

// Run asks until ctx ends.
func (a *Asker) Run(ctx context.Context) error {
	a.good = time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		begun := time.Now()
		if a.round(ctx, begun) {
			a.tell(ctx, time.Now())
		}
		timer.Reset(max(0, a.c.Every-time.Since(begun)))
	}
}

// Finish asks once for the checkpoint that ends the log, those too who failed lately. It is called after Run, takes five seconds at most, and adds no entry.
func (a *Asker) Finish(ctx context.Context) {
	for _, w := range a.list {
		w.next = time.Time{}
	}
	ctx, cancel := context.WithTimeout(ctx, closingTime)
	defer cancel()
	a.round(ctx, time.Now())
}

// Standing is what one witness says of the log.
type Standing struct {
	Name    string
	Entries uint64 // of the largest checkpoint that it says that it signed; 0: it has said nothing
	Signed  bool   // the log's newest one, now
	Fork    bool   // it has signed another one of that size
	Why     string // it has not signed
}

// Ask asks each witness once for the log's newest checkpoint, and says what each has seen. It is not for an Asker that runs.
func (a *Asker) Ask(ctx context.Context) []Standing {
	a.round(ctx, time.Now())
	out := make([]Standing, len(a.list))
	for i, w := range a.list {
		out[i] = Standing{Name: w.name, Entries: w.seen, Signed: w.line != nil, Fork: w.fork, Why: w.why}
	}
	return out
}

// round asks each witness that is due and has not signed the newest checkpoint yet. False says that there is nothing to be judged by.
func (a *Asker) round(ctx context.Context, now time.Time) bool {
	if err := a.look(ctx); err != nil {
		if ctx.Err() == nil {
			a.c.Logger.Error("the newest checkpoint is not to be had", "error", err)
		}
		return false
	}
	var wg sync.WaitGroup
	for _, w := range a.list {
		if w.line == nil && !now.Before(w.next) {
			wg.Go(func() { a.ask(ctx, w, now) })
		}
	}
	wg.Wait()
	if err := a.keep(); err != nil {
		a.c.Logger.Error("a cosigned checkpoint could not be kept", "error", err)
	}
	return ctx.Err() == nil
}

// look takes the newest checkpoint. Signatures of an older one are of no use for it.
func (a *Asker) look(ctx context.Context) error {
	raw, err := a.c.Log.Checkpoint(ctx)
	if err == nil {
		err = a.rekey(a.c.Log.Keys())
	}
	if err != nil {
		return err
	}
	cp, err := a.own.Open(raw)
	if err != nil {
		return err
	}
	if cp.Text == a.cp.Text {
		return nil
	}
	a.raw, a.cp, a.kept = raw, cp, 0
	for _, w := range a.list {
		w.line = nil
	}
	return nil
}

// signed counts those who signed the checkpoint that is asked for.
func (a *Asker) signed() (n int) {
	for _, w := range a.list {
		if w.line != nil {
			n++
		}
	}
	return n
}

// keep gives away a checkpoint that enough have signed, and again when more have.
func (a *Asker) keep() error {
	n := a.signed()
	if n < a.c.Quorum || n == a.kept {
		return nil
	}
	raw := bytes.Clone(a.raw)
	for _, w := range a.list {
		raw = append(raw, w.line...)
	}
	if _, err := a.all.Open(raw); err != nil {
		return err
	}
	if err := a.c.Keep(raw); err != nil {
		return err
	}
	a.kept, a.entries = n, a.cp.Size
	a.c.Metrics.entries.Set(float64(a.cp.Size))
	return nil
}

// tell says in the log that the quorum is missing, or that it is back: once each, and again only if the log did not take it.
func (a *Asker) tell(ctx context.Context, now time.Time) {
	have := a.kept >= a.c.Quorum
	if have {
		a.good = now
	}
	var ev audit.Event
	switch missing := !a.missing.IsZero(); {
	case have && missing:
		ev = audit.QuorumBack{Entries: a.entries, Wanted: a.c.Quorum, Signed: a.kept, Since: a.missing.UTC()}
	case !have && !missing && now.Sub(a.good) >= patience*a.c.Every:
		ev = audit.QuorumMissing{Entries: a.entries, Wanted: a.c.Quorum, Signed: a.signed(), Since: a.good.UTC(), Failures: a.failures()}
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, appendTime)
	defer cancel()
	if _, err := a.c.Log.Append(ctx, ev); err != nil {
		a.c.Logger.Error("what became of the witnesses could not be logged", "kind", ev.Kind(), "error", err)
		return
	}
	if have {
		a.missing = time.Time{}
		a.c.Metrics.missing.Set(0)
		a.c.Logger.Info("enough witnesses sign again", "signed", a.kept, "wanted", a.c.Quorum)
		return
	}
	a.missing = a.good
	a.c.Metrics.missing.Set(1)
	a.c.Logger.Error("too few witnesses sign the log", "signed", a.signed(), "wanted", a.c.Quorum, "failures", a.failures())
}

// failures says of each witness that did not sign why.
func (a *Asker) failures() (out []string) {
	for _, w := range a.list {
		if w.line == nil && w.why != "" {
			out = append(out, w.name+": "+w.why)
		}
	}
	return out
}
