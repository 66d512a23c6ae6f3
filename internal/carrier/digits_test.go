package carrier

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/vnet"
)

// TestDigits: events take the tone's place and no more of it, each is one digit however often its packets come, and who is on hold says none.
func TestDigits(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{Delay: 5 * time.Millisecond, Dup: 0.3}, func(c, _ *Config) { c.SRTP = secure })
			defer w.stop()
			c := w.call(CallOptions{})
			if err := c.Press("1"); err == nil {
				t.Error("a digit before the answer")
			}
			<-c.Answered()
			other := w.edge.Calls()[0]
			time.Sleep(time.Second)
			if err := c.Press("1x"); err == nil {
				t.Error("x is a digit")
			}
			if err := c.Press("99#D"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if s, err := c.SendInfo(t.Context(), digitType, "Signal=*\r\nDuration=160\r\n"); s != 200 || err != nil {
				t.Error(s, err)
			}
			if s, err := c.Hold(t.Context()); s != 200 || err != nil {
				t.Fatal(s, err)
			}
			if err := c.Press("0"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if s, err := c.Resume(t.Context()); s != 200 || err != nil {
				t.Fatal(s, err)
			}
			if s, err := other.Hold(t.Context()); s != 200 || err != nil {
				t.Fatal(s, err)
			}
			if err := c.Press("8"); err == nil {
				t.Error("a digit to who listens to nothing")
			}
			if err := other.Press("8"); err == nil {
				t.Error("a digit of who has no tone to replace")
			}
			got := ""
			for _, d := range other.Digits() {
				got += fmt.Sprintf("%c %t %t %s, ", d.Key, d.Info, d.Ended, d.Length)
			}
			if want := "9 false true 100ms, 9 false true 100ms, # false true 100ms, D false true 100ms, * true true 160ms, 0 false true 100ms, "; got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if m := c.Media(); m.Sent-m.Matched > 2 || m.Corrupt+m.Foreign > 0 || len(c.Digits()) != 0 {
				t.Errorf("%+v", m)
			}
			if err := c.Hangup(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDigitsByInfo: what a body says, and what is none.
func TestDigitsByInfo(t *testing.T) {
	for body, want := range map[string]string{
		"Signal=5\r\n":                  "[{5 true true 0s}]",
		"Signal=D\r\nDuration=90\r\n":   "[{D true true 90ms}]",
		"Signal=55\r\n":                 "",
		"Signal=\r\nDuration=90\r\n":    "",
		"Signal=5\r\nDuration=long\r\n": "",
		"Duration=90\r\nSignal=5\r\n":   "",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{}, nil)
			w.lenient = true
			defer w.stop()
			c := w.call(CallOptions{})
			<-c.Answered()
			synctest.Wait()
			if s, err := c.SendInfo(t.Context(), digitType, body); s != 200 || err != nil {
				t.Error(s, err)
			}
			got, fault := "", "a digit of"
			for _, d := range w.edge.Calls()[0].Digits() {
				got, fault = fmt.Sprintf("[{%c %t %t %s}]", d.Key, d.Info, d.Ended, d.Length), ""
			}
			if got != want {
				t.Errorf("%q: %s, want %s", body, got, want)
			}
			expect(t, w.edge.Stats().Faults, fault)
			_ = c.Hangup(t.Context())
		})
	}
}
