package media

import (
	"math"
	"strconv"
	"strings"
)

// allowance is what a description allows for RTCP, RFC 3556 section 2: for those who send and for those who only receive.
type allowance struct {
	senders, receivers     uint64 // bits per second
	sendersSaid, othersToo bool
}

// usualAllowance are 5 % of a call of 64 kbit/s, which RFC 3550 section 6.2 has for both together where nothing is said.
const usualAllowance = 3200

// noControl is that of who allows no RTCP at all.
const noControl = math.MaxUint32

// read checks "AS:64", RFC 8866 section 5.8, RFC 3890, RFC 3556, and keeps what is said of RTCP.
func (s *allowance) read(value string) bool {
	kind, value, _ := strings.Cut(value, ":")
	n, err := strconv.ParseUint(value, 10, 64)
	switch kind {
	case "CT", "AS", "TIAS":
	case "RS":
		s.senders, s.sendersSaid = n, true
	case "RR":
		s.receivers, s.othersToo = n, true
	default:
		if !strings.HasPrefix(kind, "X-") {
			return false
		}
	}
	return err == nil
}

// or is s with what only o says.
func (s allowance) or(o allowance) allowance {
	if !s.sendersSaid {
		s.senders, s.sendersSaid = o.senders, o.sendersSaid
	}
	if !s.othersToo {
		s.receivers, s.othersToo = o.receivers, o.othersToo
	}
	return s
}

// octets is what both may use together, per second; 0 when nothing is said, and noControl when it is nothing. What is left out is the rest of the usual one.
func (s allowance) octets() uint32 {
	sum := min(s.senders, 1<<32) + min(s.receivers, 1<<32) // no overflow
	switch {
	case !s.sendersSaid && !s.othersToo:
		return 0
	case s.sendersSaid && s.othersToo:
		if sum == 0 {
			return noControl
		}
	default:
		sum = max(sum, usualAllowance)
	}
	return uint32(min(max(sum/8, 1), noControl-1))
}
