//go:build interop

package interop

import (
	"encoding/binary"
	"encoding/hex"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// faxPackets are what a machine that calls says first: no signal, its tone, the preamble of V.21, and its identification (20 characters, ITU-T T.30) in an HDLC frame,
// each packet with the one before as redundancy. ITU-T T.38 sections 7 and 9.
func faxPackets() (all [][]byte) {
	var ifps [][]byte
	for range 5 {
		ifps = append(ifps, []byte{0x00}, []byte{0x02}, []byte{0x06}) // no-signal, cng, v21-preamble
	}
	for _, octet := range []byte("\xff\xc8\x02+49 69 1234567890   ") {
		ifps = append(ifps, []byte{0xc0, 1, 0x80, 0, 0, octet}) // v21: hdlc-data of one octet
	}
	ifps = append(ifps, []byte{0xc0, 1, 0x20}, []byte{0xc0, 1, 0x10}) // hdlc-fcs-OK, hdlc-sig-end
	var before []byte
	for i, ifp := range ifps {
		b := append(binary.BigEndian.AppendUint16(nil, uint16(i)), byte(len(ifp)))
		b = append(append(b, ifp...), 0) // secondary packets
		if before == nil {
			b = append(b, 0)
		} else {
			b = append(append(b, 1, byte(len(before))), before...)
		}
		before = ifp
		all = append(all, b)
	}
	return all
}

// A call switches to fax and back: each packet is the same octets on all four legs of its way there and back, and tshark reads T.38 in each.
// Conforms: RFC 3362 section 3; RFC 3264 section 8.3
func TestFax(t *testing.T) {
	l := set(t, "udp", allowFax, `< INVITE
> 180
> 200 | sdp
< ACK
< INVITE | body: m=image [1-9][0-9]* udptl t38
> 200 | image
< ACK
< INVITE | body: m=audio [1-9]
> 200 | sdp
< ACK
< BYE
> 200`)
	wire := watch(t, loopback, "--immediate-mode", "-Q", "in", "udp")
	uac := l.call(`> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
wait 100
> INVITE | image
< 100 | optional
< 200 | body: m=image [1-9][0-9]* udptl t38
> ACK
wait 100
fax
wait 2500
> INVITE | sdp
< 100 | optional
< 200 | body: m=audio [1-9]
> ACK
wait 100
play
wait 1600
> BYE
< 200`)
	r := l.oneReceipt()
	wire.end(t)
	wantAnswered(t, r, "fra", "primary")
	wantAudio(t, r)
	wantHidden(t, uac, l.groups[0])
	want := len(faxPackets())
	for _, q := range r.Outcome.Quality {
		if q.FaxPackets != uint64(want) || q.FaxSent != uint64(want) {
			t.Errorf("leg %s: %d packets of %d from it, %d to it", q.Leg, q.FaxPackets, want, q.FaxSent)
		}
	}
	legs := faxLegs(t, wire.file)
	for _, leg := range [][2]string{{carrierAt, l.w.edge}, {l.w.edge, groupHosts[0]}, {groupHosts[0], l.w.edge}, {l.w.edge, carrierAt}} {
		got := legs[leg]
		var sent []string
		for _, b := range faxPackets() {
			sent = append(sent, hex.EncodeToString(b))
		}
		if !slices.Equal(got, sent) {
			t.Errorf("from %s to %s: %d packets of T.38, want %d:\n%s", leg[0], leg[1], len(got), len(sent), strings.Join(got, "\n"))
		}
	}
	l.finish(1)
}

// allowFax has all parties fax.
func allowFax(w *world) {
	for _, list := range [][]party{w.trunks, w.groups} {
		for i := range list {
			list[i].more += "\nt38: allow"
		}
	}
}

// faxLegs are the payloads that tshark reads as T.38, by where they come from and go to.
func faxLegs(t *testing.T, file string) map[[2]string][]string {
	t.Helper()
	read := func(filter string) string {
		out, err := exec.Command("tshark", "-r", file, "-Y", filter, "-T", "fields", "-e", "ip.src", "-e", "ip.dst", "-e", "udp.payload").Output()
		if err != nil {
			t.Fatalf("tshark: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	if bad := read("t38 && (_ws.malformed || icmp)"); bad != "" {
		t.Errorf("what tshark does not like:\n%s", bad)
	}
	legs := map[[2]string][]string{}
	for line := range strings.SplitSeq(read("t38 && !icmp"), "\n") {
		if f := strings.Split(line, "\t"); len(f) == 3 {
			legs[[2]string{f[0], f[1]}] = append(legs[[2]string{f[0], f[1]}], f[2])
		}
	}
	return legs
}

// A fax that is refused, by the callee and by the rule of the node: the audio goes on.
// Conforms: RFC 3261 section 14.1; RFC 6141 section 3.1
func TestRefusedFax(t *testing.T) {
	const asks = `> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
wait 100
> INVITE | image
< 100 | optional
< 488
> ACK | of=3
wait 100
play
wait 1600
> BYE
< 200`
	for what, c := range map[string]struct {
		callee  string
		prepare func(*world)
	}{
		"by the callee": {"< INVITE\n> 180\n> 200 | sdp\n< ACK\n< INVITE | body: m=image\n> 488\n< ACK\n< BYE\n> 200", allowFax},
		"by the node":   {"< INVITE\n> 180\n> 200 | sdp\n< ACK\n< BYE\n> 200", nil},
	} {
		t.Run(what, func(t *testing.T) {
			l := set(t, "udp", c.prepare, c.callee)
			l.call(asks)
			r := l.oneReceipt()
			wantAnswered(t, r, "fra", "primary")
			wantAudio(t, r)
			l.finish(1)
		})
	}
}
