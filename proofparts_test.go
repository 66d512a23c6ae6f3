package cordon_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/retain"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
)

// proving is nodeConfig with evidence, a position, a rule for running calls and a class of retention; loosened takes each of them away or back.
func proving(t *testing.T, dir string) (text, loosened string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "feed.csv"), []byte("127.1.0.0/16,US\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(nodeConfig, "state_dir: state}", "state_dir: state, position: {lat: 50.1, lon: 8.7}}", 1) + `evidence: {feeds: [{kind: geofeed, file: feed.csv}], on_contradiction: {rank_3_4: hold}}
law: {running_calls: end}
retention: [{class: mifid, keep: 7y, reason: "MiFID II Art. 16(6)", binding: true}]
`
	loosened = strings.NewReplacer("lat: 50.1", "lat: 40", "feeds: [{kind: geofeed, file: feed.csv}], on_contradiction: {rank_3_4: hold}", "rir: []", "running_calls: end", "running_calls: finish", "7y", "1y").Replace(text)
	return text, loosened
}

// looser are the widenings of loosened.
var looser = []string{"node.position", "evidence.feed", "evidence.on_contradiction.rank_3_4", "law.running_calls", "retention mifid"}

// asAccepted holds what runs against what people accepted of proving.
func asAccepted(t *testing.T, c *configs.Config, when string) {
	t.Helper()
	e := c.Evidence
	if e.At == nil || e.At.Lat != 50.1 || len(e.Tables) != 1 || !e.HoldWeak || c.Law.Common.How != configs.RunningEnd || !slices.ContainsFunc(c.Retention, func(k retain.Class) bool { return k.Keep.Years == 7 && k.Binding }) {
		t.Errorf("%s: %+v, %+v, %+v", when, e, c.Law, c.Retention)
	}
}

func paths(widenings []string) (out []string) {
	for _, w := range widenings {
		path, _, _ := strings.Cut(w, ": ")
		out = append(out, path)
	}
	return out
}

// Evidence, positions, rules for running calls and retention loosen with two signatures alone, by a reload and by a start; what was contradicted stays so.
func TestProofsAreLoosenedByPeopleAlone(t *testing.T) {
	dir := t.TempDir()
	text, loosened := proving(t, dir)
	file := writeConfig(t, dir, text)
	n := boot(t, file)
	contradicted := func() bool {
		for _, c := range n.Fence().Snapshot().Contradicted() {
			if c.Addr.String() == "127.1.0.11" {
				return true
			}
		}
		return false
	}
	waitFor(t, "the feed to speak against the place", contradicted)
	reloaded(t, n, dir, loosened, "")
	asAccepted(t, n.Config(), "after a reload")
	ticket := asked(t, n)
	if got := paths(ticket.Plan.Change.Widenings); !slices.Equal(got, looser) {
		t.Errorf("%v", ticket.Plan.Change.Widenings)
	}
	if !contradicted() {
		t.Error("what the feed contradicts is let through, and nobody signed")
	}
	n.Close(context.Background())
	n = boot(t, file)
	defer func() { _ = n.Stop(context.Background(), 0) }()
	asAccepted(t, n.Config(), "after a start")
	waitFor(t, "the feed to speak against the place after a start", contradicted)
	signed(t, n)
	if c := n.Config(); c.Evidence.At.Lat != 40 || len(c.Evidence.Tables) != 0 || c.Evidence.HoldWeak || c.Law.Common.How != configs.RunningFinish || c.Retention[0].Keep.Years != 1 {
		t.Errorf("signed: %+v", c.Evidence)
	}
	waitFor(t, "the place to be let go", func() bool { return !contradicted() })
	reloaded(t, n, dir, text, "") // all of that is stricter, but that the node stands elsewhere
	if got := paths(asked(t, n).Plan.Change.Widenings); !slices.Equal(got, []string{"node.position"}) || len(n.Config().Evidence.Tables) != 1 || n.Config().Law.Common.How != configs.RunningEnd {
		t.Errorf("%v", got)
	}
}

// olderVersion has the log say that a version which knew nothing of the later parts accepted the policy in force.
func olderVersion(t *testing.T, n *cordon.Node) {
	t.Helper()
	_, last := accepted(t, n)
	var text string
	for _, seq := range last.Pieces {
		list, err := n.Log().Entries(t.Context(), seq, 1)
		var piece audit.PolicyCharter
		if err != nil || json.Unmarshal(list[0].Body, &piece) != nil {
			t.Fatal(err)
		}
		text += piece.Text
	}
	c, err := charter.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.Edition, c.Position, c.Evidence, c.Running, c.Retention = 0, nil, charter.Evidence{}, nil, nil
	raw, err := c.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	digest := charter.Digest(raw)
	seq, err := n.Log().Append(t.Context(), audit.PolicyCharter{Charter: digest, Piece: 1, Of: 1, Text: string(raw)})
	if err == nil {
		_, err = n.Log().Commit(t.Context(), audit.PolicyAccepted{Charter: digest, Before: last.Charter, Cause: "narrower", Pieces: []uint64{seq}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sightings counts how often parts were adopted as a configuration had them.
func sightings(t *testing.T, n *cordon.Node) (count int) {
	t.Helper()
	for _, e := range entries(t, n, audit.KindPolicyAccepted) {
		if strings.Contains(string(e.Body), "as the configuration has them") {
			count++
		}
	}
	return count
}

// A policy that an earlier version accepted gets the parts which that one did not know at the first start, once: no later configuration is adopted that way, whatever
// the state says, and neither is one behind an excursion to the earlier version.
func TestLaterPartsAreAdoptedAtFirstSightAndNeverAgain(t *testing.T) {
	dir := t.TempDir()
	text, loosened := proving(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "feed.csv"), []byte("127.1.0.0/16,DE\n"), 0o600); err != nil { // nothing happens by itself that the log is told of
		t.Fatal(err)
	}
	file := writeConfig(t, dir, nodeConfig)
	n := boot(t, file)
	olderVersion(t, n)
	n.Close(context.Background())
	forgetState(t, dir)
	writeConfig(t, dir, strings.Replace(text, "policy: {home: aws:eu-central-1", "policy: {allow: [aws:eu-central-1, aws:eu-north-1], home: aws:eu-central-1", 1))
	n = boot(t, file)
	causes, last := accepted(t, n)
	if !slices.Equal(causes, []string{"first_start", "narrower", "new_parts"}) || !strings.Contains(last.Why, "did not know of node.position, regions[].position, evidence, law, retention: adopted once, as the configuration has them") {
		t.Fatalf("%v, %+v", causes, last)
	}
	asAccepted(t, n.Config(), "adopted")
	if got := paths(asked(t, n).Plan.Change.Widenings); permitted(n, stockholm) || !slices.Equal(got, []string{"policy.allow"}) {
		t.Errorf("what is wider beside the new parts: %v", got)
	}
	for name, between := range map[string]func(){
		"as it is":                  func() { n.Close(context.Background()) },
		"without its state":         func() { n.Close(context.Background()); forgetState(t, dir) },
		"after the earlier version": func() { olderVersion(t, n); n.Close(context.Background()) },
	} {
		between()
		writeConfig(t, dir, loosened)
		n = boot(t, file)
		_, last = accepted(t, n)
		if got := sightings(t, n); got != 1 {
			t.Errorf("%s: the parts of a configuration were adopted %d times", name, got)
		}
		asAccepted(t, n.Config(), name)
		if got := paths(asked(t, n).Plan.Change.Widenings); !slices.Equal(got, looser) {
			t.Errorf("%s: %v", name, got)
		}
		if name == "after the earlier version" && !strings.Contains(last.Why, "as they were accepted before") {
			t.Errorf("%s: %s", name, last.Why)
		}
	}
	_ = n.Stop(context.Background(), 0)
}

// A file that declares an address elsewhere, where the evidence agrees with it, does not take away what speaks against the place that people accepted.
func TestWhatSpeaksAgainstAnAcceptedPlaceSpeaksOn(t *testing.T) {
	dir := t.TempDir()
	text, _ := proving(t, dir)
	text = strings.Replace(text, "policy: {home: aws:eu-central-1", "policy: {allow: [aws:eu-central-1, aws:eu-north-1], home: aws:eu-central-1", 1)
	if err := os.WriteFile(filepath.Join(dir, "feed.csv"), []byte("127.1.0.0/16,SE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := boot(t, writeConfig(t, dir, text))
	defer n.Stop(context.Background(), 0)
	at := netip.MustParseAddrPort("127.1.0.11:5060")
	held := func() bool {
		s := n.Fence().Snapshot()
		return s.Judge(sovereign.Ask{Party: "fra", Plane: sovereign.Signalling, Addr: at, At: time.Now()}).Ground == sovereign.GroundContradicted
	}
	waitFor(t, "the feed to speak against the place", held)
	moved := strings.NewReplacer("prefix: 127.1.0.0/16, region: aws:eu-central-1", "prefix: 127.1.0.0/16, region: aws:eu-north-1").Replace(text)
	reloaded(t, n, dir, moved, "")
	asked(t, n)
	if n.Fence().Snapshot().Within() == nil || !held() {
		t.Errorf("%+v", n.Fence().Snapshot().Contradicted())
	}
	signed(t, n)
	waitFor(t, "the place where the feed agrees", func() bool { return !held() })
}
