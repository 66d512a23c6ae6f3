// Package impair is what a drill does to what a node sends and receives, in the words that every room which meets the world shares.
//
// It is values alone: what is impaired is drill/board's to know, and what an effect means for a datagram, a transaction or an answer is the room's that meets it. An
// effect only ever takes away: none lets anything through that was not let through without it. It imports nothing of ours.
package impair

import (
	"fmt"
	"strings"
	"time"
)

// Kind is how something is gone. Of two the greater one is met first on the way, and is all that is seen.
type Kind uint8

// The kinds.
const (
	None             Kind = iota
	Fail                  // it answers with a failure of its own: SERVFAIL of a name server, an error of a channel or a disk
	Unavailable           // SIP: 503 to everything
	WrongCertificate      // TLS: an identity that is not the expected one
	Refuse                // a closed door: refused at once, as by ECONNREFUSED or a reset
	Blackhole             // silence: nothing arrives on either side
)

var words = [...]string{"", "fail", "unavailable", "wrong_certificate", "refuse", "blackhole"}

// String is the word of scenarios for it; "" for None.
func (k Kind) String() string {
	if int(k) >= len(words) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return words[k]
}

// Effect is what is met. The zero Effect is nothing.
type Effect struct {
	Kind  Kind
	Delay time.Duration // each answer and packet comes so much later
	Loss  float64       // the share of messages and packets that is lost, from 0 to 1
}

// Nothing says whether everything is as it is.
func (e Effect) Nothing() bool { return e == Effect{} }

// And is both at once: the kind that is met first, the longer delay, and what either loses.
func (e Effect) And(o Effect) Effect {
	return Effect{max(e.Kind, o.Kind), max(e.Delay, o.Delay), e.Loss + o.Loss - e.Loss*o.Loss}
}

// Silences says whether no packet crosses at all. Who answers 503 to what is new, or shows a wrong certificate, goes on with the media of its calls.
func (e Effect) Silences() bool {
	switch e.Kind {
	case Blackhole, Refuse, Fail:
		return true
	case None, Unavailable, WrongCertificate:
	}
	return e.Loss >= 1
}

// Drops says whether a single message or packet does not arrive; dice is thrown for it, from 0 to less than 1.
func (e Effect) Drops(dice float64) bool { return e.Kind == Blackhole || dice < e.Loss }

// String is what it does in words, such as "blackhole" or "400ms later, 5% lost"; "" for nothing.
func (e Effect) String() string {
	var parts []string
	if e.Kind != None {
		parts = append(parts, e.Kind.String())
	}
	if e.Delay > 0 {
		parts = append(parts, e.Delay.String()+" later")
	}
	if e.Loss > 0 {
		parts = append(parts, fmt.Sprintf("%.4g%% lost", 100*e.Loss))
	}
	return strings.Join(parts, ", ")
}
