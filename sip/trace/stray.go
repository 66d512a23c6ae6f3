package trace

import (
	"bytes"
	"slices"
	"time"
)

// Bounds of what waits for its call: in number, in one part of Config.Bytes, and in time.
const (
	maxStrays  = 256
	strayShare = 16
	strayFor   = time.Minute
)

// strays are first messages whose call does not exist yet: the INVITE, and what we answered to it meanwhile. A call takes its own when it begins; of too many the oldest
// go. Those of an INVITE that was refused for good go at once, because no call will come: what is refused must not hold memory.
type strays struct {
	list  []stray
	bytes int
	most  int      // bytes; a message that is longer alone is not kept
	spare [][]byte // texts whose memory the next ones take
}

type stray struct {
	key callKey
	Packet
}

func (s *strays) waits(k callKey) bool {
	return slices.ContainsFunc(s.list, func(x stray) bool { return x.key == k })
}

func (s *strays) take(k callKey, p *Packet) {
	if p.Out || !bytes.HasPrefix(p.Text, []byte("INVITE ")) {
		if !s.waits(k) { // our 100 leaves before the call is there
			return
		}
	}
	if refuses(p) {
		s.leave(k, func(*Packet) {})
		return
	}
	n := len(p.Text)
	if n > s.most {
		return
	}
	gone := 0
	for len(s.list)-gone >= maxStrays || s.bytes+n > s.most {
		s.let(&s.list[gone])
		gone++
	}
	s.list = slices.Delete(s.list, 0, gone)
	x := stray{k, *p}
	var room []byte
	if n := len(s.spare); n > 0 {
		room, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	x.CallID, x.Text = "", append(room, p.Text...)
	s.list = append(s.list, x)
	s.bytes += n
}

// let keeps the memory of one that goes.
func (s *strays) let(x *stray) {
	s.bytes -= len(x.Text)
	if len(s.spare) < maxSpare && cap(x.Text) <= roomy {
		s.spare = append(s.spare, x.Text[:0])
	}
}

// leave gives those of one call to f.
func (s *strays) leave(k callKey, f func(*Packet)) {
	kept := 0
	for i := range s.list {
		x := &s.list[i]
		if x.key == k {
			f(&x.Packet)
			s.let(x)
			continue
		}
		if kept < i {
			s.list[kept] = *x
		}
		kept++
	}
	clear(s.list[kept:])
	s.list = s.list[:kept]
}

// sweep drops what no call took.
func (s *strays) sweep(now time.Time) {
	s.list = slices.DeleteFunc(s.list, func(x stray) bool {
		if now.Sub(x.At) <= strayFor {
			return false
		}
		s.let(&x)
		return true
	})
}

// refuses says whether a message is our last word on an INVITE. After 401, 407 and 422 the same Call-ID asks again: RFC 3261 section 22.2, RFC 4028 section 7.3.
func refuses(p *Packet) bool {
	if !p.Out || len(p.Text) < 12 || !bytes.HasPrefix(p.Text, []byte("SIP/2.0 ")) {
		return false
	}
	switch status := string(p.Text[8:11]); {
	case status < "300", status == "401", status == "407", status == "422":
		return false
	}
	return bytes.HasSuffix(headerOf(p.Text, "cseq", ""), []byte("INVITE"))
}
