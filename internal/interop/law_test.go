//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// How the last datagram toward a struck place is found outside the virtual network: real sockets, SIPp on both sides, 500 calls a minute with audio, and tcpdump on
// the wire between the regions as the witness. The clock begins when somebody presses enter on `cordon law suspend`.

const (
	// calls until the edge hangs up, and hears the callee's audio until then
	talksUntilBye = `> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
play long
< BYE
> 200`
	hangsUp = `< INVITE
> 180 | optional
> 200 | sdp
< ACK
wait 300
> BYE
< 200`
)

// wire is tcpdump on an interface of a hub.
type wire struct {
	*process
	file string
}

func (n *network) listen(t *testing.T, device, filter string) *wire {
	t.Helper()
	w := &wire{file: filepath.Join(t.TempDir(), device+".pcap")}
	w.process = start(t, n.hub, filepath.Dir(w.file), "tcpdump", "-i", device, "-U", "-B", "16384", "-s", "96", "-w", w.file, filter)
	until(t, "tcpdump listens", 10*time.Second, func() bool {
		info, err := os.Stat(w.file)
		return err == nil && info.Size() >= 24
	})
	return w
}

// seen ends the capture and gives when the packets that match a display filter were seen.
func (w *wire) seen(t *testing.T, filter string) []time.Time {
	t.Helper()
	w.signal(syscall.SIGINT)
	w.wait(t, 20*time.Second)
	if out := w.output(); strings.Contains(out, "dropped by kernel") && !strings.Contains(out, "0 packets dropped by kernel") {
		t.Errorf("the capture lost packets: %s", out)
	}
	return times(t, w.file, filter)
}

func TestTheLastDatagramAfterLawSuspend(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) { lastDatagram(t, transport) })
	}
}

func lastDatagram(t *testing.T, transport string) {
	const minute, calls = 500, 160
	net := connect(t, 1, 5, 10, 20)
	at := func(region int, tr string) options {
		return options{at: net.in[region], transport: tr, echo: region != 1} // two that echo would send each packet to and fro for ever
	}
	zrh := answer(t, lan(20, 10), answers, at(20, transport))
	fra := answer(t, lan(10, 10), hangsUp, at(10, "udp"))
	trunk := answer(t, lan(1, 10), quiet, at(1, "udp"))
	w := &world{at: net.in[5], edge: lan(5, 10), dir: t.TempDir()}
	w.trunks = []party{trunk.as("carrier", "udp")}
	w.groups = []party{zrh.as("zrh", transport), fra.as("fra", "udp")}
	key, err := loopback.command(cordonBin, "law", "key", filepath.Join(w.dir, "law.key")).Output()
	if err != nil {
		t.Fatal(err)
	}
	w.policy = fmt.Sprintf("suspensions_file: suspended.jsonl\n  suspension_keys: {law-1: %q}", regexp.MustCompile(`law-1: (\S+)`).FindSubmatch(key)[1])
	w.more = "limits: {rate_per_source: 50}"
	n := boot(t, w, "carrier", "zrh", "fra")
	tap := net.listen(t, "r20", "src host "+lan(5, 10))

	uac := dial(t, n, lan(1, 10), talksUntilBye, at(1, "udp"), "-m", num(calls), "-l", num(calls), "-r", num(minute), "-rp", "60000", "-timeout", "90s")
	until(t, "100 calls are up", 60*time.Second, func() bool { return n.calls() >= 100 })
	var foretold struct {
		Parties []struct{ Calls int }
	}
	n.get("/api/v1/law/what-if?instrument=2000%2F518%2FEC", &foretold)
	began := time.Now()
	n.mustCLI("ops", "law", "suspend", "2000/518/EC", "--reason", "a court says so", "--file", "suspended.jsonl", "--key", "law.key", "--key-id", "law-1")
	took := time.Since(began)
	written, err := os.Stat(filepath.Join(w.dir, "suspended.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	uac.wait(t, 90*time.Second) // those that come later are put through to Frankfurt, which hangs up
	st := uac.stats()
	to := "ip.src == " + lan(5, 10) + " && ip.dst == 10.66.20.0/24"
	all, bye := tap.seen(t, to), zrh.count(false, "BYE")
	after := 0
	for _, x := range all {
		if x.After(began) {
			after++
		}
	}
	if len(all) < 1000 || bye < 90 || len(foretold.Parties) != 1 || foretold.Parties[0].Calls < 90 {
		t.Errorf("the capture saw too little to prove anything: %d packets, %d BYEs, %+v", len(all), bye, foretold)
	}
	last := all[len(all)-1]
	measured(t, fmt.Sprintf("law suspend to the last packet toward the struck place, %s, %d calls up", transport, foretold.Parties[0].Calls), last.Sub(began), time.Second)
	noted(t, "... from the file on", ms(last.Sub(written.ModTime())), "command: "+ms(took))
	noted(t, "... packets to the struck place from the command on", num(after), num(len(all))+" in all")
	if st.failed > 2 || st.successful < calls-2 { // an INVITE that was under way at that moment may cross its own CANCEL
		t.Errorf("%d calls went well, %d failed", st.successful, st.failed)
	}
	ended := 0
	for _, r := range n.receipts(calls - 2) {
		for _, s := range r.Struck {
			if s.How == "ended" && s.Cause == "2000/518/EC" {
				ended++
			}
		}
		if r.Overall == "violation" {
			t.Errorf("%+v", r)
		}
	}
	if d := ended - foretold.Parties[0].Calls; d < -2 || d > 8 {
		t.Errorf("%d calls were ended, %d were foretold", ended, foretold.Parties[0].Calls)
	}
	n.stop()
}
