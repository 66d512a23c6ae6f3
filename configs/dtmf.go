package configs

import (
	"time"

	"github.com/cordonsip/cordon/media"
)

// DTMF is what is made of digits that one side of a call says by INFO, for another one that has telephone events (RFC 4733).
type DTMF struct {
	// A digit lasts at least so long; default 40ms, from 20ms to 1s.
	Min Duration `yaml:"min,omitempty"`
	// And at most so long; default 6s, no shorter than min, up to 60s.
	Max Duration `yaml:"max,omitempty"`
	// Between two digits there is at least so much; default 40ms, from 20ms to 1s.
	Pause Duration `yaml:"pause,omitempty"`
}

// digits reads media.dtmf.
func (b *builder) digits() media.DigitLimits {
	const at = "media.dtmf"
	f := b.doc.file.Media.DTMF
	l := media.DigitLimits{Least: f.Min.Or(40 * time.Millisecond), Most: f.Max.Or(6 * time.Second), Pause: f.Pause.Or(40 * time.Millisecond)}
	for _, one := range []struct {
		name string
		d    time.Duration
	}{{"min", l.Least}, {"pause", l.Pause}} {
		if one.d < 20*time.Millisecond || one.d > time.Second {
			b.fail(at+"."+one.name, "from 20ms to 1s; 40ms is what detectors of digits need", "%s is out of range", one.d)
		}
	}
	if l.Most < l.Least || l.Most > time.Minute {
		b.fail(at+".max", "no shorter than min, and 60s at most", "%s is out of range", l.Most)
	}
	return l
}

// dtmf reads how a party sends and gets digits.
func (b *builder) dtmf(p *Party, at string) media.Digits {
	switch b.oneOf(at+".dtmf", p.DTMF, "auto", "rfc4733", "info") {
	case "rfc4733":
		return media.DigitsEvents
	case "info":
		return media.DigitsInfo
	}
	return media.DigitsAuto
}
