package scenario

import "github.com/cordonsip/cordon/internal/strict"

// Expectation is one thing that must hold: exactly one of its judgements is written, with the time in which it must.
type Expectation struct {
	From  strict.Duration `yaml:"from,omitempty"`
	Until strict.Duration `yaml:"until,omitempty"` // 0: to the end

	Answered *Answered `yaml:"answered,omitempty"`
	Kept     *Share    `yaml:"kept,omitempty"`      // of the calls that were up when something was taken
	Failed   *AtMost   `yaml:"failed,omitempty"`    // of the calls that were placed
	MOS      *Quality  `yaml:"mos,omitempty"`       // of the calls that ended
	Gap      *Within   `yaml:"gap,omitempty"`       // the longest silence in the audio of a call that was kept
	Detected *Within   `yaml:"detected,omitempty"`  // from what was taken to its health in the table
	Decided  *Within   `yaml:"decided,omitempty"`   // to the applied failover, or to the ticket
	Switched *Within   `yaml:"switched,omitempty"`  // to the first call that the secondary answered
	FailBack *Within   `yaml:"fail_back,omitempty"` // from what was given back to the first call that the primary answered
	Carries  *Carries  `yaml:"carries,omitempty"`
	Refused  *Place    `yaml:"refused,omitempty"`    // what is forbidden was asked for, and shown refused
	Nothing  *Place    `yaml:"nothing_to,omitempty"` // no datagram left for it
	Held     *Place    `yaml:"held,omitempty"`       // it waited at the gate
	Approved *Approved `yaml:"approved,omitempty"`
	Told     *Told     `yaml:"told,omitempty"`
	Records  *Records  `yaml:"records_lost,omitempty"`
}

// Answered wants each call answered by one of some parties.
type Answered struct {
	By     []string        `yaml:"by"`
	Within strict.Duration `yaml:"within"`
}

// Share wants at least a share.
type Share struct {
	AtLeast strict.Percent `yaml:"at_least"`
}

// AtMost wants at most a share.
type AtMost struct {
	AtMost strict.Percent `yaml:"at_most"`
}

// Quality wants a mean opinion score, of ITU-T G.107 as estimated from loss, jitter and delay.
type Quality struct {
	AtLeast float64 `yaml:"at_least"`
}

// Within wants something in time.
type Within struct {
	Within strict.Duration `yaml:"within"`
}

// Carries wants a party to carry calls for long enough: RTS (EU) 2024/1774 Art. 25(2), third subparagraph.
type Carries struct {
	On  string          `yaml:"on"`
	For strict.Duration `yaml:"for"`
}

// Place is a party, by name or by its part.
type Place struct {
	Party string `yaml:"party"`
}

// Approved wants people to decide at the gate in time.
type Approved struct {
	People  int             `yaml:"people"`
	Opinion bool            `yaml:"opinion,omitempty"` // and the data protection officer's opinion
	Within  strict.Duration `yaml:"within"`
}

// Told wants a notice delivered.
type Told struct {
	Channel string          `yaml:"channel"`
	Kind    string          `yaml:"kind"`
	Within  strict.Duration `yaml:"within"`
}

// Records wants no more records to be lost: what was acknowledged is counted against what the log holds.
type Records struct {
	AtMost int `yaml:"at_most"`
}

// Word names the judgement; ok is false unless exactly one is written.
func (e Expectation) Word() (word string, ok bool) {
	n := 0
	for _, f := range [...]struct {
		word string
		set  bool
	}{
		{"answered", e.Answered != nil},
		{"kept", e.Kept != nil},
		{"failed", e.Failed != nil},
		{"mos", e.MOS != nil},
		{"gap", e.Gap != nil},
		{"detected", e.Detected != nil},
		{"decided", e.Decided != nil},
		{"switched", e.Switched != nil},
		{"fail_back", e.FailBack != nil},
		{"carries", e.Carries != nil},
		{"refused", e.Refused != nil},
		{"nothing_to", e.Nothing != nil},
		{"held", e.Held != nil},
		{"approved", e.Approved != nil},
		{"told", e.Told != nil},
		{"records_lost", e.Records != nil},
	} {
		if f.set {
			word = f.word
			n++
		}
	}
	return word, n == 1
}

// within is the time that a judgement allows; ok is false where it has none.
func (e Expectation) within() (d strict.Duration, ok bool) {
	switch {
	case e.Answered != nil:
		return e.Answered.Within, true
	case e.Gap != nil:
		return e.Gap.Within, true
	case e.Detected != nil:
		return e.Detected.Within, true
	case e.Decided != nil:
		return e.Decided.Within, true
	case e.Switched != nil:
		return e.Switched.Within, true
	case e.FailBack != nil:
		return e.FailBack.Within, true
	case e.Approved != nil:
		return e.Approved.Within, true
	case e.Told != nil:
		return e.Told.Within, true
	case e.Carries != nil:
		return e.Carries.For, true
	}
	return 0, false
}

// parties are those that a judgement names.
func (e Expectation) parties() []string {
	switch {
	case e.Answered != nil:
		return e.Answered.By
	case e.Carries != nil:
		return []string{e.Carries.On}
	case e.Refused != nil:
		return []string{e.Refused.Party}
	case e.Nothing != nil:
		return []string{e.Nothing.Party}
	case e.Held != nil:
		return []string{e.Held.Party}
	}
	return nil
}

// needsCalls says whether a judgement is about calls that the drill places.
func (e Expectation) needsCalls() bool {
	return e.Answered != nil || e.Kept != nil || e.Failed != nil || e.MOS != nil || e.Gap != nil || e.Switched != nil || e.FailBack != nil || e.Carries != nil
}
