package sip

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// The way back to the far ends of calls that outlived a process. Datagrams go where they went, and connections that were ours are opened again. A connection that the
// far end had opened is gone: it is dialled where RFC 3261 section 12.2.1.1 sends a request, but only at an address of its party, with the identity that would be asked of
// it had we called it first (RFC 5923 section 4), and on a pass of its own. Where that is not possible the leg is mute until its far end comes back over another connection, which it does with
// its next word: see adopt.

var errNoMedia = errors.New("sip: nothing finds media again here")

// wayBack finds the way to the far end of a leg. The reason says why there is none and there will be none.
func (e *Edge) wayBack(x *savedLeg) *reason {
	l := x.l
	pass, _ := l.passTo(x.remote)
	if pass == nil {
		return &reason{"SIP", 403, "the policy ended this call"}
	}
	if l.accepts && x.proto.Reliable() {
		l.flow = transport.Path(x.proto, x.local, x.remote)
		l.reach()
		return nil
	}
	d := transport.Dest{Proto: x.proto, Addr: x.remote, Party: l.party.Name, Pass: pass, Local: x.local}
	if x.proto == transport.TLS {
		d.Profile = l.party.profile(l.name)
	}
	f, err := e.tl.Flow(d)
	if err != nil {
		d.Local = netAddrPort{} // that listener is no more
		f, err = e.tl.Flow(d)
	}
	if err != nil {
		e.log.Warn("no way back to a far end", "call", l.c.reference(), "party", l.party.Name, "error", err)
		return &reason{"SIP", 503, "no way back after a restart"}
	}
	l.put(f)
	return nil
}

// put puts a flow of ours under the leg.
func (l *leg) put(f transport.Flow) {
	e := l.c.sh.e
	if l.target != "" || f.Proto().Reliable() {
		e.know(f.Proto(), f.Remote(), l.party.Name)
	}
	l.flow = f
	if l.c.emergency() {
		l.let()
		l.flow, l.release = e.excuse(f, l.party)
	}
}

// mute says that nothing can be sent on this leg until its far end speaks.
func (l *leg) mute() bool { return l.accepts && !l.flow.Valid() }

// deaf says that nothing crosses to this leg now, whatever is tried: who asks may ask again.
func (l *leg) deaf() bool { return l.mute() && !l.reach() }

// later is what it is told.
var later = msg.NewHeader("Retry-After", "5")

// reach tries to find where the far end of a mute leg can be dialled.
func (l *leg) reach() bool {
	e := l.c.sh.e
	proto, from := l.flow.Proto(), l.flow.Remote()
	next := l.dlg.Next()
	at, name, ok := e.dialable(l.party, proto, &next)
	if !ok {
		return false
	}
	pass, r := l.passTo(at)
	if pass == nil {
		return false
	}
	d := transport.Dest{Proto: proto, Addr: at, Party: l.party.Name, Pass: pass, Local: l.flow.Local()}
	if proto == transport.TLS {
		d.Profile = l.party.dialBack(name)
	}
	f, err := e.tl.Flow(d)
	if err != nil {
		d.Local = netAddrPort{}
		if f, err = e.tl.Flow(d); err != nil {
			return false
		}
	}
	l.put(f)
	if at != from && len(l.c.moves) < maxMoves {
		l.c.moves = append(l.c.moves, audit.Move{
			T: time.Now(), Plane: "signalling", From: from.String(), To: at.String(), Cause: "rebind", Allowed: true, Ground: string(r.Ground),
		})
		l.ruling = pass.Ruled()
	}
	return true
}

// dialable is the address of a URI, if the party is there: a literal one out of its prefixes, or a target of its whose name or address that is.
func (e *Edge) dialable(p *Party, proto transport.Proto, u *msg.Uri) (at netip.AddrPort, name string, ok bool) {
	port := uint16(u.Port)
	if port == 0 {
		if port = 5060; proto == transport.TLS {
			port = 5061
		}
	}
	a, err := netip.ParseAddr(trimBrackets(u.Host))
	if err == nil {
		at = netip.AddrPortFrom(a.Unmap(), port)
		if slices.ContainsFunc(p.Sources, func(pre netip.Prefix) bool { return pre.Contains(at.Addr()) }) {
			return at, "", true
		}
	}
	if e.c.Table == nil {
		return at, "", false
	}
	table := e.c.Table()
	if table == nil {
		return at, "", false
	}
	for i := range table.ByParty[p.Name] {
		t := &table.ByParty[p.Name][i].Target
		if string(t.Transport) == string(proto) && (err == nil && t.Addr == at || err != nil && t.Name == u.Host) {
			return t.Addr, t.Name, true
		}
	}
	return at, "", false
}

// dialBack is whom a party must prove to be that is dialled where it was not expected: the name that its address is known by, or one of those that its own
// certificate must carry. nil: it can prove nothing, and is not dialled.
func (p *Party) dialBack(name string) *transport.TLSProfile {
	if name != "" || p.TLS != nil && p.TLS.ServerName != "" {
		return p.profile(name)
	}
	if len(p.Peers) == 0 {
		return nil
	}
	n := transport.TLSProfile{}
	if p.TLS != nil {
		n = *p.TLS
	}
	n.Name, n.Peers = p.Name+"/back", p.Peers
	return &n
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
