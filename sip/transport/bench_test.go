package transport

import "testing"

// BenchmarkDatagram reads an INVITE with a body of usual size.
func BenchmarkDatagram(b *testing.B) {
	body := "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
	msg := []byte(message("INVITE", 1, "Contact: <sip:a@192.0.2.9:5060;transport=udp>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nSupported: 100rel, timer\r\n"+
		"User-Agent: carrier\r\nP-Asserted-Identity: <sip:+4930@example.com>\r\nContent-Type: application/sdp\r\nSession-Expires: 1800\r\n", body))
	r := newReader()
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := r.datagram(msg); fault != nil {
			b.Fatal(fault)
		}
	}
}
