package carrier

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// describeOffer writes an offer for the call as it stands: every suite before the first answer, the chosen one afterwards.
func (c *Call) describeOffer() []byte {
	c.offered = nil
	switch {
	case c.image:
	case c.remote != nil && c.media.suite() != "":
		c.offered = []crypto{c.sdp.key(1, c.media.suite())}
	case c.remote == nil && (c.opts.SRTP || c.p.cfg.SRTP):
		for i, s := range c.p.cfg.Suites {
			c.offered = append(c.offered, c.sdp.key(i+1, s))
		}
	}
	text := c.sdp.describeImage
	if !c.image {
		text = func(addr netip.AddrPort) []byte { return c.sdp.describe(addr, c.offered, true, true, c.dir) }
	}
	offer, err := c.relayed(true, true, text(c.media.addr()))
	if err != nil {
		c.p.fault("our own media relay: %v", err)
	}
	return offer
}

// relayed is a description after our media relay.
func (c *Call) relayed(offer, leaves bool, sdp []byte) ([]byte, error) {
	if c.p.cfg.Relay == nil {
		return sdp, nil
	}
	return c.p.cfg.Relay(c.id, offer, leaves, sdp)
}

// answer takes an offer into force and writes our answer to it.
func (c *Call) answer(offer []byte) ([]byte, error) {
	offer, err := c.relayed(true, false, offer)
	if err != nil {
		return nil, err
	}
	s, err := parseSDP(offer)
	if err != nil {
		return nil, err
	}
	c.checkSDP(s)
	if c.image = s.image(); c.image {
		c.remote = s
		c.media.fax(s.addr)
		return c.relayed(false, true, c.sdp.describeImage(c.media.addr()))
	}
	if !slices.Contains(s.formats, "8") {
		return nil, fmt.Errorf("carrier: formats %v without PCMA", s.formats)
	}
	if c.p.cfg.SRTP && !s.secure() {
		return nil, errors.New("carrier: plain RTP offered, SRTP wanted")
	}
	var keys []crypto
	var theirs crypto
	if s.secure() {
		i := slices.IndexFunc(s.crypto, func(k crypto) bool { return slices.Contains(c.p.cfg.Suites, k.suite) })
		if i < 0 {
			return nil, fmt.Errorf("carrier: none of the suites of %v is ours", s.crypto)
		}
		theirs = s.crypto[i]
		keys = []crypto{c.sdp.key(theirs.tag, theirs.suite)}
	}
	c.remote = s
	c.dir = answerDir(s.dir, sendrecv)
	var ours crypto
	if len(keys) > 0 {
		ours = keys[0]
	}
	if err := c.media.apply(s.addr, ours, theirs, c.dir); err != nil {
		return nil, err
	}
	return c.relayed(false, true, c.sdp.describe(c.media.addr(), keys, slices.Contains(s.formats, fmt.Sprint(telEvent)), s.mux, c.dir))
}

// applyAnswer takes the answer to our latest offer into force, early or final.
func (c *Call) applyAnswer(body []byte) {
	body, err := c.relayed(false, false, body)
	if err != nil {
		c.p.fault("our own media relay: %v", err)
		return
	}
	s, err := parseSDP(body)
	if err != nil {
		c.p.fault("answer: %v", err)
		return
	}
	c.checkSDP(s)
	if s.addr.Port() == 0 {
		return // the stream is refused: nothing else of it counts, RFC 3264 section 6
	}
	if s.image() != c.image {
		c.p.fault("answer: %s to another medium", s.kind)
		return
	}
	if c.image {
		c.remote = s
		c.media.fax(s.addr)
		return
	}
	if !slices.Contains(s.formats, "8") {
		c.p.fault("answer: formats %v without the PCMA we offered", s.formats)
	}
	var ours, theirs crypto
	switch {
	case s.secure() != (len(c.offered) > 0):
		c.p.fault("answer: %s to an offer with %d keys", s.proto, len(c.offered))
		return
	case s.secure():
		if len(s.crypto) != 1 {
			c.p.fault("answer: %d crypto lines, want one (RFC 4568 section 5.1.2)", len(s.crypto))
			return
		}
		theirs = s.crypto[0]
		i := slices.IndexFunc(c.offered, func(k crypto) bool { return k.tag == theirs.tag && k.suite == theirs.suite })
		if i < 0 {
			c.p.fault("answer: crypto tag %d with %s was not offered", theirs.tag, theirs.suite)
			return
		}
		ours = c.offered[i]
		if slices.Equal(ours.key, theirs.key) {
			c.p.fault("answer: our own key came back")
		}
	}
	if fits := answerDir(c.dir, s.dir); fits != s.dir {
		c.p.fault("answer: direction %s to %s", s.dir, c.dir)
	}
	c.remote = s
	if err := c.media.apply(s.addr, ours, theirs, answerDir(s.dir, c.dir)); err != nil {
		c.p.fault("answer: %v", err)
	}
}

// checkSDP holds what one session description must keep from the one before (RFC 3264 section 8) and within itself.
func (c *Call) checkSDP(s *session) {
	if s.addr.Port() != 0 && s.secure() != (len(s.crypto) > 0) {
		c.p.fault("SDP: %s with %d crypto lines", s.proto, len(s.crypto))
	}
	if s.image() && s.addr.Port() != 0 {
		c.checkImage(s)
	} else if !s.secure() && s.proto != "RTP/AVP" && !s.image() {
		c.p.fault("SDP: transport %s", s.proto)
	}
	if s.media != 1 {
		c.p.fault("SDP: %d m= lines", s.media)
	}
	for i, k := range s.crypto {
		if slices.ContainsFunc(s.crypto[:i], func(o crypto) bool { return o.tag == k.tag }) {
			c.p.fault("SDP: crypto tag %d twice", k.tag)
		}
	}
	old := c.remote
	switch {
	case old == nil:
	case s.origin != old.origin:
		c.p.fault("SDP: o= changed from %q to %q", old.origin, s.origin)
	case s.version != old.version && s.version != old.version+1:
		c.p.fault("SDP: version of o= jumps from %d to %d", old.version, s.version)
	case s.version == old.version && s.text != old.text:
		c.p.fault("SDP: changed without a new version of o=: %q, was %q", s.text, old.text)
	}
}
