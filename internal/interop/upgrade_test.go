//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/carrier"
)

// laterBuild makes a program of another build, which lays its legs out in another way: there is something new before and behind what the present one has in a slot.
func laterBuild(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	slab, err := filepath.Abs("../../media/plane/slab.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(slab)
	if err != nil {
		t.Fatal(err)
	}
	changed := regexp.MustCompile(`const Layout = \d+`).ReplaceAllString(string(text), "const Layout = 1000")
	changed = strings.Replace(changed, "type slot struct {\n", "type slot struct {\n\t_ [5]uint64\n", 1)
	changed = strings.Replace(changed, "type lane struct {\n", "type lane struct {\n\t_ uint64\n", 1)
	if strings.Count(changed, "uint64\n") != strings.Count(string(text), "uint64\n")+2 || !strings.Contains(changed, "Layout = 1000") {
		t.Fatal("slab.go is not what it was")
	}
	other := filepath.Join(dir, "slab.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{slab: other}})
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{other: []byte(changed), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "cordon")
	build := exec.Command("go", "build", "-trimpath", "-overlay", filepath.Join(dir, "overlay.json"), "-ldflags", "-X main.commit=later", "-o", bin, "../../cmd/cordon")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// The program is replaced by a build that lays legs out in another way, while 200 calls talk with SRTP on both sides: no packet is lost, and the calls go on and end as any others.
func TestUpgrade(t *testing.T) {
	later := laterBuild(t)
	l := killable(t, carrier.AES256SHA80, carrier.AES128GCM)
	l.dialAll(callsUnderFire)
	talk := converse(t, l.calls)
	talk.goesOn(t, "two seconds of audio", 100)
	before, was := talk.look(), l.mediaProcess()
	control := l.cmd.Process.Pid
	l.signal(syscall.SIGTERM)
	until(t, "the control process is gone", 20*time.Second, func() bool { return syscall.Kill(control, 0) != nil })
	talk.goesOn(t, "audio goes on with nobody there", 50)
	l.bin = later
	l.run(filepath.Join(l.dir, "cordon.yaml"))
	talk.goesOn(t, "audio goes on in the other build", 100)
	after := talk.look()
	if now := l.mediaProcess(); now == 0 || now == was || syscall.Kill(was, 0) == nil {
		t.Errorf("process %d listens, and %d did", now, was)
	}
	talk.end()
	a := talk.account(t)
	a.print(t, "upgrade of the program", before, after)
	measured(t, "upgrade to another build and layout, longest gap of 200 SRTP calls", spread(after.gaps)[2], time.Second)
	lost := sum(a.lost)
	noted(t, "upgrade to another build and layout, packets lost of 200 SRTP calls", fmt.Sprintf("%d of %d", lost, sum(a.sent)), "0")
	if lost != 0 {
		t.Errorf("%d packets lost", lost)
	}
	if n := l.node.calls(); n != callsUnderFire {
		t.Fatalf("the later build knows %d calls", n)
	}
	var told struct{ Entries []audit.Entry }
	l.get("/api/v1/log/entries?max=1000&kind="+string(audit.KindMediaRestarted), &told)
	var restarted audit.MediaRestarted
	if list := told.Entries; len(list) != 1 || json.Unmarshal(list[0].Body, &restarted) != nil || restarted.Legs != 2*callsUnderFire || !strings.HasPrefix(restarted.From, "cordon ") {
		t.Errorf("the log says %d times of it: %+v", len(list), restarted)
	}
	l.renegotiate()
	talk = converse(t, l.calls)
	talk.goesOn(t, "audio goes on after the re-INVITEs", 50)
	talk.end()
	if lost := sum(talk.account(t).lost); lost != 0 {
		t.Errorf("%d packets lost after re-INVITEs", lost)
	}
	l.hangUp(l.calls)
	l.faultless()
	if list := l.receipts(callsUnderFire); len(list) != callsUnderFire {
		t.Errorf("%d receipts", len(list))
	}
	l.stop()
}

// A file that says nothing of who carries packets: a supervisor that signals all processes of a node, as systemd does by default, ends nothing before its time. The node drains with
// media, and when the last call has ended no process is left.
func TestStopOfAWholeUnit(t *testing.T) {
	l := carriedBy(t, "media: {dscp: 46}", carrier.AES128SHA80, carrier.AES128SHA80)
	l.dialAll(4)
	talk := converse(t, l.calls)
	talk.goesOn(t, "audio", 25)
	media := l.mediaProcess()
	if media == 0 || media == l.cmd.Process.Pid {
		t.Fatalf("process %d listens for the control process %d", media, l.cmd.Process.Pid)
	}
	if err := syscall.Kill(media, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	l.signal(syscall.SIGTERM)
	talk.goesOn(t, "audio goes on in the drain", 50)
	talk.end()
	if lost := sum(talk.account(t).lost); lost != 0 {
		t.Errorf("%d packets lost", lost)
	}
	l.hangUp(l.calls)
	l.faultless()
	if code := l.wait(t, 45*time.Second); code != 0 {
		t.Errorf("cordon ended with %d", code)
	}
	if syscall.Kill(media, 0) == nil {
		t.Error("the media process is still there")
	}
	l.verify()
}
