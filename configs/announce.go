package configs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/media/clip"
	"github.com/cordonsip/cordon/sip"
)

// Announce is what a caller hears in the place of a call, played by cordon itself on the caller's own leg: nothing leaves for any other place. {} plays a tone.
type Announce struct {
	// The same words in one or several files, each by its ending: .wav (8 kHz, mono; 16 bit PCM, A-law or mu-law), .alaw, .ulaw, .g722, .g729. A file of G.711 serves both of its laws; a caller who offers no codec of theirs is refused at once. Default: the special information tone (ITU-T E.180).
	Files []string `yaml:"files,omitempty"`
	// How often it is played; default 1, of the tone 3. 2m in all at most.
	Repeat int `yaml:"repeat,omitempty"`
	// How long it is played, over and over, in place of repeat; at most 2m.
	For Duration `yaml:"for,omitempty"`
	// The call is answered for it, and ended with BYE; default: it is early media (183), and the refusal follows. Answered calls may cost the caller, and hide the refusal from the carrier.
	Answer bool `yaml:"answer,omitempty"`
}

// Words of sip.Announcement.Sound.
const (
	soundTone = "tone"
	soundFile = "file"
)

const tonePlays = 3

// announce reads the announcement of a route; false when it has none.
func (b *builder) announce(c *Config, at string, r Route) bool {
	if r.OnHold == nil || r.OnHold.Announce == nil {
		return false
	}
	a := r.OnHold.Announce
	clips, sound, plays := clip.Special(), soundTone, tonePlays
	if len(a.Files) > 0 {
		clips, sound, plays = b.sounds(at, a.Files), soundFile, 1
	}
	if len(clips) == 0 {
		return false // it was told what is wrong with them
	}
	longest := time.Duration(0)
	for _, s := range clips {
		longest = max(longest, s.Length())
	}
	if a.Repeat != 0 {
		plays = a.Repeat
	}
	lasts := a.For.Or(time.Duration(min(max(plays, 0), maxPlays)) * longest)
	switch {
	case a.Repeat < 0 || a.Repeat > maxPlays:
		b.fail(at+".repeat", fmt.Sprintf("from 1 to %d, or leave it out", maxPlays), "%d is out of range", a.Repeat)
	case a.Repeat != 0 && a.For != 0:
		b.fail(at+".for", "keep one of repeat and for", "both stand there")
	case lasts < clip.Frame || lasts > clip.MaxLength:
		b.fail(at, fmt.Sprintf("%s at most in all: networks on the way give up calls that are not answered for three minutes", clip.MaxLength), "it would last %s", lasts)
	}
	if c.Announcements == nil {
		c.Announcements = map[string]sip.Announcement{}
	}
	c.Announcements[r.Name] = sip.Announcement{Announcement: media.NewAnnouncement(clips, lasts), Answer: a.Answer, Sound: sound}
	return true
}

// maxPlays bounds repeat.
const maxPlays = 1000

// apart is how much the files of one announcement may differ in length: they hold the same words.
const apart = time.Second

// sounds reads the files of an announcement: of each codec what a file of that codec holds, else what another one could be turned into. Nothing when one of them is wrong.
func (b *builder) sounds(at string, files []string) []clip.Clip {
	var own, turned []clip.Clip
	good := true
	for i, name := range files {
		where := fmt.Sprintf("%s.files[%d]", at, i)
		clips, err := readSound(b.path(name))
		var p *clip.Problem
		switch {
		case errors.As(err, &p):
			b.fail(where, p.Hint, "%s: %s", name, p.What)
		case err != nil:
			b.fail(where, "name a file that this user may read; paths start at the folder of the configuration", "%v", err)
		}
		if good = good && err == nil; err != nil {
			continue
		}
		for _, s := range clips {
			switch {
			case s.Turned:
				turned = append(turned, s)
			case slices.ContainsFunc(own, func(o clip.Clip) bool { return o.Codec == s.Codec }):
				b.fail(where, "keep one file for each codec", "%s: another file holds %s already", name, s.Codec)
			default:
				own = append(own, s)
			}
		}
	}
	for _, s := range turned {
		if !slices.ContainsFunc(own, func(o clip.Clip) bool { return o.Codec == s.Codec }) {
			own = append(own, s)
		}
	}
	for _, s := range own {
		if d := s.Length() - own[0].Length(); d > apart || d < -apart {
			b.fail(at+".files", "record the same words in each", "%s lasts %s, and %s lasts %s", s.Codec, s.Length(), own[0].Codec, own[0].Length())
		}
	}
	if !good {
		return nil
	}
	return own
}

// readSound reads one file, as far as a file of sound may go.
func readSound(path string) ([]clip.Clip, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, clip.MaxFile+1))
	if err != nil {
		return nil, err
	}
	return clip.Read(path, data)
}
