package cordon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/review"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	reviewsPrefix = "review.cursor."
	reviewsStep   = 1000            // entries at once
	reviewsPause  = time.Second     // between two readings of a log that grows all the time
	reviewsLook   = time.Hour       // at the clocks, while the log does not grow
	reviewsSave   = 5 * time.Second // the book is a shortcut to the log
	wholeLog      = 100 * 365 * 24 * time.Hour
)

// reviews keeps the book of what is in force, tells of reviews that are due, and takes those that people sign.
type reviews struct {
	node *Node
	mac  func([]byte) []byte

	mu    sync.Mutex // one reading, or one review, at a time
	book  *review.Book
	cur   *notify.Cursor
	saved time.Time

	last atomic.Pointer[[]review.Standing]
}

var _ admin.Reviews = (*reviews)(nil)

func newReviews(n *Node) (*reviews, error) {
	r := &reviews{
		node: n, mac: n.keys.derive("review"), book: review.NewBook(),
		cur: &notify.Cursor{Log: n.log, KV: n.kv, Key: reviewsPrefix + notify.LogID(n.log), MaxAge: wholeLog, Logger: n.logger},
	}
	r.last.Store(&[]review.Standing{})
	return r, n.opts.Metrics.Register(r)
}

var reviewDesc = prometheus.NewDesc("cordon_review_due_seconds", "Time until a periodic review is due, below zero when it is late.", []string{"review"}, nil)

// Describe and Collect make the clocks a metric: it is read when somebody asks.
func (r *reviews) Describe(ch chan<- *prometheus.Desc) { ch <- reviewDesc }

// Collect gives one value for each clock that runs.
func (r *reviews) Collect(ch chan<- prometheus.Metric) {
	for _, s := range *r.last.Load() {
		if !s.Due.IsZero() {
			ch <- prometheus.MustNewConstMetric(reviewDesc, prometheus.GaugeValue, time.Until(s.Due).Seconds(), string(s.Review))
		}
	}
}

// Run reads what is new in the log, and tells of reviews that are due, until ctx ends.
func (r *reviews) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		more := r.turn(ctx)
		wake := time.NewTimer(reviewsLook)
		select {
		case <-ctx.Done():
		case <-more:
			notify.Pause(ctx, reviewsPause)
		case <-wake.C:
		}
		wake.Stop()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewsSave)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.save(last)
	return nil
}

// turn reads and tells once. It gives what is closed when the log grows.
func (r *reviews) turn(ctx context.Context) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.catchUp(ctx)
	if err == nil {
		err = r.tell(ctx, time.Now())
	}
	if err != nil && ctx.Err() == nil {
		r.node.logger.Warn("the log could not be read or written for reviews; it is tried again", "error", err)
		return nil // with the next look
	}
	if time.Since(r.saved) >= reviewsSave {
		r.save(ctx)
	}
	return r.node.log.Grown(r.cur.Next)
}

// catchUp reads what is new in the log; r.mu is held.
func (r *reviews) catchUp(ctx context.Context) error {
	fresh := r.cur.Next == 0 && r.cur.Note == nil
	if err := r.cur.Load(ctx); err != nil {
		return err
	}
	if fresh {
		b := review.NewBook()
		if r.cur.Note == nil || json.Unmarshal(r.cur.Note, b) != nil || !b.Whole() {
			b, r.cur.Next = review.NewBook(), 0
		}
		r.book = b
	}
	for r.cur.Next < r.node.log.Size() {
		list, next, err := audit.Pick(ctx, r.node.log, r.cur.Next, reviewsStep, review.Wanted)
		if err != nil {
			return err
		}
		if next == r.cur.Next {
			break
		}
		for _, e := range list {
			if err := r.book.Take(e); err != nil {
				r.node.logger.Warn("an entry does not read and is left out of reviews", "entry", e.Seq, "kind", e.Kind, "error", err)
			}
		}
		r.cur.Next = next
	}
	r.stand(time.Now())
	return nil
}

func (r *reviews) stand(now time.Time) {
	list := r.book.Standings(r.node.cfg.Load().Reviews, now)
	r.last.Store(&list)
}

// tell writes the warnings that are due; r.mu is held. What could not be written is told at the next look.
func (r *reviews) tell(ctx context.Context, now time.Time) error {
	list := r.book.Warnings(r.node.cfg.Load().Reviews, now)
	for _, w := range list {
		ev := audit.ReviewDue{Review: string(w.Review), What: "warning", Due: w.Due.UTC(), Days: w.Days}
		if w.Late {
			ev.What = "late"
		}
		if _, err := r.node.log.Append(ctx, ev); err != nil {
			return err
		}
		r.node.logger.Warn("a periodic review is due", "review", w.Review, "due", w.Due, "late", w.Late)
	}
	if len(list) == 0 {
		return nil
	}
	return r.catchUp(ctx)
}

// save keeps the book with its place in the log; r.mu is held.
func (r *reviews) save(ctx context.Context) {
	if r.cur.Next == 0 || !r.book.Settled() {
		return
	}
	note, err := json.Marshal(r.book)
	if err == nil {
		r.cur.Note, r.saved = note, time.Now()
		err = r.cur.Save(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.node.logger.Warn("the book of reviews was not kept; it is read again from the log", "error", err)
	}
}

// Standings implements admin.Reviews: as of the last reading.
func (r *reviews) Standings() []review.Standing { return slices.Clone(*r.last.Load()) }

// Past implements admin.Reviews.
func (r *reviews) Past(ctx context.Context) ([]review.Past, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.catchUp(ctx)
	return slices.Clone(r.book.Past), err
}

// Show implements admin.Reviews: the document as of now, with the seal of this node.
func (r *reviews) Show(ctx context.Context, k review.Kind) (review.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.catchUp(ctx); err != nil {
		return review.File{}, err
	}
	f := r.node.cfg.Load().File
	return review.Make(r.book.Document(k, f.Tenant.OrgID, f.Node.Name, r.facts(time.Now()), r.cur.Next, time.Now()), r.mac)
}

// facts are what the configuration says of people beside the accepted policy.
func (r *reviews) facts(now time.Time) review.Facts {
	out := review.Facts{}
	for _, p := range r.node.cfg.Load().People {
		who := r.node.names.Person(p.ID)
		for _, role := range p.DeputyFor {
			out[who] = append(out[who], "deputises for "+role)
		}
		for _, a := range p.Absent {
			if !now.Before(a.From) && now.Before(a.Until) {
				out[who] = append(out[who], "absent until "+a.Until.UTC().Format(time.DateOnly))
			}
		}
	}
	return out
}

// Take implements admin.Reviews: who reviews is whose key signed, or else whose session it is.
func (r *reviews) Take(ctx context.Context, s review.Signed, person string) (audit.ReviewSigned, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.catchUp(ctx); err != nil {
		return audit.ReviewSigned{}, 0, err
	}
	d := &s.File.Document
	session := r.node.names.Person(person)
	ev := audit.ReviewSigned{
		Review: string(d.Review), Document: s.File.Digest, Charter: d.Charter, Accepted: d.Accepted, Made: d.Made, Items: len(d.Items), By: session, Role: s.Role, Reason: s.Reason,
		Auth: "bearer",
	}
	if x := s.Signature; x != nil {
		who, err := r.node.gate.Signer(x.Statement.Key, func(pub []byte) error { return x.Verify(pub) })
		if err != nil {
			return ev, 0, err
		}
		if ev.Signature, err = json.Marshal(x); err != nil {
			return ev, 0, err
		}
		if ev.Auth = "bearer+signature"; who != session {
			ev.By, ev.Auth, ev.HandedIn = who, "signature", session
		}
	}
	if err := r.book.Judge(s, r.node.cfg.Load().Reviews, ev.By, r.rolesOf(ev.By), r.mac, time.Now()); err != nil {
		return ev, 0, err
	}
	ev.Keep, ev.Remove, ev.Change = s.Tally()
	ev.People = d.People(ev.By)
	seq, err := r.write(ctx, s, &ev)
	if err == nil {
		err = r.catchUp(ctx)
	}
	return ev, seq, err
}

// rolesOf are the roles of a pseudonym.
func (r *reviews) rolesOf(who string) []string {
	for _, p := range r.node.cfg.Load().People {
		if r.node.names.Person(p.ID) == who && (p.Expires.IsZero() || time.Now().Before(p.Expires)) {
			return p.Roles
		}
	}
	return nil
}

// write puts what was reviewed, what was found and who signed it into the log.
func (r *reviews) write(ctx context.Context, s review.Signed, ev *audit.ReviewSigned) (uint64, error) {
	document, _, err := s.File.Document.Canonical()
	if err != nil {
		return 0, err
	}
	findings, digest, err := s.FindingsText()
	if err != nil {
		return 0, err
	}
	ev.Findings = digest
	var failed error
	put := func(what, digest string, text []byte) (out []uint64) {
		pieces := review.Pieces(text)
		for i, p := range pieces {
			seq, err := r.node.log.Append(ctx, audit.ReviewText{Digest: digest, What: what, Piece: i + 1, Of: len(pieces), Text: p})
			failed = errors.Join(failed, err)
			out = append(out, seq)
		}
		return out
	}
	ev.DocumentPart, ev.FindingsPart = put("document", ev.Document, document), put("findings", ev.Findings, findings)
	if failed != nil {
		return 0, fmt.Errorf("review: %w", failed)
	}
	return r.node.log.Commit(ctx, *ev)
}
