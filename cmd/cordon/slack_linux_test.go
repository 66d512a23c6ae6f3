package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// tellsSlack makes this test binary a process that loosens its timers as an edge does and tells its number and the slack of one of its threads.
const tellsSlack = "CORDON_TEST_TELLS_SLACK"

func tellSlack() {
	loosen(os.Environ())
	n, err := prctl(getTimerSlack, 0)
	fmt.Println(os.Getpid(), n, err, os.Args[1:])
}

func TestAnEdgeLoosensItsTimers(t *testing.T) {
	before, err := prctl(getTimerSlack, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env  string
		want int
	}{
		{"NOTHING=1", max(before, slack)},
		{restarted, before},
	} {
		c := exec.CommandContext(t.Context(), "/proc/self/exe", "run", "-c", "x")
		c.Env = append(os.Environ(), tellsSlack+"=1", tt.env)
		var out strings.Builder
		c.Stdout = &out
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		// The number of the process stays, so that its supervisor loses nothing.
		if want := fmt.Sprintln(c.Process.Pid, tt.want, nil, "[run -c x]"); out.String() != want {
			t.Errorf("%s: %q, want %q", tt.env, out.String(), want)
		}
	}
}
