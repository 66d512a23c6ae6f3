package sip

import "github.com/cordonsip/cordon/sip/transport"

// What the transport asks of the profiles. Both are asked again and again, so that a reload counts for connections that are open.

// keepalive says how a connection that we opened is kept warm.
func (e *Edge) keepalive(f transport.Flow) transport.Keepalive {
	if p := e.profiles.Load().byName[f.Key().Party]; p != nil {
		return p.Guard.Keepalive
	}
	return transport.KeepOff
}

// partyConns is the most connections that a party may hold open to us.
func (e *Edge) partyConns(party string) int {
	if p := e.profiles.Load().byName[party]; p != nil {
		return p.Guard.Conns
	}
	return 0
}

// reuses says whether requests to a party may use a connection that it opened.
func (e *Edge) reuses(party string) bool {
	p := e.profiles.Load().byName[party]
	return p != nil && p.Guard.Reuse && len(p.Peers) > 0
}
