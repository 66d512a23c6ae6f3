// Package ice is the lite side of ICE (RFC 8445, for peers of RFC 5245 as well) for one component with rtcp-mux: it answers connectivity checks, tells which
// address the peer nominated, watches over the peer's consent (RFC 7675), and reads and writes the attributes of RFC 8839. It has a small STUN codec of its own
// (RFC 8489), and tells STUN, DTLS, RTP and RTCP apart (RFC 7983).
//
// It opens no socket and sends nothing: datagrams come in, responses come out, and whoever sends them asks the fence first. It takes no memory per datagram.
//
// No candidate is gathered, no name is resolved, no check is sent: whom the peer wants media sent to is learnt from its own checks, after they were proven with
// our password. Where both sides are lite there are no checks, and media goes to the peer's default address as without ICE.
//
// It imports nothing of cordon's.
package ice
