package cordon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/sovereign"
)

// elsewhere are media gateways beside the signalling of their parties.
var elsewhere = map[string]string{"carrier": "10.1.1.10", "fra": "10.10.1.10"}

const feedOf = `{"prefixes":[{"ip_prefix":"%s","network_border_group":"us-east-1"}]}`

const awsFeed = "evidence: {feeds: [{kind: provider_feed, provider: aws, file: aws.json}]}\n"

// call has the carrier call for a while, and gives the final status.
func (p *placed) call(number string, talk time.Duration) (*carrier.Call, int) {
	p.t.Helper()
	c, err := p.peers["carrier"].Call(p.t.Context(), carrier.CallOptions{From: "+4930111", To: number, Dest: netip.MustParseAddrPort("10.5.0.10:5060"), Talk: talk})
	if err != nil {
		p.t.Fatal(err)
	}
	status, err := c.WaitFinal(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return c, status
}

func (p *placed) sent(addr string) int64 { return p.to[netip.MustParseAddr(addr)].Load() }

// receipt is that of the only call.
func (p *placed) receipt() audit.Receipt {
	p.t.Helper()
	list := entriesOf[audit.Receipt](p)
	if len(list) != 1 {
		p.t.Fatalf("%d receipts", len(list))
	}
	return list[0]
}

// Media of the called party in a place that a feed contradicts: no packet goes there, the call is answered by the next group, and log and receipt say why. The
// policy in force is the one from before: a stranger's description changes nothing for others.
func TestMediaInAContradictedPlaceIsPlannedAround(t *testing.T) {
	withMedia(t, elsewhere, "", map[string]string{"aws.json": fmt.Sprintf(feedOf, "10.10.1.0/24")}, awsFeed, func(p *placed) {
		time.Sleep(10 * time.Second) // every target was probed
		before := p.node.fence.Snapshot().Generation()
		if _, status := p.call("+4969123456", 5*time.Second); status != 200 {
			t.Fatalf("the call got %d", status)
		}
		time.Sleep(10 * time.Second)
		if n := p.sent("10.10.1.10"); n != 0 || p.sent("10.20.0.10") == 0 {
			t.Errorf("%d datagrams went where the feed contradicts, %d to the other group", n, p.sent("10.20.0.10"))
		}
		if after := p.node.fence.Snapshot().Generation(); after != before {
			t.Errorf("the policy in force changed from generation %d to %d", before, after)
		}
		told := entriesOf[audit.PlaceContradicted](p)
		if len(told) != 1 || told[0].Party != "fra" || told[0].Addr != "10.10.1.10" || told[0].Plane != "media" || told[0].Effect != "held" || len(told[0].Evidence) != 2 {
			t.Errorf("%+v", told)
		}
		r := p.receipt()
		if len(r.Attempts) != 2 || r.Attempts[1].Party != "dub" || r.Overall != "compliant" {
			t.Errorf("%s: %+v", r.Overall, r.Attempts)
		}
		if !slices.ContainsFunc(r.Moves, func(m audit.Move) bool {
			return !m.Allowed && m.Ground == "place_contradicted" && strings.HasPrefix(m.To, "10.10.1.10:")
		}) {
			t.Errorf("the receipt does not say why: %+v", r.Moves)
		}
		if list := entriesOf[audit.FenceRefused](p); len(list) != 1 || list[0].Ground != "place_contradicted" || list[0].Plane != "media" {
			t.Errorf("%+v", list)
		}
	})
}

// Media of the caller there: the call is refused, but for one for help.
func TestACallerWhoseMediaAreContradictedIsRefused(t *testing.T) {
	withMedia(t, elsewhere, "", map[string]string{"aws.json": fmt.Sprintf(feedOf, "10.1.1.0/24")}, awsFeed, func(p *placed) {
		time.Sleep(10 * time.Second)
		for range 2 { // the second time it is known
			if _, status := p.call("+4969123456", 5*time.Second); status != 403 {
				t.Errorf("the call got %d", status)
			}
		}
		time.Sleep(10 * time.Second)
		if n := p.sent("10.1.1.10"); n != 0 {
			t.Errorf("%d datagrams went there", n)
		}
		if told := entriesOf[audit.PlaceContradicted](p); len(told) != 1 || told[0].Party != "carrier" {
			t.Errorf("%+v", told)
		}
		help := sovereign.Ask{Party: "carrier", Plane: sovereign.Media, Purpose: sovereign.EmergencyCall, Addr: netip.MustParseAddrPort("10.1.1.10:4000")}
		if r := p.node.places.named(help); r != nil {
			t.Errorf("a call for help: %+v", r)
		}
	})
}

// A contradiction that appears while the call is up: from then on no packet goes there, and the call ends as by any law. It is in force again after a restart, and
// over once nobody goes there any more.
func TestAContradictionCutsMediaThatFlow(t *testing.T) {
	withMedia(t, elsewhere, "", map[string]string{"aws.json": fmt.Sprintf(feedOf, "10.10.1.0/24")}, "", func(p *placed) {
		time.Sleep(10 * time.Second)
		c, status := p.call("+4969123456", 0)
		if status != 200 {
			t.Fatalf("the call got %d", status)
		}
		time.Sleep(5 * time.Second)
		if p.sent("10.10.1.10") == 0 {
			t.Fatal("no media before")
		}
		if err := p.node.Reload(context.Background(), p.load("", awsFeed), ""); err != nil {
			t.Fatal(err)
		}
		sent := p.sent("10.10.1.10")
		time.Sleep(20 * time.Second)
		if c.Ended() == "" {
			t.Error("the call goes on")
			_ = c.Hangup(context.Background())
			time.Sleep(time.Second)
		}
		if now := p.sent("10.10.1.10"); now != sent {
			t.Errorf("%d datagrams went there after the feed was read", now-sent)
		}
		r := p.receipt()
		if len(r.Struck) != 1 || r.Struck[0].Leg != "b" || r.Struck[0].Cause != "place_contradicted" || r.Outcome.EndedBy != "edge" || r.Overall != "compliant" {
			t.Errorf("%s, by %s: %+v", r.Overall, r.Outcome.EndedBy, r.Struck)
		}
		k := p.node.places
		k.mu.Lock()
		k.media.held = map[placeKey]*heldMedia{}
		k.mu.Unlock()
		p.node.policy.contradict(nil)
		if err := k.recall(context.Background()); err != nil {
			t.Fatal(err)
		}
		if r := p.judge("10.10.1.10:4000", sovereign.Production); r.Ground != sovereign.GroundContradicted {
			t.Errorf("after a restart: %s", r.Why)
		}
		time.Sleep(2 * time.Minute)
		if list := p.node.fence.Snapshot().Contradicted(); len(list) != 0 {
			t.Errorf("nobody goes there, and it is in force: %+v", list)
		}
		if items, err := p.node.kv.List(context.Background(), mediaPrefix); err != nil || len(items) != 0 {
			t.Errorf("the state has it still: %v, %v", items, err)
		}
		if told := entriesOf[audit.PlaceContradicted](p); len(told) != 1 {
			t.Errorf("told %d times", len(told))
		}
	})
}

// Weak evidence alarms, and stands in the receipt of the call that it let through.
func TestWeakEvidenceAgainstMediaAlarms(t *testing.T) {
	files := map[string]string{"ripe": "2|ripencc|1|1|1|1|+0\nripencc|US|ipv4|10.10.1.0|256|20100101|allocated|x\n"}
	withMedia(t, elsewhere, "", files, "evidence: {rir: [ripe]}\n", func(p *placed) {
		time.Sleep(10 * time.Second)
		if _, status := p.call("+4969123456", 5*time.Second); status != 200 {
			t.Fatalf("the call got %d", status)
		}
		time.Sleep(10 * time.Second)
		if p.sent("10.10.1.10") == 0 {
			t.Error("no media")
		}
		told := entriesOf[audit.PlaceContradicted](p)
		if len(told) != 1 || told[0].Effect != "alarm" || told[0].Standing != "doubted" || told[0].Plane != "media" {
			t.Errorf("%+v", told)
		}
		for _, h := range p.receipt().Hops {
			doubted := slices.ContainsFunc(h.Evidence, func(e audit.Evidence) bool {
				return e.Kind == "rir" && e.Result == "contradicts" && e.SourceDigest != ""
			})
			if want := h.Plane == "media" && h.Leg == "b"; doubted != want {
				t.Errorf("%s of leg %s: %+v", h.Plane, h.Leg, h.Evidence)
			}
			if n := len(slices.DeleteFunc(slices.Clone(h.Evidence), func(e audit.Evidence) bool { return e.Kind != "declared" })); n != 1 {
				t.Errorf("%s of leg %s is declared %d times", h.Plane, h.Leg, n)
			}
		}
	})
}

// Addresses that a far end moves to, or has as candidates, are weighed at once, whatever was weighed before; those of strangers push out neither targets nor what is in force.
func TestMovesCandidatesAndStrangers(t *testing.T) {
	withMedia(t, elsewhere, "", map[string]string{"aws.json": fmt.Sprintf(feedOf, "10.10.0.0/15")}, awsFeed, func(p *placed) {
		time.Sleep(10 * time.Second)
		k := p.node.places
		holds := func(addr string) bool { return !p.judge(addr+":4000", sovereign.Production).Permitted() }
		k.reached("fra", netip.MustParseAddr("10.11.1.1"), true)
		k.reached("fra", netip.MustParseAddr("10.11.1.2"), false)
		k.reached("fra", netip.MustParseAddr("10.9.1.2"), true)
		synctest.Wait()
		if !holds("10.11.1.1") || !holds("10.11.1.2") || holds("10.9.1.2") || holds("10.11.1.3") {
			t.Error("what was moved to is not judged by its evidence")
		}
		targets, generation := len(k.places), p.node.fence.Snapshot().Generation()
		for i := range 3 * mediaShards * mediaInShard {
			a := netip.AddrFrom4([4]byte{10, 11, byte(2 + i>>8), byte(i)})
			if k.named(sovereign.Ask{Party: "fra", Plane: sovereign.Media, Purpose: sovereign.Production, Addr: netip.AddrPortFrom(a, 4000)}) == nil {
				t.Fatalf("%s is let through", a)
			}
		}
		known := 0
		for i := range k.media.shards {
			known += len(k.media.shards[i].places)
		}
		if known > mediaShards*mediaInShard || len(k.places) != targets || p.node.fence.Snapshot().Generation() != generation {
			t.Errorf("%d addresses are remembered, %d of %d targets", known, len(k.places), targets)
		}
		if !holds("10.11.1.1") || !holds("10.10.0.10") {
			t.Error("strangers pushed out what was held")
		}
		for i := range 2 * maxCandidates {
			k.reached("fra", netip.AddrFrom4([4]byte{10, 11, byte(2 + i>>8), byte(i)}), false)
		}
		synctest.Wait()
		if n := len(p.node.fence.Snapshot().Contradicted()); n > maxCandidates+1 {
			t.Errorf("%d contradictions of candidates are in force", n)
		}
	})
}
