package sip

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// profiles is one immutable set of parties with the index of their sources.
type profiles struct {
	byName  map[string]*Party
	sources []source // longest prefix first, then in the order of the config
	wanted  wanted
}

// The words of Party.Early.
const (
	earlyAuthorised = "authorised"
	earlyBlock      = "block"
)

var earlyWords = map[string]bool{"": true, "pass": true, earlyAuthorised: true, earlyBlock: true}

// holdLocal is the Hold of a party that is not told of holds.
const holdLocal = "local"

type source struct {
	prefix netip.Prefix
	party  *Party
}

func newProfiles(list []Party) (*profiles, error) {
	n := &profiles{byName: make(map[string]*Party, len(list)), wanted: wanted{names: map[string]bool{}}}
	for i := range list {
		p := list[i]
		if p.Name == "" {
			return nil, fmt.Errorf("sip: party %d has no name", i)
		}
		if n.byName[p.Name] != nil {
			return nil, fmt.Errorf("sip: party %q is declared twice", p.Name)
		}
		if p.Rel100 != "" && p.Rel100 != "end" && p.Rel100 != "pass" {
			return nil, fmt.Errorf("sip: party %q: rel100 %q: want end or pass", p.Name, p.Rel100)
		}
		if !earlyWords[p.Early] {
			return nil, fmt.Errorf("sip: party %q: early media %q: want pass, authorised or block", p.Name, p.Early)
		}
		if p.Hold != "" && p.Hold != "relay" && p.Hold != holdLocal {
			return nil, fmt.Errorf("sip: party %q: hold %q: want relay or local", p.Name, p.Hold)
		}
		if p.Transfer != "" && p.Transfer != transferLocal && p.Transfer != transferRelay && p.Transfer != transferRefuse {
			return nil, fmt.Errorf("sip: party %q: transfer %q: want local, relay or refuse", p.Name, p.Transfer)
		}
		if err := p.checkRegister(); err != nil {
			return nil, err
		}
		if err := p.checkFallback(); err != nil {
			return nil, err
		}
		for _, h := range p.Headers {
			if name := strings.ToLower(strings.TrimSpace(h)); name == "" || header.Structural(name) && name != "history-info" {
				return nil, fmt.Errorf("sip: party %q: header %q is the edge's own to write and cannot cross", p.Name, h)
			}
		}
		if err := p.Cross.check(); err != nil {
			return nil, fmt.Errorf("sip: party %q: header rules: %w", p.Name, err)
		}
		n.wanted.add(&p)
		n.byName[p.Name] = &p
		for _, pre := range p.Sources {
			if !pre.IsValid() {
				return nil, fmt.Errorf("sip: party %q: an invalid source prefix", p.Name)
			}
			n.sources = append(n.sources, source{pre.Masked(), &p})
		}
	}
	slices.SortStableFunc(n.sources, func(a, b source) int { return b.prefix.Bits() - a.prefix.Bits() })
	return n, nil
}

// checkRegister refuses an address of record that names nobody, and users without a realm.
func (p *Party) checkRegister() error {
	if p.Challenge != nil && (p.Challenge.Name == "" || len(p.Challenge.Users) == 0) {
		return fmt.Errorf("sip: party %q: a challenge needs a realm and users", p.Name)
	}
	if p.Register == nil {
		return nil
	}
	var u msg.Uri
	if err := msg.ParseUri(p.Register.AOR, &u); err != nil || u.Scheme != "sip" && u.Scheme != "sips" || u.User == "" || u.Host == "" {
		return fmt.Errorf("sip: party %q: register: %q is no address of record: want sip:user@domain", p.Name, p.Register.AOR)
	}
	return nil
}

// match finds the party of a source: the longest prefix whose TLS identity fits too. Parties without Peers are known by address alone; with anyone set, all are.
func (n *profiles) match(from netip.Addr, peer *transport.PeerIdentity, anyone bool) *Party {
	for _, s := range n.sources {
		if s.prefix.Contains(from) && (anyone || s.party.knows(peer)) {
			return s.party
		}
	}
	return nil
}

// sendsFrom says whether requests of the party come from there.
func (p *Party) sendsFrom(from netip.Addr, peer *transport.PeerIdentity) bool {
	for _, pre := range p.Sources {
		if pre.Contains(from) {
			return p.knows(peer)
		}
	}
	return false
}

// profile is the TLS identity toward one target of the party: the name of the party's profile, or the target's own. RFC 5922 section 4: the name that was
// asked for is verified, although the address is pinned.
func (p *Party) profile(target string) *transport.TLSProfile {
	n := transport.TLSProfile{Name: p.Name}
	if p.TLS != nil {
		if p.TLS.ServerName != "" {
			return p.TLS
		}
		n = *p.TLS
	}
	n.Name, n.ServerName = n.Name+"/"+target, target
	return &n
}

// knows says whether a TLS identity is that of the party. RFC 5922 section 7.2: names match whole, without wildcards.
func (p *Party) knows(peer *transport.PeerIdentity) bool {
	if len(p.Peers) == 0 {
		return true
	}
	if peer == nil || !peer.Verified {
		return false
	}
	for _, seen := range peer.Names {
		for _, want := range p.Peers {
			if strings.EqualFold(bareName(seen), want) {
				return true
			}
		}
	}
	return false
}

func bareName(san string) string {
	if rest, ok := strings.CutPrefix(strings.ToLower(san), "sips:"); ok {
		return rest
	}
	rest, _ := strings.CutPrefix(strings.ToLower(san), "sip:")
	return rest
}
