package configs

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/sovereign"
)

// LogWitness is one witness of the log.
type LogWitness struct {
	// Its public key in note verifier form, NAME+ID+KEY, as it was given by another way than this address.
	Key string `yaml:"key"`
	// Address in front of /add-checkpoint, e.g. https://witness.bank-2.example; its host must lie in a permitted place.
	URL string `yaml:"url"`
	// Roots of the witness, PEM; default: the system's.
	RootsFile string `yaml:"roots_file,omitempty"`
}

// WitnessesPart is who signs the log's checkpoints; without a list nobody is asked.
type WitnessesPart struct {
	List   []WitnessPart
	Quorum int
	Every  time.Duration
}

// WitnessPart is one of them.
type WitnessPart struct {
	Name, Key, URL string // with /add-checkpoint
	Roots          *x509.CertPool
}

// maxWitnesses bounds a list: all their signatures stand under one checkpoint.
const maxWitnesses = 16

func (b *builder) witnesses(c *Config) {
	l := b.doc.file.Log
	w := WitnessesPart{Quorum: l.Quorum, Every: l.WitnessEvery.Or(time.Minute)}
	if len(l.Witnesses) == 0 {
		if l.Quorum != 0 || l.WitnessEvery != 0 {
			b.fail("log.quorum", "add log.witnesses, or leave log.quorum and log.witness_every out", "there is no witness")
		}
		return
	}
	if len(l.Witnesses) > maxWitnesses {
		b.fail("log.witnesses", fmt.Sprintf("at most %d", maxWitnesses), "%d are too many", len(l.Witnesses))
	}
	if w.Quorum == 0 {
		w.Quorum = len(l.Witnesses)
	}
	if w.Quorum < 1 || w.Quorum > len(l.Witnesses) {
		b.fail("log.quorum", fmt.Sprintf("1 to %d, as many as there are witnesses", len(l.Witnesses)), "%d is out of range", l.Quorum)
	}
	if n := len(l.Witnesses); w.Quorum >= 1 && 2*w.Quorum <= n {
		b.warn("log.quorum", fmt.Sprintf("at least %d: then any two quorums share a witness, which refuses a second history", n/2+1), "two groups of %d of these %d witnesses could each vouch for another history", w.Quorum, n)
	}
	if w.Every < 10*time.Second || w.Every > time.Hour {
		b.fail("log.witness_every", "between 10s and 1h", "%s is out of range", w.Every)
	}
	taken := map[string]bool{}
	for i, one := range l.Witnesses {
		w.List = append(w.List, b.witness(fmt.Sprintf("log.witnesses[%d]", i), one, taken))
	}
	c.Witnesses = w
}

// witness checks one. taken are the names of those in front of it, and their public keys: one key under two names would count twice.
func (b *builder) witness(at string, one LogWitness, taken map[string]bool) WitnessPart {
	part := WitnessPart{Key: one.Key, Roots: b.roots(at+".roots_file", one.RootsFile)}
	v, err := proof.NewWitnessVerifier(one.Key)
	switch {
	case err != nil:
		b.fail(at+".key", "what `cordon witness key` prints where the witness is: NAME+ID+KEY", "%v", err)
	case taken[v.Name()] || taken[v.PublicKey()]:
		b.fail(at+".key", "each witness once, with a name and a key of its own", "%.80s is there twice", v.Name())
	default:
		part.Name = v.Name()
		taken[v.Name()], taken[v.PublicKey()] = true, true
	}
	b.httpURL(at, one.URL)
	if u, err := url.Parse(one.URL); err == nil {
		part.URL = u.JoinPath("add-checkpoint").String()
	}
	return part
}

// witnessPlaces warns of witnesses that the fence will refuse, where the file names their address: the node runs, and nothing is sent to them.
func (b *builder) witnessPlaces(c *Config, s *sovereign.Snapshot) {
	for i, w := range c.Witnesses.List {
		u, err := url.Parse(w.URL)
		if err != nil {
			continue
		}
		a, err := netip.ParseAddr(u.Hostname())
		if err != nil {
			continue // none, or a name, which is judged when it is resolved
		}
		port := uint16(443)
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			port = uint16(n)
		}
		if r := s.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: netip.AddrPortFrom(a, port), At: time.Now()}); !r.Permitted() {
			b.warn(fmt.Sprintf("log.witnesses[%d].url", i), "declare its place, and let the policy permit it", "nothing will be sent there: %s (%s)", r.Verdict, r.Ground)
		}
	}
}
