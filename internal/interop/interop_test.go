//go:build interop

// Package interop calls a real cordon with real peers: SIPp over UDP and TCP, baresip over TLS with SRTP. Every scenario asserts what the peers counted, what
// the node's receipts say, and that the node's log verifies afterwards. It runs the binary that CORDON_BIN names, as a user would, and imports no room but for
// types and test certificates, and where what one room makes is held against a peer by itself.
package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// cordonBin is the program under test.
var cordonBin string

// table collects what was measured, for the end of the run.
var table struct {
	sync.Mutex
	rows [][3]string
}

// measured notes a figure, and fails the test when it is over its limit.
func measured(t *testing.T, what string, got, limit time.Duration) {
	t.Helper()
	text := fmt.Sprintf("%.1f ms", float64(got)/float64(time.Millisecond))
	noted(t, what, text, "<= "+limit.String())
	if got > limit {
		t.Errorf("%s: %s, more than %s", what, text, limit)
	}
}

// noted puts a row into the table.
func noted(t *testing.T, what, got, want string) {
	t.Helper()
	t.Logf("%s: %s (%s)", what, got, want)
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, [3]string{what, got, want})
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	for _, p := range []string{"sipp", "baresip", "tshark", "tcpdump", "ip", "svmap", "svwar", "sngrep", "rtpengine"} {
		if _, err := exec.LookPath(p); err != nil {
			fmt.Fprintf(os.Stderr, "interop: %s is missing: run internal/interop/install.sh as root\n", p)
			return 1
		}
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "interop: run it as root: it makes network namespaces, and SIPp plays audio through a raw socket")
		return 1
	}
	var err error
	if cordonBin = os.Getenv("CORDON_BIN"); cordonBin == "" {
		dir, err := os.MkdirTemp("", "cordon-interop-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "interop:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		cordonBin = filepath.Join(dir, "cordon")
		if out, err := exec.Command("go", "build", "-o", cordonBin, "../../cmd/cordon").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "interop: build: %v\n%s", err, out)
			return 1
		}
	} else if cordonBin, err = filepath.Abs(cordonBin); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	sweep()
	code := m.Run()
	printTable()
	return code
}

var ours = regexp.MustCompile(`(?m)^(cordon-io-(\d+)-\S+)`)

// sweep removes the namespaces of runs that were killed before they could do it.
func sweep() {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return // the first test that needs a namespace will say why
	}
	for _, m := range ours.FindAllStringSubmatch(string(out), -1) {
		if _, err := os.Stat("/proc/" + m[2]); os.IsNotExist(err) {
			_ = exec.Command("ip", "netns", "del", m[1]).Run() // another run may have been faster
		}
	}
}

func printTable() {
	table.Lock()
	defer table.Unlock()
	if len(table.rows) == 0 {
		return
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\nMEASURED\tGOT\tWANTED")
	for _, r := range table.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r[0], r[1], r[2])
	}
	w.Flush()
	fmt.Println(text.String())
}
