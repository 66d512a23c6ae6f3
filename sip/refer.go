package sip

import (
	"net/url"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// The words of Party.Transfer.
const (
	transferLocal  = "local"
	transferRelay  = "relay"
	transferRefuse = "refuse"
)

// What one call may ask for: each REFER is a new call for somebody. A second, and how many at once. How many calls its source begins is no matter of a call that
// is up.
const (
	referRate  = 0.5
	referBurst = 5
)

// referTo is where a REFER asks for: a number or user, and the dialog that is to be replaced there. Nothing else of its URI counts: its host is never dialled.
type referTo struct {
	user     string
	domain   string
	sips     bool
	replaces *replaces
}

// readReferTo reads the one Refer-To of a REFER. A status other than 0 says what is wrong with it. RFC 3515 section 2.4.1: exactly one.
func readReferTo(m msg.Message) (referTo, int) {
	all := append(values(m, "refer-to"), values(m, "r")...)
	if len(all) != 1 || len(header.Split(all[0], ',')) != 1 {
		return referTo{}, 400
	}
	var u msg.Uri
	if _, err := msg.ParseAddressValue(strings.TrimSpace(all[0]), &u, nil); err != nil {
		return referTo{}, 400
	}
	out := referTo{domain: strings.Trim(u.Host, "[]")}
	switch u.Scheme {
	case "sip", "sips":
		out.user, out.sips = header.User(u.User), u.Scheme == "sips"
	case "tel":
		out.user = telNumber(u.Raw())
	default:
		return referTo{}, 416
	}
	if m, ok := u.UriParams.Get("method"); ok && !strings.EqualFold(m, "INVITE") {
		return referTo{}, 501 // only calls are made for others
	}
	if !userChars(out.user) || len(out.user) > 256 {
		return referTo{}, 400
	}
	if v, ok := u.Headers.Get("Replaces"); ok {
		plain, err := url.PathUnescape(v)
		if err != nil {
			return referTo{}, 400
		}
		r, ok := readReplaces(plain)
		if !ok {
			return referTo{}, 400
		}
		out.replaces = &r
	}
	if out.user == "" && out.replaces == nil {
		return referTo{}, 400
	}
	return out, 0
}

// userChars says whether a word may stand in the user part of a URI as it is. RFC 3261 section 25.1.
func userChars(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.!~*'()&=+$,;?/%", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// referred is a REFER inside a dialog. What it asks for is a new call, so it is planned and judged like one; the party may say that such calls are not made.
func (l *leg) referred(tx *transaction.Server, req *msg.Request) {
	c, sh := l.c, l.c.sh
	o := l.other()
	switch {
	case l.party.Transfer == transferRefuse:
		l.decline603(tx, "transfers are not done for this party")
		return
	case c.synth != nil, c.emergency():
		l.decline603(tx, "this call is not transferred")
		return
	case !c.confirmed, o == nil, o.dlg == nil, o.ended:
		l.decline603(tx, "nobody to transfer yet")
		return
	case c.moving != nil:
		sh.answer(tx, 491) // one at a time
		return
	case len(c.transfers) >= maxTransfers:
		l.decline603(tx, "this call was transferred often enough")
		return
	}
	to, status := readReferTo(req)
	if status != 0 {
		sh.answer(tx, status)
		return
	}
	if l.party.Transfer == transferRelay {
		l.passRefer(tx, req, to)
		return
	}
	if !c.refers.Take(time.Now(), referRate, referBurst) {
		sh.answer(tx, 500, msg.NewHeader("Retry-After", "2")) // RFC 3261 section 21.5.1; never 503, which speaks of the whole server
		return
	}
	newTransfer(l, o, req).begin(tx, req, to)
}

// decline603 refuses a request for good. RFC 3261 section 21.6.2.
func (l *leg) decline603(tx *transaction.Server, text string) {
	l.c.sh.answer(tx, 603, reason{"SIP", 603, text}.header())
}

// wantsSubscription says whether the sender of a REFER wants to hear of it. RFC 4488 section 4, RFC 7614 section 4.
func wantsSubscription(req *msg.Request) bool {
	return !strings.EqualFold(strings.TrimSpace(value(req, "refer-sub")), "false") && !lists(req, "require", "nosub")
}

// understood says whether an extension may be required of us. RFC 3261 section 8.2.2.3.
func understood(method msg.RequestMethod, option string) bool {
	switch strings.ToLower(option) {
	case "100rel", "timer":
		return true
	case "replaces":
		return method == msg.INVITE
	case "norefersub", "nosub":
		return method == msg.REFER
	}
	return false
}
