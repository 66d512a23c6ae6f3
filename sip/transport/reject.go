package transport

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// answerable says whether a malformed request can be told so: it is no ACK, the way back is known, and the sender can tell what is answered by its own branch and
// CSeq. From, To and Call-ID may be what is missing: the answer lacks them, too. RFC 4475 section 3.3.1.
func (h *head) answerable() bool {
	if !h.request || h.method == "ACK" || h.method == "" {
		return false
	}
	for _, name := range [...]string{"Via", "CSeq"} {
		if v, ok := h.first(name); !ok || len(v) == 0 {
			return false
		}
	}
	via, _ := h.first("Via")
	name, _, ok := strings.Cut(via, "/")
	return ok && strings.EqualFold(trimLWS(name), "SIP")
}

// reject writes the answer to a malformed request. It keeps no state (RFC 3261 section 8.2.7): the To-tag is a keyed hash of the request's identity, the
// same for each retransmission and not to be guessed. Of repeated headers the first counts.
func (h *head) reject(f *Fault, from netip.AddrPort, key []byte) []byte {
	b := make([]byte, 0, 512)
	b = append(strconv.AppendInt(append(b, "SIP/2.0 "...), int64(f.Status), 10), ' ')
	b = append(append(b, f.Reason...), "\r\n"...)
	top := true
	for i := range h.fields {
		if h.fields[i].name != "Via" {
			continue
		}
		v := h.fields[i].value
		if top {
			v, top = receivedRaw(v, from), false
		}
		b = appendField(b, "Via", v)
	}
	mac := hmac.New(sha256.New, key)
	for _, name := range [...]string{"From", "To", "Call-ID", "CSeq"} {
		v, _ := h.first(name)
		mac.Write([]byte(v))
		mac.Write([]byte{0})
	}
	for _, name := range [...]string{"From", "To", "Call-ID", "CSeq"} {
		v, ok := h.first(name)
		if !ok || v == "" {
			continue
		}
		if name == "To" && !strings.Contains(strings.ToLower(v), "tag=") {
			v += ";tag=" + hex.EncodeToString(mac.Sum(nil)[:8])
		}
		b = appendField(b, name, v)
	}
	return append(b, "Content-Length: 0\r\n\r\n"...)
}

// receivedRaw marks the first member of a raw Via list with the source, as received does for a readable one.
func receivedRaw(v string, from netip.AddrPort) string {
	first := listEnd(v)
	return v[:first] + ";received=" + from.Addr().String() + v[first:]
}

func appendField(b []byte, name, value string) []byte {
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}
