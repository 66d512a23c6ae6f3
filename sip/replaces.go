package sip

import (
	"strings"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// replaces names a dialog as RFC 3891 section 6.1 does, from the view of whom the INVITE goes to.
type replaces struct {
	callID, to, from string
	early            bool // early-only
}

// readReplaces reads one value, already without escapes.
func readReplaces(v string) (replaces, bool) {
	f := strings.Split(v, ";")
	r := replaces{callID: strings.TrimSpace(f[0])}
	tos, froms := 0, 0
	for _, p := range f[1:] {
		k, val, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch strings.ToLower(strings.TrimSpace(k)) {
		case "to-tag":
			r.to, tos = strings.TrimSpace(val), tos+1
		case "from-tag":
			r.from, froms = strings.TrimSpace(val), froms+1
		case "early-only":
			r.early = true
		}
	}
	ok := len(v) <= 1024 && dialogWord(r.callID) && dialogWord(r.to) && dialogWord(r.from) && tos == 1 && froms == 1
	return r, ok
}

// dialogWord says whether s can be a Call-ID or a tag: visible, and nothing that could end a header or its value.
func dialogWord(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(";,=", s[i]) >= 0 {
			return false
		}
	}
	return true
}

func (r replaces) header() msg.Header {
	v := r.callID + ";to-tag=" + r.to + ";from-tag=" + r.from
	if r.early {
		v += ";early-only"
	}
	return msg.NewHeader("Replaces", v)
}

// far is what another loop may know of the dialog at the other end of one: how to name it, and where it is.
type far struct {
	names  replaces
	called string // the user that it is known by
	party  string
	name   string
	target string
	addr   netAddrPort
	proto  string
	grant  string
	route  string
	knows  bool // its peer knows Replaces
	bound  bool // its call is not transferred

	// Of its own call and loop: what is not a copy is looked at there alone.
	c       *call
	l       *leg
	home    *shard
	side    media.Side
	media   media.Leg
	session *media.Session
	ours    bool // we called it, so that its address may be called again
}

// farOf looks for the dialog that r names, wherever it lives, and answers on loop s with the one at its other end; nil when there is none that is up. The
// sender of r must be the peer of that dialog, or at least its party: nobody else may have its calls moved.
func (s *shard) farOf(r replaces, party string, answer func(*far)) {
	home := s.e.loopOf(r)
	home.loop.Post(func() {
		var f *far
		if l := home.named(r); l != nil && l.party.Name == party {
			f = l.other().asFar()
		}
		s.loop.Post(func() { answer(f) })
	})
}

// named is the live leg of a call that is up, by the view of its peer: to-tag is ours. nil when there is none.
func (s *shard) named(r replaces) *leg {
	l := s.leg(legKey{r.callID, r.to})
	if l == nil || l.dlg == nil || l.dlg.Remote.Tag != r.from || l.c.ended || l.ended || l.parted || l.zombie() || !l.c.confirmed {
		return nil
	}
	return l
}

// asFar describes this leg for who has it replaced; nil when it is not up.
func (l *leg) asFar() *far {
	if l == nil || l.dlg == nil || l.ended {
		return nil
	}
	c := l.c
	return &far{
		c: c, l: l, home: c.sh, side: l.side, media: l.media(), session: c.media.Load(), bound: c.emergency() || c.synth != nil,
		// RFC 3891 section 6.1: the tags are those of the peer's view, so to-tag is the peer's own.
		names:  replaces{callID: l.callID, to: l.dlg.Remote.Tag, from: l.tag},
		called: l.dlg.Remote.URI.User(), party: l.party.Name, name: l.name, target: l.target, addr: l.flow.Remote(), proto: string(l.flow.Proto()),
		grant: grantOf(l), route: l.c.plan.Route, knows: l.replaces, ours: l.target != "",
	}
}

// grantOf is the grant that a leg rests on; "" for one that needs none.
func grantOf(l *leg) string {
	if l.ruling.Ground != sovereign.GroundGrant {
		return ""
	}
	return l.ruling.Grant
}
