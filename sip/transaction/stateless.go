package transaction

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// Stateless is the wire form of a final response to a request for which no transaction is kept. RFC 3261 section 8.2.7: a retransmission gets the same To-tag,
// which is made of what identifies the request.
func Stateless(req *sip.Request, status int, headers ...sip.Header) []byte {
	h := sha256.New()
	branch, _ := req.Via().Params.Get("branch")
	for _, x := range []string{branch, req.From().Value(), req.CallID().Value(), req.CSeq().Value()} {
		h.Write([]byte(x))
		h.Write([]byte{0})
	}
	s := &Server{req: req, method: req.Method, tag: hex.EncodeToString(h.Sum(nil)[:8])}
	res := s.Response(status, "", headers...)
	SetBody(res, res.Body())
	return transport.Append(make([]byte, 0, 1024), res)
}
