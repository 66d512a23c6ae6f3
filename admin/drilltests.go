package admin

import "time"

// DrillTests are the newest drills of each mode that ran to their end: one that was stopped, or that left something, tested nothing.
type DrillTests struct {
	Full    *DrillTest `json:"full"`
	Canary  *DrillTest `json:"canary"`
	Sandbox *DrillTest `json:"sandbox"`
}

// DrillTest is one of them.
type DrillTest struct {
	Drill    string    `json:"drill"`
	Scenario string    `json:"scenario"`
	Outcome  string    `json:"outcome"` // passed | failed
	End      time.Time `json:"end"`
}
