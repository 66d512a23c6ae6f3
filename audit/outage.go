package audit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Causes of a Gap.
const (
	CauseCrash         = "crash"
	CauseLogUnwritable = "log_unwritable"
	CauseReserveSpent  = "reserve_spent"
	CauseRestore       = "restore" // the log came back from a copy, and what was behind it is lost
)

// maxGapCalls bounds the call references that one gap names; Lost counts on.
const maxGapCalls = 500

// healEvery is how often a reader of Health may set off an attempt to write again.
const healEvery = time.Second

// outage is a time in which the log could not be written, from the first failed append to the Gap that reports it.
type outage struct {
	from  time.Time
	cause string
	why   string
	lost  uint64
	calls map[string]struct{}
}

// lose counts an entry that is not in the log. The first one begins an outage.
func (s *spine) lose(p parcel, err error) {
	if errors.Is(err, errClosed) {
		return
	}
	s.state.Lock()
	defer s.state.Unlock()
	o := s.state.down
	if o == nil {
		o = &outage{from: s.cfg.Now().UTC(), cause: CauseLogUnwritable, calls: map[string]struct{}{}}
		s.state.down, s.state.since, s.state.tried = o, o.from, o.from
	}
	if isFull(err) {
		o.cause = CauseReserveSpent
	}
	o.why = err.Error()
	if p.gap {
		return
	}
	o.lost++
	if p.call != "" && len(o.calls) < maxGapCalls {
		o.calls[p.call] = struct{}{}
	}
}

// missing begins with an outage, of which the next append tells, where entries of the last run are not there any more.
func (s *spine) missing(ctx context.Context, h hole) error {
	if h.lost == 0 {
		return nil
	}
	from := s.cfg.Now().UTC()
	before, err := s.Entries(ctx, max(h.at, 1)-1, 1)
	if err != nil {
		return err
	}
	if h.at > 0 {
		from = before[0].Time
	}
	s.state.Lock()
	defer s.state.Unlock()
	s.state.down = &outage{from: from, cause: CauseCrash, why: "the journal of the last run is damaged", lost: h.lost, calls: map[string]struct{}{}}
	return nil
}

// found takes back a loss: the entry turned up after its caller had left. Its call stays named, because the caller was told otherwise.
func (s *spine) found(p parcel) {
	s.state.Lock()
	defer s.state.Unlock()
	if o := s.state.down; o != nil && o.lost > 0 && !p.gap {
		o.lost--
	}
}

// heal writes the Gap that ends an outage. It returns nil at once while there is none. Entries that were queued in the driver before
// the failure was known may stand before the Gap; everything that Append takes later stands behind it.
func (s *spine) heal(ctx context.Context) error {
	if s.outage() == nil {
		return nil
	}
	select {
	case s.healing <- struct{}{}:
		defer func() { <-s.healing }()
	case <-s.life.closing:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	o := s.outage()
	if o == nil {
		return nil
	}
	p, err := s.wrap(*o)
	if err != nil {
		return err
	}
	p.gap = true
	if _, err := s.store(ctx, p); err != nil {
		return err
	}
	s.healed(o.Lost)
	return nil
}

// outage gives the Gap to be written, or nil.
func (s *spine) outage() *Gap {
	s.state.Lock()
	defer s.state.Unlock()
	o := s.state.down
	if o == nil {
		return nil
	}
	now := s.cfg.Now().UTC()
	s.state.tried = now
	g := &Gap{From: o.from, To: now, Cause: o.cause, Lost: o.lost, Calls: make([]string, 0, len(o.calls))}
	for ref := range o.calls {
		g.Calls = append(g.Calls, ref)
	}
	slices.Sort(g.Calls)
	return g
}

// healed ends the outage, unless appends that were under way were lost while the Gap was written: they get a Gap of their own.
func (s *spine) healed(reported uint64) {
	s.state.Lock()
	defer s.state.Unlock()
	o := s.state.down
	if o == nil {
		return
	}
	now := s.cfg.Now().UTC()
	if o.lost > reported {
		o.lost -= reported
		o.from = now
		return
	}
	s.state.down, s.state.since = nil, now
}

// signing remembers whether checkpoints keep up.
func (s *spine) signing(err error, wanted uint64) {
	s.state.Lock()
	defer s.state.Unlock()
	if (err == nil) != (s.state.unsigned == nil) {
		s.state.since = s.cfg.Now().UTC()
	}
	s.state.unsigned, s.state.wanted = err, wanted
}

// Health never blocks on the disk for the log's own state. While the log is down, asking sets off an attempt to write again, at most
// one a second: a caller that sends nothing until the log is well would otherwise wait for ever.
func (s *spine) Health() Health {
	s.state.Lock()
	behind, age := s.standstill()
	now, retry := s.cfg.Now().UTC(), false
	if s.state.behind != (behind != "") {
		s.state.behind, s.state.since = behind != "", now
	}
	h := Health{OK: s.state.down == nil && s.state.unsigned == nil && behind == "", Since: s.state.since, Uncovered: age}
	switch {
	case s.state.down != nil:
		h.Why = s.state.down.why
	case s.state.unsigned != nil:
		h.Why = s.state.unsigned.Error()
	default:
		h.Why = behind
	}
	if !h.OK && now.Sub(s.state.tried) >= healEvery {
		s.state.tried, retry = now, true
	}
	wanted := s.state.wanted
	unsigned := s.state.unsigned != nil
	s.state.Unlock()
	if retry {
		s.retry(unsigned, wanted)
	}
	h.ReserveBytes, h.ReserveUsed = s.drv.reserve()
	return h
}

// retry tries in the background what failed.
func (s *spine) retry(unsigned bool, wanted uint64) {
	if !s.enter() {
		return
	}
	go func() {
		defer s.life.running.Done()
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AppendTimeout)
		defer cancel()
		if unsigned && s.drv.covered(ctx, wanted) == nil {
			s.signing(nil, 0)
		}
		_ = s.heal(ctx) // a failure is in Health already
	}()
}

// isFull says whether err means that the disk, or the quota on it, is spent. The driver's library hands some of these on as text.
func isFull(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	t := err.Error()
	return strings.Contains(t, syscall.ENOSPC.Error()) || strings.Contains(t, syscall.EDQUOT.Error())
}

// callRefOf is the call that an event belongs to, so that a Gap can name it when the event is lost.
func callRefOf(e Event) string {
	switch e := e.(type) {
	case Receipt:
		return e.CallRef
	case *Receipt:
		return e.CallRef
	case CallEnded:
		return e.CallRef
	case *CallEnded:
		return e.CallRef
	case MediaMoved:
		return e.CallRef
	case MediaSilent:
		return e.CallRef
	case MediaUnkeyed:
		return e.CallRef
	}
	return ""
}
