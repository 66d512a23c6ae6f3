package sip

import (
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/media"
)

// finalOf is the final response that an outcome stands for: 0 where none came, and 488, which says nothing of the network, where the call ended over our own rules
// or its two sides did not agree on a session. ITU-T E.425: who hangs up while it rings is no failure of the network.
func finalOf(cause string) int {
	switch cause {
	case "answered":
		return 200
	case "no answer": // RFC 3261 section 21.4.18: nobody picked up
		return 480
	case "cancelled": // RFC 3261 section 21.4.25
		return 487
	case "fenced", "no_session":
		return 488
	}
	if strings.HasPrefix(cause, "media_") {
		return 488
	}
	status, err := strconv.Atoi(cause)
	if err != nil {
		return 0
	}
	return status
}

// untilRing is the post-dial delay: to the first 18x, else to the final response. Silence has none.
func (t *attempt) untilRing(now time.Time) time.Duration {
	if t.pdd > 0 {
		return t.pdd
	}
	if t.alive || t.done {
		return now.Sub(t.sent)
	}
	return 0
}

// rated tells health how the far end of an answered call sounded. It runs after the media ended, off the loop.
func (e *Edge) rated(target, drill string, rep *media.Report) {
	far := &rep.Sides[media.B]
	if e.c.Outcome == nil || target == "" || far.RxPackets < minRated || far.MOS <= 0 {
		return
	}
	e.c.Outcome(healthcheck.Outcome{Target: target, Drill: drill, Alive: true, Ended: true, MOS: far.MOS, At: time.Now()})
}

// minRated is the least number of packets that a score rests on: half a second of speech.
const minRated = 25

// Full says whether a party carries as many calls as it may.
func (e *Edge) Full(name string) bool {
	p := e.profiles.Load().byName[name]
	return p != nil && p.MaxCalls > 0 && e.partyLoad(name).Load() >= int64(p.MaxCalls)
}
