package desk

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// State of service.
type State string

// The states. The zero State is InService.
const (
	InService State = "in_service"
	Draining  State = "draining"  // no new calls; live ones go on
	Out       State = "out"       // no new calls; it is expected not to answer
	TestOnly  State = "test_only" // synthetic calls alone
)

// States lists them in the order of strictness.
func States() []State { return []State{InService, TestOnly, Draining, Out} }

func (s State) rank() int { return slices.Index(States(), cmp.Or(s, InService)) }

// Kinds of what has a state.
const (
	Trunk  = "trunk"
	Group  = "group"
	Target = "target" // an id "party/member/tls/203.0.113.7:5061", or a member "party/member"
	Region = "region" // provider:code
)

// Kinds lists them.
func Kinds() []string { return []string{Trunk, Group, Target, Region} }

// Service is the state of one thing. Who set it is a pseudonym.
type Service struct {
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	State  State     `json:"state"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: until somebody says otherwise
	Entry  uint64    `json:"entry"`          // in the log
}

// In says whether the thing takes calls: any of them, or synthetic ones alone.
func (s Service) In(synthetic bool) bool {
	return s.State == "" || s.State == InService || s.State == TestOnly && synthetic
}

// Words say what is so, since when, until when and why.
func (s Service) Words() string {
	w := s.Kind + " " + s.Name + " is " + strings.ReplaceAll(string(s.State), "_", " ") + " by hand since " + s.Since.UTC().Format(time.RFC3339)
	if !s.Until.IsZero() {
		w += " until " + s.Until.UTC().Format(time.RFC3339)
	}
	return w + ": " + s.Reason
}

// Pin is a route that was switched by hand: its party comes first until somebody lets the route go back.
type Pin struct {
	Route  string    `json:"route"`
	Party  string    `json:"party"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Entry  uint64    `json:"entry"`
}

// Migration sends a part of a route's calls to one party first.
type Migration struct {
	Route  string    `json:"route"`
	Party  string    `json:"party"`
	Share  float64   `json:"share,omitempty"`  // of the numbers, 0 to 1
	Ranges []string  `json:"ranges,omitempty"` // prefixes of numbers, each ending with a star
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Entry  uint64    `json:"entry"`
}

// Takes says whether the calls of a number go to the new party. It rests on the route and the number alone, so a number stays on its side at every call and over
// restarts, and a larger share takes all that a smaller one took.
func (m Migration) Takes(number string) bool {
	if number == "" {
		return false
	}
	for _, r := range m.Ranges {
		if strings.HasPrefix(number, strings.TrimSuffix(r, "*")) {
			return true
		}
	}
	return m.Share > 0 && place(m.Route, number) < m.Share
}

// place is a number's place between 0 and 1 on a route: FNV-1a over both, then the finaliser of SplitMix64, because the last digits decide otherwise.
func place(route, number string) float64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{route, "\xff", number} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return float64(h>>11) / (1 << 53)
}

// Words say what is migrated where.
func (m Migration) Words() string {
	var parts []string
	if m.Share > 0 {
		parts = append(parts, percent(m.Share)+" of the numbers")
	}
	parts = append(parts, m.Ranges...)
	return strings.Join(parts, ", ") + " of " + m.Route + " to " + m.Party + " since " + m.Since.UTC().Format(time.RFC3339) + ": " + m.Reason
}

// Book is everything that is decided, as one immutable view. A nil Book decides nothing.
type Book struct {
	Services   map[string]Service   `json:"services"` // by kind and name
	Pins       map[string]Pin       `json:"pins"`     // by route
	Migrations map[string]Migration `json:"migrations"`
	Severed    map[string]Cut       `json:"severed,omitempty"` // by kind and name
	Next       uint64               `json:"next"`              // the first entry that is not in it
}

func key(kind, name string) string { return kind + " " + name }

// strictest gives the service that binds at that time.
func (b *Book) strictest(at time.Time, kinds ...[2]string) (s Service) {
	if b == nil || len(b.Services) == 0 {
		return s
	}
	for _, k := range kinds {
		o, ok := b.Services[key(k[0], k[1])]
		if ok && (o.Until.IsZero() || at.Before(o.Until)) && o.State.rank() > s.State.rank() {
			s = o
		}
	}
	return s
}

// Party gives what binds a trunk or group in a region. The zero Service: nothing does.
func (b *Book) Party(at time.Time, name, region string) Service {
	return b.strictest(at, [2]string{Trunk, name}, [2]string{Group, name}, [2]string{Region, region})
}

// Target gives what binds one target, by its id and its member. Its region may be another one than its party's.
func (b *Book) Target(at time.Time, id, party, member, region string) Service {
	if b == nil || len(b.Services) == 0 {
		return Service{}
	}
	return b.strictest(at, [2]string{Target, id}, [2]string{Target, party + "/" + member}, [2]string{Region, region})
}

// Pin of a route; ok is false when there is none.
func (b *Book) Pin(route string) (Pin, bool) {
	if b == nil {
		return Pin{}, false
	}
	p, ok := b.Pins[route]
	return p, ok
}

// Migration of a route; ok is false when there is none.
func (b *Book) Migration(route string) (Migration, bool) {
	if b == nil {
		return Migration{}, false
	}
	m, ok := b.Migrations[route]
	return m, ok
}

// List gives the services that are not simply in service, sorted by kind and name; what is over is left out.
func (b *Book) List(at time.Time) []Service {
	out := []Service{}
	if b == nil {
		return out
	}
	for _, k := range slices.Sorted(maps.Keys(b.Services)) {
		if s := b.Services[k]; s.Until.IsZero() || at.Before(s.Until) {
			out = append(out, s)
		}
	}
	return out
}

// with is the book after one entry of the log. Events of other kinds change nothing.
func (b *Book) with(seq uint64, at time.Time, ev audit.Event) *Book {
	n := &Book{Services: b.Services, Pins: b.Pins, Migrations: b.Migrations, Severed: b.Severed, Next: seq + 1}
	switch e := ev.(type) {
	case audit.ServiceChanged:
		n.Services = set(b.Services, key(e.What, e.Name), Service{e.What, e.Name, State(e.To), e.Reason, e.By, at, e.Until, seq}, State(e.To) != InService)
	case audit.RouteSwitched:
		n.Pins = set(b.Pins, e.Route, Pin{e.Route, e.To, e.Reason, e.By, at, seq}, !e.Back)
	case audit.Severed:
		n.Severed = set(b.Severed, key(e.What, e.Name), Cut{e.What, e.Name, e.Force, e.Reason, e.By, e.From, seq}, !e.Back)
	case audit.RouteMigrated:
		n.Migrations = set(b.Migrations, e.Route, Migration{e.Route, e.To, e.Share, e.Ranges, e.Reason, e.By, at, seq}, !e.Back)
	}
	return n
}

func set[V any](m map[string]V, k string, v V, keep bool) map[string]V {
	n := maps.Clone(m)
	if n == nil {
		n = map[string]V{}
	}
	delete(n, k)
	if keep {
		n[k] = v
	}
	return n
}
