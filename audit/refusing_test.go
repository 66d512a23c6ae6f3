package audit

import (
	"errors"
	"sync/atomic"
	"testing"
)

func TestALogThatADrillRefuses(t *testing.T) {
	for _, kind := range []string{"memory", "disk"} {
		t.Run(kind, func(t *testing.T) {
			var gone atomic.Bool
			c := testConfig()
			c.Refuse = func() error {
				if gone.Load() {
					return errors.New("a drill holds the disk")
				}
				return nil
			}
			l := openTest(t, kind, c)
			before := mustAppend(t, l, NodeStopped{Reason: "before"})
			gone.Store(true)
			if _, err := l.Append(t.Context(), NodeStopped{Reason: "lost"}); !errors.Is(err, ErrLogDown) {
				t.Errorf("an append while it is gone: %v", err)
			}
			later := make(chan error, 1)
			l.AppendAsync(NodeStopped{Reason: "lost, too"}, func(_ uint64, err error) { later <- err })
			if err := <-later; !errors.Is(err, ErrLogDown) {
				t.Errorf("one that nobody waits for: %v", err)
			}
			if list, err := l.Entries(t.Context(), before, 9); err != nil || len(list) != 1 {
				t.Errorf("what stood is not readable: %d, %v", len(list), err)
			}
			gone.Store(false)
			mustAppend(t, l, NodeStopped{Reason: "after"})
			list, err := l.Entries(t.Context(), before+1, 9)
			if err != nil || len(list) != 2 || list[0].Kind != KindGap {
				t.Fatalf("%+v, %v: want a gap and the entry behind it", list, err)
			}
			if ev, err := Decode(list[0]); err != nil || ev.(Gap).Lost != 2 {
				t.Errorf("%+v, %v: want two lost", ev, err)
			}
		})
	}
}
