package media

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/media/dtls"
	"github.com/cordonsip/cordon/media/ice"
)

// Profiles of DTLS-SRTP, RFC 5764 section 8 and RFC 8842 section 12.
const (
	protoTLS  = "UDP/TLS/RTP/SAVP"
	protoTLSF = "UDP/TLS/RTP/SAVPF"
)

// tls says whether the keys of the line come from a handshake.
func (l *line) tls() bool { return l.proto == protoTLS || l.proto == protoTLSF }

// web is what a line says beyond RTP, RTCP and SDES: of a peer as it was read, of ours as it is written. Nobody changes it once it is a line's. A line that says
// nothing of that has none.
type web struct {
	mid    string // RFC 5888; "" for none
	bundle string // the line is the only one of a BUNDLE group (ours), or the mids of the group (a peer's session): RFC 8843
	dtls   dtls.Params
	ice    ice.Params
}

const maxMid = 32

// takes says whether an attribute is of those that a web holds.
func webby(name string) bool {
	switch name {
	case "fingerprint", "setup", "tls-id", "mid", "group", "candidate", "end-of-candidates", "remote-candidates":
		return true
	}
	return strings.HasPrefix(name, "ice-")
}

// take reads an attribute into w, which is made where there is none yet. The text that it was cut from is not kept.
func (w *web) take(name, value string) *web {
	if w == nil {
		w = &web{}
	}
	value = strings.Clone(value)
	switch name {
	case "mid":
		if value != "" && len(value) <= maxMid && printable(value) {
			w.mid = value
		}
	case "group":
		if mids, ok := strings.CutPrefix(value, "BUNDLE "); ok && w.bundle == "" {
			w.bundle = mids
		}
	default:
		if !w.dtls.Take(name, value) {
			w.ice.Take(name, value)
		}
	}
	return w
}

// section is what a media section begins with where the session says w.
func (w *web) section() *web {
	if w == nil {
		return nil
	}
	own := *w
	own.dtls = w.dtls.Section()
	return &own
}

// inGroup says whether a peer's line is in the BUNDLE group of its session.
func (w *web) inGroup() bool {
	return w.mid != "" && slices.Contains(strings.Fields(w.bundle), w.mid)
}

// fresh says whether what a peer says of keys or paths is something else than before.
func (w *web) fresh(before *web) bool {
	switch {
	case w == nil || before == nil:
		return w != before
	case w.restarts(before):
		return true
	}
	return dtls.Renews(&before.dtls, &w.dtls, 0, 0)
}

// restarts says whether a peer restarts ICE. The password of what another process heard is not known here.
func (w *web) restarts(before *web) bool {
	was := before.ice
	if was.Pwd == "" {
		was.Pwd = w.ice.Pwd
	}
	return was.Restarts(&w.ice)
}

// render writes what a line of ours says.
func (w *web) render(b []byte) []byte {
	if w.mid != "" {
		b = attribute(b, "mid", w.mid)
	}
	if len(w.dtls.Fingerprints) > 0 {
		b = dtls.AppendSDP(b, w.dtls.Setup, w.dtls.Fingerprints[0])
	}
	if w.ice.Ufrag != "" {
		var hosts [1]netip.AddrPort
		for i := range min(len(w.ice.Candidates), 1) {
			hosts[i] = w.ice.Candidates[i].Addr
		}
		b = ice.AppendMedia(b, w.ice.Credentials, hosts[:len(w.ice.Candidates)], w.ice.Trickle)
	}
	return b
}

// session writes what d says of that before its lines.
func (d *description) session(b []byte) []byte {
	lite := false
	for i := range d.lines {
		w := d.lines[i].web
		if w == nil || d.lines[i].port == 0 {
			continue
		}
		if w.bundle != "" {
			b = attribute(b, "group", "BUNDLE "+w.bundle)
		}
		lite = lite || w.ice.Ufrag != ""
	}
	if lite {
		b = ice.AppendSession(b)
	}
	return b
}

// declined is l with port 0 in the answer to who offered it: it keeps its name, RFC 8843 section 7.3.
func (l *line) declined() line {
	out := l.refused()
	if l.web != nil && l.web.mid != "" {
		out.web = &web{mid: l.web.mid}
	}
	return out
}

// offersWeb adds to a line of an offer of ours what the far end of l needs besides: keys by DTLS, paths by ICE.
func (l *leg) offersWeb(out *line) *Refusal {
	ices := l.cfg.ICE && (l.remote == nil || l.remote.iced)
	if !out.tls() && !ices {
		return nil
	}
	a := l.associated()
	w := &web{}
	if out.tls() {
		if err := a.certify(); err != nil {
			return &Refusal{Status: 500, Warning: 399, Text: "no certificate could be made"}
		}
		w.dtls = dtls.Params{Setup: dtls.Offer(), Fingerprints: []dtls.Fingerprint{a.print}}
	}
	if ices {
		w.ice = l.paths(false)
	}
	out.web = w
	return nil
}

// named gives the lines of an offer of ours the names that their far end gave them.
func (l *leg) named(lines []line) {
	for i := range min(len(lines), len(l.layout)) {
		was := l.layout[i].web
		if was == nil || was.mid == "" {
			continue
		}
		w := web{}
		if lines[i].web != nil {
			w = *lines[i].web
		}
		if w.mid = was.mid; lines[i].port != 0 {
			w.bundle = was.bundle
		}
		lines[i].web = &w
	}
}

// answersWeb is what an answer of ours says besides, to what was offered.
func (l *leg) answersWeb(offer *remote) *web {
	said := offer.line.web
	if said == nil || !offer.line.tls() && !offer.iced {
		return nil
	}
	w := &web{mid: said.mid}
	if said.inGroup() {
		w.bundle = said.mid // of all lines of ours it is the one that has a port
	}
	a := l.associated()
	if offer.line.tls() {
		w.dtls = dtls.Params{Setup: setupOf(offer.role), Fingerprints: []dtls.Fingerprint{a.print}}
	}
	if offer.iced {
		w.ice = l.paths(said.ice.Trickle)
	}
	return w
}

// setupOf is what an answer of who has that role says, RFC 5763 section 5.
func setupOf(r dtls.Role) dtls.Setup {
	if r == dtls.Client {
		return dtls.Active
	}
	return dtls.Passive
}

// paths is what we say of ICE: our one candidate.
func (l *leg) paths(trickle bool) ice.Params {
	a := l.associated()
	if a.own == (ice.Credentials{}) {
		a.own = ice.NewCredentials()
	}
	return ice.Params{Credentials: a.own, Trickle: trickle, Candidates: []ice.Candidate{{Addr: netip.AddrPortFrom(l.host, l.pair.port)}}}
}

// ices decides whether ICE is spoken with who says rem, and what its default address means then: nothing. What is no address yet is none without ICE, too.
func (e end) ices(rem *remote, answer bool) *Refusal {
	w := rem.line.web
	mux := rem.line.mux
	rem.iced = e.cfg.ICE && w != nil
	if answer {
		ours := e.l.layout[rem.audio]
		mux = mux && ours.mux
		rem.iced = rem.iced && ours.web != nil && ours.web.ice.Ufrag != ""
	}
	rem.iced = rem.iced && mux && w.ice.Usable(rem.line.addr)
	switch {
	case rem.iced:
		rem.line.hold, rem.line.fault = false, nil
	case rem.line.hold && rem.line.port == 9 && (e.l == nil || e.l.remote == nil):
		return refuse(301, "no address for media, and no ICE that could find one")
	}
	return nil
}

// shakes checks what a side says of DTLS-SRTP and settles who begins, RFC 5763 section 5.
func (e end) shakes(rem *remote, answer bool) (ref *Refusal) {
	switch e.cfg.Security {
	case Plain:
		return refuse(302, "this side takes RTP/AVP only")
	case SRTPRequired:
		return refuse(302, "this side takes RTP/SAVP only")
	}
	w := rem.line.web
	switch {
	case w == nil:
		return refuse(399, "no fingerprint")
	case !rem.line.mux:
		return refuse(399, "DTLS-SRTP is spoken with rtcp-mux only")
	}
	err := w.dtls.Usable()
	if err == nil && answer {
		rem.role, err = dtls.Settle(w.dtls.Setup)
	} else if err == nil {
		was := dtls.Role(0)
		if e.l != nil {
			if a := e.l.assoc.Load(); a != nil {
				was = a.role
			}
		}
		_, rem.role, err = dtls.Answer(w.dtls.Setup, was, rem.iced)
		rem.asks = true
	}
	if err != nil {
		return refuse(399, strings.TrimPrefix(err.Error(), "dtls: "))
	}
	return nil
}
