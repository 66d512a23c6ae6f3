package transport

import (
	"runtime"
	"strings"
	"testing"
)

// benchInvite is an INVITE as a carrier sends it, 1.1 kB.
var benchInvite = strings.Join([]string{
	"INVITE sip:+493012345678@192.0.2.1:5060;user=phone SIP/2.0",
	"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK776asdhds8327;rport",
	"Max-Forwards: 70",
	`From: "+4989123456" <sip:+4989123456@192.0.2.9;user=phone>;tag=1928301774`,
	"To: <sip:+493012345678@192.0.2.1;user=phone>",
	"Call-ID: a84b4c76e66710-77123@192.0.2.9",
	"CSeq: 314159 INVITE",
	"Contact: <sip:+4989123456@192.0.2.9:5060;transport=udp>",
	"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE",
	"Supported: 100rel, timer",
	"Session-Expires: 1800",
	"User-Agent: carrier",
	"P-Asserted-Identity: <sip:+4989123456@carrier.example;user=phone>",
	"Content-Type: application/sdp",
	"Content-Length: 198",
	"",
	"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n" +
		"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n",
}, "\r\n")

// benchAnswer is the 200 for it.
var benchAnswer = strings.Join([]string{
	"SIP/2.0 200 OK",
	"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1f4e63e36c0ad5aa97a3eaa6be4cf7c1;rport=5060;received=192.0.2.1",
	"From: <sip:+4989123456@192.0.2.1>;tag=1928301774",
	"To: <sip:+493012345678@192.0.2.9>;tag=a6c85cf",
	"Call-ID: cdn0a84b4c76e66710aa77123bbc",
	"CSeq: 1 INVITE",
	"Contact: <sip:192.0.2.9:5060>",
	"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS",
	"Content-Type: application/sdp",
	"Content-Length: 121",
	"",
	"v=0\r\no=- 2 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 40002 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
}, "\r\n")

// benchBye is the end of the call: it has no Contact.
var benchBye = strings.Join([]string{
	"BYE sip:192.0.2.1:5060 SIP/2.0",
	"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK776asdhds8329",
	"Max-Forwards: 70",
	"From: <sip:+4989123456@192.0.2.9>;tag=1928301774",
	"To: <sip:+493012345678@192.0.2.1>;tag=a6c85cf",
	"Call-ID: a84b4c76e66710-77123@192.0.2.9",
	"CSeq: 314160 BYE",
	"Content-Length: 0",
	"", "",
}, "\r\n")

func BenchmarkDatagram(b *testing.B) {
	for name, text := range map[string]string{"invite": benchInvite, "answer": benchAnswer, "bye": benchBye} {
		b.Run(name, func(b *testing.B) {
			msg, r := []byte(text), newReader()
			b.ReportAllocs()
			for b.Loop() {
				if _, fault := r.datagram(msg); fault != nil {
					b.Fatal(fault)
				}
			}
		})
	}
}

// A message costs one copy of its header section, one of its body, one piece of memory for itself with its usual headers, one for unusually many parameters,
// and one for each header that nobody here reads. A piece that was one size too large would cost 128 bytes more.
func TestReadAllocates(t *testing.T) {
	for _, tt := range []struct {
		text        string
		most, bytes uint64
	}{{benchInvite, 11, 2850}, {benchAnswer, 7, 2080}, {benchBye, 4, 1620}} {
		const times = 500
		msg, r := []byte(tt.text), newReader()
		var before, after runtime.MemStats
		r.datagram(msg)
		runtime.ReadMemStats(&before)
		for range times {
			r.datagram(msg)
		}
		runtime.ReadMemStats(&after)
		if n := (after.Mallocs - before.Mallocs) / times; n > tt.most {
			t.Errorf("%.20q: %d allocations, want at most %d", tt.text, n, tt.most)
		}
		if n := (after.TotalAlloc - before.TotalAlloc) / times; n > tt.bytes {
			t.Errorf("%.20q: %d bytes, want at most %d", tt.text, n, tt.bytes)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, text := range map[string]string{"invite": benchInvite, "answer": benchAnswer, "bye": benchBye} {
		b.Run(name, func(b *testing.B) {
			msg, err := Parse([]byte(text))
			if err != nil {
				b.Fatal(err)
			}
			room := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				Append(room, msg)
			}
		})
	}
}
