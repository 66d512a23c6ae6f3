package configs

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cordonsip/cordon/audit/retain"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/incident/form"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/review"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

// Config is a loaded configuration: the file as it was written and the parts that the rooms take.
type Config struct {
	Name     string // of the file
	File     File
	Warnings Problems // what works but should not stand like that

	StateDir     string
	Catalogue    *sovereign.Catalogue // the shipped one with the operator's own regions
	Policy       sovereign.Policy
	Declarations []sovereign.Declaration
	Parties      []sovereign.Party
	Suspensions  SuspensionSource
	Bound        *charter.Charter // judges, too, while what is wider than it waits for people; nil: nothing does. See Within
	Law          LawPart

	Listeners []ListenerPart
	Media     MediaPart
	Restart   RestartPart
	Profiles  []sip.Party
	Watched   []healthcheck.Watched
	Health    healthcheck.Settings
	Rules     routing.Rules
	// Announcements of routes, by their names.
	Announcements map[string]sip.Announcement
	Tables        []Table // number tables of routes, looked at while the node runs
	DNS           DNSPart
	Gate          approval.Rules
	// LegalBasis gives each party that has one its basis as plans carry it, instrument and id: "Art46(2)(c)_SCC:scc-1". What has expired, or is not in force yet,
	// was left out when the file was read; BasisUntil says when the others end (no entry: never).
	LegalBasis map[string]string
	BasisUntil map[string]time.Time
	Bases      []approval.Basis // the catalogue of legal bases
	People     []PersonPart
	Log        LogPart
	Channels   []ChannelPart
	API        APIPart
	Limits     Limits
	Guard      GuardPart
	Pairs      []PairPart // certificates of ours with their files
	Roots      []RootsPart
	CertCheck  time.Duration // how often their files are looked at
	Trace      TracePart
	HEP        HEPPart
	Spans      SpansPart
	Evidence   EvidencePart
	Inventory  InventoryPart
	Witnesses  WitnessesPart
	Clock      ClockPart
	Retention  []retain.Class
	Reviews    review.Settings
	Drills     DrillsPart
	Incidents  incident.Rulebook
	WORM       WORMPart
	Entity     form.Entity // as reports name it
}

// SuspensionSource is where the overlay of suspended instruments comes from.
type SuspensionSource struct {
	File string // "" when none is configured
	Keys map[string]ed25519.PublicKey
}

// ListenerPart is one SIP socket to bind.
type ListenerPart struct {
	Transport string
	Address   netip.AddrPort
	Advertise netip.AddrPort // zero: Address
	Cert      *tls.Certificate
	ClientCAs *x509.CertPool
}

// PairPart is one certificate of ours with the files that it came from. Use is its path in the configuration, or "toward" and the party that it is shown to.
type PairPart struct {
	Use               string
	CertFile, KeyFile string
	Cert              *tls.Certificate
}

// RootsPart is one file of roots.
type RootsPart struct {
	Use, File string
	Certs     []*x509.Certificate
	Pool      *x509.CertPool
	Live      bool // the file is followed: another content takes effect without a reload
}

// MediaPart is the relay's share.
type MediaPart struct {
	Address   netip.Addr
	Advertise netip.Addr
	Limits    media.Limits
	Digits    media.DigitLimits
	Ports     [2]uint16
	DSCP      int           // of what is sent; -1: as the system has it
	Workers   int           // 0: as many as suit the machine
	Tick      time.Duration // 0: as usual; less than 0: none
	InProcess bool          // the node carries the packets itself,
	Apart     bool          // or a process of its own does; neither: where the system can
	Reports   time.Duration // after how long without RTCP of one side the other one gets reports of ours; 0: never
}

// DNSPart is the resolver's share.
type DNSPart struct {
	Servers        []netip.AddrPort
	Timeout        time.Duration
	MinTTL, MaxTTL time.Duration
}

// PersonPart is one person with resolved rights. Token reads the secret at each call, so a rotated file counts at once.
type PersonPart struct {
	approval.Person
	Unit    string // of the organisation
	Scopes  []string
	Token   func() (string, error)
	Expires time.Time // zero: never

	line int // of the token in the file
}

// DistinctTokens refuses tokens of two people that have the same value, wherever they are read from; it reads them, which Parse does not. What cannot be read now
// admits nobody and is passed over. The problems name the people by their places in the file and repeat no token.
func (c *Config) DistinctTokens() error {
	var probs Problems
	first := map[string]int{}
	for i, p := range c.People {
		v, err := p.Token()
		if err != nil {
			continue
		}
		if other, shared := first[v]; shared {
			what := fmt.Sprintf("has the same value as that of people[%d]", other)
			probs = append(probs, Problem{File: c.Name, Line: p.line, Path: fmt.Sprintf("people[%d].token", i), What: what, Hint: ownToken})
			continue
		}
		first[v] = i
	}
	if len(probs) > 0 {
		return probs
	}
	return nil
}

// LogPart is the log's share.
type LogPart struct {
	Reserve      int64
	OnLogFailure string
}

// APIPart is the HTTP interface; Off when it is not wanted.
type APIPart struct {
	Off     bool
	Address netip.AddrPort
	Cert    *tls.Certificate
}

// Load reads and checks one file. The error is Problems unless the file could not be read.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	return Parse(path, data)
}

// Parse checks data. name is used in messages, and relative paths in the file start at its folder.
func Parse(name string, data []byte) (*Config, error) {
	c, probs := Examine(name, data)
	if len(probs) > 0 {
		return nil, probs
	}
	return c, nil
}

// Examine is Parse for people: it gives what could be understood beside every problem. The Config must not be run unless there is none; it is nil when
// nothing could be read.
func Examine(name string, data []byte) (*Config, Problems) {
	doc, probs := decode(name, data)
	if doc == nil {
		return nil, probs
	}
	b := newBuilder(doc)
	c := b.build()
	if len(probs)+len(b.probs) == 0 {
		b.rooms(c)
	}
	c.Warnings = b.warnings.Sorted()
	return c, append(probs, b.probs...).Sorted()
}

// Snapshot builds the policy in force from this configuration, a verified overlay and the live grants.
func (c *Config) Snapshot(generation uint64, grants []sovereign.Grant, overlay []sovereign.Suspension) (*sovereign.Snapshot, error) {
	return c.snapshot(c.Parties, generation, grants, overlay)
}

func (c *Config) snapshot(parties []sovereign.Party, generation uint64, grants []sovereign.Grant, overlay []sovereign.Suspension) (*sovereign.Snapshot, error) {
	atlas, err := sovereign.NewAtlas(c.Catalogue, c.Declarations)
	if err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	var within *sovereign.Snapshot
	if c.Bound != nil {
		if within, err = c.Bound.Snapshot(generation, grants, overlay); err != nil {
			return nil, fmt.Errorf("configs: the policy that people accepted: %w", err)
		}
	}
	return sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Catalogue: c.Catalogue, Policy: c.Policy, Atlas: atlas, Parties: parties,
		Suspended: overlay, Grants: grants, Generation: generation, Within: within,
	})
}

// Overlay reads the suspensions of the configuration. Good lines count even when others are refused; the error names those. They are nil beside an error only
// when the file could not be read.
func (c *Config) Overlay() ([]sovereign.Suspension, error) {
	if c.Suspensions.File == "" {
		return nil, nil
	}
	data, err := os.ReadFile(c.Suspensions.File)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configs: suspensions: %w", err)
	}
	list, err := sovereign.ParseSuspensions(data, c.Suspensions.Keys)
	return append([]sovereign.Suspension{}, list...), err
}

// Value reads the secret behind the reference.
func (s Secret) Value() (string, error) {
	switch {
	case s.Env != "":
		if v := os.Getenv(s.Env); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("configs: the environment variable %s is empty", s.Env)
	case s.File != "":
		data, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("configs: secret: %w", err)
		}
		if v := firstLine(data); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("configs: the secret file %s is empty", s.File)
	}
	return "", errors.New("configs: no secret is named")
}

func firstLine(b []byte) string {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			return string(b[:i])
		}
	}
	return string(b)
}
