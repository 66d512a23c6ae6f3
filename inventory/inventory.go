// Package inventory judges and watches the endpoints outside the call path: a CRM, a workforce tool, an identity provider, a bucket, a CDN. Each is resolved and
// placed like a target of calls, and nobody connects to an address before it was judged; what is found can take a permission away and never gives one.
//
// Time is the process's; names, places, connections and memory are given to it as functions. It imports sovereign and sovereign/evidence.
package inventory

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

// Entry is what is declared of one endpoint.
type Entry struct {
	Name string
	Kind string // what it is for: crm, idp, bucket, ...
	Host string // domain name or literal address
	Port uint16
	// TLS is fetched to see who answers; without it nothing is ever connected to.
	TLS bool
	// Anycast says that one address of it is in many places, so that no place of it can be proven.
	Anycast   bool
	Region    sovereign.Region    // zero where only countries are declared
	Countries []sovereign.Country // declared, sorted; that of Region where there is one
	Contract  string
	Every     time.Duration // between two looks; 0: nobody looks
}

// same says whether what was seen of one is still what is asked of the other.
func (e *Entry) same(o *Entry) bool {
	return e.Host == o.Host && e.Port == o.Port && e.TLS == o.TLS && e.Anycast == o.Anycast && e.Region == o.Region && slices.Equal(e.Countries, o.Countries) && e.Contract == o.Contract
}

// Endpoint is its host and port as one word.
func (e *Entry) Endpoint() string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

// Verdict is the policy's word on an endpoint, with two more for what cannot be said.
type Verdict string

// The verdicts, the strictest first. Only Permit lets anybody connect.
const (
	Deny       Verdict = "deny"
	Unprovable Verdict = "unprovable" // it is in no one place, so no declaration of one place can be held against it
	Hold       Verdict = "hold"
	Unknown    Verdict = "unknown" // nobody has seen it yet, or its name leads nowhere
	Permit     Verdict = "permit"
)

// Verdicts lists them, the strictest first.
func Verdicts() []Verdict { return []Verdict{Deny, Unprovable, Hold, Unknown, Permit} }

func (v Verdict) rank() int { return slices.Index(Verdicts(), v) }

// The grounds of verdicts that the policy knows nothing of; the others are those of rulings.
const (
	GroundAnycast   = "anycast"            // declared so
	GroundSeveral   = "several_places"     // evidence, or its prefix, has the address in more than one place
	GroundElsewhere = "not_where_declared" // the policy permits the place, and the entry does not name it
	GroundUnseen    = "not_seen"
)

// Located is one address of an endpoint, placed, weighed and judged.
type Located struct {
	Place  sovereign.Place
	Ruling sovereign.Ruling
	Found  evidence.Assessment
}

// Identity is who answered a TLS handshake. It proves no place.
type Identity struct {
	SPKI     string    `json:"spki_sha256"`
	Names    []string  `json:"names"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
	Version  string    `json:"version"`
	Trusted  bool      `json:"trusted"`       // it chains to the roots and carries the name
	Why      string    `json:"why,omitempty"` // why not
	At       time.Time `json:"at"`
	RTT      float64   `json:"connect_ms"` // of the connection, in milliseconds
}

// Word tells one identity from another: the key, the names and who says so.
func (i *Identity) Word() string {
	return fmt.Sprintf("%.16s %s by %s", i.SPKI, strings.Join(i.Names, " "), i.Issuer)
}

// Answer is one address that the name of an endpoint leads to.
type Answer struct {
	Addr       netip.AddrPort    `json:"addr"`
	Prefix     string            `json:"prefix,omitempty"` // that was declared
	Region     string            `json:"region,omitempty"`
	Countries  []string          `json:"countries"`
	Verdict    Verdict           `json:"verdict"`
	Ground     string            `json:"ground"`
	Why        string            `json:"why"`
	Legal      string            `json:"legal_standing"` // of the country that decided
	Instrument string            `json:"instrument,omitempty"`
	Standing   evidence.Standing `json:"evidence_standing"`
	Words      string            `json:"evidence_words"`
	Evidence   []evidence.Item   `json:"evidence"`
	TLS        *Identity         `json:"tls,omitempty"`
	Failure    string            `json:"tls_failure,omitempty"` // of the last handshake
}

// Judge gives the answer that an address is. A denied jurisdiction comes first, then what makes every place unprovable, then the policy, then the declaration.
func Judge(e *Entry, addr netip.AddrPort, l *Located) Answer {
	r := &l.Ruling
	a := Answer{
		Addr: addr, Region: l.Place.Region.String(), Countries: words(l.Place.Countries), Ground: string(r.Ground), Why: r.Why, Legal: string(r.Standing), Instrument: r.Instrument,
		Standing: l.Found.Standing, Words: l.Found.Words, Evidence: append([]evidence.Item{}, l.Found.Items...),
	}
	if l.Place.Prefix.IsValid() {
		a.Prefix = l.Place.Prefix.String()
	}
	several, spread := l.Found.Several()
	switch {
	case r.Verdict == sovereign.Deny && l.Place.Known():
		a.Verdict = Deny // for where it is said to be, or because it was cut off
	case e.Anycast:
		a.Verdict, a.Ground, a.Why = Unprovable, GroundAnycast, "declared as anycast: one address is in many places"
	case spread:
		a.Verdict, a.Ground, a.Why = Unprovable, GroundSeveral, several
	case len(l.Place.Countries) > 1:
		a.Verdict, a.Ground, a.Why = Unprovable, GroundSeveral, a.Prefix+" is shared by "+strings.Join(a.Countries, ", ")
	case r.Verdict == sovereign.Deny:
		a.Verdict = Deny
	case r.Verdict != sovereign.Permit:
		a.Verdict = Hold
	case len(l.Place.Countries) != 1 || !slices.Contains(e.Countries, l.Place.Countries[0]):
		a.Verdict, a.Ground = Hold, GroundElsewhere
		a.Why = fmt.Sprintf("it answers from %s, and its declaration names %s", strings.Join(a.Countries, ", "), strings.Join(words(e.Countries), ", "))
	default:
		a.Verdict = Permit
	}
	return a
}

func words(list []sovereign.Country) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = string(c)
	}
	return out
}

// State is what was last seen of an endpoint, in the form in which it is remembered.
type State struct {
	Entry    string    `json:"entry"`
	Endpoint string    `json:"endpoint"` // that it was seen of
	Verdict  Verdict   `json:"verdict"`  // the strictest of the answers
	Ground   string    `json:"ground"`
	Why      string    `json:"why"`
	Since    time.Time `json:"since"` // of the verdict
	Looked   time.Time `json:"looked,omitzero"`
	Answers  []Answer  `json:"answers"`
	Failure  string    `json:"failure,omitempty"` // why its name could not be resolved; Answers are then the last ones known
	Told     string    `json:"told,omitempty"`    // what the log was last told of: see token
}

// sum takes the verdict of the strictest answer.
func (s *State) sum(now time.Time) {
	before := s.Verdict
	s.Verdict, s.Ground, s.Why = Unknown, GroundUnseen, "nobody has seen an address of it yet"
	if s.Failure != "" {
		s.Why = s.Failure
	}
	for i := range s.Answers {
		if a := &s.Answers[i]; i == 0 || a.Verdict.rank() < s.Verdict.rank() {
			s.Verdict, s.Ground, s.Why = a.Verdict, a.Ground, fmt.Sprintf("%s: %s", a.Addr.Addr(), a.Why)
		}
	}
	if s.Verdict != before || s.Since.IsZero() {
		s.Since = now
	}
}

// token stands for what the log is told of: another address in the same place is no news, another place or verdict is.
func (s *State) token(e *Entry) string {
	var lines []string
	for _, a := range s.Answers {
		lines = append(lines, strings.Join(append([]string{string(a.Verdict), a.Ground, a.Region}, a.Countries...), " "))
	}
	slices.Sort(lines)
	lines = append(slices.Compact(lines), string(s.Verdict), fmt.Sprint(s.Failure != ""), e.Endpoint(), e.Region.String(), strings.Join(words(e.Countries), " "), e.Contract)
	return strings.Join(lines, "\n")
}

// keptLike says whether two states need not be remembered apart: only the times of looks differ.
func (s *State) keptLike(o *State) bool {
	same := func(a, b Answer) bool {
		return a.Addr == b.Addr && a.Verdict == b.Verdict && a.Ground == b.Ground && (a.TLS == nil) == (b.TLS == nil) && (a.TLS == nil || a.TLS.Word() == b.TLS.Word())
	}
	return s.Verdict == o.Verdict && s.Told == o.Told && (s.Failure == "") == (o.Failure == "") && slices.EqualFunc(s.Answers, o.Answers, same)
}
