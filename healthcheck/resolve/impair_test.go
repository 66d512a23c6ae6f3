package resolve

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
)

// TestADrillTakesNamesAway as name servers go: questions of its party fail, are late or are not heard, what is cached is answered as ever, and what has expired is better than nothing.
func TestADrillTakesNamesAway(t *testing.T) {
	type when uint8
	const (
		unknown when = iota
		cached
		expired
	)
	for name, c := range map[string]struct {
		impair.Effect
		known when
		party string        // that is taken away; "fra" is asked for
		took  time.Duration // of each of two questions, A and AAAA
		err   error
		stale bool
	}{
		"nothing":             {party: "fra", took: 10 * time.Millisecond},
		"fails":               {Effect: impair.Effect{Kind: impair.Fail}, party: "fra", err: ErrNoAnswer},
		"is silent":           {Effect: impair.Effect{Kind: impair.Blackhole}, party: "fra", took: 2 * time.Second, err: context.DeadlineExceeded},
		"is slow":             {Effect: impair.Effect{Delay: 400 * time.Millisecond}, party: "fra", took: 410 * time.Millisecond},
		"is too slow":         {Effect: impair.Effect{Delay: time.Second}, party: "fra", took: 2 * time.Second, err: ErrNoAnswer},
		"of another party":    {Effect: impair.Effect{Kind: impair.Fail}, party: "zrh", took: 10 * time.Millisecond},
		"fails, and is known": {Effect: impair.Effect{Kind: impair.Fail}, known: cached, party: "fra"},
		"fails, and was once": {Effect: impair.Effect{Kind: impair.Fail}, known: expired, party: "fra", stale: true},
		"silent, and was":     {Effect: impair.Effect{Kind: impair.Blackhole}, known: expired, party: "fra", stale: true, took: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZone(t, soa, "x.example. 60 IN A 192.0.2.4")
				gone := false
				r := resolver(t, Config{Servers: []netip.AddrPort{loopback, loopback}, Exchange: z, Impaired: func(party string) impair.Effect {
					if gone && party == c.party {
						return c.Effect
					}
					return impair.Effect{}
				}})
				ask := func() (Answer, error) {
					return r.Locate(t.Context(), Query{Party: "fra", Host: "x.example", Port: 5060})
				}
				if c.known != unknown {
					if _, err := ask(); err != nil {
						t.Fatal(err)
					}
				}
				if c.known == expired {
					time.Sleep(2 * time.Minute)
				}
				gone = true
				began := time.Now()
				a, err := ask()
				if !errors.Is(err, c.err) || time.Since(began) != 2*c.took || a.Stale != c.stale || c.err == nil && len(a.Located) != 1 {
					t.Errorf("after %v: %+v, %v", time.Since(began), a, err)
				}
				gone = false // and nothing of it is remembered, which others might ask for
				if a, err := ask(); err != nil || a.Stale {
					t.Errorf("when it is back: %+v, %v", a, err)
				}
			})
		})
	}
}

// TestADrillLeavesWhoDoesNotWait: a silence ends with whoever asked.
func TestADrillLeavesWhoDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := resolver(t, Config{Exchange: newZone(t, soa), Impaired: func(string) impair.Effect { return impair.Effect{Kind: impair.Blackhole} }})
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer stop()
		began := time.Now()
		if _, err := r.Host(ctx, "log.example"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
