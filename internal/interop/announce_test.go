//go:build interop

package interop

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media/clip"
)

// chirp is three seconds of sound no frame of which is like another one, as a file and as a far end decodes it from A-law.
func chirp() (wav []byte, decoded []int16) {
	wav = toneWav(3)
	for i := range 3 * 8000 {
		at := float64(i) / 8000
		v := int16(9000 * math.Sin(2*math.Pi*(300+400*at)*at))
		binary.LittleEndian.PutUint16(wav[44+2*i:], uint16(v))
		decoded = append(decoded, clip.FromALaw(clip.ALaw(v)))
	}
	return wav, decoded
}

// frames says how many frames of `want`, in order, are in what was heard, octet by octet.
func frames(heard, want []int16) (n int) {
	for from := 0; from+160 <= len(want); from += 160 {
		frame := want[from : from+160]
		for at := 0; at+160 <= len(heard); at++ {
			if heard[at] == frame[0] && slices.Equal(heard[at:at+160], frame) {
				heard = heard[at+160:]
				n++
				break
			}
		}
	}
	return n
}

// A phone whose call is held hears the file that the configuration names, sample by sample under SRTP, as early media or in an answered call; nothing is sent to the place that
// the law keeps out.
// Conforms: RFC 3960 section 4; RFC 3551 section 4.5.14
func TestAnAnnouncementToBaresip(t *testing.T) {
	for name, answer := range map[string]bool{"early": false, "answered": true} {
		t.Run(name, func(t *testing.T) {
			l := securePhones(t, false, 10)
			wav, want := chirp()
			file := filepath.Join(t.TempDir(), "held.wav")
			writeFile(t, file, wav)
			l.w.groups = append(l.w.groups, party{name: "dme", addr: lan(50, 10), port: 5060, transport: "udp", media: "{security: plain}"})
			l.w.to = []string{"fra"}
			l.w.routes = fmt.Sprintf("\n  - {name: russian, direction: inbound, prefix: [\"+7\"], to: [{party: dme}], on_hold: {status: 603, announce: {files: [%q], answer: %v}}}", file, answer)
			seen := watch(t, l.net.hub, "ip and net 10.66.50.0/24")
			n := boot(t, l.w, "fra")
			l.carrier.forget()
			l.carrier.command("dial", fmt.Sprintf("sip:+74951234567@%s:%d;transport=tls", n.w.edge, n.sip["tls"]))
			closed := l.carrier.await("CALL_CLOSED")
			if answered := l.carrier.saw("CALL_ESTABLISHED"); answered != answer {
				t.Errorf("answered: %v", answered)
			}
			r := n.oneReceipt()
			a, whole := r.Announced, audit.Announced{Sound: "file", Codec: "PCMA", Answered: answer, ForMS: 3000, Whole: true}
			if a == nil || *a != whole || r.Overall != "refused_by_policy" || r.TEnd.Sub(r.TInvite) < 3*time.Second-20*time.Millisecond {
				t.Errorf("%+v, closed at %s: %+v", a, closed, r)
			}
			if suite, _ := suites(r); suite != baresipOffers {
				t.Errorf("suite %q", suite)
			}
			// A jitter buffer may drop or repeat a frame at its beginning.
			if got, all := frames(l.carrier.heard(), want), len(want)/160; got < all*9/10 {
				t.Errorf("%d of %d frames were heard as they are", got, all)
			} else {
				t.Logf("%d of %d frames were heard as they are", got, all)
			}
			seen.end(t)
			if leaks := times(t, seen.file, "ip"); len(leaks) > 0 {
				t.Errorf("%d packets to or from the place that is kept out", len(leaks))
			}
			n.stop()
		})
	}
}
