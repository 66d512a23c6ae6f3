package sip

import (
	"net"
	"strings"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// ask is what a caller asked for, taken out of its INVITE once. Messages to the other side are built from it and never from the INVITE itself.
type ask struct {
	called   string // user part, or the number of a tel URI
	domain   string
	service  string // "urn:service:sos..."
	sips     bool
	user     string // of From
	display  string
	hidden   bool       // the caller asked for anonymity by its From
	asserted []asserted // P-Asserted-Identity, when it came from a trusted party
	privacy  string
	sdp      []byte
	keys     bool
	hops     uint32 // Max-Forwards that is left
	session  string // Session-ID of the caller
	require  bool   // 100rel is required by the caller
	rel      bool   // 100rel is supported by the caller
	timer    bool
	expires  uint32 // Session-Expires
	refresh  string // refresher that the caller asked for
	update   bool
	cross    []msg.Header // what may cross by configuration, filtered again per hop
	callID   string
	purpose  sovereign.Purpose
}

// asserted is one P-Asserted-Identity. RFC 3325 section 9.1: at most one SIP and one tel URI.
type asserted struct {
	display string
	user    string
	tel     bool
}

func asked(req *msg.Request, p *Party) *ask {
	from := req.From()
	a := &ask{
		called: calledUser(req), domain: strings.Trim(req.Recipient.Host, "[]"), sips: req.Recipient.Scheme == "sips",
		user: from.Address.User, display: from.DisplayName, privacy: privacyOf(req),
		hidden:  strings.EqualFold(from.Address.Host, anonymousHost),
		session: sessionID(req), require: lists(req, "require", "100rel"), rel: lists(req, "supported", "100rel"),
		timer: lists(req, "supported", "timer") || lists(req, "require", "timer"), update: lists(req, "allow", "UPDATE"),
		callID: req.CallID().Value(), hops: 70,
	}
	if from.Address.Scheme == "tel" {
		a.user = telNumber(from.Address.Raw())
	}
	if req.Recipient.Scheme == "urn" {
		a.service = "urn:" + strings.ToLower(req.Recipient.Raw())
		a.called = ""
	}
	if mf := req.MaxForwards(); mf != nil {
		a.hops = min(mf.Val(), 70)
	}
	a.sdp, _ = bodySDP(req)
	a.keys = strings.Contains(string(a.sdp), "a=crypto:")
	a.expires, _ = number(req, "session-expires")
	a.refresh = refresherOf(req)
	if p.Trusted {
		a.asserted = assertedIn(req)
	}
	a.cross = crossing(req)
	return a
}

// request is the question for the planner. The asserted identity wins over From, which anybody may write.
func (a *ask) request(from string, at time.Time) routing.Request {
	caller := a.user
	if len(a.asserted) > 0 {
		caller = a.asserted[0].user
	}
	return routing.Request{
		From: from, Called: a.called, Caller: caller, Domain: a.domain, Service: a.service, Purpose: a.purpose, At: at, Keys: a.keys,
	}
}

func calledUser(req *msg.Request) string {
	if req.Recipient.Scheme == "tel" {
		return telNumber(req.Recipient.Raw())
	}
	return req.Recipient.User
}

// telNumber is the number of a tel URI without its parameters and visual separators. RFC 3966 section 3.
func telNumber(raw string) string {
	n, _, _ := strings.Cut(raw, ";")
	return strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(n)
}

const anonymousHost = "anonymous.invalid"

func privacyOf(m msg.Message) string {
	var out []string
	for _, v := range values(m, "privacy") {
		for t := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
			switch t = strings.ToLower(t); t {
			case "id", "user", "header", "session", "critical", "none", "history":
				out = append(out, t)
			}
		}
	}
	return strings.Join(out, ";")
}

func assertedIn(m msg.Message) []asserted {
	var out []asserted
	for _, v := range values(m, "p-asserted-identity") {
		for _, one := range splitQuoted(v, ',') {
			var u msg.Uri
			name, err := msg.ParseAddressValue(strings.TrimSpace(one), &u, nil)
			if err != nil || len(out) == 2 {
				continue
			}
			switch u.Scheme {
			case "tel":
				out = append(out, asserted{name, telNumber(u.Raw()), true})
			case "sip", "sips":
				out = append(out, asserted{name, u.User, false})
			}
		}
	}
	return out
}

// identify writes who calls toward a party: P-Asserted-Identity and Privacy inside the trust domain, nothing outside it. RFC 3325 sections 5 and 7, RFC 3323.
func identify(m interface{ AppendHeader(msg.Header) }, ids []asserted, privacy string, to *Party, host string) {
	if !to.Trusted {
		return
	}
	for _, id := range ids {
		var b strings.Builder
		if id.display != "" {
			b.WriteString(`"` + strings.ReplaceAll(id.display, `"`, "") + `" `)
		}
		if id.tel {
			b.WriteString("<tel:" + id.user + ">")
		} else {
			u := msg.Uri{Scheme: "sip", User: id.user, Host: host}
			b.WriteString("<" + u.String() + ">")
		}
		m.AppendHeader(msg.NewHeader("P-Asserted-Identity", b.String()))
	}
	if privacy != "" {
		m.AppendHeader(msg.NewHeader("Privacy", privacy))
	}
}

// caller is the From toward a party. Privacy beyond "id" hides it from parties outside the trust domain. RFC 3323 section 4.1.1.3.
func (a *ask) caller(to *Party, host string) (display string, u msg.Uri) {
	private := !to.Trusted && (strings.Contains(a.privacy, "user") || strings.Contains(a.privacy, "id") || strings.Contains(a.privacy, "header"))
	if a.hidden || private {
		return "Anonymous", msg.Uri{Scheme: "sip", User: "anonymous", Host: anonymousHost}
	}
	return a.display, msg.Uri{Scheme: "sip", User: a.user, Host: host}
}

// crossing collects the headers that some party's configuration could let through; structural ones never.
func crossing(m msg.Message) []msg.Header {
	hs, ok := m.(interface{ Headers() []msg.Header })
	if !ok {
		return nil
	}
	var out []msg.Header
	for _, h := range hs.Headers() {
		if name := strings.ToLower(h.Name()); (!structural[name] || name == "history-info") && len(out) < 64 {
			out = append(out, h)
		}
	}
	return out
}

// cross writes those of hs that the configuration of the receiving party names. Diversion and History-Info cross only between trusted parties, and with our
// host in place of theirs.
func cross(m interface{ AppendHeader(msg.Header) }, hs []msg.Header, from, to *Party, host string) {
	for _, h := range hs {
		for _, name := range to.Headers {
			if !strings.EqualFold(name, h.Name()) {
				continue
			}
			v := h.Value()
			if strings.EqualFold(name, "diversion") || strings.EqualFold(name, "history-info") {
				if !from.Trusted || !to.Trusted {
					continue
				}
				if v = rehost(v, host); v == "" {
					continue
				}
			}
			m.AppendHeader(msg.NewHeader(h.Name(), v))
		}
	}
}

// rehost rewrites the addresses of a list header to host and keeps only the parameters that name nobody.
func rehost(v, host string) string {
	var out []string
	for _, one := range splitQuoted(v, ',') {
		var u msg.Uri
		var params msg.HeaderParams
		if _, err := msg.ParseAddressValue(strings.TrimSpace(one), &u, &params); err != nil || u.User == "" {
			continue
		}
		n := msg.Uri{Scheme: "sip", User: u.User, Host: host}
		s := "<" + n.String() + ">"
		for _, kv := range params {
			switch strings.ToLower(kv.K) {
			case "reason", "counter", "privacy", "screen", "index", "limit", "rc", "mp", "np":
				if kv.V == "" || harmless(strings.ReplaceAll(kv.V, ".", "")) != "" {
					s += ";" + kv.K
					if kv.V != "" {
						s += "=" + kv.V
					}
				}
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// hostText writes an address or name as the host of a URI.
func hostText(h string) string {
	if ip := net.ParseIP(h); ip != nil && ip.To4() == nil {
		return "[" + h + "]"
	}
	return h
}
