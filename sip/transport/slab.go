package transport

import (
	"strings"

	"github.com/emiago/sipgo/sip"
)

// A message is one piece of memory with the headers that nearly each has one of, and with as many parameters as it needs: of what a call allocates messages are
// the largest part, and every line of them is cold. So that no byte of it stays empty there are pieces of several sizes. The sizes are those of the allocator
// (eight bytes below them, which it keeps for itself), less what sipgo's types take.

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

// need is what a message will take of a slab: at most so many parameters.
type need struct {
	params int
	party  bool
}

// note adds what one field needs. A semicolon may separate nothing, so a message may get more room than it fills.
func (n *need) note(f *field) {
	const parameters = 1<<kindVia | 1<<kindFrom | 1<<kindTo | 1<<kindContact | 1<<kindRoute | 1<<kindRecordRoute
	if kinds(parameters).has(f.kind) {
		n.params += strings.Count(f.value, ";")
		n.party = n.party || f.kind == kindContact
	}
}

// carve makes a message and the slab that is one piece with it. More parameters than the largest piece has room for grow elsewhere.
func carve[M any](s *slab, n need) *M {
	if n.party {
		return whole[M](s, n.params)
	}
	switch {
	case n.params <= 2:
		m := &struct {
			msg M
			parts
			params [2]sip.HeaderKV
		}{}
		*s = slab{parts: &m.parts, params: m.params[:]}
		return &m.msg
	case n.params <= 4:
		m := &struct {
			msg M
			parts
			params [4]sip.HeaderKV
		}{}
		*s = slab{parts: &m.parts, params: m.params[:]}
		return &m.msg
	case n.params <= 6:
		m := &struct {
			msg M
			parts
			params [6]sip.HeaderKV
		}{}
		*s = slab{parts: &m.parts, params: m.params[:]}
		return &m.msg
	}
	m := &struct {
		msg M
		parts
		params [8]sip.HeaderKV
	}{}
	*s = slab{parts: &m.parts, params: m.params[:]}
	return &m.msg
}

// whole is carve for a message with a Contact.
func whole[M any](s *slab, params int) *M {
	switch {
	case params <= 4:
		m := &struct {
			msg M
			parts
			party
			params [4]sip.HeaderKV
		}{}
		*s = slab{parts: &m.parts, contact: &m.contact, content: &m.content, params: m.params[:]}
		return &m.msg
	case params <= 6:
		m := &struct {
			msg M
			parts
			party
			params [6]sip.HeaderKV
		}{}
		*s = slab{parts: &m.parts, contact: &m.contact, content: &m.content, params: m.params[:]}
		return &m.msg
	case params <= 8:
		m := &struct {
			msg M
			parts
			party
			params [8]sip.HeaderKV
		}{}
		*s = slab{parts: &m.parts, contact: &m.contact, content: &m.content, params: m.params[:]}
		return &m.msg
	}
	m := &struct {
		msg M
		parts
		party
		params [10]sip.HeaderKV
	}{}
	*s = slab{parts: &m.parts, contact: &m.contact, content: &m.content, params: m.params[:]}
	return &m.msg
}

// free gives the unused part of the parameters to append to; keep takes what was appended, with room for more. What does not fit grows elsewhere.
func (m *slab) free() sip.HeaderParams { return m.params[m.used:m.used:len(m.params)] }

func (m *slab) keep(p sip.HeaderParams, room int) sip.HeaderParams {
	if len(p) == 0 {
		return nil
	}
	if m.used >= len(m.params) || &p[0] != &m.params[m.used] {
		return p
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
