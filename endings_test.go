package cordon

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/vnet"
)

const londonConfig = `tenant: {org_id: bank}
node: {name: edge, state_dir: state}
policy: {home: aws:eu-central-1, allow: [aws:eu-central-1, aws:eu-west-2]}
places: [{prefix: 10.0.0.0/8, region: aws:eu-central-1, contract: c}]
listeners: [{transport: udp, address: "10.5.0.10:5060"}]
trunks: [{name: carrier, region: aws:eu-central-1, members: [{host: 10.1.0.10, transport: udp}], media: {security: plain}}]
edge_groups:
  - {name: lon, region: aws:eu-west-2, members: [{host: 10.2.0.10, transport: udp}], media: {security: plain}}
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.3.0.10, transport: udp}], media: {security: plain}}
routes: [{name: in, direction: inbound, to: [{party: fra}, {party: lon}]}]
api: {address: "off"}
`

// People hear of London's end 180, 90 and 30 days before, once each: not again after a restart, and of what was missed while no node ran of the nearest alone.
func TestTheEndOfAnInstrumentIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2031, 5, 1, 0, 30, 0, 0, time.UTC)))
		cfg, err := configs.Parse("london.yaml", []byte(londonConfig))
		if err != nil {
			t.Fatal(err)
		}
		node := func() *Node {
			n, err := New(context.Background(), Options{Config: cfg, Net: vnet.New(1).Host(netip.MustParseAddr("10.5.0.10")), Memory: true})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		told := func(n *Node) (out []audit.LawEnding) {
			list, err := n.log.Entries(t.Context(), 0, 10000)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				var v audit.LawEnding
				if e.Kind == audit.KindLawEnding && json.Unmarshal(e.Body, &v) == nil {
					out = append(out, v)
				}
			}
			return out
		}
		end := time.Date(2031, 12, 28, 0, 0, 0, 0, time.UTC)
		first := node()
		defer first.Close(context.Background())
		for time.Until(end) > 60*24*time.Hour {
			first.endings.look(t.Context())
			time.Sleep(24 * time.Hour)
		}
		got := told(first)
		if len(got) != 2 || got[0].Threshold != 180 || got[1].Threshold != 90 || got[0].Days != 180 && got[0].Days != 179 {
			t.Fatalf("%+v", got)
		}
		for _, x := range got {
			if x.Instrument != "(EU) 2021/1772" || x.Country != "GB" || !x.Until.Equal(end) || strings.Join(x.Parties, " ") != "lon" {
				t.Errorf("%+v", x)
			}
		}
		again := node() // the state outlives the process
		defer again.Close(context.Background())
		again.kv = first.kv
		for time.Until(end) > -48*time.Hour {
			again.endings.look(t.Context())
			time.Sleep(24 * time.Hour)
		}
		if got := told(again); len(got) != 1 || got[0].Threshold != 30 {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Until(time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)))
		if list := again.fence.Snapshot().Endings(time.Now()); len(list) != 0 {
			t.Errorf("after its end: %+v", list)
		}
	})
}

// A node that starts late tells of the nearest threshold, and cordon check says the same.
func TestALateStartTellsOfTheNearestThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2031, 12, 10, 0, 30, 0, 0, time.UTC)))
		cfg, err := configs.Parse("london.yaml", []byte(londonConfig))
		if err != nil {
			t.Fatal(err)
		}
		n, err := New(context.Background(), Options{Config: cfg, Net: vnet.New(1).Host(netip.MustParseAddr("10.5.0.10")), Memory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close(context.Background())
		for range 3 {
			n.endings.look(t.Context())
		}
		list, err := n.log.Entries(t.Context(), 0, 100)
		var got []audit.Entry
		for _, e := range list {
			if e.Kind == audit.KindLawEnding {
				got = append(got, e)
			}
		}
		if err != nil || len(got) != 1 || !strings.Contains(string(got[0].Body), `"threshold_days":30`) {
			t.Errorf("%v, %v", got, err)
		}
		if text, err := cfg.Explain(time.Now()); err != nil || !strings.Contains(text, "(EU) 2021/1772 ends on 2031-12-28, in 17 days: lon would be held from then on") {
			t.Errorf("%v\n%s", err, text)
		}
		if text, err := cfg.Explain(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)); err != nil || strings.Contains(text, "would be held") {
			t.Errorf("%v\n%s", err, text)
		}
	})
}
