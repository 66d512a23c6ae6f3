package plane

import "github.com/cordonsip/cordon/internal/tlv"

// maxMarks is how many SSRCs of a far end leave a mark: as many as are counted apart, but for the one in use.
const maxMarks = maxSources - 1

// marks say how far the SSRCs came that are not in use, under the key in use, the newest first. Their windows lie beside the slot and are lost with a process; by its mark nothing
// is taken again that the process before this one took.
type marks [maxMarks]mark

// mark of an SSRC: the next index of its RTP and of its RTCP; 0: none came.
type mark struct {
	ssrc, rtcp uint32
	rtp        uint64
}

// put notes how far a stream came that is about to leave its place.
func (m *marks) put(s *stream, rtcp bool) {
	next, _ := s.win.State()
	if !s.on || next == 0 {
		return
	}
	i := 0
	for i < maxMarks-1 && (m[i].rtp != 0 || m[i].rtcp != 0) && m[i].ssrc != s.ssrc {
		i++
	}
	k := mark{ssrc: s.ssrc}
	if m[i].ssrc == s.ssrc {
		k = m[i]
	}
	if rtcp {
		k.rtcp = uint32(next) // its index has 31 bits
	} else {
		k.rtp = next
	}
	copy(m[1:i+1], m[:i])
	m[0] = k
}

// begins is a stream that is not known: it goes on where its mark is.
func (m *marks) begins(ssrc uint32, rtcp bool) stream {
	s := stream{ssrc: ssrc}
	for i := range m {
		next := m[i].rtp
		if rtcp {
			next = uint64(m[i].rtcp)
		}
		if m[i].ssrc == ssrc && next > 0 {
			s.win.Resume(next - 1)
			break
		}
	}
	return s
}

func (m *marks) export(b []byte) []byte {
	for _, k := range m {
		if k != (mark{}) {
			b = within(b, slotMark, func(b []byte) []byte {
				return tlv.Uint(tlv.Uint(tlv.Uint(b, markSSRC, uint64(k.ssrc)), markRTP, k.rtp), markRTCP, uint64(k.rtcp))
			})
		}
	}
	return b
}

// read takes the next mark; there may be more than have room here.
func (m *marks) read(r *tlv.Reader) {
	var k mark
	inner(r, func(in *tlv.Reader) {
		switch in.Tag {
		case markSSRC:
			k.ssrc = in.Uint32()
		case markRTP:
			k.rtp = in.Uint()
		case markRTCP:
			k.rtcp = in.Uint32()
		}
	})
	for i := range m {
		if m[i] == (mark{}) {
			m[i] = k
			return
		}
	}
}
