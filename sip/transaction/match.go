package transaction

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
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

// serverKey is what a request is matched by, RFC 3261 section 17.2.3: branch, sent-by and method, ACK counting as INVITE. The party is ours: what one trunk
// sends never touches the transaction of another.
type serverKey struct {
	branch string
	sentBy string
	method sip.RequestMethod
	party  string
}

// mergeKey is what tells a request that came over two paths, RFC 3261 section 8.2.2.2.
type mergeKey struct {
	fromTag, callID string
	seq             uint32
	method          sip.RequestMethod
}

func keyOfResponse(res *sip.Response) (clientKey, bool) {
	via, cseq := res.Via(), res.CSeq()
	if via == nil || cseq == nil {
		return clientKey{}, false
	}
	branch, ok := via.Params.Get("branch")
	return clientKey{branch, cseq.MethodName}, ok
}

func keyOfRequest(req *sip.Request, in transport.Incoming) (serverKey, bool) {
	via, cseq, from, callID := req.Via(), req.CSeq(), req.From(), req.CallID()
	if via == nil || cseq == nil || from == nil || callID == nil || req.To() == nil {
		return serverKey{}, false
	}
	k := serverKey{method: req.Method, party: in.Party, sentBy: fmt.Sprintf("%s:%d", strings.ToLower(via.Host), via.Port)}
	if k.method == sip.ACK {
		k.method = sip.INVITE
	}
	k.branch, _ = via.Params.Get("branch")
	if len(k.branch) <= len(cookie) || !strings.EqualFold(k.branch[:len(cookie)], cookie) {
		// A branch of RFC 2543 is not unique. The To tag is left out: an ACK has one where its INVITE had none.
		tag, _ := from.Params.Get("tag")
		k.branch = strings.Join([]string{"2543", k.branch, req.Recipient.String(), tag, callID.Value(), fmt.Sprint(cseq.SeqNo)}, "\x00")
	}
	return k, true
}

// keyOfMerge is not ok for a request inside a dialog.
func keyOfMerge(req *sip.Request) (mergeKey, bool) {
	if tag, ok := req.To().Params.Get("tag"); ok && tag != "" {
		return mergeKey{}, false
	}
	tag, _ := req.From().Params.Get("tag")
	return mergeKey{tag, req.CallID().Value(), req.CSeq().SeqNo, req.Method}, true
}

// random gives 128 unguessable bits: who can't see a request can't answer it.
func random() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (l *Layer) newBranch() string { return cookie + l.mark + random() }

// BranchMark gives the first n characters behind the magic cookie of the branch of res' top Via: the mark of the layer that sent the request.
func BranchMark(res *sip.Response, n int) string {
	via := res.Via()
	if via == nil {
		return ""
	}
	branch, _ := via.Params.Get("branch")
	if len(branch) < len(cookie)+n {
		return ""
	}
	return branch[len(cookie) : len(cookie)+n]
}

// addVia puts our Via on top. rport asks for the answer where the request came from (RFC 3581).
func (l *Layer) addVia(f transport.Flow, req *sip.Request, branch string) {
	local := f.Local()
	params := sip.HeaderParams{{K: "branch", V: branch}, {K: "rport"}}
	if l.extra != nil {
		params = append(params, l.extra(f)...)
	}
	req.PrependHeader(&sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: strings.ToUpper(string(f.Proto())),
		Host: local.Addr().Unmap().String(), Port: int(local.Port()),
		Params: params,
	})
	length(req)
}

// length makes sure that Content-Length is there and true: a stream is framed by it.
func length(m sip.Message) { m.SetBody(m.Body()) }

func wire(m sip.Message) []byte {
	var b strings.Builder
	b.Grow(1024)
	m.StringWrite(&b)
	return []byte(b.String())
}
