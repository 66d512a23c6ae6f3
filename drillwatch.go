package cordon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/observe"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/transport"
)

// Bounds of what a watch reads and waits for.
const (
	drillPast     = 10 * time.Minute // of production in front of a play, against which its failures are held
	drillPastMost = 20_000           // entries of it
	drillCatchUp  = 10 * time.Second // for the log to be read and signed up to the end
	drillBehind   = 5 * time.Second  // an entry that was not read by then: what is real is not seen, and the play ends
)

// drillWatch is what a play sees of this node: its log, what leaves it, and how busy it is.
type drillWatch struct {
	n      *Node
	o      *observe.Observer
	caller *drillCaller
	first  uint64                    // entry with which the play began
	sent   func(party string) uint64 // datagrams that left for a party so far
	next   atomic.Uint64             // the first entry that was not read yet
	ended  atomic.Pointer[string]    // why nothing more is seen, or the view of a canary ended before its time

	mu      sync.Mutex
	parties []string // that must get nothing
	counted map[string]uint64
	at      time.Time // of the last count
	lag     lag
	busy    osnet.Busy
	cpu     float64
}

// watch begins to look.
func (n *Node) watch(ctx context.Context, ask drillAsk, c *drillCaller) (*drillWatch, error) {
	start := observe.Start{ID: ask.ID, At: time.Now(), First: n.log.Size(), Targets: map[string]string{}}
	if ask.Mode == scenario.Canary {
		start.View = ask.ID
	}
	for _, list := range n.checker.Table().ByParty {
		for _, st := range list {
			start.Targets[st.Target.ID()] = st.State.String()
		}
	}
	w := &drillWatch{n: n, caller: c, first: start.First, sent: n.drillSent, at: start.At, counted: map[string]uint64{}, o: observe.New(ask.Play, start)}
	if w.sent == nil {
		d := newDepartures(n.edge.Calls)
		n.departures.Store(d)
		w.sent = d.count
	}
	for _, e := range ask.Play.Expect {
		if e.Nothing != nil {
			name := e.Nothing.Party
			if party, ok := ask.Play.Cast[name]; ok {
				name = party
			}
			w.parties = append(w.parties, name)
			w.counted[name] = w.sent(name)
		}
	}
	w.next.Store(w.first)
	n.noticed.Store(w.o)
	return w, w.past(ctx, start.At)
}

// close ends what the watch asked of others.
func (w *drillWatch) close() {
	w.n.noticed.Store(nil)
	w.n.departures.Store(nil)
}

// past reads how production fared in front of the play.
func (w *drillWatch) past(ctx context.Context, now time.Time) error {
	from := w.first - min(w.first, drillPastMost)
	for from < w.first {
		list, err := w.n.log.Entries(ctx, from, int(min(256, w.first-from)))
		if err != nil {
			return err
		}
		for _, e := range list {
			if now.Sub(e.Time) <= drillPast {
				w.o.Entry(e)
			}
			from = e.Seq + 1
		}
		if len(list) == 0 {
			return errors.New("cordon: the log ends in front of its end")
		}
	}
	return nil
}

// follow reads the log until ctx ends. That it cannot any more ends the play: who sees nothing cannot stop it.
func (w *drillWatch) follow(ctx context.Context) {
	err := audit.Follow(ctx, w.n.log, w.first, func(e audit.Entry) error {
		w.o.Entry(e)
		w.next.Store(e.Seq + 1)
		return nil
	})
	if ctx.Err() == nil {
		why := fmt.Sprintf("the log cannot be followed: %v", err)
		w.ended.Store(&why)
	}
}

// lag is how long an entry has waited to be read. What came while that one waited counts from when it was read.
type lag struct {
	upTo  uint64    // entries of which one waits
	since time.Time // when they were there
}

// of takes how many entries were read and how many there are.
func (l *lag) of(now time.Time, read, size uint64) time.Duration {
	if read >= l.upTo {
		l.upTo, l.since = size, now
	}
	if read >= size {
		return 0
	}
	return now.Sub(l.since)
}

// Now implements drill.Watch.
func (w *drillWatch) Now() drill.Pulse {
	now := time.Now()
	w.count(now)
	p := drill.Pulse{Event: w.o.Event(), CPU: w.load()}
	if why := w.ended.Load(); why != nil && p.Event == "" {
		p.Event = *why
	}
	if d := w.behind(now); d > drillBehind && p.Event == "" {
		p.Event = fmt.Sprintf("the log is not read: an entry waits for %s", d.Round(time.Millisecond))
	}
	p.Failures, p.MOS = w.o.Pulse(now)
	return p
}

// behind is how long the oldest entry waits that was not read.
func (w *drillWatch) behind(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lag.of(now, w.next.Load(), w.n.log.Size())
}

// load is how busy the machine was since it was asked last, and at least half a second ago. In memory nobody measures: the time is not that of the machine.
func (w *drillWatch) load() float64 {
	if w.n.opts.Memory {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b := osnet.ReadBusy()
	if b.All-w.busy.All >= 500*time.Millisecond {
		w.cpu, w.busy = b.Since(w.busy), b
	}
	return w.cpu
}

// count notes what left since the last count.
func (w *drillWatch) count(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !now.After(w.at) {
		return
	}
	for _, party := range w.parties {
		n := w.sent(party)
		w.o.Sent(measure.Sent{From: w.at, To: now, Party: party, Datagrams: n - w.counted[party]})
		w.counted[party] = n
	}
	w.at = now
}

// Since implements drill.Watch. It waits until the log is read to its end.
func (w *drillWatch) Since(time.Time) measure.Seen {
	w.count(time.Now())
	ctx, cancel := context.WithTimeout(context.Background(), drillCatchUp)
	defer cancel()
	last := w.n.log.Size()
	for w.next.Load() < last && ctx.Err() == nil {
		notify.Pause(ctx, 10*time.Millisecond)
	}
	records := w.records(last)
	seen := w.o.Seen()
	seen.Records = records
	return seen
}

// records holds what was acknowledged against what can be proved: each entry that the log took in the play under a signed checkpoint, and for each call that the edge
// took a receipt, or the gap that names it.
func (w *drillWatch) records(last uint64) (r measure.Records) {
	r.Acknowledged = last - w.first
	for _, ref := range w.caller.placed() {
		r.Acknowledged++
		if w.o.Traced(ref) {
			r.Found++
		}
	}
	keys, err := proof.NewKeys(w.n.log.Keys(), nil, 0)
	if err != nil {
		w.n.logger.Error("the log of a drill cannot be verified", "error", err)
		return r
	}
	ctx := context.Background()
	w.covered(ctx, keys, last)
	once := proof.NewOnce(keys)
	for seq := w.first; seq < last; seq++ {
		raw, err := audit.Export(ctx, w.n.log, seq)
		if err == nil {
			_, _, err = audit.ReadProof(raw, once)
		}
		if err != nil {
			w.n.logger.Error("an entry of a drill cannot be proved", "entry", seq, "error", err)
			continue
		}
		r.Found++
	}
	r.Verified = true
	return r
}

// covered waits until a signed checkpoint stands for the first n entries, within bounds.
func (w *drillWatch) covered(ctx context.Context, keys *proof.Keys, n uint64) {
	ctx, cancel := context.WithTimeout(ctx, drillCatchUp)
	defer cancel()
	for ctx.Err() == nil {
		raw, err := w.n.log.Checkpoint(ctx)
		if err == nil {
			if cp, err := keys.Open(raw); err == nil && cp.Size >= n {
				return
			}
		}
		notify.Pause(ctx, 50*time.Millisecond)
	}
}

// departures counts what leaves for parties while a play runs: SIP messages as they leave, and packets of media: of each call that is up as often as somebody asks, and of each
// that has ended to its last one. A call of the drill's own is told of at its end.
type departures struct {
	calls func() []sip.CallView

	mu    sync.Mutex
	of    map[string]uint64            // SIP messages by party, and the packets of calls that have ended
	media map[string]map[string]uint64 // packets of calls that are up, by party and call
}

func newDepartures(calls func() []sip.CallView) *departures {
	return &departures{calls: calls, of: map[string]uint64{}, media: map[string]map[string]uint64{}}
}

// left is one message to a party.
func (d *departures) left(party string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.of[party]++
}

// ended takes the last count of a call.
func (d *departures) ended(ref string, r *media.Report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range r.Sides {
		if side := &r.Sides[i]; side.Party != "" {
			d.of[side.Party] += max(d.media[side.Party][ref], side.TxPackets)
			delete(d.media[side.Party], ref)
		}
	}
	for i := range r.Former { // who was transferred away
		if side := &r.Former[i].Report; side.Party != "" {
			d.of[side.Party] += side.TxPackets
		}
	}
}

// count is all that left for a party so far.
func (d *departures) count(party string) uint64 {
	list := d.calls()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.media[party] == nil {
		d.media[party] = map[string]uint64{}
	}
	for i := range list {
		c := &list[i]
		for k := range c.Report.Sides {
			if side := &c.Report.Sides[k]; side.Party == party {
				d.media[party][c.Ref] = max(d.media[party][c.Ref], side.TxPackets)
			}
		}
	}
	n := d.of[party]
	for _, packets := range d.media[party] {
		n += packets
	}
	return n
}

// carried is told of the media of each call that has ended.
func (n *Node) carried(ref string, r *media.Report) {
	if d := n.departures.Load(); d != nil {
		d.ended(ref, r)
	}
}

// tap sees each SIP message, counts those that leave while a play runs, and passes them on.
func (n *Node) tap(out bool, f transport.Flow, b []byte) {
	if d := n.departures.Load(); d != nil && out {
		d.left(f.Pass().Ask().Party)
	}
	if n.opts.Tap != nil {
		n.opts.Tap(out, f, b)
	}
}

// delivered is told of each notice that a channel took.
func (n *Node) delivered(channel string, x notify.Notice) {
	if o := n.noticed.Load(); o != nil {
		o.Noticed(measure.Notice{At: time.Now(), Channel: channel, Kind: string(x.Kind)})
	}
	n.drills.delivered(channel, x)
}
