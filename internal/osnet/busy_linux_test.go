package osnet

import (
	"testing"
	"time"
)

func TestBusy(t *testing.T) {
	first := parseBusy([]byte("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4\n"))
	later := parseBusy([]byte("cpu  160 0 70 810 60 0 0 0 60 0\n"))
	if want := (Busy{1500 * time.Millisecond, 10 * time.Second}); first != want {
		t.Errorf("%+v, want %+v", first, want)
	}
	if got := later.Since(first); got != 0.8 {
		t.Errorf("%v of the processors were used, want 0.8", got)
	}
	if got := later.Since(Busy{}); got != 0 {
		t.Errorf("one reading gives %v", got)
	}
	for _, text := range []string{"", "cpu", "intr 1 2 3 4 5", "cpu a b c d e"} {
		if b := parseBusy([]byte(text)); b != (Busy{}) {
			t.Errorf("%q gives %+v", text, b)
		}
	}
	if b := ReadBusy(); b.All == 0 || b.Used > b.All {
		t.Errorf("this machine: %+v", b)
	}
}
