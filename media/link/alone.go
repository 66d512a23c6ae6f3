package link

import (
	"context"
	"maps"
	"slices"
	"time"
)

const (
	ageEvery  = 5 * time.Second
	emptyHand = 30 * time.Second // how long a media process without a leg waits for a control process
)

// age ends what nobody will come back for, while nobody is connected.
func (s *Server) age(ctx context.Context) {
	tick := time.NewTicker(min(ageEvery, s.cfg.Alone))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if s.wither(now) {
				s.cfg.Logger.Info("media: nothing to carry and nobody there: this process ends")
				s.quit()
				return
			}
		}
	}
}

// wither closes legs that heard nothing for as long as nobody was there; true when there is nothing left to wait for.
func (s *Server) wither(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lonely.IsZero() {
		return false
	}
	alone := now.Sub(s.lonely)
	if alone >= s.cfg.Alone && s.plane != nil {
		for _, l := range slices.Collect(maps.Values(s.book.legs)) {
			if c, ok := s.plane.Read(l.ref); ok && now.Sub(time.Unix(0, c.Last)) < s.cfg.Alone {
				continue
			}
			ref := l.ref
			s.book.close(ref)
			s.plane.Close(ref)
		}
		for _, id := range s.book.free() {
			s.book.withdraw(id)
			s.plane.Withdraw(id)
		}
	}
	return len(s.book.legs) == 0 && alone >= min(emptyHand, s.cfg.Alone)
}
