//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/demo"
)

// The whole demo in a network namespace of its own, with a packet capture as the witness: what the node sent to denied places, and to held places outside
// the grant, must be nothing.
func TestCaptureOfTheWholeDemo(t *testing.T) {
	bin := os.Getenv("CORDON_BIN")
	if bin == "" {
		t.Fatal("CORDON_BIN is not set: run make interop")
	}
	dir := t.TempDir()
	ns := fmt.Sprintf("cordon-demo-%d", os.Getpid())
	must(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	must(t, "ip", "-n", ns, "link", "set", "lo", "up")

	capture := filepath.Join(dir, "demo.pcap")
	dump := exec.Command("ip", "netns", "exec", ns, "tcpdump", "-i", "lo", "-U", "-B", "16384", "-w", capture)
	var notes bytes.Buffer
	dump.Stderr = &notes
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dump.Process.Kill() })
	for deadline := time.Now().Add(10 * time.Second); ; {
		if info, err := os.Stat(capture); err == nil && info.Size() >= 24 { // the header of the file: it listens
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("tcpdump did not start: %s", notes.String())
		}
		time.Sleep(20 * time.Millisecond)
	}

	began := time.Now()
	out, err := exec.Command("ip", "netns", "exec", ns, bin, "demo", "--dir", filepath.Join(dir, "node")).CombinedOutput()
	if err != nil {
		t.Fatalf("the demo failed: %v\n%s", err, out)
	}
	took := time.Since(began)
	_ = dump.Process.Signal(os.Interrupt)
	_ = dump.Wait() // interrupted: it has written everything

	var o demo.Observed
	data, err := os.ReadFile(filepath.Join(dir, "node", "observed.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	sent := func(dst string) []time.Time {
		return times(t, capture, fmt.Sprintf("ip.src == %s && ip.dst == %s", o.Node, dst))
	}
	denied := sent(o.Denied.String())
	inside, outside := 0, 0
	for _, at := range sent(o.Held.String()) {
		// The capture's clock is the kernel's at the moment of sending; 1 ms is allowed for its rounding.
		if at.Before(o.GrantFrom.Add(-time.Millisecond)) || at.After(o.GrantUntil.Add(time.Millisecond)) {
			outside++
		} else {
			inside++
		}
	}
	all := sent("127.0.0.0/8")
	t.Logf("demo in a namespace: %.1f s; packets of the node on the wire: %d in all, %d to denied places, %d to held places outside the grant, %d inside it",
		took.Seconds(), len(all), len(denied), outside, inside)
	if len(denied) != 0 || outside != 0 {
		t.Errorf("denied %d, held outside the grant %d", len(denied), outside)
	}
	if inside == 0 || len(all) < 1000 {
		t.Errorf("the capture saw too little to prove anything: %d inside the grant, %d in all", inside, len(all))
	}
	if strings.Contains(notes.String(), "dropped by kernel") && !strings.Contains(notes.String(), "0 packets dropped by kernel") {
		t.Errorf("the capture lost packets: %s", notes.String())
	}
}

// times gives when the packets of a capture that match a display filter were seen.
func times(t *testing.T, capture, filter string) []time.Time {
	t.Helper()
	cmd := exec.Command("tshark", "-r", capture, "-Y", filter, "-T", "fields", "-e", "frame.time_epoch")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var list []time.Time
	for _, line := range strings.Fields(string(out)) {
		sec, frac, _ := strings.Cut(line, ".")
		s, err := strconv.ParseInt(sec, 10, 64)
		if err != nil {
			t.Fatalf("tshark printed %q", line)
		}
		ns, err := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
		if err != nil {
			t.Fatalf("tshark printed %q", line)
		}
		list = append(list, time.Unix(s, ns))
	}
	return list
}

func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
