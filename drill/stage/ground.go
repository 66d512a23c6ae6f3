package stage

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
)

// Each place of production is a prefix of 24 bits on the ground, each ground one of 12: so many places, and so many stand-ins in each, have room.
const (
	groundBits, plotBits = 12, 24
	maxPlots             = 1 << (plotBits - groundBits)
	maxInPlot            = 250
)

// The first plots are nobody's place: what production does not declare is not declared here, either, and the node and its name of the machine stand there.
const (
	plotUndeclared = iota
	plotNode
	plotPlaces
)

// errNoGround is what a configuration gets that has declared all of loopback.
var errNoGround = errors.New("stage: production uses every piece of 127.0.0.0/8: leave one prefix of 12 bits of it free, e.g. 127.240.0.0/12, which no place, listener or member touches")

// freeGround is the last piece of the loopback range that production does not touch.
func freeGround(c *configs.Config) (netip.Prefix, error) {
	var taken []netip.Prefix
	for _, d := range c.Declarations {
		if p, err := netip.ParsePrefix(d.Prefix); err == nil {
			taken = append(taken, p)
		}
	}
	one := func(a netip.Addr) {
		if a = a.Unmap(); a.IsValid() {
			taken = append(taken, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, l := range c.Listeners {
		one(l.Address.Addr())
	}
	for _, s := range c.DNS.Servers {
		one(s.Addr())
	}
	one(c.API.Address.Addr())
	one(c.Media.Address)
	for _, w := range c.Watched {
		for _, m := range w.Members {
			if a, err := netip.ParseAddr(m.Host); err == nil {
				one(a)
			}
		}
	}
	for i := byte(14); i > 0; i-- { // the last one holds the broadcast address, the first one everything that people bind by habit
		g := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, i << 4}), groundBits)
		if !slices.ContainsFunc(taken, g.Overlaps) {
			return g, nil
		}
	}
	return netip.Prefix{}, errNoGround
}

// land gives out the addresses of a ground.
type land struct {
	ground netip.Prefix
	from   *configs.Config
	atlas  *sovereign.Atlas
	at     time.Time
	plots  map[netip.Prefix]int // by the prefix of production
	used   map[int]int          // addresses of a plot
}

func newLand(c *configs.Config, ground netip.Prefix, at time.Time) (*land, error) {
	atlas, err := sovereign.NewAtlas(c.Catalogue, c.Declarations)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	l := &land{ground: ground, from: c, atlas: atlas, at: at, plots: map[netip.Prefix]int{}, used: map[int]int{}}
	for _, d := range c.Declarations {
		p, err := netip.ParsePrefix(d.Prefix)
		if err != nil {
			return nil, fmt.Errorf("stage: %w", err)
		}
		if _, known := l.plots[p]; !known { // one prefix may be declared for several times
			l.plots[p] = plotPlaces + len(l.plots)
		}
	}
	if len(l.plots) > maxPlots-plotPlaces {
		return nil, fmt.Errorf("stage: a sandbox has room for %d places, and production declares %d", maxPlots-plotPlaces, len(l.plots))
	}
	return l, nil
}

// plot is a piece of the ground.
func (l *land) plot(i int) netip.Prefix {
	a := l.ground.Addr().As4()
	a[1], a[2] = a[1]|byte(i>>8), byte(i)
	return netip.PrefixFrom(netip.AddrFrom4(a), plotBits)
}

// next is the next free address of a plot.
func (l *land) next(i int) (netip.Addr, error) {
	l.used[i]++
	if l.used[i] > maxInPlot {
		return netip.Addr{}, fmt.Errorf("stage: more than %d stand-ins in one declared place", maxInPlot)
	}
	a := l.plot(i).Addr().As4()
	a[3] = byte(l.used[i])
	return netip.AddrFrom4(a), nil
}

// place is the plot of an address of production.
func (l *land) place(a netip.Addr) int {
	if p := l.atlas.Locate(a, l.at); p.Prefix.IsValid() {
		return l.plots[p.Prefix]
	}
	return plotUndeclared
}

// home is the plot of what production knows by a name alone: where its requests come from, else a place of its region. What is declared nowhere stands nowhere.
func (l *land) home(p *configs.Party) int {
	for _, s := range p.Sources {
		if pfx, err := netip.ParsePrefix(s); err == nil {
			if plot := l.place(pfx.Addr()); plot != plotUndeclared {
				return plot
			}
		} else if a, err := netip.ParseAddr(s); err == nil {
			if plot := l.place(a); plot != plotUndeclared {
				return plot
			}
		}
	}
	for _, d := range l.from.Declarations {
		if pfx, err := netip.ParsePrefix(d.Prefix); err == nil && d.Region.String() == p.Region && l.inForce(d) {
			return l.plots[pfx]
		}
	}
	return plotUndeclared
}

func (l *land) inForce(d sovereign.Declaration) bool {
	return !l.at.Before(d.ValidFrom) && (d.ValidUntil.IsZero() || l.at.Before(d.ValidUntil))
}

// stand is one stand-in: of one member of one party.
type stand struct {
	party, member string
	host          string // as production writes it, a name; "": it is a literal
	ported        bool   // its name stands with a port, so that no service of it is looked up
	transport     string // of the peer: never ""
	addr          netip.AddrPort
	index         [2]int // of the party in its list, and of the member in the party
	trunk         bool
}

// stands gives every member of every party an address. A party's members of the same host share one.
func (l *land) stands() (out []*stand, err error) {
	taken := map[string]string{} // names -> their party
	for kind, list := range [][]configs.Party{l.from.File.Trunks, l.from.File.EdgeGroups} {
		for i := range list {
			p, addrs := &list[i], map[string]netip.Addr{}
			for j, m := range l.members(p) {
				s := &stand{party: p.Name, member: m.Name, transport: transportOf(m), index: [2]int{i, j}, trunk: kind == 0}
				literal, parse := netip.ParseAddr(m.Host)
				plot := l.home(p)
				if parse == nil && !p.Registers {
					plot = l.place(literal)
				} else if !p.Registers {
					s.host = strings.ToLower(strings.TrimSuffix(m.Host, "."))
					if of, other := taken[s.host]; other && of != p.Name { // whom a datagram goes to must be known by its address
						s.host = fmt.Sprintf("p%d-%d.%s", kind, i, s.host)
					}
					taken[s.host], s.ported = p.Name, m.Port != 0
				}
				a, shared := addrs[m.Host]
				if !shared {
					if a, err = l.next(plot); err != nil {
						return nil, fmt.Errorf("%w: %s", err, p.Name)
					}
					addrs[m.Host] = a
				}
				s.addr = netip.AddrPortFrom(a, 0)
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// members are those of a party, by their names in the log. One that registers with production has one that is always there, by the best transport that the node has.
func (l *land) members(p *configs.Party) []configs.Member {
	out := slices.Clone(p.Members)
	if p.Registers {
		transport := l.from.File.Listeners[0].Transport
		if slices.ContainsFunc(l.from.File.Listeners, func(x configs.Listener) bool { return x.Transport == "tls" }) {
			transport = "tls"
		}
		out = []configs.Member{{Name: p.Name, Host: p.Name, Transport: transport}}
	}
	for i := range out {
		if out[i].Name == "" {
			out[i].Name = out[i].Host
		}
	}
	return out
}

// transportOf is what a member is reached by, as the loader and RFC 3263 have it: TLS for a literal and for a name whose services are looked up, UDP for a name with a port.
func transportOf(m configs.Member) string {
	_, err := netip.ParseAddr(m.Host)
	switch {
	case m.Transport != "":
		return m.Transport
	case err != nil && m.Port != 0:
		return "udp"
	}
	return "tls"
}
