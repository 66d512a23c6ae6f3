package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
)

// PersonKey is a public key with which a person signs decisions.
type PersonKey struct {
	// Ed25519 public key, base64, as cordon gate key prints it. Nobody else has the same.
	Public string `yaml:"public"`
	// Last day of the key, YYYY-MM-DD.
	Expires string `yaml:"expires"`
}

// spareApprovers are people who approve and have a key so that two others can vouch for the next key of each.
const spareApprovers = 3

// signatures reads whether words must be signed.
func (b *builder) signatures(c *Config) {
	switch word := b.doc.file.Gate.Signatures; word {
	case "", "accepted":
	case "required":
		c.Gate.Signed = true
	default:
		b.fail("gate.signatures", "required, or accepted (the default)", "%.40q is neither", word)
	}
}

// personKeys reads the keys of one person. Problems name places and repeat no key: they stand in the section about people.
func (b *builder) personKeys(at string, list []PersonKey, taken map[string]string) []approval.PersonKey {
	var out []approval.PersonKey
	for i, k := range list {
		here := fmt.Sprintf("%s.keys[%d]", at, i)
		pub, err := sign.ParsePublic(k.Public)
		if err != nil {
			b.fail(here+".public", "write what cordon gate key prints", "is no key: %s", err)
			continue
		}
		id := sign.KeyID(pub)
		if first, there := taken[id]; there && !strings.HasPrefix(first, at+".") {
			b.fail(here+".public", "everybody has a key of their own: with a shared one, one person could approve as two", "is the same key as %s: one key under two names", first)
			continue
		} else if there {
			b.fail(here+".public", "list each key once", "stands there twice")
			continue
		}
		taken[id] = here
		expires, ok := parseDay(k.Expires, true)
		if !ok || expires.IsZero() {
			b.fail(here+".expires", "write a day as YYYY-MM-DD: no key counts for ever", "is no day")
			continue
		}
		if !time.Now().Before(expires) {
			b.warn(here+".expires", "have a new key made, and two people vouch for it", "is over: the key does not count")
		}
		out = append(out, approval.PersonKey{Public: k.Public, Expires: expires})
	}
	return out
}

// enoughKeys warns of keys that leave nobody who could sign, or vouch for the next key.
func (b *builder) enoughKeys(c *Config) {
	approvers, advisers, any := 0, 0, false
	held := map[string]bool{}
	for _, p := range c.People {
		if len(p.Keys) == 0 {
			continue
		}
		any = true
		approves := false
		for _, r := range p.Roles {
			if slices.Contains(approving(c.Gate), r) {
				approves, held[r] = true, true
			}
			if r == c.Gate.OpinionRole {
				advisers++
			}
		}
		if approves {
			approvers++
		}
	}
	switch n := min(approvers, len(held)); {
	case c.Gate.Signed && n < c.quorum():
		b.warn("gate.signatures", "give keys to more people in different approving roles", "signatures are required, %d people who may approve have a key and the gate needs %d: every held failover stays held", n, c.quorum())
	case c.Gate.Signed && c.Gate.NeedOpinion && advisers == 0:
		b.warn("gate.signatures", "give the data protection officer and a deputy a key", "signatures are required and nobody who gives the opinion has a key: every held failover stays held")
	case any && n < spareApprovers:
		b.warn("people", "give a key to at least three people in different approving roles before the first start", "%d people who may approve have a key: two others must vouch for the next key of each", n)
	}
}

// explainKeys says which keys count where.
func (c *Config) explainKeys(b *strings.Builder) {
	n := 0
	for _, p := range c.People {
		n += len(p.Keys)
	}
	if n == 0 {
		return
	}
	words := "decisions by session count, too"
	if c.Gate.Signed {
		words = "decisions by session do not count"
	}
	fmt.Fprintf(b, "\nkeys of people: %d; %s. Those of a node's first start with keys count, a later one as soon as two people vouched for it: cordon gate keys asks the node\n", n, words)
}
