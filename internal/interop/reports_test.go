//go:build interop

package interop

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fields prints fields of the packets of a capture that match a filter, a row for each.
func fields(t *testing.T, capture, filter string, names ...string) (rows [][]string) {
	t.Helper()
	args := []string{"-r", capture, "--enable-heuristic", "rtcp_udp", "--enable-heuristic", "rtp_udp", "-Y", filter, "-T", "fields", "-E", "occurrence=f"}
	for _, n := range names {
		args = append(args, "-e", n)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows
}

// figure reads a field, in hexadecimal or decimal.
func figure(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.Fatalf("tshark printed %q", s)
	}
	return n
}

// SIPp sends no RTCP: baresip, at the other side, gets reports that the node makes, in which tshark finds what went over the wire, and which baresip answers. With
// media.rtcp: pass it gets none.
// Conforms: RFC 3550 section 6.4.1
func TestReportsForBaresip(t *testing.T) {
	for _, mode := range []string{"fill", "pass"} {
		t.Run(mode, func(t *testing.T) {
			l := securePhones(t, true)
			group := answer(t, lan(20, 10), answers, options{at: l.net.in[20], echo: true})
			l.w.groups = []party{group.as("zrh", "udp")}
			l.w.more = "media: {rtcp: " + mode + "}\n"
			wire := watch(t, l.net.in[5], "--immediate-mode", "udp")
			n := boot(t, l.w, "zrh")
			l.carrier.command("dial", fmt.Sprintf("sip:+4969123456@%s:%d;transport=udp", n.w.edge, n.sip["udp"]))
			l.carrier.await("CALL_ESTABLISHED")
			time.Sleep(19 * time.Second) // ten of them nothing is said, then up to three, and five until the answer
			l.carrier.command("hangup", "")
			r := n.oneReceipt()
			wantAnswered(t, r, "zrh", "primary")
			wire.end(t)
			to := fmt.Sprintf("ip.src == %s && ip.dst == %s && ", lan(5, 10), lan(1, 10))
			reports := fields(t, wire.file, to+"rtcp.pt == 200", "rtcp.senderssrc", "rtcp.timestamp.ntp.msw", "rtcp.timestamp.ntp.lsw", "rtcp.timestamp.rtp",
				"rtcp.sender.packetcount", "rtcp.sender.octetcount", "rtcp.ssrc.identifier", "frame.time_epoch")
			if mode == "pass" {
				if len(reports) != 0 {
					t.Errorf("%d reports to baresip: %q", len(reports), reports)
				}
			} else {
				wantReports(t, wire.file, to, reports)
			}
			group.finish(1)
			n.stop()
		})
	}
}

// wantReports checks sender reports to baresip against the packets that went there, and that it answered one.
func wantReports(t *testing.T, capture, to string, reports [][]string) {
	t.Helper()
	stream := fields(t, capture, to+"rtp", "rtp.ssrc", "rtp.timestamp", "frame.time_epoch", "udp.length")
	if len(reports) == 0 || len(stream) < 500 {
		t.Fatalf("%d reports about %d packets", len(reports), len(stream))
	}
	theirs := fields(t, capture, fmt.Sprintf("ip.src == %s && ip.dst == %s && rtp", lan(1, 10), lan(5, 10)), "rtp.ssrc")[0][0]
	refs := map[uint64]bool{}
	for _, r := range reports {
		count, octets, last, at := uint64(0), uint64(0), uint64(0), 0.0
		for _, p := range stream {
			if p[2] > r[7] { // of one length, so this is their order
				break
			}
			count, octets, last = count+1, octets+figure(t, p[3])-8-12, figure(t, p[1])
			at, _ = strconv.ParseFloat(p[2], 64)
		}
		sent, _ := strconv.ParseFloat(r[7], 64)
		ntp := float64(figure(t, r[1])) - 2208988800 + float64(figure(t, r[2]))/(1<<32)
		if figure(t, r[0]) != figure(t, stream[0][0]) || figure(t, r[6]) != figure(t, theirs) || sent-ntp > 0.01 || sent < ntp {
			t.Errorf("of %s about %s, %.6f s before it left: %q", stream[0][0], theirs, sent-ntp, r)
		}
		if got := figure(t, r[4]); got > count || got+2 < count || figure(t, r[5])/160 != got || octets/160 != count {
			t.Errorf("%d packets and %d octets went there before: %q", count, octets, r)
		}
		if lag := float64(int32(uint32(figure(t, r[3])-last)))/8000 - (sent - at); lag < -0.03 || lag > 0.03 {
			t.Errorf("its time stamp is %.3f s off: %q", lag, r)
		}
		refs[figure(t, r[1])<<16&0xffffffff|figure(t, r[2])>>16] = true
	}
	answered := 0
	for _, a := range fields(t, capture, fmt.Sprintf("ip.src == %s && ip.dst == %s && rtcp.ssrc.lsr", lan(1, 10), lan(5, 10)), "rtcp.ssrc.lsr") {
		if refs[figure(t, a[0])] {
			answered++
		}
	}
	if answered == 0 {
		t.Error("baresip answered none of them")
	}
	noted(t, "reports of the node to baresip beside SIPp, and those that it answered", fmt.Sprintf("%d and %d", len(reports), answered), "counts and time stamps as on the wire, by tshark")
}
