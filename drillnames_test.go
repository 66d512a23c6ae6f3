package cordon

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/healthcheck/resolve"
)

// While a drill moves the names of a party they give the addresses of another one, or of nowhere, judged as that party's, for no longer than a moment and without being taken for
// evidence. Addresses are no names.
func TestADrillMovesNames(t *testing.T) {
	moved := func(to string) []scenario.Taken {
		return []scenario.Taken{{Taking: scenario.Taking{How: scenario.Moved, To: to}, Kind: scenario.DNS, Names: []string{"fra"}}}
	}
	fails := []scenario.Taken{{Taking: scenario.Taking{How: scenario.Fail}, Kind: scenario.DNS, Names: []string{"fra"}}}
	for name, c := range map[string]struct {
		gone    []scenario.Taken
		host    string
		want    string // its first address; "": none
		permits bool
	}{
		"to another party":      {moved("zrh"), "sip.fra.example", "10.20.0.10:5060", true},
		"to nowhere":            {moved(scenario.Nowhere), "sip.fra.example", "192.0.2.1:5060", false},
		"not a literal address": {moved("zrh"), "10.10.0.10", "10.10.0.10:5060", true},
		"to who has none":       {moved("nobody"), "sip.fra.example", "", false},
		"that fail":             {fails, "sip.fra.example", "", false},
		"but not these":         {nil, "10.10.0.10", "10.10.0.10:5060", true},
	} {
		t.Run(name, func(t *testing.T) {
			probing(t, "call", "degraded", func(p *probed) {
				time.Sleep(30 * time.Second) // every name of the node has been asked for
				until := time.Now().Add(3 * time.Second)
				p.node.board.Set(c.gone, until, board.All)
				if err := p.node.met(until); err != nil {
					t.Error(err)
				}
				before := len(p.node.places.views())
				ask := func() (resolve.Answer, error) {
					return p.node.places.locate(context.Background(), resolve.Query{Party: "fra", Host: c.host, Transport: "udp"})
				}
				switch a, err := ask(); {
				case c.want == "":
					if !errors.Is(err, resolve.ErrNoAnswer) {
						t.Errorf("%+v, %v", a, err)
					}
				case err != nil || len(a.Located) != 1 || a.Located[0].Addr.String() != c.want || a.Located[0].Ruling.Permitted() != c.permits:
					t.Errorf("%+v, %v", a, err)
				case c.host == "sip.fra.example" && time.Until(a.Expires) > movedFor:
					t.Errorf("it counts for %v", time.Until(a.Expires))
				}
				if n := len(p.node.places.views()); n != before && c.host == "sip.fra.example" {
					t.Errorf("%d places are known, and were %d", n, before)
				}
				time.Sleep(3 * time.Second)
				if a, err := ask(); c.host == "sip.fra.example" && !errors.Is(err, resolve.ErrNoAnswer) { // there is no name server
					t.Errorf("after the lease: %+v, %v", a, err)
				}
			})
		})
	}
}
