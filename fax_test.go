package cordon_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/sovereign"
)

// What runs may finish in a place that was struck, whichever process is replaced meanwhile: the media process is killed, the node stops and another one takes the call up, and
// the fax goes on. Nothing new goes there, and when it is over the log says that it finished.
func TestWhatMayFinishFinishesOverReplacedProcesses(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	s := newSurvivors(t)
	s.edit = []string{
		`11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=`, base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)),
		"home: aws:eu-central-1,", "home: aws:eu-central-1, allow: [aws:eu-central-1, aws:eu-central-2],",
		"places:\n", "places:\n  - {prefix: 127.1.0.11/32, region: aws:eu-central-2, contract: c}\n",
		"region: aws:eu-central-1, members: [{host: 127.1.0.11", "region: aws:eu-central-2, members: [{host: 127.1.0.11",
	}
	const finish = "law: {parties: [{party: fra, running_calls: finish, finish_within: 10m}]}\n"
	if err := s.boot(finish); err != nil {
		t.Fatal(err)
	}
	c, _ := s.dial(carrier.CallOptions{From: "+4917012", To: "+4930123"})
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
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
	line, err := sovereign.SignSuspension(sovereign.Suspension{Instrument: swissLaw, Since: time.Now(), Reason: "annulled", KeyID: "k"}, key)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "suspended.jsonl"), line, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the strike", func() bool { return len(said[audit.LawInForce](s, audit.KindLawInForce)) > 0 })
	goesOn("it goes on in a struck place")
	if err := syscall.Kill(listener(t, filepath.Join(s.dir, "state", "run", "media.sock")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another media process is told of", func() bool { return len(said[audit.MediaRestarted](s, audit.KindMediaRestarted)) > 0 })
	goesOn("it goes on in another media process")
	s.stop()
	goesOn("it goes on while no node is there")
	if err := s.boot(finish); err != nil {
		t.Fatal(err)
	}
	goesOn("it goes on with the next node")
	if status, err := c.Voice(ctx); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	was := c.Media()
	until(t, "audio comes back behind it", func() bool { return c.Media().Matched >= was.Matched+10 })
	if again, err := s.carrier.Call(ctx, carrier.CallOptions{From: "+4917012", To: "+4930124", Dest: netip.AddrPortFrom(netip.MustParseAddr("127.5.0.10"), s.port)}); err != nil {
		t.Fatal(err)
	} else if <-again.Done(); again.Status() < 400 || len(s.fra.Calls()) != 1 {
		t.Errorf("a new call: %d, and the group has %d", again.Status(), len(s.fra.Calls()))
	}
	if err := c.Hangup(ctx); err != nil {
		t.Error(err)
	}
	var done audit.Receipt
	until(t, "the receipt", func() bool {
		for _, r := range said[audit.Receipt](s, audit.KindReceipt) {
			if r.Outcome.SIPFinal == 200 {
				done = r
				return true
			}
		}
		return false
	})
	if len(done.Struck) != 1 || done.Struck[0].How != "finished" || done.Overall == "violation" {
		t.Errorf("%s %+v", done.Overall, done.Struck)
	}
	s.stop()
}

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
