package sip

import (
	"errors"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media"
)

// A synthetic call that ends while its sockets are opened leaves none of them open: the world of a test ends only when every goroutine has.
func TestAnEndpointThatComesTooLateIsClosed(t *testing.T) {
	run(t, nil, func(w *world) {
		y := &synthetic{}
		open := w.edge.c.Endpoint
		_, err := y.offer(func(l media.Leg, tone media.Tone) (*media.Endpoint, error) {
			ep, err := open(l, tone)
			y.close(time.Now()) // the caller gave up
			return ep, err
		}, media.Leg{Party: "fra"})
		if !errors.Is(err, errSyntheticOver) || y.ep.Load() != nil {
			t.Errorf("the offer of a call that is over: %v", err)
		}
	})
}
