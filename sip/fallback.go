package sip

import (
	"fmt"
	"slices"

	"github.com/cordonsip/cordon/media"
)

// Fallback is what a hop is offered once more that refused the first offer as not acceptable (488, 606).
type Fallback struct {
	On488  string   // "plain" (without SRTP) | "codecs" | "none"; "": plain where SRTP is optional, else none
	Codecs []string // of "codecs": the only ones in the second offer
}

// The words of Fallback.On488 and of a receipt.
const (
	fallbackPlain  = "plain"
	fallbackCodecs = "codecs"
	fallbackNone   = "none"
)

// checkFallback refuses a fallback that would be weaker than the party's own rule.
func (p *Party) checkFallback() error {
	switch f := p.Fallback; f.On488 {
	case "", fallbackNone:
		return nil
	case fallbackPlain:
		if p.Leg.Security != media.SRTPOptional {
			return fmt.Errorf("sip: party %q: fallback: plain needs optional SRTP", p.Name)
		}
	case fallbackCodecs:
		if len(f.Codecs) == 0 || slices.ContainsFunc(f.Codecs, func(name string) bool { return !p.Leg.Codecs.Permits(name) }) {
			return fmt.Errorf("sip: party %q: fallback: want codecs that it may be offered", p.Name)
		}
	default:
		return fmt.Errorf("sip: party %q: fallback %q: want plain, codecs or none", p.Name, f.On488)
	}
	return nil
}

// fallback is the word for the second offer after a refusal of the first; "" when there is none.
func (t *attempt) fallback(status int) string {
	p := t.leg.party
	if status != 488 && status != 606 || t.again != "" || t.c.ask.sdp == nil {
		return ""
	}
	switch f := p.Fallback.On488; {
	case f == fallbackNone, f == "" && p.Leg.Security != media.SRTPOptional:
		return ""
	case f == "":
		return fallbackPlain
	default:
		return f
	}
}

// weaken makes the leg of a second offer.
func (t *attempt) weaken(l media.Leg) media.Leg {
	switch t.again {
	case fallbackPlain:
		l.Security = media.Plain
	case fallbackCodecs:
		l.Codecs.Allow = t.leg.party.Fallback.Codecs
	}
	return l
}

// refusalWord is what a receipt calls an attempt that never left because of its media.
func refusalWord(r *media.Refusal) string {
	if r.NoCodec {
		return "no_codec"
	}
	return "media_" + itoa(r.Status)
}
