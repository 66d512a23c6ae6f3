package configs

import (
	"fmt"
	"time"

	"github.com/cordonsip/cordon/media"
)

// Liveness is when media of an answered call counts as silent, unheard or dead, and what then happens. Holds are left out, and RTCP counts as life.
type Liveness struct {
	// A side that may send and sends no RTP for so long is silent; default 5s, at least 2s. Below it are comfort noise and suppressed silence.
	Silent Duration `yaml:"silent,omitempty"`
	// A side is unheard (what we send does not arrive) when so many of its RTCP reports in a row do not advance; default 3, from 2 to 20.
	Unheard int `yaml:"unheard,omitempty"`
	// A side that is silent and unheard, or sends neither RTP nor RTCP for so long, is dead; default 30s, longer than silent.
	Dead Duration `yaml:"dead,omitempty"`
	// What happens to a call with a dead side: report (default: log and metrics alone) or end (then BYE to both sides; calls for help are never ended).
	OnDead string `yaml:"on_dead,omitempty"`
}

// onDead are the words of on_dead.
var onDead = []string{"report", "end"}

// liveness reads media.liveness.
func (b *builder) liveness() media.Limits {
	const at = "media.liveness"
	f := b.doc.file.Media.Liveness
	l := media.Limits{Silent: f.Silent.Or(5 * time.Second), Unheard: f.Unheard, Dead: f.Dead.Or(30 * time.Second)}
	if f.Unheard == 0 {
		l.Unheard = 3
	}
	if l.Silent < 2*time.Second {
		b.fail(at+".silent", "2s or more: sides are looked at once a second, and speech has pauses", "%s is too short", l.Silent)
	}
	if l.Unheard < 2 || l.Unheard > 20 {
		b.fail(at+".unheard", "from 2 to 20 reports, which come some 5 s apart", "%d is out of range", f.Unheard)
	}
	if l.Dead <= l.Silent {
		b.fail(at+".dead", fmt.Sprintf("longer than silent, which is %s", l.Silent), "%s is too short", l.Dead)
	}
	b.oneOf(at+".on_dead", f.OnDead, onDead...)
	return l
}

// endsDead says whether a call is ended when media of the party is dead: its own word, or the one for all.
func (b *builder) endsDead(p *Party, at string) bool {
	word := p.Media.OnDead
	if word == "" {
		word = b.doc.file.Media.Liveness.OnDead // judged where it stands
	} else {
		word = b.oneOf(at+".media.on_dead", word, onDead...)
	}
	return word == "end"
}
