package configs

import "github.com/cordonsip/cordon/media"

// fax says whether a party takes part in fax by T.38 over UDPTL.
//
// Nothing encrypts UDPTL, so it is only for who allows it, and never for a party whose media must be SRTP: its rule says that nothing of a call goes in the clear.
func (b *builder) fax(p *Party, leg media.Leg, at string) bool {
	at += ".t38"
	if b.oneOf(at, p.T38, "deny", "allow") == "deny" {
		return false
	}
	switch leg.Security {
	case media.SRTPRequired, media.DTLS:
		b.fail(at, "leave it at deny, or write media: {security: optional}, best_effort or plain if its faxes may go in the clear", "T.38 over UDPTL is not encrypted, and media.security demands SRTP")
		return false
	case media.SRTPOptional, media.SRTPBestEffort:
		b.warn(at, "T.38 over UDPTL is never encrypted, whatever the audio is", "faxes of %s go in the clear", p.Name)
	}
	return true
}
