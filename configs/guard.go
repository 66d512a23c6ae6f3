package configs

import (
	"fmt"
	"math"
	"strings"

	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/transport"
)

// Guard is what keeps strangers and floods away.
type Guard struct {
	// Names of scanners beside those that are known (sipvicious, friendly-scanner, sipcli ...): the whole product name at the front of User-Agent, up to a slash or a blank, or the whole display name of From, in any case. They get silence; calls for help are heard all the same.
	Scanners []string `yaml:"scanners,omitempty"`
	// Streams that one source address may hold open; default 64.
	ConnectionsPerSource int `yaml:"connections_per_source,omitempty"`
	// Streams that all sources together may hold open; default 4096.
	Connections int `yaml:"connections,omitempty"`
	// Bytes of read buffers and write queues that one source address may hold by its streams; default 8MiB.
	BufferedPerSource string `yaml:"buffered_per_source,omitempty"`
	// Time in which a stream must bring its first whole message; default 1m.
	FirstMessage Duration `yaml:"first_message,omitempty"`
	// Longest time between two keep-alive pings of a stream that we opened (RFC 5626); default 25s. A neighbour may ask for less (RFC 6223), down to 10s.
	PingEvery Duration `yaml:"ping_every,omitempty"`
}

// PartyGuard is how far one party is trusted on the wire.
type PartyGuard struct {
	// refuse (default) or allow: what a request gets that names itself as scanners do.
	Scanners string `yaml:"scanners,omitempty"`
	// Whether overload control is announced to it and what it asks for is held back (RFC 7339, RFC 7415): off (default) or on. Feedback to it is given whenever it asks.
	Overload string `yaml:"overload_control,omitempty"`
	// Whether requests to it may use a TLS connection that it opened and on which it proved its identity (RFC 5923): off (default) or on.
	Reuse string `yaml:"connection_reuse,omitempty"`
	// CRLF pings on connections that we open to it, offered to it by keep in our Via (RFC 6223): auto (default: who answered once owes answers), strict (who does not answer has lost the connection) or off.
	Keepalive string `yaml:"keepalive,omitempty"`
	// Streams that it may hold open, over all its addresses; default: the limit per source alone.
	Connections int `yaml:"connections,omitempty"`
}

// GuardPart is the guard's share of the transport.
type GuardPart struct {
	Scanners                        []string
	ConnsPerSource, Conns, Buffered int
	First, Every                    Duration
}

func (b *builder) guard(c *Config) {
	g := b.doc.file.Guard
	p := &c.Guard
	for i, w := range g.Scanners {
		w = strings.ToLower(strings.TrimSpace(w))
		if len(w) < 3 {
			b.fail(fmt.Sprintf("guard.scanners[%d]", i), "a word of at least three letters: shorter ones stand in the names of telephones", "%q is too short", w)
			continue
		}
		p.Scanners = append(p.Scanners, w)
	}
	for path, n := range map[string]int{"guard.connections_per_source": g.ConnectionsPerSource, "guard.connections": g.Connections} {
		if n < 0 {
			b.fail(path, "a positive number, or leave it out for the default", "%d is out of range", n)
		}
	}
	p.ConnsPerSource, p.Conns = g.ConnectionsPerSource, g.Connections
	if g.BufferedPerSource != "" {
		n, err := parseBytes(g.BufferedPerSource)
		if err != nil || n < 64<<10 || n > math.MaxInt32 {
			b.fail("guard.buffered_per_source", "at least 64KiB, e.g. 8MiB", "%q is no size", g.BufferedPerSource)
		}
		p.Buffered = int(n)
	}
	for path, d := range map[string]Duration{"guard.first_message": g.FirstMessage, "guard.ping_every": g.PingEvery} {
		if d < 0 || d > 0 && d < Duration(5e9) {
			b.fail(path, "at least 5s, or leave it out for the default", "it is too short")
		}
	}
	p.First, p.Every = g.FirstMessage, g.PingEvery
}

// partyGuard reads what a party says of itself.
func (b *builder) partyGuard(prof *sip.Party, p *Party, at string) {
	if r := p.MaxCPS; !(r >= 0 && r <= math.MaxInt32) { // written so that .nan and .inf are refused
		b.fail(at+".max_cps", "a positive number; leave it out for no limit", "%v is out of range", r)
	}
	if p.Guard.Connections < 0 {
		b.fail(at+".guard.connections", "a positive number; leave it out for the limit per source alone", "%d is out of range", p.Guard.Connections)
	}
	prof.MaxCPS = p.MaxCPS
	prof.Guard = sip.Guard{
		Scanners: b.oneOf(at+".guard.scanners", p.Guard.Scanners, "refuse", "allow") == "allow",
		Overload: b.oneOf(at+".guard.overload_control", p.Guard.Overload, "off", "on") == "on",
		Reuse:    b.oneOf(at+".guard.connection_reuse", p.Guard.Reuse, "off", "on") == "on",
		Conns:    p.Guard.Connections,
	}
	switch b.oneOf(at+".guard.keepalive", p.Guard.Keepalive, "auto", "strict", "off") {
	case "strict":
		prof.Guard.Keepalive = transport.KeepStrict
	case "off":
		prof.Guard.Keepalive = transport.KeepOff
	}
	if prof.Guard.Reuse && len(p.Peers) == 0 {
		b.fail(at+".guard.connection_reuse", "name the identity that it must prove: peers: [..]", "no identity is asked of it")
	}
}

// oneOf gives word, or the first of the words for none. YAML reads a bare on and off as truth values in some tools; quoted they are words everywhere.
func (b *builder) oneOf(path, word string, words ...string) string {
	if word == "" {
		return words[0]
	}
	for _, w := range words {
		if word == w {
			return word
		}
	}
	b.fail(path, "one of "+strict.Words(words), "%q is unknown", word)
	return words[0]
}
