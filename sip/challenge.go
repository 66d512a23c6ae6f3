package sip

import (
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/digest"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Challenge is what a party must prove before its new requests are taken.
type Challenge struct {
	digest.Realm
	Proxy bool // calls are challenged as by a proxy, with 407; registrations always with 401
}

// groundCredentials is the ground of a refusal in the log: the source is known and permitted, its password is wrong.
const groundCredentials sovereign.Ground = "credentials_refused"

// challenged says whether a method is asked for credentials. ACK and CANCEL never are (RFC 3261 section 22.1); OPTIONS is how peers see that we live and
// does nothing; what belongs to a dialog that is not there is answered 481 in any case. An INVITE is asked once it is known for no call for help.
func challenged(m msg.RequestMethod) bool {
	switch m {
	case msg.ACK, msg.CANCEL, msg.OPTIONS, msg.BYE, msg.PRACK, msg.UPDATE, msg.INFO, msg.NOTIFY, msg.INVITE:
		return false
	}
	return true
}

// proven says whether a request carries the credentials that its party must show, and of which user. If not, it was answered, or is met with silence.
func (s *shard) proven(tx *transaction.Server, req *msg.Request, in transport.Incoming, party *Party) (user string, ok bool) {
	switch {
	case in.OnlyEmergency: // this is no call for help, and nothing else is said to a held source
		tx.Drop()
		return "", false
	case party.Challenge == nil:
		return "", true
	}
	e, ch, now, from := s.e, party.Challenge, time.Now(), in.Flow.Remote().Addr()
	status, asks, shows := 401, "WWW-Authenticate", "authorization"
	if ch.Proxy && req.Method != msg.REGISTER {
		status, asks, shows = 407, "Proxy-Authenticate", "proxy-authorization"
	}
	shown := values(req, shows)
	if e.brake.Silent(now, from, claimed(shown)) {
		e.metrics.challenges.WithLabelValues(party.Name, "silent").Inc()
		tx.Drop()
		return "", false
	}
	d := digest.Request{Method: string(req.Method), Body: req.Body()}
	user, res := e.guard.Check(now, &ch.Realm, from, shown, d, func(uri string) bool { return sameResource(uri, req) })
	e.metrics.challenges.WithLabelValues(party.Name, resultWords[res]).Inc()
	wait := time.Duration(0)
	switch res {
	case digest.Good:
		e.brake.Good(from, user)
		return user, true
	case digest.Wrong:
		var silent bool
		wait, silent = e.brake.Wrong(now, from, user)
		e.screen.refused(party.Name, in.Flow.Remote(), groundCredentials, "wrong credentials for realm "+ch.Name)
		if silent {
			tx.Drop()
			return "", false
		}
	}
	ask := func() {
		var hs []msg.Header
		for _, v := range e.guard.Challenges(time.Now(), &ch.Realm, from, res == digest.Stale) {
			hs = append(hs, msg.NewHeader(asks, v))
		}
		s.answer(tx, status, hs...)
	}
	if wait > 0 {
		s.loop.After(wait, ask)
	} else {
		ask()
	}
	return "", false
}

var resultWords = map[digest.Result]string{digest.Absent: "asked", digest.Good: "good", digest.Stale: "stale", digest.Wrong: "wrong"}

// claimed is the name that credentials are for, before anything is checked.
func claimed(shown []string) string {
	for _, v := range shown[:min(len(shown), 4)] {
		if a, err := digest.ParseAuthorization(v); err == nil {
			return a.User
		}
	}
	return ""
}

// sameResource says whether the URI of a digest is the request's. What is on the way may change parameters, so user, host and port decide. RFC 7616
// section 3.4.6 and RFC 3261 section 22.4.
func sameResource(uri string, req *msg.Request) bool {
	var u msg.Uri
	if msg.ParseUri(uri, &u) != nil {
		return uri == req.Recipient.String()
	}
	r := req.Recipient
	return strings.EqualFold(u.Scheme, r.Scheme) && u.User == r.User && strings.EqualFold(u.Host, r.Host) && u.Port == r.Port && u.Raw() == r.Raw()
}
