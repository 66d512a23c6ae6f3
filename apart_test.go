package cordon_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media"
	apart "github.com/cordonsip/cordon/media/link"
)

// mediaProcess marks this test binary, started again, as a media process. The arguments behind it are those of `cordon media`.
const mediaProcess = "-cordon.media"

// TestMain is a media process when it is started as one. Else it lets the heap grow between collections: hundreds of whole nodes in virtual time make garbage, and here
// time is dearer than memory. GOGC in the environment has the last word.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != mediaProcess {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(400)
		}
		os.Exit(m.Run())
	}
	apart.Prepare()
	flags := map[string]string{}
	for i := 2; i+1 < len(os.Args); i += 2 {
		flags[os.Args[i]] = os.Args[i+1]
	}
	ready, _ := strconv.Atoi(flags["--ready"])
	s, err := apart.NewServer(apart.ServerConfig{Socket: flags["--socket"], Build: flags["--build"], Ready: os.NewFile(uintptr(ready), "ready")})
	if err != nil || s.Run(context.Background()) != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// voice is a far end with plain RTP.
type voice struct {
	*net.UDPConn
	at  netip.AddrPort
	to  netip.AddrPort
	seq uint16
}

func newVoice(t *testing.T, host string) *voice {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &voice{UDPConn: c, at: c.LocalAddr().(*net.UDPAddr).AddrPort()}
}

func (v *voice) sdp() []byte {
	return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d RTP/AVP 8\r\n", v.at.Addr(), v.at.Port())
}

var audioPort = regexp.MustCompile(`m=audio (\d+)`)

// reads takes from a description where to send to.
func (v *voice) reads(t *testing.T, host string, sdp []byte) {
	t.Helper()
	m := audioPort.FindSubmatch(sdp)
	if m == nil {
		t.Fatalf("%s", sdp)
	}
	v.to = netip.MustParseAddrPort(host + ":" + string(m[1]))
}

// reaches says whether the next packet of v is heard by w.
func (v *voice) reaches(t *testing.T, w *voice) bool {
	t.Helper()
	v.seq++
	b := make([]byte, 172)
	b[0], b[1], b[2], b[3], b[11] = 0x80, 8, byte(v.seq>>8), byte(v.seq), 7
	if _, err := v.WriteToUDPAddrPort(b, v.to); err != nil {
		t.Fatal(err)
	}
	for w.SetReadDeadline(time.Now().Add(50*time.Millisecond)) == nil {
		n, err := w.Read(b)
		if err != nil {
			return false
		}
		if n == 172 && b[2] == byte(v.seq>>8) && b[3] == byte(v.seq) {
			return true
		}
	}
	return false
}

// TestMediaInAProcessOfItsOwn: a node whose packets another process carries, that process killed, and the node stopped.
func TestMediaInAProcessOfItsOwn(t *testing.T) {
	t.Setenv("T1", "one one one one one one one one one")
	t.Setenv("T2", "two two two two two two two two two")
	t.Setenv("CORDON_TEST_CLARA", "three three three three three three")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cordon") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg, err := configs.Load(writeConfig(t, dir, nodeConfig+"media: {inprocess: false}\n"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Software: "test", Media: []string{exe, mediaProcess, "--build", "test"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := n.Relay().Open("a call", media.Leg{Party: "carrier", Security: media.Plain})
	if err != nil {
		t.Fatal(err)
	}
	a, b := newVoice(t, "127.1.0.10"), newVoice(t, "127.1.0.11")
	offer, err := s.Offer(media.A, a.sdp(), media.Leg{Party: "fra", Security: media.Plain})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Answer(media.B, b.sdp())
	if err != nil {
		t.Fatal(err)
	}
	a.reads(t, "127.5.0.10", answer)
	b.reads(t, "127.5.0.10", offer)
	until(t, "A reaches B and B reaches A", func() bool { return a.reaches(t, b) && b.reaches(t, a) })

	socket := filepath.Join(cfg.StateDir, "run", "media.sock")
	pid := listener(t, socket)
	if pid == os.Getpid() {
		t.Fatal("this process carries the packets itself")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another process carries the call on", func() bool { return a.reaches(t, b) && b.reaches(t, a) })
	until(t, "the log has it", func() bool {
		list, err := n.Log().Entries(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Kind == audit.KindMediaRestarted {
				ev, err := audit.Decode(e)
				r, ok := ev.(audit.MediaRestarted)
				return err == nil && ok && r.Legs == 2 && r.GapMS > 0
			}
		}
		return false
	})
	pid = listener(t, socket)
	r := s.Close()
	if r.Sides[media.A].RxPackets < 2 || r.Sides[media.B].Remote != b.at {
		t.Errorf("%+v", r.Sides)
	}
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if syscall.Kill(pid, 0) == nil {
		t.Error("the media process outlives the node that stopped")
	}
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("in 10 s not so: %s", what)
		}
	}
}

// listener is the process that listens on a path.
func listener(t *testing.T, path string) int {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pid, _, err := osnet.PeerUser(c)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestTheDefault: a file that does not say who carries packets gets a process for it where whoever runs the node has a program for one that works, and one line where it does not.
func TestTheDefault(t *testing.T) {
	for _, name := range []string{"T1", "T2", "CORDON_TEST_CLARA"} {
		t.Setenv(name, "a token of "+name+", which is long enough to be one")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	works := []string{exe, mediaProcess, "--build", "test"}
	for name, c := range map[string]struct {
		more    string
		program []string
		apart   bool
		says    string // in the log
		fails   bool
	}{
		"a program":                      {"", works, true, "", false},
		"no program":                     {"", nil, false, "", false},
		"a program that ends":            {"", []string{"/bin/false"}, false, "this process carries the packets itself", false},
		"in process, by the file":        {"media: {inprocess: true}\n", works, false, "", false},
		"apart by the file, it ends":     {"media: {inprocess: false}\n", []string{"/bin/false"}, false, "", true},
		"calls must be kept, it ends":    {"restart: {calls: keep}\n", []string{"/bin/false"}, false, "this process carries", true},
		"calls must be kept, no program": {"restart: {calls: keep}\n", nil, false, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "cordon") // a path of a socket is short
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			cfg, err := configs.Load(writeConfig(t, dir, nodeConfig+c.more))
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			n, err := cordon.New(t.Context(), cordon.Options{
				Config: cfg, Net: osnet.Net{}, Software: "test", Media: c.program, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})),
			})
			if (err != nil) != c.fails || !strings.Contains(log.String(), c.says) || c.says == "" && strings.Contains(log.String(), "carries the packets") {
				t.Fatalf("%v: %s", err, log.String())
			}
			if c.fails {
				return
			}
			defer n.Close(t.Context())
			conn, err := net.Dial("unix", filepath.Join(cfg.StateDir, "run", "media.sock"))
			if (err == nil) != c.apart {
				t.Errorf("somebody listens: %v", err)
			}
			if err == nil {
				pid := listener(t, filepath.Join(cfg.StateDir, "run", "media.sock"))
				conn.Close()
				defer syscall.Kill(pid, syscall.SIGTERM) // when nobody is connected any more
				if folder, err := os.Stat(filepath.Join(cfg.StateDir, "run")); err != nil || folder.Mode().Perm() != 0o700 || pid == os.Getpid() {
					t.Errorf("process %d listens in %v, %v", pid, folder.Mode(), err)
				}
			}
		})
	}
}
