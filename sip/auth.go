package sip

import (
	"github.com/cordonsip/cordon/sip/digest"
	msg "github.com/emiago/sipgo/sip"
)

// digester answers the challenges that one leg meets. The nil digester has no credentials.
type digester struct {
	client *digest.Client
	invite []msg.Header // the credentials that its last INVITE went with
}

func newDigester(p *Party) *digester {
	if c := p.credentials(); c != nil {
		return &digester{client: c}
	}
	return nil
}

// credentials is a new client with what the party's profile holds; nil without any.
func (p *Party) credentials() *digest.Client {
	if p.Auth == nil || p.Auth.Password == nil {
		return nil
	}
	return &digest.Client{User: p.Auth.User, Realm: p.Auth.Realm, Password: p.Auth.Password, Permit: p.Auth.Algorithms}
}

// challenges reads every challenge of a 401 or 407.
func challenges(res msg.Message) []digest.Challenge {
	var out []digest.Challenge
	for _, v := range values(res, "www-authenticate") {
		out = append(out, digest.ParseChallenges(v, false)...)
	}
	for _, v := range values(res, "proxy-authenticate") {
		out = append(out, digest.ParseChallenges(v, true)...)
	}
	return out
}

// answer gives the headers that repeat a request after res.
func (d *digester) answer(r *digest.Round, res *msg.Response, method, uri string, body []byte) ([]msg.Header, error) {
	if d == nil {
		return nil, digest.ErrNone
	}
	list, err := d.client.Answer(r, challenges(res), digest.Request{Method: method, URI: uri, Body: body})
	if err != nil {
		return nil, err
	}
	out := credentialHeaders(list)
	if method == string(msg.INVITE) {
		d.invite = out
	}
	return out, nil
}

func credentialHeaders(list []digest.Header) []msg.Header {
	out := make([]msg.Header, len(list))
	for i, h := range list {
		out[i] = msg.NewHeader(h.Name(), h.Value)
	}
	return out
}
