package transport

import (
	"bytes"
)

// maxSkip bounds the body that is read over to keep the framing of a message that is too large.
const maxSkip = 16 << 20

// frameKind is what stands at the front of a stream.
type frameKind int

const (
	frameMore frameKind = iota // incomplete
	frameCRLF                  // one CRLF between messages
	framePing                  // CRLFCRLF between messages, RFC 5626 section 3.5.1
	frameHead                  // a whole header section; the head was scanned, body and framing are known
	frameLost                  // nobody can tell where the next message begins
)

// frame is what nextFrame found: size bytes are consumed by it, body bytes follow.
type frame struct {
	kind  frameKind
	size  int
	body  int
	fault *Fault
}

// nextFrame looks at the front of a stream and scans a header section that is whole into h. RFC 3261 section 18.3: Content-Length must be there.
func nextFrame(b []byte, h *head) frame {
	switch {
	case len(b) == 0 || len(b) == 1 && b[0] == '\r':
		return frame{kind: frameMore}
	case bytes.HasPrefix(b, []byte("\r\n\r\n")):
		return frame{kind: framePing, size: 4}
	case bytes.HasPrefix(b, []byte("\r\n")):
		return frame{kind: frameCRLF, size: 2}
	}
	section, rest, ok := splitHead(b)
	if !ok {
		if len(b) > maxHead {
			scan(nil, h)
			return frame{kind: frameLost, fault: &Fault{Status: StatusTooLarge, Reason: "Header Section Too Large"}}
		}
		return frame{kind: frameMore}
	}
	scan(section, h)
	size := len(b) - len(rest)
	lost := func(reason string) frame {
		return frame{kind: frameLost, size: size, fault: &Fault{Status: 400, Reason: reason}}
	}
	// With a bare LF in it two readers may see the section end at two places.
	if !bytes.HasSuffix(b[:size], []byte("\r\n\r\n")) || bytes.Count(section, []byte("\n")) != bytes.Count(section, []byte("\r\n")) {
		return lost("Bare LF")
	}
	body := -1
	for i := range h.fields {
		if h.fields[i].name != "Content-Length" {
			continue
		}
		n, ok := number(h.fields[i].value, maxSkip)
		if !ok {
			return lost("Bad Content-Length")
		}
		if body >= 0 && body != int(n) {
			return lost("Repeated Content-Length")
		}
		body = int(n)
	}
	if body < 0 {
		return lost("Missing Content-Length")
	}
	return frame{kind: frameHead, size: size, body: body}
}
