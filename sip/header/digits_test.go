package header

import (
	"strings"
	"testing"
	"time"
)

func TestReadDigit(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		kind, body string
		want       Digit
		ok         bool
	}{
		{TypeDTMFRelay, "Signal=5\r\nDuration=160\r\n", Digit{5, 160 * ms}, true},
		{TypeDTMFRelay, "Signal= 5\nDuration= 160\n", Digit{5, 160 * ms}, true},
		{TypeDTMFRelay, "Duration=100\r\nSignal=#", Digit{11, 100 * ms}, true},
		{"Application/DTMF-Relay; charset=utf-8", "signal=*\r\n", Digit{10, 0}, true},
		{TypeDTMFRelay, "Signal=d\r\nDuration=0\r\n\r\n", Digit{15, 0}, true},
		{TypeDTMFRelay, "Signal=11\r\nDuration=60000\r\n", Digit{11, time.Minute}, true},
		{TypeDTMFRelay, "Signal=16\r\nDuration=90\r\n", Digit{16, 90 * ms}, true},
		{TypeDTMF, "9", Digit{9, 0}, true},
		{TypeDTMF, " #\r\n", Digit{11, 0}, true},
		{TypeDTMF, "!", Digit{16, 0}, true},
		{TypeDTMF, "10", Digit{10, 0}, true},
		{TypeDTMFRelay, "", Digit{}, false},
		{TypeDTMFRelay, "Duration=160\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=\r\nDuration=160\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nSignal=6\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nDuration=1\r\nDuration=2\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=17\r\nDuration=160\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=05\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=123\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=E\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nDuration=-1\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nDuration=+1\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nDuration=60001\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nDuration=\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nDuration=99999999999999999999\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nVolume=3\r\n", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\nrubbish\r\n", Digit{}, false},
		{TypeDTMFRelay, "5", Digit{}, false},
		{TypeDTMFRelay, "Signal=5\r\n" + strings.Repeat("\n", 300), Digit{}, false},
		{TypeDTMF, "", Digit{}, false},
		{TypeDTMF, "55", Digit{}, false},
		{TypeDTMF, "Signal=5\r\nDuration=160\r\n", Digit{}, false},
		{TypeDTMF, "é", Digit{}, false},
		{"text/plain", "5", Digit{}, false},
		{"", "5", Digit{}, false},
	} {
		got, ok := ReadDigit(c.kind, []byte(c.body))
		if ok != c.ok || got != c.want {
			t.Errorf("%s %q: %v %v, want %v %v", c.kind, c.body, got, ok, c.want, c.ok)
		}
	}
}

func TestDigitBody(t *testing.T) {
	for e := range uint8(17) {
		for _, kind := range []string{TypeDTMF, TypeDTMFRelay} {
			want := Digit{Event: e, Duration: 120 * time.Millisecond}
			got, ok := ReadDigit(kind, []byte(want.Body(kind)))
			if kind == TypeDTMF {
				want.Duration = 0
			}
			if !ok || got != want {
				t.Errorf("%s: %v is read as %v, %v", kind, want, got, ok)
			}
		}
	}
	if got := (Digit{Event: 10, Duration: 160 * time.Millisecond}).Body(TypeDTMFRelay); got != "Signal=*\r\nDuration=160\r\n" {
		t.Errorf("%q", got)
	}
	if got := (Digit{Event: 17}).Body(TypeDTMFRelay); got != "" {
		t.Errorf("%q", got)
	}
	if got := (Digit{Event: 1, Duration: time.Hour}).Body(TypeDTMFRelay); got != "Signal=1\r\nDuration=60000\r\n" {
		t.Errorf("%q", got)
	}
}

func TestIsDigits(t *testing.T) {
	for kind, want := range map[string]bool{TypeDTMF: true, "APPLICATION/DTMF-RELAY ;x=y": true, "application/dtmf-relay2": false, "": false, "text/plain": false} {
		if IsDigits(kind) != want {
			t.Errorf("%q", kind)
		}
	}
}

// FuzzDigit: what is read is written and read again as the same, and nothing else is a digit.
func FuzzDigit(f *testing.F) {
	f.Add(true, []byte("Signal=5\r\nDuration=160\r\n"))
	f.Add(false, []byte("#"))
	f.Add(true, []byte("duration = 1 \n signal = 16"))
	f.Fuzz(func(t *testing.T, relay bool, body []byte) {
		kind := TypeDTMF
		if relay {
			kind = TypeDTMFRelay
		}
		d, ok := ReadDigit(kind, body)
		if !ok {
			if d != (Digit{}) && relay {
				t.Fatalf("no digit, and %v", d)
			}
			return
		}
		if d.Event > 16 || d.Duration < 0 || d.Duration > time.Minute || len(body) > maxDigitBody {
			t.Fatalf("%v", d)
		}
		again, ok := ReadDigit(kind, []byte(d.Body(kind)))
		if relay && d.Duration == 0 {
			d.Duration = time.Millisecond
		}
		if !ok || again != d {
			t.Fatalf("%q says %v, and written anew %v", body, d, again)
		}
	})
}
