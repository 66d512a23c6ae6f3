package cordon_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// personKey is a key of a person of the tests.
func personKey(number byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	return ed25519.NewKeyFromSeed(seed)
}

// decidedConfig is nodeConfig with a group in the United States, which waits for people, one in Switzerland, which an adequacy decision opens, and people who have keys.
func decidedConfig(text string) string {
	public := func(number byte) string {
		return "{public: " + sign.PublicText(personKey(number).Public().(ed25519.PublicKey)) + ", expires: 2099-12-31}"
	}
	return strings.NewReplacer(
		"policy: {home: aws:eu-central-1,", "policy: {home: aws:eu-central-1, allow: [aws:eu-central-1, aws:eu-central-2],",
		"roles: [ciso],", "roles: [ciso, incident_commander], keys: ["+public(1)+"],",
		"roles: [business_owner],", "roles: [business_owner], keys: ["+public(2)+"],",
		"  - {id: clara,", "  - {id: dave, roles: [operator], token: {env: CORDON_TEST_DAVE}}\n  - {id: clara,",
		"listeners:\n", "  - {prefix: 127.2.0.0/16, region: aws:us-east-1, contract: c}\n  - {prefix: 127.3.0.0/16, region: aws:eu-central-2, contract: c}\nlisteners:\n",
		"routes:\n", `  - {name: iad, region: aws:us-east-1, members: [{host: 127.2.0.11, transport: udp}], media: {security: plain}, legal_basis: scc-1}
  - {name: zrh, region: aws:eu-central-2, members: [{host: 127.3.0.11, transport: udp}], media: {security: plain}}
legal_bases:
  - {id: scc-1, kind: "Art46(2)(c)_SCC", document: "SCC module 2", signed_on: 2026-01-02, tia: {document: "TIA 7", date: 2026-01-01, outcome: "adequate with measures"}}
routes:
`).Replace(text)
}

// decides opens the United States by a ticket that two people sign off, and enrols a third key by two vouches.
func decides(t *testing.T, n *cordon.Node) {
	t.Helper()
	order := func(path, token, body string) {
		t.Helper()
		if status, answer, _ := knock(t, n, "POST", "/api/v1/"+path, token, body); status != 200 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
	}
	order("tickets", "dave's token", `{"trunks":["carrier"],"edge_groups":["iad"],"reason":"the storm","alternatives_considered":[{"option":"announcement","why_not":"emergencies wait"}]}`)
	id, hash := "", ""
	waitFor(t, "that people were told", func() bool {
		for _, one := range n.Gate().Tickets() {
			if !one.NotifiedAt.IsZero() {
				id, hash = one.ID, one.PlanHash
			}
		}
		return id != ""
	})
	order("tickets/"+id+"/opinions", "clara's token", `{"opinion":"no_objection"}`)
	for _, d := range [][2]string{{"anna", "incident_commander"}, {"ben", "business_owner"}} {
		order("tickets/"+id+"/decisions", d[0]+"'s token", fmt.Sprintf(`{"approve":true,"role":%q,"reason":"yes","plan_hash":%q}`, d[1], hash))
	}
	f, err := sign.NewEnrolment("clara", personKey(3).Public().(ed25519.PublicKey), time.Now().AddDate(1, 0, 0), time.Now(), strings.Repeat("01", 16), strings.Repeat("02", 16))
	for i, role := range []string{"incident_commander", "business_owner"} {
		if err == nil {
			f, err = f.Vouch(personKey(byte(i+1)), role, time.Now())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := f.File()
	if err == nil {
		_, err = n.Gate().Submit(t.Context(), raw, "dave")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// decided is what is open, and whose keys count.
func decided(n *cordon.Node) string {
	var b strings.Builder
	for _, name := range []string{"fra", "iad", "zrh"} {
		r := n.Fence().Snapshot().JudgeParty(name, sovereign.Signalling, sovereign.Production, time.Now())
		fmt.Fprintf(&b, "%s %s %s\n", name, r.Verdict, r.Ground)
	}
	keys := []string{}
	for _, k := range n.Gate().Keys() {
		keys = append(keys, fmt.Sprintf("key %s %v %s", k.ID, k.Counts, k.How))
	}
	slices.Sort(keys)
	return b.String() + strings.Join(keys, "\n")
}

// TestAGrantAKeyAndASuspensionComeBack holds that a restored node lets through what people opened, counts the keys that they vouched for, and keeps suspended what was
// suspended: with the suspensions file as before, and without it by the word of the log, which is said as loud as can be.
func TestAGrantAKeyAndASuspensionComeBack(t *testing.T) {
	for who, token := range map[string]string{"T1": "anna's token", "T2": "ben's token", "CORDON_TEST_CLARA": "clara's token", "CORDON_TEST_DAVE": "dave's token"} {
		t.Setenv(who, token)
	}
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60") // RFC 8032 section 7.1, test 1: that of nodeConfig
	if err != nil {
		t.Fatal(err)
	}
	for name, withFile := range map[string]bool{"with its file": true, "without it": false} {
		t.Run(name, func(t *testing.T) {
			l := &lostNode{t: t, s: newStore(t, "127.1.0.77"), dir: t.TempDir()}
			text := decidedConfig(l.s.copied(""))
			l.file = writeConfig(t, l.dir, text)
			l.node = boot(t, l.file)
			l.key = l.node.Log().VerifierKey()
			line, err := sovereign.SignSuspension(sovereign.Suspension{Instrument: swissLaw, Since: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), Reason: "annulled", KeyID: "k"}, ed25519.NewKeyFromSeed(seed))
			file := filepath.Join(l.dir, "suspended.jsonl")
			if err == nil {
				err = os.WriteFile(file, append(line, '\n'), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the suspension", func() bool { return strings.Contains(decided(l.node), "zrh hold instrument_suspended") })
			decides(t, l.node)
			waitFor(t, "the grant", func() bool { return strings.Contains(decided(l.node), "iad permit grant") })
			before := decided(l.node)
			if strings.Count(before, "true") != 3 {
				t.Fatalf("the keys: %s", before)
			}
			if err := l.node.Stop(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if !withFile {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			r, err := cordon.Restore(t.Context(), l.options())
			if err != nil {
				t.Fatal(err)
			}
			if missing := len(r.Unfiled) == 1 && strings.HasPrefix(r.Unfiled[0], swissLaw+" since "); missing == withFile {
				t.Errorf("the restore says of the file: %q", r.Unfiled)
			}
			n := boot(t, writeConfig(t, l.dir, strings.Replace(text, "state_dir: state", "state_dir: "+r.Dir, 1)))
			defer n.Stop(t.Context(), 0)
			if withFile {
				waitFor(t, "everything that was decided:\n"+before+"\n", func() bool { return decided(n) == before })
			}
			if after := decided(n); !strings.Contains(after, "zrh hold instrument_suspended") || strings.Count(after, "true") != 3 {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			refused := func() bool {
				return slices.ContainsFunc(entriesOf(t, n)[r.Entries:], func(e audit.Entry) bool {
					return e.Kind == audit.KindSuspensionRefused && strings.Contains(string(e.Body), swissLaw)
				})
			}
			if !withFile {
				waitFor(t, "word of the file that is not there", refused)
			} else if refused() {
				t.Error("the file is said not to be there")
			}
		})
	}
}
