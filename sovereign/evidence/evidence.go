// Package evidence weighs what speaks for and against the declared place of an address: the contract, feeds of providers, geofeeds, registries, identities of TLS
// and round trips, each by what its kind is good for. Nothing in it can make a refusal into a permit: an Assessment allows only what was declared, and every
// further item takes away or leaves things as they are.
//
// It reads files as bytes and keeps nothing but their tables; time, files and addresses are given to it. It imports the standard library alone, and of it nothing
// that touches files, processes, the network or chance.
package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind of evidence, in the words of residency receipts.
type Kind string

// The kinds, in the order of trust.
const (
	Declared      Kind = "declared"       // by the operator, backed by a contract annex (DORA Art. 30(2)(b))
	ProviderFeed  Kind = "provider_feed"  // address ranges that a cloud provider publishes
	GeofeedSigned Kind = "geofeed_signed" // RFC 8805, with a verified signature of RFC 9632
	TLSIdentity   Kind = "tls_identity"   // a certificate proves who it is, not where
	RTTBound      Kind = "rtt_bound"      // an answer cannot come from farther away than light goes in that time
	Geofeed       Kind = "geofeed"        // RFC 8805, unsigned
	RIR           Kind = "rir"            // delegated-extended statistics: where the holder of the block is registered
	MMDB          Kind = "mmdb"           // databases of addresses
)

// Power is what a kind of evidence can do.
type Power string

// The powers.
const (
	Allow               Power = "allow"
	SupportOrContradict Power = "support_or_contradict"
	Support             Power = "support"
	FalsifyOrSupport    Power = "falsify_or_support"
	Alert               Power = "alert"
	AlertTripwire       Power = "alert_tripwire"
)

// ladder says how far each kind is trusted, 0 most, and what it can do.
func (k Kind) ladder() (rank int, can Power) {
	switch k {
	case Declared:
		return 0, Allow
	case ProviderFeed, GeofeedSigned:
		return 1, SupportOrContradict
	case TLSIdentity:
		return 2, Support
	case RTTBound:
		return 2, FalsifyOrSupport
	case Geofeed, RIR:
		return 3, Alert
	default:
		return 4, AlertTripwire
	}
}

// Rank is the place in the order of trust: 0 is trusted most, 4 least, and so is a kind that this version does not know.
func (k Kind) Rank() int {
	r, _ := k.ladder()
	return r
}

// Can is what evidence of the kind can do.
func (k Kind) Can() Power {
	_, p := k.ladder()
	return p
}

// Result is what an item says of the declared place.
type Result string

// The results.
const (
	Supports    Result = "supports"
	Contradicts Result = "contradicts"
	Silent      Result = "silent"
)

// Item is one piece of evidence about one address, in the form that receipts carry.
type Item struct {
	Kind         Kind      `json:"kind"`
	Value        string    `json:"value"`                   // what it says, in words
	SourceDigest string    `json:"source_digest,omitempty"` // SHA-256 of the file that it is from
	ObservedAt   time.Time `json:"observed_at,omitzero"`
	Result       Result    `json:"result"`
	// Spread: it has the address in more than one place, as anycast is.
	Spread bool `json:"spread,omitempty"`
}

// Claim is what was declared of an address.
type Claim struct {
	Region    string   // provider:code; "" for a prefix that several regions share
	Countries []string // ISO 3166-1 alpha-2; none: the address is undeclared
	Contract  string   // the annex that names the place
	Spot      *Spot    // where the region is on the map; nil: nobody knows
}

// Declared says whether there is a declaration at all.
func (c *Claim) Declared() bool { return len(c.Countries) > 0 }

func (c *Claim) words() string {
	if c.Region != "" {
		return c.Region + " (" + strings.Join(c.Countries, ", ") + ")"
	}
	return strings.Join(c.Countries, " or ")
}

// Standing sums up an Assessment in one word.
type Standing string

// The standings, the worst first.
const (
	Undeclared   Standing = "undeclared"   // nothing was declared: refused, whatever else speaks for it
	Contradicted Standing = "contradicted" // strong evidence speaks against the declaration: not allowed
	Doubted      Standing = "doubted"      // weak evidence does: an alarm
	Supported    Standing = "supported"    // something besides the declaration speaks for it
	Unsupported  Standing = "declared"     // nothing besides the declaration speaks for or against it
)

// Assessment is what all evidence on one address comes to.
type Assessment struct {
	Standing     Standing `json:"standing"`
	Items        []Item   `json:"items"` // the strongest first
	Supporting   []Item   `json:"-"`
	Contradicted []Item   `json:"-"` // by kinds of rank 1 and 2 that can
	Alarms       []Item   `json:"-"` // contradictions of rank 3 and 4
	Words        string   `json:"words"`
}

// Allows says whether the evidence leaves the declaration standing: there is one, and nothing of rank 2 or better contradicts it. It permits nothing by itself.
func (a *Assessment) Allows() bool {
	return a.Standing != Undeclared && a.Standing != Contradicted
}

// Several says whether the evidence has the address in more than one place, and why: a source says so, or two that can refuse disagree. No place of it can be proven then.
func (a *Assessment) Several() (why string, ok bool) {
	for _, it := range a.Items {
		if it.Spread {
			return it.Value + " (" + string(it.Kind) + ")", true
		}
	}
	for _, it := range a.Supporting {
		if it.Kind.Can() == SupportOrContradict && len(a.Contradicted) > 0 {
			return list([]Item{it}) + ", but " + list(a.Contradicted), true
		}
	}
	return "", false
}

// Weigh assesses items against a claim. A contradiction counts by what its kind can do: rank 1 and 2 contradict, but for TLS identities, which prove no place;
// rank 3 and 4 alarm. Order does not matter.
func Weigh(c Claim, items []Item) Assessment {
	a := Assessment{Standing: Unsupported, Items: slices.Clone(items)}
	slices.SortStableFunc(a.Items, func(x, y Item) int { return x.Kind.Rank() - y.Kind.Rank() })
	for _, it := range a.Items {
		switch can := it.Kind.Can(); {
		case it.Kind == Declared:
		case it.Result == Supports:
			a.Supporting = append(a.Supporting, it)
		case it.Result != Contradicts || can == Support:
		case can == SupportOrContradict || can == FalsifyOrSupport:
			a.Contradicted = append(a.Contradicted, it)
		default:
			a.Alarms = append(a.Alarms, it)
		}
	}
	switch {
	case !c.Declared():
		a.Standing = Undeclared
		a.Words = "nothing declares where it is, so it is refused"
	case len(a.Contradicted) > 0:
		a.Standing = Contradicted
		a.Words = fmt.Sprintf("declared in %s, but %s", c.words(), list(a.Contradicted))
	case len(a.Alarms) > 0:
		a.Standing = Doubted
		a.Words = fmt.Sprintf("declared in %s; %s, which alone refuses nothing", c.words(), list(a.Alarms))
	case len(a.Supporting) > 0:
		a.Standing = Supported
		a.Words = fmt.Sprintf("declared in %s; %s", c.words(), list(a.Supporting))
	default:
		a.Words = "declared in " + c.words() + "; nothing else speaks for it or against it"
	}
	return a
}

func list(items []Item) string {
	words := make([]string, len(items))
	for i, it := range items {
		words[i] = it.Value + " (" + string(it.Kind) + ")"
	}
	return strings.Join(words, "; ")
}
