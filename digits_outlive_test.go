package cordon_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/carrier"
)

// Digits are converted both ways while a call is up, on hold too, whichever of its two processes is another one by then: each once, in order, and counted in the log's one record.
func TestDigitsOutliveBothProcesses(t *testing.T) {
	s := newSurvivors(t)
	s.group = "dtmf: info, "
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	a, b := s.dial(carrier.CallOptions{From: "+4917012", To: "+4930123"})
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	var pressed, informed string
	typed := func(what, press, inform string) {
		t.Helper()
		if err := a.Press(press); err != nil {
			t.Fatal(what, err)
		}
		for _, key := range inform {
			if status, err := b.SendInfo(ctx, "application/dtmf-relay", fmt.Sprintf("Signal=%c\r\nDuration=120\r\n", key)); status != 200 || err != nil {
				t.Fatal(what, status, err)
			}
		}
		pressed, informed = pressed+press, informed+inform
		until(t, what, func() bool { return arrived(a.Digits(), false, informed) && arrived(b.Digits(), true, pressed) })
		if was := a.Media().Matched; inform != "" { // a digit has three ends, and is counted with the last one: speech comes behind it
			until(t, what+", and speech", func() bool { return a.Media().Matched >= was+5 })
		}
	}
	typed("a new call", "1#1", "D00")
	if status, err := a.Hold(ctx); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	s.stop()
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	typed("on hold, with the next node", "77", "")
	if status, err := a.Resume(ctx); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	typed("with the next node", "B2", "*4")
	if err := syscall.Kill(listener(t, filepath.Join(s.dir, "state", "run", "media.sock")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another media process is told of", func() bool { return len(said[audit.MediaRestarted](s, audit.KindMediaRestarted)) > 0 })
	typed("in another media process", "9", "9C")
	if err := a.Hangup(ctx); err != nil {
		t.Error(err)
	}
	var ended []audit.CallEnded
	until(t, "the call is in the log", func() bool {
		ended = said[audit.CallEnded](s, audit.KindCallEnded)
		return len(ended) > 0 && ended[len(ended)-1].SIPFinal == 200
	})
	if q := ended[len(ended)-1].Quality; len(q) != 2 || q[0].DigitsIn != uint64(len(pressed)) || q[0].DigitsOut != uint64(len(informed)) || q[1].DigitsIn+q[1].DigitsOut != 0 {
		t.Errorf("%+v", q)
	}
	if !arrived(a.Digits(), false, informed) || !arrived(b.Digits(), true, pressed) {
		t.Errorf("more came: %v, %v", a.Digits(), b.Digits())
	}
	for _, f := range append(s.carrier.Stats().Faults, s.fra.Stats().Faults...) {
		if !strings.Contains(f, "version of o= jumps") { // the next node leaves one out, which the last one may have told
			t.Error(f)
		}
	}
	s.stop()
}

// arrived says whether these digits came, and no other: in that order, all in one way, and each with its end.
func arrived(came []carrier.Digit, info bool, keys string) bool {
	got := ""
	for _, d := range came {
		if d.Info != info || !d.Ended {
			return false
		}
		got += string(d.Key)
	}
	return got == keys
}
