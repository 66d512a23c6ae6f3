package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip"
)

// Codecs are the audio formats of a party, by their encoding names: PCMA, PCMU, G722, opus, G729, telephone-event ... The payload is relayed as it is, never transcoded.
type Codecs struct {
	// The only ones that it may offer and that it is offered; default: all. telephone-event stays with them unless denied.
	Allow []string `yaml:"allow,omitempty"`
	// Never offered by it or to it.
	Deny []string `yaml:"deny,omitempty"`
	// First in what it is offered, in this order; the others follow as they were offered.
	Prefer []string `yaml:"prefer,omitempty"`
}

// Fallback is the one more offer that a party may get after it refused the first one. The receipt says so.
type Fallback struct {
	// What it gets after 488 or 606: plain (without SRTP; needs media.security optional, where it is the default), codecs (those of codecs alone) or none.
	On488 string `yaml:"on_488,omitempty"`
	// The only formats of that offer; default: PCMA, PCMU.
	Codecs []string `yaml:"codecs,omitempty"`
}

// codecs reads what a party may speak.
func (b *builder) codecs(p *Party, at string) media.Codecs {
	if p.Codecs == nil {
		return media.Codecs{}
	}
	at += ".codecs"
	c := media.Codecs{
		Allow:  b.encodings(at+".allow", p.Codecs.Allow),
		Deny:   b.encodings(at+".deny", p.Codecs.Deny),
		Prefer: b.encodings(at+".prefer", p.Codecs.Prefer),
	}
	speech := slices.ContainsFunc(media.EncodingNames(), func(name string) bool { return c.Permits(name) && media.Speech(name) })
	if !speech {
		b.fail(at, "allow at least one, e.g. {allow: [PCMA, PCMU]}", "no speech is left")
	}
	for i, name := range c.Prefer {
		if !c.Permits(name) {
			b.fail(fmt.Sprintf("%s.prefer[%d]", at, i), "prefer only what is allowed", "%q is never offered", name)
		}
	}
	if p.Health != nil && p.Health.Probe != "" && p.Health.Probe != "options" && !c.Permits("PCMA") {
		b.fail(at, "allow PCMA, or probe it with options", "synthetic calls speak PCMA alone")
	}
	return c
}

// encodings takes a list of encoding names, without regard to case.
func (b *builder) encodings(at string, list []string) []string {
	known := media.EncodingNames()
	var out []string
	for i, s := range list {
		path := fmt.Sprintf("%s[%d]", at, i)
		j := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, s) })
		switch {
		case j < 0:
			hint := "one of " + strict.Words(known)
			if near := strict.Nearest(s, known); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			b.fail(path, hint, "%q is no encoding name that is known", s)
		case slices.Contains(out, known[j]):
			b.fail(path, "once is enough", "%q stands twice", s)
		default:
			out = append(out, known[j])
		}
	}
	return out
}

// fallback reads what a party is offered after it refused.
func (b *builder) fallback(p *Party, leg media.Leg, at string) sip.Fallback {
	if p.Fallback == nil {
		return sip.Fallback{}
	}
	at += ".fallback"
	f := sip.Fallback{On488: p.Fallback.On488, Codecs: b.encodings(at+".codecs", p.Fallback.Codecs)}
	if f.On488 != "codecs" && len(p.Fallback.Codecs) > 0 {
		b.fail(at+".codecs", "write on_488: codecs, or leave the list out", "no second offer has it")
	}
	switch f.On488 {
	case "", "none":
	case "plain":
		if leg.Security != media.SRTPOptional {
			b.fail(at+".on_488", "write media: {security: optional} if a call may go without SRTP, else codecs or none", "the party's media security takes no second way")
		}
	case "codecs":
		if len(f.Codecs) == 0 {
			f.Codecs = []string{"PCMA", "PCMU"}
		}
		for i, name := range f.Codecs {
			if !leg.Codecs.Permits(name) {
				b.fail(fmt.Sprintf("%s.codecs[%d]", at, i), "list only what codecs allows", "%q is never offered", name)
			}
		}
		if !slices.ContainsFunc(f.Codecs, media.Speech) {
			b.fail(at+".codecs", "name at least one codec of speech", "no speech is left")
		}
	default:
		b.fail(at+".on_488", "plain, codecs or none", "%q is unknown", f.On488)
	}
	return f
}
