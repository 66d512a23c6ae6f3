package cordon

import (
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
)

// What makes the policy stricter takes effect even where the configuration in force could not be built once more.
func TestWhatIsRevokedNeedsNoConfiguration(t *testing.T) {
	inHouse(t, 500*24*time.Hour, false, func(h *house) {
		n := h.node
		first := n.Fence().Snapshot()
		grant := approval.Grant{ID: "a", Scope: approval.Scope{Regions: []string{"aws:us-east-1"}}, From: time.Now(), Until: time.Now().Add(time.Hour)}
		n.policy.grantsChanged([]approval.Grant{grant})
		if got := n.Fence().Snapshot().Grants(); len(got) != 1 || got[0].ID != "a" {
			t.Fatalf("in force: %+v", got)
		}
		public, private, _ := ed25519.GenerateKey(nil)
		line, err := sovereign.SignSuspension(sovereign.Suspension{Instrument: "2000/518/EC", Since: time.Now(), Reason: "annulled", KeyID: "law"}, private)
		if err != nil {
			t.Fatal(err)
		}
		broken := *n.policy.cfg
		broken.Parties = append(broken.Parties[:len(broken.Parties):len(broken.Parties)], sovereign.Party{})
		broken.Suspensions = configs.SuspensionSource{File: filepath.Join(h.dir, "struck"), Keys: map[string]ed25519.PublicKey{"law": public}}
		if _, err := broken.Snapshot(9, nil, nil); err == nil {
			t.Fatal("the configuration is not broken")
		}
		n.policy.cfg = &broken

		n.policy.grantsChanged(nil)
		if got := n.Fence().Snapshot().Grants(); len(got) != 0 {
			t.Errorf("revoked, and in force: %+v", got)
		}
		if err := os.WriteFile(broken.Suspensions.File, line, 0o600); err != nil {
			t.Fatal(err)
		}
		n.policy.applyOverlay(context.Background())
		s := n.Fence().Snapshot()
		if got := s.Suspended(); len(got) != 1 || got[0].Instrument != "2000/518/EC" {
			t.Errorf("suspended: %+v", got)
		}
		if s.Generation() != first.Generation()+3 || s.PolicyDigest() != first.PolicyDigest() || s.FactsDigest() == first.FactsDigest() {
			t.Errorf("generation %d after %d, policy %s, facts %s", s.Generation(), first.Generation(), s.PolicyDigest(), s.FactsDigest())
		}
	})
}
