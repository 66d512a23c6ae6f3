package media

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/media/clip"
	"github.com/cordonsip/cordon/media/plane"
)

// Announcement is what a caller is played who is put through to nobody: the same sound in some encodings. Nobody changes one.
type Announcement struct {
	sounds []voice
	lasts  time.Duration
}

type voice struct {
	plane.Clip
	codec string
}

// NewAnnouncement is one of clips that last the same. It is played over and over for as long as `lasts`; 0: once.
func NewAnnouncement(clips []clip.Clip, lasts time.Duration) *Announcement {
	a := &Announcement{lasts: lasts}
	for _, c := range clips {
		h := sha256.New()
		h.Write([]byte(c.Codec))
		h.Write(c.Bytes)
		a.sounds = append(a.sounds, voice{plane.Clip{ID: binary.BigEndian.Uint64(h.Sum(nil)), Size: c.Size, Bytes: c.Bytes}, c.Codec})
		if lasts == 0 {
			a.lasts = max(a.lasts, c.Length())
		}
	}
	return a
}

// Lasts is how long it is played.
func (a *Announcement) Lasts() time.Duration { return a.lasts }

// Codecs are the encodings that it can be played in.
func (a *Announcement) Codecs() (out []string) {
	for i := range a.sounds {
		out = append(out, a.sounds[i].codec)
	}
	return out
}

// of gives the sound in an encoding; nil without one. All that a clip can be has 8,000 time stamps a second.
func (a *Announcement) of(c clock) *voice {
	i := slices.IndexFunc(a.sounds, func(s voice) bool { return strings.EqualFold(s.codec, c.name) && c.rate == clockRate })
	if i < 0 {
		return nil
	}
	return &a.sounds[i]
}

const clockRate = 8000

// Stock gives what carries the packets all announcements that may be played from now on. Whoever is played another one hears it to its end.
func (r *Relay) Stock(all []*Announcement) {
	var clips []plane.Clip
	for _, a := range all {
		for i := range a.sounds {
			clips = append(clips, a.sounds[i].Clip)
		}
	}
	r.plane.Stock(clips)
}

// Played is the end of an announcement.
type Played struct {
	Side  Side
	For   time.Duration // how long it was
	Whole bool
}

// played hears from the plane that the leg plays no more. What was stopped by a command, its giver knows.
func (l *leg) played(p plane.Played) {
	if f := l.s.r.cfg.Played; f != nil && p.End != plane.Stopped {
		f(l.s.id, Played{Side: l.side, For: time.Duration(p.Frames) * clip.Frame, Whole: p.End == plane.Whole})
	}
}

// Announce answers A's offer in the place of a far end that there is none of: with one of the codecs that a can be played in, the first of them that A offers. What B
// said before is void. Nothing is played before Play. The error is a *Refusal when A's address is not permitted, or A offers none of the codecs, or wants to hear nothing.
func (s *Session) Announce(offer []byte, a *Announcement) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return nil, errClosed
	}
	s.desert()
	rem, err := s.offered(offer)
	if err != nil {
		return nil, s.refused(err)
	}
	if rem.line.hold || !rem.line.dir.receives() {
		return nil, s.refused(refuse(399, "the caller wants to hear nothing"))
	}
	if s.legs[A].Load() == nil {
		if err := s.start(A, true); err != nil {
			return nil, s.refused(err)
		}
	}
	return s.announce(rem, a, "offer")
}

// desert gives up whatever B side there is.
func (s *Session) desert() {
	if s.seat != nil && s.seat.l == s.legs[B].Load() {
		s.seat.over = true // its Drop has nothing to do any more
	}
	s.open, s.seat = nil, nil
	s.dismiss(B)
}

// Reannounce takes a further offer of A while it is played to, and gives the answer. What is played goes on: the codec stays, or the error is a *Refusal and all stays as
// it was. It does not block.
func (s *Session) Reannounce(offer []byte, a *Announcement) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.legs[A].Load(); s.end != nil || l == nil || l.remote == nil {
		return nil, errClosed
	}
	rem, err := s.offered(offer)
	if err != nil {
		return nil, s.refused(err)
	}
	return s.announce(rem, a, "reinvite")
}

// offered reads and judges an offer of A that nobody else gets.
func (s *Session) offered(offer []byte) (*remote, error) {
	d, ref := parseSDP(offer)
	if ref != nil {
		return nil, ref
	}
	rem, ref := s.consider(A, &d, -1, "offer")
	switch {
	case ref != nil:
		return nil, ref
	case rem.off:
		return nil, refuse(304, "no audio")
	}
	return rem, nil
}

// announce puts A's half in force, and ours, which is what can be played.
func (s *Session) announce(rem *remote, a *Announcement, cause string) ([]byte, error) {
	l := s.legs[A].Load()
	clocks := rem.line.clocks(nil)
	format, what := l.chosen(rem, clocks, a)
	if what == nil {
		return nil, s.refused(refuse(305, "there is no announcement in a codec that is offered"))
	}
	if err := l.commit(rem, clocks, what.codec, cause); err != nil {
		return nil, err
	}
	lines := l.sheet(len(rem.lines))
	for i := range rem.lines {
		lines = append(lines, rem.lines[i].declined())
	}
	ours := ourLine(format, what.codec)
	ours.dir = mirror(rem.toward()) // RFC 3264 section 6.1. What comes shows where A is behind a translator, and is heard by nobody
	lines[rem.audio] = l.reply(rem, &remote{line: ours})
	l.formats = lines[rem.audio].formats
	return l.write(lines), nil
}

// ourLine is one codec under a number.
func ourLine(format, codec string) line {
	return line{formats: []string{format}, attrs: []attr{{"rtpmap", format + " " + codec + "/8000"}, {"ptime", "20"}}, dir: sendrecv, mux: true}
}

// chosen is the first format of an offer that there is a sound for, among those that A was told of already.
func (l *leg) chosen(rem *remote, clocks timings, a *Announcement) (format string, what *voice) {
	for _, f := range rem.line.formats {
		if what = a.of(clocks.named(f)); what != nil && (len(l.formats) == 0 || slices.Contains(l.formats, f)) {
			return f, what
		}
	}
	return "", nil
}

// AnnounceOffer is Announce for a caller that made no offer: it gives ours. The answer goes to AnnounceTo.
func (s *Session) AnnounceOffer(a *Announcement) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return nil, errClosed
	}
	s.desert()
	if s.legs[A].Load() == nil {
		if err := s.start(A, true); err != nil {
			return nil, s.refused(err)
		}
	}
	l := s.legs[A].Load()
	lines, ref := s.relayed(a.remote(), l, true)
	if ref != nil {
		return nil, s.refused(ref)
	}
	return l.write(lines), nil
}

// remote is an announcement as somebody who speaks what it can be played in.
func (a *Announcement) remote() *remote {
	all := line{kind: "audio", proto: protoAVP, dir: sendrecv, mux: true}
	for i := range a.sounds {
		one := ourLine(staticNumber(a.sounds[i].codec), a.sounds[i].codec)
		all.formats, all.attrs = append(all.formats, one.formats[0]), append(all.attrs, one.attrs[0])
	}
	all.attrs = append(all.attrs, attr{"ptime", "20"})
	return &remote{lines: []line{{kind: "audio", proto: protoAVP, formats: all.formats}}, line: all}
}

// staticNumber is the payload type of an encoding in RFC 3551 table 4.
func staticNumber(codec string) string {
	for _, f := range [...]string{"0", "8", "9", "18"} {
		if pt, _ := payloadType(f); static(pt).name == codec {
			return f
		}
	}
	return ""
}

// AnnounceTo takes A's answer to our offer.
func (s *Session) AnnounceTo(answer []byte, a *Announcement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.legs[A].Load()
	if s.end != nil || l == nil {
		return errClosed
	}
	d, ref := parseSDP(answer)
	if ref != nil {
		return s.refused(ref)
	}
	rem, ref := s.consider(A, &d, 0, "answer")
	switch {
	case ref != nil:
		return s.refused(ref)
	case rem.off:
		return s.refused(refuse(304, "no audio"))
	}
	clocks := rem.line.clocks(nil)
	format, what := l.chosen(rem, clocks, a)
	if what == nil {
		return s.refused(refuse(305, "there is no announcement in a codec that is answered"))
	}
	l.formats = []string{format}
	return l.commit(rem, clocks, what.codec, "answer")
}

// Play begins to play what A agreed to: at once, to the address that its description says; false when nothing is agreed. Config.Played tells of its end; it ends without
// a word with the session, and with another Offer.
func (s *Session) Play(a *Announcement) (codec string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.legs[A].Load()
	if s.end != nil || l == nil || l.remote == nil || l.remote.off {
		return "", false
	}
	format, what := l.chosen(l.remote, l.remote.line.clocks(nil), a)
	pt, number := payloadType(format)
	if what == nil || !number {
		return "", false
	}
	s.r.plane.Play(plane.Play{
		Ref: l.ref, Clip: what.ID, PT: pt, Step: uint32(clip.Frame * clockRate / time.Second), Frames: uint32(min(a.lasts/clip.Frame, math.MaxUint32)),
	})
	return what.codec, true
}
