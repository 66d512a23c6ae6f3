//go:build interop

package interop

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sip/trace"
)

// The capture file of a call, masked, as tshark reads it: messages over UDP and over TLS, and headers of RTP where the session description says that media is.
func TestTsharkReadsACapture(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	carrier, edge, group := netip.MustParseAddrPort("192.0.2.1:5060"), netip.MustParseAddrPort("192.0.2.10:5060"), netip.MustParseAddrPort("198.51.100.1:5061")
	invite := "INVITE sip:+4969123456@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\nFrom: \"Erika\" <sip:+4917012345678@192.0.2.1>;tag=a\r\n" +
		"To: <sip:+4969123456@192.0.2.10>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: 110\r\n\r\n" +
		"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
	head, body, _ := strings.Cut(invite, "\r\n\r\n")
	if len(body) != 110 {
		t.Fatalf("the body has %d bytes", len(body))
	}
	masked := []byte(head + "\r\n\r\n" + body)
	trace.Mask(masked, false)
	rtp := []byte{0x80, 8, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4}
	file := filepath.Join(t.TempDir(), "call.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	err = trace.WritePCAP(f, trace.Trace{Events: []trace.Event{
		{At: at, Kind: "message", Proto: "udp", Local: edge, Remote: carrier, Text: string(masked)},
		{At: at.Add(time.Millisecond), Kind: "message", Proto: "tls", Out: true, Local: edge, Remote: group, Text: string(masked)},
	}}, []trace.RTP{{At: at.Add(time.Second), From: netip.MustParseAddrPort("192.0.2.10:30000"), To: netip.MustParseAddrPort("192.0.2.1:20000"), Header: rtp, Size: 172}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) string {
		out, err := exec.Command("tshark", append([]string{"-r", file, "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"}, args...)...).Output()
		if err != nil {
			t.Fatalf("tshark: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	if got := read("-Y", "sip.Method == INVITE && sdp", "-T", "fields", "-e", "sip.r-uri.user"); got != "+********56\n+********56" {
		t.Errorf("the INVITEs over UDP and TLS: %q", got)
	}
	if got := read("-Y", "rtp", "-T", "fields", "-e", "rtp.ssrc", "-e", "frame.len", "-e", "frame.cap_len"); got != "0x01020304\t200\t40" {
		t.Errorf("the header of RTP: %q", got)
	}
	// A masked number is no E.164 number any more, and tshark notes that; checksums hold.
	if got := read("-Y", "udp.checksum.status == 0 || tcp.checksum.status == 0"); got != "" {
		t.Errorf("what tshark does not like: %s", got)
	}
}
