package header

import "strings"

// UserToUser reads the User-to-User headers and writes again what may go on: data of at most max octets with its purpose, content and encoding. RFC 7433 section 4.
// Further parameters are left out; a value that is too long or malformed is left out whole, because data that was cut says something else.
func UserToUser(values []string, limit int) []string {
	var out []string
	for _, one := range list(values) {
		data, quoted, params, ok := cutData(one)
		if !ok {
			continue
		}
		octets, encoded := len(data), find(params, "encoding")
		if encoded == "" || strings.EqualFold(encoded, "hex") { // the default, RFC 7433 section 4.1
			if octets /= 2; len(data)%2 != 0 || strings.Trim(strings.ToLower(data), "0123456789abcdef") != "" {
				continue
			}
		}
		if octets == 0 || octets > limit {
			continue
		}
		v := data
		if quoted {
			v = Quote(data)
		}
		for _, name := range []string{"purpose", "content", "encoding"} {
			if p := find(params, name); p != "" && IsToken(p) && Harmless(p) != "" { // registered words have no dot in them
				v += ";" + name + "=" + p
			}
		}
		out = append(out, v)
	}
	return out
}

// cutData splits uui-data = token / quoted-string from its parameters.
func cutData(s string) (data string, quoted bool, params []param, ok bool) {
	head, params := cutParams(s)
	if strings.HasPrefix(head, `"`) {
		data = Unquote(head)
		return data, true, params, data != head && !strings.ContainsAny(data, "\r\n")
	}
	return head, false, params, IsToken(head)
}

// EarlyMedia keeps the words of P-Early-Media. RFC 5009 section 8: "supported" in a request, a direction and "gated" in what follows.
func EarlyMedia(value string) string {
	var out []string
	for _, t := range Split(value, ',') {
		switch t = strings.ToLower(strings.TrimSpace(t)); t {
		case "supported", "sendrecv", "sendonly", "recvonly", "inactive", "gated":
			if len(out) < 4 {
				out = append(out, t)
			}
		}
	}
	return strings.Join(out, ", ")
}
