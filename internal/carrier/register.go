package carrier

import (
	"fmt"
	"strconv"
)

// Registrar makes a Peer take registrations. Without one a REGISTER is a breach.
type Registrar struct {
	Auth    *Auth
	Expires int // seconds that are granted at most; default 60
	Min     int // a shorter time is answered 423
}

// onRegister answers one REGISTER (RFC 3261 section 10.3) and keeps the one binding of its address of record.
func (p *Peer) onRegister(t *serverTx, r *Registrar) {
	m := t.req
	if len(m.all("Contact")) != 1 || m.get("Contact") == "*" {
		p.fault("REGISTER with %d Contact headers", len(m.all("Contact")))
	}
	if r.Auth != nil && !p.authorized(t, r.Auth) {
		return
	}
	asked, err := strconv.Atoi(m.get("Expires"))
	if err != nil {
		p.fault("REGISTER with Expires %q", m.get("Expires"))
	}
	switch {
	case asked == 0:
		p.stats.Unregistered++
		p.respond(t, 200, nil)
	case asked < r.Min:
		p.respond(t, 423, func(res *message) { res.add("Min-Expires", strconv.Itoa(r.Min)) })
	default:
		p.stats.Registered++
		granted := r.Expires
		if granted == 0 {
			granted = 60
		}
		granted = max(r.Min, min(asked, granted))
		p.respond(t, 200, func(res *message) { res.add("Contact", fmt.Sprintf("%s;expires=%d", m.get("Contact"), granted)) })
	}
}
