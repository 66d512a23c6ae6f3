package audit

// The kinds of entries about the keeping of the log itself.
const (
	KindKeyRotated   Kind = "log.key_rotated"
	KindClockQuality Kind = "clock.quality"
	KindClockAlarm   Kind = "clock.alarm"
	KindHoldPlaced   Kind = "retention.hold_placed"
	KindHoldLifted   Kind = "retention.hold_lifted"
	KindShredded     Kind = "retention.shredded"
)

// decodeKeeping is Decode for what is about the keeping of the log.
func decodeKeeping(e Entry) (Event, error) {
	switch e.Kind {
	case KindKeyRotated:
		return decodeAs[KeyRotated](e)
	case KindClockQuality:
		return decodeAs[ClockQuality](e)
	case KindClockAlarm:
		return decodeAs[ClockAlarm](e)
	case KindHoldPlaced:
		return decodeAs[HoldPlaced](e)
	case KindHoldLifted:
		return decodeAs[HoldLifted](e)
	case KindShredded:
		return decodeAs[Shredded](e)
	}
	return decodeIncident(e)
}

// ofKeeping says whether a kind is one of these.
func (k Kind) ofKeeping() bool {
	switch k {
	case KindKeyRotated, KindClockQuality, KindClockAlarm, KindHoldPlaced, KindHoldLifted, KindShredded:
		return true
	}
	return false
}
