package transport

import "github.com/emiago/sipgo/sip"

// A message is one piece of memory with the headers that nearly each has one of, and with as many parameters as those have: of what a call allocates messages are
// the largest part, and every line of them is cold. Messages without a Contact are a smaller piece. What has more parameters gets them elsewhere.

// parts are the headers that each message has one of.
type parts struct {
	via    sip.ViaHeader
	from   sip.FromHeader
	to     sip.ToHeader
	callID sip.CallIDHeader
	cseq   sip.CSeqHeader
	hops   sip.MaxForwardsHeader
	length sip.ContentLengthHeader
}

// party are those that a message has which makes or changes a session.
type party struct {
	contact sip.ContactHeader
	content sip.ContentTypeHeader
}

// slab gives out the memory of the message that is being built. A slab without parts reads parameters and URIs alone.
type slab struct {
	*parts
	contact *sip.ContactHeader     // nil: taken, or never there
	content *sip.ContentTypeHeader // so is this
	params  []sip.HeaderKV
	used    int // of params
	spare   int // room that the next Via keeps behind its parameters
	taken   kinds
}

// spare is the room behind the parameters of a request's Via: for "received". "rport" is there when it gets its value, RFC 3581 section 4.
const spare = 1

// usual is how many parameters are one piece with a message: those of Via, with room for one, and both tags.
const usual = 4

// carve makes a message and the slab that is one piece with it.
func carve[M any](s *slab, contact bool) *M {
	if contact {
		m := &struct {
			msg M
			parts
			party
			params [usual]sip.HeaderKV
		}{}
		*s = slab{parts: &m.parts, contact: &m.contact, content: &m.content, params: m.params[:]}
		return &m.msg
	}
	m := &struct {
		msg M
		parts
		params [usual]sip.HeaderKV
	}{}
	*s = slab{parts: &m.parts, params: m.params[:]}
	return &m.msg
}

// free gives the unused part of the parameters to append to, for which more makes room; keep takes what was appended, with room for more.
func (m *slab) free() sip.HeaderParams { return m.params[m.used:m.used:len(m.params)] }

func (m *slab) more(p sip.HeaderParams) sip.HeaderParams {
	if len(p) < cap(p) {
		return p
	}
	m.params, m.used = make([]sip.HeaderKV, len(p)+usual), 0
	return append(m.params[:0], p...)
}

func (m *slab) keep(p sip.HeaderParams, room int) sip.HeaderParams {
	if len(p) == 0 {
		return nil
	}
	end := min(m.used+len(p)+room, len(m.params))
	p = p[: len(p) : end-m.used]
	m.used = end
	return p
}

// take says whether the slab's header of that kind is still free.
func (m *slab) take(k kind) bool {
	free := !m.taken.has(k)
	m.taken |= 1 << k
	return free
}
