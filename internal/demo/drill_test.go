package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/drill/report"
	"github.com/cordonsip/cordon/drill/scenario"
)

// short takes the first choice away for three seconds. Its limits leave room for a busy machine.
const short = `drill: short
version: 1
title: The first choice hangs up
class: primary_region_loss
authors: [anna]
modes: [sandbox]
calls:
  - {called: "+4969900100", each: 500ms, hold: 1s}
take:
  - {what: {group: primary}, how: refuse, at: 2s, for: 3s}
expect:
  - {answered: {by: [primary, secondary], within: 8s}}
  - {switched: {within: 8s}}
  - {refused: {party: forbidden}}
  - {nothing_to: {party: forbidden}}
  - {records_lost: {at_most: 0}}
stop: {failures: 100%, cpu: 100%}
end: {after: 10s, restore: 30s}
`

// screen is what the demo prints; seen is called once, when a word is on it.
type screen struct {
	bytes.Buffer
	word string
	seen func()
}

func (s *screen) Write(b []byte) (int, error) {
	n, err := s.Buffer.Write(b)
	if s.seen != nil && strings.Contains(s.String(), s.word) {
		s.seen()
		s.seen = nil
	}
	return n, err
}

// A drill is played to its end and passes, or is stopped by Ctrl-C and gives everything back; either way its report is there, and both logs hold.
func TestDrill(t *testing.T) {
	sc, probs := scenario.Read("short.yaml", []byte(short))
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	for _, c := range []struct {
		name, quit, err, outcome string
		want                     []string
	}{
		{"to its end", "", "", "passed", []string{"it takes 10s", "2s group fra: refuse", "holds  switched", "first call answered by the secondary", "the drill passed"}},
		{"stopped", "taken        group fra: refuse", "the drill aborted: stopped by people: Ctrl-C", "aborted", []string{"Ctrl-C:", "given back   group fra: refuse", "restored"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &screen{word: c.quit}
			if c.quit != "" {
				out.seen = cancel
			}
			dir := filepath.Join(t.TempDir(), "demo")
			err := Run(ctx, Options{Out: out, Dir: dir, Drill: &Drill{sc, []byte(short)}, Suspend: func(Strike) error { return nil }, Logger: slog.New(slog.DiscardHandler)})
			if said := ""; err != nil || c.err != "" {
				if err != nil {
					said = err.Error()
				}
				if c.err == "" || !strings.Contains(said, c.err) {
					t.Errorf("error %q, want %q", said, c.err)
				}
			}
			for _, want := range append(c.want, "verified production", "verified the sandbox", "everything was as before", "a call goes to Frankfurt") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not printed", want)
				}
			}
			var r report.Report
			if raw, err := os.ReadFile(filepath.Join(dir, "drill.json")); err != nil || json.Unmarshal(raw, &r) != nil || string(r.Outcome) != c.outcome {
				t.Errorf("the report says %q: %v", r.Outcome, err)
			}
			if page, err := os.ReadFile(filepath.Join(dir, "drill.html")); err != nil || !bytes.Contains(page, []byte("<svg")) {
				t.Errorf("the page has no figure: %v", err)
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}
