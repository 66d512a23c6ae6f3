package media

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// oracleSDP reads b by way of pion's tree: slower, and what parseSDP is held against.
func oracleSDP(b []byte) (*description, *Refusal) {
	if len(b) > maxSDP {
		return nil, refuse(399, "session description is too long")
	}
	text, mlines, ref := standIns(b)
	if ref != nil {
		return nil, ref
	}
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		return nil, refuse(399, err.Error())
	}
	if len(s.MediaDescriptions) != len(mlines) {
		return nil, refuse(399, "session description cannot be read")
	}
	d := &description{lines: mlines}
	for i, m := range s.MediaDescriptions {
		if d.lines[i].audio() {
			d.lines[i].oracle(&s, m)
		}
	}
	return d, nil
}

// standIns returns the text with each media section that is not RTP audio replaced by an empty one, because pion knows neither every media type nor every
// transport. The m-lines are returned as they were.
func standIns(b []byte) (string, []line, *Refusal) {
	var lines []line
	var out strings.Builder
	skip := false
	attrs := 0
	for raw := range strings.SplitSeq(string(b), "\n") {
		if raw = strings.TrimSuffix(raw, "\r"); raw == "" {
			continue
		}
		if strings.ContainsFunc(raw, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
			return "", nil, refuse(399, "session description has control characters")
		}
		if attrs++; attrs > maxAttrs {
			return "", nil, refuse(399, "session description has too many lines")
		}
		if rest, ok := strings.CutPrefix(raw, "m="); ok {
			l, ref := readMLine(rest, nil)
			if ref != nil {
				return "", nil, ref
			}
			if lines = append(lines, l); len(lines) > maxMLines {
				return "", nil, refuse(399, "session description has too many media lines")
			}
			if skip = !l.audio(); skip {
				out.WriteString("m=audio 0 RTP/AVP 0\r\n")
			}
		}
		if mid, ok := strings.CutPrefix(raw, "a=mid:"); ok && skip {
			lines[len(lines)-1].web = (*web)(nil).take("mid", mid)
		}
		if !skip {
			out.WriteString(raw + "\r\n")
		}
	}
	return out.String(), lines, nil
}

// oracle fills in what pion found for an audio line.
func (l *line) oracle(s *sdp.SessionDescription, m *sdp.MediaDescription) {
	direct := func(key string) bool {
		is := slices.Contains([]direction{sendrecv, sendonly, recvonly, inactive}, direction(key))
		if is {
			l.dir = direction(key)
		}
		return is
	}
	var all *web
	for _, a := range s.Attributes {
		if !direct(a.Key) && webby(a.Key) {
			all = all.take(a.Key, a.Value)
		}
	}
	l.web = all.section()
	rtcp, said := "", false
	for _, a := range m.Attributes {
		switch {
		case direct(a.Key):
		case a.Key == "rtcp-mux":
			l.mux = true
		case a.Key == "rtcp":
			rtcp, said = a.Value, true
		case a.Key == "crypto":
			if len(l.crypto) == maxCrypto {
				l.fault = refuse(399, "too many crypto lines")
				return
			}
			l.crypto = append(l.crypto, parseCrypto(a.Value))
		case webby(a.Key):
			l.web = l.web.take(a.Key, a.Value)
		case slices.Contains([]string{"rtpmap", "fmtp", "ptime", "maxptime"}, a.Key) && visible(a.Value, ' '):
			l.attrs = append(l.attrs, attr{a.Key, a.Value})
		}
	}
	c := m.ConnectionInformation
	if c == nil {
		c = s.ConnectionInformation
	}
	if l.port == 0 || l.fault != nil {
		return
	}
	conn := ""
	if c != nil && c.Address != nil {
		conn = c.Address.Address
	}
	l.place(conn, rtcp, said)
}
