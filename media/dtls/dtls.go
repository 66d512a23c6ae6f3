// Package dtls is the keying of DTLS-SRTP (RFC 5763, RFC 5764) for one leg: a handshake that takes datagrams and gives datagrams, certificates and their
// fingerprints (RFC 8122), and who begins (the setup attribute, RFC 4145, RFC 8842). Media itself never goes through it: the result is a suite and two master keys.
//
// It opens no socket and sends nothing: what is to be sent is handed to the caller, who asks the fence first and limits how many handshakes there are at a time.
//
// The two sides prove each other by certificates whose fingerprints came in the signalling, so the signalling must be what is trusted (RFC 5763 section 5). There is
// no resumption, no renegotiation, no MKI, no connection identifier, and no version before DTLS 1.2; a peer must speak the extended master secret of RFC 7627.
//
// It imports media/srtp for the names of suites, and is the only room with pion/dtls.
package dtls

import (
	"errors"
	"fmt"

	"github.com/cordonsip/cordon/media/srtp"
)

// Keys is what a handshake was made for.
type Keys struct {
	Suite  srtp.Suite
	Ours   Master // seals what we send
	Theirs Master // opens what we receive
}

// Master is the master key and master salt of one direction, in the lengths that the suite wants.
type Master struct{ Key, Salt []byte }

// String shows no key.
func (k Keys) String() string { return k.Suite.String() + " ***" }

// GoString shows no key.
func (k Keys) GoString() string { return k.String() }

// String shows no key.
func (Master) String() string { return "***" }

// GoString shows no key.
func (Master) GoString() string { return "***" }

// Reason is why a handshake failed: one word, which a metric may carry.
type Reason string

// The reasons.
const (
	Mismatch Reason = "fingerprint" // the peer's certificate is not the one that its description named
	Profile  Reason = "profile"     // no SRTP suite that both sides take, or a peer that doesn't speak use_srtp
	Alert    Reason = "alert"       // the peer gave up, and said so
	Timeout  Reason = "timeout"     // it did not end in time
	Protocol Reason = "protocol"    // anything else: no common cipher, another version, a message that is not right
)

// Error is a handshake that failed.
type Error struct {
	Reason Reason
	Err    error
}

// Error tells what failed; it has no address and no key in it.
func (e *Error) Error() string { return fmt.Sprintf("dtls: %s: %v", e.Reason, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

var errFingerprint = errors.New("the peer's certificate has none of the fingerprints of its description")
