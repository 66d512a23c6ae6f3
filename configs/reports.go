package configs

import "time"

// unreported is how long a side may send no RTCP before the other one gets reports of ours: two of its intervals, RFC 3550 section 6.2.
const unreported = 10 * time.Second

// reports reads after how long without RTCP of one side the other one gets reports of ours; 0: never.
//
// To make them without being asked is safe: they go where the peer said that it takes RTCP, to nobody who turned RTCP off (RFC 3556), and RFC 3550 section 6 has every session with them. Without, a
// peer knows neither round trip nor loss, and one that ends calls by missing RTCP ends a good one.
func (b *builder) reports() time.Duration {
	switch s := b.doc.file.Media.RTCP; s {
	case "", "fill":
		return unreported
	case "pass":
		return 0
	default:
		b.fail("media.rtcp", "fill or pass", "%q is unknown", s)
		return 0
	}
}
