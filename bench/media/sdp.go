//go:build linux

package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The suites of the bench: a mode that recrypts has one on each side, because a relay that finds the same on both may pass packets through as they are.
const (
	tag80 = "AES_CM_128_HMAC_SHA1_80"
	tag32 = "AES_CM_128_HMAC_SHA1_32"
)

// side of a call.
type side int

const (
	sideA side = iota
	sideB
)

func (s side) other() side { return 1 - s }

// mode is what the two sides of a call speak: a suite each, "" for plain RTP.
type mode struct {
	name   string
	suites [2]string
}

// modes are what a run can measure.
func modes() []mode {
	return []mode{{"plain", [2]string{}}, {"rtp-srtp", [2]string{"", tag80}}, {"srtp-srtp", [2]string{tag80, tag32}}}
}

func profile(suite string) string {
	if suite == "" {
		return "RTP/AVP"
	}
	return "RTP/SAVP"
}

// master is a master key with its salt, as RFC 4568 section 6.1 has them for AES_CM_128.
type master [30]byte

func newMaster() (m master) {
	_, _ = rand.Read(m[:]) // it never fails
	return m
}

// describe writes the description of a far end at an address: PCMA and telephone events, and with a suite one crypto line.
func describe(at netip.AddrPort, suite string, tag int, key master) []byte {
	b := fmt.Appendf(nil, "v=0\r\no=- 5 5 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d %[3]s 8 101\r\n"+
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n", at.Addr(), at.Port(), profile(suite))
	if suite != "" {
		b = fmt.Appendf(b, "a=crypto:%d %s inline:%s\r\n", tag, suite, base64.StdEncoding.EncodeToString(key[:]))
	}
	return b
}

// told is what the relay's description says of one side.
type told struct {
	at  netip.AddrPort
	tag int
	key master
}

var errSDP = errors.New("description of the relay")

// read finds address and, for a suite, its crypto line in a description of the relay.
func read(sdp []byte, suite string) (t told, err error) {
	var host netip.Addr
	port, prof := 0, ""
	for line := range strings.Lines(string(sdp)) {
		line = strings.TrimRight(line, "\r\n")
		switch f := strings.Fields(line); {
		case strings.HasPrefix(line, "c=IN IP4 ") && len(f) == 3:
			if host, err = netip.ParseAddr(f[2]); err != nil {
				return t, fmt.Errorf("%w: %w", errSDP, err)
			}
		case strings.HasPrefix(line, "m=audio ") && len(f) > 3:
			if port, err = strconv.Atoi(f[1]); err != nil {
				return t, fmt.Errorf("%w: %w", errSDP, err)
			}
			prof = f[2]
		case strings.HasPrefix(line, "a=crypto:") && len(f) >= 3 && f[1] == suite && t.tag == 0:
			if t.tag, t.key, err = inline(f); err != nil {
				return t, err
			}
		}
	}
	t.at = netip.AddrPortFrom(host, uint16(port))
	switch {
	case !host.Is4() || port <= 0 || port > 65535:
		return t, fmt.Errorf("%w: no address in %q", errSDP, sdp)
	case prof != profile(suite):
		return t, fmt.Errorf("%w: profile %q, want %q", errSDP, prof, profile(suite))
	case suite != "" && t.tag == 0:
		return t, fmt.Errorf("%w: no crypto line for %s", errSDP, suite)
	}
	return t, nil
}

// inline reads a crypto line: tag, suite, "inline:" and the key, perhaps with a lifetime behind it.
func inline(f []string) (tag int, key master, err error) {
	if tag, err = strconv.Atoi(strings.TrimPrefix(f[0], "a=crypto:")); err != nil || tag <= 0 {
		return 0, key, fmt.Errorf("%w: tag of %q", errSDP, f[0])
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(f[2], "inline:"), "|")
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != len(key) {
		return 0, key, fmt.Errorf("%w: a key of %d bytes, %w", errSDP, len(b), err)
	}
	return tag, master(b), nil
}
