package cordon_test

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/carrier"
)

// A fax goes on while its node stops and another one takes it up, and when the media process is killed; behind it there is audio again, and the log has one call with a fax.
func TestAFaxOutlivesBothProcesses(t *testing.T) {
	s := newSurvivors(t)
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	c, _ := s.dial(carrier.CallOptions{From: "+4917012", To: "+4930123"})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if status, err := c.Fax(ctx); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	goesOn := func(what string) {
		t.Helper()
		was := c.Media().FaxMatched
		until(t, what, func() bool { return c.Media().FaxMatched >= was+10 })
	}
	goesOn("the fax comes back")
	s.stop()
	goesOn("it goes on while no node is there")
	if err := s.boot(""); err != nil {
		t.Fatal(err)
	}
	goesOn("it goes on with the next node")
	if err := syscall.Kill(listener(t, filepath.Join(s.dir, "state", "run", "media.sock")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another media process is told of", func() bool { return len(said[audit.MediaRestarted](s, audit.KindMediaRestarted)) > 0 })
	goesOn("it goes on in another media process")
	if status, err := c.Voice(ctx); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	was := c.Media()
	until(t, "audio comes back behind it", func() bool { return c.Media().Matched >= was.Matched+10 })
	if err := c.Hangup(ctx); err != nil {
		t.Error(err)
	}
	var ended []audit.CallEnded
	until(t, "the call is in the log", func() bool {
		ended = said[audit.CallEnded](s, audit.KindCallEnded)
		return len(ended) > 0 && ended[len(ended)-1].SIPFinal == 200
	})
	q := ended[len(ended)-1].Quality
	if len(q) != 2 || q[0].FaxPackets < 40 || q[0].FaxSent < 40 || q[1].FaxPackets < 40 || q[0].Packets == 0 {
		t.Errorf("%+v", q)
	}
	for _, f := range append(s.carrier.Stats().Faults, s.fra.Stats().Faults...) {
		if !strings.Contains(f, "version of o= jumps") { // the next node leaves one out, which the last one may have told
			t.Error(f)
		}
	}
	s.stop()
}
