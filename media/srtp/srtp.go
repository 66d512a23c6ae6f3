// Package srtp is SRTP and SRTCP for the path that every packet takes: sealing and opening in place, without an allocation, under session keys
// that lie together in memory. It knows no streams and no addresses: who calls it says which index a packet has, and keeps one Window per stream.
//
// What it does is RFC 3711 with a key derivation rate of 0 and without the options that SDES cannot negotiate for us (unencrypted or
// unauthenticated packets), with the suites of RFC 4568, RFC 6188 and RFC 7714. It is held bit by bit against another implementation in its tests.
//
// It imports nothing of ours: the standard library alone.
package srtp

import (
	"bytes"
	"errors"
	"fmt"
)

// Overhead is the most that sealing adds to a packet, in bytes: the tag of an AEAD suite and the index word of SRTCP.
const Overhead = tagGCM + indexWord

// maxMKI is the longest master key identifier in bytes, RFC 4568 section 6.1.
const maxMKI = 128

var (
	errSuite = errors.New("srtp: no such suite")
	errMKI   = errors.New("srtp: a master key identifier has 128 bytes at most")
)

// Context is the session keys of one master key, for RTP and for RTCP, in one direction. One goroutine at a time may use it. The zero Context, and
// one that was wiped, seals and opens nothing.
type Context struct {
	mki   []byte
	suite Suite
	rtp   session
	rtcp  dormant
}

// New derives the session keys of suite s from a master key and a master salt of the lengths that it wants. It keeps neither of them.
func New(s Suite, key, salt []byte) (*Context, error) {
	n, m := s.Lengths()
	if n == 0 {
		return nil, errSuite
	}
	if len(key) != n || len(salt) != m {
		return nil, fmt.Errorf("srtp: %s wants a key of %d bytes and a salt of %d, not %d and %d", s, n, m, len(key), len(salt))
	}
	c := &Context{suite: s}
	if err := c.derive(key, salt); err != nil {
		return nil, fmt.Errorf("srtp: keys of %s: %w", s, err)
	}
	return c, nil
}

// Expect makes both Open functions demand mki on each packet and take it off; an empty one ends that. Sealing never adds one. An identifier is not
// authenticated (RFC 3711 section 3.1): it says which key was used, and one that names another key makes the packet not ours.
func (c *Context) Expect(mki []byte) error {
	if len(mki) > maxMKI {
		return errMKI
	}
	c.mki = bytes.Clone(mki)
	return nil
}

// Wipe overwrites the key material that the context owns and makes it useless. Where the standard library holds round keys, they are left to the
// collector.
func (c *Context) Wipe() {
	c.rtp.wipe()
	c.rtcp.wipe()
	*c = Context{}
}
