package cordon

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// What a drill asked for is on record as the drill's, also while production asks for the same.
func TestARefusalOfADrillIsMarked(t *testing.T) {
	for name, c := range map[string]struct {
		drill string
		asks  []sovereign.Purpose
		want  []string
	}{
		"production, and no drill":         {"", []sovereign.Purpose{sovereign.Production, sovereign.Production}, []string{"iad 2 "}},
		"production beside a drill":        {"d1", []sovereign.Purpose{sovereign.Production}, []string{"iad 1 "}},
		"the drill":                        {"d1", []sovereign.Purpose{sovereign.Drill, sovereign.Drill}, []string{"iad 2 d1"}},
		"both at the same moment":          {"d1", []sovereign.Purpose{sovereign.Drill, sovereign.Production, sovereign.Drill}, []string{"iad 1 ", "iad 2 d1"}},
		"a call for help, beside a drill":  {"d1", []sovereign.Purpose{sovereign.EmergencyCall}, []string{"iad 1 "}},
		"a drill's call without any drill": {"", []sovereign.Purpose{sovereign.Drill}, []string{"iad 1 "}},
	} {
		t.Run(name, func(t *testing.T) {
			log, err := audit.Memory(audit.Config{Signer: mustKeys(t).signer(), Origin: "cordon/bank-1/edge-1"})
			if err != nil {
				t.Fatal(err)
			}
			r := newRefusals(&Node{log: log})
			if c.drill != "" {
				r.drill.Store(&c.drill)
			}
			for _, p := range c.asks {
				r.add(sovereign.Ask{Party: "iad", Plane: sovereign.Signalling, Addr: netip.MustParseAddrPort("192.0.2.1:5060"), Purpose: p}, sovereign.Ruling{})
			}
			r.flush(t.Context())
			entries, err := log.Entries(t.Context(), 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				var ev audit.FenceRefused
				if err := json.Unmarshal(e.Body, &ev); err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(ev.Party, " ", ev.Count, " ", ev.Drill))
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
