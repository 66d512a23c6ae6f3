package transaction

import (
	"crypto/rand"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// cookie is what an RFC 3261 branch begins with.
const cookie = "z9hG4bK"

// clientKey is what a response is matched by, RFC 3261 section 17.1.3: the branch of the top Via and the method in CSeq.
type clientKey struct {
	branch string
	method sip.RequestMethod
}

func keyOfResponse(res *sip.Response) (clientKey, bool) {
	via, cseq := res.Via(), res.CSeq()
	if via == nil || cseq == nil {
		return clientKey{}, false
	}
	branch, ok := via.Params.Get("branch")
	return clientKey{branch, cseq.MethodName}, ok
}

// hash is a key as the map of clients has it: 64 bits that nobody outside can aim at. A CANCEL has the branch of its INVITE.
func (l *Layer) hash(k clientKey) uint64 {
	h := maphash.String(l.seed, k.branch)
	if k.method == sip.CANCEL {
		h++
	}
	return h
}

// client gives the transaction of that key; nil without one.
func (l *Layer) client(k clientKey) *Client {
	if c := l.clients[l.hash(k)]; c != nil && c.key == k {
		return c
	}
	return nil
}

// matchable says that a request has what a key is made of.
func matchable(req *sip.Request) bool {
	return req.Via() != nil && req.CSeq() != nil && req.From() != nil && req.CallID() != nil && req.To() != nil
}

// serverKey is what a request is matched by, RFC 3261 section 17.2.3: branch, sent-by and method, ACK counting as INVITE. The party is ours: what one trunk
// sends never touches the transaction of another. Of that it is a hash, as mergeKey is. The branch is last, because it alone could hold a NUL.
func (l *Layer) serverKey(req *sip.Request, in transport.Incoming, method sip.RequestMethod) uint64 {
	if method == sip.ACK {
		method = sip.INVITE
	}
	via := req.Via()
	b := append(append(l.key[:0], method...), 0)
	b = append(append(b, in.Party...), 0)
	for i := range len(via.Host) {
		c := via.Host[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	b = append(strconv.AppendInt(append(b, ':'), int64(via.Port), 10), 0)
	branch, _ := via.Params.Get("branch")
	if len(branch) <= len(cookie) || !strings.EqualFold(branch[:len(cookie)], cookie) {
		// A branch of RFC 2543 is not unique. The To tag is left out: an ACK has one where its INVITE had none.
		tag, _ := req.From().Params.Get("tag")
		for _, s := range [...]string{"2543", branch, req.Recipient.String(), tag, req.CallID().Value()} {
			b = append(append(b, s...), 0)
		}
		b = strconv.AppendUint(b, uint64(req.CSeq().SeqNo), 10)
	} else {
		b = append(b, branch...)
	}
	l.key = b
	return maphash.Bytes(l.seed, b)
}

// mergeKey is what tells a request that came over two paths, RFC 3261 section 8.2.2.2. It is 0 for a request inside a dialog. Nobody outside knows the seed, so
// two requests have the same key by chance alone: once in 2**64.
func (l *Layer) mergeKey(req *sip.Request) uint64 {
	if tag, ok := req.To().Params.Get("tag"); ok && tag != "" {
		return 0
	}
	tag, _ := req.From().Params.Get("tag")
	b := append(append(l.key[:0], req.Method...), 0)
	b = append(strconv.AppendUint(b, uint64(req.CSeq().SeqNo), 10), 0)
	b = append(strconv.AppendInt(b, int64(len(tag)), 10), 0)
	b = append(append(b, tag...), req.CallID().Value()...)
	l.key = b
	return max(maphash.Bytes(l.seed, b), 1)
}

// random writes 128 unguessable bits behind prefix: who can't see a request can't answer it.
func (l *Layer) random(prefix string) string {
	const bits = 16
	if l.die == 0 || l.die+bits > len(l.dice) {
		rand.Read(l.dice[:])
		l.die = 0
	}
	var room [96]byte
	b := append(room[:0], prefix...)
	b = hex.AppendEncode(b, l.dice[l.die:l.die+bits])
	l.die += bits
	return string(b)
}

func (l *Layer) newBranch() string { return l.random(cookie) }

// via is a local address as a Via names it.
type via struct {
	addr netip.Addr
	text string
}

// hostOf is our address of a flow in words.
func (l *Layer) hostOf(f transport.Flow) string {
	if a := f.Local().Addr().Unmap(); l.host.addr != a {
		l.host = via{a, a.String()}
	}
	return l.host.text
}

// viaParams are the parameters of our Via, into room.
func (l *Layer) viaParams(room []sip.HeaderKV, f transport.Flow, req *sip.Request, branch string) sip.HeaderParams {
	p := append(room, sip.HeaderKV{K: "branch", V: branch}, sip.HeaderKV{K: "rport"})
	if l.extra != nil {
		p = append(p, l.extra(f, req)...)
	}
	return p
}
